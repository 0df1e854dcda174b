//! A thread in a queue, and the queue.
//!
//! A waiting thread puts a node on its own stack into the queue of the lock. It
//! is woken through the node's word alone, so a wake-up reaches exactly the
//! thread it is for, and a thread that has not gone to sleep yet is "woken"
//! without a system call.
//!
//! Life of a node: its thread enqueues it; somebody else takes it out of the
//! queue (under the queue's lock) and calls [`Waiter::wake`], after which the
//! node may vanish at any time; or its thread takes it out itself.
#![allow(unsafe_code)]

use super::raw::RawLock;
use super::spin::{Budget, Gauge};
use crate::host::{Deadline, Host};
use crate::primitive::{AtomicPtr, AtomicU32, Ordering, UnsafeCell};
use crate::stats;
use core::ptr::null_mut;

/// Not woken; its thread is awake.
const WAITING: u32 = 0;
/// Not woken; its thread sleeps or is about to.
const PARKED: u32 = 1;
/// Woken.
const WOKEN: u32 = 2;

/// A thread that waits.
#[derive(Debug)]
pub struct Waiter {
    word: AtomicU32,
    /// The next in the queue. Belongs to whoever holds the queue's lock.
    next: UnsafeCell<*const Waiter>,
    /// For read-write locks.
    pub(super) writer: bool,
}

impl Waiter {
    /// A node that is in no queue.
    pub fn new(writer: bool) -> Self {
        Self {
            word: AtomicU32::new(WAITING),
            next: UnsafeCell::new(null_mut()),
            writer,
        }
    }

    fn is_woken(&self) -> bool {
        self.word.load(Ordering::Acquire) == WOKEN
    }

    /// Waits to be woken; false if the deadline came first.
    pub fn block<H: Host>(&self, gauge: &Gauge, deadline: Deadline) -> bool {
        if self.is_woken() || gauge.spin::<H>(Budget::EVENT, || self.is_woken()) {
            return true;
        }
        let parked =
            self.word
                .compare_exchange(WAITING, PARKED, Ordering::Acquire, Ordering::Acquire);
        if parked.is_err() {
            return true;
        }
        loop {
            stats::SLEEPS.add();
            let in_time = H::park(&self.word, PARKED, deadline);
            if self.is_woken() {
                return true;
            }
            if !in_time {
                return false;
            }
        }
    }

    /// Wakes the thread.
    ///
    /// # Safety
    /// The node is alive, has been taken out of its queue by the caller, and
    /// nobody else wakes it.
    unsafe fn wake<H: Host>(node: *const Self) {
        // SAFETY: alive by contract until the swap below makes it WOKEN; the
        // address of the word outlives it as a mere number.
        let (was, word) = unsafe {
            let word = &raw const (*node).word;
            ((*word).swap(WOKEN, Ordering::Release), word)
        };
        if was == PARKED {
            stats::WAKES.add();
            H::unpark(word, false);
        }
    }

    /// Waits for a wake-up that is certain to be under way.
    fn await_wake<H: Host>(&self) {
        while !self.is_woken() {
            H::yield_now();
        }
    }
}

/// First in, first out. The head is readable without the lock, so that "nobody
/// waits" costs one load.
#[derive(Debug)]
pub struct Queue {
    lock: RawLock,
    gauge: Gauge,
    head: AtomicPtr<Waiter>,
    tail: UnsafeCell<*const Waiter>,
}

// SAFETY: `tail`, and every node's `next`, are only touched under `lock`; nodes
// are kept alive by the threads that wait in them.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

impl Queue {
    /// An empty queue.
    pub fn new() -> Self {
        Self {
            lock: RawLock::new(),
            gauge: Gauge::new(),
            head: AtomicPtr::new(null_mut()),
            tail: UnsafeCell::new(null_mut()),
        }
    }

