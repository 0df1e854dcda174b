//! Messages of DHCP (RFC 2131) and their options (RFC 2132).
//!
//! The format is that of the crate `smoltcp`; here it is decided what of an answer is
//! believed.

use super::lease::Terms;
use ipnet::Ipv4Net;
use smoltcp::wire::{DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress};
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Numbers of options (RFC 2132).
mod option {
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DOMAIN_SERVER: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    pub const DOMAIN_NAME: u8 = 15;
    pub const INTERFACE_MTU: u8 = 26;
    pub const LEASE_TIME: u8 = 51;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
}

/// What is asked for.
const WANTED: [u8; 8] = [
    option::SUBNET_MASK,
    option::ROUTER,
    option::DOMAIN_SERVER,
    option::DOMAIN_NAME,
    option::INTERFACE_MTU,
    option::LEASE_TIME,
    option::RENEWAL_TIME,
    option::REBINDING_TIME,
];

/// The largest message that is taken: what an MTU of 1500 has room for.
pub(super) const LARGEST: usize = 1472;
/// The least that relays and servers of old take (RFC 1542, 2.1).
const SHORTEST: usize = 300;
/// A time that never ends (RFC 2131, 3.3).
const FOR_EVER: u32 = u32::MAX;
/// The least MTU that can be told (RFC 2132, 5.1), and that all hosts can receive.
const LEAST_MTU: u16 = 576;

/// A message to servers.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    pub(super) kind: DhcpMessageType,
    pub(super) transaction: u32,
    pub(super) hardware: [u8; 6],
    /// Since the first message.
    pub(super) elapsed: Duration,
    /// The address that the client has, or 0.0.0.0.
    pub(super) client: Ipv4Addr,
    /// The address that it wants.
    pub(super) wanted: Option<Ipv4Addr>,
    /// The server that it has chosen.
    pub(super) server: Option<Ipv4Addr>,
    pub(super) host_name: Option<&'a str>,
}

impl Request<'_> {
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        let name = self.host_name.map(|name| DhcpOption {
            kind: option::HOST_NAME,
            data: name.as_bytes(),
        });
        let asks = matches!(
            self.kind,
            DhcpMessageType::Discover | DhcpMessageType::Request
        );
        let message = DhcpRepr {
            message_type: self.kind,
            transaction_id: self.transaction,
            secs: self.elapsed.as_secs().try_into().unwrap_or(u16::MAX),
            client_hardware_address: EthernetAddress(self.hardware),
            client_ip: self.client,
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            // An answer to an address that the kernel does not have yet would need a
            // neighbour for it.
            broadcast: self.client.is_unspecified(),
            requested_ip: self.wanted,
            client_identifier: Some(EthernetAddress(self.hardware)),
            server_identifier: self.server,
            parameter_request_list: asks.then_some(&WANTED[..]),
            dns_servers: None,
            max_size: asks.then_some(LARGEST as u16),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: if asks { name.as_slice() } else { &[] },
        };
        let mut bytes = vec![0; message.buffer_len().max(SHORTEST)];
        message
            .emit(&mut DhcpPacket::new_unchecked(&mut bytes[..]))
            .map_err(|_| io::Error::other("the message does not fit its buffer"))?;
        Ok(bytes)
    }
}

/// An answer of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// What a client could have.
    Offer(Terms),
    /// What it has.
    Ack(Terms),
    /// It may not have what it wants.
    Nak(Ipv4Addr),
}

/// Reads an answer to a transaction; `None` if it is none, or makes no sense.
pub(super) fn reply(bytes: &[u8], transaction: u32, hardware: [u8; 6]) -> Option<Reply> {
    let packet = DhcpPacket::new_checked(bytes).ok()?;
    // Checks the type of hardware, the magic number, and the direction.
    let message = DhcpRepr::parse(&packet).ok()?;
    if message.transaction_id != transaction
        || message.client_hardware_address != EthernetAddress(hardware)
    {
        return None;
    }
    let server = message.server_identifier.filter(is_host)?;
    match message.message_type {
        DhcpMessageType::Offer => Some(Reply::Offer(terms(&packet, server)?)),
        DhcpMessageType::Ack => Some(Reply::Ack(terms(&packet, server)?)),
        DhcpMessageType::Nak => Some(Reply::Nak(server)),
        _ => None,
    }
}

/// Whether a host can have this address.
fn is_host(address: &Ipv4Addr) -> bool {
    // 0/8, and 240/4 with the broadcast address.
    let reserved = matches!(address.octets()[0], 0 | 240..);
    !reserved && !address.is_loopback() && !address.is_multicast()
}

/// The mask that an address has where nobody says another (RFC 791, 2.3).
fn classful(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

/// What an answer says; `None` if no host can have that.
fn terms(packet: &DhcpPacket<&[u8]>, server: Ipv4Addr) -> Option<Terms> {
    let data = |kind: u8| {
        let mut all = packet.options();
        all.find(|option| option.kind == kind)
            .map(|option| option.data)
    };
    let addresses = |kind: u8| -> Vec<Ipv4Addr> {
        let data = data(kind).unwrap_or_default().chunks_exact(4);
        data.map(|it| Ipv4Addr::new(it[0], it[1], it[2], it[3]))
            .filter(is_host)
            .collect()
    };
    let number = |kind: u8| Some(u32::from_be_bytes(data(kind)?.try_into().ok()?));
    let time = |kind: u8| number(kind).map(|seconds| Duration::from_secs(seconds.into()));

    let address = Some(packet.your_ip()).filter(is_host)?;
    let net = match data(option::SUBNET_MASK) {
        Some(mask) => {
            let mask: [u8; 4] = mask.try_into().ok()?;
            Ipv4Net::with_netmask(address, mask.into()).ok()?
        }
        None => Ipv4Net::new(address, classful(address)).ok()?,
    };
    // All bits of a host 0 or 1 are the net and everybody in it.
    let whole = net.prefix_len() < 31 && (address == net.network() || address == net.broadcast());
    if whole || net.prefix_len() == 0 {
        return None;
    }
    let seconds = number(option::LEASE_TIME).filter(|seconds| *seconds > 0)?;
    let duration = (seconds != FOR_EVER).then(|| Duration::from_secs(seconds.into()));
    // By default half and seven eighths of it (RFC 2131, 4.4.5).
    let times = duration.map(|whole| {
        let renew = time(option::RENEWAL_TIME).unwrap_or(whole / 2);
        let rebind = time(option::REBINDING_TIME).unwrap_or(whole * 7 / 8);
        if !renew.is_zero() && renew < rebind && rebind < whole {
            (renew, rebind)
        } else {
            (whole / 2, whole * 7 / 8)
        }
    });
    let domain = data(option::DOMAIN_NAME)
        .and_then(|name| std::str::from_utf8(name).ok())
        .map(|name| name.trim_end_matches(['\0', '.']))
        .filter(|name| crate::net::resolver::is_host_name(name));
    let mtu = data(option::INTERFACE_MTU)
        .and_then(|mtu| Some(u16::from_be_bytes(mtu.try_into().ok()?)))
        .filter(|mtu| *mtu >= LEAST_MTU);
    Some(Terms {
        address: net,
        server,
        // One that is not on the link cannot be reached.
        router: addresses(option::ROUTER)
            .into_iter()
            .find(|router| net.contains(router) && *router != address),
        name_servers: addresses(option::DOMAIN_SERVER),
        domain: domain.map(Into::into),
        mtu,
        duration,
        renew: times.map(|(renew, _)| renew),
        rebind: times.map(|(_, rebind)| rebind),
    })
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
