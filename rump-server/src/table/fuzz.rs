//! Frames at random, from the wire and from an application that wants to be somebody else.
//!
//! Most are good ones that were damaged, so that the later checks are reached. What passes
//! is judged by other means than those of the checks: by bytes at fixed places, after all
//! that is left to do to the frame has been done.
//!
//! `RUMP_SERVER_FUZZ=100000000 cargo test --release -p rump-server fuzz` tries so many.

use super::arrive::Arrival;
use super::tests::{DB, NIC, PEER, WEB, World, claim};
use super::*;
use crate::wire::samples::{V4, V6, ethernet, icmp, neighbour, tcp, udp};
use crate::wire::{Arp, Frame, Protocol, arp};
use fastrand::Rng;
use rump_hyper::vif::abi::{GSO_TCPV4, NEEDS_CSUM, Offload};
use rump_hyper::vif::offload::restore;
use std::time::Duration;

fn one_of<T: Clone>(random: &mut Rng, choices: &[T]) -> T {
    choices[random.usize(..choices.len())].clone()
}

const V4S: [&str; 9] = [
    "10.0.0.2",
    "10.0.0.2",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.4",
    "10.0.0.9",
    "10.0.0.9",
    "0.0.0.0",
    "255.255.255.255",
];
const V6S: [&str; 8] = [
    "fd00::2",
    "fd00::2",
    "fd00::2",
    "fd00::3",
    "fd00::9",
    "::",
    "fe80::ff:fe00:1",
    "ff02::1",
];
const PORTS: [u16; 9] = [53, 67, 68, 80, 81, 7, 32768, 33280, 50000];

fn payload(random: &mut Rng, v6: bool) -> (u8, Vec<u8>) {
    let (source, destination) = (one_of(random, &PORTS), one_of(random, &PORTS));
    let len = one_of(random, &[0, 8, 100, 1400]);
    let inner = if v6 {
        V6::new(
            one_of(random, &V6S),
            one_of(random, &V6S),
            17,
            udp(source, destination, 8),
        )
        .packet()
    } else {
        V4::new(
            one_of(random, &V4S),
            one_of(random, &V4S),
            6,
            tcp(source, destination, 2),
        )
        .packet()
    };
    let error = if v6 { 1 } else { 3 };
    let echo = if v6 {
        one_of(random, &[128, 129])
    } else {
        one_of(random, &[0, 8])
    };
    let number = if v6 { 58 } else { 1 };
    match random.usize(..6) {
        0 | 1 => {
            let mut segment = tcp(source, destination, one_of(random, &[2, 16, 4, 0x14]));
            segment.extend(vec![0; len]);
            (6, segment)
        }
        2 => (17, udp(source, destination, len)),
        3 => (number, icmp(error, [0; 4], &inner)),
        4 => (number, icmp(echo, [0, 1, 0, 1], &[])),
        _ => {
            let kind = one_of(random, &[135, 136, 133, 134]);
            let option = one_of(
                random,
                &[None, Some((1, WEB)), Some((2, WEB)), Some((1, DB))],
            );
            (number, neighbour(kind, one_of(random, &V6S), option))
        }
    }
}

/// Mostly right.
fn some_frame(random: &mut Rng) -> Vec<u8> {
    let macs = [WEB, DB, PEER, PEER, Mac::BROADCAST];
    let (to, from) = (
        one_of(random, &macs),
        one_of(random, &[WEB, WEB, WEB, DB, PEER]),
    );
    let mut frame = match random.usize(..8) {
        0 => {
            let mut frame = arp::frame(&Arp {
                operation: one_of(random, &[1, 2]),
                sender_mac: one_of(random, &macs),
                sender: one_of(random, &V4S).parse().unwrap(),
                target_mac: one_of(random, &macs),
                target: one_of(random, &V4S).parse().unwrap(),
            });
            frame[..6].copy_from_slice(&to.0);
            frame[6..12].copy_from_slice(&from.0);
            frame
        }
        1 => ethernet(
            to,
            from,
            random.u16(..),
            &vec![random.u8(..); random.usize(..80)],
        ),
        2..=4 => {
            let (protocol, payload) = payload(random, false);
            let packet = V4::new(
                one_of(random, &V4S),
                one_of(random, &V4S),
                protocol,
                payload,
            );
            let options = one_of(
                random,
                &[
                    vec![],
                    vec![],
                    vec![1; 4],
                    vec![7, 4, 4, 0],
                    vec![131, 4, 4, 0],
                ],
            );
            let fragment = one_of(
                random,
                &[
                    (0, 0),
                    (0, 0),
                    (1, 0x2000),
                    (1, 1),
                    (1, 0x2001),
                    (2, 0x2000),
                    (2, 2),
                ],
            );
            V4 {
                options,
                fragment,
                ..packet
            }
            .frame(to, from)
        }
        _ => {
            let (mut next, mut payload) = payload(random, true);
            for _ in 0..random.usize(..3) {
                let kind = one_of(random, &[0, 43, 44, 60]);
                let mut header = vec![next, 0, 0, one_of(random, &[0, 1, 8, 9]), 0, 0, 0, 1];
                header[2] = if kind == 43 { 4 } else { 0 };
                payload.splice(0..0, header);
                next = kind;
            }
            V6::new(one_of(random, &V6S), one_of(random, &V6S), next, payload).frame(to, from)
        }
    };
    for _ in 0..one_of(random, &[0, 0, 1, 2]) {
        match random.usize(..4) {
            0 => frame.truncate(random.usize(..frame.len() + 1)),
            1 | 2 if !frame.is_empty() => {
                let at = random.usize(..frame.len().min(110));
                frame[at] = random.u8(..);
            }
            _ => frame.extend((0..random.usize(..9)).map(|n| n as u8)),
        }
    }
    frame
}

