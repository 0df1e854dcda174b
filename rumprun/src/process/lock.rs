//! A lock that sleeps: for what takes longer than a [`sync::Lock`](crate::sync::Lock) may
//! be held, as copying to the program's memory, whose pages may have to come first.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

/// Nobody has it.
const FREE: u32 = 0;
/// Somebody has it.
const HELD: u32 = 1;
/// Somebody has it, and others may be asleep.
const CONTENDED: u32 = 2;

/// Data, and who may touch it.
#[derive(Debug, Default)]
pub struct Mutex<T> {
    word: AtomicU32,
    data: UnsafeCell<T>,
}

// SAFETY: the data is only reached by who holds the lock.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// Data that nobody holds.
    pub const fn new(data: T) -> Self {
        Self {
            word: AtomicU32::new(FREE),
            data: UnsafeCell::new(data),
        }
    }

    /// Waits for it and takes it.
    pub fn lock(&self) -> Guard<'_, T> {
        let taken = self
            .word
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_err() {
            while self.word.swap(CONTENDED, Ordering::Acquire) != FREE {
                sleep(&self.word, CONTENDED);
            }
        }
        Guard(self)
    }
}

#[cfg(not(test))]
fn sleep(word: &AtomicU32, expected: u32) {
    crate::sched::park(word, expected, None);
}

#[cfg(not(test))]
fn wake(word: &AtomicU32) {
    crate::sched::unpark(core::ptr::from_ref(word).addr() as u64, 1);
}

/// Tests run in a process of Linux's.
#[cfg(test)]
fn sleep(_: &AtomicU32, _: u32) {
    std::thread::yield_now();
}

#[cfg(test)]
fn wake(_: &AtomicU32) {}

/// The right to the data.
#[derive(Debug)]
pub struct Guard<'a, T>(&'a Mutex<T>);

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.0.data.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        if self.0.word.swap(FREE, Ordering::Release) == CONTENDED {
            wake(&self.0.word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Mutex;

    #[test]
    fn one_at_a_time() {
        let lock = Mutex::new(0);
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
    }
}
