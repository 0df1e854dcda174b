//! Telling connections apart.

use super::backend::Transmit;

/// Ethernet, the longest headers without options that ports stand behind, and the ports.
const HEADERS: usize = 14 + 40 + 4;

/// A number that all frames of a connection have in common: of addresses and ports where
/// there are any, else of the Ethernet addresses.
pub fn hash(frame: &Transmit<'_>) -> u32 {
    let mut headers = [0; HEADERS];
    let len = frame.copy_to(&mut headers);
    of(&headers[..len])
}

fn of(headers: &[u8]) -> u32 {
    let addresses = |from, to| headers.get(from..to).unwrap_or_default();
    // Protocols with ports: TCP and UDP.
    let ports = |kind: usize, at: usize| match headers.get(kind) {
        Some(6 | 17) => headers.get(at..at + 4).unwrap_or_default(),
        _ => &[],
    };
    let (addresses, ports) = match headers.get(12..15) {
        // RFC 791, 3.1: no options, not a fragment.
        Some([0x08, 0x00, 0x45]) if addresses(20, 22).iter().all(|byte| byte & 0xbf == 0) => {
            (addresses(26, 34), ports(23, 34))
        }
        Some([0x08, 0x00, _]) => (addresses(26, 34), &[][..]),
        // RFC 8200, 3.
        Some([0x86, 0xdd, _]) => (addresses(22, 54), ports(20, 54)),
        _ => (addresses(0, 12), &[][..]),
    };
    let bytes = addresses.iter().chain(ports);
    // FNV-1a (draft-eastlake-fnv), whose low bits are mixed with the high ones.
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    hash ^ (hash >> 16)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn tcp4(port: u16, fragment: u16) -> [u8; HEADERS] {
        let mut frame = [0; HEADERS];
        frame[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
        frame[20..22].copy_from_slice(&fragment.to_be_bytes());
        frame[23] = 6;
        frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        // The sequence number is not of the connection.
        frame[38..42].copy_from_slice(&u32::from(port).to_be_bytes());
        frame
    }

    #[test]
    fn connections_are_spread_and_stay_together() {
        let queues: HashSet<_> = (50_000..50_100)
            .map(|port| of(&tcp4(port, 0x4000)) % 4)
            .collect();
        assert_eq!(queues.len(), 4);
        let mut later = tcp4(50_000, 0x4000);
        later[38..42].fill(0xff);
        assert_eq!(of(&later), of(&tcp4(50_000, 0x4000)));
        // Only the first fragment has ports; all go the same way.
        assert_eq!(of(&tcp4(1, 0x2000)), of(&tcp4(2, 0x0010)));
        let mut v6 = [0; HEADERS];
        v6[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        v6[20] = 17;
        let mut other = v6;
        other[57] = 1;
        assert_ne!(of(&v6), of(&other));
    }

    #[test]
    fn whatever_is_short_has_a_hash() {
        let frame = tcp4(1, 0);
        for len in 0..frame.len() {
            of(&frame[..len]);
        }
    }
}
