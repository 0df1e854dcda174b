//! Models of the rings: every interleaving of a few threads, up to a number of preemptions.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p rump-ring --test loom --release`.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread;
use rump_ring::{many, one};

fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn model(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

/// What was written to a slot before its index was put in is seen by who takes it out.
#[test]
fn many_hands_over_slots() {
    model(3, || {
        let memory = Arc::new(words(many::words(2)));
        let contents = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        many::Ring::new(&memory[..]);
        let putting: Vec<_> = (0..2)
            .map(|index| {
                let (memory, contents) = (Arc::clone(&memory), Arc::clone(&contents));
                thread::spawn(move || {
                    contents[index].store(7, Ordering::Relaxed);
                    many::Ring::open(&memory[..]).put(&[index as u32]).unwrap();
                })
            })
            .collect();
        let ring = many::Ring::open(&memory[..]);
        let mut out = [0; 2];
        let mut taken = Vec::new();
        let count = ring.take(&mut out).unwrap();
        for index in &out[..count] {
            assert_eq!(contents[*index as usize].load(Ordering::Relaxed), 7);
            taken.push(*index);
        }
        putting
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        // Whoever put in is done, so all is there.
        let count = ring.take(&mut out).unwrap();
        taken.extend(&out[..count]);
        taken.sort();
        assert_eq!(taken, [0, 1]);
    });
}

/// Two take; each index comes to one of them.
#[test]
fn many_gives_to_one() {
    model(3, || {
        let memory = Arc::new(words(many::words(2)));
        many::Ring::new(&memory[..]).put(&[0, 1]).unwrap();
        let other = Arc::clone(&memory);
        let taking = thread::spawn(move || {
            let mut out = [9];
            let count = many::Ring::open(&other[..]).take(&mut out).unwrap();
            out[..count].to_vec()
        });
        let mut out = [9];
        let count = many::Ring::open(&memory[..]).take(&mut out).unwrap();
        let mut all = taking.join().unwrap();
        all.extend(&out[..count]);
        all.sort();
        assert_eq!(all, [0, 1]);
    });
}

#[test]
fn one_keeps_the_order() {
    model(4, || {
        let memory = Arc::new(words(one::words(2)));
        let other = Arc::clone(&memory);
        let sending = thread::spawn(move || {
            let mut sender = one::Sender::new(&other[..]);
            let mut next = 1;
            for _ in 0..3 {
                let sent = sender.send(&[next, next + 1]).unwrap();
                next += sent as u64;
            }
            next
        });
        let mut receiver = one::Receiver::new(&memory[..]);
        let mut expected = 1;
        let mut receive = |receiver: &mut one::Receiver<&[AtomicU64]>| {
            let mut items = [0; 2];
            let count = receiver.receive(&mut items).unwrap();
            for item in &items[..count] {
                assert_eq!(*item, expected);
                expected += 1;
            }
            expected
        };
        receive(&mut receiver);
        receive(&mut receiver);
        let next = sending.join().unwrap();
        receive(&mut receiver);
        assert_eq!(receive(&mut receiver), next);
    });
}

/// A lane's sleep: who has announced it either finds what was sent, or is woken.
#[test]
fn nobody_sleeps_through_a_message() {
    use loom::sync::atomic::AtomicU32;
    use rump_ring::lane::sleep::{announce, rouse};
    loom::model(|| {
        let (sent, sleeps) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let sender = {
            let (sent, sleeps) = (Arc::clone(&sent), Arc::clone(&sleeps));
            thread::spawn(move || {
                let mut woken = false;
                for count in 1..=2 {
                    sent.store(count, Ordering::Release);
                    woken |= rouse(&*sleeps);
                }
                woken
            })
        };
        announce(&*sleeps);
        let seen = sent.load(Ordering::Acquire);
        let woken = sender.join().unwrap();
        assert!(woken || seen == 2, "asleep with {seen} of 2 seen");
    });
}
