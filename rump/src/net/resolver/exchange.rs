//! Asking one name server: over UDP, and again over TCP if the answer is cut off.

use super::message::{self, Kind, Reply};
use crate::net::{TcpStream, UdpSocket};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// The largest answer over UDP that is looked at; without EDNS none has more than 512.
const LARGEST: usize = 4096;

/// How long is waited before a question is sent again: twice as long each time. While the
/// Ethernet address of the server is not known, the kernel keeps only the last of several
/// datagrams to it.
const FIRST_WAIT: Duration = Duration::from_millis(300);

/// Ports that a program may take, of which one is drawn (RFC 6335, 6).
const PORTS: std::ops::RangeInclusive<u16> = 49_152..=u16::MAX;
/// How often a port is drawn before the kernel is left to choose.
const DRAWS: u32 = 8;

/// What a name server says.
pub(super) enum Answer {
    /// The addresses of a name; at least one.
    Addresses(Vec<IpAddr>),
    /// The name does not exist, or has no addresses.
    None,
}

/// One of the two questions about a name.
struct Asked {
    kind: Kind,
    id: u16,
    reply: Option<Reply>,
}

/// Asks for both kinds of addresses at once.
pub(super) fn ask(server: SocketAddr, name: &str, timeout: Duration) -> io::Result<Answer> {
    let deadline = Instant::now() + timeout;
    let mut asked = [Kind::V6, Kind::V4].map(|kind| Asked {
        kind,
        id: random() as u16,
        reply: None,
    });
    over_udp(server, name, &mut asked, deadline)?;
    let mut addresses = Vec::new();
    let mut failure = None;
    for question in &mut asked {
        if question.reply == Some(Reply::Truncated) {
            let reply = over_tcp(server, name, question, deadline);
            question.reply = reply.map_err(|error| failure = Some(error)).ok();
        }
        match question.reply.take() {
            Some(Reply::Addresses(found)) => addresses.extend(found),
            Some(Reply::NoName) => {}
            Some(Reply::Failed(why)) => failure = Some(io::Error::other(why)),
            Some(Reply::Truncated | Reply::Other) | None => {
                failure.get_or_insert_with(late);
            }
        }
    }
    // Some servers refuse to say that there are none of one kind.
    match failure {
        _ if !addresses.is_empty() => Ok(Answer::Addresses(addresses)),
        Some(error) => Err(error),
        None => Ok(Answer::None),
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// The time until the deadline, which is none as long as there is some.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(late());
    }
    Ok(left)
}

fn over_udp(
    server: SocketAddr,
    name: &str,
    asked: &mut [Asked],
    deadline: Instant,
) -> io::Result<()> {
    // The kernel drops what comes from elsewhere.
    let socket = socket(server)?;
    socket.connect(server)?;
    let mut wait = FIRST_WAIT;
    let mut buffer = [0; LARGEST];
    let mut again = Instant::now();
    while asked.iter().any(|question| question.reply.is_none()) {
        let now = Instant::now();
        if now >= deadline {
            // One of the two may have come.
            return Ok(());
        }
        if now >= again {
            for question in asked.iter().filter(|asked| asked.reply.is_none()) {
                socket.send(&message::question(question.id, name, question.kind)?)?;
            }
            again = now + wait;
            wait *= 2;
        }
        socket.set_read_timeout(Some(again.min(deadline) - now))?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        for question in asked.iter_mut().filter(|asked| asked.reply.is_none()) {
            match message::reply(&buffer[..length], question.id, name, question.kind) {
                Reply::Other => {}
                reply => question.reply = Some(reply),
            }
        }
    }
    Ok(())
}

/// RFC 1035, 4.2.2: each message has its length before it.
fn over_tcp(
    server: SocketAddr,
    name: &str,
    question: &Asked,
    deadline: Instant,
) -> io::Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&server, left(deadline)?)?;
    let bytes = message::question(question.id, name, question.kind)?;
    let mut framed = (bytes.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(&bytes);
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(&framed)?;
    let mut length = [0; 2];
    read_exact(&mut stream, &mut length, deadline)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    read_exact(&mut stream, &mut answer, deadline)?;
    Ok(
        match message::reply(&answer, question.id, name, question.kind) {
            Reply::Other | Reply::Truncated => {
                Reply::Failed("its answer over TCP is to another question, or cut off")
            }
            reply => reply,
        },
    )
}

/// As of std, within a time.
fn read_exact(stream: &mut TcpStream, mut buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => buffer = &mut buffer[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A socket at a port that nobody can guess (RFC 5452, 9.2).
fn socket(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    for _ in 0..DRAWS {
        let span = PORTS.end() - PORTS.start();
        let port = PORTS.start() + (random() % (u64::from(span) + 1)) as u16;
        if let Ok(socket) = UdpSocket::bind((any, port)) {
            return Ok(socket);
        }
    }
    UdpSocket::bind((any, 0))
}

/// A number that depends on what the host's random source gave this thread (std's hash
/// keys).
fn random() -> u64 {
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}