/// What might be left to do to it: mostly what could be.
fn offload(random: &mut Rng, frame: &[u8]) -> Offload {
    if random.usize(..3) > 0 || frame.len() < 54 {
        return Offload::default();
    }
    let v6 = frame[12] == 0x86;
    let tcp = frame[if v6 { 20 } else { 23 }] == 6;
    let header = if v6 {
        40
    } else {
        u16::from(frame[14] & 15) * 4
    };
    let (start, offset) = (random.usize(..100) as u16, random.usize(..20) as u16);
    let (right, cut) = (if tcp { 16 } else { 6 }, if v6 { 4 } else { GSO_TCPV4 });
    Offload {
        flags: one_of(random, &[NEEDS_CSUM, NEEDS_CSUM, NEEDS_CSUM, 0, 2, 3]),
        gso_type: one_of(random, &[0, cut, 4]),
        hdr_len: 0,
        gso_size: one_of(random, &[100, 1400, 9000]),
        csum_start: one_of(random, &[14 + header, 14 + header, 14 + header, start]),
        csum_offset: one_of(random, &[right, right, right, 12, offset]),
    }
}

/// Nothing of a frame says that somebody else has sent it.
fn is_of(world: &World, slot: Slot, frame: &[u8]) {
    let host = world
        .table
        .host(world.table.application(slot).unwrap().host);
    assert_eq!(frame[6..12], host.mac.0);
    let owned = |protocol, address: &str, at: usize| {
        let port = u16::from_be_bytes([frame[at], frame[at + 1]]);
        let reset = protocol == Protocol::Tcp && frame[at + 13] & 4 != 0;
        let owner = host.owner(protocol, address.parse().unwrap(), port);
        assert!(
            owner == Some(slot) || owner.is_none() && reset,
            "port {port} of {owner:?}"
        );
    };
    match frame[12..14] {
        [8, 6] => {
            assert_eq!(frame[22..28], host.mac.0);
            let sender = <[u8; 4]>::try_from(&frame[28..32]).unwrap();
            assert!(sender == [0; 4] || host.has(sender.into()));
        }
        [8, 0] => {
            let source = std::net::Ipv4Addr::from(<[u8; 4]>::try_from(&frame[26..30]).unwrap());
            assert!(
                source.is_unspecified() || host.has(source.into()),
                "{source}"
            );
            let at = 14 + usize::from(frame[14] & 15) * 4;
            let later = u16::from_be_bytes([frame[20], frame[21]]) & 0x1fff != 0;
            match frame[23] {
                6 if !later => owned(Protocol::Tcp, &source.to_string(), at),
                17 if !later => owned(Protocol::Udp, &source.to_string(), at),
                1 | 2 | 6 | 17 => {}
                other => assert!(later, "protocol {other}"),
            }
        }
        [0x86, 0xdd] => {
            let source = std::net::Ipv6Addr::from(<[u8; 16]>::try_from(&frame[22..38]).unwrap());
            assert!(
                source.is_unspecified() || host.has(source.into()),
                "{source}"
            );
            match frame[20] {
                6 => owned(Protocol::Tcp, &source.to_string(), 54),
                17 => owned(Protocol::Udp, &source.to_string(), 54),
                58 if frame[54] == 136 => {
                    let target = <[u8; 16]>::try_from(&frame[62..78]).unwrap();
                    assert!(host.has(target.into()));
                }
                58 => assert!(![134, 137].contains(&frame[54]), "a router"),
                _ => {}
            }
        }
        ref other => panic!("type {other:?} has passed"),
    }
}

