//! Locks around what takes some instructions to change.
//!
//! Who finds one taken looks a little, and then lets other threads run: the holder may have
//! been interrupted, and does not go on as long as this one spins where there are no more
//! CPUs. A `no_std` crate knows nobody who could do that, so the platform says how.

use core::sync::atomic::{AtomicPtr, Ordering};
use spin::RelaxStrategy;

pub(crate) type Mutex<T> = spin::mutex::Mutex<T, Relax>;
pub(crate) type RwLock<T> = spin::rwlock::RwLock<T, Relax>;
pub(crate) type RwLockWriteGuard<'a, T> = spin::rwlock::RwLockWriteGuard<'a, T, Relax>;
pub(crate) type Once<T> = spin::once::Once<T, Relax>;

/// A `fn()`, or null.
static YIELD: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// What lets other threads run, as `sched_yield(2)` does. Without it, those who wait for a
/// lock spin.
pub fn yield_by(yield_now: fn()) {
    YIELD.store(yield_now as *mut (), Ordering::Relaxed);
}

/// Waiting for one who holds a lock.
pub(crate) struct Relax;

impl RelaxStrategy for Relax {
    #[allow(unsafe_code)]
    fn relax() {
        core::hint::spin_loop();
        let yield_now = YIELD.load(Ordering::Relaxed);
        if !yield_now.is_null() {
            // SAFETY: it was one, in `yield_by`.
            unsafe { core::mem::transmute::<*mut (), fn()>(yield_now)() };
        }
    }
}
