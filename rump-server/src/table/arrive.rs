//! What comes from the wire: for whom it is.
//!
//! TCP and UDP go to the owner of the port; ICMP errors to the owner of the packet inside;
//! echo replies to who asked. Requests for an echo, and what is for a port of nobody's, go to
//! the host's first application, whose kernel answers, so that the world sees one answer; where
//! applications of an earlier server may come back, nobody answers for such a port.
//! Other ICMP goes to all of the host, as do fragments whose first one is not known. Who
//! asks for the Ethernet address of a host is answered here.

use super::depart::answer_to_solicitation;
use super::host::HostId;
use super::{Counters, Delivery, Nic, Reason, Table, Targets};
use crate::wire::icmp::About;
use crate::wire::{Carries, Frame, Icmp, Ip, Mac, Payload, arp, parse};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long what comes for one that has gone to a NIC of its own is brought to it: a bridge may
/// have learned of that only now.
const LATE: Duration = Duration::from_millis(100);

/// What becomes of a frame from the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is delivered.
    To(Delivery),
    /// This frame is sent back instead.
    Answer(Vec<u8>),
}

impl<E> Table<E> {
    /// Says what becomes of a frame that has come through a NIC.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn from_wire(&self, nic: Nic, frame: &Frame<'_>, now: Instant) -> Result<Arrival, Reason> {
        let parsed = parse(frame)?;
        if parsed.source.is_group() || self.by_mac(nic, parsed.source).is_some() {
            // One of ours, that somebody has sent back.
            return Err(Reason::SourceMac);
        }
        match parsed.payload {
            Payload::Arp(arp) => {
                if let Some(answer) = self.answer_to_arp(nic, &arp) {
                    return Ok(Arrival::Answer(answer));
                }
                if arp.operation == arp::REQUEST && arp.sender != arp.target {
                    // Not for anybody here, and tells nothing that others must know.
                    return Err(Reason::Nobody);
                }
                self.by_destination(nic, parsed.destination, now, Targets::Host)
            }
            Payload::Ip(ip) => {
                if let Carries::Icmp(Icmp::Solicitation { target, link }) = ip.carries {
                    let to = link.unwrap_or(parsed.source);
                    let host = self.by_address(nic, target.into());
                    let host = self.host(host.ok_or(Reason::Nobody)?);
                    return Ok(Arrival::Answer(answer_to_solicitation(
                        host, &ip, target, to,
                    )));
                }
                self.by_destination(nic, parsed.destination, now, |host| {
                    self.classify(host, &ip, now)
                })
            }
        }
        .map(Arrival::To)
    }

    fn by_destination(
        &self,
        nic: Nic,
        destination: Mac,
        now: Instant,
        of: impl FnOnce(HostId) -> Targets,
    ) -> Result<Delivery, Reason> {
        if destination.is_group() {
            return Ok(Targets::Nic(nic).into());
        }
        let host = self.by_mac(nic, destination).ok_or(Reason::Nobody)?;
        let away = self.host(host).away;
        if away.is_some_and(|since| now.saturating_duration_since(since) > LATE) {
            return Err(Reason::Away);
        }
        match of(host) {
            Targets::Nobody => Err(Reason::Nobody),
            targets => Ok(targets.into()),
        }
    }

    /// Whose a packet to a host is.
    pub(super) fn classify(&self, id: HostId, ip: &Ip, now: Instant) -> Targets {
        let host = self.host(id);
        let all = Targets::Host(id);
        let first = host.first().map_or(all, Targets::One);
        let nobodys = if self.is_settled(now) {
            first
        } else {
            Targets::Nobody
        };
        if !host.has(ip.destination) {
            // To a group, or not for it at all: its kernels know.
            return all;
        }
        let v6 = ip.source.is_ipv6();
        let targets = match ip.carries {
            Carries::Ports(ports) => host
                .owner(ports.protocol, ip.destination, ports.destination)
                .map_or(nobodys, Targets::One),
            Carries::Icmp(Icmp::EchoRequest(_)) => first,
            Carries::Icmp(Icmp::EchoReply(id)) => host.echo_owner(v6, id).map_or(all, Targets::One),
            Carries::Icmp(Icmp::Error(inner)) if host.has(inner.source) => match inner.about {
                About::Ports(ports) => host
                    .owner(ports.protocol, inner.source, ports.source)
                    .map_or(first, Targets::One),
                About::Echo(id) => host.echo_owner(v6, id).map_or(all, Targets::One),
                About::Unknown => all,
            },
            Carries::Icmp(_) | Carries::Other => all,
            Carries::Later => {
                let follow = host.fragments.follow(ip, now, |targets| (*targets, true));
                return follow.unwrap_or(all);
            }
        };
        if ip.fragment.is_some() {
            host.fragments.first(ip, targets, now);
        }
        targets
    }

    /// The answer to a request for the address of a host on this NIC that is here.
    pub(super) fn answer_to_arp(&self, nic: Nic, arp: &crate::wire::Arp) -> Option<Vec<u8>> {
        if arp.operation != arp::REQUEST || arp.sender == arp.target {
            return None;
        }
        let host = self.host(self.by_address(nic, IpAddr::V4(arp.target))?);
        if host.mac == arp.sender_mac {
            return None;
        }
        Some(arp::frame(&crate::wire::Arp {
            operation: arp::REPLY,
            sender_mac: host.mac,
            sender: arp.target,
            target_mac: arp.sender_mac,
            target: arp.sender,
        }))
    }
}

/// Counts what becomes of frames at a NIC.
impl Counters {
    /// One that came, or did not get further.
    pub fn arrived(&self, len: usize, result: &Result<Arrival, Reason>) {
        match result {
            Ok(_) => self.taken.add(1, len as u64),
            Err(reason) => self.dropped(*reason, 1),
        }
    }
}