    /// Whether nobody waits, as far as this thread can know.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.load(Ordering::Acquire).is_null()
    }

    /// Runs `f` with the queue to itself.
    pub fn locked<H: Host, R>(&self, f: impl FnOnce(&mut Locked<'_>) -> R) -> R {
        self.lock.lock::<H>(&self.gauge);
        let result = f(&mut Locked { queue: self });
        self.lock.unlock::<H>();
        result
    }

    /// Takes a node out again after its deadline. If somebody was faster and
    /// wakes it, waits for that and returns false.
    pub fn cancel<H: Host>(&self, node: &Waiter) -> bool {
        let removed =
            self.locked::<H, _>(|queue| queue.extract(1, |other| core::ptr::eq(other, node)).len());
        if removed == 0 {
            node.await_wake::<H>();
        }
        removed == 1
    }
}

/// A queue whose lock is held.
pub struct Locked<'a> {
    queue: &'a Queue,
}

impl Locked<'_> {
    /// Appends a node, which its thread keeps alive until it is out again.
    pub fn push(&mut self, node: &Waiter) {
        node.next.with_mut(|next| {
            // SAFETY: the queue's lock is held and the node is in no queue.
            unsafe { *next = null_mut() }
        });
        self.queue.tail.with_mut(|tail| {
            // SAFETY: `tail` belongs to the holder of the lock; the node in it
            // is alive because it is in the queue.
            unsafe {
                if (*tail).is_null() {
                    let node = core::ptr::from_ref(node).cast_mut();
                    self.queue.head.store(node, Ordering::Release);
                } else {
                    (**tail).next.with_mut(|next| *next = node);
                }
                *tail = node;
            }
        });
    }

    /// Whether a waiting writer stands at the head.
    pub fn writer_first(&self) -> bool {
        let first = self.queue.head.load(Ordering::Relaxed);
        // SAFETY: nodes in the queue are alive, and none leaves it while the
        // lock is held.
        unsafe { first.as_ref() }.is_some_and(|node| node.writer)
    }

    /// Whether nobody is in the queue.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes out the first `limit` nodes that are wanted, in order.
    pub fn extract(&mut self, limit: usize, want: impl Fn(&Waiter) -> bool) -> Chain {
        let mut chain = Chain::default();
        let mut last_taken: *const Waiter = null_mut();
        let mut last_kept: *const Waiter = null_mut();
        let mut this = self.queue.head.load(Ordering::Relaxed).cast_const();
        while !this.is_null() && chain.len < limit {
            // SAFETY: nodes in the queue are alive, and their `next` belongs to
            // the holder of the queue's lock. Nodes already taken stay alive
            // until they are woken, which needs the chain.
            let node = unsafe { &*this };
            // SAFETY: as above.
            let next = node.next.with_mut(|next| unsafe { *next });
            if want(node) {
                self.unlink(last_kept, next);
                // SAFETY: as above.
                node.next.with_mut(|next| unsafe { *next = null_mut() });
                if last_taken.is_null() {
                    chain.head = this;
                } else {
                    // SAFETY: as above, for the node taken before.
                    unsafe { (*last_taken).next.with_mut(|next| *next = this) };
                }
                last_taken = this;
                chain.len += 1;
            } else {
                last_kept = this;
            }
            this = next;
        }
        chain
    }

    /// Makes `next` the successor of `before` (null: the head).
    fn unlink(&mut self, before: *const Waiter, next: *const Waiter) {
        if before.is_null() {
            self.queue.head.store(next.cast_mut(), Ordering::Release);
        } else {
            // SAFETY: in the queue, so alive; `next` belongs to the lock's holder.
            unsafe { (*before).next.with_mut(|link| *link = next) };
        }
        if next.is_null() {
            // SAFETY: `tail` belongs to the holder of the lock.
            self.queue.tail.with_mut(|tail| unsafe { *tail = before });
        }
    }
}

/// Nodes that are out of their queue and have not been woken.
#[must_use = "a node that is never woken is a thread that never runs again"]
pub struct Chain {
    head: *const Waiter,
    len: usize,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            head: null_mut(),
            len: 0,
        }
    }
}

impl Chain {
    /// How many they are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.len).unwrap_or(u32::MAX)
    }

    /// Wakes them all.
    pub fn wake<H: Host>(self) {
        let mut this = self.head;
        while !this.is_null() {
            // SAFETY: only this chain can wake its nodes, so this one is alive
            // until the second line; its successor is read before that.
            unsafe {
                let next = (*this).next.with_mut(|next| *next);
                Waiter::wake::<H>(this);
                this = next;
            }
        }
    }
}
