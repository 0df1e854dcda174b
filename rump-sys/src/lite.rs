//! What rump-lite tells beyond what NetBSD does.

#[cfg(rump_kernel = "lite")]
unsafe extern "C" {
    fn rump_lite_lacked(buf: *mut u8, room: usize) -> usize;
}

/// Writes what this thread's last system call that failed found to be absent from the
/// kernel, as UTF-8, and returns how long that is: 0 if it failed for another reason, and
/// always with other kernels.
pub fn lacked(buf: &mut [u8]) -> usize {
    #[cfg(rump_kernel = "lite")]
    // SAFETY: so many bytes may be written, by the exclusive borrow.
    return unsafe { rump_lite_lacked(buf.as_mut_ptr(), buf.len()) };
    #[cfg(rump_kernel = "image")]
    // SAFETY: as above.
    return unsafe { image_lacked(buf.as_mut_ptr(), buf.len()) };
    #[cfg(not(any(rump_kernel = "lite", rump_kernel = "image")))]
    {
        let _ = buf;
        0
    }
}

#[cfg(rump_kernel = "image")]
unsafe extern "C" {
    #[link_name = crate::gate::image_name!(lacked)]
    fn image_lacked(buf: *mut u8, room: usize) -> usize;
}

#[cfg(rump_gates)]
unsafe extern "C" fn tell(buf: *mut u8, room: usize) -> usize {
    // SAFETY: the program's side lends a slice of that length.
    lacked(unsafe { core::slice::from_raw_parts_mut(buf, room) })
}
crate::gate::export! { lacked = tell; }
