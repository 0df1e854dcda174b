//! NetBSD's drivers of hardware that are in the kernel by name (`RUMP_DRIVERS`).
//!
//! Where there are none, [`DRIVERS`] is empty and the functions say so.

use core::ffi::{c_char, c_int};

/// The drivers in the kernel that `RUMP_DRIVERS` named, and those that came with them:
/// what stands between them and a bus, and the disks and interfaces behind a controller.
/// Sorted.
pub const DRIVERS: &[&str] = crate::kernel::DRIVERS;

#[cfg(rump_drivers)]
unsafe extern "C" {
    /// Makes the nodes (`/dev/ld0a` … and `/dev/rld0a` …) of disks that were found since
    /// the kernel booted, or since the last call. Returns an errno of NetBSD's.
    ///
    /// # Safety
    /// The kernel has booted, and the thread holds no virtual CPU.
    pub fn rump_drivers_makenodes() -> c_int;
    /// How many devices the driver `name` has; -1 if the kernel has no such driver.
    ///
    /// # Safety
    /// As [`rump_drivers_makenodes`]; `name` is a C string.
    pub fn rump_drivers_units(name: *const c_char) -> c_int;
}

#[cfg(rump_kernel = "image")]
unsafe extern "C" {
    /// As in a Linux process; there may be none.
    ///
    /// # Safety
    /// The thread holds no virtual CPU.
    #[link_name = crate::gate::image_name!(rump_drivers_makenodes)]
    pub fn rump_drivers_makenodes() -> c_int;
    /// As in a Linux process; there may be none.
    ///
    /// # Safety
    /// `name` is a C string.
    #[link_name = crate::gate::image_name!(rump_drivers_units)]
    pub fn rump_drivers_units(name: *const c_char) -> c_int;
}

crate::gate::export! {
    rump_drivers_makenodes = rump_drivers_makenodes;
    rump_drivers_units = rump_drivers_units;
}

/// Makes no nodes: there are no drivers.
///
/// # Safety
/// Nothing is done.
#[cfg(not(any(rump_drivers, rump_kernel = "image")))]
pub unsafe extern "C" fn rump_drivers_makenodes() -> c_int {
    0
}

/// Answers -1: there are no drivers.
///
/// # Safety
/// Nothing is done with `name`.
#[cfg(not(any(rump_drivers, rump_kernel = "image")))]
pub unsafe extern "C" fn rump_drivers_units(name: *const c_char) -> c_int {
    let _ = name;
    -1
}
