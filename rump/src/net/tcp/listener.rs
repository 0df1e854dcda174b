//! The passive side.

use super::TcpStream;
use crate::descriptor::{AsDescriptor, BorrowedDescriptor, OwnedDescriptor};
use crate::net::ToSocketAddrs;
use crate::net::common::common_methods;
use crate::net::lookup::each_address;
use crate::net::options;
use crate::net::socket::Socket;
use rump_sys::abi;
use std::ffi::c_int;
use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;

/// As std's: how many connections may wait to be accepted.
const BACKLOG: c_int = 128;

/// A TCP socket server, as [`std::net::TcpListener`].
///
/// The socket is closed when the value is dropped.
///
/// # Examples
/// ```
/// use rump::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if !rump::kernel::available() { return Ok(()) }
/// # let _kernel = rump::Kernel::builder().boot()?;
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let client = std::thread::spawn(move || -> std::io::Result<String> {
///     let mut answer = String::new();
///     TcpStream::connect(address)?.read_to_string(&mut answer)?;
///     Ok(answer)
/// });
/// let (mut stream, _peer) = listener.accept()?;
/// stream.write_all(b"hello")?;
/// drop(stream);
/// assert_eq!(client.join().unwrap()?, "hello");
/// # Ok(())
/// # }
/// ```
pub struct TcpListener(Socket);

common_methods!(TcpListener);

impl TcpListener {
    /// Listens on an address; the first of several that can be bound.
    ///
    /// Port 0 lets the kernel choose one, which [`local_addr`](Self::local_addr) tells. On
    /// an IPv6 address that is unspecified (`[::]`), clients over IPv4 are served too.
    /// `SO_REUSEADDR` is set.
    ///
    /// Follows [`bind(2)`](https://man.netbsd.org/bind.2) and
    /// [`listen(2)`](https://man.netbsd.org/listen.2). How names are looked up: see
    /// [`lookup`](crate::net::lookup).
    ///
    /// # Errors
    /// Of the last address that was tried:
    /// [`AddrInUse`](io::ErrorKind::AddrInUse), [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable)
    /// if it is not the rump kernel's, …
    ///
    /// # Examples
    /// ```
    /// use rump::net::TcpListener;
    /// use std::io::ErrorKind;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !rump::kernel::available() { return Ok(()) }
    /// # let _kernel = rump::Kernel::builder().boot()?;
    /// let listener = TcpListener::bind("127.0.0.1:8080")?;
    /// let second = TcpListener::bind("127.0.0.1:8080").unwrap_err();
    /// assert_eq!(second.kind(), ErrorKind::AddrInUse);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "listen")]
    pub fn bind<A: ToSocketAddrs>(address: A) -> io::Result<Self> {
        each_address(address, |address| Self::bind_one(address, false))
    }

    /// Listens on an IPv6 address for clients over IPv6 only (`IPV6_V6ONLY`).
    ///
    /// # Errors
    /// As [`bind`](Self::bind); [`InvalidInput`](io::ErrorKind::InvalidInput) for an IPv4
    /// address.
    ///
    /// # Examples
    /// ```
    /// use rump::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !rump::kernel::available() { return Ok(()) }
    /// # let _kernel = rump::Kernel::builder().boot()?;
    /// let listener = TcpListener::bind_only_v6("[::]:0")?;
    /// let port = listener.local_addr()?.port();
    /// assert!(TcpStream::connect(("::1", port)).is_ok());
    /// assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "IPV6_V6ONLY")]
    pub fn bind_only_v6<A: ToSocketAddrs>(address: A) -> io::Result<Self> {
        each_address(address, |address| {
            if address.is_ipv4() {
                return Err(crate::net::not_v6());
            }
            Self::bind_one(address, true)
        })
    }

    fn bind_one(address: &SocketAddr, only_v6: bool) -> io::Result<Self> {
        let socket = Socket::new(address, abi::SOCK_STREAM, only_v6)?;
        options::set_flag(socket.fd(), abi::SOL_SOCKET, abi::SO_REUSEADDR, true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?;
        Ok(Self(socket))
    }

    /// Waits for a connection, and returns it with its peer's address.
    ///
    /// Follows [`accept(2)`](https://man.netbsd.org/accept.2). The stream blocks, even if
    /// the listener does not.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) in [nonblocking mode](Self::set_nonblocking);
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) if the peer has gone again,
    /// after which the listener works as before.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = self.0.accept()?;
        Ok((TcpStream::from_socket(socket), peer))
    }

    /// The connections as they come, without end; the same as calling
    /// [`accept`](Self::accept) in a loop.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// Not possible after `bind`, here as in std.
    ///
    /// # Errors
    /// Always, because the socket is bound.
    #[deprecated(note = "cannot be changed once the socket is bound: use `bind_only_v6`")]
    pub fn set_only_v6(&self, only_v6: bool) -> io::Result<()> {
        options::set_flag(self.0.fd(), abi::IPPROTO_IPV6, abi::IPV6_V6ONLY, only_v6)
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TcpListener");
        if let Ok(address) = self.local_addr() {
            out.field("addr", &address);
        }
        out.field("descriptor", &self.0.fd().as_raw()).finish()
    }
}

/// The connections of a [`TcpListener`] as they come; made by [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}
