//! Buses of several, and such as somebody has spoiled.
#![allow(unsafe_code)]

use super::*;
use core::ptr::NonNull;
use fastrand::Rng;
use std::vec;
use std::vec::Vec;

struct Memory(Vec<u64>);

impl Memory {
    fn new() -> Self {
        Self(vec![0; SIZE / 8])
    }

    fn shared(&mut self) -> Shared {
        let start = NonNull::new(self.0.as_mut_ptr()).unwrap().cast();
        // SAFETY: the tests use it in no other way meanwhile.
        unsafe { Shared::new(start, SIZE) }
    }
}

fn read_all(bus: &Bus, place: &mut Place) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut out = [0; FRAME_MAX];
    while let Some(len) = bus.read(place, &mut out).unwrap() {
        frames.push(out[..len].to_vec());
    }
    frames
}

#[test]
fn all_but_the_sender_get_a_frame() {
    let mut memory = Memory::new();
    let shared = memory.shared();
    let buses = [1, 2, 3].map(|sender| Bus::new(shared, sender));
    let mut places = buses.each_ref().map(|bus| bus.join().unwrap());
    buses[0].write(b"from the first of them", 1, 2).unwrap();
    buses[1].write(b"from the second of them", 3, 4).unwrap();
    let got: Vec<_> = buses
        .iter()
        .zip(&mut places)
        .map(|(bus, place)| read_all(bus, place))
        .collect();
    assert_eq!(got[0], [b"from the second of them"]);
    assert_eq!(got[1], [b"from the first of them"]);
    assert_eq!(
        got[2],
        [&b"from the first of them"[..], b"from the second of them"]
    );
    for (bus, place) in buses.iter().zip(places) {
        assert!(!bus.is_behind(place).unwrap());
    }
}

/// The layout is that of NetBSD's: what its own code would write and read.
#[test]
fn the_layout_is_netbsds() {
    let mut memory = Memory::new();
    let bus = Bus::new(memory.shared(), 0x0807_0605_0403_0201);
    bus.join().unwrap();
    bus.write(&[0xaa; 60], 7, 8).unwrap();
    bus.write(&[0xbb; 61], 9, 10).unwrap();
    let shared = memory.shared();
    let word = |at| shared.u32(at).load(Ordering::Relaxed);
    assert_eq!(word(0), 0xca11_d054);
    assert_eq!((word(16), word(20)), (DATA_SIZE as u32, 24 + 24 + 60));
    let mut bytes = [0; 24 + 60];
    shared.read(32 + 24, &mut bytes);
    assert_eq!(bytes[..12], [60, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0]);
    assert_eq!(bytes[16..24], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(bytes[24..], [0xaa; 60]);
}

#[test]
fn the_lock_is_one() {
    let mut memory = Memory::new();
    let shared = memory.shared();
    let (one, other) = (Bus::new(shared, 1), Bus::new(shared, 2));
    assert!(one.try_lock() && !other.try_lock());
    one.unlock();
    assert!(other.try_lock());
}

/// Many times around, with a reader that keeps up and one that falls behind.
#[test]
fn the_ring_goes_around() {
    let mut memory = Memory::new();
    let shared = memory.shared();
    let buses = [1, 2, 3].map(|sender| Bus::new(shared, sender));
    let mut fast = buses[1].join().unwrap();
    let mut slow = buses[2].join().unwrap();
    let mut random = Rng::with_seed(5);
    let mut sent = Vec::new();
    let mut behind = 0;
    for number in 0..20_000_u32 {
        let len = 14 + random.usize(..FRAME_MAX - 14);
        let mut frame = vec![number as u8; len];
        frame[..4].copy_from_slice(&number.to_ne_bytes());
        buses[0].write(&frame, 0, 0).unwrap();
        assert_eq!(read_all(&buses[1], &mut fast), [frame.clone()]);
        sent.push(frame);
        if number % 3000 == 2999 {
            let got = read_all(&buses[2], &mut slow);
            // What is left is the end of what was sent, without a gap.
            assert!(got.len() > 400 && got.len() < 3000, "{}", got.len());
            assert_eq!(got, sent[sent.len() - got.len()..]);
            behind += 1;
        }
    }
    assert_eq!(behind, 6);
    assert!(shared.u64(AT_GENERATION).load(Ordering::Relaxed) > 10);
}

/// Arbitrary bytes where places and lengths are: all calls come back, and stay inside.
#[test]
fn fuzz() {
    const INPUTS: usize = 20_000;
    let mut memory = Memory::new();
    let mut random = Rng::with_seed(77);
    let (mut whole, mut broken) = (0_usize, 0_usize);
    let mut out = [0; FRAME_MAX];
    for input in 0..INPUTS {
        let shared = memory.shared();
        if input.is_multiple_of(50) {
            shared.write(0, &[0; DATA + 4096]);
        }
        let bus = Bus::new(shared, 1);
        let mut place = match bus.join() {
            Ok(place) => place,
            Err(_) => Place(random.u64(..4 * RING)),
        };
        for _ in 0..random.u64(..4) {
            let frame = vec![7; random.usize(..FRAME_MAX + 2)];
            match bus.write(&frame, 0, 0) {
                Ok(()) => whole += 1,
                Err(_) => broken += 1,
            }
        }
        // Spoil something, sometimes only a little.
        let at = match random.u64(..3) {
            0 => random.usize(..DATA),
            1 => DATA + random.usize(..4000),
            _ => SIZE - 1 - random.usize(..100),
        };
        let value = match random.u64(..3) {
            0 => random.u32(..).to_ne_bytes(),
            1 => random.u32(..2000).to_ne_bytes(),
            _ => (DATA_SIZE as u32 - random.u32(..40)).to_ne_bytes(),
        };
        let len = value.len().min(SIZE - at);
        shared.write(at, &value[..len]);
        if random.u8(..4) == 0 {
            place = Place(random.u64(..));
        }
        let other = Bus::new(shared, 2);
        for _ in 0..50 {
            match other.read(&mut place, &mut out) {
                Ok(Some(len)) => {
                    assert!(len <= FRAME_MAX);
                    whole += 1;
                }
                Ok(None) => break,
                Err(_) => {
                    broken += 1;
                    break;
                }
            }
        }
    }
    assert!(
        whole > INPUTS / 2 && broken > INPUTS / 20,
        "{whole} {broken}"
    );
}
