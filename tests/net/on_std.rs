//! The table on `std::net`, that is on the host's Linux.

#[path = "table/mod.rs"]
pub mod table;

pub use std::net as api;

/// What `std::net` lacks, or has not stabilised, on the host's sockets.
pub mod extra {
    use super::api::{SocketAddr, TcpListener, TcpStream};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};
    use std::io;
    use std::os::fd::{AsFd, AsRawFd};
    use std::time::Duration;

    pub fn set_linger(stream: &TcpStream, linger: Option<Duration>) -> io::Result<()> {
        let value = libc::linger {
            l_onoff: linger.is_some().into(),
            l_linger: linger.unwrap_or_default().as_secs() as i32,
        };
        Ok(socket::setsockopt(stream, sockopt::Linger, &value)?)
    }

    pub fn linger(stream: &TcpStream) -> io::Result<Option<Duration>> {
        let value = socket::getsockopt(stream, sockopt::Linger)?;
        Ok((value.l_onoff != 0).then(|| Duration::from_secs(value.l_linger as u64)))
    }

    pub fn set_keepalive(stream: &TcpStream, keepalive: bool) -> io::Result<()> {
        Ok(socket::setsockopt(stream, sockopt::KeepAlive, &keepalive)?)
    }

    pub fn keepalive(stream: &TcpStream) -> io::Result<bool> {
        Ok(socket::getsockopt(stream, sockopt::KeepAlive)?)
    }

    pub fn set_send_buffer(stream: &TcpStream, bytes: usize) -> io::Result<()> {
        Ok(socket::setsockopt(stream, sockopt::SndBuf, &bytes)?)
    }

    pub fn send_buffer(stream: &TcpStream) -> io::Result<usize> {
        Ok(socket::getsockopt(stream, sockopt::SndBuf)?)
    }

    pub fn set_receive_buffer(stream: &TcpStream, bytes: usize) -> io::Result<()> {
        Ok(socket::setsockopt(stream, sockopt::RcvBuf, &bytes)?)
    }

    pub fn receive_buffer(stream: &TcpStream) -> io::Result<usize> {
        Ok(socket::getsockopt(stream, sockopt::RcvBuf)?)
    }

    /// A nonblocking stream whose connection is under way, or done.
    pub fn start_connect(address: SocketAddr) -> io::Result<TcpStream> {
        let family = if address.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket::socket(family, SockType::Stream, flags, None)?;
        match socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(address)) {
            Ok(()) | Err(nix::Error::EINPROGRESS) => Ok(fd.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until a stream can be written, or its connection has failed.
    pub fn wait_writable(stream: &TcpStream) -> io::Result<()> {
        wait(PollFd::new(stream.as_fd(), PollFlags::POLLOUT))
    }

    /// Waits until a listener has a connection to accept.
    pub fn wait_acceptable(listener: &TcpListener) -> io::Result<()> {
        wait(PollFd::new(listener.as_fd(), PollFlags::POLLIN))
    }

    fn wait(entry: PollFd<'_>) -> io::Result<()> {
        match poll(&mut [entry], PollTimeout::from(5000u16))? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}
