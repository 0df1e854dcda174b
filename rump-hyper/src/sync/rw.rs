//! The kernel's read-write locks.
//!
//! One word says who is in: a count of readers or one writer, and whether
//! anybody waits. While somebody waits, newcomers queue up, so neither side can
//! starve the other. Whoever leaves last passes the lock on directly: a writer
//! to all waiting readers, the last reader to the first waiting writer (the
//! policy of rwlock(9)); a woken thread owns the lock already and has only a
//! virtual CPU to wait for.
//!
//! Downgrading needs no wait and so no wrap. Upgrading succeeds if the caller
//! is the only reader, and else fails, as the caller has to back off anyway.

use super::queue::Queue;
use super::spin::{Gauge, spin_with_cpu};
use super::waiter::{Chain, Waiter};
use crate::abi::Lwp;
use crate::errno::Errno;
use crate::host::Host;
use crate::primitive::{AtomicPtr, AtomicU32, Ordering};
use crate::{stats, upcall};
use core::ptr::null_mut;

const WRITER: u32 = 1 << 31;
/// Somebody is in the queue.
const QUEUED: u32 = 1 << 30;
const READERS: u32 = QUEUED - 1;

/// `struct rumpuser_rw`.
#[derive(Debug)]
pub struct RwLock {
    state: AtomicU32,
    gauge: Gauge,
    queue: Queue,
    writer: AtomicPtr<Lwp>,
}

impl Default for RwLock {
    fn default() -> Self {
        Self::new()
    }
}

impl RwLock {
    /// A free lock.
    pub fn new() -> Self {
        Self {
            state: AtomicU32::new(0),
            gauge: Gauge::new(),
            queue: Queue::new(),
            writer: AtomicPtr::new(null_mut()),
        }
    }

    /// What the state becomes if a newcomer gets in.
    fn admitted(state: u32, writer: bool) -> Option<u32> {
        match (state, writer) {
            (0, true) => Some(WRITER),
            (readers, false) if readers & (WRITER | QUEUED) == 0 => Some(readers + 1),
            _ => None,
        }
    }

    fn try_acquire(&self, writer: bool) -> bool {
        self.state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |state| {
                Self::admitted(state, writer)
            })
            .is_ok()
    }

    fn set_writer<H: Host>(&self, writer: bool) {
        if writer {
            self.writer.store(H::curlwp(), Ordering::Relaxed);
        }
    }

    /// Takes the lock; sleeps without the virtual CPU.
    pub fn enter<H: Host>(&self, writer: bool) {
        if !self.try_acquire(writer) {
            self.enter_contended::<H>(writer);
        }
        self.set_writer::<H>(writer);
    }

    #[cold]
    fn enter_contended<H: Host>(&self, writer: bool) {
        stats::RW_CONTENDED.add();
        if spin_with_cpu::<H>(|| self.try_acquire(writer)) {
            return;
        }
        upcall::wrap::<H, _>(|| {
            let node = Waiter::of_rwlock(writer);
            let queued = self.queue.locked::<H, _>(|queue| {
                let settled =
                    self.state
                        .fetch_update(Ordering::Acquire, Ordering::Relaxed, |state| {
                            Some(Self::admitted(state, writer).unwrap_or(state | QUEUED))
                        });
                let (Ok(before) | Err(before)) = settled;
                let must_wait = Self::admitted(before, writer).is_none();
                if must_wait {
                    queue.push(&node);
                }
                must_wait
            });
            if queued {
                // Woken means: the lock is ours.
                node.block::<H>(&self.gauge, None);
            }
        });
    }

    /// Takes the lock if that needs no wait.
    pub fn try_enter<H: Host>(&self, writer: bool) -> Result<(), Errno> {
        if !self.try_acquire(writer) {
            return Err(Errno::BUSY);
        }
        self.set_writer::<H>(writer);
        Ok(())
    }

    /// Turns the only reader into the writer.
    pub fn try_upgrade<H: Host>(&self) -> Result<(), Errno> {
        self.state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |state| {
                (state & READERS == 1).then_some(state & QUEUED | WRITER)
            })
            .map_err(|_| Errno::BUSY)?;
        self.set_writer::<H>(true);
        Ok(())
    }

    /// Turns the writer into a reader; no other writer gets in between.
    pub fn downgrade<H: Host>(&self) {
        self.writer.store(null_mut(), Ordering::Relaxed);
        let alone = self
            .state
            .compare_exchange(WRITER, 1, Ordering::Release, Ordering::Relaxed);
        if alone.is_err() {
            self.pass_on::<H>(1, true);
        }
    }

    /// Lets go, as reader or writer, whichever the caller is.
    pub fn exit<H: Host>(&self) {
        let state = self.state.load(Ordering::Relaxed);
        if state & WRITER != 0 {
            self.writer.store(null_mut(), Ordering::Relaxed);
            let alone =
                self.state
                    .compare_exchange(WRITER, 0, Ordering::Release, Ordering::Relaxed);
            if alone.is_err() {
                self.pass_on::<H>(0, true);
            }
            return;
        }
        let left = self
            .state
            .fetch_update(Ordering::Release, Ordering::Acquire, |state| {
                debug_assert!(state & READERS != 0, "rump: exit of a free rwlock");
                // The last of several with a queue behind it passes it on.
                (state != QUEUED | 1).then(|| state - 1)
            });
        if left.is_err() {
            self.pass_on::<H>(0, false);
        }
    }

    /// Gives the lock to those in the queue. The caller is the only holder, so
    /// nobody but it changes the state. `stay` is 1 if it goes on as a reader.
    #[cold]
    fn pass_on<H: Host>(&self, stay: u32, prefer_readers: bool) {
        let next = self.queue.locked::<H, _>(|queue| {
            let mut next = Chain::new();
            let mut state = stay;
            if prefer_readers || !queue.writer_first() {
                next = queue.extract(u32::MAX, |node| !node.writer);
                state += next.len();
            }
            if state == 0 {
                next = queue.extract(1, |node| node.writer);
                state = if next.is_empty() { 0 } else { WRITER };
            }
            if !queue.is_empty() {
                state |= QUEUED;
            }
            // What the woken find is what they own: set it, then wake them.
            self.state.store(state, Ordering::Release);
            next
        });
        next.wake::<H>();
    }

    /// Whether the calling lwp is the writer.
    pub fn is_writer<H: Host>(&self) -> bool {
        self.state.load(Ordering::Relaxed) & WRITER != 0
            && self.writer.load(Ordering::Relaxed) == H::curlwp()
    }

    /// How many readers there are.
    pub fn readers(&self) -> u32 {
        self.state.load(Ordering::Relaxed) & READERS
    }
}
