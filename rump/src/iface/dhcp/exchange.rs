//! Asking and answering: the exchanges of RFC 2131, 3.1 and 4.4.

use super::lease::{Lease, Terms};
use super::message::{LARGEST, Reply, Request, reply};
use super::transport::{Nowhere, Transport};
use super::{Error, Settings};
use crate::iface::{Interface, neighbor};
use smoltcp::wire::DhcpMessageType;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long is waited before a message is sent again: twice as long each time, up to the
/// limit. RFC 2131, 4.1 starts with 4 seconds, which is for links of its time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(16);
/// For how long a server that has offered an address is asked for it.
const PATIENCE: Duration = Duration::from_secs(8);
/// For how long the Ethernet address of a neighbour is waited for.
const RESOLVING: Duration = Duration::from_secs(1);
/// How soon a client notices that it is to stop.
const SLICE: Duration = Duration::from_millis(200);

/// Who is asked.
#[derive(Clone, Copy)]
enum Whom {
    All,
    One(Ipv4Addr),
}

/// An interface that asks.
pub(super) struct Asker {
    pub(super) interface: Interface,
    pub(super) settings: Settings,
    pub(super) stop: AtomicBool,
    hardware: [u8; 6],
}

impl Asker {
    pub(super) fn new(interface: &Interface, settings: Settings) -> Result<Self, Error> {
        if let Some(name) = &settings.host_name
            && !crate::net::resolver::is_host_name(name)
        {
            return Err(Error::HostName { name: name.clone() });
        }
        let hardware = interface
            .hardware_address()?
            .ok_or_else(|| Error::NotEthernet {
                interface: interface.name().into(),
            })?;
        Ok(Self {
            interface: interface.clone(),
            settings,
            stop: AtomicBool::new(false),
            hardware,
        })
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> Error {
        |source| Error::Message {
            interface: self.interface.name().into(),
            source,
        }
    }

    fn transport(&self) -> Result<Transport, Error> {
        Transport::on(&self.interface).map_err(self.failed())
    }

    fn request(&self, kind: DhcpMessageType) -> Request<'_> {
        Request {
            kind,
            transaction: random(),
            hardware: self.hardware,
            elapsed: Duration::ZERO,
            client: Ipv4Addr::UNSPECIFIED,
            wanted: None,
            server: None,
            host_name: self.settings.host_name.as_deref(),
        }
    }

    /// From no address to a lease (RFC 2131, 3.1).
    pub(super) fn acquire(&self, within: Duration) -> Result<Lease, Error> {
        let began = Instant::now();
        let late = || Error::NoAnswer {
            interface: self.interface.name().into(),
            waited: within,
        };
        let _nowhere = Nowhere::on(&self.interface)?;
        let transport = self.transport()?;
        loop {
            let left = within.saturating_sub(began.elapsed());
            let mut discover = self.request(DhcpMessageType::Discover);
            let offer = |reply| match reply {
                Reply::Offer(terms) => Some(terms),
                _ => None,
            };
            let offer = self
                .exchange(&transport, &mut discover, Whom::All, left, offer)?
                .ok_or_else(late)?;
            let since = Instant::now();
            let mut request = self.request(DhcpMessageType::Request);
            request.transaction = discover.transaction;
            request.wanted = Some(offer.address.addr());
            request.server = Some(offer.server);
            let left = within.saturating_sub(began.elapsed()).min(PATIENCE);
            let answer = |reply| of_server(reply, offer.server);
            match self.exchange(&transport, &mut request, Whom::All, left, answer)? {
                Some(Some(terms)) => return Ok(Lease { terms, since }),
                // Somebody else was faster; a server that says so at once is not asked
                // without end.
                Some(None) => std::thread::sleep(SLICE),
                None => {}
            }
        }
    }

