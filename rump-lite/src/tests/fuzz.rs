//! The receive path is given packets of every kind of wrong: mutations of what it sends
//! itself, segments without sense for connections that exist, and noise.
//!
//! `RUMP_LITE_FUZZ` says how many (200,000 by default); the seed is printed.

use super::{Fd, accept, boot, bound, connect, echo, listener, lock, send};
use crate::hypercall;
use crate::net::LOOPBACK;
use fastrand::Rng;
use rump_abi as abi;
use std::println;
use std::vec::Vec;

/// Sockets in several states, and the packets that have been seen on the way.
struct Scene {
    open: Vec<Fd>,
    packets: Vec<Vec<u8>>,
    ports: Vec<u16>,
}

impl Scene {
    fn set() -> Self {
        lock().net.record = Some(Vec::new());
        let (mut open, mut ports) = (Vec::new(), Vec::new());
        for family in [abi::AF_INET, abi::AF_INET6] {
            let (listener, address) = listener(family);
            ports.push(address.port());
            for _ in 0..3 {
                let client = connect(family, abi::SOCK_STREAM, &address);
                let server = accept(&listener);
                send(&client, &[7; 3000]);
                send(&server, &[8; 100]);
                open.extend([client, server]);
            }
            // One that waits to be accepted, one that is half closed, one that has ended.
            open.push(connect(family, abi::SOCK_STREAM, &address));
            drop(open.remove(0));
            drop(connect(family, abi::SOCK_STREAM, &address));
            open.push(listener);

            let (datagrams, address) = bound(family, abi::SOCK_DGRAM);
            ports.push(address.port());
            let peer = connect(family, abi::SOCK_DGRAM, &address);
            send(&peer, b"datagram");
            open.extend([datagrams, peer]);
            // To a port where nobody is, for the error that comes back.
            let (nobody, address) = bound(family, abi::SOCK_DGRAM);
            drop(nobody);
            let peer = connect(family, abi::SOCK_DGRAM, &address);
            send(&peer, b"lost");
            open.push(peer);
        }
        let packets = lock().net.record.take().unwrap();
        assert!(packets.len() > 50, "{}", packets.len());
        Self {
            open,
            packets,
            ports,
        }
    }

    fn packet(&self, random: &mut Rng) -> Vec<u8> {
        let mut packet = self.packets[random.usize(..self.packets.len())].clone();
        let kind = random.usize(..8);
        match kind {
            // As it was, out of its time.
            0 => {}
            1 => packet.truncate(random.usize(..packet.len() + 1)),
            2 => packet.extend((0..random.usize(..64)).map(|_| random.u8(..))),
            // A TCP header with other flags, numbers, window and options.
            3 | 4 if packet.len() >= 60 => {
                let start = if packet[0] >> 4 == 4 { 20 } else { 40 };
                let header = &mut packet[start..];
                for _ in 0..=random.usize(..3) {
                    let at = [13, 12, 14, 15, 4, 7, 8, 11, 20, 21, 22][random.usize(..11)]
                        .min(header.len() - 1);
                    header[at] = random.u8(..);
                }
            }
            // For another socket, or from elsewhere.
            5 if packet.len() >= 24 => {
                let start = if packet[0] >> 4 == 4 { 20 } else { 40 };
                let port = self.ports[random.usize(..self.ports.len())].to_be_bytes();
                if packet.len() >= start + 4 {
                    packet[start + 2..start + 4].copy_from_slice(&port);
                    packet[start] = random.u8(..);
                }
            }
            6 => packet = (0..random.usize(..128)).map(|_| random.u8(..)).collect(),
            _ => {
                for _ in 0..=random.usize(..8) {
                    if !packet.is_empty() {
                        let at = random.usize(..packet.len().min(80));
                        packet[at] ^= 1 << random.usize(..8);
                    }
                }
            }
        }
        packet
    }
}

#[test]
fn malformed_packets_are_survived() {
    let _kernel = boot();
    let count: usize = std::env::var("RUMP_LITE_FUZZ")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(200_000);
    let seed = hypercall::random() | 1;
    println!("seed {seed:#x}");
    let mut random = Rng::with_seed(seed);
    let mut scene = Scene::set();
    for number in 0..count {
        let packet = scene.packet(&mut random);
        let mut kernel = lock();
        kernel.net.read_clock();
        kernel.net.interfaces[LOOPBACK]
            .device
            .send(packet.len(), |room| room.copy_from_slice(&packet));
        kernel.run_network();
        // Time passes faster than it does, so that timers take part.
        if random.usize(..50) == 0 {
            let later =
                hypercall::now() + smoltcp::time::Duration::from_millis(random.u64(..100_000));
            kernel.run_timers(later);
        }
        drop(kernel);
        // Connections that were reset are replaced now and then.
        if number % 20_000 == 19_999 {
            scene.open.clear();
            scene = Scene::set();
        }
    }
    drop(scene);
    for family in [abi::AF_INET, abi::AF_INET6] {
        echo(family);
    }
    println!("{count} packets");
}

/// More `SYN`s than a listener lets wait, from addresses that never answer: the program's
/// own connections are made all the same.
#[test]
fn a_flood_of_syns_is_survived() {
    let _kernel = boot();
    let (listener, address) = listener(abi::AF_INET);
    let mut random = Rng::with_seed(hypercall::random());
    let syn = {
        lock().net.record = Some(Vec::new());
        drop(connect(abi::AF_INET, abi::SOCK_STREAM, &address));
        drop(accept(&listener));
        lock().net.record.take().unwrap().swap_remove(0)
    };
    for _ in 0..10_000 {
        let mut packet = syn.clone();
        // From another host and port, whose answers get lost.
        packet[12] = 10;
        packet[13..16].copy_from_slice(&random.u64(..).to_ne_bytes()[..3]);
        packet[20..22].copy_from_slice(&(1 + (random.u16(..) >> 1)).to_be_bytes());
        let mut kernel = lock();
        kernel.net.read_clock();
        let device = &mut kernel.net.interfaces[LOOPBACK].device;
        device.send(packet.len(), |room| room.copy_from_slice(&packet));
        let frame = device.next().unwrap();
        kernel.receive(LOOPBACK, frame);
        // The answer.
        while kernel.net.interfaces[LOOPBACK].device.next().is_some() {}
    }
    let waiting = lock().net.connections.len();
    assert!(waiting <= 200, "{waiting} connections");
    let client = connect(abi::AF_INET, abi::SOCK_STREAM, &address);
    let server = accept(&listener);
    send(&client, b"made it");
    assert_eq!(&super::receive::<7>(&server), b"made it");
}
