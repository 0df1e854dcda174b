//! Rings between two threads: ours for many beside the fetch-and-add that bounds it and beside
//! crossbeam's queue, ours for one beside rtrb's.

use crate::Outcome;
use crate::comparison::{Better, Harness, Subject, seconds};
use rump_ring::{many, one};
use std::error::Error;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The benchmarks here.
pub const NAMES: &[&str] = &[
    "ring/pairs",
    "ring/pairs-32",
    "ring/vs-crossbeam",
    "ring/vs-rtrb",
];

/// Pairs of putting in and taking out, of both threads together.
const PAIRS: usize = 10_000_000;
/// Words that go from one thread to the other.
const WORDS: u64 = 10_000_000;
const SLOTS: usize = 512;
/// As many at a time in a batch.
const BATCH: usize = 32;

type Figure = Result<f64, Box<dyn Error>>;

fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

/// A counter in cache lines of its own.
#[repr(align(128))]
struct Alone(AtomicU64);

/// Runs two threads at once, which get 0 and 1; million pairs a second.
fn rate(pairs: usize, run: impl Fn(u32) + Sync) -> f64 {
    let ready = Barrier::new(3);
    let (mut start, mut end) = (Instant::now(), Duration::ZERO);
    thread::scope(|scope| {
        let both = [0, 1].map(|number| {
            let (ready, run) = (&ready, &run);
            scope.spawn(move || {
                ready.wait();
                run(number);
            })
        });
        ready.wait();
        start = Instant::now();
        for thread in both {
            // One that panicked has the whole run do so.
            let _ = thread.join();
        }
        end = start.elapsed();
    });
    pairs as f64 / 1e6 / seconds(end)
}

/// Each thread puts in and takes out, so many at a time; at the end all is where it was, once.
fn ours(batch: usize) -> Figure {
    let memory = words(many::words(SLOTS));
    many::Ring::new(&memory[..]);
    let left = [AtomicU64::new(0), AtomicU64::new(0)];
    let rate = rate(PAIRS, |number| {
        let ring = many::Ring::open(&memory[..]);
        let first = number * batch as u32;
        let mut own: Vec<u32> = (first..first + batch as u32).collect();
        for _ in 0..PAIRS / 2 / batch {
            ring.put(&own).expect("an honest ring");
            let mut got = 0;
            while got < batch {
                got += ring.take(&mut own[got..]).expect("an honest ring");
            }
        }
        let bits = own.iter().fold(0, |bits, index| bits | 1 << index);
        left[number as usize].store(bits, Ordering::Relaxed);
    });
    let [one, other] = left.map(AtomicU64::into_inner);
    let all = if batch == BATCH { u64::MAX } else { 3 };
    (one & other == 0 && one | other == all)
        .then_some(rate)
        .ok_or_else(|| format!("slots {one:x} and {other:x} are left").into())
}

/// What putting in and taking out cost at least: to add to a counter of each end.
fn bound() -> Figure {
    let ends = [Alone(AtomicU64::new(0)), Alone(AtomicU64::new(0))];
    let rate = rate(PAIRS, |_| {
        for _ in 0..PAIRS / 2 {
            black_box(ends[0].0.fetch_add(1, Ordering::SeqCst));
            black_box(ends[1].0.fetch_add(1, Ordering::SeqCst));
        }
    });
    let counted = ends[1].0.load(Ordering::Relaxed);
    (counted == PAIRS as u64)
        .then_some(rate)
        .ok_or_else(|| "the counters do not add up".into())
}

fn crossbeam() -> Figure {
    let queue = crossbeam_queue::ArrayQueue::new(SLOTS);
    let left = [AtomicU64::new(0), AtomicU64::new(0)];
    let rate = rate(PAIRS, |number| {
        let mut own = number;
        for _ in 0..PAIRS / 2 {
            queue.push(own).expect("room for two");
            own = loop {
                if let Some(other) = queue.pop() {
                    break other;
                }
            };
        }
        left[number as usize].store(1 << own, Ordering::Relaxed);
    });
    let [one, other] = left.map(AtomicU64::into_inner);
    (one | other == 3)
        .then_some(rate)
        .ok_or_else(|| "what was put in is not what was taken out".into())
}

