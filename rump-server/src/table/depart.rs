//! What an application sends: whether it may, and where it goes.
//!
//! Nothing leaves whose source is not the application's: the Ethernet address and the IP
//! address are the host's, the port is claimed or leased by this application, and ARP,
//! neighbour discovery and ICMP errors tell what is so. What is left to others to do to a
//! frame is checked, too: a checksum is put where a checksum is, and not over an address.

use super::host::{Host, HostId};
use super::members::Slot;
use super::{Application, Delivery, Reason, Table, Targets};
use crate::wire::icmp::{self, About};
use crate::wire::ip::protocol;
use crate::wire::{
    Arp, Carries, ETHERNET, Frame, Icmp, Inner, Ip, Mac, Payload, Ports, Protocol, arp, parse,
};
use rump_hyper::vif::abi::{GSO_NONE, NEEDS_CSUM, Offload};
use rump_hyper::vif::offload::{Work, check_head};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

/// All hosts on a link, in IPv6 (RFC 4291, 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Hop limit of what has not been forwarded (RFC 4861, 3.1).
const NEAR: u8 = 255;
const DHCP_CLIENT: u16 = 68;
const DHCP_SERVER: u16 = 67;

/// What becomes of a frame of an application's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// It goes to the wire.
    pub wire: bool,
    /// It goes to other applications.
    pub local: Option<Delivery>,
    /// This is brought to the one who sent it.
    pub answer: Option<Vec<u8>>,
    /// What is left to do to it.
    pub offload: Offload,
}

/// Who sends.
struct Sender<'a, E> {
    slot: Slot,
    application: &'a Application<E>,
    id: HostId,
    host: &'a Host,
}

impl<E> Table<E> {
    /// Says what becomes of a frame that an application sends.
    ///
    /// # Errors
    /// Why it must not be sent.
    pub fn from_application(
        &self,
        slot: Slot,
        frame: &Frame<'_>,
        claim: Offload,
        now: Instant,
    ) -> Result<Departure, Reason> {
        let application = self.application(slot).ok_or(Reason::Nobody)?;
        let sender = Sender {
            slot,
            application,
            id: application.host,
            host: self.host(application.host),
        };
        if sender.host.is_away() {
            return Err(Reason::Away);
        }
        let parsed = parse(frame)?;
        if parsed.source != sender.host.mac {
            return Err(Reason::SourceMac);
        }
        let mut departure = Departure {
            wire: true,
            local: None,
            answer: None,
            offload: Offload::default(),
        };
        let silent = match parsed.payload {
            Payload::Arp(arp) => {
                plain(claim)?;
                sender.arp(&arp)?;
                departure.answer = self.answer_to_arp(sender.host.nic, &arp);
                arp.operation == arp::REQUEST && arp.sender != arp.target
            }
            Payload::Ip(ip) => {
                departure.offload = offload(frame, claim, &ip)?;
                sender.ip(&ip)?;
                self.fragment(&sender, &ip, now)?;
                if let Carries::Icmp(Icmp::EchoRequest(id)) = ip.carries {
                    sender.host.echo_asked(ip.source.is_ipv6(), id, slot, now);
                }
                if let Carries::Icmp(Icmp::Solicitation { target, .. }) = ip.carries {
                    let other = self.by_address(sender.host.nic, target.into());
                    let other = other.filter(|other| *other != sender.id);
                    departure.answer = other.map(|other| {
                        answer_to_solicitation(self.host(other), &ip, target, sender.host.mac)
                    });
                }
                false
            }
        };
        let cut = departure.offload;
        let longest = match cut.gso_type {
            GSO_NONE => frame.len(),
            _ => usize::from(cut.hdr_len) + usize::from(cut.gso_size),
        };
        if longest > ETHERNET + sender.host.mtu as usize {
            return Err(Reason::TooLong);
        }
        if departure.answer.is_some() {
            departure.wire = false;
            return Ok(departure);
        }
        self.place(
            &sender,
            parsed.destination,
            &parsed.payload,
            silent,
            now,
            &mut departure,
        )?;
        Ok(departure)
    }

