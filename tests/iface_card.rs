//! The frames of an interface without the stack: what comes to it comes out of the kernel as it
//! is, whoever it is for, and what is sent goes out as it is.

mod common;

use common::{Outcome, boot};
use rump::iface::link::{Batch, Offload, Piece, Pool, Transmit};
use rump::iface::{Backend, Card, Interface, Pair, splice};
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
        ],
        |_| Some("not in rump-lite"),
    )
}
