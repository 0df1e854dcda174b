//! Threads that run at certain times whether there is something to do or not: the clocks of
//! the rump kernel, one for each virtual CPU, a hundred times a second.
//!
//! While some CPU is at work they are woken in time. While none is, they may be late
//! ([`SLACK_NS`]), and then do what they have missed at once: an idle machine that wakes up a
//! hundred times a second on each CPU costs its host several percent of one. A CPU that has
//! something to do again wakes those that are late first, so that the kernel's time is right
//! for whatever comes. What this costs is that a timer of the kernel's, such as that of a
//! delayed acknowledgement, may be so much late on a machine where nothing else happens.
//! Threads that wait for a time of their own ([`park`](super::park)) are not late.
//!
//! # How
//! A clock sets the timer of the CPU that it goes to sleep on. When that interrupts a machine
//! with nothing to do it is set anew, for later; so a CPU that is idle for shorter than a tick
//! never sets its timer for this.

use super::park;
use crate::cpu::{self, Cpu, Interrupts};
use crate::sync::Lock;
use crate::time;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How late a clock may be while there is nothing to do.
pub(super) const SLACK_NS: u64 = 250_000_000;

/// A clock that sleeps: until when, and the address of the word that it sleeps on.
struct Sleeper {
    deadline: u64,
    word: *const AtomicU32,
}

// SAFETY: the word is that of a thread that stays in `sleep` until its sleeper was taken out
// of the table and the word was set.
unsafe impl Send for Sleeper {}

static SLEEPERS: Lock<Vec<Sleeper>> = Lock::new(Vec::new());
/// The earliest of their deadlines, `u64::MAX` if there are none. Written with the lock held.
static NEXT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Sleeps until a time of the monotonic clock, or somewhat longer.
pub(crate) fn sleep(deadline: u64) {
    let word = AtomicU32::new(0);
    {
        let _off = Interrupts::off();
        if deadline <= time::monotonic_ns() {
            return;
        }
        let mut sleepers = SLEEPERS.lock();
        sleepers.push(Sleeper {
            deadline,
            word: &raw const word,
        });
        NEXT.fetch_min(deadline, Ordering::Relaxed);
        drop(sleepers);
        cpu::current().sched.timers.lock().set(deadline);
    }
    while word.load(Ordering::Acquire) == 0 {
        park(&word, 0, None);
    }
}

/// Wakes those whose time has come. Interrupts are off.
fn wake(now: u64) {
    loop {
        let mut sleepers = SLEEPERS.lock();
        let Some(at) = sleepers.iter().position(|sleeper| sleeper.deadline <= now) else {
            let next = sleepers.iter().map(|sleeper| sleeper.deadline).min();
            NEXT.store(next.unwrap_or(u64::MAX), Ordering::Relaxed);
            return;
        };
        let sleeper = sleepers.swap_remove(at);
        let address = sleeper.word.addr() as u64;
        // SAFETY: the sleeper was in the table, so that its thread waits for this.
        unsafe { &*sleeper.word }.store(1, Ordering::Release);
        drop(sleepers);
        // Of the address only; the word may be gone.
        super::unpark(address, 1);
    }
}

/// The timer of a CPU has interrupted: wakes those whose time has come, if there is something
/// to do, and tells when the timer is wanted next. Interrupts are off.
pub(super) fn tick(now: u64) -> u64 {
    let next = NEXT.load(Ordering::Relaxed);
    if next > now {
        return next;
    }
    let latest = next.saturating_add(SLACK_NS);
    if now < latest && cpu::data::all().all(is_idle) {
        return latest;
    }
    wake(now);
    NEXT.load(Ordering::Relaxed)
}

/// A CPU has something to do again: so have those that are late, and they are in time from
/// here on. Interrupts are off.
pub(super) fn resume(cpu: &Cpu) {
    let next = NEXT.load(Ordering::Relaxed);
    if next == u64::MAX {
        return;
    }
    let now = time::monotonic_ns();
    if next <= now {
        wake(now);
    } else {
        cpu.sched.timers.lock().set(next);
    }
}

fn is_idle(cpu: &'static Cpu) -> bool {
    cpu.sched.halted.load(Ordering::Relaxed) && cpu.sched.waiting.load(Ordering::Relaxed) == 0
}
