//! Processes of the kernel: each has its own descriptors and credentials.
//!
//! All threads of the program are in one process of the kernel to begin with, and share
//! its descriptors. A [`Process`] is a further one; a thread enters it for as long as a
//! closure runs.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !rump::kernel::available() { return Ok(()) }
//! # let kernel = rump::Kernel::builder().boot()?;
//! use rump::process::{self, Process};
//!
//! let other = Process::new()?;
//! let inside = other.enter(process::id)??;
//! assert_eq!(inside, other.id());
//! assert_ne!(process::id()?, other.id());
//! # Ok(())
//! # }
//! ```

use crate::lwp;
use crate::sys::control::{self, RawLwp};
use std::io;

/// The number of the process that this thread is in (`getpid(2)`).
///
/// # Errors
/// [`kernel::Down`](crate::kernel::Down).
#[doc(alias = "getpid")]
#[inline]
pub fn id() -> io::Result<i32> {
    lwp::enter()?;
    Ok(control::getpid())
}

/// A process of the kernel, without descriptors at first.
///
/// It ends when this is dropped and no thread is in it any more; what it had open is
/// closed then.
#[derive(Debug)]
pub struct Process {
    id: i32,
    /// Keeps the process alive; it is on no thread.
    keeper: RawLwp,
}

// SAFETY: the keeper is a token that is used in `drop` alone, which owns it (rump_lwproc(3):
// an lwp may move between threads as long as it is on one at a time).
#[allow(unsafe_code)]
unsafe impl Send for Process {}
// SAFETY: shared references only read the number.
#[allow(unsafe_code)]
unsafe impl Sync for Process {}

impl Process {
    /// Makes a process with no open descriptors.
    ///
    /// # Errors
    /// [`kernel::Down`](crate::kernel::Down); `EAGAIN` if there are too many processes.
    #[doc(alias = "rump_lwproc_rfork")]
    pub fn new() -> io::Result<Self> {
        Self::fork(false)
    }

    /// Makes a process with copies of all descriptors that this thread's process has.
    ///
    /// # Errors
    /// As [`Process::new`].
    pub fn with_descriptors() -> io::Result<Self> {
        Self::fork(true)
    }

    #[allow(unsafe_code)]
    fn fork(copy: bool) -> io::Result<Self> {
        lwp::enter()?;
        let before = control::current();
        control::fork_process(copy)?;
        let made = control::current().map(|keeper| Self { id: control::getpid(), keeper });
        // SAFETY: the lwp that this thread had before.
        unsafe { control::switch(before) };
        made.ok_or_else(|| io::Error::other("the kernel made a process without an lwp"))
    }

    /// Its number.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Runs `work` on this thread as a thread of the process. Descriptors made in it
    /// belong to the process: use and drop them inside.
    ///
    /// # Errors
    /// [`kernel::Down`](crate::kernel::Down); `ENOMEM`. `work` has not run then.
    #[doc(alias = "rump_lwproc_newlwp")]
    pub fn enter<R>(&self, work: impl FnOnce() -> R) -> io::Result<R> {
        lwp::with(|| Ok(control::new_lwp(self.id)?), work)
    }
}

impl Drop for Process {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if crate::kernel::forked() {
            return;
        }
        let before = control::current();
        // SAFETY: the keeper is on no thread, and lives until the release; then this
        // thread gets back what it had.
        unsafe {
            control::switch(Some(self.keeper));
            control::release();
            control::switch(before);
        }
    }
}
