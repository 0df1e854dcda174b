//! TCP and UDP on NetBSD's network stack, in the shape of [`std::net`].
//!
//! [`TcpListener`], [`TcpStream`] and [`UdpSocket`] have the methods and the behaviour of
//! their namesakes in std, so that `use rump::net` in the place of `use std::net` is all
//! that most programs need. Addresses are std's own types ([`SocketAddr`] and its kin),
//! re-exported here.
//!
//! The reference is std on Linux. Where NetBSD's defaults differ, they are set as Linux
//! has them:
//!
//! - a listener sets `SO_REUSEADDR`, and has std's backlog of 128;
//! - an IPv6 socket also speaks IPv4 (`IPV6_V6ONLY` is switched off, which NetBSD has on):
//!   a listener on `[::]` gets IPv4 clients as `::ffff:a.b.c.d`. For the other behaviour
//!   there are [`TcpListener::bind_only_v6`] and [`UdpSocket::bind_only_v6`];
//! - a write to a connection that is gone fails with [`BrokenPipe`], and never raises a
//!   signal;
//! - reading into an empty buffer from a stream is `Ok(0)` at once;
//! - one call moves at most 0x7ffff000 bytes, and at most 1024 buffers;
//! - the unspecified address as a destination is this host's loopback address;
//! - an IPv6 datagram socket sends to IPv4 addresses;
//! - an accepted stream blocks, even if its listener does not.
//!
//! # What differs
//! - Times are kept in the kernel's clock ticks (10 ms): a timeout is rounded up to one,
//!   and reads back as rounded.
//! - A listener may share its port with listeners on other addresses of the host, be it
//!   that one of the two is unspecified, or of the other family: what BSD means by
//!   `SO_REUSEADDR`.
//! - A connection that is reset before it was accepted is a
//!   [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted) from `accept`, not a stream
//!   that fails.
//! - Closing a stream with unread data in it ends it (FIN) instead of resetting it.
//! - Of a connection that has ended completely, NetBSD has forgotten the address and the
//!   options of TCP: asking for them is an error.
//! - A connected UDP socket does not send to any other address (`EISCONN`).
//! - Port 0 as a destination is `EADDRNOTAVAIL`, not a refused connection.
//! - Errors are NetBSD's: their [`kind`](std::io::Error::kind) is what std would give, and
//!   [`Errno::of`](crate::error::Errno::of) has the number, while
//!   [`raw_os_error`](std::io::Error::raw_os_error) is `None`, because that would be a
//!   number of Linux.
//! - Names are looked up by the host until there are settings, see [`resolver`].
//! - [`ToSocketAddrs`] is a trait of this module, for the same types, because std's asks the
//!   host for every name.
//!
//! [`BrokenPipe`]: std::io::ErrorKind::BrokenPipe

pub(crate) mod address;
pub mod claims;
mod common;
mod lookup;
mod options;
pub mod resolver;
mod socket;
mod tcp;
mod to_socket_addrs;
mod udp;

pub use lookup::lookup;
pub use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6};
pub use tcp::{Incoming, TcpListener, TcpStream};
pub use to_socket_addrs::ToSocketAddrs;
pub use udp::UdpSocket;

fn not_v6() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::InvalidInput,
        "only an IPv6 address can be for IPv6 only",
    )
}