    /// Parts of a packet come in order, each where the one before has ended, and no two
    /// applications of a host have packets under way that would be put together as one.
    fn fragment(&self, sender: &Sender<'_, E>, ip: &Ip, now: Instant) -> Result<(), Reason> {
        let Some(part) = ip.fragment else {
            return Ok(());
        };
        // All but the last have a multiple of 8 (RFC 791, 3.2; RFC 8200, 4.5).
        if part.more && (part.len == 0 || part.len % 8 != 0) {
            return Err(Reason::Fragment);
        }
        let fragments = &sender.application.fragments;
        if part.is_first() {
            let others = sender
                .host
                .members()
                .iter()
                .filter(|slot| **slot != sender.slot);
            let mut others = others.filter_map(|slot| self.application(*slot));
            if others.any(|other| other.fragments.follow(ip, now, |_| ((), true)).is_some()) {
                return Err(Reason::Fragment);
            }
            fragments.first(ip, part.len, now);
            return Ok(());
        }
        let passed = fragments.follow(ip, now, |end| {
            let passes = *end == part.offset && part.offset + part.len <= u32::from(u16::MAX);
            *end += part.len;
            (passes, passes && part.more)
        });
        passed
            .filter(|passes| *passes)
            .map(drop)
            .ok_or(Reason::Fragment)
    }

    /// Where it goes: to the wire, to another host here, or to all.
    fn place(
        &self,
        sender: &Sender<'_, E>,
        destination: Mac,
        payload: &Payload,
        silent: bool,
        now: Instant,
        departure: &mut Departure,
    ) -> Result<(), Reason> {
        let nic = sender.host.nic;
        if destination.is_group() {
            let of_the_link = match payload {
                Payload::Arp(_) => true,
                Payload::Ip(ip) => ip.carries.is_of_the_link() || ip.protocol == protocol::IGMP,
            };
            departure.local = (!silent).then_some(Delivery {
                to: Targets::Nic(nic),
                but: Some(sender.slot),
                but_host: of_the_link.then_some(sender.id),
            });
            return Ok(());
        }
        let Some(other) = self.by_mac(nic, destination) else {
            return Ok(());
        };
        if !self.host(other).is_here() {
            // It is reached over its own NIC, or nowhere.
            return Ok(());
        }
        departure.wire = false;
        let to = match payload {
            Payload::Arp(_) => Targets::Host(other),
            Payload::Ip(ip) => self.classify(other, ip, now),
        };
        if to == Targets::One(sender.slot) || to == Targets::Nobody {
            return Err(Reason::Nobody);
        }
        departure.local = Some(Delivery {
            but: Some(sender.slot),
            ..to.into()
        });
        Ok(())
    }
}

