//! What the three socket types have in common: a descriptor, and how std behaves on it.

use super::address::{RawAddress, destination, family_of};
use super::options;
use crate::descriptor::{AsDescriptor, BorrowedDescriptor, OwnedDescriptor};
use crate::error::Errno;
use crate::poll::{self, Events, PollFd};
use crate::sys::socket as raw;
use rump_sys::abi;
use std::ffi::c_int;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

pub(super) struct Socket(OwnedDescriptor);

impl Socket {
    /// A socket for this address; if it is of IPv6, for mapped IPv4 addresses as well
    /// unless `only_v6`.
    pub(super) fn new(address: &SocketAddr, kind: c_int, only_v6: bool) -> io::Result<Self> {
        let family = family_of(address);
        let socket = Self(raw::socket(
            family,
            kind | abi::SOCK_CLOEXEC | abi::SOCK_NOSIGPIPE,
        )?);
        if family == abi::AF_INET6 {
            options::set_flag(socket.fd(), abi::IPPROTO_IPV6, abi::IPV6_V6ONLY, only_v6)?;
        }
        Ok(socket)
    }

    pub(super) fn fd(&self) -> BorrowedDescriptor<'_> {
        self.0.as_descriptor()
    }

    pub(super) fn from_descriptor(descriptor: OwnedDescriptor) -> Self {
        Self(descriptor)
    }

    pub(super) fn into_descriptor(self) -> OwnedDescriptor {
        self.0
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    pub(super) fn bind(&self, address: &SocketAddr) -> io::Result<()> {
        raw::bind(self.fd(), &RawAddress::encode(address))
    }

    pub(super) fn listen(&self, backlog: c_int) -> io::Result<()> {
        raw::listen(self.fd(), backlog)
    }

    pub(super) fn accept(&self) -> io::Result<(Self, SocketAddr)> {
        let (descriptor, peer) = raw::accept(self.fd())?;
        Ok((Self(descriptor), peer.decode()?))
    }

    /// Connects. If a signal interrupts that, the attempt goes on in the kernel, and a
    /// second connect(2) would say `EALREADY`; so its end is waited for.
    pub(super) fn connect(&self, address: &SocketAddr) -> io::Result<()> {
        match raw::connect(self.fd(), &RawAddress::encode(&destination(address))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.await_connect(None),
            result => result,
        }
    }

    pub(super) fn connect_timeout(
        &self,
        address: &SocketAddr,
        timeout: Duration,
    ) -> io::Result<()> {
        if timeout.is_zero() {
            return Err(options::zero_timeout());
        }
        // No deadline if it lies beyond what can be told.
        let deadline = Instant::now().checked_add(timeout);
        let started = self.start_connect(address);
        self.set_nonblocking(false)?;
        if started? {
            self.await_connect(deadline)?;
        }
        Ok(())
    }

    /// Starts to connect, and tells whether that goes on. The socket is nonblocking from
    /// here on.
    pub(super) fn start_connect(&self, address: &SocketAddr) -> io::Result<bool> {
        self.set_nonblocking(true)?;
        match raw::connect(self.fd(), &RawAddress::encode(&destination(address))) {
            Err(error) if matches!(Errno::of(&error), Some(Errno::EINPROGRESS | Errno::EINTR)) => {
                Ok(true)
            }
            result => result.map(|()| false),
        }
    }

    /// Waits for the end of a connection attempt.
    fn await_connect(&self, deadline: Option<Instant>) -> io::Result<()> {
        let mut entries = [PollFd::new(&self.0, Events::WRITABLE)];
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if poll::poll(&mut entries, left)? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "connection timed out",
            ));
        }
        if let Some(error) = self.take_error()? {
            return Err(error);
        }
        if entries[0]
            .returned()
            .intersects(Events::HANGUP | Events::ERROR)
        {
            return Err(io::Error::other("the connection ended with no error set"));
        }
        Ok(())
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        raw::local_address(self.fd())?.decode()
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        raw::peer_address(self.fd())
            .map_err(gone_is_not_connected)?
            .decode()
    }

    /// Receives from a stream, of which an empty buffer asks for nothing.
    pub(super) fn read(&self, buffer: &mut [u8], flags: c_int) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        raw::recv(self.fd(), buffer, flags)
    }

    pub(super) fn read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return Ok(0);
        }
        raw::recv_vectored(self.fd(), buffers)
    }

    pub(super) fn write(&self, buffer: &[u8]) -> io::Result<usize> {
        raw::send(self.fd(), buffer)
    }

    pub(super) fn write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        raw::send_vectored(self.fd(), buffers)
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => abi::SHUT_RD,
            Shutdown::Write => abi::SHUT_WR,
            Shutdown::Both => abi::SHUT_RDWR,
        };
        raw::shutdown(self.fd(), how).map_err(gone_is_not_connected)
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        raw::set_nonblocking(self.fd(), nonblocking)
    }

    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        options::take_error(self.fd())
    }

    pub(super) fn family(&self) -> io::Result<c_int> {
        Ok(raw::local_address(self.fd())?.family())
    }
}

/// NetBSD says `EINVAL` for a TCP socket whose connection has ended completely, where
/// Linux says `ENOTCONN`. The calls that use this get no argument that could be invalid.
fn gone_is_not_connected(error: io::Error) -> io::Error {
    if Errno::of(&error) == Some(Errno::EINVAL) {
        Errno::ENOTCONN.into()
    } else {
        error
    }
}
