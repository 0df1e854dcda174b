//! Memory that the kernel has got from its host and hands to the program.

use core::ffi::c_void;

// Of whoever exports the hypercalls.
unsafe extern "C" {
    #[cfg_attr(rump_kernel = "image", link_name = crate::gate::image_name!(rumpuser_unmap))]
    fn rumpuser_unmap(start: *mut c_void, size: usize);
}

crate::gate::export! { rumpuser_unmap = rumpuser_unmap; }

/// Gives memory back that the kernel has mapped for the program.
///
/// # Safety
/// The kernel has mapped it with this size, and left it to the caller.
pub unsafe fn unmap(start: *mut c_void, size: usize) {
    // SAFETY: by contract.
    unsafe { rumpuser_unmap(start, size) };
}
