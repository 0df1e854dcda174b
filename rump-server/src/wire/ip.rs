//! IPv4 and IPv6, up to the ports.

use super::icmp::{self, Icmp};
use super::{Frame, Malformed, Protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Numbers of IANA's for what IP carries.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
}

/// Extension headers of IPv6 (RFC 8200, 4; RFC 4302).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
/// More of them than this is nobody's honest packet.
const EXTENSIONS: usize = 8;

/// Shortest headers.
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
/// RFC 9293, 3.1.
const RST: u8 = 0x04;

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Who sent it.
    pub source: IpAddr,
    /// Who is to have it.
    pub destination: IpAddr,
    /// Hop limit, or time to live.
    pub hops: u8,
    /// What it carries, by IANA's number.
    pub protocol: u8,
    /// Where that begins in the frame.
    pub at: usize,
    /// Where the packet ends in the frame.
    pub end: usize,
    /// It asks to be sent by way of others (RFC 791, 3.1; RFC 5095).
    pub source_route: bool,
    /// It is a part of a packet.
    pub fragment: Option<Fragment>,
    /// What is in it.
    pub carries: Carries,
}

/// Which part of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The same in all parts of one packet.
    pub id: u32,
    /// Where it belongs, in bytes.
    pub offset: u32,
    /// How many bytes it has.
    pub len: u32,
    /// It is not the last.
    pub more: bool,
}

impl Fragment {
    /// Whether the transport's header is in it.
    pub fn is_first(&self) -> bool {
        self.offset == 0
    }
}

/// Ports of TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Of which they are.
    pub protocol: Protocol,
    /// The sender's.
    pub source: u16,
    /// The receiver's.
    pub destination: u16,
    /// TCP says that it knows of no such connection.
    pub reset: bool,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// TCP or UDP.
    Ports(Ports),
    /// ICMP or ICMPv6.
    Icmp(Icmp),
    /// Nobody knows: what would tell is in the first fragment.
    Later,
    /// Another protocol.
    Other,
}

/// Reads an IPv4 header (RFC 791, 3.1) and what follows.
///
/// # Errors
/// [`Malformed`].
pub fn v4(frame: &Frame<'_>, ip: usize) -> Result<Ip, Malformed> {
    let header: [u8; 20] = frame.array(ip)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let total = usize::from(frame.u16(ip + 2)?);
    if header[0] >> 4 != 4 || header_len < 20 || total < header_len {
        return Err(Malformed::Length);
    }
    let (at, end) = (ip + header_len, ip + total);
    if end > frame.len() {
        return Err(Malformed::Short);
    }
    let word = frame.u16(ip + 6)?;
    let more = word & 0x2000 != 0;
    let offset = u32::from(word & 0x1fff) * 8;
    let fragment = (more || offset > 0).then_some(Fragment {
        id: frame.u16(ip + 4)?.into(),
        offset,
        len: (end - at) as u32,
        more,
    });
    finish(
        frame,
        Ip {
            source: Ipv4Addr::from(frame.array::<4>(ip + 12)?).into(),
            destination: Ipv4Addr::from(frame.array::<4>(ip + 16)?).into(),
            hops: header[8],
            protocol: header[9],
            at,
            end,
            source_route: source_route(frame.get(ip + 20, header_len - 20)?)?,
            fragment,
            carries: Carries::Other,
        },
    )
}

/// Walks the options of IPv4.
fn source_route(mut options: &[u8]) -> Result<bool, Malformed> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const LOOSE: u8 = 131;
    const STRICT: u8 = 137;
    let mut found = false;
    while let [kind, rest @ ..] = options {
        options = match *kind {
            END => break,
            NOTHING => rest,
            kind => {
                found |= kind == LOOSE || kind == STRICT;
                let len = usize::from(*rest.first().ok_or(Malformed::Length)?);
                if len < 2 {
                    return Err(Malformed::Length);
                }
                options.get(len..).ok_or(Malformed::Length)?
            }
        };
    }
    Ok(found)
}

