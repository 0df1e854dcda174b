//! A lock for data that is touched rarely and briefly: settings, the console.
//!
//! It spins, so it needs no host and its statics need no initialisation. It is
//! never held across a call to the kernel or one that may block.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// The data and its lock.
pub(crate) struct Cold<T> {
    held: AtomicBool,
    data: UnsafeCell<T>,
}

// SAFETY: the data is only reached under `held`.
unsafe impl<T: Send> Sync for Cold<T> {}

impl<T> Cold<T> {
    pub(crate) const fn new(data: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            data: UnsafeCell::new(data),
        }
    }

    /// Runs `f` with the data to itself.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        while self.held.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        let release = Release(&self.held);
        // SAFETY: `held` was taken by this thread and is released below.
        let result = f(unsafe { &mut *self.data.get() });
        drop(release);
        result
    }

    /// As [`with`](Self::with), but gives up if the lock does not become free:
    /// for the last words of a program whose other threads may be anywhere.
    pub(crate) fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        for _ in 0..1_000_000 {
            if !self.held.load(Ordering::Relaxed) && !self.held.swap(true, Ordering::Acquire) {
                let release = Release(&self.held);
                // SAFETY: as in `with`.
                let result = f(unsafe { &mut *self.data.get() });
                drop(release);
                return Some(result);
            }
            core::hint::spin_loop();
        }
        None
    }
}

struct Release<'a>(&'a AtomicBool);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
