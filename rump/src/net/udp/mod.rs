//! UDP: [`UdpSocket`], sending and receiving.

mod multicast;

use super::ToSocketAddrs;
use super::address::{RawAddress, destination, mapped};
use super::common::{common_methods, timeout_methods};
use super::lookup::each_address;
use super::options;
use super::socket::Socket;
use crate::descriptor::{AsDescriptor, BorrowedDescriptor, OwnedDescriptor};
use crate::error::Errno;
use crate::sys::socket as raw;
use rump_sys::abi;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// The size of a new socket's buffers: room for the largest datagram and its address.
const BUFFER: usize = 128 << 10;
/// What a packet has room for beside UDP's own header. An IPv6 datagram with more becomes a
/// jumbogram (RFC 2675) in NetBSD, which refuses it with one error or another,
/// by what happens to be on its stack.
const LARGEST: usize = 65_535 - 8;

fn fits(datagram: &[u8]) -> Result<(), Errno> {
    if datagram.len() > LARGEST {
        return Err(Errno::EMSGSIZE);
    }
    Ok(())
}

/// A UDP socket, as [`std::net::UdpSocket`].
///
/// It is closed when the value is dropped.
///
/// # Examples
/// ```
/// use rump::net::UdpSocket;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if !rump::kernel::available() { return Ok(()) }
/// # let _kernel = rump::Kernel::builder().boot()?;
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"ping", server.local_addr()?)?;
///
/// let mut buffer = [0; 16];
/// let (length, peer) = server.recv_from(&mut buffer)?;
/// assert_eq!(&buffer[..length], b"ping");
/// assert_eq!(peer, client.local_addr()?);
/// # Ok(())
/// # }
/// ```
pub struct UdpSocket(Socket);

common_methods!(UdpSocket);
timeout_methods!(UdpSocket, "receiving", "sending");

