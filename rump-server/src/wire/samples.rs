//! Frames to try things with.

use super::{Mac, ethertype};
use std::net::{Ipv4Addr, Ipv6Addr};

/// An Ethernet frame.
pub(crate) fn ethernet(to: Mac, from: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(to.0);
    frame.extend(from.0);
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A packet of IPv4, all of which can be set.
#[derive(Clone)]
pub(crate) struct V4 {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) protocol: u8,
    pub(crate) options: Vec<u8>,
    /// Identification; flags and offset as they stand in the header.
    pub(crate) fragment: (u16, u16),
    pub(crate) payload: Vec<u8>,
}

impl V4 {
    pub(crate) fn new(source: &str, destination: &str, protocol: u8, payload: Vec<u8>) -> Self {
        Self {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            protocol,
            options: Vec::new(),
            fragment: (0, 0),
            payload,
        }
    }

    pub(crate) fn packet(&self) -> Vec<u8> {
        let header = 20 + self.options.len();
        let mut packet = vec![0x40 | (header / 4) as u8, 0];
        packet.extend(((header + self.payload.len()) as u16).to_be_bytes());
        packet.extend(self.fragment.0.to_be_bytes());
        packet.extend(self.fragment.1.to_be_bytes());
        packet.extend([64, self.protocol, 0, 0]);
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        packet.extend(&self.options);
        packet.extend(&self.payload);
        packet
    }

    pub(crate) fn frame(&self, to: Mac, from: Mac) -> Vec<u8> {
        ethernet(to, from, ethertype::IPV4, &self.packet())
    }
}

/// The same of IPv6; extension headers are a part of the payload.
#[derive(Clone)]
pub(crate) struct V6 {
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) next: u8,
    pub(crate) hops: u8,
    pub(crate) payload: Vec<u8>,
}

impl V6 {
    pub(crate) fn new(source: &str, destination: &str, next: u8, payload: Vec<u8>) -> Self {
        Self {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            next,
            hops: 255,
            payload,
        }
    }

    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((self.payload.len() as u16).to_be_bytes());
        packet.extend([self.next, self.hops]);
        packet.extend(self.source.octets());
        packet.extend(self.destination.octets());
        packet.extend(&self.payload);
        packet
    }

    pub(crate) fn frame(&self, to: Mac, from: Mac) -> Vec<u8> {
        ethernet(to, from, ethertype::IPV6, &self.packet())
    }
}

/// A segment without data.
pub(crate) fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(source.to_be_bytes());
    segment.extend(destination.to_be_bytes());
    segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    segment
}

/// A datagram with so many bytes.
pub(crate) fn udp(source: u16, destination: u16, len: usize) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(source.to_be_bytes());
    datagram.extend(destination.to_be_bytes());
    datagram.extend(((8 + len) as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(vec![0x5a; len]);
    datagram
}

/// A message of ICMP or ICMPv6: what is in the second word, and what follows.
pub(crate) fn icmp(kind: u8, word: [u8; 4], rest: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0];
    message.extend(word);
    message.extend(rest);
    message
}

/// Neighbour discovery about an address, with an option.
pub(crate) fn neighbour(kind: u8, target: &str, option: Option<(u8, Mac)>) -> Vec<u8> {
    let mut rest = target.parse::<Ipv6Addr>().unwrap().octets().to_vec();
    if let Some((kind, mac)) = option {
        rest.extend([kind, 1]);
        rest.extend(mac.0);
    }
    icmp(kind, [0; 4], &rest)
}
