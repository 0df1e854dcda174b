//! Both ends in one process, and such as one side spoils.

use super::*;
use crate::vif::abi::Offload;
use crate::vif::backend::Piece;
use crate::vif::{Batch, Pool, Transmit};
use core::time::Duration;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use std::vec;
use std::vec::Vec;

const DATA: u32 = 256 << 10;
/// Where a lane's counts and data are.
const AT_PUT: u64 = 0;
const AT_TAKEN: u64 = 64;
const AT_DATA: u64 = 256;
const PATIENCE: Duration = Duration::from_secs(10);

fn ends(queues: u16) -> (End, End) {
    let shape = Shape::new(queues, DATA).unwrap();
    let maker = End::make(shape).unwrap();
    let guest = End::map(maker.file().unwrap().try_clone_to_owned().unwrap(), shape).unwrap();
    (maker, guest)
}

fn offload(number: usize) -> Offload {
    Offload {
        hdr_len: number as u16,
        ..Offload::default()
    }
}

fn with_frame<T>(bytes: &[u8], number: usize, call: impl FnOnce(&[Transmit<'_>]) -> T) -> T {
    let (head, rest) = bytes.split_at(bytes.len().min(54));
    let pieces = [Piece::new(head), Piece::new(rest)];
    call(&[Transmit::new(&pieces, offload(number))])
}

fn send(end: &End, queue: usize, bytes: &[u8], number: usize) -> Result<usize, Broken> {
    with_frame(bytes, number, |frames| end.send(queue, frames))
}

#[test]
fn shapes() {
    assert!(Shape::new(0, DATA).is_none());
    assert!(Shape::new(MOST_QUEUES + 1, DATA).is_none());
    assert!(Shape::new(1, DATA / 2).is_none());
    assert!(Shape::new(1, DATA + 1).is_none());
    assert!(Shape::new(1, 2 * MOST_DATA).is_none());
    assert!(Shape::new(MOST_QUEUES, MOST_DATA).is_some());
}

/// Frames go both ways on all queues at once; who has no room waits for it, and nothing is lost.
#[test]
fn frames_go_both_ways() {
    const COUNT: usize = 3_000;
    let (maker, guest) = ends(2);
    let len = |number: usize| 60 + number * 7919 % 60_000;
    std::thread::scope(|scope| {
        for queue in 0..2 {
            for (from, to) in [(&maker, &guest), (&guest, &maker)] {
                scope.spawn(move || {
                    for number in 0..COUNT {
                        let frame = vec![number as u8; len(number)];
                        let sent = with_frame(&frame, number, |frames| {
                            from.send_all(queue, frames, PATIENCE)
                        });
                        assert_eq!(sent, Ok(1));
                    }
                });
                scope.spawn(move || {
                    let mut batch = Batch::new(Pool::new(0));
                    let mut next = 0;
                    while next < COUNT {
                        if to.receive(queue, &mut batch).unwrap() == 0 {
                            to.wait(queue, PATIENCE).unwrap();
                        }
                        for frame in batch.take().drain(..) {
                            assert_eq!((frame.len, frame.offload), (len(next), offload(next)));
                            assert!(frame.bytes().iter().all(|byte| *byte == next as u8));
                            next += 1;
                        }
                    }
                });
            }
        }
    });
    for end in [maker, guest] {
        let counters = end.counters();
        assert_eq!((counters.sent, counters.received), (6_000, 6_000));
        assert_eq!(counters.dropped, 0);
        assert!(counters.waits > 0, "{counters:?}");
    }
}

#[test]
fn what_is_too_long_is_dropped_and_the_rest_is_sent() {
    let (maker, guest) = ends(1);
    let long = vec![0; 70_000];
    let (long, short) = ([Piece::new(&long)], [Piece::new(b"short")]);
    let frames = [&long, &short].map(|pieces| Transmit::new(pieces, Offload::default()));
    assert_eq!(maker.send(0, &frames), Ok(2));
    assert_eq!(guest.send_all(0, &frames, PATIENCE), Ok(2));
    assert_eq!((maker.counters().sent, maker.counters().dropped), (1, 1));
    let mut batch = Batch::new(Pool::new(0));
    assert_eq!(guest.receive(0, &mut batch), Ok(1));
    assert_eq!(batch.frames()[0].bytes(), b"short");
}

#[test]
fn who_waits_for_room_in_vain_waits_once() {
    let (maker, guest) = ends(1);
    let frame = vec![0; 60_000];
    let patience = Duration::from_millis(100);
    let send = || with_frame(&frame, 0, |frames| maker.send_all(0, frames, patience));
    let start = Instant::now();
    while send() == Ok(1) {}
    assert!(start.elapsed() >= patience);
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(send(), Ok(0));
    }
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert_eq!(maker.counters().dropped, 101);
    // There is room again.
    let mut batch = Batch::new(Pool::new(0));
    assert!(guest.receive(0, &mut batch).unwrap() > 0);
    assert_eq!(send(), Ok(1));
}

/// Who sleeps uses no time, and is up soon when there is something, or when it is woken.
#[test]
fn sleepers_are_woken() {
    let (maker, guest) = ends(2);
    for round in 0..20 {
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let start = Instant::now();
                guest.wait(1, PATIENCE).unwrap();
                start.elapsed()
            });
            std::thread::sleep(Duration::from_millis(round % 5));
            match round % 3 {
                0 => guest.wake(),
                1 => assert_eq!(send(&maker, 1, b"frame", 0), Ok(1)),
                _ if round > 16 => guest.close(),
                _ => guest.wake(),
            }
            let waited = waiting.join().unwrap();
            assert!(waited < LONGEST / 2, "{waited:?}");
        });
        let mut batch = Batch::new(Pool::new(0));
        guest.receive(1, &mut batch).unwrap();
        // It was meant for one wait.
        guest.wait(0, Duration::ZERO).unwrap();
    }
}

