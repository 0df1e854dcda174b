//! Waiting for something to receive, with a bell that wakes: `rump_arrival.h`.
//!
//! A kernel compiled from a tree can do it with the feature `net`; elsewhere [`rump_arrival`]
//! answers `ENOSYS`, and poll(2) is what there is.

use crate::abi::arrival::Bell;
use core::ffi::c_int;

#[cfg(all(rump_kernel = "netbsd", feature = "net"))]
unsafe extern "C" {
    /// Waits until so many bytes can be received, or the bell rings.
    pub fn rump_arrival(fd: c_int, room: u64, bell: *const Bell) -> c_int;
    /// Wakes who waits with a bell.
    pub fn rump_arrival_ring(bell: *const Bell);
}

/// Nobody can wait so in this build.
///
/// # Safety
/// Nothing is done with the arguments.
#[cfg(not(all(rump_kernel = "netbsd", feature = "net")))]
pub unsafe extern "C" fn rump_arrival(fd: c_int, room: u64, bell: *const Bell) -> c_int {
    let _ = (fd, room, bell);
    crate::abi::ENOSYS
}

/// Nobody waits in this build.
///
/// # Safety
/// Nothing is done with the argument.
#[cfg(not(all(rump_kernel = "netbsd", feature = "net")))]
pub unsafe extern "C" fn rump_arrival_ring(bell: *const Bell) {
    let _ = bell;
}
