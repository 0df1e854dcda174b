//! Which queue of a front end's a frame goes to: what it has asked for by its control ring
//! (io/netif.h, "Control ring"), or what tells connections apart.
//!
//! A front end that has several queues may want a hash of its own choice, Toeplitz' with its key
//! over addresses and ports, and a table from hashes to queues, so that each of its CPUs has its
//! connections. Windows' does; Linux' has never heard of it.

use super::super::headers::{self, Network, Transport};
use rump_hyper::vif::{Transmit, flow};

/// Kinds of hashes, as bits: over what. `XEN_NETIF_CTRL_HASH_TYPE_*`.
pub(super) const IPV4: u32 = 1;
pub(super) const IPV4_TCP: u32 = 1 << 1;
pub(super) const IPV6: u32 = 1 << 2;
pub(super) const IPV6_TCP: u32 = 1 << 3;
pub(super) const KINDS: u32 = IPV4 | IPV4_TCP | IPV6 | IPV6_TCP;

/// Bytes of a key at most: enough for addresses and ports of IPv6, and 32 bits more.
pub(super) const KEY: usize = 40;
/// Entries of the table at most.
pub(super) const TABLE: usize = 128;

/// Headers as far as they are looked at.
const HEADERS: usize = 128;

/// What is to be hashed, and how.
#[derive(Clone, Debug)]
pub(super) struct Hashing {
    pub queues: u32,
    /// Whether by Toeplitz; else it is our choice.
    pub toeplitz: bool,
    /// Bits of [`KINDS`].
    pub kinds: u32,
    pub key: [u8; KEY],
    pub table: [u32; TABLE],
    /// Entries of the table that are used; without one it is the hash itself.
    pub size: usize,
}

/// A frame's hash, as it is told the front end beside the frame: the number of its kind's bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash {
    pub kind: u8,
    pub value: u32,
}

impl Hashing {
    /// Our own choice, among so many queues.
    pub(super) fn new(queues: u32) -> Self {
        Self {
            queues,
            toeplitz: false,
            kinds: 0,
            key: [0; KEY],
            table: [0; TABLE],
            size: 0,
        }
    }

    /// The queue that a frame goes to, and its hash, if it has one that was asked for.
    pub(super) fn queue(&self, frame: &Transmit<'_>) -> (usize, Option<Hash>) {
        if !self.toeplitz {
            let queue = match self.queues {
                1 => 0,
                queues => flow::hash(frame) % queues,
            };
            return (queue as usize, None);
        }
        let mut headers = [0; HEADERS];
        let len = frame.copy_to(&mut headers);
        let hash = self.hash(&headers[..len]);
        let value = hash.map_or(0, |hash| hash.value);
        let queue = match self.table[..self.size].get(value as usize % self.size.max(1)) {
            Some(queue) => *queue,
            None => value % self.queues,
        };
        // The table's entries were checked when they came, for as many queues.
        ((queue % self.queues) as usize, hash)
    }

    /// The hash of a frame that begins so.
    fn hash(&self, headers: &[u8]) -> Option<Hash> {
        let (ip, kind) = headers::network(headers)?;
        let (addresses, plain, tcp) = match kind {
            Network::V4 => (headers.get(ip + 12..ip + 20)?, IPV4, IPV4_TCP),
            Network::V6 => (headers.get(ip + 8..ip + 40)?, IPV6, IPV6_TCP),
        };
        let ports = Transport::find(headers)
            .filter(|transport| transport.is_tcp && self.kinds & tcp != 0)
            .and_then(|transport| headers.get(transport.start..transport.start + 4));
        let (kind, ports) = match ports {
            Some(ports) => (tcp, ports),
            None if self.kinds & plain != 0 => (plain, &[][..]),
            None => return None,
        };
        Some(Hash {
            kind: kind.trailing_zeros() as u8,
            value: toeplitz(&self.key, addresses.iter().chain(ports)),
        })
    }
}

