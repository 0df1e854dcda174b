//! Addresses as the requests of interfaces and routes have them: `sockaddr`s without a
//! port. What comes from a program may have any length.

use super::interface::Interface;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::mem::{offset_of, size_of};
use rump_abi as abi;
use rump_hyper::errno::Errno;
use smoltcp::wire::{IpAddress, IpCidr, Ipv4Address, Ipv6Address};

pub(super) fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Errno> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().ok_or(Errno::INVAL)
}

pub(super) fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Result<(), Errno> {
    let room = bytes.get_mut(at..at + value.len()).ok_or(Errno::INVAL)?;
    room.copy_from_slice(value);
    Ok(())
}

/// The address in a `sockaddr`.
pub(super) fn address(bytes: &[u8], at: usize) -> Result<IpAddress, Errno> {
    let [_, family] = number(bytes, at)?;
    match c_int::from(family) {
        abi::AF_INET => {
            let address: [u8; 4] = number(bytes, at + offset_of!(abi::sockaddr_in, sin_addr))?;
            Ok(IpAddress::Ipv4(Ipv4Address::from(address)))
        }
        abi::AF_INET6 => {
            let address: [u8; 16] = number(bytes, at + offset_of!(abi::sockaddr_in6, sin6_addr))?;
            Ok(IpAddress::Ipv6(Ipv6Address::from(address)))
        }
        _ => Err(Errno::AFNOSUPPORT),
    }
}

/// A `sockaddr` without a port.
pub(super) fn sockaddr(address: IpAddress) -> Vec<u8> {
    let (family, size, at) = match address {
        IpAddress::Ipv4(_) => (
            abi::AF_INET,
            size_of::<abi::sockaddr_in>(),
            offset_of!(abi::sockaddr_in, sin_addr),
        ),
        IpAddress::Ipv6(_) => (
            abi::AF_INET6,
            size_of::<abi::sockaddr_in6>(),
            offset_of!(abi::sockaddr_in6, sin6_addr),
        ),
    };
    let mut bytes = alloc::vec![0; size];
    bytes[..2].copy_from_slice(&[size as u8, family as u8]);
    match address {
        IpAddress::Ipv4(address) => bytes[at..at + 4].copy_from_slice(&address.octets()),
        IpAddress::Ipv6(address) => bytes[at..at + 16].copy_from_slice(&address.octets()),
    }
    bytes
}

/// The net mask of an address.
pub(super) fn mask(own: IpCidr) -> IpAddress {
    let length = u32::from(own.prefix_len());
    match own {
        IpCidr::Ipv4(_) => {
            let bits = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            IpAddress::Ipv4(Ipv4Address::from(bits))
        }
        IpCidr::Ipv6(_) => {
            let bits = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            IpAddress::Ipv6(Ipv6Address::from(bits))
        }
    }
}

/// A net, of its address and a mask, which may lack its family and zeros at its end.
pub(super) fn net(address: IpAddress, mask: &[u8]) -> Result<IpCidr, Errno> {
    let (at, most) = match address {
        IpAddress::Ipv4(_) => (offset_of!(abi::sockaddr_in, sin_addr), 4),
        IpAddress::Ipv6(_) => (offset_of!(abi::sockaddr_in6, sin6_addr), 16),
    };
    let bytes = mask.get(at..).unwrap_or_default();
    let mut whole = [0; 16];
    let length = bytes.len().min(most);
    whole[..length].copy_from_slice(&bytes[..length]);
    let [a, b, c, d, ..] = whole;
    let mask = match address {
        IpAddress::Ipv4(_) => IpAddress::Ipv4(Ipv4Address::new(a, b, c, d)),
        IpAddress::Ipv6(_) => IpAddress::Ipv6(Ipv6Address::from(whole)),
    };
    let prefix = mask.prefix_len().ok_or(Errno::INVAL)?;
    Ok(IpCidr::new(address, prefix))
}

/// The index in an `AF_LINK` address.
pub(super) fn link_index(bytes: &[u8]) -> Result<u16, Errno> {
    let [_, family] = number(bytes, 0)?;
    if c_int::from(family) != abi::AF_LINK {
        return Err(Errno::AFNOSUPPORT);
    }
    Ok(u16::from_ne_bytes(number(
        bytes,
        offset_of!(abi::sockaddr_dl, sdl_index),
    )?))
}

/// An `AF_LINK` address of an interface's, by its index.
pub(super) fn link(index: usize, kind: u8, name: &str, address: &[u8]) -> Vec<u8> {
    let dl = offset_of!(abi::sockaddr_dl, sdl_addr);
    let data = dl + offset_of!(abi::dl_addr, dl_data);
    let mut bytes = alloc::vec![0; data];
    bytes[1] = abi::AF_LINK as u8;
    let place = offset_of!(abi::sockaddr_dl, sdl_index);
    bytes[place..place + 2].copy_from_slice(&(index as u16).to_ne_bytes());
    bytes[dl + offset_of!(abi::dl_addr, dl_type)] = kind;
    bytes[dl + offset_of!(abi::dl_addr, dl_nlen)] = name.len() as u8;
    bytes[dl + offset_of!(abi::dl_addr, dl_alen)] = address.len() as u8;
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(address);
    bytes[0] = bytes.len() as u8;
    bytes
}

impl Interface {
    /// Its `AF_LINK` address.
    pub(super) fn link_address(&self, index: usize) -> Vec<u8> {
        match &self.vif {
            Some(vif) => link(index, abi::IFT_ETHER, &self.name, &vif.address),
            None => link(index, abi::IFT_LOOP, &self.name, &[]),
        }
    }
}
