//! A lock of one word: free, held, or held with sleepers.

use super::spin::{Budget, Gauge, spin_with_cpu};
use crate::host::Host;
use crate::primitive::{AtomicU32, Ordering};
use crate::stats;

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and whoever lets go has to wake somebody.
const SLEEPERS: u32 = 2;

/// The lock. Knows neither owners nor virtual CPUs.
#[derive(Debug)]
pub struct RawLock {
    state: AtomicU32,
}

impl Default for RawLock {
    fn default() -> Self {
        Self::new()
    }
}

impl RawLock {
    /// A free lock.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            state: AtomicU32::new(FREE),
        }
    }

    /// A free lock.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            state: AtomicU32::new(FREE),
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> bool {
        self.state
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether somebody holds it at this moment.
    pub fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) != FREE
    }

    /// Takes the lock, sleeping if need be.
    #[inline]
    pub fn lock<H: Host>(&self, gauge: &Gauge) {
        if !self.try_lock() {
            self.lock_contended::<H>(gauge);
        }
    }

    /// Takes the lock if it is free, without disturbing whoever holds it.
    fn poll(&self) -> bool {
        self.state.load(Ordering::Relaxed) == FREE && self.try_lock()
    }

    /// Spins for the lock for a moment, with a virtual CPU in hand.
    pub fn spin_with_cpu<H: Host>(&self) -> bool {
        spin_with_cpu::<H>(|| self.poll())
    }

    #[cold]
    fn lock_contended<H: Host>(&self, gauge: &Gauge) {
        stats::MUTEX_CONTENDED.add();
        if gauge.spin::<H>(Budget::MUTEX, || self.poll()) {
            return;
        }
        // From here on the lock is taken as "with sleepers": there may be more
        // of them, and a wake-up too many is harmless, one too few is not.
        while self.state.swap(SLEEPERS, Ordering::Acquire) != FREE {
            stats::SLEEPS.add();
            H::park(&self.state, SLEEPERS, None);
        }
    }

    /// Lets go.
    #[inline]
    pub fn unlock<H: Host>(&self) {
        if self.state.swap(FREE, Ordering::Release) == SLEEPERS {
            stats::WAKES.add();
            H::unpark(&raw const self.state, false);
        }
    }
}
