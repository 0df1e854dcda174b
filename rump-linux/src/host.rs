//! What stands around: the system that the program runs on.

use crate::errno::Errno;
use crate::memory::Memory;
use crate::object::Description;
use crate::raw::general::{epoll_event, pollfd};
use crate::wait::Waker;
use alloc::boxed::Box;
use alloc::sync::Arc;

/// Which number a descriptor gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The lowest that is free and not below this.
    Lowest(i32),
    /// This one, which is free or belongs to a descriptor of the host that is closed by it.
    Exactly(i32),
}

/// The surrounding system. All numbers are Linux's.
///
/// The host owns the numbers of descriptors: one that is not in the process's table is the
/// host's own, and calls on it are passed on. So a descriptor of the kernel's needs a
/// number that the host gives to nobody else; a Linux process opens something harmless to
/// [`reserve`](Self::reserve) it, an image keeps a set of bits.
pub trait Host: Memory + Send + Sync {
    /// A system call that is not about the kernel's descriptors, with what it returns:
    /// negative errnos. A host that has no such thing answers `-ENOSYS`.
    fn call(&self, number: u32, arguments: [u64; 6]) -> i64;

    /// Takes a number for a descriptor. Not asked where there is a [`Keeper`].
    ///
    /// # Errors
    /// `EMFILE`, or `EBADF` for one that is out of range.
    fn reserve(&self, slot: Slot) -> Result<i32, Errno> {
        let _ = slot;
        Err(Errno::EMFILE)
    }

    /// Gives such a number back.
    fn release(&self, number: i32) {
        let _ = number;
    }

    /// `poll(2)` on descriptors of the host. `timeout` in nanoseconds; `None` is without
    /// end. Not asked where there is a [`Keeper`].
    ///
    /// # Errors
    /// `EINTR`.
    fn poll(&self, fds: &mut [pollfd], timeout: Option<u64>) -> Result<usize, Errno> {
        let _ = (fds, timeout);
        Err(Errno::ENOSYS)
    }

    /// A set of descriptors of the host that wakes the waker when one becomes ready. It may
    /// wake too often. Not asked where there is a [`Keeper`].
    ///
    /// # Errors
    /// `EMFILE`, `ENOMEM`…; `EPERM` from a host that has no such thing.
    fn watch(&self, waker: Waker) -> Result<Box<dyn Watched>, Errno> {
        let _ = waker;
        Err(Errno::EPERM)
    }

    /// A file of the host's that `sendfile(2)` copies from.
    ///
    /// # Errors
    /// `EBADF`; `EINVAL` from a host that has no such thing.
    fn file(&self, fd: i32) -> Result<Box<dyn File>, Errno> {
        let _ = fd;
        Err(Errno::EINVAL)
    }

    /// The time of a clock (`CLOCK_MONOTONIC`, `CLOCK_REALTIME`…) in nanoseconds.
    fn now(&self, clock: u32) -> u64;

    /// This thread is about to wait: until [`awake`](Self::awake), whoever wants to
    /// interrupt it wakes this waker. Not to be called in a signal handler.
    fn asleep(&self, waker: &Waker) {
        let _ = waker;
    }

    /// This thread waits no more; whether a signal interrupted it, which gives `EINTR`.
    fn awake(&self) -> bool {
        false
    }

    /// Sets the thread's signal mask for the time of a call (`ppoll(2)` and so on); the
    /// old one.
    fn mask(&self, mask: u64) -> u64 {
        mask
    }

    /// The program wrote to a closed connection without `MSG_NOSIGNAL`: raise `SIGPIPE`.
    fn broken_pipe(&self);
}

/// Descriptors of the host that are waited for together with the kernel's: an `epoll(7)`
/// instance of the host's.
pub trait Watched: Send + Sync {
    /// `epoll_ctl(2)`.
    ///
    /// # Errors
    /// As that: `EBADF`, `EEXIST`, `ENOENT`, `EPERM`…
    fn control(&self, operation: u32, fd: i32, event: epoll_event) -> Result<(), Errno>;

    /// Takes what is ready, as `epoll_wait(2)` that does not wait; how many events it is.
    fn ready(&self, events: &mut [epoll_event]) -> usize;

    /// Whether there is something, which stays.
    fn is_ready(&self) -> bool;

    /// In the child of a `fork(2)`: what makes the set of the same descriptors that is the
    /// child's.
    ///
    /// # Errors
    /// `EMFILE`…
    fn of_child(&self) -> Result<MakeWatched, Errno>;
}

/// Makes a set that wakes somebody else.
pub type MakeWatched = Box<dyn FnOnce(Waker) -> Result<Box<dyn Watched>, Errno>>;

/// A file of the host's, for reading.
#[allow(clippy::missing_errors_doc)]
pub trait File {
    /// `pread(2)`. What has no position answers `ESPIPE`.
    fn read_at(&self, position: u64, into: &mut [u8]) -> Result<usize, Errno>;
    /// Where `read(2)` would begin.
    fn position(&self) -> Result<u64, Errno>;
    /// Sets that.
    fn set_position(&self, position: u64) -> Result<(), Errno>;
}

/// Who knows which description a number stands for, in place of a [`Process`](crate::Process)'s
/// own table.
///
/// A runner that stands outside of its programs leaves the numbers to Linux: a placeholder in
/// the program stands for a description, and Linux duplicates, inherits, passes and closes
/// it. Such a runner routes no calls here that are about numbers alone (`close(2)`,
/// `dup(2)`, `F_DUPFD`, `F_GETFD`), and none that wait for descriptors (`poll(2)`,
/// `epoll(7)`).
pub trait Keeper: Send + Sync {
    /// What a number stands for; `None` is a descriptor of the host, or none at all.
    fn find(&self, fd: i32) -> Option<Arc<Description>>;

    /// Gives a new description a number: the lowest that is free.
    ///
    /// # Errors
    /// `EMFILE`, or another of the host's. The description is closed with its last reference.
    fn open(&self, description: Arc<Description>, close_on_exec: bool) -> Result<i32, Errno>;
}
