//! The locks under real threads, with spinning, sleeping and everything.
#![cfg(all(feature = "std", not(loom)))]
#![allow(unsafe_code)]

use rump_hyper::abi::{Hyperup, mtx};
use rump_hyper::hypercall;
use rump_hyper::linux::LinuxHost as H;
use rump_hyper::sync::{Cv, Mutex, RwLock};
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

/// Rounds; fewer under Miri, which takes a thousand times longer.
const ROUNDS: usize = if cfg!(miri) { 30 } else { 20_000 };

fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: a live table; with no entry points there is nobody to call.
        let error = unsafe { hypercall::init::<H>(17, &Hyperup::default()) };
        assert_eq!(error, 0);
    });
}

struct Guarded<T> {
    mutex: Mutex,
    cv: Cv,
    data: UnsafeCell<T>,
}

// SAFETY: the data is only reached through `with` and `until`, under the mutex.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    fn new(flags: u32, data: T) -> Self {
        start();
        Self {
            mutex: Mutex::new(flags),
            cv: Cv::new(),
            data: UnsafeCell::new(data),
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.mutex.enter::<H>();
        // SAFETY: the mutex is held and `f` keeps no reference.
        let result = f(unsafe { &mut *self.data.get() });
        self.mutex.exit::<H>();
        result
    }

    /// Waits until `f` has something to say.
    fn wait_for<R>(&self, mut f: impl FnMut(&mut T) -> Option<R>) -> R {
        self.mutex.enter::<H>();
        loop {
            // SAFETY: the mutex is held and `f` keeps no reference.
            if let Some(result) = f(unsafe { &mut *self.data.get() }) {
                self.mutex.exit::<H>();
                return result;
            }
            self.cv.wait::<H>(&self.mutex);
        }
    }
}

#[test]
fn counters_add_up() {
    for flags in [mtx::SPIN, mtx::KMUTEX, mtx::SPIN | mtx::KMUTEX] {
        let guarded = Guarded::new(flags, 0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        guarded.with(|count| *count += 1);
                    }
                });
            }
        });
        assert_eq!(guarded.with(|count| *count), 4 * ROUNDS);
    }
}

#[test]
fn ping_pong() {
    for flags in [mtx::KMUTEX, mtx::SPIN | mtx::KMUTEX, mtx::SPIN] {
        let guarded = Guarded::new(flags, 0);
        thread::scope(|scope| {
            for side in 0..2 {
                let guarded = &guarded;
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        guarded.wait_for(|turn| (*turn % 2 == side).then(|| *turn += 1));
                        guarded.cv.signal::<H>();
                    }
                });
            }
        });
        assert_eq!(guarded.with(|turn| *turn), 2 * ROUNDS);
        assert_eq!(guarded.cv.waiters(), 0);
    }
}

#[test]
fn bounded_queue_loses_and_invents_nothing() {
    let full = Cv::new();
    let queue = Guarded::new(mtx::KMUTEX, VecDeque::new());
    let total = thread::scope(|scope| {
        for producer in 0..3 {
            let (queue, full) = (&queue, &full);
            scope.spawn(move || {
                for item in 0..ROUNDS {
                    queue.mutex.enter::<H>();
                    // SAFETY: the mutex is held; the wait releases it with no
                    // reference alive.
                    while unsafe { &*queue.data.get() }.len() >= 8 {
                        full.wait::<H>(&queue.mutex);
                    }
                    // SAFETY: as above.
                    unsafe { &mut *queue.data.get() }.push_back(producer * ROUNDS + item);
                    queue.cv.signal::<H>();
                    queue.mutex.exit::<H>();
                }
            });
        }
        let consumers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    (0..ROUNDS)
                        .map(|_| {
                            let item = queue.wait_for(VecDeque::pop_front);
                            full.signal::<H>();
                            item
                        })
                        .sum::<usize>()
                })
            })
            .collect();
        consumers
            .into_iter()
            .map(|consumer| consumer.join().unwrap())
            .sum::<usize>()
    });
    assert_eq!(total, (0..3 * ROUNDS).sum());
    assert!(queue.with(|queue| queue.is_empty()));
}

