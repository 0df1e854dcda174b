//! Waiting for something to receive, with a bell that wakes: `rump_arrival.h`.
//!
//! A kernel compiled from a tree can do it with the feature `net`; elsewhere [`rump_arrival`]
//! answers `ENOSYS`, and poll(2) is what there is.

use crate::abi::arrival::Bell;
use core::ffi::c_int;

crate::gate::functions! {
    here = all(rump_kernel = "netbsd", feature = "net"),
    gated = any(),
    absent = "Nobody can wait so in this build";
    /// Waits until so many bytes can be received, or the bell rings.
    fn rump_arrival(fd: c_int, room: u64, bell: *const Bell) -> c_int;
    /// Wakes who waits with a bell.
    fn rump_arrival_ring(bell: *const Bell);
}
