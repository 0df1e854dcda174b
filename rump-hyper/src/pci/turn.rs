//! Whose turn it is to wait for a vector's interrupts.
//!
//! It is the handler's own thread's, as a rule. But a thread of the program that waits for
//! what an interrupt brings, a read of a disk, would be woken by that thread, and both sleep
//! and wake for each read. Such a thread, a **guest**, can wait for the interrupts itself,
//! call the handler and go on with what it has read, and for a moment look for that before the
//! device interrupts at all:
//!
//! - The vector is one thread's at a time ([`Turn`]), which is why a handler never runs twice.
//! - The own thread lets it go when one guest alone has come [`OFTEN`] times in a row. It looks
//!   every [`GRACE`] whether guests still come, and takes it back if none has.
//! - A guest that finds another there sleeps as it always did, and is told of by the handler,
//!   on whose thread its visit ends: while there is one, somebody waits for the vector.
//!   Whoever leaves while such a one waits gives the vector back to its own thread at once.
//! - A guest that stays for longer than [`GRACE`] has the own thread sleep meanwhile, and wakes
//!   it when it leaves.
//!
//! Weak: what comes between a guest's leaving and the own thread's next look, for somebody who
//! waits inside the kernel (a file system), waits for up to two [`GRACE`]s.

use crate::host::{Clock, Host};
use crate::primitive::{AtomicU32, Ordering};
use core::time::Duration;

/// How often a guest must have come alone before it is let in.
pub const OFTEN: u32 = if cfg!(loom) { 1 } else { 4 };
/// How long nobody looks after a vector at most, twice.
pub const GRACE: Duration = Duration::from_millis(1);

/// The own thread waits.
const OWN: u32 = 0;
/// Nobody does; the own thread looks again soon.
const FREE: u32 = 1;
/// A guest does; the own thread looks again soon.
const GUEST: u32 = 2;
/// A guest does; the own thread sleeps until it leaves.
const ALONE: u32 = 3;

/// Whose turn it is. It begins as the own thread's.
#[derive(Debug)]
pub struct Turn {
    state: AtomicU32,
    /// Guests that wait for what the vector brings, whoever waits for the vector.
    guests: AtomicU32,
    /// How often one has come alone and was not let in, in a row.
    asked: AtomicU32,
    /// How often a guest was let in.
    visits: AtomicU32,
    /// What the own thread sleeps on; another number is to wake it.
    bell: AtomicU32,
}

impl Default for Turn {
    fn default() -> Self {
        Self::new()
    }
}

impl Turn {
    /// The own thread's.
    pub fn new() -> Self {
        Self {
            state: AtomicU32::new(OWN),
            guests: AtomicU32::new(0),
            asked: AtomicU32::new(0),
            visits: AtomicU32::new(0),
            bell: AtomicU32::new(0),
        }
    }

    fn become_own(&self, from: u32) -> bool {
        let result = self
            .state
            .compare_exchange(from, OWN, Ordering::SeqCst, Ordering::SeqCst);
        result.is_ok()
    }

    fn ring<H: Host>(&self) {
        self.bell.fetch_add(1, Ordering::SeqCst);
        H::unpark(&raw const self.bell, false);
    }

    /// On the own thread, whose turn it is: lets guests have theirs if they have asked for
    /// it often enough, and returns when it is the own thread's turn again.
    pub fn pass<H: Host>(&self) {
        if self.asked.load(Ordering::Relaxed) < OFTEN {
            return;
        }
        self.asked.store(0, Ordering::Relaxed);
        self.state.store(FREE, Ordering::SeqCst);
        // One that has come before that sleeps, and counts on this thread.
        if self.guests.load(Ordering::SeqCst) > 0 && self.become_own(FREE) {
            return;
        }
        let mut seen = None;
        loop {
            let bell = self.bell.load(Ordering::SeqCst);
            let state = self.state.load(Ordering::SeqCst);
            let visits = self.visits.load(Ordering::SeqCst);
            let stale = seen.replace(visits) == Some(visits);
            let asleep = match state {
                OWN => return,
                FREE if stale => {
                    if self.become_own(FREE) {
                        return;
                    }
                    continue;
                }
                GUEST if stale => {
                    let slept = self.state.compare_exchange(
                        GUEST,
                        ALONE,
                        Ordering::SeqCst,
                        Ordering::SeqCst,
                    );
                    if slept.is_err() {
                        continue;
                    }
                    true
                }
                state => state == ALONE,
            };
            let deadline = (!asleep).then(|| H::now(Clock::Monotonic) + GRACE);
            H::park(&self.bell, bell, deadline);
            if asleep {
                // The guest may come again, as it was there for a long time.
                seen = None;
            }
        }
    }

    /// A thread waits for what the vector brings from now on, until [`leave`](Self::leave);
    /// whether it is its turn to wait for the vector.
    pub fn come(&self) -> bool {
        if self.guests.fetch_add(1, Ordering::SeqCst) > 0 {
            self.asked.store(0, Ordering::Relaxed);
            return false;
        }
        let taken = self
            .state
            .compare_exchange(FREE, GUEST, Ordering::SeqCst, Ordering::SeqCst);
        if taken.is_ok() {
            self.visits.fetch_add(1, Ordering::SeqCst);
            return true;
        }
        if taken == Err(OWN) {
            // More than is needed does no harm.
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
        false
    }

    /// Undoes [`come`](Self::come), which returned `turn`. With `back`, the own thread has its
    /// turn at once.
    pub fn leave<H: Host>(&self, turn: bool, back: bool) {
        if !turn {
            self.guests.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        let asleep = self.state.swap(FREE, Ordering::SeqCst) == ALONE;
        let others = self.guests.fetch_sub(1, Ordering::SeqCst) > 1;
        let given = (others || back) && self.become_own(FREE);
        if asleep || given {
            self.ring::<H>();
        }
    }
}
