//! The lock below all others.
//!
//! It is held with interrupts off, for as long as it takes to change a few words. Locks
//! that may be held longer are built on [`sched`](crate::sched)'s sleeping.
//!
//! Who waits for it answers requests of other CPUs meanwhile ([`cpu::answer`]): a CPU that
//! holds a lock may therefore wait until all others have done something, which is how a
//! page is unmapped everywhere.

use crate::cpu;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// Data, and who may touch it.
#[derive(Debug)]
pub struct Lock<T> {
    held: AtomicBool,
    data: UnsafeCell<T>,
}

// SAFETY: the data is only reached by who holds the lock.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// Data that nobody holds.
    pub const fn new(data: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            data: UnsafeCell::new(data),
        }
    }

    /// Waits for it and takes it. Interrupts are off until it is given back.
    pub fn lock(&self) -> Guard<'_, T> {
        let interrupts = cpu::Interrupts::off();
        while self.held.swap(true, Ordering::Acquire) {
            while self.held.load(Ordering::Relaxed) {
                cpu::answer();
                core::hint::spin_loop();
            }
        }
        Guard {
            lock: self,
            _interrupts: interrupts,
        }
    }

    /// Takes it if it becomes free soon: for the last words of a machine whose other CPUs
    /// may have stopped anywhere.
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        let interrupts = cpu::Interrupts::off();
        for _ in 0..100_000 {
            if !self.held.swap(true, Ordering::Acquire) {
                return Some(Guard {
                    lock: self,
                    _interrupts: interrupts,
                });
            }
            core::hint::spin_loop();
        }
        None
    }
}

/// The right to the data.
#[derive(Debug)]
pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
    // Dropped after `drop` below has given the lock back.
    _interrupts: cpu::Interrupts,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.lock.held.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;

    #[test]
    fn one_at_a_time() {
        let lock = Lock::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        *lock.lock() += 1;
                    }
                });
            }
        });
        assert_eq!(*lock.lock(), 40_000);
        let held = lock.lock();
        assert!(lock.try_lock().is_none());
        drop(held);
        assert!(lock.try_lock().is_some());
    }
}
