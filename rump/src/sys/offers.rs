//! Disks that an image offers to other domains: `rump_sys::offers`.
#![allow(unsafe_code)]

use crate::error::Errno;
use crate::lwp;
use rump_sys::offers;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// # Errors
/// The kernel's.
pub(crate) fn offer(name: &str, path: &Path, writable: bool) -> io::Result<()> {
    lwp::enter_here()?;
    let name = CString::new(name)?;
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = if writable { offers::WRITABLE } else { 0 };
    // SAFETY: both end in 0.
    let errno = unsafe { offers::rump_disk_offer(name.as_ptr(), path.as_ptr(), flags) };
    Ok(Errno::check(errno)?)
}
