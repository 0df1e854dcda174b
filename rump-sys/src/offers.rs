//! Disks of the kernel's that the program of an image offers to other domains of its Xen.

use core::ffi::{c_char, c_int};

/// Of an offer: others may write.
pub const WRITABLE: u32 = 0x01;

crate::gate::functions! {
    here = any(),
    gated = rump_kernel = "image",
    absent = "Only images have other domains";
    /// Offers a disk, by the path of its character device, under a name of up to 64 bytes, for
    /// good. Returns an error number of NetBSD's: `EEXIST` if there is one of that name,
    /// `EINVAL` for what is no name, `EOPNOTSUPP` if this is no guest of Xen's, or why the disk
    /// cannot be opened.
    fn rump_disk_offer(name: *const c_char, path: *const c_char, flags: u32) -> c_int;
}