#[test]
fn a_close_ends_waiting_for_room() {
    let (maker, _guest) = ends(1);
    let frame = vec![0; 60_000];
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let start = Instant::now();
            let send = || with_frame(&frame, 0, |frames| maker.send_all(0, frames, PATIENCE));
            while send() == Ok(1) {}
            start.elapsed()
        });
        while maker.counters().waits == 0 {
            std::thread::yield_now();
        }
        maker.close();
        assert!(sending.join().unwrap() < PATIENCE / 2);
    });
}

/// Payload is looked at where it is, and what was not released comes again to a successor.
#[test]
fn a_successor_goes_on_where_its_predecessor_was() {
    let (maker, guest) = ends(2);
    for number in 0..40 {
        let frame = vec![number as u8; 1000 + number * 100];
        assert_eq!(send(&guest, 1, &frame, number), Ok(1));
        assert_eq!(send(&maker, 0, &frame, number), Ok(1));
    }
    let mut head = [0; 256];
    let mut incoming = maker.incoming(1);
    let mut look = |incoming: &mut Incoming<'_>, number: usize| {
        let frame = incoming.next(&mut head).unwrap().unwrap();
        assert_eq!(
            (frame.len, frame.offload),
            (1000 + number * 100, offload(number))
        );
        let pieces = [Piece::new(&head), frame.rest[0], frame.rest[1]];
        let frame = Transmit::new(&pieces, frame.offload);
        let mut whole = vec![0; frame.len()];
        assert_eq!(frame.copy_to(&mut whole), 1000 + number * 100);
        assert!(whole.iter().all(|byte| *byte == number as u8));
    };
    for number in 0..10 {
        look(&mut incoming, number);
    }
    incoming.release();
    look(&mut incoming, 10);
    drop(incoming);
    let (file, shape, states) = (
        maker.file().unwrap().try_clone_to_owned().unwrap(),
        maker.shape(),
        maker.state(),
    );
    drop(maker);
    let maker = End::succeed(file, shape).unwrap();
    assert!(maker.go_on(&states[1..]).is_err());
    maker.go_on(&states).unwrap();
    let mut incoming = maker.incoming(1);
    for number in 10..40 {
        look(&mut incoming, number);
    }
    incoming.release();
    assert!(incoming.next(&mut []).unwrap().is_none());
    assert_eq!(send(&maker, 0, b"last", 40), Ok(1));
    let mut batch = Batch::new(Pool::new(0));
    assert_eq!(guest.receive(0, &mut batch), Ok(41));
    assert_eq!(batch.frames()[40].bytes(), b"last");
}

#[test]
fn what_was_not_taken_goes_through_another_cable() {
    let (maker, guest) = ends(2);
    for number in 0..10 {
        assert_eq!(send(&guest, number % 2, b"frame", number), Ok(1));
    }
    let mut incoming = maker.incoming(0);
    incoming.next(&mut []).unwrap();
    incoming.release();
    let (other, mine) = ends(1);
    assert_eq!(guest.forward(&mine), Ok(9));
    let mut batch = Batch::new(Pool::new(0));
    assert_eq!(other.receive(0, &mut batch), Ok(9));
    let came: Vec<_> = batch.frames().iter().map(|frame| frame.offload).collect();
    assert_eq!(came, [2, 4, 6, 8, 1, 3, 5, 7, 9].map(offload));
}

