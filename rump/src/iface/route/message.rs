//! Messages of `route(4)`: a header, and the addresses whose bits are set in it, in the
//! order of the bits, each padded to a multiple of 8 bytes.

use crate::descriptor::AsDescriptor;
use crate::error::Errno;
use crate::sys::socket;
use rump_sys::abi::{self, rt_metrics, rt_msghdr};
use std::ffi::c_int;
use std::io;
use std::mem::{offset_of, size_of};
use std::sync::atomic::{AtomicI32, Ordering};

/// A message to the kernel.
pub(in crate::iface) struct Change {
    kind: u8,
    flags: c_int,
    /// Bit and bytes, in the order of the bits.
    addresses: Vec<(c_int, Vec<u8>)>,
}

/// Tells the answer to a message from those to others.
static SEQUENCE: AtomicI32 = AtomicI32::new(1);

impl Change {
    pub(in crate::iface) fn new(kind: u8, flags: c_int) -> Self {
        Self {
            kind,
            flags,
            addresses: Vec::new(),
        }
    }

    pub(in crate::iface) fn flag(&mut self, flag: c_int) {
        self.flags |= flag;
    }

    pub(in crate::iface) fn address(&mut self, bit: c_int, address: &[u8]) {
        self.addresses.push((bit, address.into()));
        self.addresses.sort_by_key(|(bit, _)| *bit);
    }

    fn bytes(&self, sequence: c_int) -> Vec<u8> {
        let mut bytes = vec![0; size_of::<rt_msghdr>()];
        let bits = self.addresses.iter().fold(0, |bits, (bit, _)| bits | bit);
        for (_, address) in &self.addresses {
            let end = bytes.len() + abi::route::padded(address.len());
            bytes.extend_from_slice(address);
            bytes.resize(end, 0);
        }
        let length = bytes.len() as u16;
        let mut put = |offset: usize, field: &[u8]| {
            bytes[offset..][..field.len()].copy_from_slice(field);
        };
        put(offset_of!(rt_msghdr, rtm_msglen), &length.to_ne_bytes());
        put(offset_of!(rt_msghdr, rtm_version), &[abi::RTM_VERSION]);
        put(offset_of!(rt_msghdr, rtm_type), &[self.kind]);
        put(offset_of!(rt_msghdr, rtm_flags), &self.flags.to_ne_bytes());
        put(offset_of!(rt_msghdr, rtm_addrs), &bits.to_ne_bytes());
        put(offset_of!(rt_msghdr, rtm_seq), &sequence.to_ne_bytes());
        bytes
    }

    /// Has the kernel do it.
    pub(in crate::iface) fn send(&self) -> io::Result<()> {
        let socket = socket::socket(abi::AF_ROUTE, abi::SOCK_RAW)?;
        socket::send(socket.as_descriptor(), &self.bytes(0)).map(drop)
    }

    /// Has the kernel do it, and returns its answer.
    pub(in crate::iface) fn ask(&self) -> io::Result<Vec<u8>> {
        let socket = socket::socket(abi::AF_ROUTE, abi::SOCK_RAW)?;
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        socket::send(socket.as_descriptor(), &self.bytes(sequence))?;
        let mut buffer = vec![0; 4096];
        // The answer is in the socket by now, after what else was told at the time.
        loop {
            let length = socket::recv(socket.as_descriptor(), &mut buffer, abi::MSG_DONTWAIT)?;
            let answer = Message::all(&buffer[..length])
                .any(|message| message.kind == self.kind && message.sequence == sequence);
            if answer {
                buffer.truncate(length);
                return Ok(buffer);
            }
            if length == 0 {
                return Err(Errno::ESRCH.into());
            }
        }
    }
}

/// A message of the kernel's.
pub(in crate::iface) struct Message<'a> {
    pub(in crate::iface) kind: u8,
    pub(in crate::iface) interface: u16,
    pub(in crate::iface) flags: c_int,
    pub(in crate::iface) sequence: c_int,
    /// Of NetBSD's numbers; 0 if it was done.
    pub(in crate::iface) errno: c_int,
    pub(in crate::iface) mtu: u64,
    bits: c_int,
    addresses: &'a [u8],
}

