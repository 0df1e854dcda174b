//! Descriptors of a Linux process that are waited for beside those of the kernel.
//!
//! A set of them is an `epoll(7)` instance. One thread waits for all sets of the process, in
//! an instance that has theirs as members, and wakes who waits for a set when something in it
//! becomes ready.
#![allow(unsafe_code)]

use super::linux::{Owned, getpid, result};
use crate::errno::Errno;
use crate::host::{MakeWatched, Watched};
use crate::raw::general::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLLET, EPOLLIN, epoll_event};
use crate::wait::Waker;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A set.
pub(super) struct Watch {
    instance: Owned,
    key: u64,
    watcher: &'static Watcher,
}

/// All sets of a process. It stays for good; the child of a `fork(2)`, which does not have the
/// thread, makes another.
struct Watcher {
    process: i32,
    instance: Owned,
    sets: Mutex<Sets>,
}

#[derive(Default)]
struct Sets {
    last: u64,
    wakers: HashMap<u64, Waker>,
}

static WATCHER: AtomicPtr<Watcher> = AtomicPtr::new(null_mut());

fn instance() -> Result<Owned, Errno> {
    // SAFETY: a plain descriptor.
    let made = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    result(made.into()).map(|number| Owned(number as i32))
}

impl Owned {
    fn control(&self, operation: u32, fd: i32, mut event: epoll_event) -> Result<(), Errno> {
        let event = (&raw mut event).cast();
        // SAFETY: the event is borrowed, and has the layout of the C library's.
        let done = unsafe { libc::epoll_ctl(self.0, operation as i32, fd, event) };
        result(done.into()).map(drop)
    }

    fn wait(&self, events: &mut [epoll_event], timeout: i32) -> Result<usize, Errno> {
        let (start, room) = (events.as_mut_ptr().cast(), events.len());
        let room = i32::try_from(room).unwrap_or(i32::MAX);
        // SAFETY: the events are borrowed, and have the layout of the C library's.
        let count = unsafe { libc::epoll_wait(self.0, start, room, timeout) };
        result(count.into()).map(|count| count as usize)
    }
}

impl Watcher {
    /// The process's.
    fn get() -> Result<&'static Self, Errno> {
        let known = WATCHER.load(Ordering::Acquire);
        // SAFETY: null, or one that is never freed.
        if let Some(watcher) = unsafe { known.as_ref() }
            && watcher.process == getpid()
        {
            return Ok(watcher);
        }
        let new = Box::new(Self {
            process: getpid(),
            instance: instance()?,
            sets: Mutex::default(),
        });
        let new = Box::into_raw(new);
        if let Err(other) =
            WATCHER.compare_exchange(known, new, Ordering::AcqRel, Ordering::Acquire)
        {
            // SAFETY: nobody has seen the new one; the other is never freed.
            unsafe {
                drop(Box::from_raw(new));
                return Ok(&*other);
            }
        }
        // SAFETY: from here on it is never freed.
        let watcher = unsafe { &*new };
        let thread = std::thread::Builder::new().name("rump-watcher".into());
        let started = thread.spawn(|| watcher.run());
        started.map(|_| watcher).map_err(|_| Errno::EAGAIN)
    }

    fn sets(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut events = [epoll_event { events: 0, data: 0 }; 64];
        loop {
            let count = match self.instance.wait(&mut events, -1) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                // The program has closed what it did not open.
                Err(_) => return,
            };
            let woken: Vec<Waker> = {
                let sets = self.sets();
                let waker = |event: &epoll_event| sets.wakers.get(&{ event.data }).cloned();
                events[..count].iter().filter_map(waker).collect()
            };
            woken.iter().for_each(Waker::wake);
        }
    }
}

impl Watch {
    pub(super) fn new(waker: Waker) -> Result<Self, Errno> {
        Self::over(instance()?, waker)
    }

    fn over(instance: Owned, waker: Waker) -> Result<Self, Errno> {
        let watcher = Watcher::get()?;
        let key = {
            let mut sets = watcher.sets();
            sets.last += 1;
            let key = sets.last;
            sets.wakers.insert(key, waker);
            key
        };
        let watch = Self {
            instance,
            key,
            watcher,
        };
        let event = epoll_event {
            events: EPOLLIN | EPOLLET,
            data: key,
        };
        let (inner, all) = (watch.instance.0, &watcher.instance);
        all.control(EPOLL_CTL_ADD, inner, event).map(|()| watch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // In a child, the thread and its instance are the parent's.
        if self.watcher.process != getpid() {
            return;
        }
        let nothing = epoll_event { events: 0, data: 0 };
        let all = &self.watcher.instance;
        // A child may hold the instance, so that closing it is not enough.
        let _ = all.control(EPOLL_CTL_DEL, self.instance.0, nothing);
        let waker = self.watcher.sets().wakers.remove(&self.key);
        // Not under the lock: its doorbell may end with it.
        drop(waker);
    }
}

impl Watched for Watch {
    fn control(&self, operation: u32, fd: i32, event: epoll_event) -> Result<(), Errno> {
        self.instance.control(operation, fd, event)
    }

    fn ready(&self, events: &mut [epoll_event]) -> usize {
        if events.is_empty() {
            return 0;
        }
        self.instance.wait(events, 0).unwrap_or(0)
    }

    fn of_child(&self) -> Result<MakeWatched, Errno> {
        // The child's and its parent's are one, as Linux's instances are.
        // SAFETY: numbers.
        let copy = unsafe { libc::fcntl(self.instance.0, libc::F_DUPFD_CLOEXEC, 0) };
        let copy = Owned(result(copy.into())? as i32);
        Ok(Box::new(|waker| Ok(Box::new(Self::over(copy, waker)?))))
    }

    fn is_ready(&self) -> bool {
        let mut entry = libc::pollfd {
            fd: self.instance.0,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry is borrowed.
        unsafe { libc::poll(&raw mut entry, 1, 0) == 1 }
    }
}
