//! The table of socket behaviours.
//!
//! This module is compiled once for each socket layer: `super::api` is `std::net` or
//! `rump::net`, and `super::extra` has the few calls that `std::net` lacks. A case does
//! something with sockets and notes what came of it; the expectation beside its name is
//! what `std::net` documents or, where its documentation leaves it to the system, what
//! Linux does. Where the other layer differs, `differences.rs` says so and why.

use super::{api, extra};
use crate::outcome::Seen;
use api::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::io::{self, Read, Write};
use std::time::Duration;

mod large;
mod listener;
mod many;
mod multicast;
mod nonblocking;
mod options;
mod resolve;
mod tcp_basic;
mod tcp_errors;
mod threads;
mod timeouts;
mod udp;
mod udp_errors;
mod v6;
mod vectored;

/// One row: what is done, and what must come of it.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub run: fn(&mut Seen) -> io::Result<()>,
    pub expect: &'static str,
}

const fn case(
    name: &'static str,
    run: fn(&mut Seen) -> io::Result<()>,
    expect: &'static str,
) -> Case {
    Case { name, run, expect }
}

/// Every case, by topic.
pub const TOPICS: &[(&str, &[Case])] = &[
    ("tcp_basic", tcp_basic::CASES),
    ("tcp_errors", tcp_errors::CASES),
    ("listener", listener::CASES),
    ("resolve", resolve::CASES),
    ("timeouts", timeouts::CASES),
    ("nonblocking", nonblocking::CASES),
    ("options", options::CASES),
    ("udp", udp::CASES),
    ("udp_errors", udp_errors::CASES),
    ("multicast", multicast::CASES),
    ("v6", v6::CASES),
    ("vectored", vectored::CASES),
    ("large", large::CASES),
    ("many", many::CASES),
    ("threads", threads::CASES),
];

const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
const LOCAL6: (Ipv6Addr, u16) = (Ipv6Addr::LOCALHOST, 0);
/// Long enough for a packet to cross the loopback interface.
const SOON: Duration = Duration::from_millis(50);

/// A connection over 127.0.0.1: the connecting end, then the accepted one.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    pair_on(LOCAL.into())
}

/// A connection to a listener on `address`.
fn pair_on(address: SocketAddr) -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind(address)?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    Ok((client, server))
}

/// Two sockets on 127.0.0.1, each connected to the other.
fn udp_pair() -> io::Result<(UdpSocket, UdpSocket)> {
    let (one, other) = (UdpSocket::bind(LOCAL)?, UdpSocket::bind(LOCAL)?);
    one.connect(other.local_addr()?)?;
    other.connect(one.local_addr()?)?;
    // A lost datagram must fail the case, not hang it.
    one.set_read_timeout(Some(Duration::from_secs(5)))?;
    other.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok((one, other))
}

/// An address on 127.0.0.1 where nobody listens.
fn closed_address() -> io::Result<SocketAddr> {
    TcpListener::bind(LOCAL)?.local_addr()
}

/// Ends a connection by a reset and waits until the other end must have it.
fn reset(stream: TcpStream) -> io::Result<()> {
    extra::set_linger(&stream, Some(Duration::ZERO))?;
    drop(stream);
    std::thread::sleep(SOON);
    Ok(())
}

/// One `read` as text.
fn read_text(mut from: impl Read) -> io::Result<String> {
    let mut buffer = [0; 64];
    let length = from.read(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Sends until the stream takes no more; returns how much it took and what then came.
fn fill(mut stream: &TcpStream) -> (usize, io::Error) {
    let block = [0x5a; 16 * 1024];
    let mut taken = 0;
    loop {
        match stream.write(&block) {
            Ok(length) => taken += length,
            Err(error) => return (taken, error),
        }
    }
}
