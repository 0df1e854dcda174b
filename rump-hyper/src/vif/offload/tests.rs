//! Frames that are known, and what becomes of them.

use super::check::{Malformed, Work, check};
use super::finish::{Cutter, complete, fold, restore, sum};
use crate::vif::abi::{DATA_VALID, GSO_ECN, GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM, Offload};
use std::vec;
use std::vec::Vec;

/// A TCP segment over IPv4 with so much data and so many bytes of options.
pub(super) fn tcp4(data: usize, options: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + 20 + 20 + options + data];
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let total = (frame.len() - 14) as u16;
    let ip = &mut frame[14..];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    ip[4..6].copy_from_slice(&0xfffe_u16.to_be_bytes());
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 6;
    ip[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    fill_tcp(&mut ip[20..], options);
    pseudo4(&mut frame);
    frame
}

/// The same over IPv6.
pub(super) fn tcp6(data: usize, options: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + 40 + 20 + options + data];
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    let payload = (frame.len() - 54) as u16;
    let ip = &mut frame[14..];
    ip[0] = 0x60;
    ip[4..6].copy_from_slice(&payload.to_be_bytes());
    ip[6] = 6;
    ip[8..40].copy_from_slice(&[0xfd; 32]);
    ip[39] = 2;
    fill_tcp(&mut ip[40..], options);
    frame
}

fn fill_tcp(tcp: &mut [u8], options: usize) {
    tcp[0..4].copy_from_slice(&[0x1f, 0x90, 0x00, 0x50]);
    tcp[4..8].copy_from_slice(&0xffff_ff00_u32.to_be_bytes());
    tcp[12] = (((20 + options) / 4) << 4) as u8;
    // CWR, ACK, PSH, FIN.
    tcp[13] = 0x80 | 0x10 | 0x08 | 0x01;
    for (index, byte) in tcp[20 + options..].iter_mut().enumerate() {
        *byte = (index * 31 + index / 256) as u8;
    }
}

/// Stores the sum of the pseudo header, as whoever leaves a checksum to others does.
fn pseudo4(frame: &mut [u8]) {
    let length = (frame.len() - 34) as u16;
    let word = fold(
        sum(&frame[26..34])
            + u64::from(u16::from_ne_bytes([0, 6]))
            + u64::from(u16::from_ne_bytes(length.to_be_bytes())),
    );
    frame[50..52].copy_from_slice(&word.to_ne_bytes());
}

/// RFC 1071's checksum, word by word, over a TCP segment with its pseudo header: 0 if
/// it is right.
fn verify(frame: &[u8], v6: bool) -> u16 {
    let (addresses, tcp) = if v6 {
        (&frame[22..54], &frame[54..])
    } else {
        (&frame[26..34], &frame[34..])
    };
    let mut all = addresses.to_vec();
    all.extend_from_slice(&[0, 6]);
    all.extend_from_slice(&(tcp.len() as u16).to_be_bytes());
    all.extend_from_slice(tcp);
    if all.len() % 2 == 1 {
        all.push(0);
    }
    let mut total: u32 = 0;
    for word in all.chunks(2) {
        total += u32::from(u16::from_be_bytes([word[0], word[1]]));
        total = (total >> 16) + (total & 0xffff);
    }
    !(total as u16)
}

fn claim(kind: u8, size: u16, start: u16) -> Offload {
    Offload {
        flags: NEEDS_CSUM,
        gso_type: kind,
        hdr_len: 0,
        gso_size: size,
        csum_start: start,
        csum_offset: 16,
    }
}

#[test]
fn sums_are_those_of_rfc_1071() {
    // The example of its section 3.
    let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(fold(sum(&bytes)), u16::from_ne_bytes([0xdd, 0xf2]));
    for len in 0..40 {
        let bytes: Vec<u8> = (0..len).map(|n| (n * 77 + 200) as u8).collect();
        let slow: u64 = bytes
            .chunks(2)
            .map(|two| u64::from(u16::from_ne_bytes([two[0], *two.get(1).unwrap_or(&0)])))
            .sum();
        assert_eq!(fold(sum(&bytes)), fold(slow), "{len}");
    }
}

#[test]
fn an_incomplete_checksum_is_completed() {
    for data in [0, 1, 2, 3, 100, 1459] {
        let mut frame = tcp4(data, 12);
        let work = check(&frame, claim(0, 0, 34)).unwrap();
        assert_eq!(work, Work::Checksum { start: 34, at: 50 });
        complete(&mut frame, 34, 50);
        assert_eq!(verify(&frame, false), 0, "{data}");
    }
}

#[test]
fn segments_are_cut_up() {
    for (data, options, size) in [
        (1000, 0, 100),
        (999, 12, 100),
        (64_000, 40, 1448),
        (50, 0, 100),
    ] {
        for v6 in [false, true] {
            let (frame, kind, tcp) = if v6 {
                (tcp6(data, options), GSO_TCPV6, 54)
            } else {
                (tcp4(data, options), GSO_TCPV4, 34)
            };
            let work = check(&frame, claim(kind | GSO_ECN, size, tcp as u16)).unwrap();
            let Work::Segment(segment) = work else {
                panic!("{work:?}")
            };
            let head = tcp + 20 + options;
            assert_eq!((segment.tcp, segment.data), (tcp, head));
            let mut cutter = Cutter::new(&frame, segment);
            let mut out = vec![0xaa; cutter.longest()];
            let mut joined = Vec::new();
            let mut count = 0_u16;
            while let Some(len) = cutter.next(&mut out) {
                let piece = &out[..len];
                assert_eq!(verify(piece, v6), 0);
                let last = joined.len() + len - head == data;
                assert!(len == head + usize::from(size) || last);
                let sequence = u32::from_be_bytes(piece[tcp + 4..tcp + 8].try_into().unwrap());
                assert_eq!(sequence, 0xffff_ff00_u32.wrapping_add(joined.len() as u32));
                let flags = 0x10 | if last { 0x09 } else { 0 } | if count == 0 { 0x80 } else { 0 };
                assert_eq!(piece[tcp + 13], flags);
                if v6 {
                    let payload = u16::from_be_bytes([piece[18], piece[19]]);
                    assert_eq!(usize::from(payload), len - 54);
                } else {
                    assert_eq!(fold(sum(&piece[14..34])), 0xffff);
                    assert_eq!(
                        usize::from(u16::from_be_bytes([piece[16], piece[17]])),
                        len - 14
                    );
                    let id = u16::from_be_bytes([piece[18], piece[19]]);
                    assert_eq!(id, 0xfffe_u16.wrapping_add(count));
                }
                joined.extend_from_slice(&piece[head..]);
                count += 1;
            }
            assert_eq!(joined, &frame[head..]);
            assert_eq!(usize::from(count), segment.pieces(frame.len()));
        }
    }
}

