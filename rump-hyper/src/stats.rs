//! Counters of what costs time in the hypercalls.
//!
//! Only slow paths count: an uncontended lock and a signal to nobody leave no
//! trace here.

use core::sync::atomic::{AtomicU64, Ordering};

/// One counter.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident $static:ident,)*) => {
        $(pub(crate) static $static: Counter = Counter::new();)*

        /// What has happened since the program started.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        #[repr(C)]
        pub struct Stats {
            $($(#[$doc])* pub $field: u64,)*
        }

        /// Reads all counters. They are not read at one instant.
        ///
        /// ```
        /// let before = rump_hyper::stats();
        /// // … some work for the kernel …
        /// let slept = rump_hyper::stats().sleeps - before.sleeps;
        /// assert_eq!(slept, 0);
        /// ```
        pub fn stats() -> Stats {
            Stats { $($field: $static.get(),)* }
        }
    };
}

counters! {
    /// Mutexes that were not free at once.
    mutex_contended MUTEX_CONTENDED,
    /// Mutexes for which the virtual CPU was given up.
    wrapped_sleeps WRAPPED_SLEEPS,
    /// Read-write locks that were not free at once.
    rw_contended RW_CONTENDED,
    /// Waits on condition variables that gave the virtual CPU up.
    cv_waits CV_WAITS,
    /// Waits on condition variables that kept it (the scheduler's own).
    cv_waits_nowrap CV_WAITS_NOWRAP,
    /// Times a thread went to sleep in the host.
    sleeps SLEEPS,
    /// Times a thread was woken through the host.
    wakes WAKES,
    /// Spins that saved a sleep.
    spin_hits SPIN_HITS,
    /// Spins in vain.
    spin_misses SPIN_MISSES,
}
