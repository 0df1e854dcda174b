//! The kernel's condition variables, and the order in which a waiter lets go of
//! things and takes them back.
//!
//! A waiter has a mutex and a virtual CPU. How they come back depends on the
//! mutex:
//!
//! - **adaptive kernel mutex**: mutex, then CPU. Whoever waits for such a mutex
//!   holds no CPU (see [`Mutex::enter`]), so holding it while waiting for a CPU
//!   blocks nobody who has one.
//! - **spin kernel mutex**: CPU, then mutex. Whoever waits for it *does* hold a
//!   CPU, so a thread with the mutex must never wait for one.
//! - **spin mutex that is none of the kernel's** (the scheduler's mutex of one
//!   virtual CPU, or the big lock): mutex, then CPU, and the mutex is handed to
//!   the kernel as interlock. If it is the scheduler's mutex of the CPU in
//!   question, the kernel takes it while it releases the CPU and drops it once
//!   it has one again: nobody can get that CPU and post an event between the
//!   decision to wait and the wait itself. The big lock is taken by others
//!   without a CPU, so it may be held while waiting for one.
//!
//! A signal marks a waiter as woken and wakes its thread at the first moment at
//! which that makes sense: if the signaller holds the mutex that the waiter needs
//! next, when it lets go of that; if it is about to lose its virtual CPU (the
//! kernel signals soft interrupts then, which run on just that CPU), when the CPU
//! is free. A thread woken earlier would find what it needs taken and sleep again.
//!
//! A waiter is in the queue before it lets go of the mutex, which is what makes
//! letting go and waiting one step for those who signal under the mutex (and,
//! by the rule above, for the soft interrupts, which signal under the CPU).

use super::mutex::Mutex;
use super::queue::Queue;
use super::spin::Gauge;
use super::waiter::{Chain, Waiter};
use crate::errno::Errno;
use crate::host::{Clock, Deadline, Host};
use crate::primitive::{AtomicU32, Ordering};
use crate::{stats, upcall};
use core::time::Duration;

/// `struct rumpuser_cv`.
#[derive(Debug)]
pub struct Cv {
    queue: Queue,
    waiting: AtomicU32,
    gauge: Gauge,
}

impl Default for Cv {
    fn default() -> Self {
        Self::new()
    }
}

impl Cv {
    /// A condition variable that nobody waits for.
    pub fn new() -> Self {
        Self {
            queue: Queue::new(),
            waiting: AtomicU32::new(0),
            gauge: Gauge::new(),
        }
    }

    /// Waits without the virtual CPU.
    pub fn wait<H: Host>(&self, mutex: &Mutex) {
        let _ = self.wait_wrapped::<H>(mutex, None);
    }

    /// Waits without the virtual CPU, at most that long.
    pub fn timed_wait<H: Host>(&self, mutex: &Mutex, time: Duration) -> Result<(), Errno> {
        // Read the clock first: giving the CPU up may take a while, and that
        // time counts.
        let deadline = H::now(Clock::Monotonic).saturating_add(time);
        self.wait_wrapped::<H>(mutex, Some(deadline))
    }

    /// Waits and keeps the virtual CPU, if the caller has one.
    pub fn wait_nowrap<H: Host>(&self, mutex: &Mutex) {
        stats::CV_WAITS_NOWRAP.add();
        let _ = self.sleep::<H>(mutex, Chain::new(), None);
        mutex.enter_nowrap::<H>();
    }

    fn wait_wrapped<H: Host>(&self, mutex: &Mutex, deadline: Deadline) -> Result<(), Errno> {
        stats::CV_WAITS.add();
        let (nlocks, signalled) = upcall::backend_unschedule::<H>(Some(mutex));
        let result = self.sleep::<H>(mutex, signalled, deadline);
        if mutex.is_spin() && mutex.is_kmutex() {
            upcall::backend_schedule(nlocks, Some(mutex));
            mutex.enter::<H>();
        } else {
            mutex.enter_nowrap::<H>();
            upcall::backend_schedule(nlocks, Some(mutex));
        }
        result
    }

    /// Lets go of the mutex, wakes those whose time that is, and waits.
    fn sleep<H: Host>(
        &self,
        mutex: &Mutex,
        signalled: Chain,
        deadline: Deadline,
    ) -> Result<(), Errno> {
        let node = Waiter::of_event(mutex);
        self.queue.locked::<H, _>(|queue| {
            queue.push(&node);
            self.waiting.fetch_add(1, Ordering::Relaxed);
        });
        mutex.exit::<H>();
        signalled.wake::<H>();
        if !node.block::<H>(&self.gauge, deadline) && self.queue.cancel::<H>(&node) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::TIMEDOUT);
        }
        Ok(())
    }

    /// Wakes the thread that has waited longest.
    #[inline]
    pub fn signal<H: Host>(&self) {
        if !self.queue.is_empty() {
            self.wake::<H>(1);
        }
    }

    /// Wakes all who wait now.
    #[inline]
    pub fn broadcast<H: Host>(&self) {
        if !self.queue.is_empty() {
            self.wake::<H>(u32::MAX);
        }
    }

    #[cold]
    #[allow(unsafe_code)]
    fn wake<H: Host>(&self, limit: u32) {
        let mut signalled = self.queue.locked::<H, _>(|queue| {
            let signalled = queue.extract(limit, |_| true);
            self.waiting.fetch_sub(signalled.len(), Ordering::Relaxed);
            signalled
        });
        let mut now = Chain::new();
        while let Some(node) = signalled.pop() {
            // SAFETY: popped, so alive, ours alone, and in no chain but the one
            // it is put into.
            unsafe {
                let put_off = (*node)
                    .mutex()
                    .is_some_and(|mutex| mutex.put_off::<H>(node));
                if !put_off {
                    now.push(node);
                }
            }
        }
        upcall::wake_soon::<H>(now);
    }

    /// How many threads wait and have not been woken.
    #[inline]
    pub fn waiters(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }
}
