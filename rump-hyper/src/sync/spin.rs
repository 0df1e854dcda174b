//! Spinning before sleeping, politely and only where it pays.
//!
//! To sleep and be woken costs several microseconds, and tens of them where the
//! CPU went idle meanwhile (in a virtual machine that is an interrupt from one
//! virtual CPU to another). A round trip over the kernel's loopback is four
//! such hand-offs. A thread that spins takes one over in a fraction of that. But
//! a spinner must not take time from the very thread it waits for, when there
//! are more busy threads than CPUs. So:
//!
//! - A spinner **yields** after each microsecond. If another thread wants the
//!   CPU, it gets it, and the spin becomes a cheap way of taking turns on a CPU
//!   that never goes idle; if none does, the yield returns at once. Measured on
//!   two host CPUs, this is worth a factor of three to five in loopback
//!   throughput over sleeping, and plain spinning is worth little.
//! - If a yield takes so long that a thread with work of its own must have got
//!   the CPU, nobody spins for a while: one who yields queues behind such a
//!   thread for a whole time slice, one who sleeps and is woken is preferred.
//! - It gives up after so many turns of its own, and in any case after `WALL`,
//!   so that an idle kernel does not burn CPU and a busy host is not polled.
//! - Each lock and condition variable keeps a **score** of how its last spins
//!   went and sleeps at once when they were in vain, but for a try now and then.
//! - The number of spinners is limited, and a host with one CPU never spins.
//!
//! Known weakness: the budgets are constants, found on one machine. They are
//! measured in time rather than turns of a loop, which makes them travel better.

use crate::host::{Clock, Host};
use crate::primitive::spin_loop;
use crate::stats;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

/// Threads that spin at this moment.
static SPINNING: AtomicU32 = AtomicU32::new(0);

/// Highest score.
const BEST: u32 = 64;
/// What a spin in time adds.
const REWARD: u32 = 8;
/// Below this score only one wait in [`RETRY`] spins.
const WORTHWHILE: u32 = 24;
/// How often an unpromising lock is tried again.
const RETRY: u32 = 32;

/// How long a spinner stays at most, other threads' turns included.
const WALL: Duration = Duration::from_micros(200);

/// A yield that takes longer than this went to another thread.
const SWITCH: Duration = Duration::from_nanos(900);

/// A yield that takes longer than this went to a thread that has better to do
/// than to take turns.
const LONG_TURN: Duration = Duration::from_micros(1500);

/// For how long nobody spins after that, at least and at most, in nanoseconds.
const SUSPENSION: (u64, u64) = (10_000_000, 320_000_000);

/// How many microseconds of its own time a spinner spends at most.
#[derive(Clone, Copy, Debug)]
pub struct Budget(u32);

impl Budget {
    /// Whoever holds a mutex is expected to let go soon.
    pub const MUTEX: Self = Self(20);
    /// An event takes longer to come than a lock.
    pub const EVENT: Self = Self(50);
    /// A frame, which another process has to be given a CPU for first. Of 50 and 150 the latter
    /// halved what a network server adds to a round trip, and lost nothing elsewhere.
    pub const FRAME: Self = Self(150);
    /// With a virtual CPU in hand, which others may want, and perhaps just the
    /// thread that is waited for. Never yields.
    const WITH_CPU: Self = Self(4);
}

/// The record of one lock: score in the low half, a counter of waits above it.
#[derive(Debug)]
pub struct Gauge(AtomicU32);

impl Default for Gauge {
    fn default() -> Self {
        Self::new()
    }
}

impl Gauge {
    /// A lock that nobody has waited for yet.
    pub const fn new() -> Self {
        Self(AtomicU32::new(BEST / 2))
    }

    /// The score, and how to store the next one. The record is a heuristic:
    /// updates that threads take from one another do no harm.
    fn score(&self) -> (u32, bool) {
        let record = self.0.load(Ordering::Relaxed);
        let (score, waits) = (record & 0xffff, record >> 16);
        (score, score >= WORTHWHILE || waits.is_multiple_of(RETRY))
    }

    fn record(&self, score: u32) {
        let waits = (self.0.load(Ordering::Relaxed) >> 16).wrapping_add(1);
        self.0.store(score | (waits << 16), Ordering::Relaxed);
    }

