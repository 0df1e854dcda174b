//! Lanes between two threads, and such as one side has spoiled.
#![allow(unsafe_code)]

use super::*;
use core::ptr::NonNull;
use fastrand::Rng;
use std::vec;
use std::vec::Vec;

const LEN: usize = if cfg!(miri) { 8 * 1024 } else { 256 * 1024 };
const MOST: usize = LEN / 4 + 17;

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

fn lane(memory: Shared) -> Lane {
    Lane::new(memory, 0, LEN, MOST)
}

fn note(number: u16) -> [u8; NOTE] {
    let mut note = [9; NOTE];
    note[..2].copy_from_slice(&number.to_ne_bytes());
    note
}

/// Sends a message in two pieces, and tells it.
fn send(sender: &mut Sender, bytes: &[u8], number: u16) -> Result<bool, Broken> {
    let (a, b) = bytes.split_at(bytes.len() / 3);
    let sent = sender.put(bytes.len(), note(number), |body| {
        body.push(a);
        body.push(b);
    });
    sender.tell();
    sent
}

/// Takes a message out as a whole.
fn receive(receiver: &mut Receiver, out: &mut [u8]) -> Result<Option<Seen>, Broken> {
    let seen = receiver.next(out);
    receiver.release();
    seen
}

/// Messages of all lengths arrive in order, whole, with what is said of them, while one
/// side waits for the other.
#[test]
fn messages_arrive_in_order() {
    const COUNT: u16 = if cfg!(miri) { 50 } else { 20_000 };
    let mut memory = Memory::new();
    let shared = memory.shared();
    let lengths = || {
        let mut random = Rng::with_seed(9);
        (0..COUNT).map(move |_| match random.u64(..20) {
            0 => MOST - random.usize(..100),
            _ => random.usize(..1500),
        })
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut sender = Sender::new(lane(shared));
            for (number, len) in (0..).zip(lengths()) {
                let message = vec![number as u8; len];
                while send(&mut sender, &message, number) == Ok(false) {
                    std::thread::yield_now();
                }
                sender.must_wake();
            }
        });
        let mut receiver = Receiver::new(lane(shared));
        let mut out = vec![0; MOST];
        for (number, len) in (0..COUNT).zip(lengths()) {
            // As much as fits is copied, and the rest is looked at where it is.
            let head = [MOST, 0, 54, 256][number as usize % 4].min(len);
            let seen = loop {
                match receiver.next(&mut out[..head]).unwrap() {
                    Some(seen) => break seen,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!((seen.len, seen.note), (len, note(number)));
            let mut at = head;
            for (offset, len) in seen.rest {
                shared.read(offset, &mut out[at..at + len]);
                at += len;
            }
            assert_eq!(at, len);
            assert!(out[..len].iter().all(|byte| *byte == number as u8));
            if number % 3 == 0 {
                receiver.release();
                receiver.must_wake();
            }
        }
        assert_eq!(receiver.next(&mut out), Ok(None));
    });
}

#[test]
fn what_does_not_fit_waits() {
    let mut memory = Memory::new();
    let shared = memory.shared();
    let mut sender = Sender::new(lane(shared));
    let mut receiver = Receiver::new(lane(shared));
    let message = vec![5; LEN / 4 - 64];
    for round in 0..6 {
        assert_eq!(send(&mut sender, &message, round), Ok(round < 4));
    }
    assert_eq!(sender.may_wait(message.len()), Ok(true));
    assert_eq!(lane(shared).waits().load(Ordering::Relaxed), 1);
    // To look is not enough.
    assert_eq!(receiver.next(&mut []).unwrap().unwrap().note, note(0));
    assert_eq!(send(&mut sender, &message, 9), Ok(false));
    receiver.rewind();
    assert_eq!(receiver.next(&mut []).unwrap().unwrap().note, note(0));
    receiver.release();
    assert!(receiver.must_wake());
    assert!(!receiver.must_wake(), "once is enough");
    assert_eq!(sender.may_wait(message.len()), Ok(false));
    assert_eq!(send(&mut sender, &message, 4), Ok(true));
    // Others go on where these were.
    let mut sender = Sender::resume(lane(shared), sender.position());
    let mut receiver = Receiver::resume(lane(shared), receiver.position());
    for round in 1..5 {
        let seen = receive(&mut receiver, &mut []).unwrap().unwrap();
        assert_eq!((seen.len, seen.note), (message.len(), note(round)));
    }
    assert_eq!(send(&mut sender, &message, 5), Ok(true));
    assert_eq!(
        receive(&mut receiver, &mut []).unwrap().unwrap().note,
        note(5)
    );
    assert_eq!(receive(&mut receiver, &mut []), Ok(None));
}

