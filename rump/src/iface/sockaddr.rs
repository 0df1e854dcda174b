//! Addresses as the requests of interfaces and routes have them: `sockaddr`s without a
//! port, and with the scope of a link-local address inside it.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rump_sys::abi::{self, sockaddr_dl, sockaddr_in, sockaddr_in6};
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where `sdl_data` begins: the name of the interface, then the link-layer address.
const DL_DATA: usize = offset_of!(sockaddr_dl, sdl_addr) + offset_of!(abi::dl_addr, dl_data);

/// Of AF_INET.
pub(super) fn v4(address: Ipv4Addr) -> [u8; size_of::<sockaddr_in>()] {
    let mut bytes = [0; size_of::<sockaddr_in>()];
    bytes[0] = bytes.len() as u8;
    bytes[1] = abi::AF_INET as u8;
    bytes[offset_of!(sockaddr_in, sin_addr)..][..4].copy_from_slice(&address.octets());
    bytes
}

/// Of AF_INET6.
pub(super) fn v6(address: Ipv6Addr) -> [u8; size_of::<sockaddr_in6>()] {
    let mut bytes = [0; size_of::<sockaddr_in6>()];
    bytes[0] = bytes.len() as u8;
    bytes[1] = abi::AF_INET6 as u8;
    bytes[offset_of!(sockaddr_in6, sin6_addr)..][..16].copy_from_slice(&address.octets());
    bytes
}

/// Of the family of the address.
pub(super) fn ip(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => v4(address).into(),
        IpAddr::V6(address) => v6(address).into(),
    }
}

/// The address in a `sockaddr` of the kernel's; `None` if it is of another family, or too
/// short.
///
/// A mask and the address of a net may lack bytes at their end, which are 0 then.
pub(super) fn read(bytes: &[u8]) -> Option<IpAddr> {
    let (&len, &family) = (bytes.first()?, bytes.get(1)?);
    let bytes = bytes.get(..usize::from(len))?;
    match i32::from(family) {
        abi::AF_INET => Some(bits4(bytes)?.into()),
        abi::AF_INET6 => Some(without_scope(bits6(bytes)?).into()),
        _ => None,
    }
}

fn bits4(bytes: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(padded(
        bytes,
        offset_of!(sockaddr_in, sin_addr),
    )?))
}

fn bits6(bytes: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(padded(
        bytes,
        offset_of!(sockaddr_in6, sin6_addr),
    )?))
}

fn padded<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    let found = bytes.get(at..)?;
    let mut whole = [0; N];
    let length = found.len().min(N);
    whole[..length].copy_from_slice(&found[..length]);
    Some(whole)
}

/// The kernel keeps the number of the interface in the second pair of bytes of a
/// link-local address (`in6_setscope`), where the address itself has 0.
fn without_scope(address: Ipv6Addr) -> Ipv6Addr {
    let mut segments = address.segments();
    let multicast_on_link = matches!(segments[0] & 0xff0f, 0xff01 | 0xff02);
    if address.is_unicast_link_local() || multicast_on_link {
        segments[1] = 0;
    }
    segments.into()
}

/// The mask of a net, as the kernel is told.
pub(super) fn mask(net: &IpNet) -> Vec<u8> {
    ip(net.netmask())
}

/// A net, of its address and a mask of the kernel's; `None` if there is a hole in it.
pub(super) fn net(address: IpAddr, mask: &[u8]) -> Option<IpNet> {
    // The family of a mask is not always set.
    let length = usize::from(*mask.first()?);
    let mask = mask.get(..length)?;
    Some(match address {
        IpAddr::V4(address) => {
            let mask = bits4(mask).unwrap_or(Ipv4Addr::UNSPECIFIED);
            IpNet::V4(Ipv4Net::with_netmask(address, mask).ok()?)
        }
        IpAddr::V6(address) => {
            let mask = bits6(mask).unwrap_or(Ipv6Addr::UNSPECIFIED);
            IpNet::V6(Ipv6Net::with_netmask(address, mask).ok()?)
        }
    })
}

