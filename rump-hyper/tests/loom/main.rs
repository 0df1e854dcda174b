//! Models of the locks: every interleaving of a few threads.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p rump-hyper --test loom --release`.
#![cfg(loom)]
#![allow(unsafe_code)]

mod host;
mod turn;

use host::{LoomHost as H, Machine, machine, model};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use rump_hyper::abi::mtx;
use rump_hyper::sync::{Cv, Mutex, RwLock};
use std::time::Duration;

/// Data that loom watches for races.
struct Shared<T> {
    mutex: Mutex,
    cv: Cv,
    data: UnsafeCell<T>,
}

// SAFETY: that the data is only reached under the mutex is what is tested.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}

impl<T: Copy> Shared<T> {
    fn new(flags: u32, data: T) -> Arc<Self> {
        Arc::new(Self {
            mutex: Mutex::new(flags),
            cv: Cv::new(),
            data: UnsafeCell::new(data),
        })
    }

    fn get(&self) -> T {
        // SAFETY: the caller holds the mutex; loom checks it.
        self.data.with(|data| unsafe { *data })
    }

    fn set(&self, to: T) {
        // SAFETY: the caller holds the mutex; loom checks it.
        self.data.with_mut(|data| unsafe { *data = to });
    }
}

#[test]
fn mutex_excludes() {
    model(|| {
        let shared = Shared::new(mtx::SPIN, 0);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    shared.mutex.enter_nowrap::<H>();
                    shared.set(shared.get() + 1);
                    shared.mutex.exit::<H>();
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        shared.mutex.enter_nowrap::<H>();
        assert_eq!(shared.get(), 2);
    });
}

#[test]
fn three_threads_and_no_wakeup_is_lost() {
    model(|| {
        let mutex = Arc::new(Mutex::new(mtx::SPIN));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let mutex = Arc::clone(&mutex);
                thread::spawn(move || {
                    mutex.enter_nowrap::<H>();
                    mutex.exit::<H>();
                })
            })
            .collect();
        mutex.enter_nowrap::<H>();
        mutex.exit::<H>();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// An adaptive mutex and a single virtual CPU: whoever waits for one must not
/// hold the other.
#[test]
fn adaptive_mutex_on_one_virtual_cpu() {
    model(|| {
        let shared = Shared::new(mtx::KMUTEX, 0);
        let work = |shared: &Shared<i32>| {
            machine().enter();
            shared.mutex.enter::<H>();
            shared.set(shared.get() + 1);
            shared.mutex.exit::<H>();
            machine().leave();
        };
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || work(&other));
        work(&shared);
        thread.join().unwrap();
        shared.mutex.enter_nowrap::<H>();
        assert_eq!(shared.get(), 2);
    });
}

fn wait_and_signal(flags: u32, broadcast: bool) {
    model(move || {
        let shared = Shared::new(flags, false);
        let waiter = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            machine().enter();
            waiter.mutex.enter::<H>();
            while !waiter.get() {
                waiter.cv.wait::<H>(&waiter.mutex);
            }
            waiter.mutex.exit::<H>();
            machine().leave();
        });
        machine().enter();
        shared.mutex.enter::<H>();
        shared.set(true);
        if broadcast {
            shared.cv.broadcast::<H>();
        } else {
            shared.cv.signal::<H>();
        }
        shared.mutex.exit::<H>();
        // Once more, with the CPU in hand: the woken thread may have the mutex
        // by now, but must not wait for the CPU with it.
        shared.mutex.enter::<H>();
        shared.mutex.exit::<H>();
        machine().leave();
        thread.join().unwrap();
        assert_eq!(shared.cv.waiters(), 0);
    });
}

#[test]
fn wait_with_adaptive_mutex() {
    wait_and_signal(mtx::KMUTEX, false);
}

/// With the mutex taken before the virtual CPU, this deadlocks.
#[test]
fn wait_with_spin_mutex() {
    wait_and_signal(mtx::KMUTEX | mtx::SPIN, false);
    wait_and_signal(mtx::KMUTEX | mtx::SPIN, true);
}

/// The soft interrupt protocol: events are posted under the virtual CPU and
/// signalled without the mutex, which the scheduler takes as interlock.
#[test]
fn wait_with_the_schedulers_interlock() {
    model(|| {
        let event = Arc::new((AtomicBool::new(false), Cv::new()));
        let poster = Arc::clone(&event);
        let thread = thread::spawn(move || {
            machine().enter();
            poster.0.store(true, Ordering::Relaxed);
            poster.1.signal::<H>();
            machine().leave();
        });
        machine().enter();
        while !event.0.load(Ordering::Relaxed) {
            event.1.wait::<H>(machine().scheduler_mutex());
        }
        machine().leave();
        thread.join().unwrap();
    });
}

