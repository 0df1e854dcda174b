//! A thread that waits, and a chain of threads to be woken.
//!
//! A waiting thread puts a node on its own stack into the queue of the lock. It
//! is woken through the node's word alone, so a wake-up reaches exactly the
//! thread it is for, and a thread that has not gone to sleep yet is "woken"
//! without a system call.
//!
//! Life of a node: its thread enqueues it; somebody else takes it out of the
//! queue (under the queue's lock), which makes it part of a [`Chain`], and wakes
//! that sooner or later, after which the node may vanish at any time; or its
//! thread takes it out itself.
#![allow(unsafe_code)]

use super::mutex::Mutex;
use super::spin::{Budget, Gauge};
use crate::host::{Deadline, Host};
use crate::primitive::{AtomicU32, Ordering, UnsafeCell};
use crate::stats;
use core::ptr::null;

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
    pub(super) next: UnsafeCell<*const Waiter>,
    /// For read-write locks.
    pub(super) writer: bool,
    /// For condition variables: what the thread has to take before it goes on.
    /// Null if that is of no concern to whoever wakes it.
    mutex: *const Mutex,
}

impl Waiter {
    fn new(writer: bool, mutex: *const Mutex) -> Self {
        Self {
            word: AtomicU32::new(WAITING),
            next: UnsafeCell::new(null()),
            writer,
            mutex,
        }
    }

    /// A thread that waits for a read-write lock.
    pub fn of_rwlock(writer: bool) -> Self {
        Self::new(writer, null())
    }

    /// A thread that waits for an event and then for a mutex, which lives at
    /// least until it has got it.
    pub fn of_event(mutex: &Mutex) -> Self {
        Self::new(false, mutex)
    }

    /// The mutex that the thread will want when it has been woken.
    pub fn mutex(&self) -> Option<&Mutex> {
        // SAFETY: the thread is inside a wait with that mutex, which nobody
        // destroys before the wait is over.
        unsafe { self.mutex.as_ref() }
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
        self.park::<H>(deadline)
    }

    /// Sleeps until woken or the deadline. The word says PARKED, or WOKEN.
    fn park<H: Host>(&self, deadline: Deadline) -> bool {
        while !self.is_woken() {
            stats::SLEEPS.add();
            if !H::park(&self.word, PARKED, deadline) {
                return self.is_woken();
            }
        }
        true
    }

    /// Waits for a wake-up that is certain to come, after the deadline.
    pub fn await_wake<H: Host>(&self) {
        self.park::<H>(None);
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
}

/// Nodes that are out of their queue and have not been woken.
#[derive(Debug)]
#[must_use = "a node that is never woken is a thread that never runs again"]
pub struct Chain {
    head: *const Waiter,
    tail: *const Waiter,
    len: u32,
}

// SAFETY: a chain owns its nodes until it wakes them; whose thread does that
// makes no difference.
unsafe impl Send for Chain {}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// No nodes.
    pub const fn new() -> Self {
        Self {
            head: null(),
            tail: null(),
            len: 0,
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// How many nodes there are.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Appends a node.
    ///
    /// # Safety
    /// The node is alive, in no queue and in no chain.
    pub unsafe fn push(&mut self, node: *const Waiter) {
        // SAFETY: a node in no queue belongs to whoever took it out, by
        // contract us, and so do those of this chain.
        unsafe {
            (*node).next.with_mut(|next| *next = null());
            if self.tail.is_null() {
                self.head = node;
            } else {
                (*self.tail).next.with_mut(|next| *next = node);
            }
        }
        self.tail = node;
        self.len += 1;
    }

    /// Takes the first node out; it stays alive until it is woken.
    pub fn pop(&mut self) -> Option<*const Waiter> {
        if self.head.is_null() {
            return None;
        }
        let first = self.head;
        // SAFETY: the chain's nodes are alive and belong to it.
        self.head = unsafe { (*first).next.with_mut(|next| *next) };
        if self.head.is_null() {
            self.tail = null();
        }
        self.len -= 1;
        Some(first)
    }

    /// Wakes them all.
    pub fn wake<H: Host>(mut self) {
        while let Some(node) = self.pop() {
            // SAFETY: alive until woken, and only this chain can wake it.
            unsafe { Waiter::wake::<H>(node) };
        }
    }
}
