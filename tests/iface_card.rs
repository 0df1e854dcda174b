//! The frames of an interface without the stack: what comes to it comes out of the kernel as it
//! is, whoever it is for, and what is sent goes out as it is.

mod common;

use common::{Outcome, boot};
use rump::iface::link::{Batch, HostErrno, Offload, Offloads, Piece, Pool, Transmit};
use rump::iface::{Backend, Card, Interface, Pair, splice};
use rump_sys::hyper::vif::abi::{GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A frame to somebody, of this length.
fn frame(to: u8, len: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, 99, 0x88, 0xb5];
    frame.extend((frame.len()..len).map(|at| (at * 7 % 251) as u8));
    frame
}

fn send(to: &dyn Backend, frames: &[Vec<u8>]) {
    let pieces: Vec<_> = frames.iter().map(|frame| [Piece::new(frame)]).collect();
    let frames: Vec<_> = pieces
        .iter()
        .map(|pieces| Transmit::new(pieces, Offload::default()))
        .collect();
    assert_eq!(to.send(0, &frames), Ok(frames.len()));
}

/// The next frames, so many of them, but those of the kernel's own.
fn receive(from: &dyn Backend, count: usize) -> Vec<Vec<u8>> {
    let (mut batch, mut got) = (Batch::new(Pool::new(0)), Vec::new());
    let start = Instant::now();
    while got.len() < count {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{} frames",
            got.len()
        );
        from.receive(0, &mut batch).expect("frames");
        let all = batch.take_all();
        let ours = all.iter().map(|frame| frame.bytes().to_vec());
        got.extend(ours.filter(|bytes| bytes[12..14] == [0x88, 0xb5]));
    }
    got
}

fn frames_pass_without_the_stack() -> Outcome {
    let kernel = boot();
    let (inside, wire) = Pair::new();
    let lower = kernel.attach(inside)?;
    let card = Card::over(kernel, lower.name())?;
    assert!(card.link() && card.interface().is_up()?);
    // To anybody, also to a group, from the shortest to the longest.
    let mut frames: Vec<_> = [60, 61, 590, 1513, 1514]
        .iter()
        .zip(0..)
        .map(|(len, to)| frame(to, *len))
        .collect();
    frames.push([&[1, 0, 0x5e, 0, 0, 1][..], &frame(1, 100)[6..]].concat());
    frames.push([&[0xff; 6][..], &frame(1, 100)[6..]].concat());
    send(&wire, &frames);
    assert_eq!(receive(&card, frames.len()), frames);
    send(&card, &frames);
    assert_eq!(receive(&wire, frames.len()), frames);
    // Many at once, both ways, none lost.
    for round in 0..50 {
        let many: Vec<_> = (0..60).map(|to| frame(to, 64 + round * 20)).collect();
        send(&card, &many);
        send(&wire, &many);
        assert_eq!(receive(&wire, many.len()), many);
        assert_eq!(receive(&card, many.len()), many);
    }
    Ok(())
}

fn it_is_one_users_and_is_left_as_it_was() -> Outcome {
    let kernel = boot();
    let (inside, wire) = Pair::new();
    let lower = kernel.attach(inside)?;
    let was_up = lower.is_up()?;
    let before = Interface::list()?.len();
    let card = Card::over(kernel, lower.name())?;
    let again = Card::over(kernel, lower.name());
    assert!(
        matches!(again, Err(splice::Error::InUse { .. })),
        "{again:?}"
    );
    let none = Card::over(kernel, "none7");
    assert!(matches!(none, Err(splice::Error::Lower(_))), "{none:?}");
    drop(card);
    assert_eq!((lower.is_up()?, Interface::list()?.len()), (was_up, before));
    // The next one has it to itself.
    let card = Card::over(kernel, lower.name())?;
    send(&wire, &[frame(1, 100)]);
    assert_eq!(receive(&card, 1), [frame(1, 100)]);
    // An interface below that goes away ends nothing but this.
    drop(lower);
    assert!(!card.link());
    send(&card, &[frame(1, 100)]);
    Ok(())
}

/// A UDP datagram over IPv4 whose checksum is that of the pseudo header alone.
fn incomplete() -> (Vec<u8>, Offload) {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 99, 8, 0];
    frame.extend([0x45, 0, 0, 128, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0, 7, 0, 9, 0, 108, 0, 0]);
    frame.extend((0..100).map(|at| at as u8));
    let ip = !sum(&frame[14..34], 0);
    frame[24..26].copy_from_slice(&ip.to_be_bytes());
    let pseudo = sum(&frame[26..34], 17 + 108);
    frame[40..42].copy_from_slice(&pseudo.to_be_bytes());
    let offload = Offload {
        flags: NEEDS_CSUM,
        csum_start: 34,
        csum_offset: 6,
        ..Offload::default()
    };
    (frame, offload)
}

/// The sum of Internet's checksums (RFC 1071).
fn sum(bytes: &[u8], start: u32) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        rest => u32::from(rest[0]) << 8,
    });
    let sum: u32 = start + words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Whether the checksum of such a datagram is right.
fn is_complete(frame: &[u8]) -> bool {
    let pseudo = sum(&frame[26..34], 17 + 108);
    sum(&frame[34..], pseudo.into()) == 0xffff
}

/// The next datagram over IPv4.
fn datagram(from: &dyn Backend) -> (Vec<u8>, Offload) {
    let mut batch = Batch::new(Pool::new(0));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        from.receive(0, &mut batch).expect("frames");
        for frame in batch.take_all() {
            if frame.bytes()[12..14] == [8, 0] {
                return (frame.bytes().to_vec(), frame.offload);
            }
        }
    }
    panic!("no datagram");
}

