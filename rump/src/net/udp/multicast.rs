//! Multicast: groups, and how datagrams to them are sent.
//!
//! NetBSD keeps the IPv4 options in one byte each, see
//! [`ip(4)`](https://man.netbsd.org/ip.4), and those of IPv6 in an `int`, see
//! [`ip6(4)`](https://man.netbsd.org/ip6.4).

use super::UdpSocket;
use crate::error::Errno;
use crate::net::options::{set, value};
use rump_sys::abi;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

impl UdpSocket {
    /// Joins a group, on the interface that has this address; with an unspecified address
    /// the kernel's routes choose one.
    ///
    /// # Errors
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if there is no such
    /// interface, or none for the group; [`AddrInUse`](io::ErrorKind::AddrInUse) if the
    /// socket is a member already; [`InvalidInput`](io::ErrorKind::InvalidInput) if the
    /// address is not of a group.
    ///
    /// # Examples
    /// ```
    /// use rump::net::{Ipv4Addr, UdpSocket};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !rump::kernel::available() { return Ok(()) }
    /// # let _kernel = rump::Kernel::builder().boot()?;
    /// let socket = UdpSocket::bind("0.0.0.0:0")?;
    /// let group = Ipv4Addr::new(224, 0, 0, 120);
    /// socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
    /// socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "IP_ADD_MEMBERSHIP")]
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        set(
            self.0.fd(),
            abi::IPPROTO_IP,
            abi::IP_ADD_MEMBERSHIP,
            membership_v4(group, interface),
        )
    }

    /// Leaves a group that was joined with the same arguments.
    ///
    /// # Errors
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if the socket is no member.
    #[doc(alias = "IP_DROP_MEMBERSHIP")]
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        set(
            self.0.fd(),
            abi::IPPROTO_IP,
            abi::IP_DROP_MEMBERSHIP,
            membership_v4(group, interface),
        )
    }

    /// Joins a group, on the interface with this index; with 0 the kernel's routes choose
    /// one.
    ///
    /// # Errors
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) or `ENXIO` if there is no such
    /// interface, or none for the group; [`InvalidInput`](io::ErrorKind::InvalidInput) if
    /// the address is not of a group.
    #[doc(alias = "IPV6_JOIN_GROUP")]
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        set(
            self.0.fd(),
            abi::IPPROTO_IPV6,
            abi::IPV6_JOIN_GROUP,
            membership_v6(group, interface),
        )
    }

    /// Leaves a group that was joined with the same arguments.
    ///
    /// # Errors
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if the socket is no member.
    #[doc(alias = "IPV6_LEAVE_GROUP")]
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        set(
            self.0.fd(),
            abi::IPPROTO_IPV6,
            abi::IPV6_LEAVE_GROUP,
            membership_v6(group, interface),
        )
    }

    /// Whether datagrams to a group come back to this host's members
    /// (`IP_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// If it is an IPv6 socket.
    #[doc(alias = "IP_MULTICAST_LOOP")]
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        Ok(value::<u8>(self.0.fd(), abi::IPPROTO_IP, abi::IP_MULTICAST_LOOP)? != 0)
    }

    /// Sets whether datagrams to a group come back to this host's members.
    ///
    /// # Errors
    /// If it is an IPv6 socket.
    #[doc(alias = "IP_MULTICAST_LOOP")]
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        set(
            self.0.fd(),
            abi::IPPROTO_IP,
            abi::IP_MULTICAST_LOOP,
            u8::from(on),
        )
    }

    /// How many hops a datagram to a group may take (`IP_MULTICAST_TTL`).
    ///
    /// # Errors
    /// If it is an IPv6 socket.
    #[doc(alias = "IP_MULTICAST_TTL")]
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        Ok(value::<u8>(self.0.fd(), abi::IPPROTO_IP, abi::IP_MULTICAST_TTL)?.into())
    }

    /// Sets how many hops a datagram to a group may take, 0 to 255.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for more, or if it is an IPv6 socket.
    #[doc(alias = "IP_MULTICAST_TTL")]
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        let Ok(ttl) = u8::try_from(ttl) else {
            return Err(Errno::EINVAL.into());
        };
        set(self.0.fd(), abi::IPPROTO_IP, abi::IP_MULTICAST_TTL, ttl)
    }

    /// Whether datagrams to an IPv6 group come back to this host's members
    /// (`IPV6_MULTICAST_LOOP`).
    ///
    /// # Errors
    /// If it is an IPv4 socket.
    #[doc(alias = "IPV6_MULTICAST_LOOP")]
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        Ok(value::<u32>(self.0.fd(), abi::IPPROTO_IPV6, abi::IPV6_MULTICAST_LOOP)? != 0)
    }

    /// Sets whether datagrams to an IPv6 group come back to this host's members.
    ///
    /// # Errors
    /// If it is an IPv4 socket.
    #[doc(alias = "IPV6_MULTICAST_LOOP")]
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        set(
            self.0.fd(),
            abi::IPPROTO_IPV6,
            abi::IPV6_MULTICAST_LOOP,
            u32::from(on),
        )
    }

    /// How many hops a datagram to an IPv6 group may take (`IPV6_MULTICAST_HOPS`).
    ///
    /// # Errors
    /// If it is an IPv4 socket.
    #[doc(alias = "IPV6_MULTICAST_HOPS")]
    pub fn multicast_ttl_v6(&self) -> io::Result<u32> {
        value(self.0.fd(), abi::IPPROTO_IPV6, abi::IPV6_MULTICAST_HOPS)
    }

    /// Sets how many hops a datagram to an IPv6 group may take, 0 to 255.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for more; if it is an IPv4 socket.
    #[doc(alias = "IPV6_MULTICAST_HOPS")]
    pub fn set_multicast_ttl_v6(&self, ttl: u32) -> io::Result<()> {
        // The kernel takes -1 for its default.
        let Ok(ttl) = u8::try_from(ttl) else {
            return Err(Errno::EINVAL.into());
        };
        set(
            self.0.fd(),
            abi::IPPROTO_IPV6,
            abi::IPV6_MULTICAST_HOPS,
            u32::from(ttl),
        )
    }

    /// Sends datagrams to groups through the interface that has this address; with an
    /// unspecified address the kernel's routes choose one.
    ///
    /// # Errors
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if there is no such interface;
    /// if it is an IPv6 socket.
    ///
    /// # Examples
    /// ```
    /// use rump::net::{Ipv4Addr, UdpSocket};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !rump::kernel::available() { return Ok(()) }
    /// # let _kernel = rump::Kernel::builder().boot()?;
    /// let receiver = UdpSocket::bind("0.0.0.0:0")?;
    /// let group = Ipv4Addr::new(224, 0, 0, 120);
    /// receiver.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
    ///
    /// let sender = UdpSocket::bind("127.0.0.1:0")?;
    /// sender.set_multicast_interface_v4(&Ipv4Addr::LOCALHOST)?;
    /// sender.send_to(b"to all", (group, receiver.local_addr()?.port()))?;
    /// let mut buffer = [0; 16];
    /// assert_eq!(receiver.recv_from(&mut buffer)?, (6, sender.local_addr()?));
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "IP_MULTICAST_IF")]
    pub fn set_multicast_interface_v4(&self, interface: &Ipv4Addr) -> io::Result<()> {
        let address = u32::from_ne_bytes(interface.octets());
        set(self.0.fd(), abi::IPPROTO_IP, abi::IP_MULTICAST_IF, address)
    }

    /// Sends datagrams to IPv6 groups through the interface with this index; with 0 the
    /// kernel's routes choose one.
    ///
    /// # Errors
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) or `ENXIO` if there is no such
    /// interface; if it is an IPv4 socket.
    #[doc(alias = "IPV6_MULTICAST_IF")]
    pub fn set_multicast_interface_v6(&self, interface: u32) -> io::Result<()> {
        set(
            self.0.fd(),
            abi::IPPROTO_IPV6,
            abi::IPV6_MULTICAST_IF,
            interface,
        )
    }
}

fn membership_v4(group: &Ipv4Addr, interface: &Ipv4Addr) -> abi::ip_mreq {
    let network_order = |address: &Ipv4Addr| abi::in_addr {
        s_addr: u32::from_ne_bytes(address.octets()),
    };
    abi::ip_mreq {
        imr_multiaddr: network_order(group),
        imr_interface: network_order(interface),
    }
}

fn membership_v6(group: &Ipv6Addr, interface: u32) -> abi::ipv6_mreq {
    let octets = group.octets();
    let word = |first: usize| {
        u32::from_ne_bytes([
            octets[first],
            octets[first + 1],
            octets[first + 2],
            octets[first + 3],
        ])
    };
    let address = [word(0), word(4), word(8), word(12)];
    abi::ipv6_mreq {
        ipv6mr_multiaddr: abi::in6_addr { __u6_addr: address },
        ipv6mr_interface: interface,
    }
}
