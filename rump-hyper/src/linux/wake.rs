//! Waiting for a descriptor, until somebody says that it has been long enough.

use core::time::Duration;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io::Result;
use std::os::fd::{AsFd, BorrowedFd};

/// What ends a wait.
#[derive(Debug)]
pub(super) struct Waker(EventFd);

/// Why a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// There is something to be read, or to be heard of.
    Ready,
    /// It was woken, or interrupted, which is as good.
    Woken,
    /// It took as long as was allowed.
    Timeout,
}

impl Waker {
    pub(super) fn new() -> Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self(EventFd::from_flags(flags)?))
    }

    /// Waits until there is something to read; without a time as long as that takes.
    pub(super) fn wait(&self, fd: BorrowedFd<'_>, time: Option<Duration>) -> Waited {
        self.wait_for(&mut [in_(fd), in_(self.0.as_fd())], time)
    }

    /// Waits for one of these, of which the last is our own.
    fn wait_for(&self, all: &mut [PollFd<'_>], time: Option<Duration>) -> Waited {
        let time = time.map_or(PollTimeout::NONE, |time| {
            PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)
        });
        let result = poll(all, time);
        if all.last().is_some_and(|own| own.any() == Some(true)) {
            let _ = self.0.read();
            return Waited::Woken;
        }
        match result {
            Ok(0) => Waited::Timeout,
            Ok(_) => Waited::Ready,
            Err(_) => Waited::Woken,
        }
    }

    /// Ends a wait, also one that begins only afterwards.
    pub(super) fn wake(&self) {
        let _ = self.0.write(1);
    }
}

fn in_(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::POLLIN)
}
