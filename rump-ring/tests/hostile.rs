//! The other side writes what it likes. Nothing panics, nothing leads out of the ring, and
//! every call returns. `RUMP_RING_FUZZ` says how many states are tried (1,000).
#![cfg(not(loom))]

use proptest::prelude::*;
use rump_ring::{Broken, many, one};
use std::sync::atomic::{AtomicU64, Ordering};

fn cases() -> u32 {
    let told = std::env::var("RUMP_RING_FUZZ").ok();
    let told = told.map(|count| count.parse().expect("RUMP_RING_FUZZ: a number"));
    told.unwrap_or(if cfg!(miri) { 20 } else { 1_000 })
}

const SLOTS: usize = 4;

/// Where a word is written, and what: often something near to what is there.
fn writes(words: usize) -> impl Strategy<Value = Vec<(usize, u64)>> {
    let value = prop_oneof![
        any::<u64>(),
        0_u64..64,
        Just(u64::MAX),
        (0_u64..64).prop_map(|near| near.wrapping_neg()),
        (0_u64..64, 0_u32..64).prop_map(|(value, shift)| value << shift),
    ];
    let place = prop_oneof![0..words, Just(0), Just(16), Just(32), 48..words.max(49)];
    prop::collection::vec((place.prop_map(move |at| at % words), value), 0..12)
}

fn scribble(memory: &[AtomicU64], writes: &[(usize, u64)]) {
    for (at, value) in writes {
        memory[*at].store(*value, Ordering::Relaxed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_many(rounds in prop::collection::vec((writes(many::words(SLOTS)), 0_usize..5, 0_usize..6), 1..6)) {
        let memory: Vec<_> = (0..many::words(SLOTS)).map(|_| AtomicU64::new(0)).collect();
        let ring = many::Ring::new(&memory[..]);
        for (writes, put, take) in &rounds {
            scribble(&memory, writes);
            let _: Result<(), Broken> = ring.put(&[3, 1, 0, 2][..*put]);
            let mut out = vec![u32::MAX; *take];
            if let Ok(count) = ring.take(&mut out) {
                prop_assert!(count <= *take);
                prop_assert!(out[..count].iter().all(|index| *index < SLOTS as u32));
            }
        }
    }

    #[test]
    fn of_one(rounds in prop::collection::vec((writes(one::words(8)), 0_usize..10, 0_usize..10), 1..6)) {
        let memory: Vec<_> = (0..one::words(8)).map(|_| AtomicU64::new(0)).collect();
        let mut sender = one::Sender::new(&memory[..]);
        let mut receiver = one::Receiver::new(&memory[..]);
        for (writes, put, take) in &rounds {
            scribble(&memory, writes);
            if let Ok(count) = sender.send(&vec![7; *put]) {
                prop_assert!(count <= *put && count <= 8);
            }
            let mut out = vec![0; *take];
            if let Ok(count) = receiver.receive(&mut out) {
                prop_assert!(count <= *take && count <= 8);
            }
        }
    }
}

#[test]
fn a_count_that_cannot_be_is_told() {
    let memory: Vec<_> = (0..one::words(8)).map(|_| AtomicU64::new(0)).collect();
    let mut receiver = one::Receiver::new(&memory[..]);
    memory[0].store(9, Ordering::Relaxed);
    assert_eq!(receiver.receive(&mut [0; 8]), Err(Broken));
    let mut sender = one::Sender::new(&memory[..]);
    memory[16].store(1, Ordering::Relaxed);
    assert_eq!(sender.send(&[1; 9]), Err(Broken));
}

#[test]
fn an_index_of_no_slot_is_told() {
    let memory: Vec<_> = (0..many::words(SLOTS)).map(|_| AtomicU64::new(0)).collect();
    let ring = many::Ring::new(&memory[..]);
    ring.put(&[1]).unwrap();
    let place = memory[48..]
        .iter()
        .find(|word| word.load(Ordering::Relaxed) & 7 == 1);
    place.unwrap().fetch_or(6, Ordering::Relaxed);
    assert_eq!(ring.take(&mut [0]), Err(Broken));
}