#[test]
fn broadcast_wakes_all() {
    let guarded = Guarded::new(mtx::SPIN, (0, false));
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| guarded.wait_for(|(_, go)| go.then_some(())));
        }
        while guarded.cv.waiters() < 6 {
            thread::yield_now();
        }
        guarded.with(|(_, go)| *go = true);
        guarded.cv.broadcast::<H>();
    });
    assert_eq!(guarded.cv.waiters(), 0);
}

#[test]
fn deadlines_pass_and_signals_come_first() {
    let guarded = Guarded::new(mtx::KMUTEX, ());
    let wait = |time| {
        guarded.mutex.enter::<H>();
        let result = guarded.cv.timed_wait::<H>(&guarded.mutex, time);
        guarded.mutex.exit::<H>();
        result.is_ok()
    };
    let begin = Instant::now();
    assert!(!wait(Duration::from_millis(20)));
    assert!(begin.elapsed() >= Duration::from_millis(20));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait(Duration::from_secs(600)));
        while guarded.cv.waiters() == 0 {
            thread::yield_now();
        }
        guarded.with(|()| guarded.cv.signal::<H>());
        assert!(waiter.join().unwrap());
    });
}

#[test]
fn deadlines_race_with_signals() {
    let guarded = Guarded::new(mtx::KMUTEX, 0_usize);
    let rounds = ROUNDS / 10;
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut woken = 0;
                    for round in 0..rounds {
                        guarded.mutex.enter::<H>();
                        let time = Duration::from_micros((round % 100) as u64);
                        woken +=
                            usize::from(guarded.cv.timed_wait::<H>(&guarded.mutex, time).is_ok());
                        guarded.mutex.exit::<H>();
                    }
                    woken
                })
            })
            .collect();
        let signaller = scope.spawn(|| {
            let mut signalled = 0;
            for _ in 0..rounds {
                guarded.mutex.enter::<H>();
                signalled += usize::from(guarded.cv.waiters() > 0);
                guarded.cv.signal::<H>();
                guarded.mutex.exit::<H>();
                thread::yield_now();
            }
            signalled
        });
        let woken: usize = waiters
            .into_iter()
            .map(|waiter| waiter.join().unwrap())
            .sum();
        // Nothing but a signal wakes anybody. The counts may differ: a waiter
        // gives up without the mutex, so one that was seen may be gone.
        assert!(woken <= signaller.join().unwrap());
    });
    assert_eq!(guarded.cv.waiters(), 0);
}

#[test]
fn writers_exclude_and_readers_share() {
    struct Pair(RwLock, UnsafeCell<(usize, usize)>);
    // SAFETY: the pair is only reached under the lock.
    unsafe impl Sync for Pair {}
    start();
    let pair = Pair(RwLock::new(), UnsafeCell::new((0, 0)));
    let pair = &pair;
    let agree = || {
        // SAFETY: the lock is held, at least for reading.
        let (one, two) = unsafe { *pair.1.get() };
        assert_eq!(one, two);
        one
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    pair.0.enter::<H>(true);
                    // SAFETY: the lock is held for writing.
                    unsafe {
                        (*pair.1.get()).0 += 1;
                        (*pair.1.get()).1 += 1;
                    }
                    let mine = agree();
                    pair.0.downgrade::<H>();
                    assert_eq!(agree(), mine, "a writer got in");
                    pair.0.exit::<H>();
                }
            });
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    pair.0.enter::<H>(false);
                    agree();
                    if pair.0.try_upgrade::<H>().is_ok() {
                        // SAFETY: the lock is held for writing.
                        unsafe {
                            (*pair.1.get()).0 += 1;
                            (*pair.1.get()).1 += 1;
                        }
                        agree();
                    }
                    pair.0.exit::<H>();
                }
            });
        }
    });
    pair.0.enter::<H>(true);
    assert!(agree() >= 2 * ROUNDS);
}