impl UdpSocket {
    /// Makes a socket with this address; the first of several that can be bound.
    ///
    /// Port 0 lets the kernel choose one, which [`local_addr`](Self::local_addr) tells. On
    /// an IPv6 address that is unspecified (`[::]`), datagrams over IPv4 are received too.
    ///
    /// Follows [`bind(2)`](https://man.netbsd.org/bind.2). How names are looked up:
    /// see [`lookup`](crate::net::lookup).
    ///
    /// # Errors
    /// Of the last address that was tried: [`AddrInUse`](io::ErrorKind::AddrInUse),
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable), …
    pub fn bind<A: ToSocketAddrs>(address: A) -> io::Result<Self> {
        each_address(address, |address| Self::bind_one(address, false))
    }

    /// Makes a socket with an IPv6 address for datagrams over IPv6 only (`IPV6_V6ONLY`).
    ///
    /// # Errors
    /// As [`bind`](Self::bind); [`InvalidInput`](io::ErrorKind::InvalidInput) for an IPv4
    /// address.
    ///
    /// # Examples
    /// ```
    /// use rump::net::UdpSocket;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !rump::kernel::available() { return Ok(()) }
    /// # let _kernel = rump::Kernel::builder().boot()?;
    /// assert!(UdpSocket::bind_only_v6("[::]:0")?.only_v6()?);
    /// assert!(!UdpSocket::bind("[::]:0")?.only_v6()?);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "IPV6_V6ONLY")]
    pub fn bind_only_v6<A: ToSocketAddrs>(address: A) -> io::Result<Self> {
        each_address(address, |address| {
            if address.is_ipv4() {
                return Err(super::not_v6());
            }
            Self::bind_one(address, true)
        })
    }

    fn bind_one(address: &SocketAddr, only_v6: bool) -> io::Result<Self> {
        let socket = Socket::new(address, abi::SOCK_DGRAM, only_v6)?;
        // NetBSD's defaults (9 and 40 KiB) are less than the largest datagram.
        for buffer in [abi::SO_SNDBUF, abi::SO_RCVBUF] {
            options::set_size(socket.fd(), buffer, BUFFER)?;
        }
        socket.bind(address)?;
        Ok(Self(socket))
    }

    /// Makes this the peer: [`send`](Self::send) sends to it, and only its datagrams are
    /// received. Of several addresses, the first that works.
    ///
    /// # Errors
    /// Of the last address that was tried.
    ///
    /// # Examples
    /// ```
    /// use rump::net::UdpSocket;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !rump::kernel::available() { return Ok(()) }
    /// # let _kernel = rump::Kernel::builder().boot()?;
    /// let server = UdpSocket::bind("127.0.0.1:0")?;
    /// let client = UdpSocket::bind("127.0.0.1:0")?;
    /// client.connect(server.local_addr()?)?;
    /// assert_eq!(client.peer_addr()?, server.local_addr()?);
    /// client.send(b"ping")?;
    /// let mut buffer = [0; 16];
    /// assert_eq!(server.recv(&mut buffer)?, 4);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect<A: ToSocketAddrs>(&self, address: A) -> io::Result<()> {
        each_address(address, |address| {
            self.with_family(address, |address| self.0.connect(address))
        })
    }

    /// The peer's address, after [`connect`](Self::connect).
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) without a peer.
    #[doc(alias = "getpeername")]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// Sends a datagram to the peer, and returns its length.
    ///
    /// Follows [`send(2)`](https://man.netbsd.org/send.2).
    ///
    /// # Errors
    /// Without a peer; `EMSGSIZE` for more than a datagram can hold;
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if an earlier datagram was
    /// refused.
    pub fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        fits(datagram)?;
        raw::send(self.0.fd(), datagram)
    }

    /// Sends a datagram to an address, the first if there are several, and returns its
    /// length.
    ///
    /// Follows [`sendto(2)`](https://man.netbsd.org/sendto.2). An IPv6 socket sends to IPv4
    /// addresses as well.
    ///
    /// # Errors
    /// `EMSGSIZE` for more than a datagram can hold; `EAFNOSUPPORT` for an IPv6 address if
    /// the socket is of IPv4; `EISCONN` if the socket is [connected](Self::connect) to
    /// another address (Linux would send it all the same).
    #[doc(alias = "sendto")]
    pub fn send_to<A: ToSocketAddrs>(&self, datagram: &[u8], address: A) -> io::Result<usize> {
        let Some(address) = address.to_socket_addrs()?.next() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no addresses to send data to",
            ));
        };
        fits(datagram)?;
        let address = destination(&address);
        let sent = self.with_family(&address, |address| {
            raw::send_to(self.0.fd(), datagram, &RawAddress::encode(address))
        });
        match sent {
            Err(error) if Errno::of(&error) == Some(Errno::EISCONN) && self.is_peer(&address) => {
                self.send(datagram)
            }
            result => result,
        }
    }

    fn is_peer(&self, address: &SocketAddr) -> bool {
        self.peer_addr()
            .is_ok_and(|peer| peer == *address || peer == mapped(address))
    }

    /// Makes a call with an address. NetBSD refuses one of the other family in several
    /// ways; Linux lets an IPv6 socket have an IPv4 address, which is then mapped.
    fn with_family<T>(
        &self,
        address: &SocketAddr,
        call: impl Fn(&SocketAddr) -> io::Result<T>,
    ) -> io::Result<T> {
        match call(address) {
            Err(error)
                if matches!(Errno::of(&error), Some(Errno::EAFNOSUPPORT | Errno::EINVAL)) =>
            {
                match (self.0.family()?, address) {
                    (abi::AF_INET6, SocketAddr::V4(_)) => call(&mapped(address)),
                    (abi::AF_INET, SocketAddr::V6(_)) => Err(Errno::EAFNOSUPPORT.into()),
                    _ => Err(error),
                }
            }
            result => result,
        }
    }

    /// Receives a datagram. What does not fit the buffer is lost.
    ///
    /// Follows [`recv(2)`](https://man.netbsd.org/recv.2).
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when a timeout is over, or in nonblocking
    /// mode; [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if the peer refused a
    /// datagram.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        raw::recv(self.0.fd(), buffer, 0)
    }

    /// Receives a datagram, and tells where it came from. What does not fit the buffer is
    /// lost.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    #[doc(alias = "recvfrom")]
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(buffer, 0)
    }

    /// As [`recv`](Self::recv), but the datagram stays in the queue (`MSG_PEEK`).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    #[doc(alias = "MSG_PEEK")]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        raw::recv(self.0.fd(), buffer, abi::MSG_PEEK)
    }

    /// As [`recv_from`](Self::recv_from), but the datagram stays in the queue
    /// (`MSG_PEEK`).
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    ///
    /// # Examples
    /// ```
    /// use rump::net::UdpSocket;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !rump::kernel::available() { return Ok(()) }
    /// # let _kernel = rump::Kernel::builder().boot()?;
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.send_to(b"to myself", socket.local_addr()?)?;
    /// let mut buffer = [0; 16];
    /// assert_eq!(socket.peek_from(&mut buffer)?, (9, socket.local_addr()?));
    /// assert_eq!(socket.recv_from(&mut buffer)?, (9, socket.local_addr()?));
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "MSG_PEEK")]
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(buffer, abi::MSG_PEEK)
    }

    fn receive(
        &self,
        buffer: &mut [u8],
        flags: std::ffi::c_int,
    ) -> io::Result<(usize, SocketAddr)> {
        let (length, from) = raw::recv_from(self.0.fd(), buffer, flags)?;
        Ok((length, from.decode()?))
    }

    /// Whether datagrams may be sent to a broadcast address (`SO_BROADCAST`).
    ///
    /// # Errors
    /// If the kernel is down.
    #[doc(alias = "SO_BROADCAST")]
    pub fn broadcast(&self) -> io::Result<bool> {
        options::flag(self.0.fd(), abi::SOL_SOCKET, abi::SO_BROADCAST)
    }

    /// Sets whether datagrams may be sent to a broadcast address.
    ///
    /// # Errors
    /// If the kernel is down.
    #[doc(alias = "SO_BROADCAST")]
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        options::set_flag(self.0.fd(), abi::SOL_SOCKET, abi::SO_BROADCAST, broadcast)
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("UdpSocket");
        if let Ok(address) = self.local_addr() {
            out.field("addr", &address);
        }
        out.field("descriptor", &self.0.fd().as_raw()).finish()
    }
}