/// What an AF_LINK address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u16,
    pub(super) address: Option<[u8; 6]>,
}

/// An AF_LINK address; `None` if it is of another family, or too short.
pub(super) fn read_link(bytes: &[u8]) -> Option<Link> {
    if i32::from(*bytes.get(1)?) != abi::AF_LINK {
        return None;
    }
    let field = |offset: usize| {
        bytes
            .get(offset_of!(sockaddr_dl, sdl_addr) + offset)
            .copied()
    };
    let index = bytes
        .get(offset_of!(sockaddr_dl, sdl_index)..)?
        .first_chunk()?;
    let name = usize::from(field(offset_of!(abi::dl_addr, dl_nlen))?);
    let length = usize::from(field(offset_of!(abi::dl_addr, dl_alen))?);
    let address = bytes
        .get(DL_DATA + name..)
        .and_then(|rest| rest.get(..length))
        .and_then(|address| address.try_into().ok());
    Some(Link {
        index: u16::from_ne_bytes(*index),
        address,
    })
}

/// An AF_LINK address of an interface, by its number.
pub(super) fn link(index: u16, address: Option<[u8; 6]>) -> [u8; size_of::<sockaddr_dl>()] {
    let mut bytes = [0; size_of::<sockaddr_dl>()];
    bytes[0] = bytes.len() as u8;
    bytes[1] = abi::AF_LINK as u8;
    bytes[offset_of!(sockaddr_dl, sdl_index)..][..2].copy_from_slice(&index.to_ne_bytes());
    if let Some(address) = address {
        let dl = offset_of!(sockaddr_dl, sdl_addr);
        bytes[dl + offset_of!(abi::dl_addr, dl_type)] = abi::IFT_ETHER;
        bytes[dl + offset_of!(abi::dl_addr, dl_alen)] = address.len() as u8;
        bytes[DL_DATA..][..address.len()].copy_from_slice(&address);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for address in ["10.1.2.3", "2001:db8::7", "::", "0.0.0.0"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(read(&ip(address)), Some(address));
        }
        let link = link(7, Some([2, 1, 2, 3, 4, 5]));
        let read = read_link(&link).unwrap();
        assert_eq!((read.index, read.address), (7, Some([2, 1, 2, 3, 4, 5])));
    }

    #[test]
    fn the_scope_inside_an_address_is_taken_out() {
        let inside: Ipv6Addr = "fe80:3::1".parse().unwrap();
        assert_eq!(read(&v6(inside)), Some("fe80::1".parse().unwrap()));
        let global: Ipv6Addr = "2001:3::1".parse().unwrap();
        assert_eq!(read(&v6(global)), Some(global.into()));
    }

    #[test]
    fn short_masks_end_in_zeros() {
        // 255.255.0.0 in six bytes, without a family.
        let mask = [6, 0, 0, 0, 0xff, 0xff];
        assert_eq!(
            net("10.1.2.3".parse().unwrap(), &mask),
            Some("10.1.2.3/16".parse().unwrap())
        );
        assert_eq!(
            net("10.1.2.3".parse().unwrap(), &[0]),
            Some("10.1.2.3/0".parse().unwrap())
        );
        assert_eq!(
            net("10.1.2.3".parse().unwrap(), &[8, 0, 0, 0, 255, 0, 255, 0]),
            None
        );
    }

    #[test]
    fn every_cut_of_an_address_is_survived() {
        for whole in [
            ip("10.1.2.3".parse().unwrap()),
            v6("fe80::1".parse().unwrap()).into(),
            link(3, Some([1; 6])).into(),
        ] {
            for length in 0..whole.len() {
                for first in 0..=u8::MAX {
                    let mut cut = whole[..length].to_vec();
                    if let Some(len) = cut.first_mut() {
                        *len = first;
                    }
                    let _ = (
                        read(&cut),
                        read_link(&cut),
                        net("10.0.0.1".parse().unwrap(), &cut),
                    );
                }
            }
        }
    }
}
