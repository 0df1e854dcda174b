//! What a network server and its applications tell each other beside the rings.
//!
//! One datagram is one message, of at most [`MOST`] bytes, all numbers little-endian; the first
//! 16 bits say which. An application speaks first ([`Hello`]) and is [welcomed](Welcome) or
//! [sent away](Farewell). Addresses have 16 bytes; those of IPv4 are mapped (RFC 4291, 2.5.5.2).
//!
//! | kind | message | behind the kind |
//! |---|---|---|
//! | 1 | [`Hello`] | version 4, queues 2, ticket 16, first and last port 2 each (0 and 0: none), host, label |
//! | 2 | [`ToServer::Claim`] | id 4, protocol 1, address 16, port 2 |
//! | 3 | [`ToServer::Release`] | protocol 1, address 16, port 2 |
//! | 4 | [`ToServer::Lease`] | id 4 |
//! | 5 | [`ToServer::Moved`] | id 4, 1 if it is at a NIC of its own, else 0 |
//! | 257 | [`Welcome`] | version 4, MAC 6, MTU 4, queues 2, data 4, ticket 16, first port 2, last port 2, two gateways of 16, number of addresses 1, each 16 and its prefix 1 |
//! | 258 | [`ToApplication::Granted`] | id 4 |
//! | 259 | [`ToApplication::Refused`] | id 4, errno 4 |
//! | 260 | [`ToApplication::Leased`] | id 4, first port 2, last port 2 |
//! | 261 | [`ToApplication::Order`] | 1: to a NIC of its own, 0: back |
//! | 262 | [`Farewell`] | code 2, text |
//!
//! Texts have a byte for their length in front and are UTF-8 without control characters, so that
//! whoever prints them need not look.
//!
//! Decoding is total: whatever is not such a message, to the last byte, is [`Malformed`]. What is
//! decoded, encoded again, gives the same bytes. `RUMP_RING_FUZZ` says how many datagrams the
//! tests try (by default 200,000 of random bytes, and as many good ones that were damaged;
//! 50 million of each have been).

mod code;
mod text;

pub use text::Text;

use alloc::vec::Vec;
use code::{Reader, Writer};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;

/// The version that is spoken here.
pub const VERSION: u32 = 3;
/// The longest message in bytes.
pub const MOST: usize = 4096;
/// The most addresses of a host.
pub const MOST_ADDRESSES: usize = 16;

/// The name of a host, and what an application calls itself.
pub type Name = Text<32>;
/// Why a connection ends.
pub type Reason = Text<200>;

/// A protocol whose ports are claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

impl Protocol {
    /// Its number (IANA, Protocol Numbers).
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// The one of this number.
    pub const fn of(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }
}

/// What an application tells first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What it speaks: [`VERSION`].
    pub version: u32,
    /// Which host it wants to be of; empty is the only one that it may be of.
    pub host: Name,
    /// What it calls itself.
    pub label: Name,
    /// How many queues it would like.
    pub queues: u16,
    /// That of its last [`Welcome`], 0 if it is new.
    pub ticket: u128,
    /// Its first ephemeral ports by that, which a server that knows nothing of it gives it again
    /// if they are nobody's.
    pub ports: Option<RangeInclusive<u16>>,
}

/// What a server answers, together with a descriptor of the memory that the rings are in
/// (SCM_RIGHTS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// What it speaks.
    pub version: u32,
    /// The Ethernet address of the host.
    pub mac: [u8; 6],
    /// The longest packet in bytes.
    pub mtu: u32,
    /// How many queues there are.
    pub queues: u16,
    /// Bytes of a ring in one direction.
    pub data: u32,
    /// To be shown when it connects again.
    pub ticket: u128,
    /// Its first ephemeral ports.
    pub ports: RangeInclusive<u16>,
    /// The router of IPv4.
    pub gateway: Option<Ipv4Addr>,
    /// The router of IPv6.
    pub gateway6: Option<Ipv6Addr>,
    /// Addresses of the host, each with the length of its prefix; at most [`MOST_ADDRESSES`].
    pub addresses: Vec<(IpAddr, u8)>,
}

