//! Messages from and to an interface that may not have an address.
//!
//! What is broadcast goes through a raw socket with the headers written here, because the
//! kernel would choose another interface's address as its source; which interface it
//! leaves by is said with `IP_MULTICAST_IF`, which counts for broadcasts too. Answers are
//! received by a UDP socket: the kernel takes in all that comes to an interface that has
//! the address 0.0.0.0 (`ip_input`), and [`Nowhere`] gives it that one.

use super::message::LARGEST;
use crate::descriptor::{AsDescriptor, OwnedDescriptor};
use crate::error::Errno;
use crate::iface::{Error, Interface, IpNet};
use crate::net::UdpSocket;
use crate::net::address::RawAddress;
use crate::sys::socket as raw;
use ipnet::Ipv4Net;
use rump_sys::abi;
use std::ffi::{c_int, c_uint};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// RFC 2131, 4.1.
const SERVER: u16 = 67;
const CLIENT: u16 = 68;

/// Of IP without options, and of UDP.
const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

pub(super) struct Transport {
    broadcast: OwnedDescriptor,
    socket: UdpSocket,
}

impl Transport {
    pub(super) fn on(interface: &Interface) -> io::Result<Self> {
        let index = c_uint::from(interface.index()?);
        let broadcast = raw::raw(abi::AF_INET, abi::IPPROTO_UDP)?;
        let on: c_int = 1;
        let set = |level, name| raw::set_option(broadcast.as_descriptor(), level, name, on);
        set(abi::IPPROTO_IP, abi::IP_HDRINCL)?;
        set(abi::SOL_SOCKET, abi::SO_BROADCAST)?;
        // 0.0.0.0/8 stands for interfaces, by their numbers (`ip_multicast_if`).
        raw::set_option(
            broadcast.as_descriptor(),
            abi::IPPROTO_IP,
            abi::IP_MULTICAST_IF,
            index.to_be(),
        )?;
        let socket = raw::socket(abi::AF_INET, abi::SOCK_DGRAM | abi::SOCK_CLOEXEC)?;
        // Clients of several interfaces have the same port; each gets every broadcast.
        for option in [abi::SO_REUSEADDR, abi::SO_REUSEPORT, abi::SO_BROADCAST] {
            raw::set_option(socket.as_descriptor(), abi::SOL_SOCKET, option, on)?;
        }
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, CLIENT));
        raw::bind(socket.as_descriptor(), &RawAddress::encode(&any))?;
        Ok(Self {
            broadcast,
            socket: UdpSocket::from(socket),
        })
    }

    /// Sends to all servers on the link, from this address or from none.
    pub(super) fn broadcast(&self, from: Ipv4Addr, message: &[u8]) -> io::Result<()> {
        let to = SocketAddr::from((Ipv4Addr::BROADCAST, 0));
        raw::send_to(
            self.broadcast.as_descriptor(),
            &packet(from, message),
            &RawAddress::encode(&to),
        )?;
        Ok(())
    }

    /// Sends to one server, which there has to be a route to.
    pub(super) fn send(&self, server: Ipv4Addr, message: &[u8]) -> io::Result<()> {
        self.socket.send_to(message, (server, SERVER)).map(drop)
    }

    /// Receives within this time, at most so much; `None` if nothing came.
    pub(super) fn receive<'a>(
        &self,
        buffer: &'a mut [u8; LARGEST],
        within: Duration,
    ) -> io::Result<Option<&'a [u8]>> {
        self.socket.set_read_timeout(Some(within))?;
        match self.socket.recv_from(buffer) {
            Ok((length, _)) => Ok(Some(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // Of a server that does not listen; another may.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The message in a packet to everybody (RFC 791, RFC 768). The kernel adds the checksum of
/// IP, and that of UDP may be left out.
fn packet(from: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    let length = (IP_HEADER + UDP_HEADER + message.len()) as u16;
    let mut packet = Vec::with_capacity(length.into());
    // Version and words of header; low delay, as BOOTP has it.
    packet.extend_from_slice(&[0x45, 0x10]);
    // The kernel wants this one, and the offset, in the order of the host (`ip(4)`).
    packet.extend_from_slice(&length.to_ne_bytes());
    packet.extend_from_slice(&[0, 0, 0, 0, 64, abi::IPPROTO_UDP as u8, 0, 0]);
    packet.extend_from_slice(&from.octets());
    packet.extend_from_slice(&Ipv4Addr::BROADCAST.octets());
    packet.extend_from_slice(&CLIENT.to_be_bytes());
    packet.extend_from_slice(&SERVER.to_be_bytes());
    packet.extend_from_slice(&(length - IP_HEADER as u16).to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(message);
    packet
}

/// As long as this is there, the interface has the address 0.0.0.0.
pub(super) struct Nowhere<'a>(&'a Interface);

const NOWHERE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

impl<'a> Nowhere<'a> {
    pub(super) fn on(interface: &'a Interface) -> Result<Self, Error> {
        let net = IpNet::V4(Ipv4Net::from(NOWHERE));
        match interface.add_address(net) {
            Err(error) if error.errno() == Some(Errno::EEXIST) => {}
            result => result?,
        }
        interface.set_up(true)?;
        Ok(Self(interface))
    }
}

impl Drop for Nowhere<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.remove_address(NOWHERE.into()) {
            tracing::debug!(interface = self.0.name(), %error, "address 0.0.0.0");
        }
    }
}
