//! The kernel's interfaces in Linux's terms: what `SIOCGIF…` (netdevice(7)), rtnetlink(7) and
//! `getifaddrs(3)` tell.
//!
//! They have the kernel's names: the loopback interface is `lo0`.

use crate::errno::Errno;
use crate::object::KernelFd;
use crate::process::Process;
use crate::raw::net::{AF_INET, AF_INET6};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use rump_abi as abi;

/// `IFNAMSIZ` of both.
pub const NAME: usize = abi::IFNAMSIZ;
/// `IFF_MULTICAST` of Linux; the flags below have the same numbers in both.
const MULTICAST: u32 = 0x1000;
const SAME: i32 = abi::IFF_UP
    | abi::IFF_BROADCAST
    | abi::IFF_LOOPBACK
    | abi::IFF_POINTOPOINT
    | abi::IFF_RUNNING
    | abi::IFF_NOARP
    | abi::IFF_PROMISC;
const AF_LINK: u8 = abi::AF_LINK as u8;
/// `struct ifreq`, and where what is behind the name begins.
const RECORD: usize = size_of::<abi::ifreq>();
/// Where a `sockaddr_dl` has the interface's number, the lengths of its name and its address,
/// and these.
const DL_INDEX: usize = 2;
const DL_NAME_LENGTH: usize = 5;
const DL_LENGTH: usize = 6;
const DL_DATA: usize = 8;
/// More interfaces and addresses than anybody has.
const MOST: usize = 1 << 20;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Bytes up to the first 0.
    pub name: [u8; NAME],
    /// Its number, from 1.
    pub index: u32,
    /// `IFF_UP` and so on, as Linux has them.
    pub flags: u32,
    /// Bytes of a packet.
    pub mtu: u32,
    /// Of Ethernet.
    pub hardware: Option<[u8; 6]>,
    /// In the kernel's order.
    pub addresses: Vec<Address>,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// The bits that are the net's.
    pub prefix: u8,
    /// Of IPv4, where the interface has such.
    pub broadcast: Option<Ipv4Addr>,
}

impl Interface {
    /// Whether it is the loopback interface.
    pub fn is_loopback(&self) -> bool {
        self.flags & abi::IFF_LOOPBACK as u32 != 0
    }

    /// Its name without what follows.
    pub fn name(&self) -> &[u8] {
        let end = self.name.iter().position(|byte| *byte == 0);
        &self.name[..end.unwrap_or(NAME)]
    }

    /// The first address of IPv4.
    pub fn first(&self) -> Option<(Ipv4Addr, Address)> {
        self.addresses.iter().find_map(|one| match one.address {
            IpAddr::V4(address) => Some((address, *one)),
            IpAddr::V6(_) => None,
        })
    }
}

/// The mask of a net of IPv4.
pub fn mask(prefix: u8) -> Ipv4Addr {
    let bits = u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0);
    Ipv4Addr::from_bits(bits)
}

/// Bytes of the kernel's at a place; zeros where there are none.
fn bytes<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    let found = from.get(at..).unwrap_or_default();
    let length = found.len().min(N);
    bytes[..length].copy_from_slice(&found[..length]);
    bytes
}

/// An address of IPv6 as programs have it: the kernel keeps the number of the interface in one
/// of a link.
fn without_scope(address: [u8; 16]) -> Ipv6Addr {
    let mut address = address;
    if address[0] == 0xfe && address[1] & 0xc0 == 0x80 {
        address[2..4].fill(0);
    }
    address.into()
}

struct Sockets([KernelFd; 2]);

impl Sockets {
    /// An argument that begins with a name and goes on with these bytes, as the kernel has
    /// left it.
    fn ask<const N: usize>(
        &self,
        which: usize,
        request: u64,
        name: &[u8],
        with: &[u8],
    ) -> Option<[u8; N]> {
        let mut argument = [0; N];
        argument[..NAME].copy_from_slice(name);
        argument[NAME..][..with.len()].copy_from_slice(with);
        let socket = &self.0[which];
        let asked = socket.kernel.ioctl(socket.number, request, &mut argument);
        asked.ok().map(|_| argument)
    }

    fn v4(&self, name: &[u8], address: &[u8]) -> Address {
        const ALIAS: usize = size_of::<abi::ifaliasreq>();
        let alias = self.ask::<ALIAS>(0, abi::SIOCGIFALIAS, name, &address[..16]);
        let at = |record: &[u8], at| Ipv4Addr::from(bytes::<4>(record, at + 4));
        let address = at(address, 0);
        let prefix = alias.map_or(32, |alias| at(&alias, NAME + 32).to_bits().leading_ones());
        let broadcast = alias.map(|alias| at(&alias, NAME + 16));
        Address {
            address: address.into(),
            prefix: prefix as u8,
            broadcast: broadcast.filter(|other| !other.is_unspecified() && *other != address),
        }
    }

