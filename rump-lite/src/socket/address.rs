//! Socket addresses: NetBSD's structures, and what they mean to a socket of a family.
//!
//! Inside, an IPv4 address is one whatever socket it came through; an IPv6 socket shows
//! it as a mapped one.

use crate::net::ports::Place;
use core::ffi::c_int;
use core::mem::{offset_of, size_of};
use core::net::{Ipv4Addr, Ipv6Addr};
use rump_abi::{self as abi, sockaddr_in, sockaddr_in6, sockaddr_storage};
use rump_hyper::errno::Errno;
use smoltcp::wire::{IpAddress, IpEndpoint};

/// The family of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Inet,
    Inet6,
}

/// Room for any address.
pub(crate) type Room = [u8; size_of::<sockaddr_storage>()];

/// What a caller wrote into a `struct sockaddr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// `AF_UNSPEC`: no address.
    None,
    V4(Ipv4Addr, u16),
    V6(Ipv6Addr, u16),
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

impl Name {
    /// # Errors
    /// `EINVAL` for a length that is not the family's, `EAFNOSUPPORT` for other families.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Errno> {
        let family = *bytes
            .get(offset_of!(abi::sockaddr, sa_family))
            .ok_or(Errno::INVAL)?;
        match c_int::from(family) {
            abi::AF_UNSPEC => Ok(Self::None),
            abi::AF_INET if bytes.len() == size_of::<sockaddr_in>() => {
                let port = array(bytes, offset_of!(sockaddr_in, sin_port)).ok_or(Errno::INVAL)?;
                let address =
                    array::<4>(bytes, offset_of!(sockaddr_in, sin_addr)).ok_or(Errno::INVAL)?;
                Ok(Self::V4(address.into(), u16::from_be_bytes(port)))
            }
            abi::AF_INET6 if bytes.len() == size_of::<sockaddr_in6>() => {
                let port = array(bytes, offset_of!(sockaddr_in6, sin6_port)).ok_or(Errno::INVAL)?;
                let address =
                    array::<16>(bytes, offset_of!(sockaddr_in6, sin6_addr)).ok_or(Errno::INVAL)?;
                Ok(Self::V6(address.into(), u16::from_be_bytes(port)))
            }
            abi::AF_INET | abi::AF_INET6 => Err(Errno::INVAL),
            _ => Err(Errno::AFNOSUPPORT),
        }
    }
}

impl Family {
    /// The address that a name stands for.
    ///
    /// # Errors
    /// `EAFNOSUPPORT` for a name of another family; `EINVAL` for a mapped address where
    /// `only_v6` forbids it.
    pub(crate) fn endpoint(self, name: Name, only_v6: bool) -> Result<IpEndpoint, Errno> {
        match (self, name) {
            (Self::Inet, Name::V4(address, port)) => Ok(IpEndpoint::new(address.into(), port)),
            (Self::Inet6, Name::V6(address, port)) => match address.to_ipv4_mapped() {
                Some(_) if only_v6 => Err(Errno::INVAL),
                Some(mapped) => Ok(IpEndpoint::new(mapped.into(), port)),
                None => Ok(IpEndpoint::new(address.into(), port)),
            },
            _ => Err(Errno::AFNOSUPPORT),
        }
    }

    /// Writes an address as a socket of this family shows it; its length.
    pub(crate) fn write(self, endpoint: IpEndpoint, room: &mut Room) -> usize {
        room.fill(0);
        let port = endpoint.port.to_be_bytes();
        let mut put =
            |offset: usize, bytes: &[u8]| room[offset..offset + bytes.len()].copy_from_slice(bytes);
        match (self, endpoint.addr) {
            (Self::Inet, IpAddress::Ipv4(address)) => {
                let length = size_of::<sockaddr_in>();
                put(0, &[length as u8, abi::AF_INET as u8]);
                put(offset_of!(sockaddr_in, sin_port), &port);
                put(offset_of!(sockaddr_in, sin_addr), &address.octets());
                length
            }
            (_, address) => {
                let address = match address {
                    IpAddress::Ipv4(address) => address.to_ipv6_mapped(),
                    IpAddress::Ipv6(address) => address,
                };
                let length = size_of::<sockaddr_in6>();
                put(0, &[length as u8, abi::AF_INET6 as u8]);
                put(offset_of!(sockaddr_in6, sin6_port), &port);
                put(offset_of!(sockaddr_in6, sin6_addr), &address.octets());
                length
            }
        }
    }

    /// The address of a socket that has none.
    pub(crate) fn unspecified(self) -> IpAddress {
        match self {
            Self::Inet => Ipv4Addr::UNSPECIFIED.into(),
            Self::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// Where a socket with this local address takes packets from.
    pub(crate) fn place(self, address: IpAddress, only_v6: bool) -> Place {
        match (self, address) {
            (_, IpAddress::Ipv4(address)) if address.is_unspecified() => Place::AnyV4,
            (_, IpAddress::Ipv6(address)) if address.is_unspecified() => {
                if only_v6 {
                    Place::AnyV6
                } else {
                    Place::AnyOfBoth
                }
            }
            (_, address) => Place::At(address),
        }
    }
}

/// Nothing in particular stands for this host.
pub(crate) fn destination(endpoint: IpEndpoint) -> IpEndpoint {
    if endpoint.addr.is_unspecified() {
        IpEndpoint::new(crate::net::localhost(endpoint.addr), endpoint.port)
    } else {
        endpoint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(family: Family, endpoint: IpEndpoint) -> Name {
        let mut room = [0xff; size_of::<sockaddr_storage>()];
        let length = family.write(endpoint, &mut room);
        assert_eq!(usize::from(room[0]), length);
        Name::parse(&room[..length]).unwrap()
    }

    #[test]
    fn addresses_are_read_as_written() {
        let v4 = IpEndpoint::new(Ipv4Addr::new(127, 0, 0, 2).into(), 80);
        let v6 = IpEndpoint::new(Ipv6Addr::LOCALHOST.into(), 443);
        assert_eq!(
            written(Family::Inet, v4),
            Name::V4(Ipv4Addr::new(127, 0, 0, 2), 80)
        );
        assert_eq!(
            written(Family::Inet6, v6),
            Name::V6(Ipv6Addr::LOCALHOST, 443)
        );
        for endpoint in [v4, v6] {
            let name = written(Family::Inet6, endpoint);
            assert_eq!(Family::Inet6.endpoint(name, false), Ok(endpoint));
        }
        assert_eq!(
            Family::Inet6.endpoint(written(Family::Inet6, v4), true),
            Err(Errno::INVAL)
        );
        assert_eq!(
            Family::Inet.endpoint(written(Family::Inet6, v6), false),
            Err(Errno::AFNOSUPPORT)
        );
    }

    #[test]
    fn malformed_names_are_refused() {
        assert_eq!(Name::parse(&[]), Err(Errno::INVAL));
        assert_eq!(Name::parse(&[2, abi::AF_INET as u8]), Err(Errno::INVAL));
        assert_eq!(Name::parse(&[0; 16]), Ok(Name::None));
        assert_eq!(
            Name::parse(&[16, abi::AF_LOCAL as u8, 0]),
            Err(Errno::AFNOSUPPORT)
        );
    }
}
