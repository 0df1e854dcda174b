//! What `epoll(7)` waits for.

use super::{Description, KernelFd};
use crate::errno::Errno;
use crate::host::Watched;
use crate::kernel::{Answer, Kernel, change};
use crate::lock::{Mutex, Once};
use crate::still::Lock;
use crate::wait::Doorbell;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use rump_abi as abi;

/// The key of an instance's own doorbell in the kqueue.
pub(crate) const BELL: u64 = 0;
/// That of the doorbells of threads.
pub(crate) const CALLER: u64 = u64::MAX;

pub(crate) struct Epoll {
    pub(crate) kq: KernelFd,
    /// Rung when something changes that the kernel knows nothing of.
    pub(crate) bell: Arc<Doorbell>,
    /// By which signals wake threads that wait.
    callers: Mutex<Callers>,
    /// Members that are the host's.
    pub(crate) watched: Once<Box<dyn Watched>>,
    /// The other members.
    pub(crate) interests: Mutex<Interests>,
    /// Held while the kqueue is told of a change, so that changes come there in their order.
    pub(crate) changing: Mutex<()>,
    /// Where the kernel puts events, for whoever waits next.
    pub(crate) room: Mutex<Option<Vec<abi::kevent>>>,
    /// Who is taken from first by the next wait.
    next: Mutex<First>,
}

impl Epoll {
    pub(crate) fn new(kernel: &Arc<dyn Kernel>) -> Answer<Self> {
        let kq = KernelFd::new(kernel, kernel.kqueue()?);
        let bell = doorbell(&kq, BELL)?;
        Ok(Self {
            kq,
            bell,
            callers: Mutex::default(),
            watched: Once::new(),
            interests: Mutex::default(),
            changing: Mutex::default(),
            room: Mutex::default(),
            next: Mutex::default(),
        })
    }

    /// Its locks but that of changes.
    pub(crate) fn locks(&self) -> [&dyn Lock; 4] {
        [&self.interests, &self.callers, &self.room, &self.next]
    }

    /// A doorbell for a thread that is about to wait.
    pub(crate) fn caller(&self) -> Answer<Arc<Doorbell>> {
        let spare = self.callers.lock().spare.pop();
        let caller = spare.map_or_else(|| doorbell(&self.kq, CALLER), Ok)?;
        self.callers.lock().waiting.push(caller.clone());
        Ok(caller)
    }

    /// The thread waits no more.
    pub(crate) fn left(&self, caller: Arc<Doorbell>) {
        let mut callers = self.callers.lock();
        callers.waiting.retain(|other| !Arc::ptr_eq(other, &caller));
        // One that somebody still holds might ring for what is over.
        if Arc::strong_count(&caller) == 1 {
            drop(callers);
            caller.silence();
            callers = self.callers.lock();
            callers.spare.push(caller);
        }
    }

    /// A thread was called, which may have been another than the one that is told of it.
    pub(crate) fn call(&self, bell: i32) {
        let waiting = self.callers.lock().waiting.clone();
        let called = waiting.iter().find(|caller| caller.read == bell);
        if let Some(called) = called {
            called.ring_again();
        }
    }

    /// A thread leaves with what may be there for others, or has heard what they have not: the
    /// kernel wakes only one.
    pub(crate) fn pass_on(&self) {
        if !self.callers.lock().waiting.is_empty() {
            self.bell.ring();
        }
    }

    /// Whether there are members that are looked at each time.
    pub(crate) fn asks(&self) -> bool {
        !self.interests.lock().asked.is_empty()
    }

    /// The room for events was filled, so that the next wait takes from others first.
    pub(crate) fn set_next(&self, first: First) {
        *self.next.lock() = first;
    }

    pub(crate) fn take_next(&self) -> First {
        core::mem::take(&mut self.next.lock())
    }

    /// The members that the kernel cannot tell all about: they are looked at each time.
    pub(crate) fn asked(&self) -> Vec<(u64, Interest)> {
        let interests = self.interests.lock();
        let asked = interests.asked.iter();
        asked
            .filter_map(|key| Some((*key, interests.by_key.get(key)?.clone())))
            .collect()
    }
}