    /// Spins until `done`, if that looks worthwhile. Returns whether it was
    /// done in time. The caller holds no virtual CPU, or must not give it up.
    pub fn spin<H: Host>(&self, budget: Budget, done: impl Fn() -> bool) -> bool {
        let Some((turn, score)) = self.worthwhile::<H>() else {
            return false;
        };
        if SPINNING.fetch_add(1, Ordering::Relaxed) >= H::spinners() {
            SPINNING.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let came = spin_politely::<H>(turn, budget, done);
        SPINNING.fetch_sub(1, Ordering::Relaxed);
        self.spun(score, came)
    }

    /// As [`spin`](Self::spin), for the one thread that takes what comes from another process: it
    /// is no part of the number of spinners, so that it looks for a frame while another thread
    /// looks for what becomes of the one before.
    pub fn watch<H: Host>(&self, budget: Budget, done: impl Fn() -> bool) -> bool {
        let Some((turn, score)) = self.worthwhile::<H>() else {
            return false;
        };
        let came = spin_politely::<H>(turn, budget, done);
        self.spun(score, came)
    }

    /// The turns of a microsecond and the score, if it looks worthwhile to spin.
    fn worthwhile<H: Host>(&self) -> Option<(u32, u32)> {
        let turn = H::spins_per_microsecond();
        if turn == 0 {
            return None;
        }
        let (score, worthwhile) = self.score();
        if !worthwhile {
            self.record(score);
            return None;
        }
        Some((turn, score))
    }

    /// As [`spin`](Self::spin), for what is looked for by a call that takes its time.
    pub fn poll<H: Host>(&self, limit: Duration, mut done: impl FnMut() -> bool) -> bool {
        let (score, worthwhile) = self.score();
        let mut now = H::now(Clock::Monotonic);
        if H::spins_per_microsecond() == 0 || !worthwhile || !POLITENESS.pays(now) {
            self.record(score);
            return false;
        }
        if SPINNING.fetch_add(1, Ordering::Relaxed) >= H::spinners() {
            SPINNING.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let end = now.saturating_add(limit);
        let came = loop {
            if done() {
                break true;
            }
            let before = H::now(Clock::Monotonic);
            if before >= end {
                break false;
            }
            H::yield_now();
            now = H::now(Clock::Monotonic);
            if now.saturating_sub(before) > LONG_TURN {
                POLITENESS.suspend(now);
                break done();
            }
        };
        SPINNING.fetch_sub(1, Ordering::Relaxed);
        self.spun(score, came)
    }

    /// Notes what a spin has come to.
    fn spun(&self, score: u32, came: bool) -> bool {
        if came {
            stats::SPIN_HITS.add();
            self.record((score + REWARD).min(BEST));
        } else {
            stats::SPIN_MISSES.add();
            self.record(score - score / 4);
        }
        came
    }
}

fn spin_politely<H: Host>(turn: u32, budget: Budget, done: impl Fn() -> bool) -> bool {
    let mut now = H::now(Clock::Monotonic);
    if !POLITENESS.pays(now) {
        return false;
    }
    let end = now.saturating_add(WALL);
    let mut mine = budget.0;
    let mut shared = false;
    loop {
        // Alone on the CPU, spin; in company, look once and pass it on.
        if spin_turns(if shared { 1 } else { turn }, &done) {
            return true;
        }
        let before = if shared {
            now
        } else {
            H::now(Clock::Monotonic)
        };
        H::yield_now();
        now = H::now(Clock::Monotonic);
        let away = now.saturating_sub(before);
        if away > LONG_TURN {
            POLITENESS.suspend(now);
            return done();
        }
        if done() {
            return true;
        }
        shared = away > SWITCH;
        if !shared {
            mine -= 1;
        }
        if mine == 0 || now >= end {
            return false;
        }
    }
}

/// Whether yielding is a good idea at present, for all threads.
struct Politeness {
    /// Nanoseconds on the monotonic clock.
    suspended_until: AtomicU64,
    /// How long the last suspension was.
    suspension: AtomicU64,
}

static POLITENESS: Politeness = Politeness {
    suspended_until: AtomicU64::new(0),
    suspension: AtomicU64::new(0),
};

impl Politeness {
    fn nanoseconds(time: Duration) -> u64 {
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }

    fn pays(&self, now: Duration) -> bool {
        Self::nanoseconds(now) >= self.suspended_until.load(Ordering::Relaxed)
    }

    /// Somebody took a long turn: suspend, and for longer if that follows
    /// shortly upon the end of the last suspension.
    fn suspend(&self, now: Duration) {
        let now = Self::nanoseconds(now);
        let until = self.suspended_until.load(Ordering::Relaxed);
        if now < until {
            return;
        }
        let last = self.suspension.load(Ordering::Relaxed);
        let next = if now - until < last { last * 2 } else { 0 };
        let next = next.clamp(SUSPENSION.0, SUSPENSION.1);
        self.suspension.store(next, Ordering::Relaxed);
        self.suspended_until.store(now + next, Ordering::Relaxed);
    }
}

/// Spins for a moment with a virtual CPU in hand.
pub fn spin_with_cpu<H: Host>(done: impl Fn() -> bool) -> bool {
    spin_turns(H::spins_per_microsecond() * Budget::WITH_CPU.0, done)
}

fn spin_turns(turns: u32, done: impl Fn() -> bool) -> bool {
    for _ in 0..turns {
        if done() {
            return true;
        }
        spin_loop();
    }
    false
}
