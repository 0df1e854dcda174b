//! Files that are mapped, shared with whoever has them too.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::ptr::NonNull;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

/// A mapping, which ends with this.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns nothing but addresses; who uses them sees to the rest.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the beginning of a file.
    pub(super) fn new(file: BorrowedFd<'_>, len: usize) -> Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let nowhere = core::ptr::null_mut::<c_void>();
        // SAFETY: a new mapping, which replaces none.
        let start = unsafe {
            let file = file.as_raw_fd();
            libc::mmap(nowhere, len, protection, libc::MAP_SHARED, file, 0)
        };
        match NonNull::new(start) {
            Some(there) if start != libc::MAP_FAILED => Ok(Self {
                start: there.cast(),
                len,
            }),
            _ => Err(Error::last_os_error()),
        }
    }

    /// Where it begins: at a page.
    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: a mapping of ours, to which nobody has a reference.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
