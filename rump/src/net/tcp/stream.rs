//! A connection.

use crate::descriptor::{AsDescriptor, BorrowedDescriptor, OwnedDescriptor};
use crate::net::ToSocketAddrs;
use crate::net::common::{common_methods, timeout_methods};
use crate::net::lookup::each_address;
use crate::net::options;
use crate::net::socket::Socket;
use rump_sys::abi;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

/// A TCP connection, as [`std::net::TcpStream`].
///
/// It is closed when the value is dropped; what was written is still sent, see
/// [`set_linger`](Self::set_linger).
///
/// # Examples
/// ```
/// use rump::net::{Shutdown, TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if !rump::kernel::available() { return Ok(()) }
/// # let _kernel = rump::Kernel::builder().boot()?;
/// let listener = TcpListener::bind("[::1]:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let (mut server, _) = listener.accept()?;
///
/// client.write_all(b"question")?;
/// client.shutdown(Shutdown::Write)?;
/// let mut question = String::new();
/// server.read_to_string(&mut question)?;
/// assert_eq!(question, "question");
///
/// // The other direction is still open.
/// server.write_all(b"answer")?;
/// drop(server);
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert_eq!(answer, "answer");
/// # Ok(())
/// # }
/// ```
pub struct TcpStream(Socket);

common_methods!(TcpStream);
timeout_methods!(TcpStream, "a read", "a write");

impl TcpStream {
    pub(super) fn from_socket(socket: Socket) -> Self {
        Self(socket)
    }

    /// Connects to an address; to the first of several that answers.
    ///
    /// Follows [`connect(2)`](https://man.netbsd.org/connect.2). Names are resolved by the
    /// host, see [`lookup`](crate::net::lookup).
    ///
    /// # Errors
    /// Of the last address that was tried:
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused),
    /// [`TimedOut`](io::ErrorKind::TimedOut), `HostUnreachable`, …
    ///
    /// # Examples
    /// ```
    /// use rump::net::{TcpListener, TcpStream};
    /// use std::io::ErrorKind;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !rump::kernel::available() { return Ok(()) }
    /// # let _kernel = rump::Kernel::builder().boot()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// assert_eq!(TcpStream::connect(address)?.peer_addr()?, address);
    ///
    /// drop(listener);
    /// let refused = TcpStream::connect(address).unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect<A: ToSocketAddrs>(address: A) -> io::Result<Self> {
        each_address(address, |address| {
            let socket = Socket::new(address, abi::SOCK_STREAM, false)?;
            socket.connect(address)?;
            Ok(Self(socket))
        })
    }

    /// Connects to an address, but waits no longer than this.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut) when the time is over;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a time of zero; and those of
    /// [`connect`](Self::connect).
    ///
    /// # Examples
    /// ```
    /// use rump::net::{TcpListener, TcpStream};
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !rump::kernel::available() { return Ok(()) }
    /// # let _kernel = rump::Kernel::builder().boot()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// TcpStream::connect_timeout(&listener.local_addr()?, Duration::from_secs(1))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        let socket = Socket::new(address, abi::SOCK_STREAM, false)?;
        socket.connect_timeout(address, timeout)?;
        Ok(Self(socket))
    }

    /// Starts to connect and does not wait. The stream is nonblocking, and stays so.
    ///
    /// When [`poll`](crate::poll) says that it is writable, the attempt has ended, and
    /// [`take_error`](Self::take_error) tells how.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect) that are known at once.
    pub fn connect_nonblocking(address: &SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(address, abi::SOCK_STREAM, false)?;
        socket.start_connect(address)?;
        Ok(Self(socket))
    }

    /// The peer's address.
    ///
    /// Follows [`getpeername(2)`](https://man.netbsd.org/getpeername.2).
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) when the connection has ended.
    #[doc(alias = "getpeername")]
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// Ends one direction of the connection, or both, for all handles to it.
    ///
    /// Follows [`shutdown(2)`](https://man.netbsd.org/shutdown.2).
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) when the connection has ended.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }

    /// Reads without taking the data out of the stream (`MSG_PEEK`).
    ///
    /// # Errors
    /// Those of a read.
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
    /// let mut client = TcpStream::connect(listener.local_addr()?)?;
    /// let (mut server, _) = listener.accept()?;
    /// client.write_all(b"x")?;
    /// let mut byte = [0];
    /// assert_eq!(server.peek(&mut byte)?, 1);
    /// assert_eq!(server.read(&mut byte)?, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "MSG_PEEK")]
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer, abi::MSG_PEEK)
    }

    /// Whether small writes are sent at once instead of being collected (`TCP_NODELAY`).
    ///
    /// # Errors
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) when the connection has ended.
    #[doc(alias = "TCP_NODELAY")]
    pub fn nodelay(&self) -> io::Result<bool> {
        options::flag(self.0.fd(), abi::IPPROTO_TCP, abi::TCP_NODELAY)
    }

    /// Sets whether small writes are sent at once; see [`nodelay`](Self::nodelay).
    ///
    /// # Errors
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) when the connection has ended.
    #[doc(alias = "TCP_NODELAY")]
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        options::set_flag(self.0.fd(), abi::IPPROTO_TCP, abi::TCP_NODELAY, nodelay)
    }

    /// How long closing waits for unsent data (`SO_LINGER`), see
    /// [`set_linger`](Self::set_linger).
    ///
    /// # Errors
    /// If the kernel is down.
    #[doc(alias = "SO_LINGER")]
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        options::linger(self.0.fd())
    }

    /// Sets how long closing waits for unsent data: in whole seconds, at most 65535.
    ///
    /// With `None` closing does not wait, and the data is sent in the background; with
    /// zero the data is discarded, and the connection is reset.
    ///
    /// # Errors
    /// If the kernel is down.
    #[doc(alias = "SO_LINGER")]
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        options::set_linger(self.0.fd(), linger)
    }
}