/// Doorbells of threads, in the kqueue under the key [`CALLER`].
#[derive(Default)]
struct Callers {
    waiting: Vec<Arc<Doorbell>>,
    spare: Vec<Arc<Doorbell>>,
}

/// From whom events are taken first. When they fill the room, the next wait begins with those
/// after them, so that everybody has a turn.
#[derive(Default)]
pub(crate) enum First {
    /// Members that are looked at each time.
    #[default]
    Asked,
    /// Those of the host.
    Hosts,
    /// Those that the kernel tells of.
    Kernels,
}

fn doorbell(kq: &KernelFd, key: u64) -> Answer<Arc<Doorbell>> {
    let bell = Doorbell::new(&kq.kernel)?;
    // Each ring makes it active anew, which wakes all who wait.
    let flags = abi::EV_ADD | abi::EV_CLEAR;
    let add = change(bell.read, abi::EVFILT_READ, flags, key);
    kq.kernel.kevent(kq.number, &[add], &mut [], None)?;
    Ok(bell)
}

/// A member, and what is asked of it.
#[derive(Clone)]
pub(crate) struct Interest {
    pub(crate) target: Weak<Description>,
    pub(crate) events: u32,
    pub(crate) data: u64,
    /// A one-shot that was reported.
    pub(crate) spent: bool,
    /// The last change that was reported, of an object whose edges are counted.
    pub(crate) seen: u64,
}

/// Interests by key: the number of the descriptor, and a serial number. Each change of an
/// interest gives it a new key, so that an event of before does not count for it.
#[derive(Default)]
pub(crate) struct Interests {
    last: u32,
    by_key: BTreeMap<u64, Interest>,
    /// The keys of those that are looked at each time.
    asked: Vec<u64>,
}

impl Interests {
    /// All with their keys.
    pub(crate) fn all(&self) -> Vec<(u64, Interest)> {
        let all = self.by_key.iter();
        all.map(|(key, interest)| (*key, interest.clone()))
            .collect()
    }

    pub(crate) fn get(&mut self, key: u64) -> Option<&mut Interest> {
        self.by_key.get_mut(&key)
    }

    /// The interest in a descriptor. What was closed under its number is forgotten.
    pub(crate) fn find(&mut self, fd: i32, one: &Arc<Description>) -> Option<(u64, Interest)> {
        let first = (fd as u64) << 32;
        let (mut found, mut closed) = (None, Vec::new());
        for (key, interest) in self.by_key.range(first..=first | u64::from(u32::MAX)) {
            if interest.target.as_ptr() == Arc::as_ptr(one) {
                found = Some((*key, interest.clone()));
            } else if interest.target.strong_count() == 0 {
                closed.push(*key);
            }
        }
        closed.iter().for_each(|key| self.remove(*key));
        found
    }

    pub(crate) fn insert(&mut self, fd: i32, one: &Arc<Description>, interest: Interest) -> u64 {
        // Never 0, which stands for doorbells.
        self.last = self.last.wrapping_add(1).max(1);
        let key = (fd as u64) << 32 | u64::from(self.last);
        self.by_key.insert(key, interest);
        if one.is_asked() {
            self.asked.push(key);
        }
        key
    }

    /// One of those that are looked at was told of: it comes last now.
    pub(crate) fn told(&mut self, key: u64) {
        if let Some(at) = self.asked.iter().position(|other| *other == key) {
            let key = self.asked.remove(at);
            self.asked.push(key);
        }
    }

    pub(crate) fn remove(&mut self, key: u64) {
        self.by_key.remove(&key);
        self.asked.retain(|other| *other != key);
    }
}

impl Epoll {
    /// The descriptions that are waited for and still open.
    pub(crate) fn members(&self) -> Vec<Arc<Description>> {
        let interests = self.interests.lock();
        let target = |interest: &Interest| match interest.spent {
            true => None,
            false => interest.target.upgrade(),
        };
        interests.by_key.values().filter_map(target).collect()
    }

    /// `epoll_ctl(2)` for a descriptor of the host's.
    pub(crate) fn watched(
        &self,
        make: impl FnOnce() -> Result<Box<dyn Watched>, Errno>,
    ) -> Result<&dyn Watched, Errno> {
        self.watched.try_call_once(make).map(|watched| &**watched)
    }
}
