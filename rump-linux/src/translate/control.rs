//! Control messages: Linux's `struct cmsghdr` has a length of eight bytes, NetBSD's of four.

use crate::errno::Errno;
use crate::raw::net;
use alloc::vec::Vec;
use rump_abi as abi;

const LINUX: usize = size_of::<net::cmsghdr>();
const NETBSD: usize = size_of::<abi::cmsghdr>();
/// `CMSG_ALIGN` of both.
const ALIGN: usize = 8;
/// Where the data of NetBSD's begins.
const NETBSD_DATA: usize = NETBSD.next_multiple_of(ALIGN);

/// NetBSD's level and type.
type Netbsd = (i32, i32);
/// Linux's.
type Linux = (u32, u32);

/// The messages that both have.
const TYPES: &[(Netbsd, Linux)] = &[
    (
        (abi::IPPROTO_IP, abi::IP_PKTINFO),
        (net::SOL_IP, net::IP_PKTINFO),
    ),
    (
        (abi::IPPROTO_IP, abi::IP_RECVTTL),
        (net::SOL_IP, net::IP_TTL),
    ),
    (
        (abi::IPPROTO_IPV6, abi::IPV6_PKTINFO),
        (net::SOL_IPV6, net::IPV6_PKTINFO),
    ),
    (
        (abi::IPPROTO_IPV6, abi::IPV6_HOPLIMIT),
        (net::SOL_IPV6, net::IPV6_HOPLIMIT),
    ),
    (
        (abi::IPPROTO_IPV6, abi::IPV6_TCLASS),
        (net::SOL_IPV6, net::IPV6_TCLASS),
    ),
    (
        (abi::SOL_SOCKET, abi::SCM_TIMESTAMP),
        (net::SOL_SOCKET, net::SO_TIMESTAMP_OLD),
    ),
];

/// What came with a message, as far as Linux has it.
pub(crate) fn to_linux(mut control: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(header) = control.first_chunk::<NETBSD>() {
        let [length, level, kind] = words(header);
        let length = length as usize;
        let Some(data) = control.get(NETBSD_DATA..length) else {
            break;
        };
        let found = TYPES
            .iter()
            .find(|(from, _)| *from == (level as i32, kind as i32));
        if let Some((_, (level, kind))) = found {
            let mut data = data.to_vec();
            match ((*level, *kind), data.len()) {
                // Microseconds have four bytes in NetBSD's, and padding.
                ((net::SOL_SOCKET, net::SO_TIMESTAMP_OLD), 16) => data[12..].fill(0),
                // The address, and then the interface; Linux has them the other way around,
                // and between them the address that an answer comes from.
                ((net::SOL_IP, net::IP_PKTINFO), 8) => {
                    data.rotate_left(4);
                    data.extend_from_within(4..);
                }
                ((net::SOL_IP, net::IP_TTL), 1) => data.resize(4, 0),
                _ => {}
            }
            out.extend_from_slice(&(LINUX + data.len()).to_ne_bytes());
            out.extend_from_slice(&level.to_ne_bytes());
            out.extend_from_slice(&kind.to_ne_bytes());
            out.extend_from_slice(&data);
            out.resize(out.len().next_multiple_of(ALIGN), 0);
        }
        control = control
            .get(length.next_multiple_of(ALIGN)..)
            .unwrap_or_default();
    }
    out
}

/// What goes with a message.
///
/// # Errors
/// `EINVAL` for what is malformed, or not known.
pub(crate) fn to_netbsd(mut control: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    while let Some((length, rest)) = control.split_first_chunk::<8>() {
        let length = usize::from_ne_bytes(*length);
        let [level, kind] = rest.first_chunk::<8>().map_or([0; 2], |both| {
            let [a, b, c, d, e, f, g, h] = *both;
            [
                u32::from_ne_bytes([a, b, c, d]),
                u32::from_ne_bytes([e, f, g, h]),
            ]
        });
        let data = control.get(LINUX..length).ok_or(Errno::EINVAL)?;
        let known = TYPES.iter().find(|(_, to)| *to == (level, kind));
        let ((level, kind), _) = known.ok_or(Errno::EINVAL)?;
        let data = match (*level, *kind) {
            // The address that it is to come from, and the interface.
            (abi::IPPROTO_IP, abi::IP_PKTINFO) => {
                let parts = data.first_chunk::<12>().ok_or(Errno::EINVAL)?;
                &[&parts[4..8], &parts[..4]].concat()
            }
            // It can be received, and not set for a message.
            (abi::IPPROTO_IP, abi::IP_RECVTTL) => return Err(Errno::EINVAL),
            _ => data,
        };
        out.extend_from_slice(&((NETBSD_DATA + data.len()) as u32).to_ne_bytes());
        out.extend_from_slice(&level.to_ne_bytes());
        out.extend_from_slice(&kind.to_ne_bytes());
        out.resize(out.len().next_multiple_of(ALIGN), 0);
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(ALIGN), 0);
        control = control
            .get(length.next_multiple_of(ALIGN)..)
            .unwrap_or_default();
    }
    Ok(out)
}

fn words(bytes: &[u8; NETBSD]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_information_there_and_back() {
        let mut linux = Vec::new();
        linux.extend_from_slice(&36usize.to_ne_bytes());
        linux.extend_from_slice(&net::SOL_IPV6.to_ne_bytes());
        linux.extend_from_slice(&net::IPV6_PKTINFO.to_ne_bytes());
        linux.extend_from_slice(&[7; 20]);
        linux.resize(40, 0);
        let netbsd = to_netbsd(&linux).unwrap();
        assert_eq!(netbsd.len(), 40);
        assert_eq!(to_linux(&netbsd), linux);
    }

    #[test]
    fn packet_information_of_ipv4() {
        let mut netbsd = Vec::new();
        netbsd.extend_from_slice(&24u32.to_ne_bytes());
        netbsd.extend_from_slice(&abi::IPPROTO_IP.to_ne_bytes());
        netbsd.extend_from_slice(&abi::IP_PKTINFO.to_ne_bytes());
        netbsd.resize(16, 0);
        netbsd.extend_from_slice(&[10, 0, 0, 2, 3, 0, 0, 0]);
        let linux = to_linux(&netbsd);
        assert_eq!(linux[..8], 28u64.to_ne_bytes());
        assert_eq!(linux[16..28], [3, 0, 0, 0, 10, 0, 0, 2, 10, 0, 0, 2]);
        assert_eq!(to_netbsd(&linux).unwrap(), netbsd);
        assert_eq!(to_netbsd(&linux[..20]), Err(Errno::EINVAL));
    }

    /// Lengths are whatever the other side says; none may lead out of the buffer.
    #[test]
    fn lengths_of_every_kind() {
        let mut seed = 1u32;
        let mut inputs = 0;
        for size in 0..80 {
            for length in (0..100).chain([u64::MAX, u64::MAX - 7, 1 << 32]) {
                let bytes: Vec<u8> = (0..size)
                    .map(|at| {
                        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        length
                            .to_ne_bytes()
                            .get(at)
                            .copied()
                            .unwrap_or((seed >> 24) as u8)
                    })
                    .collect();
                assert!(to_linux(&bytes).len() <= 2 * bytes.len());
                if let Ok(out) = to_netbsd(&bytes) {
                    assert!(out.len() <= 2 * bytes.len());
                }
                inputs += 1;
            }
        }
        assert!(inputs > 8_000, "{inputs} inputs");
    }
}
