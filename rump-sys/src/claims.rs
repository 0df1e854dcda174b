//! Who is asked before a port is taken: `rump_claims.h`.
//!
//! A kernel compiled from a tree asks with the feature `net`, and rump-lite always does;
//! elsewhere [`rump_claims_set`] answers `ENOSYS`.

use crate::hyper::claims::{Ops, Tell};
use core::ffi::{c_int, c_void};

crate::gate::functions! {
    here = any(rump_kernel = "lite", all(rump_kernel = "netbsd", feature = "net")),
    gated = rump_kernel = "image",
    absent = "Nobody can be asked in this build";
    /// Has the host asked from now on, or no more (null). The table must stay for good.
    fn rump_claims_set(ops: *const Ops) -> c_int;
    /// Tells of all that has a port now, and at last of null, before it returns.
    fn rump_claims_list(tell: Tell, arg: *mut c_void);
}
