//! Socket addresses. Linux's begin with a family of two bytes, NetBSD's with a length and a
//! family of one byte each; what follows is the same.

use crate::errno::Errno;
use crate::raw::net;
use alloc::vec::Vec;
use rump_abi as abi;

/// The longest address that a program may hand in (`struct sockaddr_storage`).
pub(crate) const LONGEST: usize = 128;

const V4: usize = size_of::<net::sockaddr_in>();
const V6: usize = size_of::<net::sockaddr_in6>();
/// `SIN6_LEN_RFC2133` of Linux: without the scope.
const V6_SHORT: usize = 24;

/// The family of an address of Linux's.
pub(crate) fn family(address: &[u8]) -> Result<u32, Errno> {
    let family = address.first_chunk().ok_or(Errno::EINVAL)?;
    Ok(u16::from_ne_bytes(*family).into())
}

/// An address for a socket of this family (Linux's number).
pub(crate) fn to_netbsd(address: &[u8], domain: u32) -> Result<Vec<u8>, Errno> {
    let family = family(address)?;
    let (shortest, length, number) = match domain {
        net::AF_INET => (V4, V4, abi::AF_INET),
        _ => (V6_SHORT, V6, abi::AF_INET6),
    };
    if address.len() < shortest {
        return Err(Errno::EINVAL);
    }
    if family != domain {
        return Err(Errno::EAFNOSUPPORT);
    }
    let mut bytes = address.to_vec();
    bytes.resize(length, 0);
    bytes[0] = length as u8;
    bytes[1] = number as u8;
    if domain == net::AF_INET {
        bytes[8..].fill(0);
    }
    Ok(bytes)
}

/// Where a stream of this family connects to: no address is this host's, which NetBSD knows of
/// IPv4 alone.
pub(crate) fn to_other_end(address: &[u8], domain: u32) -> Result<Vec<u8>, Errno> {
    let mut bytes = to_netbsd(address, domain)?;
    if domain == net::AF_INET6 && bytes.get(8..24) == Some(&[0; 16]) {
        bytes[23] = 1;
    }
    Ok(bytes)
}

/// Where a datagram socket of this family sends to: one of IPv6's to addresses of IPv4, too.
pub(crate) fn to_peer(address: &[u8], domain: u32) -> Result<Vec<u8>, Errno> {
    if domain != net::AF_INET6 || family(address)? != net::AF_INET {
        return to_other_end(address, domain);
    }
    let v4 = to_netbsd(address, net::AF_INET)?;
    let mut mapped = [0; V6];
    mapped[..2].copy_from_slice(&[V6 as u8, abi::AF_INET6 as u8]);
    mapped[2..4].copy_from_slice(&v4[2..4]);
    mapped[18..20].fill(0xff);
    mapped[20..24].copy_from_slice(&v4[4..8]);
    Ok(mapped.to_vec())
}

/// An address of the kernel's; empty if it is none of these families.
pub(crate) fn to_linux(address: &[u8]) -> Vec<u8> {
    let (length, family) = match address.get(1).map(|family| i32::from(*family)) {
        Some(abi::AF_INET) => (V4, net::AF_INET),
        Some(abi::AF_INET6) => (V6, net::AF_INET6),
        _ => return Vec::new(),
    };
    let mut bytes = address.to_vec();
    bytes.resize(length, 0);
    bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let v4 = [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let netbsd = to_netbsd(&v4, net::AF_INET).unwrap();
        assert_eq!((&netbsd[..4], netbsd.len()), (&[16, 2, 0, 80][..], 16));
        assert_eq!(to_linux(&netbsd), v4);
        let mapped = to_peer(&v4, net::AF_INET6).unwrap();
        assert_eq!(mapped[..8], [28, 24, 0, 80, 0, 0, 0, 0]);
        assert_eq!(mapped[16..24], [0, 0, 0xff, 0xff, 127, 0, 0, 1]);
        let mut v6 = [0; 28];
        v6[0] = 10;
        v6[27] = 3;
        let netbsd = to_netbsd(&v6, net::AF_INET6).unwrap();
        assert_eq!(&netbsd[..2], &[28, 24]);
        assert_eq!(to_linux(&netbsd), v6);
        assert_eq!(netbsd[8..24], [0; 16]);
        let peer = to_peer(&v6, net::AF_INET6).unwrap();
        assert_eq!((&peer[8..23], peer[23]), (&[0; 15][..], 1));
        v6[8] = 0xfd;
        let netbsd = to_netbsd(&v6, net::AF_INET6).unwrap();
        assert_eq!(to_peer(&v6, net::AF_INET6).unwrap(), netbsd);
    }

    #[test]
    fn wrong_ones() {
        assert_eq!(to_netbsd(&[2], net::AF_INET), Err(Errno::EINVAL));
        assert_eq!(to_netbsd(&[2, 0, 1], net::AF_INET), Err(Errno::EINVAL));
        assert_eq!(to_netbsd(&[9; 16], net::AF_INET), Err(Errno::EAFNOSUPPORT));
        assert!(to_linux(&[]).is_empty() && to_linux(&[5, 77, 1]).is_empty());
    }
}
