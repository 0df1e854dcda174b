//! An address of an interface.

use super::sockaddr;
use crate::sys::interface::{Argument, Name, request};
use ipnet::IpNet;
use rump_sys::abi;
use std::io;
use std::mem::{offset_of, size_of};
use std::net::IpAddr;

/// An address of an interface, with its net.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    net: IpNet,
    flags: i32,
}

impl Address {
    /// The address, and how many bits of it are those of its net.
    pub fn net(&self) -> IpNet {
        self.net
    }

    fn has(&self, v4: i32, v6: i32) -> bool {
        let flag = if self.net.addr().is_ipv4() { v4 } else { v6 };
        self.flags & flag != 0
    }

    /// Whether the link is still asked whether somebody has it.
    pub fn is_tentative(&self) -> bool {
        let v4 = abi::IN_IFF_TENTATIVE | abi::IN_IFF_TRYTENTATIVE;
        self.has(v4, abi::IN6_IFF_TENTATIVE)
    }

    /// Whether somebody else on the link has it, so that it cannot be used.
    pub fn is_duplicated(&self) -> bool {
        self.has(abi::IN_IFF_DUPLICATED, abi::IN6_IFF_DUPLICATED)
    }

    /// Whether it may not be usable because there is no link.
    pub fn is_detached(&self) -> bool {
        self.has(abi::IN_IFF_DETACHED, abi::IN6_IFF_DETACHED)
    }

    /// Whether it was made of what a router announced (SLAAC).
    pub fn is_autoconfigured(&self) -> bool {
        self.has(0, abi::IN6_IFF_AUTOCONF)
    }

    /// Whether it can be used.
    pub fn is_ready(&self) -> bool {
        !self.is_tentative() && !self.is_duplicated() && !self.is_detached()
    }

    /// Reads the address of a record; `None` if it is not one of IP.
    pub(super) fn read(interface: &Name, record: &[u8]) -> io::Result<Option<Self>> {
        let Some(address) = sockaddr::read(record) else {
            return Ok(None);
        };
        let length = usize::from(record[0]);
        let whole = &record[..length];
        let (mask, flags) = match address {
            IpAddr::V4(_) => (mask4(interface, whole)?, flags4(interface, whole)?),
            IpAddr::V6(_) => (mask6(interface, whole)?, flags6(interface, whole)?),
        };
        let host = IpNet::from(address);
        let net = sockaddr::net(address, &mask).unwrap_or(host);
        Ok(Some(Self { net, flags }))
    }

    pub(super) fn add(interface: &Name, net: IpNet) -> io::Result<()> {
        match net {
            IpNet::V4(net) => {
                let broadcast = if net.prefix_len() < 31 {
                    net.broadcast()
                } else {
                    net.addr()
                };
                let mut argument = Argument::named::<abi::ifaliasreq>(interface);
                argument
                    .put(
                        offset_of!(abi::ifaliasreq, ifra_addr),
                        &sockaddr::v4(net.addr()),
                    )
                    .put(
                        offset_of!(abi::ifaliasreq, ifra_dstaddr),
                        &sockaddr::v4(broadcast),
                    )
                    .put(
                        offset_of!(abi::ifaliasreq, ifra_mask),
                        &sockaddr::v4(net.netmask()),
                    );
                request(abi::AF_INET, abi::SIOCAIFADDR, &mut argument)
            }
            IpNet::V6(net) => {
                let lifetime = offset_of!(abi::in6_aliasreq, ifra_lifetime);
                let mut argument = Argument::named::<abi::in6_aliasreq>(interface);
                argument
                    .put(
                        offset_of!(abi::in6_aliasreq, ifra_addr),
                        &sockaddr::v6(net.addr()),
                    )
                    .put(
                        offset_of!(abi::in6_aliasreq, ifra_prefixmask),
                        &sockaddr::v6(net.netmask()),
                    )
                    // Valid and preferred for ever (ND6_INFINITE_LIFETIME).
                    .put(
                        lifetime + offset_of!(abi::in6_addrlifetime, ia6t_vltime),
                        &[0xff; 4],
                    )
                    .put(
                        lifetime + offset_of!(abi::in6_addrlifetime, ia6t_pltime),
                        &[0xff; 4],
                    );
                request(abi::AF_INET6, abi::SIOCAIFADDR_IN6, &mut argument)
            }
        }
    }

    pub(super) fn remove(interface: &Name, address: IpAddr) -> io::Result<()> {
        match address {
            IpAddr::V4(address) => {
                let mut argument = ifreq4(interface, &sockaddr::v4(address));
                request(abi::AF_INET, abi::SIOCDIFADDR, &mut argument)
            }
            IpAddr::V6(address) => {
                let mut argument = ifreq6(interface, &sockaddr::v6(address));
                request(abi::AF_INET6, abi::SIOCDIFADDR_IN6, &mut argument)
            }
        }
    }
}

fn ifreq4(interface: &Name, address: &[u8]) -> Argument {
    let mut argument = Argument::named::<abi::ifreq>(interface);
    argument.put(offset_of!(abi::ifreq, ifr_ifru), address);
    argument
}

fn ifreq6(interface: &Name, address: &[u8]) -> Argument {
    let mut argument = Argument::named::<abi::in6_ifreq>(interface);
    argument.put(offset_of!(abi::in6_ifreq, ifr_ifru), address);
    argument
}

fn mask4(interface: &Name, address: &[u8]) -> io::Result<Vec<u8>> {
    let mut argument = Argument::named::<abi::ifaliasreq>(interface);
    argument.put(offset_of!(abi::ifaliasreq, ifra_addr), address);
    request(abi::AF_INET, abi::SIOCGIFALIAS, &mut argument)?;
    let mask: [u8; size_of::<abi::sockaddr>()] =
        argument.get(offset_of!(abi::ifaliasreq, ifra_mask));
    Ok(mask.into())
}

fn mask6(interface: &Name, address: &[u8]) -> io::Result<Vec<u8>> {
    let mut argument = ifreq6(interface, address);
    request(abi::AF_INET6, abi::SIOCGIFNETMASK_IN6, &mut argument)?;
    Ok(argument.from(offset_of!(abi::in6_ifreq, ifr_ifru)).into())
}

fn flags4(interface: &Name, address: &[u8]) -> io::Result<i32> {
    let mut argument = ifreq4(interface, address);
    request(abi::AF_INET, abi::SIOCGIFAFLAG_IN, &mut argument)?;
    Ok(i32::from_ne_bytes(
        argument.get(offset_of!(abi::ifreq, ifr_ifru)),
    ))
}

fn flags6(interface: &Name, address: &[u8]) -> io::Result<i32> {
    let mut argument = ifreq6(interface, address);
    request(abi::AF_INET6, abi::SIOCGIFAFLAG_IN6, &mut argument)?;
    Ok(i32::from_ne_bytes(
        argument.get(offset_of!(abi::in6_ifreq, ifr_ifru)),
    ))
}
