//! The listener of a filter: receiving notifications and answering them.
//!
//! seccomp_unotify(2)
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` of `<linux/seccomp.h>`: the one who notifies and the
/// one who is notified take turns on one CPU. Since Linux 6.6.
const SYNC_WAKE_UP: u64 = 1;

/// A system call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notification {
    /// Of this notification; never used again.
    pub(crate) id: u64,
    /// The thread that called.
    pub(crate) tid: i32,
    pub(crate) number: u32,
    pub(crate) arguments: [u64; 6],
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It returns this: a result or a negative errno.
    Return(i64),
    /// Linux makes the call, as if there were no filter.
    GoOn,
}

/// The listener of one filter.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

impl Listener {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        let listener = Self(fd);
        // SAFETY: the flags are a number.
        let set = unsafe {
            libc::ioctl(
                listener.raw(),
                libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS as _,
                SYNC_WAKE_UP,
            )
        };
        if set != 0 {
            tracing::debug!("this Linux wakes for notifications without handing over");
        }
        listener
    }

    fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Waits for the next one; `None` when all who could notify are gone.
    pub(crate) fn receive(&self) -> io::Result<Option<Notification>> {
        loop {
            // SAFETY: integers only. Linux wants it zeroed.
            let mut raw: libc::seccomp_notif = unsafe { mem::zeroed() };
            // SAFETY: one such structure is written; its size is part of the request.
            let result = unsafe {
                libc::ioctl(
                    self.raw(),
                    libc::SECCOMP_IOCTL_NOTIF_RECV as _,
                    &raw mut raw,
                )
            };
            if result == 0 {
                return Ok(Some(Notification {
                    id: raw.id,
                    tid: raw.pid as i32,
                    number: raw.data.nr as u32,
                    arguments: raw.data.args,
                }));
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                // The caller was killed before; or this thread was interrupted.
                Some(libc::ENOENT | libc::EINTR) if !self.deserted() => {}
                Some(libc::ENOENT | libc::EINTR | libc::ENOTCONN) => return Ok(None),
                _ => return Err(error),
            }
        }
    }

    /// Whether all who could notify are gone.
    fn deserted(&self) -> bool {
        let mut entry = libc::pollfd {
            fd: self.raw(),
            events: 0,
            revents: 0,
        };
        // SAFETY: one entry.
        let ready = unsafe { libc::poll(&raw mut entry, 1, 0) };
        ready == 1 && entry.revents & libc::POLLHUP != 0
    }

    /// Whether the call still waits; it does not any more when its thread was killed.
    pub(crate) fn waits(&self, id: u64) -> bool {
        // SAFETY: eight bytes are read.
        let result = unsafe {
            libc::ioctl(
                self.raw(),
                libc::SECCOMP_IOCTL_NOTIF_ID_VALID as _,
                &raw const id,
            )
        };
        result == 0
    }

    /// Ends a call. One that does not wait any more needs no answer.
    pub(crate) fn answer(&self, id: u64, answer: Answer) {
        let (val, error, flags) = match answer {
            Answer::GoOn => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
            Answer::Return(negative @ ..0) => (0, negative as i32, 0),
            Answer::Return(result) => (result, 0, 0),
        };
        let response = libc::seccomp_notif_resp {
            id,
            val,
            error,
            flags,
        };
        // SAFETY: one such structure is read; its size is part of the request.
        let result = unsafe {
            libc::ioctl(
                self.raw(),
                libc::SECCOMP_IOCTL_NOTIF_SEND as _,
                &raw const response,
            )
        };
        if result != 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::ENOENT) {
                tracing::error!(%error, "a notification could not be answered");
            }
        }
    }

    /// Gives the caller a copy of a descriptor, under the lowest number that is free.
    pub(crate) fn add(&self, id: u64, fd: BorrowedFd<'_>, close_on_exec: bool) -> io::Result<i32> {
        self.give(id, fd, 0, 0, close_on_exec)
    }

    /// Gives the caller a copy in the place of the descriptor that has this number.
    pub(crate) fn replace(
        &self,
        id: u64,
        fd: BorrowedFd<'_>,
        number: i32,
        close_on_exec: bool,
    ) -> io::Result<()> {
        let flags = libc::SECCOMP_ADDFD_FLAG_SETFD as u32;
        self.give(id, fd, number as u32, flags, close_on_exec)
            .map(drop)
    }

    fn give(
        &self,
        id: u64,
        fd: BorrowedFd<'_>,
        newfd: u32,
        flags: u32,
        close_on_exec: bool,
    ) -> io::Result<i32> {
        let newfd_flags = if close_on_exec {
            libc::O_CLOEXEC as u32
        } else {
            0
        };
        let adding = libc::seccomp_notif_addfd {
            id,
            flags,
            srcfd: fd.as_raw_fd() as u32,
            newfd,
            newfd_flags,
        };
        // SAFETY: one such structure is read; its size is part of the request.
        let number = unsafe {
            libc::ioctl(
                self.raw(),
                libc::SECCOMP_IOCTL_NOTIF_ADDFD as _,
                &raw const adding,
            )
        };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(number)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A new descriptor, or the error of the call that should have made it.
pub(crate) fn owned(returned: libc::c_long) -> io::Result<OwnedFd> {
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the callers pass on what a system call that makes a descriptor returned.
    Ok(unsafe { OwnedFd::from_raw_fd(returned as RawFd) })
}