fn send_one(to: &dyn Backend, frame: &[u8], offload: Offload) {
    let pieces = [Piece::new(frame)];
    assert_eq!(to.send(0, &[Transmit::new(&pieces, offload)]), Ok(1));
}

fn checksums_are_the_cards() -> Outcome {
    let kernel = boot();
    let (inside, wire) = Pair::new();
    let lower = kernel.attach(inside)?;
    let card = Card::over(kernel, lower.name())?;
    let (frame, offload) = incomplete();
    assert!(!is_complete(&frame) && card.offers().contains(Offloads::TX));
    // What the interface below does is left to it,
    send_one(&card, &frame, offload);
    assert_eq!(datagram(&wire), (frame.clone(), offload));
    // and what it does not is done in software.
    drop(card);
    lower.set_capabilities(0)?;
    let card = Card::over(kernel, lower.name())?;
    lower.set_capabilities(0)?;
    send_one(&card, &frame, offload);
    let (came, left) = datagram(&wire);
    assert!(is_complete(&came) && left == Offload::default(), "{came:?}");
    drop(card);
    // An interface of ours below hands on what is whole, and verifies nothing.
    let card = Card::over(kernel, lower.name())?;
    send_one(&wire, &frame, offload);
    assert_eq!(datagram(&card), (came.clone(), Offload::default()));
    send_one(&wire, &came, Offload::default());
    assert_eq!(datagram(&card), (came, Offload::default()));
    // What cannot be is not sent, and ends nothing.
    for wrong in [
        Offload {
            csum_start: 200,
            ..offload
        },
        Offload {
            csum_start: 3,
            ..offload
        },
        Offload {
            gso_type: GSO_TCPV4,
            gso_size: 9,
            ..offload
        },
        Offload {
            gso_type: 99,
            gso_size: 9,
            ..offload
        },
        Offload {
            gso_type: GSO_TCPV6,
            ..Offload::default()
        },
    ] {
        send_one(&card, &frame, wrong);
    }
    send_one(&card, &frame, offload);
    assert_eq!(datagram(&wire), (frame, offload));
    Ok(())
}

/// A back end that takes nothing before it may, and then counts.
#[derive(Debug, Default)]
struct Stuck {
    may: (Mutex<bool>, Condvar),
    asked: AtomicBool,
    came: AtomicUsize,
    woken: (Mutex<bool>, Condvar),
}

impl Backend for Stuck {
    fn offers(&self) -> Offloads {
        Offloads::NONE
    }

    fn receive(&self, _queue: usize, _batch: &mut Batch) -> Result<(), HostErrno> {
        let (woken, changed) = &self.woken;
        *changed
            .wait_while(woken.lock().unwrap(), |woken| !*woken)
            .unwrap() = false;
        Ok(())
    }

    fn send(&self, _queue: usize, frames: &[Transmit<'_>]) -> Result<usize, HostErrno> {
        self.asked.store(true, Ordering::Release);
        let (may, changed) = &self.may;
        drop(changed.wait_while(may.lock().unwrap(), |may| !*may));
        let ours = frames.iter().filter(|frame| frame.len() == LEN).count();
        self.came.fetch_add(ours, Ordering::Relaxed);
        Ok(frames.len())
    }

    fn wake(&self) {
        *self.woken.0.lock().unwrap() = true;
        self.woken.1.notify_all();
    }
}

/// The length of a frame that no other has.
const LEN: usize = 777;

fn what_there_is_no_room_for_is_not_taken() -> Outcome {
    let kernel = boot();
    let stuck = Arc::new(Stuck::default());
    let lower = kernel.attach(Arc::clone(&stuck))?;
    let card = Card::over(kernel, lower.name())?;
    let bytes = frame(1, LEN);
    let pieces = [Piece::new(&bytes)];
    let frames = vec![Transmit::new(&pieces, Offload::default()); 10_000];
    std::thread::scope(|scope| {
        // One sender is held up below; what others send then waits in the queue there.
        let first = scope.spawn(|| card.send(0, &frames[..1]));
        while !stuck.asked.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        let taken = card.send(0, &frames).unwrap();
        let again = card.send(0, &frames[..1]);
        *stuck.may.0.lock().unwrap() = true;
        stuck.may.1.notify_all();
        assert!(0 < taken && taken < frames.len(), "{taken}");
        assert_eq!((again, first.join().unwrap()), (Ok(0), Ok(1)));
        let mut left = frames.len() - taken;
        let start = Instant::now();
        while left > 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "{left}");
            left -= card.send(0, &frames[..left]).unwrap();
        }
        while stuck.came.load(Ordering::Relaxed) <= frames.len() {
            assert!(start.elapsed() < Duration::from_secs(20), "{stuck:?}");
            std::thread::yield_now();
        }
    });
    Ok(())
}

fn main() {
    common::run_with_interfaces_in_turn(
        [
            (
                "netbsd::frames_pass_without_the_stack",
                frames_pass_without_the_stack,
            ),
            (
                "netbsd::it_is_one_users_and_is_left_as_it_was",
                it_is_one_users_and_is_left_as_it_was,
            ),
            ("netbsd::checksums_are_the_cards", checksums_are_the_cards),
            (
                "netbsd::what_there_is_no_room_for_is_not_taken",
                what_there_is_no_room_for_is_not_taken,
            ),
        ],
        |_| Some("not in rump-lite"),
    )
}