impl<E> Sender<'_, E> {
    fn arp(&self, arp: &Arp) -> Result<(), Reason> {
        let known = matches!(arp.operation, arp::REQUEST | arp::REPLY);
        let probe = arp.operation == arp::REQUEST && arp.sender.is_unspecified();
        if known && arp.sender_mac == self.host.mac && (probe || self.host.has(arp.sender.into())) {
            Ok(())
        } else {
            Err(Reason::Arp)
        }
    }

    fn ip(&self, ip: &Ip) -> Result<(), Reason> {
        if ip.source_route {
            return Err(Reason::SourceRoute);
        }
        if !self.host.has(ip.source) && !self.unspecified(ip) {
            return Err(Reason::SourceAddress);
        }
        match ip.carries {
            Carries::Ports(ports) => self.ports(ip.source, ports),
            Carries::Icmp(icmp) => self.icmp(ip, icmp),
            Carries::Other if ip.protocol == protocol::IGMP && ip.source.is_ipv4() => Ok(()),
            Carries::Other => Err(Reason::Protocol),
            Carries::Later => Ok(()),
        }
    }

    /// Who has no address yet may look for one.
    fn unspecified(&self, ip: &Ip) -> bool {
        if !ip.source.is_unspecified() || ip.fragment.is_some() {
            return false;
        }
        match ip.carries {
            Carries::Ports(ports) => {
                ip.source.is_ipv4()
                    && ports.protocol == Protocol::Udp
                    && (ports.source, ports.destination) == (DHCP_CLIENT, DHCP_SERVER)
                    && ip.destination == Ipv4Addr::BROADCAST
            }
            Carries::Icmp(Icmp::Solicitation { target, link }) => {
                link.is_none() && self.host.has(target.into())
            }
            Carries::Icmp(Icmp::RouterSolicitation { link: None } | Icmp::Membership) => true,
            Carries::Other => ip.protocol == protocol::IGMP && ip.source.is_ipv4(),
            _ => false,
        }
    }

    fn ports(&self, source: IpAddr, ports: Ports) -> Result<(), Reason> {
        match self.host.owner(ports.protocol, source, ports.source) {
            Some(owner) if owner == self.slot => Ok(()),
            // It says for the host that there is nobody.
            None if ports.reset && self.host.first() == Some(self.slot) => Ok(()),
            _ => Err(Reason::SourcePort),
        }
    }

    fn icmp(&self, ip: &Ip, icmp: Icmp) -> Result<(), Reason> {
        let near = ip.hops == NEAR && ip.fragment.is_none();
        let own = |link: Option<Mac>| link.is_none_or(|link| link == self.host.mac);
        let allowed = |allowed, otherwise| if allowed { Ok(()) } else { Err(otherwise) };
        match icmp {
            Icmp::EchoRequest(_) | Icmp::EchoReply(_) | Icmp::Membership => Ok(()),
            Icmp::Error(inner) => allowed(self.may_complain(ip, &inner), Reason::IcmpError),
            Icmp::Solicitation { link, .. } | Icmp::RouterSolicitation { link } => {
                allowed(near && own(link), Reason::Neighbour)
            }
            Icmp::Advertisement { target, link } => {
                let target = self.host.has(target.into());
                allowed(near && own(link) && target, Reason::Neighbour)
            }
            Icmp::RouterAdvertisement | Icmp::Redirect => Err(Reason::Neighbour),
            Icmp::Other(_) => Err(Reason::Icmp),
        }
    }

    /// Whether the packet in an error came to this application: it was to the host, from who
    /// is told, and for a port that is no other application's.
    fn may_complain(&self, ip: &Ip, inner: &Inner) -> bool {
        let others = match inner.about {
            About::Ports(ports) => {
                let owner = self
                    .host
                    .owner(ports.protocol, inner.destination, ports.destination);
                owner.is_some_and(|owner| owner != self.slot)
            }
            About::Echo(_) | About::Unknown => false,
        };
        let to_host = self.host.has(inner.destination) || inner.destination.is_multicast();
        inner.source == ip.destination && to_host && !others
    }
}

fn plain(claim: Offload) -> Result<(), Reason> {
    if claim.flags & NEEDS_CSUM == 0 && claim.gso_type == GSO_NONE {
        Ok(())
    } else {
        Err(Reason::Offload)
    }
}

/// What may be left to do to a packet: the checksum of TCP or UDP, where it stands, and the
/// cutting up of TCP.
fn offload(frame: &Frame<'_>, claim: Offload, ip: &Ip) -> Result<Offload, Reason> {
    let work = check_head(frame.head(), frame.len(), claim).map_err(|_| Reason::Offload)?;
    let (start, at, segment) = match work {
        // That it has verified anything is not for an application to say.
        Work::None | Work::Verified => return Ok(Offload::default()),
        Work::Checksum { start, at } => (start, at, None),
        Work::Segment(segment) if segment.verified => return Err(Reason::Offload),
        Work::Segment(segment) => (segment.tcp, segment.tcp + 16, Some(segment)),
    };
    let stands = match ip.carries {
        Carries::Ports(ports) if ip.fragment.is_none() => match ports.protocol {
            Protocol::Tcp => 16,
            Protocol::Udp if segment.is_none() => 6,
            Protocol::Udp => return Err(Reason::Offload),
        },
        _ => return Err(Reason::Offload),
    };
    if (start, at) != (ip.at, ip.at + stands) {
        return Err(Reason::Offload);
    }
    let header = segment.map_or(0, |segment| segment.data);
    Ok(Offload {
        flags: NEEDS_CSUM,
        hdr_len: u16::try_from(header).map_err(|_| Reason::Offload)?,
        ..claim
    })
}

/// The answer to who asks for the neighbour that a host is.
pub(super) fn answer_to_solicitation(host: &Host, ip: &Ip, target: Ipv6Addr, to: Mac) -> Vec<u8> {
    match ip.source {
        IpAddr::V6(source) if !source.is_unspecified() => {
            icmp::advertise(host.mac, target, to, source)
        }
        // Somebody looks whether the address is free.
        _ => icmp::advertise(host.mac, target, Mac([0x33, 0x33, 0, 0, 0, 1]), ALL_NODES),
    }
}