#[test]
fn claims_that_do_not_fit_are_refused() {
    let frame = tcp4(5000, 0);
    let good = claim(GSO_TCPV4, 1448, 34);
    assert!(check(&frame, good).is_ok());
    let refused = |frame: &[u8], claim, why| assert_eq!(check(frame, claim), Err(why), "{claim:?}");
    refused(&frame[..13], Offload::default(), Malformed::Short);
    refused(&frame, Offload { flags: 4, ..good }, Malformed::Flags);
    refused(&frame, Offload { flags: 0, ..good }, Malformed::Flags);
    refused(
        &frame,
        Offload {
            gso_type: 3,
            ..good
        },
        Malformed::Kind,
    );
    refused(
        &frame,
        Offload {
            gso_type: GSO_ECN,
            ..good
        },
        Malformed::Kind,
    );
    refused(
        &frame,
        Offload {
            gso_type: GSO_TCPV6,
            ..good
        },
        Malformed::Headers,
    );
    refused(
        &frame,
        Offload {
            gso_size: 0,
            ..good
        },
        Malformed::Size,
    );
    refused(
        &frame,
        Offload {
            gso_size: 31,
            ..good
        },
        Malformed::Size,
    );
    refused(
        &frame,
        Offload {
            csum_start: 35,
            ..good
        },
        Malformed::Checksum,
    );
    refused(
        &frame,
        Offload {
            csum_offset: 6,
            ..good
        },
        Malformed::Checksum,
    );
    refused(&frame[..5000], good, Malformed::Length);
    let end = frame.len() as u16;
    for (start, offset) in [(13, 1), (34, end - 35), (end, 0), (u16::MAX, u16::MAX)] {
        let claim = Offload {
            csum_offset: offset,
            ..claim(0, 0, start)
        };
        refused(&frame, claim, Malformed::Checksum);
    }
    let changed = |at: usize, value: u8| {
        let mut frame = frame.clone();
        frame[at] = value;
        frame
    };
    for (at, value) in [
        (12, 0x09),
        (14, 0x55),
        (14, 0x44),
        (20, 0x20),
        (21, 1),
        (23, 17),
        (46, 0x40),
    ] {
        refused(&changed(at, value), good, Malformed::Headers);
    }
    refused(&changed(16, 0), good, Malformed::Length);
}

#[test]
fn a_verified_segment_is_cut_up_too() {
    let frame = tcp4(3000, 0);
    let work = check(
        &frame,
        Offload {
            flags: DATA_VALID,
            ..claim(GSO_TCPV4, 1000, 0)
        },
    );
    let Ok(Work::Segment(segment)) = work else {
        panic!("{work:?}")
    };
    assert!(segment.verified);
    assert_eq!(segment.pieces(frame.len()), 3);
}

#[test]
fn ipv6_extension_headers_are_passed() {
    let mut frame = tcp6(2000, 0);
    // Destination options of 16 bytes between IPv6 and TCP.
    frame.splice(54..54, [6, 1].into_iter().chain([1; 14]));
    frame[20] = 60;
    let payload = (frame.len() - 54) as u16;
    frame[18..20].copy_from_slice(&payload.to_be_bytes());
    let Ok(Work::Segment(segment)) = check(&frame, claim(GSO_TCPV6, 500, 70)) else {
        panic!()
    };
    assert_eq!((segment.tcp, segment.data), (70, 90));
    // A chain without end, and one that leaves the frame.
    frame[54] = 60;
    frame[55] = 255;
    assert_eq!(
        check(&frame, claim(GSO_TCPV6, 500, 70)),
        Err(Malformed::Headers)
    );
}

#[test]
fn a_frame_is_restored_in_one_piece() {
    for (v6, tcp, kind) in [(false, 34, GSO_TCPV4), (true, 54, GSO_TCPV6)] {
        let sound = if v6 { tcp6(5000, 12) } else { tcp4(5000, 12) };
        let mut frame = sound.clone();
        restore(&mut frame, claim(kind | GSO_ECN, 1448, tcp)).unwrap();
        assert_eq!(verify(&frame, v6), 0);
        // Nothing else is changed but checksums.
        let blank = |frame: &[u8]| {
            let mut frame = frame.to_vec();
            if !v6 {
                frame[24..26].fill(0);
            }
            frame[usize::from(tcp) + 16..][..2].fill(0);
            frame
        };
        assert_eq!(blank(&frame), blank(&sound));
        // What claims nonsense stays as it is.
        let mut frame = sound.clone();
        assert!(restore(&mut frame, claim(kind, 1, tcp)).is_err());
        assert_eq!(frame, sound);
    }
}