/// A deadline that passes at any moment takes no signal away from the other.
#[test]
fn deadline_against_signal() {
    model(|| {
        let shared = Shared::new(mtx::KMUTEX, false);
        let waiter = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            machine().enter();
            waiter.mutex.enter::<H>();
            if !waiter.get() {
                let _ = waiter.cv.timed_wait::<H>(&waiter.mutex, Duration::ZERO);
            }
            waiter.mutex.exit::<H>();
            machine().leave();
        });
        machine().enter();
        shared.mutex.enter::<H>();
        shared.set(true);
        shared.cv.signal::<H>();
        shared.mutex.exit::<H>();
        machine().leave();
        thread.join().unwrap();
        assert_eq!(shared.cv.waiters(), 0);
    });
}

#[test]
fn signal_wakes_one_of_two() {
    model(|| {
        let shared = Shared::new(mtx::SPIN, 0);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    shared.mutex.enter_nowrap::<H>();
                    while shared.get() == 0 {
                        shared.cv.wait_nowrap::<H>(&shared.mutex);
                    }
                    shared.set(shared.get() - 1);
                    shared.mutex.exit::<H>();
                })
            })
            .collect();
        for _ in 0..2 {
            shared.mutex.enter_nowrap::<H>();
            shared.set(shared.get() + 1);
            shared.cv.signal::<H>();
            shared.mutex.exit::<H>();
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// A read-write lock with data that loom watches.
struct Guarded {
    lock: RwLock,
    data: UnsafeCell<usize>,
}

// SAFETY: that the data is only reached under the lock is what is tested.
unsafe impl Send for Guarded {}
// SAFETY: as above.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn new() -> Arc<Self> {
        machine();
        Arc::new(Self {
            lock: RwLock::new(),
            data: UnsafeCell::new(0),
        })
    }

    fn read(&self) -> usize {
        self.lock.enter::<H>(false);
        // SAFETY: the lock is held; loom checks it.
        let value = self.data.with(|data| unsafe { *data });
        self.lock.exit::<H>();
        value
    }

    fn write(&self) {
        self.lock.enter::<H>(true);
        // SAFETY: the lock is held; loom checks it.
        self.data.with_mut(|data| unsafe { *data += 1 });
        self.lock.exit::<H>();
    }
}

#[test]
fn writer_excludes_reader_and_writer() {
    Machine::many_cpus(|| {
        let guarded = Guarded::new();
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let writer = thread::spawn(move || one.write());
        let reader = thread::spawn(move || two.read());
        guarded.write();
        writer.join().unwrap();
        assert!(reader.join().unwrap() <= 2);
        assert_eq!(guarded.read(), 2);
    });
}

#[test]
fn downgrade_lets_readers_in_and_no_writer() {
    Machine::many_cpus(|| {
        let guarded = Guarded::new();
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let writer = thread::spawn(move || one.write());
        let reader = thread::spawn(move || two.read());
        guarded.lock.enter::<H>(true);
        // SAFETY: the lock is held; loom checks it.
        let before = guarded.data.with_mut(|data| unsafe {
            *data += 1;
            *data
        });
        guarded.lock.downgrade::<H>();
        // SAFETY: as above, for reading.
        let after = guarded.data.with(|data| unsafe { *data });
        assert_eq!(before, after, "a writer got in");
        guarded.lock.exit::<H>();
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(guarded.read(), 2);
    });
}

#[test]
fn upgrade_is_exclusive() {
    Machine::many_cpus(|| {
        let guarded = Guarded::new();
        let upgraded = Arc::new(AtomicUsize::new(0));
        let (other, counter) = (Arc::clone(&guarded), Arc::clone(&upgraded));
        let try_it = |guarded: &Guarded, upgraded: &AtomicUsize| {
            guarded.lock.enter::<H>(false);
            if guarded.lock.try_upgrade::<H>().is_ok() {
                // SAFETY: the lock is held exclusively; loom checks it.
                guarded.data.with_mut(|data| unsafe { *data += 1 });
                upgraded.fetch_add(1, Ordering::Relaxed);
            }
            guarded.lock.exit::<H>();
        };
        let thread = thread::spawn(move || try_it(&other, &counter));
        try_it(&guarded, &upgraded);
        thread.join().unwrap();
        assert_eq!(guarded.read(), upgraded.load(Ordering::Relaxed));
    });
}
