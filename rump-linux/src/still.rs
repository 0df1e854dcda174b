//! A process as it is while nobody changes it: for a `fork(2)` that copies it in memory, locks
//! and all, and for its child, which makes its epoll instances anew.
//!
//! No thread but the one that forks is in the child. So before that all locks are taken, and
//! both sides open them afterwards; those of objects without guards, which could not be kept
//! beside what they guard.
#![allow(unsafe_code)]

use crate::errno::Errno;
use crate::lock::{Mutex, RwLockWriteGuard};
use crate::object::{Description, Epoll, Interest, Object};
use crate::process::{Entry, Process};
use crate::wait::{Doorbell, Waker};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use spin::mutex::MutexGuard;

/// A lock that is taken and opened without a guard.
pub(crate) trait Lock {
    fn close(&self);
    /// # Safety
    /// This thread, or the one that it is a copy of, has closed it.
    unsafe fn open(&self);
}

impl<T> Lock for Mutex<T> {
    fn close(&self) {
        core::mem::forget(self.lock());
    }

    unsafe fn open(&self) {
        // SAFETY: by contract.
        unsafe { self.force_unlock() }
    }
}

/// The locks of an object: one that is held while others are taken, and those.
type Locks<'a> = (Option<&'a dyn Lock>, Vec<&'a dyn Lock>);

fn locks(one: &Description) -> Locks<'_> {
    match &one.object {
        Object::Socket(socket) => (None, Vec::from([&socket.state as &dyn Lock])),
        Object::Pipe(_) => (None, Vec::new()),
        Object::Event(event) => (None, Vec::from(event.locks())),
        Object::Timer(timer) => (None, Vec::from(timer.locks())),
        Object::Netlink(netlink) => (None, Vec::from(netlink.locks())),
        Object::Epoll(epoll) => (Some(&epoll.changing), Vec::from(epoll.locks())),
    }
}

/// While this lives, no thread changes the process: for a `fork(2)` that copies it as it is
/// in memory, locks and all.
pub struct Still<'a> {
    process: &'a Process,
    descriptors: RwLockWriteGuard<'a, BTreeMap<i32, Entry>>,
    _ending: MutexGuard<'a, Vec<Arc<Description>>>,
    _pieces: MutexGuard<'a, Vec<Vec<u8>>>,
    bells: MutexGuard<'a, Vec<Arc<Doorbell>>>,
    /// Whose locks are taken.
    closed: Vec<Arc<Description>>,
}

/// What is left of an epoll instance of before a fork.
struct Left {
    old: Weak<Description>,
    /// Its numbers, and whether they are closed at `execve(2)`.
    numbers: Vec<(i32, bool)>,
    flags: u32,
    interests: Vec<(u64, Interest)>,
}

impl Process {
    /// Waits until no thread is changing the process, and lets none do so.
    pub fn still(&self) -> Still<'_> {
        let descriptors = self.descriptors.write();
        let mut closed: Vec<Arc<Description>> = Vec::new();
        for entry in descriptors.values() {
            if !closed
                .iter()
                .any(|one| Arc::ptr_eq(one, &entry.description))
            {
                closed.push(entry.description.clone());
            }
        }
        let still = Still {
            process: self,
            descriptors,
            _ending: self.ending.lock(),
            _pieces: self.pieces.lock(),
            bells: self.bells.lock(),
            closed,
        };
        let all = || still.closed.iter().map(|one| locks(one));
        all().filter_map(|(outer, _)| outer).for_each(Lock::close);
        all().flat_map(|(_, inner)| inner).for_each(Lock::close);
        still
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        self.open();
    }
}

impl Still<'_> {
    fn open(&mut self) {
        for one in self.closed.drain(..) {
            let (outer, inner) = locks(&one);
            for lock in outer.into_iter().chain(inner) {
                // SAFETY: `Process::still` has closed it, and nobody has opened it since.
                unsafe { lock.open() };
            }
        }
    }

    /// To be called in the child, once it can call the kernel: what it shares with its parent
    /// and must not is let go, and its epoll instances are made anew, as the kernel's queues
    /// are no child's.
    ///
    /// # Errors
    /// An instance could not be made, and is closed.
    pub fn in_child(&mut self) -> Result<(), Errno> {
        self.bells.clear();
        self.open();
        let mut watched = Vec::new();
        let mut left: Vec<Left> = Vec::new();
        for (number, entry) in &*self.descriptors {
            let Object::Epoll(epoll) = &entry.description.object else {
                continue;
            };
            let old = Arc::downgrade(&entry.description);
            let number = (*number, entry.close_on_exec);
            if let Some(known) = left.iter_mut().find(|one| one.old.ptr_eq(&old)) {
                known.numbers.push(number);
                continue;
            }
            let hosts = epoll.watched.get().map(|watched| watched.of_child());
            watched.push(hosts.transpose()?);
            left.push(Left {
                old,
                numbers: Vec::from([number]),
                flags: entry.description.flags(),
                interests: epoll.interests.lock().all(),
            });
        }
        // First all go: the numbers of their queues are free already.
        let numbers = left.iter().flat_map(|one| &one.numbers);
        let gone: Vec<_> = numbers
            .filter_map(|(number, _)| self.descriptors.remove(number))
            .collect();
        drop(gone);
        let mut new = Vec::new();
        for (one, watched) in left.iter().zip(watched) {
            let epoll = Epoll::new(&self.process.kernel)?;
            if let Some(make) = watched {
                epoll.watched(|| make(Waker(epoll.bell.clone())))?;
            }
            let description = Description::new(Object::Epoll(epoll), one.flags);
            for (number, close_on_exec) in &one.numbers {
                let entry = Entry {
                    description: description.clone(),
                    close_on_exec: *close_on_exec,
                };
                self.descriptors.insert(*number, entry);
            }
            new.push(description);
        }
        let made = |old: &Weak<Description>| {
            let mut both = left.iter().zip(&new);
            let found = both.find(|(one, _)| one.old.ptr_eq(old));
            found.map(|(_, new)| new.clone())
        };
        for (one, new) in left.iter().zip(&new) {
            let Object::Epoll(epoll) = &new.object else {
                continue;
            };
            for (key, interest) in &one.interests {
                let target = made(&interest.target).or_else(|| interest.target.upgrade());
                if let Some(target) = target {
                    let fd = (key >> 32) as i32;
                    let interest = Interest {
                        target: Arc::downgrade(&target),
                        ..interest.clone()
                    };
                    (self.process).adopt(epoll, fd, &target, interest, Vec::new())?;
                }
            }
        }
        Ok(())
    }
}