/// The link-local address of an interface with this Ethernet address (RFC 4291, 2.5.6 and
/// appendix A), which is its host's, too.
pub fn link_local([a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    Ipv6Addr::from([
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ])
}

/// That the connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Why.
    pub code: Code,
    /// The same for people.
    pub text: Reason,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// There is no host of this name, or more than one that could be meant.
    NoSuchHost = 1,
    /// This user may not be of that host.
    NotAllowed = 2,
    /// There are as many applications as may be.
    TooMany = 3,
    /// The server speaks another version.
    Version = 4,
    /// The application has broken the protocol.
    Misbehaved = 5,
    /// The server ends, and none comes after it.
    Ending = 6,
}

/// What an application tells a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToServer {
    /// The first message.
    Hello(Hello),
    /// It wants a port for itself: [`Granted`](ToApplication::Granted), or
    /// [`Refused`](ToApplication::Refused).
    Claim {
        /// Comes back with the answer.
        id: u32,
        /// Of which protocol.
        protocol: Protocol,
        /// Of which address of the host's; 0.0.0.0 or :: are all of that family.
        address: IpAddr,
        /// Which.
        port: u16,
    },
    /// It needs a port no more.
    Release {
        /// Of which protocol.
        protocol: Protocol,
        /// As it was claimed.
        address: IpAddr,
        /// Which.
        port: u16,
    },
    /// It wants more ephemeral ports: [`Leased`](ToApplication::Leased), or
    /// [`Refused`](ToApplication::Refused).
    Lease {
        /// Comes back with the answer.
        id: u32,
    },
    /// It has gone to a NIC of its own, or comes back: [`Granted`](ToApplication::Granted), after
    /// which nothing more comes to its ring, or all that is for it does; or
    /// [`Refused`](ToApplication::Refused), where others are of its host.
    Moved {
        /// Comes back with the answer.
        id: u32,
        /// At a NIC of its own.
        direct: bool,
    },
}

/// What a server tells an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToApplication {
    /// The answer to a [`Hello`].
    Welcome(Welcome),
    /// The port is the application's; it is known where the application is.
    Granted {
        /// That of what was asked for.
        id: u32,
    },
    /// It is not, or there are no more ports.
    Refused {
        /// That of what was asked for.
        id: u32,
        /// Why, as NetBSD numbers it.
        errno: i32,
    },
    /// More ephemeral ports, of both protocols and families.
    Leased {
        /// That of what was asked for.
        id: u32,
        /// Which.
        ports: RangeInclusive<u16>,
    },
    /// The application is to move.
    Order {
        /// To a NIC of its own, and not back.
        direct: bool,
    },
    /// The last message.
    Farewell(Farewell),
}

/// It is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the other side's datagram is no message of a network server's protocol")
    }
}

impl core::error::Error for Malformed {}

const HELLO: u16 = 1;
const CLAIM: u16 = 2;
const RELEASE: u16 = 3;
const LEASE: u16 = 4;
const MOVED: u16 = 5;
const WELCOME: u16 = 257;
const GRANTED: u16 = 258;
const REFUSED: u16 = 259;
const LEASED: u16 = 260;
const ORDER: u16 = 261;
const FAREWELL: u16 = 262;

impl ToServer {
    /// As a datagram.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello(hello) => Writer::new(HELLO)
                .u32(hello.version)
                .u16(hello.queues)
                .u128(hello.ticket)
                .some_ports(hello.ports.as_ref())
                .text(&hello.host)
                .text(&hello.label)
                .done(),
            Self::Claim {
                id,
                protocol,
                address,
                port,
            } => Writer::new(CLAIM)
                .u32(*id)
                .u8(protocol.number())
                .address(*address)
                .u16(*port)
                .done(),
            Self::Release {
                protocol,
                address,
                port,
            } => Writer::new(RELEASE)
                .u8(protocol.number())
                .address(*address)
                .u16(*port)
                .done(),
            Self::Lease { id } => Writer::new(LEASE).u32(*id).done(),
            Self::Moved { id, direct } => Writer::new(MOVED).u32(*id).u8((*direct).into()).done(),
        }
    }

    /// From a datagram.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes)?;
        let message = match from.u16()? {
            HELLO => Self::Hello(Hello {
                version: from.u32()?,
                queues: from.u16()?,
                ticket: from.u128()?,
                ports: from.some_ports()?,
                host: from.text()?,
                label: from.text()?,
            }),
            CLAIM => Self::Claim {
                id: from.u32()?,
                protocol: from.protocol()?,
                address: from.address()?,
                port: from.u16()?,
            },
            RELEASE => Self::Release {
                protocol: from.protocol()?,
                address: from.address()?,
                port: from.u16()?,
            },
            LEASE => Self::Lease { id: from.u32()? },
            MOVED => Self::Moved {
                id: from.u32()?,
                direct: from.flag()?,
            },
            _ => return Err(Malformed),
        };
        from.done()?;
        Ok(message)
    }
}

