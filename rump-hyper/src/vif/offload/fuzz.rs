//! Claims and frames at random: nothing that passes the check can do harm.
//!
//! `RUMP_VIF_FUZZ=100000000 cargo test -p rump-hyper fuzz` tries so many.

use super::check::{Work, check};
use super::finish::{Cutter, complete};
use super::tests::{tcp4, tcp6};
use crate::vif::abi::Offload;
use fastrand::Rng;
use std::vec::Vec;

fn one_of<T: Clone>(random: &mut Rng, choices: &[T]) -> T {
    choices[random.usize(..choices.len())].clone()
}

/// Mostly right, so that the later checks are reached too.
fn input(random: &mut Rng) -> (Vec<u8>, Offload) {
    let data = one_of(random, &[0, 1, 31, 100, 1448, 3000]);
    let options = one_of(random, &[0, 12, 40]);
    let v6 = random.bool();
    let mut frame = if v6 {
        tcp6(data, options)
    } else {
        tcp4(data, options)
    };
    let mut claim = Offload {
        flags: one_of(random, &[0, 1, 1, 1, 2, 3]),
        gso_type: one_of(
            random,
            &[0, if v6 { 4 } else { 1 }, if v6 { 0x84 } else { 0x81 }],
        ),
        hdr_len: random.u16(..),
        gso_size: one_of(random, &[32, 100, 536, 1448, u16::MAX]),
        csum_start: if v6 { 54 } else { 34 },
        csum_offset: 16,
    };
    for _ in 0..random.usize(..4) {
        match random.usize(..5) {
            0 => frame.truncate(random.usize(..frame.len() + 1)),
            1 | 2 if !frame.is_empty() => {
                // Headers are where it matters.
                let at = random.usize(..frame.len().min(100));
                frame[at] = random.u8(..);
            }
            3 => match random.usize(..5) {
                0 => claim.flags = random.u8(..),
                1 => claim.gso_type = random.u8(..),
                2 => claim.gso_size = random.u16(..),
                3 => claim.csum_start = random.u16(..),
                _ => claim.csum_offset = random.u16(..),
            },
            _ => frame.extend((0..random.usize(..9)).map(|n| n as u8)),
        }
    }
    (frame, claim)
}

#[test]
fn fuzz() {
    let count = std::env::var("RUMP_VIF_FUZZ").map_or(Ok(200_000), |text| text.parse::<u64>());
    let count = count.expect("RUMP_VIF_FUZZ is a number");
    let mut random = Rng::with_seed(0x6b8b_4567_327b_23c6);
    let (mut passed, mut cut, mut pieces) = (0_u64, 0_u64, 0_u64);
    let mut out = std::vec![0; 70_000];
    for _ in 0..count {
        let (mut frame, claim) = input(&mut random);
        match check(&frame, claim) {
            Err(_) => continue,
            Ok(Work::None | Work::Verified) => {}
            Ok(Work::Checksum { start, at }) => complete(&mut frame, start, at),
            Ok(Work::Segment(segment)) => {
                cut += 1;
                let mut cutter = Cutter::new(&frame, segment);
                let longest = cutter.longest();
                let mut data = 0;
                while let Some(len) = cutter.next(&mut out[..longest]) {
                    data += len - segment.data;
                    pieces += 1;
                    // Each piece is a whole segment by itself.
                    let again = Offload { flags: 2, ..claim };
                    assert!(check(&out[..len], again).is_ok());
                }
                assert_eq!(data, frame.len() - segment.data);
            }
        }
        passed += 1;
    }
    std::println!("{count} inputs seen: {passed} passed the check, {cut} were cut into {pieces}");
    assert!(passed > count / 10 && cut > count / 100);
}
