//! What a frame says of itself: addresses, ports, what is inside.
//!
//! A frame is read from a copy of its first [`HEAD`] bytes, which nobody else can write: what
//! was checked is what is sent. All headers up to the ports must be in it. Reading is total:
//! any bytes give what they are or a [`Malformed`], and nothing is allocated.
//!
//! | module | reads |
//! |---|---|
//! | [`ip`] | IPv4 (RFC 791) with options and fragments, IPv6 (RFC 8200) with its extension headers |
//! | [`icmp`] | ICMP (RFC 792), ICMPv6 (RFC 4443), neighbour discovery (RFC 4861), the packet inside an error |
//! | [`arp`] | ARP (RFC 826) |

pub mod arp;
pub mod icmp;
pub mod ip;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

pub use arp::Arp;
pub use icmp::{Icmp, Inner};
pub use ip::{Carries, Fragment, Ip, Ports};

use core::fmt;
pub use rump_ring::control::Protocol;

/// So much of a frame is looked at.
pub const HEAD: usize = 256;
/// Two addresses and a type (IEEE 802.3, 3.1.1).
pub const ETHERNET: usize = 14;

/// Numbers of IANA's for what an Ethernet frame carries.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// All who hear it.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it is of many: multicast, or broadcast.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::str::FromStr for Mac {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "an Ethernet address is six pairs of hexadecimal digits: 02:00:00:00:00:01";
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong)?;
        }
        parts.next().map_or(Ok(Self(bytes)), |_| Err(wrong))
    }
}

/// Why a frame cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// It ends within a header.
    Short,
    /// Its headers are longer than [`HEAD`], or too many.
    Headers,
    /// A length or a version in a header is not that of the frame.
    Length,
    /// Not ARP, IPv4 or IPv6: a VLAN's tag, or another protocol.
    Ethertype,
    /// A first fragment without all of its transport header (RFC 1858), or an only one.
    Tiny,
}

/// The beginning of a frame, and how long it is.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    head: &'a [u8],
    len: usize,
}

impl<'a> Frame<'a> {
    /// Of all of its bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            head: &bytes[..bytes.len().min(HEAD)],
            len: bytes.len(),
        }
    }

    /// Of the copy of its beginning, as much of it as there was room for, and its length.
    pub fn of_head(head: &'a [u8; HEAD], len: usize) -> Self {
        Self {
            head: &head[..len.min(HEAD)],
            len,
        }
    }

    /// What of it is looked at.
    pub fn head(&self) -> &'a [u8] {
        self.head
    }

    /// The whole length.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Some of its bytes.
    pub(crate) fn get(&self, at: usize, len: usize) -> Result<&'a [u8], Malformed> {
        let end = at.checked_add(len).ok_or(Malformed::Headers)?;
        self.head.get(at..end).ok_or(if end <= self.len {
            Malformed::Headers
        } else {
            Malformed::Short
        })
    }

    pub(crate) fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], Malformed> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.get(at, N)?);
        Ok(bytes)
    }

    pub(crate) fn u8(&self, at: usize) -> Result<u8, Malformed> {
        self.array(at).map(|[byte]| byte)
    }

    pub(crate) fn u16(&self, at: usize) -> Result<u16, Malformed> {
        self.array(at).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&self, at: usize) -> Result<u32, Malformed> {
        self.array(at).map(u32::from_be_bytes)
    }

    /// The same frame up to there.
    pub(crate) fn until(&self, end: usize) -> Self {
        Self {
            head: &self.head[..self.head.len().min(end)],
            len: self.len.min(end),
        }
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Who sent it.
    pub source: Mac,
    /// Who is to have it.
    pub destination: Mac,
    /// What is in it.
    pub payload: Payload,
}

/// What an Ethernet frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Somebody asks for an address, or tells one.
    Arp(Arp),
    /// A packet.
    Ip(Ip),
}

/// Reads a frame.
///
/// # Errors
/// [`Malformed`].
pub fn parse(frame: &Frame<'_>) -> Result<Parsed, Malformed> {
    let payload = match frame.u16(ETHERNET - 2)? {
        ethertype::ARP => Payload::Arp(arp::parse(frame, ETHERNET)?),
        ethertype::IPV4 => Payload::Ip(ip::v4(frame, ETHERNET)?),
        ethertype::IPV6 => Payload::Ip(ip::v6(frame, ETHERNET)?),
        _ => return Err(Malformed::Ethertype),
    };
    Ok(Parsed {
        source: Mac(frame.array(6)?),
        destination: Mac(frame.array(0)?),
        payload,
    })
}