    fn v6(&self, name: &[u8], address: &[u8]) -> Address {
        const REQUEST: usize = size_of::<abi::in6_ifreq>();
        let mask = self.ask::<REQUEST>(1, abi::SIOCGIFNETMASK_IN6, name, &address[..28]);
        let mask = mask.map_or([0xff; 16], |mask| bytes(&mask, NAME + 8));
        Address {
            address: without_scope(bytes(address, 8)).into(),
            prefix: u128::from_be_bytes(mask).leading_ones() as u8,
            broadcast: None,
        }
    }
}

impl Process {
    /// All interfaces of the kernel.
    ///
    /// # Errors
    /// The kernel's.
    pub fn interfaces(&self) -> Result<Vec<Interface>, Errno> {
        let socket = |family| {
            let kind = abi::SOCK_DGRAM | abi::SOCK_CLOEXEC;
            let fd = self.kernel.socket(family, kind, 0)?;
            Ok::<_, Errno>(KernelFd::new(&self.kernel, fd))
        };
        let sockets = Sockets([socket(abi::AF_INET)?, socket(abi::AF_INET6)?]);
        let mut room = vec![0; 64 * RECORD];
        let records = loop {
            let length = self
                .kernel
                .interfaces(sockets.0[0].number, &mut room)?
                .min(room.len());
            if length + RECORD <= room.len() || room.len() > MOST {
                break &room[..length];
            }
            room = vec![0; room.len() * 4];
        };
        let mut interfaces: Vec<Interface> = Vec::new();
        for record in records.as_chunks::<RECORD>().0 {
            let (name, address) = record.split_at(NAME);
            if interfaces.last().is_none_or(|last| last.name != *name) {
                interfaces.push(new(&sockets, name));
            }
            let Some(interface) = interfaces.last_mut() else {
                continue;
            };
            match i32::from(address[1]) {
                _ if address[1] == AF_LINK => {
                    let index = bytes(address, DL_INDEX);
                    interface.index = u16::from_ne_bytes(index).into();
                    let place = DL_DATA + usize::from(address[DL_NAME_LENGTH]);
                    interface.hardware = (address[DL_LENGTH] == 6).then(|| bytes(address, place));
                }
                abi::AF_INET => interface.addresses.push(sockets.v4(name, address)),
                abi::AF_INET6 => interface.addresses.push(sockets.v6(name, address)),
                _ => {}
            }
        }
        Ok(interfaces)
    }
}

/// What is told of an interface by its name.
fn new(sockets: &Sockets, name: &[u8]) -> Interface {
    let flags = sockets.ask::<RECORD>(0, abi::SIOCGIFFLAGS, name, &[]);
    let flags = flags.map_or(0, |told| i16::from_ne_bytes(bytes(&told, NAME)).into());
    let multicast = if flags & abi::IFF_MULTICAST != 0 {
        MULTICAST
    } else {
        0
    };
    // Nothing runs below it that could not.
    let up = flags & abi::IFF_UP != 0 && flags & abi::IFF_LOOPBACK != 0;
    let runs = if up { abi::IFF_RUNNING } else { 0 };
    let mtu = sockets.ask::<RECORD>(0, abi::SIOCGIFMTU, name, &[]);
    Interface {
        name: bytes(name, 0),
        index: 0,
        flags: (flags & SAME | runs) as u32 | multicast,
        mtu: mtu.map_or(0, |told| u32::from_ne_bytes(bytes(&told, NAME))),
        hardware: None,
        addresses: Vec::new(),
    }
}

/// Linux's number of the family of an address.
pub fn family(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        for (prefix, told) in [(0, [0; 4]), (8, [255, 0, 0, 0]), (31, [255, 255, 255, 254])] {
            assert_eq!(mask(prefix), Ipv4Addr::from(told));
        }
        assert_eq!(mask(32), Ipv4Addr::BROADCAST);
        assert_eq!(mask(99), Ipv4Addr::BROADCAST);
    }

    #[test]
    fn what_is_not_there_is_zero() {
        assert_eq!(bytes::<4>(&[1, 2], 1), [2, 0, 0, 0]);
        assert_eq!(bytes::<4>(&[1, 2], 9), [0; 4]);
    }
}
