//! The machine of bpf(4) with npf's additions, as far as compiled rules use it. For tests:
//! it is strict, where the kernel would refuse a program or go on.

use super::abi;
use std::net::IpAddr;

/// A packet and what npf knows about it.
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
    pub(super) version: u32,
    pub(super) payload: u32,
    pub(super) protocol: u32,
}

/// Looks an address up in the table of a number: the source's, or else the destination's.
pub(super) type Lookup<'a> = &'a dyn Fn(u32, bool) -> bool;

/// Runs a program from the bytes that the kernel gets. `None` is one for every packet.
pub(super) fn matches(program: Option<&[u8]>, packet: &Packet, lookup: Lookup<'_>) -> bool {
    program.is_none_or(|program| run(program, packet, lookup) != 0)
}

fn run(program: &[u8], packet: &Packet, lookup: Lookup<'_>) -> u32 {
    let (instructions, rest) = program.as_chunks::<8>();
    assert!(rest.is_empty() && instructions.len() <= abi::BPF_MAXINSNS);
    let memory = [packet.version, packet.payload, packet.protocol];
    let (mut a, mut x, mut at) = (0_u32, 0_u32, 0);
    loop {
        let [c0, c1, jt, jf, k @ ..] = instructions[at];
        let (code, k) = (u16::from_ne_bytes([c0, c1]), u32::from_ne_bytes(k));
        at += 1;
        let load = |offset: Option<u32>, size: usize| {
            let bytes = packet.bytes.get(offset? as usize..)?.get(..size)?;
            Some(
                bytes
                    .iter()
                    .fold(0, |word, byte| word << 8 | u32::from(*byte)),
            )
        };
        let loaded = match code {
            0x20 => load(Some(k), 4),
            0x48 => load(x.checked_add(k), 2),
            0x50 => load(x.checked_add(k), 1),
            0x00 => Some(k),
            0x60 => Some(memory[k as usize]),
            0x61 => {
                x = memory[k as usize];
                Some(a)
            }
            0x54 => Some(a & k),
            0x27 => {
                assert_eq!(k, 1, "the coprocessor's function for tables");
                Some(u32::from(lookup(a & !(1 << 31), a >> 31 == 1)))
            }
            0x15 | 0x25 | 0x35 => {
                let holds = match code {
                    0x15 => a == k,
                    0x25 => a > k,
                    _ => a >= k,
                };
                at += usize::from(if holds { jt } else { jf });
                Some(a)
            }
            0x06 => return k,
            _ => panic!("instruction {code:#x}"),
        };
        match loaded {
            Some(value) => a = value,
            // Beyond the end of the packet.
            None => return 0,
        }
    }
}

impl Packet {
    /// A packet with these bytes behind its IP header, which has options if it can.
    pub(super) fn new(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Self {
        let mut bytes;
        let version;
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                version = 4;
                // Six words: one of options.
                bytes = vec![0x46, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
                bytes.extend(from.octets());
                bytes.extend(to.octets());
                bytes.extend([1, 1, 1, 0]);
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                version = 6;
                bytes = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
                bytes.extend(from.octets());
                bytes.extend(to.octets());
            }
            _ => panic!("{from} to {to}"),
        }
        let start = bytes.len() as u32;
        bytes.extend(payload);
        Self {
            bytes,
            version,
            payload: start,
            protocol: protocol.into(),
        }
    }
}
