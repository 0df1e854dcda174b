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

use crate::error::Errno;
use crate::lwp;
use crate::sys::control::{self, RawLwp};
use crate::sys::descriptor;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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

thread_local! {
    static HOME: Cell<Home> = const { Cell::new(Home(0)) };
}

/// The processes there are, without the first: what to find them by in the kernel.
static PROCESSES: Mutex<BTreeMap<u64, i32>> = Mutex::new(BTreeMap::new());

fn processes() -> MutexGuard<'static, BTreeMap<u64, i32>> {
    PROCESSES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which process something belongs to. Not the kernel's number, which a later process
/// can get again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Home(u64);

impl Home {
    /// What the kernel calls the process that threads belong to unless they enter
    /// another. It is made at boot, and is `Home(0)`.
    pub(crate) const FIRST_PROCESS: i32 = 1;

    /// Of this thread.
    #[inline]
    pub(crate) fn current() -> Self {
        HOME.get()
    }

    /// The caller sees to the lwp.
    pub(crate) fn make_current(self) {
        HOME.set(self);
    }

    fn new(id: i32) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let home = Self(LAST.fetch_add(1, Ordering::Relaxed) + 1);
        processes().insert(home.0, id);
        home
    }

    fn end(self) {
        processes().remove(&self.0);
    }

    /// Gives this thread an lwp of the process.
    fn enter(self) -> io::Result<()> {
        if self.0 == 0 {
            return Ok(control::new_lwp(Self::FIRST_PROCESS)?);
        }
        // Locked, because a process is there for sure as long as it is in the map.
        let processes = processes();
        let id = processes.get(&self.0).ok_or(Errno::ESRCH)?;
        Ok(control::new_lwp(*id)?)
    }

    /// Runs `work` in the process, if it is there at all.
    pub(crate) fn visit(self, work: impl FnOnce()) {
        if self == Self::current() {
            return work();
        }
        // It has ended, and nothing of it is left, or nothing runs any more.
        let _ = lwp::with(self, || self.enter(), work);
    }
}

/// A process of the kernel, without descriptors at first.
///
/// It ends when this is dropped and no thread is in it any more; what it had open is
/// closed then.
#[derive(Debug)]
pub struct Process {
    id: i32,
    home: Home,
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

    /// Makes a process with copies of all descriptors that this thread's process has, by
    /// the same numbers. What the program holds goes on to stand for the originals; inside,
    /// [`OwnedDescriptor::from_raw`](crate::descriptor::OwnedDescriptor::from_raw) takes a
    /// copy over.
    ///
    /// # Errors
    /// As [`Process::new`].
    pub fn with_descriptors() -> io::Result<Self> {
        Self::fork(true)
    }

    #[allow(unsafe_code)]
    fn fork(copy: bool) -> io::Result<Self> {
        lwp::enter_here()?;
        let before = control::current();
        control::fork_process(copy)?;
        // As many as any other, whatever the kernel begins with.
        let limited = descriptor::set_limit(crate::kernel::DESCRIPTORS.unsigned_abs());
        let made = control::current().map(|keeper| {
            let id = control::getpid();
            Self {
                id,
                home: Home::new(id),
                keeper,
            }
        });
        // SAFETY: the lwp that this thread had before.
        unsafe { control::switch(before) };
        limited?;
        made.ok_or_else(|| io::Error::other("the kernel made a process without an lwp"))
    }

    /// Its number.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Runs `work` on this thread as a thread of the process. Descriptors made in it
    /// belong to the process, and work nowhere else: calls with them fail with `EBADF`
    /// outside. They can be dropped anywhere.
    ///
    /// # Errors
    /// [`kernel::Down`](crate::kernel::Down); `ENOMEM`. `work` has not run then.
    #[doc(alias = "rump_lwproc_newlwp")]
    pub fn enter<R>(&self, work: impl FnOnce() -> R) -> io::Result<R> {
        lwp::with(self.home, || self.home.enter(), work)
    }
}

impl Drop for Process {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if crate::kernel::forked() {
            return;
        }
        self.home.end();
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
