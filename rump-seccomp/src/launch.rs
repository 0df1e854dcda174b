//! Starting a program under the filter.
//!
//! The child installs the filter on itself, so it cannot hand the listener over by a call
//! that the filter stops. It leaves the listener's number in a page that both share, closes
//! a pipe to say so, and waits with `poll(2)` until this side has fetched it.
#![allow(unsafe_code)]

use crate::filter;
use crate::listener::owned;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe2};
use std::ffi::{CString, OsStr};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, Ordering};

/// What the child tells. Each is 0 until it has something to say.
#[repr(C)]
struct Page {
    /// The listener's number, plus one.
    listener: AtomicI32,
    /// Whether calls that were received are undisturbed by signals.
    undisturbed: AtomicI32,
    /// The errno of what failed: of `seccomp(2)` while there is no listener, else of
    /// `execve(2)`.
    errno: AtomicI32,
}

/// A page that a child shares.
struct Told(NonNull<Page>);

// SAFETY: a page of atomics that is this one's own.
unsafe impl Send for Told {}
// SAFETY: as above.
unsafe impl Sync for Told {}

impl Told {
    fn new() -> io::Result<Self> {
        let size = NonZeroUsize::new(size_of::<Page>()).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new memory, of which zeroes are a value of `Page`.
        let page = unsafe { mmap_anonymous(None, size, access, MapFlags::MAP_SHARED)? };
        Ok(Self(page.cast()))
    }

    fn page(&self) -> &Page {
        // SAFETY: mapped until `self` is dropped; atomics may change under a reference.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // SAFETY: mapped with that size, and nobody refers to it any more.
        let _ = unsafe { munmap(self.0.cast(), size_of::<Page>()) };
    }
}

/// A program that was started. Dropping it does not end the program.
pub struct Child {
    pid: Pid,
    told: Told,
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Child").field(&self.pid).finish()
    }
}

impl Child {
    /// Its process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Ends it at once, and waits for that.
    pub(crate) fn kill(&self) {
        kill(self.pid);
    }

    /// Why the program could not be executed, once the child has ended.
    pub fn exec_error(&self) -> Option<io::Error> {
        match self.told.page().errno.load(Ordering::Acquire) {
            0 => None,
            errno => Some(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Forks, and has the child become this program under the filter: the child, and the
/// listener of the filter.
pub(crate) fn launch(program: &OsStr, arguments: &[&OsStr]) -> io::Result<(Child, OwnedFd)> {
    let text = |text: &OsStr| CString::new(text.as_bytes());
    let path = text(program)?;
    let mut vector = vec![path.clone()];
    for argument in arguments {
        vector.push(text(argument)?);
    }
    let mut pointers: Vec<_> = vector.iter().map(|one| one.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let filter = filter::program();
    let told = Told::new()?;
    let (said, saying) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let (waiting, fetched) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    // SAFETY: the child makes system calls with what was prepared above, and nothing else,
    // until it executes the program or ends.
    let pid = match unsafe { fork()? } {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let pipes = [&saying, &waiting, &fetched].map(AsRawFd::as_raw_fd);
            // SAFETY: this is the child; the pointers are those of `vector`, and a null.
            unsafe { become_program(&filter, told.page(), pipes, &path, &pointers) }
        }
    };
    drop(saying);
    drop(waiting);
    // Ends when the child has closed it, or has ended itself.
    let mut nothing = [0];
    while nix::unistd::read(&said, &mut nothing) == Err(nix::errno::Errno::EINTR) {}
    let page = told.page();
    let listener = match page.listener.load(Ordering::Acquire) {
        0 => Err(refused(page.errno.load(Ordering::Acquire))),
        number => fetch(pid, number - 1),
    };
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => {
            kill(pid);
            return Err(error);
        }
    };
    if page.undisturbed.load(Ordering::Acquire) == 0 {
        tracing::warn!("this Linux (before 5.19) lets signals undo calls that are answered");
    }
    drop(fetched);
    Ok((Child { pid, told }, listener))
}

/// Why there is no filter.
fn refused(errno: i32) -> io::Error {
    let why = match errno {
        0 => "the child ended",
        libc::EBUSY => "this process is itself run by one that answers its system calls",
        libc::EINVAL | libc::ENOSYS => "this Linux has no user notification (5.9 has)",
        _ => "the filter was refused",
    };
    let error = io::Error::from_raw_os_error(errno);
    io::Error::new(error.kind(), format!("seccomp(2): {why}: {error}"))
}

/// Ends a child that may have ended itself.
fn kill(pid: Pid) {
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL);
    while waitpid(pid, None) == Err(nix::errno::Errno::EINTR) {}
}

fn fetch(pid: Pid, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: numbers.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: numbers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })
}

/// What the child does.
///
/// # Safety
/// In a child of `fork(2)`; the pointers end with null, and are strings.
unsafe fn become_program(
    filter: &[libc::sock_filter],
    page: &Page,
    [saying, waiting, fetched]: [RawFd; 3],
    path: &CString,
    arguments: &[*const libc::c_char],
) -> ! {
    let errno = || {
        // SAFETY: always valid in this thread.
        unsafe { *libc::__errno_location() }
    };
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: system calls with numbers, and pointers to what outlives them. The mask is
    // emptied: the runner's own is for its threads.
    unsafe {
        // Held by the other side alone, so that it hangs up.
        libc::close(fetched);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let install = |flags: libc::c_ulong| {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
                &raw const program,
            )
        };
        let mut listener = install(libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
        if listener >= 0 {
            page.undisturbed.store(1, Ordering::Release);
        } else if errno() == libc::EINVAL {
            listener = install(0);
        }
        if listener < 0 {
            page.errno.store(errno(), Ordering::Release);
            libc::_exit(127);
        }
        page.listener.store(listener as i32 + 1, Ordering::Release);
        libc::close(saying);
        let mut entry = libc::pollfd {
            fd: waiting,
            events: 0,
            revents: 0,
        };
        while libc::poll(&raw mut entry, 1, -1) < 0 {}
        libc::execvp(path.as_ptr(), arguments.as_ptr());
        page.errno.store(errno(), Ordering::Release);
        libc::_exit(127)
    }
}