#[test]
fn messages_and_files_go_over_a_socket() {
    let folder = std::env::temp_dir().join(std::format!("rump-cable-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let place = folder.join("sock");
    let listener = Socket::listen(&place).unwrap();
    let near = Socket::connect(&place).unwrap();
    let far = listener.accept().unwrap().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(listener.accept().unwrap().is_none());
    let mut bytes = [0; 64];
    assert!(far.receive(&mut bytes).unwrap().is_none());
    let (maker, _guest) = ends(1);
    near.send(b"one", None).unwrap();
    near.send(b"two", maker.file()).unwrap();
    let got = far.receive(&mut bytes).unwrap().unwrap();
    assert_eq!((got.len, got.file.is_some()), (3, false));
    let got = far.receive(&mut bytes).unwrap().unwrap();
    assert_eq!(&bytes[..got.len], b"two");
    End::map(got.file.unwrap(), maker.shape()).unwrap();
    // More than there is room for is not taken for less.
    near.send(&[7; 65], None).unwrap();
    let error = far.receive(&mut bytes).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    drop(near);
    let error = far.receive(&mut bytes).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn memory_that_could_be_cut_off_is_not_taken() {
    let shape = Shape::new(1, DATA).unwrap();
    let make = |flags| {
        let file = nix::sys::memfd::memfd_create(c"test", flags).unwrap();
        let file = std::fs::File::from(file);
        file.set_len(2 * (u64::from(DATA) + AT_DATA)).unwrap();
        OwnedFd::from(file)
    };
    use nix::sys::memfd::MFdFlags;
    for flags in [MFdFlags::empty(), MFdFlags::MFD_ALLOW_SEALING] {
        let error = End::map(make(flags), shape).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    }
    let other = End::make(Shape::new(1, 2 * DATA).unwrap()).unwrap();
    assert!(End::map(other.file().unwrap().try_clone_to_owned().unwrap(), shape).is_err());
    let null = std::fs::File::open("/dev/null").unwrap();
    assert!(End::map(null, shape).is_err());
}

/// Where there are none, ordinary pages do.
#[test]
fn huge_pages_are_used_where_there_are_any() {
    let shape = Shape::new(1, 1 << 20).unwrap();
    let maker = End::make_huge(shape).unwrap();
    let guest = End::map(maker.file().unwrap().try_clone_to_owned().unwrap(), shape).unwrap();
    assert_eq!(maker.has_huge_pages(), guest.has_huge_pages());
    assert_eq!(send(&maker, 0, b"frame", 0), Ok(1));
    let mut batch = Batch::new(Pool::new(0));
    assert_eq!(guest.receive(0, &mut batch), Ok(1));
}

/// One side writes the memory at random while the other goes on: nothing hangs, nothing panics,
/// and no frame is longer than there can be.
#[test]
fn the_other_side_writes_what_it_likes() {
    let states: usize = if cfg!(debug_assertions) { 300 } else { 3_000 };
    let mut broken = 0;
    let mut random = 0x1234_5678_9abc_def1_u64;
    for _ in 0..states {
        let (maker, guest) = ends(1);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let mut seed = random;
            let (done, file) = (&done, guest.memory.file().unwrap());
            scope.spawn(move || {
                let lanes = [0, u64::from(DATA) + AT_DATA];
                while !done.load(Ordering::Relaxed) {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    let lane = lanes[(seed >> 8) as usize % 2];
                    let (at, value) = match seed % 8 {
                        0 => (AT_PUT, seed >> 32),
                        1 => (AT_TAKEN, seed >> 40),
                        2 => (AT_PUT, seed >> 48 & !15),
                        3 => (128, seed >> 16 & 1),
                        4 => (192, seed >> 16 & 1),
                        _ => (AT_DATA + (seed >> 20) % 65_536, seed),
                    };
                    file.write_all_at(&value.to_ne_bytes(), lane + at).unwrap();
                }
            });
            let frame = vec![1; 900];
            let mut batch = Batch::new(Pool::new(0));
            let mut head = [0; 256];
            for turn in 0..30 {
                let sent = with_frame(&frame, 0, |frames| match turn % 2 {
                    0 => maker.send(0, frames),
                    _ => maker.send_all(0, frames, Duration::from_millis(1)),
                });
                let took = match turn % 3 {
                    0 => maker.receive(0, &mut batch),
                    1 => maker.wait(0, Duration::from_micros(100)).map(|()| 0),
                    _ => {
                        let mut incoming = maker.incoming(0);
                        let frame = incoming.next(&mut head);
                        if let Ok(Some(frame)) = frame {
                            let mut out = vec![0; 70_000];
                            let len: usize = frame.rest.iter().map(|it| it.copy_to(&mut out)).sum();
                            assert_eq!(len + frame.len.min(256), frame.len);
                        }
                        incoming.release();
                        frame.map(|_| 0)
                    }
                };
                batch.take_all();
                broken += usize::from(sent.is_err()) + usize::from(took.is_err());
            }
            done.store(true, Ordering::Relaxed);
        });
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
    }
    assert!(broken > states, "{broken} of {states}");
}