#[test]
fn fuzz() {
    let count = std::env::var("RUMP_SERVER_FUZZ").map_or(Ok(100_000), |text| text.parse::<u64>());
    let count = count.expect("RUMP_SERVER_FUZZ is a number");
    let mut random = Rng::with_seed(0x6b8b_4567_327b_23c6);
    let mut world = World::new();
    let (mut sent, mut delivered, mut answered, mut shaped) = (0_u64, 0_u64, 0_u64, 0_u64);
    for round in 0..count {
        if round % 64 == 0 {
            world.now += Duration::from_millis(100);
            // Ports change hands.
            let owner = one_of(&mut random, &[world.a, world.b]);
            let port = claim(Protocol::Tcp, "10.0.0.2", 7);
            world.table.release(world.a, port);
            world.table.release(world.b, port);
            let _ = world.table.claim(owner, port);
        }
        let mut frame = some_frame(&mut random);
        let claim = offload(&mut random, &frame);
        let slot = match frame.get(11) {
            Some(2) => world.c,
            _ => one_of(&mut random, &[world.a, world.b]),
        };
        if let Ok(departure) =
            world
                .table
                .from_application(slot, &Frame::new(&frame), claim, world.now)
        {
            sent += 1;
            let mut reached = 0;
            if let Some(local) = departure.local {
                world.table.deliver(&local, |other, application| {
                    assert_ne!(other, slot);
                    assert_ne!(other, world.d, "another NIC");
                    assert!(application.host != HostId(2));
                    reached += 1;
                });
            }
            assert!(departure.wire || departure.answer.is_some() || departure.local.is_some());
            if departure.offload != Offload::default() {
                shaped += 1;
                restore(&mut frame, departure.offload).expect("what is left to do can be done");
            }
            is_of(&world, slot, &frame);
        }
        match world.table.from_wire(NIC, &Frame::new(&frame), world.now) {
            Err(_) => {}
            Ok(Arrival::Answer(answer)) => {
                answered += 1;
                let own = [WEB.0, DB.0];
                assert!(own.iter().any(|mac| answer[6..12] == mac[..]));
            }
            Ok(Arrival::To(delivery)) => {
                let mut reached = Vec::new();
                world.table.deliver(&delivery, |slot, _| reached.push(slot));
                assert!(!reached.contains(&world.d), "another NIC");
                delivered += u64::from(!reached.is_empty());
                if frame[0] & 1 == 0 {
                    let mac = |slot: &Slot| {
                        let application = world.table.application(*slot).unwrap();
                        world.table.host(application.host).mac
                    };
                    assert!(reached.iter().all(|slot| mac(slot).0 == frame[..6]));
                }
                alone(&frame, &reached);
            }
        }
    }
    println!(
        "{count} frames tried both ways: {sent} passed as sent, {shaped} of them with work left, \
         {delivered} were delivered from the wire, {answered} answered"
    );
    assert!(
        sent > count / 50
            && shaped > count / 5000
            && delivered > count / 20
            && answered > count / 1000
    );
}

/// A whole segment or datagram to an address of the host reaches one application.
fn alone(frame: &[u8], reached: &[Slot]) {
    let whole4 = frame[12..14] == [8, 0]
        && matches!(frame[23], 6 | 17)
        && u16::from_be_bytes([frame[20], frame[21]]) & 0x3fff == 0
        && matches!(frame[30..34], [10, 0, 0, 2..=4]);
    let whole6 = frame[12..14] == [0x86, 0xdd]
        && matches!(frame[20], 6 | 17)
        && frame[38] == 0xfd
        && frame[39..53].iter().all(|byte| *byte == 0)
        && matches!(frame[53], 2 | 3);
    let own = match (&frame[..6], whole4, whole6) {
        (mac, true, _) if mac == WEB.0 => matches!(frame[33], 2 | 4),
        (mac, true, _) if mac == DB.0 => frame[33] == 3,
        (mac, _, true) if mac == WEB.0 => frame[53] == 2,
        (mac, _, true) if mac == DB.0 => frame[53] == 3,
        _ => false,
    };
    if own {
        assert_eq!(reached.len(), 1, "{frame:02x?}");
    }
}
