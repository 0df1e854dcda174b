//! ICMP and ICMPv6: what they are about, which says whose they are.

use super::ip::{self, Carries, Ports, protocol};
use super::{ETHERNET, Frame, Mac, Malformed, Protocol, ethertype};
use std::net::{IpAddr, Ipv6Addr};

/// Type, code, checksum, and four bytes whose meaning the type says.
pub const HEADER: usize = 8;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmp {
    /// Somebody asks whether one is there, with this identifier.
    EchoRequest(u16),
    /// One is.
    EchoReply(u16),
    /// A packet could not be delivered: what is known of that.
    Error(Inner),
    /// Somebody asks for the Ethernet address of a neighbour.
    Solicitation {
        /// The neighbour.
        target: Ipv6Addr,
        /// Where the answer is to go (`None` in a probe for duplicates).
        link: Option<Mac>,
    },
    /// A neighbour tells its Ethernet address.
    Advertisement {
        /// The neighbour.
        target: Ipv6Addr,
        /// Its address, if it says it.
        link: Option<Mac>,
    },
    /// Somebody asks for routers.
    RouterSolicitation {
        /// Who.
        link: Option<Mac>,
    },
    /// A router tells of itself.
    RouterAdvertisement,
    /// A router says that another is nearer.
    Redirect,
    /// Membership in multicast groups (RFC 2710, RFC 3810).
    Membership,
    /// Any other: its type.
    Other(u8),
}

/// The packet that an error is about, as far as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Who sent it.
    pub source: IpAddr,
    /// Where it should have gone.
    pub destination: IpAddr,
    /// What is known of it.
    pub about: About,
}

/// What a packet in an error was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// TCP or UDP.
    Ports(Ports),
    /// A request for an echo, with this identifier.
    Echo(u16),
    /// Something else, or what would tell is missing.
    Unknown,
}

/// Reads a message of ICMP (RFC 792).
///
/// # Errors
/// It is an error, and not even the IP header inside is whole.
pub fn v4(frame: &Frame<'_>, at: usize) -> Result<Icmp, Malformed> {
    Ok(match frame.u8(at)? {
        0 => Icmp::EchoReply(frame.u16(at + 4)?),
        3 | 4 | 11 | 12 => Icmp::Error(inner_v4(frame, at + HEADER)?),
        5 => Icmp::Redirect,
        8 => Icmp::EchoRequest(frame.u16(at + 4)?),
        9 => Icmp::RouterAdvertisement,
        other => Icmp::Other(other),
    })
}

/// Reads a message of ICMPv6 (RFC 4443, RFC 4861).
///
/// # Errors
/// What it must have is missing.
pub fn v6(frame: &Frame<'_>, at: usize) -> Result<Icmp, Malformed> {
    const SOURCE_LINK: u8 = 1;
    const TARGET_LINK: u8 = 2;
    let target = || frame.array::<16>(at + HEADER).map(Ipv6Addr::from);
    Ok(match frame.u8(at)? {
        1..=4 => Icmp::Error(inner_v6(frame, at + HEADER)?),
        128 => Icmp::EchoRequest(frame.u16(at + 4)?),
        129 => Icmp::EchoReply(frame.u16(at + 4)?),
        130..=132 | 143 => Icmp::Membership,
        133 => Icmp::RouterSolicitation {
            link: link(frame, at + HEADER, SOURCE_LINK)?,
        },
        134 => Icmp::RouterAdvertisement,
        135 => Icmp::Solicitation {
            target: target()?,
            link: link(frame, at + HEADER + 16, SOURCE_LINK)?,
        },
        136 => Icmp::Advertisement {
            target: target()?,
            link: link(frame, at + HEADER + 16, TARGET_LINK)?,
        },
        137 => Icmp::Redirect,
        other => Icmp::Other(other),
    })
}

/// The Ethernet address among the options (RFC 4861, 4.6). Two that differ are none that
/// anybody should believe.
fn link(frame: &Frame<'_>, mut at: usize, kind: u8) -> Result<Option<Mac>, Malformed> {
    let mut found = None;
    while at < frame.len() {
        let len = usize::from(frame.u8(at + 1)?) * 8;
        if len == 0 || at + len > frame.len() {
            return Err(Malformed::Length);
        }
        if frame.u8(at)? == kind {
            let mac = Mac(frame.array(at + 2)?);
            if len != 8 || found.is_some_and(|before| before != mac) {
                return Err(Malformed::Length);
            }
            found = Some(mac);
        }
        at += len;
    }
    Ok(found)
}

