//! The table on `rump::net`, that is on the stack of the kernel in this process.

#[path = "table/mod.rs"]
#[allow(
    clippy::duplicate_mod,
    reason = "the same cases run on two socket layers"
)]
pub mod table;

/// `rump::net` as a replacement for `std::net`: addresses are std's own types.
pub mod api {
    pub use rump::net::{TcpListener, TcpStream, UdpSocket};
    pub use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
}

/// The same extras as on the host.
pub mod extra {
    use super::api::{SocketAddr, TcpListener, TcpStream};
    use rump::poll::{Events, PollFd, poll};
    use std::io;
    use std::time::Duration;

    pub fn set_linger(stream: &TcpStream, linger: Option<Duration>) -> io::Result<()> {
        stream.set_linger(linger)
    }

    pub fn linger(stream: &TcpStream) -> io::Result<Option<Duration>> {
        stream.linger()
    }

    pub fn set_keepalive(stream: &TcpStream, keepalive: bool) -> io::Result<()> {
        stream.set_keepalive(keepalive)
    }

    pub fn keepalive(stream: &TcpStream) -> io::Result<bool> {
        stream.keepalive()
    }

    pub fn set_send_buffer(stream: &TcpStream, bytes: usize) -> io::Result<()> {
        stream.set_send_buffer_size(bytes)
    }

    pub fn send_buffer(stream: &TcpStream) -> io::Result<usize> {
        stream.send_buffer_size()
    }

    pub fn set_receive_buffer(stream: &TcpStream, bytes: usize) -> io::Result<()> {
        stream.set_recv_buffer_size(bytes)
    }

    pub fn receive_buffer(stream: &TcpStream) -> io::Result<usize> {
        stream.recv_buffer_size()
    }

    pub fn start_connect(address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect_nonblocking(&address)
    }

    pub fn wait_writable(stream: &TcpStream) -> io::Result<()> {
        wait(PollFd::new(stream, Events::WRITABLE))
    }

    pub fn wait_acceptable(listener: &TcpListener) -> io::Result<()> {
        wait(PollFd::new(listener, Events::READABLE))
    }

    fn wait(entry: PollFd<'_>) -> io::Result<()> {
        match poll(&mut [entry], Some(Duration::from_secs(5)))? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}
