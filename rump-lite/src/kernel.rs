//! The state of the kernel, and the lock that it is under.
//!
//! There is one mutex. A system call takes it when it begins and drops it when it ends;
//! a thread that has to wait sleeps on the condition variable of its lwp, which gives
//! the mutex up. What a call puts on the loopback interface is received before it
//! returns, on its own thread: a segment crosses the stack once, without a hand-over.
//!
//! It follows that nothing in here is shared: all of the kernel is plain data behind
//! `&mut`, objects refer to each other by number, and the lock order is empty.
#![allow(unsafe_code)]

use crate::boot::Settings;
use crate::file::Files;
use crate::hypercall::{self, Cv, Mutex};
use crate::kqueue::Kqueue;
use crate::lwp;
use crate::net::Stack;
use crate::net::routing::RoutingSocket;
use crate::pipe::Pipe;
use crate::process::Processes;
use crate::slab::Slab;
use crate::socket::Socket;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicPtr, Ordering};
use rump_hyper::errno::Errno;
use smoltcp::time::Instant;

/// Everything the kernel knows.
pub(crate) struct Kernel {
    pub(crate) settings: Settings,
    pub(crate) processes: Processes,
    pub(crate) files: Files,
    pub(crate) sockets: Slab<Socket>,
    pub(crate) pipes: Slab<Pipe>,
    pub(crate) kqueues: Slab<Kqueue>,
    pub(crate) routing: Slab<RoutingSocket>,
    pub(crate) net: Stack,
    /// What the console has been told to be absent.
    pub(crate) lacking: Vec<String>,
}

impl Kernel {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            processes: Processes::new(),
            files: Files::default(),
            sockets: Slab::default(),
            pipes: Slab::default(),
            kqueues: Slab::default(),
            routing: Slab::default(),
            net: Stack::new(hypercall::now(), settings.memory_limit),
            lacking: Vec::new(),
            settings,
        }
    }

    /// Notes that something is not there: on the console, for the thread to ask, and as
    /// the error given.
    pub(crate) fn lacks(&mut self, what: core::fmt::Arguments<'_>, error: Errno) -> Errno {
        let what = alloc::format!("{what}");
        hypercall::lacks(&mut self.lacking, &what);
        lwp::note_lack(what);
        error
    }
}

struct Locked {
    mutex: Mutex,
    kernel: UnsafeCell<Kernel>,
}

/// Null before boot; never freed, because a kernel lives as long as its process.
static KERNEL: AtomicPtr<Locked> = AtomicPtr::new(core::ptr::null_mut());

/// Makes `kernel` the one that [`lock`] gives. Once.
pub(crate) fn install(kernel: Kernel) {
    let locked = Box::new(Locked {
        mutex: Mutex::new(),
        kernel: UnsafeCell::new(kernel),
    });
    KERNEL.store(Box::into_raw(locked), Ordering::Release);
}

/// Takes the kernel's lock; `None` before boot.
#[inline]
pub(crate) fn lock() -> Option<Guard> {
    let locked = KERNEL.load(Ordering::Acquire);
    // SAFETY: null, or leaked by `install`.
    let locked = unsafe { locked.as_ref() }?;
    locked.mutex.enter();
    Some(Guard(locked))
}

/// The kernel, as long as the lock is held.
pub(crate) struct Guard(&'static Locked);

impl Guard {
    /// Hands what interfaces send to the host, without the lock; whether it was dropped
    /// for that.
    fn flush(&mut self) -> bool {
        let mut dropped = false;
        while self.net.outgoing {
            let Some(batch) = self.net.take_outgoing() else {
                self.net.outgoing = false;
                break;
            };
            dropped = true;
            // SAFETY: this guard stands for the lock that is held, and is borrowed whole.
            unsafe { self.0.mutex.exit() };
            batch.transmit();
            self.0.mutex.enter();
            self.net.has_sent(batch);
        }
        dropped
    }

    /// Runs something without the lock.
    pub(crate) fn unlocked<R>(&mut self, run: impl FnOnce() -> R) -> R {
        // SAFETY: this guard stands for the lock that is held, and is borrowed whole, so
        // that no reference into the kernel outlives the time without the lock.
        unsafe { self.0.mutex.exit() };
        let result = run();
        self.0.mutex.enter();
        result
    }

    /// Sleeps without the lock until the condition variable is signalled, or until
    /// then; false if that time has come. It may be woken for no reason.
    pub(crate) fn sleep(&mut self, cv: &Cv, deadline: Option<Instant>) -> bool {
        // What was waited for may have come meanwhile.
        if self.flush() {
            return true;
        }
        let time = match deadline {
            None => None,
            Some(deadline) => {
                let now = hypercall::now();
                if deadline <= now {
                    return false;
                }
                Some(deadline - now)
            }
        };
        // SAFETY: this guard stands for the lock that is held, and is borrowed whole, so
        // that no reference into the kernel outlives the time without the lock.
        unsafe { cv.wait(self.0.mutex, time) }
    }
}

impl Deref for Guard {
    type Target = Kernel;

    #[inline]
    fn deref(&self) -> &Kernel {
        // SAFETY: the lock is held as long as the guard lives.
        unsafe { &*self.0.kernel.get() }
    }
}

impl DerefMut for Guard {
    #[inline]
    fn deref_mut(&mut self) -> &mut Kernel {
        // SAFETY: as above, and the guard is borrowed exclusively.
        unsafe { &mut *self.0.kernel.get() }
    }
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        if self.net.outgoing {
            self.flush();
        }
        // SAFETY: taken by `lock`.
        unsafe { self.0.mutex.exit() };
    }
}