impl ToApplication {
    /// As a datagram.
    ///
    /// # Panics
    /// If a [`Welcome`] has more than [`MOST_ADDRESSES`].
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Welcome(welcome) => {
                let none = (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
                let mut to = Writer::new(WELCOME)
                    .u32(welcome.version)
                    .bytes(&welcome.mac)
                    .u32(welcome.mtu)
                    .u16(welcome.queues)
                    .u32(welcome.data)
                    .u128(welcome.ticket)
                    .ports(&welcome.ports)
                    .address(welcome.gateway.unwrap_or(none.0).into())
                    .address(welcome.gateway6.unwrap_or(none.1).into());
                let count = welcome.addresses.len();
                assert!(count <= MOST_ADDRESSES, "{count} addresses of a host");
                to = to.u8(count as u8);
                for (address, prefix) in &welcome.addresses {
                    to = to.address(*address).u8(*prefix);
                }
                to.done()
            }
            Self::Granted { id } => Writer::new(GRANTED).u32(*id).done(),
            Self::Refused { id, errno } => Writer::new(REFUSED)
                .u32(*id)
                .u32(errno.cast_unsigned())
                .done(),
            Self::Leased { id, ports } => Writer::new(LEASED).u32(*id).ports(ports).done(),
            Self::Order { direct } => Writer::new(ORDER).u8((*direct).into()).done(),
            Self::Farewell(farewell) => Writer::new(FAREWELL)
                .u16(farewell.code as u16)
                .text(&farewell.text)
                .done(),
        }
    }

    /// From a datagram.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes)?;
        let message = match from.u16()? {
            WELCOME => Self::Welcome(welcome(&mut from)?),
            GRANTED => Self::Granted { id: from.u32()? },
            REFUSED => Self::Refused {
                id: from.u32()?,
                errno: from.u32()?.cast_signed(),
            },
            LEASED => Self::Leased {
                id: from.u32()?,
                ports: from.ports()?,
            },
            ORDER => Self::Order {
                direct: from.flag()?,
            },
            FAREWELL => Self::Farewell(Farewell {
                code: code(from.u16()?)?,
                text: from.text()?,
            }),
            _ => return Err(Malformed),
        };
        from.done()?;
        Ok(message)
    }
}

fn welcome(from: &mut Reader<'_>) -> Result<Welcome, Malformed> {
    let mut welcome = Welcome {
        version: from.u32()?,
        mac: from.bytes()?,
        mtu: from.u32()?,
        queues: from.u16()?,
        data: from.u32()?,
        ticket: from.u128()?,
        ports: from.ports()?,
        gateway: match from.address()? {
            IpAddr::V4(router) => Some(router).filter(|router| !router.is_unspecified()),
            IpAddr::V6(_) => return Err(Malformed),
        },
        gateway6: match from.address()? {
            IpAddr::V6(router) => Some(router).filter(|router| !router.is_unspecified()),
            IpAddr::V4(_) => return Err(Malformed),
        },
        addresses: Vec::new(),
    };
    let count = usize::from(from.u8()?);
    if count > MOST_ADDRESSES {
        return Err(Malformed);
    }
    for _ in 0..count {
        let (address, prefix) = (from.address()?, from.u8()?);
        if prefix > if address.is_ipv4() { 32 } else { 128 } {
            return Err(Malformed);
        }
        welcome.addresses.push((address, prefix));
    }
    Ok(welcome)
}

fn code(number: u16) -> Result<Code, Malformed> {
    const ALL: [Code; 6] = [
        Code::NoSuchHost,
        Code::NotAllowed,
        Code::TooMany,
        Code::Version,
        Code::Misbehaved,
        Code::Ending,
    ];
    let found = ALL.into_iter().find(|code| *code as u16 == number);
    found.ok_or(Malformed)
}
