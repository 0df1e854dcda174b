//! Who is asked before a port is taken: `rump_claims.h`.
//!
//! A kernel compiled from a tree asks with the feature `net`, and rump-lite always does;
//! elsewhere [`rump_claims_set`] answers `ENOSYS`.

use crate::hyper::claims::{Ops, Tell};
use core::ffi::{c_int, c_void};

#[cfg(any(rump_kernel = "lite", all(rump_kernel = "netbsd", feature = "net")))]
unsafe extern "C" {
    /// Has the host asked from now on, or no more (null). The table must stay for good.
    pub fn rump_claims_set(ops: *const Ops) -> c_int;
    /// Tells of all that has a port now, and at last of null, before it returns.
    pub fn rump_claims_list(tell: Tell, arg: *mut c_void);
}

/// Nobody can be asked in this build.
///
/// # Safety
/// Nothing is done with the argument.
#[cfg(not(any(rump_kernel = "lite", all(rump_kernel = "netbsd", feature = "net"))))]
pub unsafe extern "C" fn rump_claims_set(ops: *const Ops) -> c_int {
    let _ = ops;
    crate::abi::ENOSYS
}

/// Nothing is known in this build.
///
/// # Safety
/// Nothing is done with the arguments.
#[cfg(not(any(rump_kernel = "lite", all(rump_kernel = "netbsd", feature = "net"))))]
pub unsafe extern "C" fn rump_claims_list(tell: Tell, arg: *mut c_void) {
    let _ = (tell, arg);
}