/// Reads an IPv6 header (RFC 8200, 3) and what follows.
///
/// # Errors
/// [`Malformed`].
pub fn v6(frame: &Frame<'_>, ip: usize) -> Result<Ip, Malformed> {
    let header: [u8; 40] = frame.array(ip)?;
    if header[0] >> 4 != 6 {
        return Err(Malformed::Length);
    }
    let end = ip + 40 + usize::from(frame.u16(ip + 4)?);
    if end > frame.len() {
        return Err(Malformed::Short);
    }
    let within = frame.until(end);
    let mut packet = Ip {
        source: Ipv6Addr::from(frame.array::<16>(ip + 8)?).into(),
        destination: Ipv6Addr::from(frame.array::<16>(ip + 24)?).into(),
        hops: header[7],
        protocol: header[6],
        at: ip + 40,
        end,
        source_route: false,
        fragment: None,
        carries: Carries::Other,
    };
    for _ in 0..=EXTENSIONS {
        let at = packet.at;
        let len = match packet.protocol {
            HOP_BY_HOP | DESTINATION => (usize::from(within.u8(at + 1)?) + 1) * 8,
            ROUTING => {
                // Type 0 is the one that RFC 5095 has taken out.
                packet.source_route |= within.u8(at + 2)? == 0;
                (usize::from(within.u8(at + 1)?) + 1) * 8
            }
            AUTHENTICATION => (usize::from(within.u8(at + 1)?) + 2) * 4,
            // A second one is no packet that anybody puts together.
            FRAGMENT if packet.fragment.is_some() => return Err(Malformed::Headers),
            FRAGMENT => 8,
            _ => return finish(frame, packet),
        };
        if at + len > end {
            return Err(Malformed::Short);
        }
        if packet.protocol == FRAGMENT {
            let word = within.u16(at + 2)?;
            let fragment = Fragment {
                id: within.u32(at + 4)?,
                offset: u32::from(word & 0xfff8),
                len: (end - at - len) as u32,
                more: word & 1 != 0,
            };
            packet.fragment = Some(fragment);
        }
        packet.protocol = within.u8(at)?;
        packet.at += len;
        if packet.fragment.is_some_and(|part| !part.is_first()) {
            return finish(frame, packet);
        }
    }
    Err(Malformed::Headers)
}

/// Reads what the packet carries.
fn finish(frame: &Frame<'_>, mut packet: Ip) -> Result<Ip, Malformed> {
    let within = frame.until(packet.end);
    packet.carries = match (packet.fragment, packet.protocol) {
        (Some(part), _) if !part.is_first() => Carries::Later,
        (_, protocol::TCP) => {
            let header = usize::from(within.u8(packet.at + 12)? >> 4) * 4;
            if header < TCP_HEADER {
                return Err(Malformed::Length);
            }
            whole(&packet, header)?;
            Carries::Ports(ports(&within, packet.at, Protocol::Tcp)?)
        }
        (_, protocol::UDP) => {
            whole(&packet, UDP_HEADER)?;
            Carries::Ports(ports(&within, packet.at, Protocol::Udp)?)
        }
        (_, protocol::ICMP) if packet.source.is_ipv4() => {
            whole(&packet, icmp::HEADER)?;
            Carries::Icmp(icmp::v4(&within, packet.at)?)
        }
        (_, protocol::ICMPV6) if packet.source.is_ipv6() => {
            whole(&packet, icmp::HEADER)?;
            Carries::Icmp(icmp::v6(&within, packet.at)?)
        }
        _ => Carries::Other,
    };
    Ok(packet)
}

/// Whether all of a transport's header is in it.
fn whole(packet: &Ip, header: usize) -> Result<(), Malformed> {
    if packet.at + header <= packet.end {
        Ok(())
    } else if packet.fragment.is_some() {
        Err(Malformed::Tiny)
    } else {
        Err(Malformed::Short)
    }
}

/// Ports stand at the same place in TCP and UDP.
pub(super) fn ports(frame: &Frame<'_>, at: usize, protocol: Protocol) -> Result<Ports, Malformed> {
    Ok(Ports {
        protocol,
        source: frame.u16(at)?,
        destination: frame.u16(at + 2)?,
        // An ICMP error need not have so much of it.
        reset: protocol == Protocol::Tcp && frame.u8(at + 13).is_ok_and(|flags| flags & RST != 0),
    })
}
