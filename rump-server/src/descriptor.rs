//! Descriptors that calls give as numbers.
#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// One that a call has just returned, and is nobody else's.
pub(crate) fn owned(number: RawFd) -> OwnedFd {
    // SAFETY: by what callers say: accept4(2), pidfd_open(2) return new descriptors.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// One that tells when a process ends (pidfd_open(2)).
pub(crate) fn pidfd(process: i32) -> Option<OwnedFd> {
    // SAFETY: integers.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) };
    RawFd::try_from(number)
        .ok()
        .filter(|number| *number >= 0)
        .map(owned)
}