/// Toeplitz' hash, as receive-side scaling has it (Microsoft, "RSS Hashing Functions"): for each
/// bit of the input that is set, the 32 bits of the key that begin where it stands. The key goes on
/// with zeros.
fn toeplitz<'a>(key: &[u8; KEY], input: impl Iterator<Item = &'a u8>) -> u32 {
    let byte = |at: usize| u64::from(key.get(at).copied().unwrap_or(0));
    let mut window = (0..8).fold(0, |window, at| window << 8 | byte(at));
    let mut hash = 0;
    for (at, input) in input.enumerate() {
        for bit in 0..8 {
            if input >> (7 - bit) & 1 != 0 {
                hash ^= (window << bit >> 32) as u32;
            }
        }
        window = window << 8 | byte(at + 8);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use rump_hyper::vif::abi::Offload;
    use rump_hyper::vif::backend::Piece;
    use std::vec;
    use std::vec::Vec;

    /// The key, addresses, ports and hashes of Microsoft's "Verifying the RSS Hash Calculation".
    const MICROSOFTS: [u8; KEY] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f,
        0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
        0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    fn ipv4(protocol: u8, from: ([u8; 4], u16), to: ([u8; 4], u16)) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0]);
        frame.extend(from.0.iter().chain(&to.0));
        frame.extend(from.1.to_be_bytes().iter().chain(&to.1.to_be_bytes()));
        frame.resize(80, 0);
        frame
    }

    fn hashing(kinds: u32) -> Hashing {
        Hashing {
            toeplitz: true,
            kinds,
            key: MICROSOFTS,
            ..Hashing::new(4)
        }
    }

    #[test]
    fn hashes_are_those_of_the_specification() {
        for (from, from_port, to, to_port, plain, tcp) in [
            (
                [66, 9, 149, 187],
                2794,
                [161, 142, 100, 80],
                1766,
                0x323e_8fc2,
                0x51cc_c178,
            ),
            (
                [199, 92, 111, 2],
                14230,
                [65, 69, 140, 83],
                4739,
                0xd718_262a,
                0xc626_b0ea,
            ),
            (
                [24, 19, 198, 95],
                12898,
                [12, 22, 207, 184],
                38024,
                0xd2d0_a5de,
                0x5c2b_394a,
            ),
        ] {
            let frame = |protocol| ipv4(protocol, (from, from_port), (to, to_port));
            let value = |kinds, protocol| {
                let hash = hashing(kinds).hash(&frame(protocol));
                hash.map(|hash| (hash.kind, hash.value))
            };
            assert_eq!(value(IPV4, 6), Some((0, plain)));
            assert_eq!(value(IPV4 | IPV4_TCP, 6), Some((1, tcp)));
            assert_eq!(value(KINDS, 17), Some((0, plain)));
            assert_eq!(value(IPV4_TCP, 17), None);
            assert_eq!(value(IPV6 | IPV6_TCP, 6), None);
        }
    }

    #[test]
    fn hashes_of_ipv6_are_those_of_the_specification() {
        let to = [0x3f, 0xfe, 0x25, 1, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1];
        let from = [
            0x3f, 0xfe, 0x25, 1, 2, 0, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7,
        ];
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]);
        frame.extend(from.iter().chain(&to));
        frame.extend([2794_u16.to_be_bytes(), 1766_u16.to_be_bytes()].concat());
        frame.resize(74, 0);
        let value = |kinds| hashing(kinds).hash(&frame).map(|hash| hash.value);
        assert_eq!(value(IPV6), Some(0x2cc1_8cd5));
        assert_eq!(value(KINDS), Some(0x4020_7d3d));
    }

    #[test]
    fn queues_are_those_of_the_table() {
        let frame = ipv4(6, ([66, 9, 149, 187], 2794), ([161, 142, 100, 80], 1766));
        let pieces = [Piece::new(&frame)];
        let frame = Transmit::new(&pieces, Offload::default());
        let mut hashing = hashing(KINDS);
        let hash = Hash {
            kind: 1,
            value: 0x51cc_c178,
        };
        assert_eq!(hashing.queue(&frame), (0, Some(hash)));
        hashing.size = 5;
        hashing.table[0x51cc_c178 % 5] = 3;
        assert_eq!(hashing.queue(&frame), (3, Some(hash)));
        // What has no such hash goes where the hash 0 does.
        hashing.kinds = 0;
        hashing.table[0] = 2;
        assert_eq!(hashing.queue(&frame), (2, None));
        // Our own choice.
        hashing.toeplitz = false;
        let (queue, none) = hashing.queue(&frame);
        assert!(queue < 4 && none.is_none());
        assert_eq!(Hashing::new(1).queue(&frame), (0, None));
    }
}
