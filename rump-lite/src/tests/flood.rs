//! More than can be had, over an interface to other hosts.

use super::frames::{HERE, arp, tcp};
use super::link::{Link, sent, sent_since};
use super::{accept, boot, echo, listener_at, lock, receive};
use crate::hypercall;
use fastrand::Rng;
use rump_abi as abi;
use smoltcp::wire::{Ipv4Address, Ipv4Packet, TcpControl, TcpPacket, TcpSeqNumber};
use std::println;
use std::vec::Vec;

const THERE: Ipv4Address = Ipv4Address::new(10, 9, 0, 2);

/// The answer to a `SYN` from this port of the other host's.
fn answer(frames: &[Vec<u8>], port: u16) -> Option<TcpSeqNumber> {
    frames.iter().find_map(|frame| {
        let ip = Ipv4Packet::new_checked(frame.get(14..)?).ok()?;
        let segment = TcpPacket::new_checked(ip.payload()).ok()?;
        let found = ip.dst_addr() == THERE && segment.dst_port() == port;
        (found && segment.syn() && segment.ack()).then(|| segment.seq_number())
    })
}

/// `SYN`s from hosts that are there, are not, and are nowhere: what waits is bounded, other
/// connections go on, and who comes afterwards is served.
#[test]
fn a_flood_of_syns_over_a_link_is_survived() {
    let _kernel = boot();
    let link = Link::new();
    let (listener, port) = listener_at(HERE);
    link.receive(&mut arp(THERE), 0);
    let mut random = Rng::with_seed(hypercall::random());
    let count = 20_000;
    let mut most = (0, 0);
    let before = rump_hyper::memory::in_use();
    for number in 0..count {
        let from = match random.usize(..3) {
            0 => THERE,
            1 => Ipv4Address::new(10, 9, 0, 3 + random.usize(..200) as u8),
            _ => Ipv4Address::from(random.u32(..)),
        };
        let source = 1 + random.usize(..65_000) as u16;
        let sequence = random.i32(..);
        link.receive(
            &mut tcp((from, source), port, TcpControl::Syn, sequence, None, &[]),
            0,
        );
        if number % 500 == 0 {
            let memory = rump_hyper::memory::in_use().saturating_sub(before);
            let connections = lock().net.connections.len();
            most = (most.0.max(connections), most.1.max(memory));
        }
        if number % 5000 == 0 {
            echo(abi::AF_INET);
        }
    }
    println!(
        "{count} SYNs: at most {} connections, {} bytes",
        most.0, most.1
    );
    // The backlog, and what the other tests of this process left in TIME_WAIT or so.
    assert!(most.0 <= 200, "{} connections", most.0);
    assert!(most.1 <= 64 << 20, "{} bytes", most.1);

    // A whole handshake.
    let before = sent();
    let source = 65_123;
    link.receive(
        &mut tcp((THERE, source), port, TcpControl::Syn, 1000, None, &[]),
        0,
    );
    let theirs = answer(&sent_since(before), source).expect("an answer") + 1;
    let data = b"made it";
    link.receive(
        &mut tcp(
            (THERE, source),
            port,
            TcpControl::Psh,
            1001,
            Some(theirs),
            data,
        ),
        0,
    );
    let server = accept(&listener);
    assert_eq!(&receive::<7>(&server), data);
    drop((server, listener, link));
    // What waited went with the listener.
    assert_eq!(lock().net.connections.len(), 0);
}
