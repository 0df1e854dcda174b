//! Transfers of disks that nobody waits for in the kernel: `rump_blkio.h`.
//!
//! A kernel compiled from a tree has them with the feature `fs`; elsewhere
//! [`rump_blkio_open`] answers `ENOSYS`. The header explains each item. Its sizes are
//! asserted here and in the component's source, by the same numbers.

use core::ffi::c_int;

/// `RUMP_BLKIO_WRITE`: a transfer to the disk.
pub const WRITE: u32 = 0x01;

/// A transfer.
#[repr(C)]
#[derive(Debug)]
pub struct Transfer {
    /// Memory of so many bytes, the kernel's until the transfer is done.
    pub data: *mut u8,
    /// Whole sectors, all within the disk.
    pub len: u64,
    /// Where, in bytes.
    pub offset: u64,
    /// [`WRITE`].
    pub flags: u32,
    /// The kernel's.
    pub pieces: u32,
    /// An error number of NetBSD's or 0, once it is done.
    pub error: i32,
    /// Zero.
    pub pad: u32,
    /// Called once it is done, on any thread with a virtual CPU.
    pub done: unsafe extern "C" fn(*mut Transfer),
}

/// The device of an open descriptor.
#[repr(C)]
#[derive(Debug)]
pub struct Device {
    _opaque: [u8; 0],
}

const _: () = {
    assert!(size_of::<Transfer>() == 48);
    assert!(core::mem::offset_of!(Transfer, done) == 40);
};

#[cfg(all(rump_kernel = "netbsd", feature = "fs"))]
unsafe extern "C" {
    /// Finds the disk that a descriptor of the calling process has open.
    pub fn rump_blkio_open(fd: c_int, device: *mut *mut Device) -> c_int;
    /// Forgets it again; no transfer may be under way.
    pub fn rump_blkio_close(device: *mut Device);
    /// Starts so many transfers, in this order.
    pub fn rump_blkio_start(device: *mut Device, transfers: *mut *mut Transfer, count: u32);
}

#[cfg(not(all(rump_kernel = "netbsd", feature = "fs")))]
mod absent {
    use super::{Device, Transfer, c_int};

    /// There are no such transfers in this build.
    ///
    /// # Safety
    /// Nothing is done with the arguments.
    pub unsafe extern "C" fn rump_blkio_open(_fd: c_int, _device: *mut *mut Device) -> c_int {
        crate::abi::ENOSYS
    }

    /// Nothing, as there is no device.
    ///
    /// # Safety
    /// Nothing is done with the argument.
    pub unsafe extern "C" fn rump_blkio_close(_device: *mut Device) {}

    /// Nothing, as there is no device.
    ///
    /// # Safety
    /// Nothing is done with the arguments.
    pub unsafe extern "C" fn rump_blkio_start(
        _device: *mut Device,
        _transfers: *mut *mut Transfer,
        _count: u32,
    ) {
    }
}
#[cfg(not(all(rump_kernel = "netbsd", feature = "fs")))]
pub use absent::{rump_blkio_close, rump_blkio_open, rump_blkio_start};
