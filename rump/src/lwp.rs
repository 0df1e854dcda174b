//! Lwps: what a thread of the program is inside the kernel.
//!
//! Each thread gets an lwp of the first process at its first call, keeps it, and gives
//! it back when it ends. Whether it has one is a thread-local flag without a
//! destructor, so that the usual call costs one read of it; a second thread-local has
//! the destructor. Calls from destructors of other thread-locals, which may run later,
//! still work: the kernel then makes an lwp for the single call, as it does for any
//! thread that has none.
//!
//! [`rump_lwproc(3)`](https://man.netbsd.org/rump_lwproc.3)

use crate::kernel::{self, Down};
use crate::process::Home;
use crate::sys::control;
use std::cell::Cell;
use std::io;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// Never called the kernel.
    New,
    /// Has an lwp.
    Ready,
    /// Gave its lwp back; it is ending.
    Ending,
}

thread_local! {
    static THREAD: Cell<Thread> = const { Cell::new(Thread::New) };
    static RELEASE: Release = const { Release };
}

struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        THREAD.set(Thread::Ending);
        // The kernel's threads and locks are not in a forked child; leave it alone there.
        if !kernel::forked() {
            control::release();
        }
    }
}

/// Makes sure that this thread can call the kernel, as each call does; the thread has an lwp
/// of its own then.
///
/// # Errors
/// [`Down`].
#[inline]
pub fn enter() -> Result<(), Down> {
    if THREAD.get() == Thread::Ready && kernel::is_running() {
        Ok(())
    } else {
        enter_slowly()
    }
}

#[cold]
fn enter_slowly() -> Result<(), Down> {
    kernel::check_running()?;
    attach();
    Ok(())
}

/// Makes sure that this thread can call the kernel of this process itself.
pub(crate) fn enter_here() -> Result<(), Down> {
    kernel::check_here()?;
    attach();
    Ok(())
}

/// Gives this thread an lwp of the first process, if it never had one.
pub(crate) fn attach() {
    if THREAD.get() != Thread::New {
        return;
    }
    if kernel::is_elsewhere() {
        // Whoever works for the thread there has one.
        THREAD.set(Thread::Ready);
        return;
    }
    // Without an lwp of its own the thread is slower, not wrong.
    if control::new_lwp(Home::FIRST_PROCESS).is_ok() {
        RELEASE.with(|_| ());
        THREAD.set(Thread::Ready);
    }
}

/// Runs `work` with whatever lwp `enter` puts on this thread, which is of the process
/// `home`, and puts the one it had before back, also if `work` panics.
pub(crate) fn with<R>(
    home: Home,
    enter: impl FnOnce() -> io::Result<()>,
    work: impl FnOnce() -> R,
) -> io::Result<R> {
    struct Back(Option<control::RawLwp>, Home);
    impl Drop for Back {
        #[allow(unsafe_code)]
        fn drop(&mut self) {
            self.1.make_current();
            // In the child of a fork that `work` made there is no kernel to leave.
            if kernel::forked() {
                return;
            }
            control::release();
            // SAFETY: it was this thread's, and nobody else can have got hold of it.
            unsafe { control::switch(self.0) };
        }
    }
    enter_here()?;
    let before = control::current();
    // SAFETY: no lwp at all is always allowed.
    #[allow(unsafe_code)]
    unsafe {
        control::switch(None);
    }
    let back = Back(before, Home::current());
    enter()?;
    home.make_current();
    let result = work();
    drop(back);
    Ok(result)
}
