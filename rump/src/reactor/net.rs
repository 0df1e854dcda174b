//! Sockets in a reactor.

use super::{Async, Handle, Reactor};
use crate::error::Errno;
use crate::net::{TcpListener, TcpStream, UdpSocket};
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;

impl Async<TcpListener> {
    /// Listens on an address, in the [global](Reactor::global) reactor.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind(address: impl Into<SocketAddr>) -> io::Result<Self> {
        Self::new(TcpListener::bind(address.into())?)
    }

    /// The next connection, in the reactor of this, and its peer's address.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    pub async fn accept(&self) -> io::Result<(Async<TcpStream>, SocketAddr)> {
        let (stream, peer) = self.read_with(TcpListener::accept).await?;
        Ok((Async::with(self.reactor(), stream)?, peer))
    }
}

impl Async<TcpStream> {
    /// Connects to an address, in the [global](Reactor::global) reactor.
    ///
    /// # Errors
    /// As [`TcpStream::connect`].
    pub async fn connect(address: impl Into<SocketAddr>) -> io::Result<Self> {
        Self::connect_with(&Reactor::global()?, address).await
    }

    /// Connects to an address, in this reactor.
    ///
    /// # Errors
    /// As [`TcpStream::connect`].
    pub async fn connect_with(
        reactor: &Handle,
        address: impl Into<SocketAddr>,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect_nonblocking(&address.into())?;
        let stream = Self::with(reactor, stream)?;
        stream.write_with(connected).await?;
        Ok(stream)
    }

    /// Reads what is there, at least a byte; 0 at the end.
    ///
    /// # Errors
    /// As `read` of [`TcpStream`].
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_with(|mut stream| stream.read(buffer)).await
    }

    /// Reads what is there without taking it.
    ///
    /// # Errors
    /// As [`TcpStream::peek`].
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_with(|stream| stream.peek(buffer)).await
    }

    /// Writes as much as there is room for, at least a byte.
    ///
    /// # Errors
    /// As `write` of [`TcpStream`].
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_with(|mut stream| stream.write(bytes)).await
    }

    /// The same from several buffers.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with(|mut stream| stream.write_vectored(buffers))
            .await
    }

    /// Writes all of it. If this is dropped, a part of it may have been written.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write(bytes).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => bytes = &bytes[written..],
            }
        }
        Ok(())
    }

    /// Ends the direction out; a connection that has ended already is none to end.
    #[cfg(any(feature = "futures", feature = "tokio"))]
    pub(super) fn end(&self) -> io::Result<()> {
        match self.get_ref().shutdown(std::net::Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}

/// Whether an attempt to connect has ended.
fn connected(stream: &TcpStream) -> io::Result<()> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Err(Errno::EAGAIN.into()),
        Err(error) => Err(error),
    }
}

impl Async<UdpSocket> {
    /// A socket with an address, in the [global](Reactor::global) reactor.
    ///
    /// # Errors
    /// As [`UdpSocket::bind`].
    pub fn bind(address: impl Into<SocketAddr>) -> io::Result<Self> {
        Self::new(UdpSocket::bind(address.into())?)
    }

    /// The next datagram.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_with(|socket| socket.recv(buffer)).await
    }

    /// The next datagram, and where it is from.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.read_with(|socket| socket.recv_from(buffer)).await
    }

    /// Sends a datagram to the address that the socket is connected to.
    ///
    /// # Errors
    /// As [`UdpSocket::send`].
    pub async fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        self.write_with(|socket| socket.send(datagram)).await
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`].
    pub async fn send_to(&self, datagram: &[u8], to: impl Into<SocketAddr>) -> io::Result<usize> {
        let to = to.into();
        self.write_with(|socket| socket.send_to(datagram, to)).await
    }
}