/// Waits for the other thread, which may not be running.
fn pause(turns: &mut u32) {
    *turns += 1;
    if turns.is_multiple_of(64) {
        thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

/// One thread puts words in, the other checks them; million words a second.
fn ours_of_one() -> Figure {
    let memory = words(one::words(SLOTS));
    let (sender, receiver) = (
        one::Sender::new(&memory[..]),
        one::Receiver::new(&memory[..]),
    );
    let (sender, receiver) = (Some(sender).into(), Some(receiver).into());
    let (sender, receiver): (Slot<_>, Slot<_>) = (sender, receiver);
    stream(|number| {
        let mut turns = 0;
        if number == 0 {
            let mut sender = sender.take();
            for word in 0..WORDS {
                while sender.send(&[word]) == Ok(0) {
                    pause(&mut turns);
                }
            }
            return 0;
        }
        let mut receiver = receiver.take();
        let mut sum = 0_u64;
        for expected in 0..WORDS {
            let mut word = [0];
            while receiver.receive(&mut word) == Ok(0) {
                pause(&mut turns);
            }
            sum += u64::from(word[0] == expected);
        }
        sum
    })
}

fn rtrb() -> Figure {
    let (sender, receiver) = rtrb::RingBuffer::<u64>::new(SLOTS);
    let (sender, receiver): (Slot<_>, Slot<_>) = (Some(sender).into(), Some(receiver).into());
    stream(|number| {
        let mut turns = 0;
        if number == 0 {
            let mut sender = sender.take();
            for word in 0..WORDS {
                while sender.push(word).is_err() {
                    pause(&mut turns);
                }
            }
            return 0;
        }
        let mut receiver = receiver.take();
        let mut sum = 0_u64;
        for expected in 0..WORDS {
            let word = loop {
                match receiver.pop() {
                    Ok(word) => break word,
                    Err(_) => pause(&mut turns),
                }
            };
            sum += u64::from(word == expected);
        }
        sum
    })
}

/// An end, for the thread that it belongs to.
struct Slot<T>(std::sync::Mutex<Option<T>>);

impl<T> From<Option<T>> for Slot<T> {
    fn from(end: Option<T>) -> Self {
        Self(end.into())
    }
}

impl<T> Slot<T> {
    fn take(&self) -> T {
        let mut end = self.0.lock().expect("nobody panics with it");
        end.take().expect("it is taken once")
    }
}

/// Runs both ends; the second one returns how many words were right.
fn stream(run: impl Fn(u32) -> u64 + Sync) -> Figure {
    let right = AtomicU64::new(0);
    let rate = rate(WORDS as usize, |number| {
        right.fetch_add(run(number), Ordering::Relaxed);
    });
    (right.into_inner() == WORDS)
        .then_some(rate)
        .ok_or_else(|| "words are lost, or in another order".into())
}

/// Measures them all.
pub fn ring(harness: &mut Harness) -> Outcome {
    let subject = |name, unit, rival_is| Subject {
        rival_is: Some(rival_is),
        ..Subject::new(name, unit, Better::More)
    };
    let bound_is = "two fetch-and-adds";
    if harness.wants("ring/pairs") {
        let row = subject("ring/pairs", "million pairs/s", bound_is);
        harness.compare(&row, &mut || ours(1), &mut bound)?;
    }
    if harness.wants("ring/pairs-32") {
        let row = subject("ring/pairs-32", "million pairs/s", bound_is);
        harness.compare(&row, &mut || ours(BATCH), &mut bound)?;
    }
    if harness.wants("ring/vs-crossbeam") {
        let row = subject(
            "ring/vs-crossbeam",
            "million pairs/s",
            "crossbeam's ArrayQueue",
        );
        harness.compare(&row, &mut || ours(1), &mut crossbeam)?;
    }
    if harness.wants("ring/vs-rtrb") {
        let row = subject("ring/vs-rtrb", "million words/s", "rtrb");
        harness.compare(&row, &mut ours_of_one, &mut rtrb)?;
    }
    Ok(())
}