/// Routers return the header and at least 8 bytes (RFC 792); the packet's own length is
/// that of the whole, of which this is the beginning.
fn inner_v4(frame: &Frame<'_>, ip: usize) -> Result<Inner, Malformed> {
    let header: [u8; 20] = frame.array(ip)?;
    let len = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || len < 20 {
        return Err(Malformed::Length);
    }
    let first = frame.u16(ip + 6)? & 0x1fff == 0;
    let kind = if first { header[9] } else { 0xff };
    Ok(Inner {
        source: IpAddr::from(frame.array::<4>(ip + 12)?),
        destination: IpAddr::from(frame.array::<4>(ip + 16)?),
        about: about(frame, ip + len, kind, false),
    })
}

fn inner_v6(frame: &Frame<'_>, ip: usize) -> Result<Inner, Malformed> {
    let header: [u8; 40] = frame.array(ip)?;
    if header[0] >> 4 != 6 {
        return Err(Malformed::Length);
    }
    let (mut kind, mut at) = (header[6], ip + 40);
    // The same extension headers as outside; what is cut off is unknown.
    for _ in 0..8 {
        let Ok(two) = frame.array::<2>(at) else { break };
        let len = match kind {
            0 | 43 | 60 => (usize::from(two[1]) + 1) * 8,
            44 if frame.u16(at + 2).is_ok_and(|word| word & 0xfff8 == 0) => 8,
            44 => {
                kind = 0xff;
                break;
            }
            _ => break,
        };
        kind = two[0];
        at += len;
    }
    Ok(Inner {
        source: IpAddr::from(frame.array::<16>(ip + 8)?),
        destination: IpAddr::from(frame.array::<16>(ip + 24)?),
        about: about(frame, at, kind, true),
    })
}

fn about(frame: &Frame<'_>, at: usize, kind: u8, v6: bool) -> About {
    let echo = |request: u8| match (frame.u8(at), frame.u16(at + 4)) {
        (Ok(kind), Ok(id)) if kind == request => About::Echo(id),
        _ => About::Unknown,
    };
    let ports = |protocol| ip::ports(frame, at, protocol).map_or(About::Unknown, About::Ports);
    match kind {
        protocol::TCP => ports(Protocol::Tcp),
        protocol::UDP => ports(Protocol::Udp),
        protocol::ICMP if !v6 => echo(8),
        protocol::ICMPV6 if v6 => echo(128),
        _ => About::Unknown,
    }
}

/// A neighbour advertisement (RFC 4861, 4.4): solicited unless it goes to all, and to
/// override what was known.
pub fn advertise(from: Mac, address: Ipv6Addr, to: Mac, to_address: Ipv6Addr) -> Vec<u8> {
    const LEN: u16 = 32;
    const SOLICITED: u8 = 0x40;
    const OVERRIDE: u8 = 0x20;
    let flags = OVERRIDE
        | if to_address.is_multicast() {
            0
        } else {
            SOLICITED
        };
    let mut frame = Vec::with_capacity(ETHERNET + 40 + usize::from(LEN));
    frame.extend(to.0);
    frame.extend(from.0);
    frame.extend(ethertype::IPV6.to_be_bytes());
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(LEN.to_be_bytes());
    frame.extend([protocol::ICMPV6, 255]);
    frame.extend(address.octets());
    frame.extend(to_address.octets());
    frame.extend([136, 0, 0, 0, flags, 0, 0, 0]);
    frame.extend(address.octets());
    frame.extend([2, 1]);
    frame.extend(from.0);
    // RFC 8200, 8.1: the pseudo header is addresses, length and protocol.
    let sum: u32 = frame[ETHERNET + 8..]
        .chunks_exact(2)
        .map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])))
        .sum::<u32>()
        + u32::from(LEN)
        + u32::from(protocol::ICMPV6);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = !((sum >> 16) + sum) as u16;
    frame[ETHERNET + 42..ETHERNET + 44].copy_from_slice(&sum.to_be_bytes());
    frame
}

impl Carries {
    /// Whether it is about who is whose neighbour, or in which group: nothing that other
    /// applications of the same host are to hear.
    pub fn is_of_the_link(&self) -> bool {
        matches!(
            self,
            Self::Icmp(
                Icmp::Solicitation { .. }
                    | Icmp::Advertisement { .. }
                    | Icmp::RouterSolicitation { .. }
                    | Icmp::RouterAdvertisement
                    | Icmp::Redirect
                    | Icmp::Membership
            )
        )
    }
}