/// The bytes of a field.
pub(in crate::iface) fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

impl<'a> Message<'a> {
    /// All messages in a buffer. Those of another version, or that are no routes, are left
    /// out, and what is cut off ends it.
    pub(in crate::iface) fn all(buffer: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut rest = buffer;
        std::iter::from_fn(move || {
            let length = field(rest, offset_of!(rt_msghdr, rtm_msglen)).map(u16::from_ne_bytes)?;
            // Less than what says how long it is would never end.
            let length = usize::from(length).max(4);
            let (message, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(Self::read(message))
        })
        .flatten()
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let [version, kind] = field(bytes, offset_of!(rt_msghdr, rtm_version))?;
        let known = [abi::RTM_ADD, abi::RTM_DELETE, abi::RTM_CHANGE, abi::RTM_GET];
        if version != abi::RTM_VERSION || !known.contains(&kind) {
            return None;
        }
        let int = |offset| Some(c_int::from_ne_bytes(field(bytes, offset)?));
        let mtu = offset_of!(rt_msghdr, rtm_rmx) + offset_of!(rt_metrics, rmx_mtu);
        Some(Self {
            kind,
            interface: u16::from_ne_bytes(field(bytes, offset_of!(rt_msghdr, rtm_index))?),
            flags: int(offset_of!(rt_msghdr, rtm_flags))?,
            sequence: int(offset_of!(rt_msghdr, rtm_seq))?,
            errno: int(offset_of!(rt_msghdr, rtm_errno))?,
            mtu: u64::from_ne_bytes(field(bytes, mtu)?),
            bits: int(offset_of!(rt_msghdr, rtm_addrs))?,
            addresses: bytes.get(size_of::<rt_msghdr>()..)?,
        })
    }

    /// The address of this bit.
    pub(in crate::iface) fn address(&self, wanted: c_int) -> Option<&'a [u8]> {
        abi::route::address(self.addresses, self.bits, wanted)
    }
}

const _: () = assert!(offset_of!(rt_msghdr, rtm_type) == offset_of!(rt_msghdr, rtm_version) + 1);

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut change = Change::new(abi::RTM_ADD, abi::RTF_UP);
        change.address(abi::RTA_NETMASK, &[7, 0, 0, 0, 255, 255, 255]);
        change.address(abi::RTA_DST, &[16; 16]);
        change.address(abi::RTA_GATEWAY, &[9, 2, 3, 4, 5, 6, 7, 8, 9]);
        change.bytes(77)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = [sample(), sample()].concat();
        let all: Vec<_> = Message::all(&bytes).collect();
        assert_eq!(all.len(), 2);
        for message in all {
            assert_eq!((message.kind, message.sequence), (abi::RTM_ADD, 77));
            assert_eq!(message.address(abi::RTA_DST), Some(&[16; 16][..]));
            assert_eq!(message.address(abi::RTA_GATEWAY).map(<[u8]>::len), Some(9));
            assert_eq!(message.address(abi::RTA_NETMASK).map(<[u8]>::len), Some(7));
            assert_eq!(message.address(abi::RTA_IFP), None);
        }
    }

    /// However a message is cut or changed, reading it ends and stays inside.
    #[test]
    fn any_message_is_survived() {
        let whole = [sample(), sample()].concat();
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut inputs = 0;
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..4 {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let at = (state >> 33) as usize % bytes.len();
                bytes[at] = (state >> 24) as u8;
            }
            bytes.truncate((state >> 40) as usize % (bytes.len() + 1));
            for message in Message::all(&bytes) {
                for shift in 0..31 {
                    if let Some(address) = message.address(1 << shift) {
                        let _ = crate::iface::sockaddr::read(address);
                        let _ = crate::iface::sockaddr::read_link(address);
                    }
                }
            }
            inputs += 1;
        }
        println!("{inputs} inputs");
    }
}
