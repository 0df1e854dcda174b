//! Lanes between two threads, and such as one side has spoiled.
#![allow(unsafe_code)]

use super::*;
use crate::vif::backend::Piece;
use core::ptr::NonNull;
use std::vec;
use std::vec::Vec;

const LEN: usize = 256 * 1024;

struct Memory(Vec<[u64; 8]>);

impl Memory {
    fn new() -> Self {
        Self(vec![[0; 8]; size(LEN).div_ceil(64) + 1])
    }

    fn shared(&mut self) -> Shared {
        let len = self.0.len() * 64;
        let start = NonNull::new(self.0.as_mut_ptr()).unwrap().cast();
        // SAFETY: the tests use it in no other way meanwhile.
        unsafe { Shared::new(start, len) }
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn offload(number: u16) -> Offload {
    Offload {
        flags: 1,
        gso_type: 4,
        hdr_len: number,
        gso_size: 1448,
        csum_start: 34,
        csum_offset: 16,
    }
}

fn send(sender: &mut Sender, bytes: &[u8], number: u16) -> Result<usize, Broken> {
    let (a, b) = bytes.split_at(bytes.len() / 3);
    let pieces = [Piece::new(a), Piece::new(b)];
    sender.send(&[Transmit::new(&pieces, offload(number))])
}

/// Frames of all lengths arrive in order, whole, with what is said of them, while one
/// side waits for the other.
#[test]
fn frames_arrive_in_order() {
    const COUNT: u16 = 20_000;
    let mut memory = Memory::new();
    let shared = memory.shared();
    let lengths = || {
        let mut random = Random(9);
        (0..COUNT).map(move |_| match random.next() % 20 {
            0 => FRAME_MAX - (random.next() % 100) as usize,
            _ => 14 + (random.next() % 1500) as usize,
        })
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut sender = Sender::new(shared, 0, LEN);
            for (number, len) in (0..).zip(lengths()) {
                let frame = vec![number as u8; len];
                while send(&mut sender, &frame, number) == Ok(0) {
                    std::thread::yield_now();
                }
                sender.must_wake();
            }
        });
        let mut receiver = Receiver::new(shared, 0, LEN);
        let mut out = vec![0; FRAME_MAX];
        for (number, len) in (0..COUNT).zip(lengths()) {
            let got = loop {
                match receiver.receive(&mut out).unwrap() {
                    Some(got) => break got,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!(got, (len, offload(number)));
            assert!(out[..len].iter().all(|byte| *byte == number as u8));
        }
        assert_eq!(receiver.receive(&mut out), Ok(None));
    });
}

#[test]
fn what_does_not_fit_waits() {
    let mut memory = Memory::new();
    let shared = memory.shared();
    let mut sender = Sender::new(shared, 0, LEN);
    let mut receiver = Receiver::new(shared, 0, LEN);
    let frame = vec![5; 60_000];
    let pieces = [Piece::new(&frame)];
    let frames = vec![Transmit::new(&pieces, offload(1)); 6];
    assert_eq!(sender.send(&frames), Ok(4));
    assert_eq!(sender.send(&frames), Ok(0));
    let mut out = vec![0; FRAME_MAX];
    assert_eq!(receiver.receive(&mut out), Ok(Some((60_000, offload(1)))));
    assert_eq!(sender.send(&frames), Ok(1));
}

/// Either the one sees the frame, or the other that it is to be woken.
#[test]
fn nobody_sleeps_through_a_frame() {
    let mut memory = Memory::new();
    let shared = memory.shared();
    let mut sender = Sender::new(shared, 0, LEN);
    let mut receiver = Receiver::new(shared, 0, LEN);
    let mut out = vec![0; FRAME_MAX];
    assert_eq!(receiver.may_sleep(), Ok(true));
    assert_eq!(send(&mut sender, b"frame", 0), Ok(1));
    assert!(sender.must_wake());
    assert!(!sender.must_wake(), "once is enough");
    assert_eq!(receiver.may_sleep(), Ok(false));
    receiver.receive(&mut out).unwrap();
    assert_eq!(send(&mut sender, b"frame", 0), Ok(1));
    assert!(!sender.must_wake(), "it is awake");
}

/// Arbitrary bytes in what the other side writes: all calls come back, and stay inside.
#[test]
fn fuzz() {
    const INPUTS: usize = 50_000;
    let mut memory = Memory::new();
    let shared = memory.shared();
    let mut random = Random(3);
    let mut out = vec![0; FRAME_MAX];
    let (mut whole, mut broken) = (0_usize, 0_usize);
    let mut sender = Sender::new(shared, 0, LEN);
    let mut receiver = Receiver::new(shared, 0, LEN);
    for _ in 0..INPUTS {
        let frame = vec![7; random.next() as usize % 3000];
        match send(&mut sender, &frame, 0) {
            Ok(_) => whole += 1,
            Err(Broken) => broken += 1,
        }
        let spoiled = match random.next() % 4 {
            0 => {
                let count = match random.next() % 2 {
                    0 => random.next(),
                    _ => receiver.taken.wrapping_add(random.next() % LEN as u64),
                };
                let at = [AT_PUT, AT_TAKEN][random.next() as usize % 2];
                shared.u64(at).store(count, Ordering::Relaxed);
                true
            }
            1 => {
                let (at, _) = receiver.lane.place(receiver.taken);
                let len = random.next() as u32 % 100_000;
                shared.u32(at).store(len, Ordering::Relaxed);
                true
            }
            _ => false,
        };
        for _ in 0..10 {
            match receiver.receive(&mut out) {
                Ok(Some((len, _))) => {
                    assert!(len <= FRAME_MAX);
                    whole += 1;
                }
                Ok(None) => break,
                Err(Broken) => {
                    broken += 1;
                    break;
                }
            }
        }
        let _ = receiver.may_sleep();
        if spoiled {
            shared.write(0, &[0; DATA]);
            sender = Sender::new(shared, 0, LEN);
            receiver = Receiver::new(shared, 0, LEN);
        }
    }
    assert!(whole > INPUTS && broken > INPUTS / 20, "{whole} {broken}");
}
