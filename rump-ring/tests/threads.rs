//! Threads put in and take out; nothing is lost, doubled or mixed up.
#![cfg(not(loom))]

use rump_ring::{many, one};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

/// Fewer under Miri, which is slow.
const ROUNDS: usize = if cfg!(miri) { 200 } else { 50_000 };

#[test]
fn a_ring_of_many_gives_back_what_was_put_in_in_order() {
    for slots in [1, 2, 8, 128] {
        let memory = words(many::words(slots));
        let ring = many::Ring::new(&memory[..]);
        let all: Vec<u32> = (0..slots as u32).collect();
        let mut out = vec![0; slots + 1];
        assert_eq!(ring.take(&mut out), Ok(0));
        for round in 0..50 {
            let run = 1 + round % slots;
            assert_eq!(ring.put(&all[..run]), Ok(()));
            assert_eq!(ring.take(&mut out), Ok(run));
            assert_eq!(out[..run], all[..run]);
            assert_eq!(ring.take(&mut out), Ok(0));
        }
    }
}

/// Slots go around between a ring of free ones and one of full ones, as messages do. What is
/// in a slot belongs to whoever took its index.
#[test]
fn slots_belong_to_one_thread_at_a_time() {
    for (slots, run) in [(2, 1), (8, 1), (64, 5), (256, 32)] {
        let (free, full) = (words(many::words(slots)), words(many::words(slots)));
        let contents: Vec<AtomicUsize> = (0..slots).map(|_| AtomicUsize::new(0)).collect();
        many::Ring::new(&full[..]);
        let all: Vec<u32> = (0..slots as u32).collect();
        many::Ring::new(&free[..]).put(&all).unwrap();
        let seen = Mutex::new(vec![0_u8; 2 * ROUNDS]);
        let left = AtomicUsize::new(2 * ROUNDS);
        thread::scope(|scope| {
            for thread in 0..2 {
                let (free, full) = (&free[..], &full[..]);
                let contents = &contents;
                scope.spawn(move || {
                    let (free, full) = (many::Ring::open(free), many::Ring::open(full));
                    let mut indexes = vec![0; run];
                    let mut next = thread * ROUNDS;
                    while next < (thread + 1) * ROUNDS {
                        let most = run.min((thread + 1) * ROUNDS - next);
                        let got = free.take(&mut indexes[..most]).unwrap();
                        for index in &indexes[..got] {
                            let old = contents[*index as usize].swap(next + 1, Ordering::Relaxed);
                            assert_eq!(old, 0, "slot {index} was not free");
                            next += 1;
                        }
                        full.put(&indexes[..got]).unwrap();
                        if got == 0 {
                            thread::yield_now();
                        }
                    }
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    let (free, full) = (many::Ring::open(&free[..]), many::Ring::open(&full[..]));
                    let mut indexes = vec![0; run];
                    let mut mine = Vec::new();
                    while left.load(Ordering::Relaxed) > 0 {
                        let got = full.take(&mut indexes).unwrap();
                        for index in &indexes[..got] {
                            let value = contents[*index as usize].swap(0, Ordering::Relaxed);
                            mine.push(value.checked_sub(1).expect("a full slot"));
                        }
                        left.fetch_sub(got, Ordering::Relaxed);
                        free.put(&indexes[..got]).unwrap();
                        if got == 0 {
                            thread::yield_now();
                        }
                    }
                    let mut seen = seen.lock().unwrap();
                    mine.iter().for_each(|value| seen[*value] += 1);
                });
            }
        });
        assert!(seen.into_inner().unwrap().iter().all(|count| *count == 1));
    }
}

#[test]
fn a_ring_of_one_keeps_the_order() {
    for (places, run) in [(1, 1), (4, 3), (256, 32)] {
        let memory = words(one::words(places));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut sender = one::Sender::new(&memory[..]);
                let mut next = 0;
                while next < ROUNDS as u64 {
                    let end = (next + run).min(ROUNDS as u64);
                    let items: Vec<u64> = (next..end).collect();
                    let sent = sender.send(&items).unwrap();
                    next += sent as u64;
                    if sent == 0 {
                        thread::yield_now();
                    }
                }
            });
            let mut receiver = one::Receiver::new(&memory[..]);
            let mut items = vec![0; run as usize];
            let mut next = 0;
            while next < ROUNDS as u64 {
                let got = receiver.receive(&mut items).unwrap();
                for item in &items[..got] {
                    assert_eq!(*item, next);
                    next += 1;
                }
                if got == 0 {
                    thread::yield_now();
                }
            }
        });
    }
}