/// Keepalive: whether and when a silent connection is probed, see
/// [`tcp(4)`](https://man.netbsd.org/tcp.4).
///
/// NetBSD 7 takes the times and the count, but does not tell them: reading them is
/// `ENOPROTOOPT` there.
impl TcpStream {
    /// Whether a silent connection is probed (`SO_KEEPALIVE`).
    ///
    /// # Errors
    /// If the kernel is down.
    #[doc(alias = "SO_KEEPALIVE")]
    pub fn keepalive(&self) -> io::Result<bool> {
        options::flag(self.0.fd(), abi::SOL_SOCKET, abi::SO_KEEPALIVE)
    }

    /// Sets whether a silent connection is probed.
    ///
    /// # Errors
    /// If the kernel is down.
    ///
    /// # Examples
    /// ```
    /// use rump::net::{TcpListener, TcpStream};
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # if !rump::kernel::available() { return Ok(()) }
    /// # let _kernel = rump::Kernel::builder().boot()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stream = TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_keepalive(true)?;
    /// stream.set_keepalive_idle(Duration::from_secs(60))?;
    /// stream.set_keepalive_interval(Duration::from_secs(10))?;
    /// stream.set_keepalive_count(3)?;
    /// assert!(stream.keepalive()?);
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "SO_KEEPALIVE")]
    pub fn set_keepalive(&self, keepalive: bool) -> io::Result<()> {
        options::set_flag(self.0.fd(), abi::SOL_SOCKET, abi::SO_KEEPALIVE, keepalive)
    }

    /// How long the connection is silent before the first probe (`TCP_KEEPIDLE`).
    ///
    /// # Errors
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) when the connection has ended;
    /// `ENOPROTOOPT` on NetBSD 7.
    #[doc(alias = "TCP_KEEPIDLE")]
    pub fn keepalive_idle(&self) -> io::Result<Duration> {
        options::keepalive(self.0.fd(), abi::TCP_KEEPIDLE)
    }

    /// Sets how long the connection is silent before the first probe, rounded up to half
    /// seconds.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for zero, and for more than 32767
    /// seconds (Linux's limit);
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) when the connection has ended.
    #[doc(alias = "TCP_KEEPIDLE")]
    pub fn set_keepalive_idle(&self, idle: Duration) -> io::Result<()> {
        options::set_keepalive(self.0.fd(), abi::TCP_KEEPIDLE, idle)
    }

    /// How long lies between two probes (`TCP_KEEPINTVL`).
    ///
    /// # Errors
    /// As [`keepalive_idle`](Self::keepalive_idle).
    #[doc(alias = "TCP_KEEPINTVL")]
    pub fn keepalive_interval(&self) -> io::Result<Duration> {
        options::keepalive(self.0.fd(), abi::TCP_KEEPINTVL)
    }

    /// Sets how long lies between two probes, rounded up to half seconds.
    ///
    /// # Errors
    /// As [`set_keepalive_idle`](Self::set_keepalive_idle).
    #[doc(alias = "TCP_KEEPINTVL")]
    pub fn set_keepalive_interval(&self, interval: Duration) -> io::Result<()> {
        options::set_keepalive(self.0.fd(), abi::TCP_KEEPINTVL, interval)
    }

    /// After how many probes without an answer the connection is given up
    /// (`TCP_KEEPCNT`).
    ///
    /// # Errors
    /// As [`keepalive_idle`](Self::keepalive_idle).
    #[doc(alias = "TCP_KEEPCNT")]
    pub fn keepalive_count(&self) -> io::Result<u32> {
        options::value(self.0.fd(), abi::IPPROTO_TCP, abi::TCP_KEEPCNT)
    }

    /// Sets after how many probes without an answer the connection is given up.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for 0, and for more than 127 (Linux's
    /// limit);
    /// [`ConnectionReset`](io::ErrorKind::ConnectionReset) when the connection has ended.
    #[doc(alias = "TCP_KEEPCNT")]
    pub fn set_keepalive_count(&self, probes: u32) -> io::Result<()> {
        options::set_keepalive_count(self.0.fd(), probes)
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer, 0)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.read_vectored(buffers)
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer, 0)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.read_vectored(buffers)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(buffers)
    }

    /// Does nothing: what was written is the kernel's.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(buffers)
    }

    /// Does nothing: what was written is the kernel's.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TcpStream");
        if let Ok(address) = self.local_addr() {
            out.field("addr", &address);
        }
        if let Ok(peer) = self.peer_addr() {
            out.field("peer", &peer);
        }
        out.field("descriptor", &self.0.fd().as_raw()).finish()
    }
}
