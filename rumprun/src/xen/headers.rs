//! Where the headers of a frame are: the other end of an interface says that a checksum is to be
//! completed, but not where; or it wants hashes of what is in them.

use super::abi::net;
use rump_hyper::vif::abi::{GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM, Offload};

/// Ethernet: two addresses and a type (IEEE 802.3, 3.1.1).
pub(super) const ETHERNET: usize = 14;
/// A tag of IEEE 802.1Q.
const VLAN: usize = 4;
const TYPE_VLAN: u16 = 0x8100;
const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// IPv6 headers may be followed by so many others (RFC 8200, 4.1).
const EXTENSIONS: usize = 8;

/// What a frame is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    V4,
    V6,
}

/// Where the header of IP begins, and of which it is.
pub(super) fn network(frame: &[u8]) -> Option<(usize, Network)> {
    let (ip, kind) = match be16(frame, ETHERNET - 2)? {
        TYPE_VLAN => (ETHERNET + VLAN, be16(frame, ETHERNET + VLAN - 2)?),
        kind => (ETHERNET, kind),
    };
    match kind {
        TYPE_IPV4 => Some((ip, Network::V4)),
        TYPE_IPV6 => Some((ip, Network::V6)),
        _ => None,
    }
}

/// A header of TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transport {
    /// It is TCP's.
    pub is_tcp: bool,
    /// Where it begins.
    pub start: usize,
    /// Where its checksum is, from there.
    pub checksum: u16,
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([two[0], two[1]]))
}

impl Transport {
    /// That of a frame. `None` if it has none, or only a part of one.
    pub(super) fn find(frame: &[u8]) -> Option<Self> {
        let (start, protocol) = match network(frame)? {
            (ip, Network::V4) => ipv4(frame, ip)?,
            (ip, Network::V6) => ipv6(frame, ip)?,
        };
        let (checksum, header) = match protocol {
            TCP => (16, 20),
            UDP => (6, 8),
            _ => return None,
        };
        (start + header <= frame.len()).then_some(Self {
            is_tcp: protocol == TCP,
            start,
            checksum,
        })
    }
}

/// How a segment is to be cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gso {
    /// It is IPv6.
    pub v6: bool,
    /// Data of each piece.
    pub size: u16,
}

impl Gso {
    /// As it is said beside of a frame; `None` if there is no such kind.
    pub(super) fn of(kind: u8, size: u16) -> Option<Self> {
        let v6 = match kind {
            net::TCP4 => false,
            net::TCP6 => true,
            _ => return None,
        };
        Some(Self { v6, size })
    }
}

/// The kind that is said beside of a frame which is to be cut up.
pub(super) fn kind(offload: Offload) -> Option<u8> {
    match offload.gso_type & !GSO_ECN {
        GSO_NONE => None,
        GSO_TCPV6 => Some(net::TCP6),
        _ => Some(net::TCP4),
    }
}

/// What is to be done to a frame whose checksum is to be completed, and which may be a segment
/// that is to be cut up, as [`rump_hyper::vif::offload::check`] takes it. `None` if its headers
/// are not such that it can be done.
pub(super) fn unfinished(frame: &[u8], gso: Option<Gso>) -> Option<Offload> {
    let transport = Transport::find(frame)?;
    let mut offload = Offload {
        flags: NEEDS_CSUM,
        csum_start: u16::try_from(transport.start).ok()?,
        csum_offset: transport.checksum,
        ..Offload::default()
    };
    if let Some(Gso { v6, size }) = gso {
        offload.gso_type = if v6 { GSO_TCPV6 } else { GSO_TCPV4 };
        offload.gso_size = size;
        let header = usize::from(*frame.get(transport.start + 12)? >> 4) * 4;
        offload.hdr_len = u16::try_from(transport.start + header).ok()?;
    }
    Some(offload)
}

/// RFC 791, 3.1.
fn ipv4(frame: &[u8], ip: usize) -> Option<(usize, u8)> {
    let header = frame.get(ip..ip + 20)?;
    let len = usize::from(header[0] & 0x0f) * 4;
    let fragment = be16(header, 6)? & 0x3fff;
    (header[0] >> 4 == 4 && len >= 20 && fragment == 0).then_some((ip + len, header[9]))
}

/// RFC 8200, 3 and 4.
fn ipv6(frame: &[u8], ip: usize) -> Option<(usize, u8)> {
    let header = frame.get(ip..ip + 40)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let (mut at, mut next) = (ip + 40, header[6]);
    for _ in 0..EXTENSIONS {
        // Hop by hop, routing, for the destination.
        if !matches!(next, 0 | 43 | 60) {
            break;
        }
        let extension = frame.get(at..at + 8)?;
        next = extension[0];
        at += (usize::from(extension[1]) + 1) * 8;
    }
    Some((at, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn frame(start: &[u8], len: usize) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(start);
        frame.resize(len, 0);
        frame
    }

    fn four(protocol: u8, first: u8, fragment: u8) -> Vec<u8> {
        let ip = [first, 0, 0, 0, 0, 0, fragment, 0, 64, protocol];
        frame(&[&[8, 0][..], &ip].concat(), 80)
    }

    #[test]
    fn headers_are_found() {
        let found = |frame: &[u8]| Transport::find(frame).map(|at| (at.start, at.checksum));
        assert_eq!(found(&four(TCP, 0x45, 0)), Some((34, 16)));
        assert_eq!(found(&four(UDP, 0x45, 0x40)), Some((34, 6)));
        assert_eq!(found(&four(TCP, 0x46, 0)), Some((38, 16)));
        // ICMP, a fragment, no IPv4, and half a header.
        for other in [four(1, 0x45, 0), four(TCP, 0x45, 0x20), four(TCP, 0x65, 0)] {
            assert_eq!(found(&other), None);
        }
        assert_eq!(found(&four(TCP, 0x45, 0)[..53]), None);
        let tagged = [&[0x81, 0, 0, 5][..], &four(UDP, 0x45, 0)[12..]].concat();
        assert_eq!(found(&frame(&tagged, 90)), Some((38, 6)));
        let mut six = frame(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 0], 100);
        // Hop by hop of 16 bytes, then TCP.
        six[54..56].copy_from_slice(&[TCP, 1]);
        assert_eq!(found(&six), Some((70, 16)));
        assert_eq!(found(&six[..89]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn what_is_found_is_inside(
            mut frame in prop::collection::vec(any::<u8>(), 0..120),
            kind in prop::sample::select(vec![[8_u8, 0], [0x86, 0xdd], [0x81, 0]]),
            version in prop::sample::select(vec![0x45_u8, 0x4f, 0x60]),
            next in prop::sample::select(vec![TCP, UDP, 0, 43, 60]),
        ) {
            for (at, bytes) in [(12, &kind[..]), (14, &[version]), (20, &[next]), (23, &[next])] {
                if let Some(place) = frame.get_mut(at..at + bytes.len()) {
                    place.copy_from_slice(bytes);
                }
            }
            if let Some(found) = Transport::find(&frame) {
                prop_assert!(found.start + usize::from(found.checksum) + 2 <= frame.len());
            }
        }
    }
}
