//! A queue of waiting threads.
#![allow(unsafe_code)]

use super::raw::RawLock;
use super::spin::Gauge;
use super::waiter::{Chain, Waiter};
use crate::host::Host;
use crate::primitive::{AtomicPtr, Ordering, UnsafeCell};
use core::ptr::null_mut;

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
    pub fn extract(&mut self, limit: u32, want: impl Fn(&Waiter) -> bool) -> Chain {
        let mut chain = Chain::new();
        let mut last_kept: *const Waiter = null_mut();
        let mut this = self.queue.head.load(Ordering::Relaxed).cast_const();
        while !this.is_null() && chain.len() < limit {
            // SAFETY: nodes in the queue are alive, and their `next` belongs to
            // the holder of the queue's lock.
            let node = unsafe { &*this };
            // SAFETY: as above.
            let next = node.next.with_mut(|next| unsafe { *next });
            if want(node) {
                self.unlink(last_kept, next);
                // SAFETY: alive, and out of the queue as of now.
                unsafe { chain.push(this) };
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
