//! Connecting to a server, and looking at what it says first.

use super::{Error, xen};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rump_ring::control::{Code, Hello, MOST, ToApplication, ToServer, VERSION, Welcome};
use rump_sys::hyper::linux::cable::{End, Message, Shape, Socket};
use rump_sys::hyper::vif::abi::FRAME_MAX;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a server gives.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) socket: Socket,
    pub(super) welcome: Welcome,
    pub(super) end: End,
}

/// How long one who cannot connect at the moment waits.
const AGAIN: Duration = Duration::from_millis(2);
/// Ethernet's header, and a VLAN's tag.
const LINK_HEADER: u32 = 18;

/// Connects, says hello and waits for a welcome up to so long.
pub(super) fn hail(place: &Path, hello: &Hello, time: Duration) -> Result<Joined, Error> {
    let until = Instant::now() + time;
    let failed = |source| Error::Connect {
        place: place.into(),
        source,
    };
    let socket = loop {
        match xen::connect(place) {
            // Too many want to at the same time, or a back end is not ready.
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < until => {
                std::thread::sleep(AGAIN);
            }
            other => break other.map_err(failed)?,
        }
    };
    let until = Instant::now() + xen::patience(place, time);
    let greeting = ToServer::Hello(hello.clone()).encode();
    socket.send(&greeting, None).map_err(failed)?;
    let mut bytes = [0; MOST];
    let message = loop {
        if let Some(message) = socket.receive(&mut bytes).map_err(failed)? {
            break message;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(failed(io::Error::new(
                ErrorKind::TimedOut,
                "it does not answer",
            )));
        }
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut fds, timeout);
    };
    let (welcome, end) = welcome(&socket, place, hello, &bytes[..message.len], message)?;
    Ok(Joined {
        socket,
        welcome,
        end,
    })
}

/// Looks at the first message.
fn welcome(
    socket: &Socket,
    place: &Path,
    hello: &Hello,
    bytes: &[u8],
    message: Message,
) -> Result<(Welcome, End), Error> {
    let wrong = |what: &str| Error::Wrong {
        place: place.into(),
        what: what.into(),
    };
    let welcome = match ToApplication::decode(bytes) {
        Ok(ToApplication::Welcome(welcome)) => welcome,
        Ok(ToApplication::Farewell(farewell)) => {
            return Err(Error::Refused {
                place: place.into(),
                permanent: is_permanent(farewell.code),
                text: farewell.text.to_string(),
            });
        }
        Ok(_) => return Err(wrong("neither a welcome nor a farewell")),
        Err(error) => return Err(wrong(&error.to_string())),
    };
    check(&welcome, hello).map_err(wrong)?;
    let shape = Shape::new(welcome.queues, welcome.data).ok_or_else(|| wrong("odd rings"))?;
    let end = socket.map(message, shape);
    let end = end.map_err(|error| wrong(&error.to_string()))?;
    Ok((welcome, end))
}

/// Whether to ask again is of no use.
pub(super) fn is_permanent(code: Code) -> bool {
    !matches!(code, Code::TooMany | Code::Ending)
}

/// What a welcome says must make sense.
pub(super) fn check(welcome: &Welcome, hello: &Hello) -> Result<(), &'static str> {
    if welcome.version != VERSION {
        return Err("another version of the protocol");
    }
    if welcome.queues > hello.queues {
        return Err("more queues than were asked for");
    }
    if welcome.mac[0] & 1 != 0 || welcome.mac == [0; 6] {
        return Err("an Ethernet address that is none of a host");
    }
    // RFC 791, 3.2; and what there is room for.
    if !(68..=FRAME_MAX as u32 - LINK_HEADER).contains(&welcome.mtu) {
        return Err("an MTU that cannot be");
    }
    let odd = |address: &std::net::IpAddr| {
        address.is_unspecified() || address.is_loopback() || address.is_multicast()
    };
    if welcome.addresses.iter().any(|(address, _)| odd(address)) {
        return Err("an address that is none of a host");
    }
    if welcome.gateway.is_some_and(|it| odd(&it.into()))
        || welcome.gateway6.is_some_and(|it| odd(&it.into()))
    {
        return Err("a router's address that is none of a host");
    }
    if *welcome.ports.start() < 1024 {
        return Err("ephemeral ports that are reserved");
    }
    Ok(())
}
