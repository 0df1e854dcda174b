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
    #[cfg(not(rump_kernel = "lite"))]
    {
        let _ = buf;
        0
    }
}