    /// Keeps a lease: of its own server, or of any.
    pub(super) fn keep(&self, lease: &Lease, any: bool, within: Duration) -> Result<Lease, Error> {
        let transport = self.transport()?;
        let since = Instant::now();
        let mut request = self.request(DhcpMessageType::Request);
        request.client = lease.address().addr();
        let whom = if any {
            Whom::All
        } else {
            Whom::One(lease.server())
        };
        let answer = |reply| match reply {
            Reply::Ack(terms) if terms.address.addr() == lease.address().addr() => Some(Ok(terms)),
            Reply::Nak(server) if any || server == lease.server() => Some(Err(server)),
            _ => None,
        };
        match self.exchange(&transport, &mut request, whom, within, answer)? {
            Some(Ok(terms)) => Ok(Lease { terms, since }),
            Some(Err(server)) => Err(Error::Refused {
                interface: self.interface.name().into(),
                server,
            }),
            None => Err(Error::NoAnswer {
                interface: self.interface.name().into(),
                waited: within,
            }),
        }
    }

    /// Tells the server that the address is not needed any more.
    pub(super) fn release(&self, lease: &Lease) -> Result<(), Error> {
        let mut message = self.request(DhcpMessageType::Release);
        message.client = lease.address().addr();
        message.server = Some(lease.server());
        let send = || {
            let bytes = message.bytes()?;
            Transport::on(&self.interface)?.send(lease.server(), &bytes)
        };
        send().map_err(self.failed())?;
        // It waits for the Ethernet address of the next host, and would be dropped with the
        // address of the interface.
        let is_next = |address: Ipv4Addr| lease.address().contains(&address);
        let server = Some(lease.server()).filter(|server| is_next(*server));
        if let Some(next) = server.or(lease.router()) {
            let began = Instant::now();
            while !self.knows(next)? && began.elapsed() < RESOLVING {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    /// Whether the Ethernet address of a neighbour is known.
    fn knows(&self, address: Ipv4Addr) -> Result<bool, Error> {
        let all = neighbor::list()?;
        Ok(all
            .iter()
            .any(|neighbor| neighbor.address == address && neighbor.hardware.is_some()))
    }

    /// Tells the server that somebody else has the address.
    pub(super) fn decline(&self, lease: &Lease) -> Result<(), Error> {
        let _nowhere = Nowhere::on(&self.interface)?;
        let mut message = self.request(DhcpMessageType::Decline);
        message.wanted = Some(lease.address().addr());
        message.server = Some(lease.server());
        let send = || {
            let bytes = message.bytes()?;
            Transport::on(&self.interface)?.broadcast(Ipv4Addr::UNSPECIFIED, &bytes)
        };
        send().map_err(self.failed())
    }

    /// Sends a message, again and again, until an answer is accepted; `None` when the time
    /// is over.
    fn exchange<T>(
        &self,
        transport: &Transport,
        request: &mut Request<'_>,
        whom: Whom,
        within: Duration,
        accept: impl Fn(Reply) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let began = Instant::now();
        let mut wait = FIRST_WAIT;
        let mut buffer = [0; LARGEST];
        while began.elapsed() < within && !self.stop.load(Ordering::Relaxed) {
            request.elapsed = began.elapsed();
            let message = request.bytes().map_err(self.failed())?;
            let sent = match whom {
                Whom::All => transport.broadcast(request.client, &message),
                Whom::One(server) => transport.send(server, &message),
            };
            if let Err(error) = sent {
                // The link may come back, or the server's Ethernet address.
                let interface = self.interface.name();
                tracing::debug!(interface, %error, "DHCP message not sent");
            }
            let again = (began.elapsed() + wait).min(within);
            while let Some(left) = again.checked_sub(began.elapsed())
                && !left.is_zero()
                && !self.stop.load(Ordering::Relaxed)
            {
                let received = transport
                    .receive(&mut buffer, left.min(SLICE))
                    .map_err(self.failed())?;
                let accepted = received
                    .and_then(|bytes| reply(bytes, request.transaction, self.hardware))
                    .and_then(&accept);
                if accepted.is_some() {
                    return Ok(accepted);
                }
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        Ok(None)
    }
}

/// What the server that was chosen says: terms, or no.
fn of_server(reply: Reply, server: Ipv4Addr) -> Option<Option<Terms>> {
    match reply {
        Reply::Ack(terms) if terms.server == server => Some(Some(terms)),
        Reply::Nak(from) if from == server => Some(None),
        _ => None,
    }
}

/// A number that others on the network cannot guess (std's hash keys).
fn random() -> u32 {
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish() as u32
}