#[test]
fn what_was_not_read_can_be_had_again() {
    let mut memory = Memory::new();
    let shared = memory.shared();
    let mut sender = Sender::new(lane(shared));
    let mut receiver = Receiver::new(lane(shared));
    for number in 0..5 {
        assert_eq!(send(&mut sender, b"message", number), Ok(true));
    }
    receive(&mut receiver, &mut []).unwrap();
    receiver.next(&mut []).unwrap();
    let mut unread = sender.unread().unwrap();
    for number in 1..5 {
        let mut out = [0; 7];
        assert_eq!(unread.next(&mut out).unwrap().unwrap().note, note(number));
        assert_eq!(&out, b"message");
    }
    assert_eq!(unread.next(&mut []), Ok(None));
    shared.u64(AT_TAKEN).store(1 << 40, Ordering::Relaxed);
    assert!(sender.unread().is_none());
}

/// Either the one sees the message, or the other that it is to be woken.
#[test]
fn nobody_sleeps_through_a_message() {
    let mut memory = Memory::new();
    let shared = memory.shared();
    let mut sender = Sender::new(lane(shared));
    let mut receiver = Receiver::new(lane(shared));
    let mut out = vec![0; MOST];
    assert_eq!(receiver.may_sleep(), Ok(true));
    assert_eq!(send(&mut sender, b"message", 0), Ok(true));
    assert!(sender.must_wake());
    assert!(!sender.must_wake(), "once is enough");
    assert_eq!(receiver.may_sleep(), Ok(false));
    receive(&mut receiver, &mut out).unwrap();
    assert_eq!(send(&mut sender, b"message", 0), Ok(true));
    assert!(!sender.must_wake(), "it is awake");
}

/// Arbitrary bytes in what the other side writes: all calls come back, and stay inside.
#[test]
fn fuzz() {
    const INPUTS: usize = if cfg!(miri) { 100 } else { 50_000 };
    let mut memory = Memory::new();
    let shared = memory.shared();
    let mut random = Rng::with_seed(3);
    let mut out = vec![0; MOST];
    let (mut whole, mut broken) = (0_usize, 0_usize);
    let mut sender = Sender::new(lane(shared));
    let mut receiver = Receiver::new(lane(shared));
    for _ in 0..INPUTS {
        let message = vec![7; random.usize(..3000)];
        match send(&mut sender, &message, 0) {
            Ok(_) => whole += 1,
            Err(Broken) => broken += 1,
        }
        let spoiled = match random.u64(..4) {
            0 => {
                let count = match random.u64(..2) {
                    0 => random.u64(..),
                    _ => receiver.taken.wrapping_add(random.u64(..LEN as u64)),
                };
                let at = [AT_PUT, AT_TAKEN][random.usize(..2)];
                shared.u64(at).store(count, Ordering::Relaxed);
                true
            }
            1 => {
                let [(at, _), _] = receiver.lane.places(receiver.taken, HEADER);
                let len = random.u32(..100_000);
                shared.u32(at).store(len, Ordering::Relaxed);
                true
            }
            _ => false,
        };
        for _ in 0..10 {
            let head = [MOST, 256, 0][random.usize(..3)];
            match receiver.next(&mut out[..head]) {
                Ok(Some(seen)) => {
                    assert!(seen.len <= MOST);
                    let copied = seen.len.min(head);
                    let rest: usize = seen.rest.iter().map(|(_, len)| len).sum();
                    assert_eq!(copied + rest, seen.len);
                    for (at, len) in seen.rest {
                        shared.read(at, &mut out[..len]);
                        assert!(len == 0 || (DATA <= at && at + len <= size(LEN)));
                    }
                    whole += 1;
                }
                Ok(None) => break,
                Err(Broken) => {
                    broken += 1;
                    break;
                }
            }
            match random.u64(..4) {
                0 => receiver.rewind(),
                1 => {}
                _ => receiver.release(),
            }
        }
        let _ = (receiver.may_sleep(), receiver.must_wake());
        let _ = (sender.may_wait(1000), sender.must_wake());
        if spoiled {
            shared.write(0, &[0; DATA]);
            sender = Sender::new(lane(shared));
            receiver = Receiver::new(lane(shared));
        }
    }
    assert!(whole > INPUTS && broken > INPUTS / 20, "{whole} {broken}");
}
