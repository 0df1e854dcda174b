//! Questions to name servers, and their answers (RFC 1035).
//!
//! What came from the network is decoded by the crate `simple-dns`; here it is decided
//! whether it answers the question, and what it says.

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most aliases in a row (CNAME) that are followed.
const MOST_ALIASES: usize = 16;

/// No question or record has less bytes: an empty name, a type and a class.
const SHORTEST: usize = 5;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V6,
}

impl Kind {
    fn of_question(self) -> QTYPE {
        QTYPE::TYPE(match self {
            Self::V4 => TYPE::A,
            Self::V6 => TYPE::AAAA,
        })
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// It does not answer this question.
    Other,
    /// It is cut off: ask over TCP.
    Truncated,
    /// Addresses; none if the name has none of this kind.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoName,
    /// The server does not know, or does not want to say.
    Failed(&'static str),
}

/// Whether a host can have this name, which is without a dot at its end.
pub(crate) fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// A question for a [host name](is_host_name).
pub(super) fn question(id: u16, name: &str, kind: Kind) -> io::Result<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(
        Name::new(name).map_err(io::Error::other)?,
        kind.of_question(),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    packet.build_bytes_vec().map_err(io::Error::other)
}

/// Reads a message as the answer to that question.
pub(super) fn reply(bytes: &[u8], id: u16, name: &str, kind: Kind) -> Reply {
    if !has_room_for_its_records(bytes) {
        return Reply::Other;
    }
    // A message that is cut off may end anywhere, so its header is looked at first.
    let (Ok(name), Some(header)) = (Name::new(name), Header::read(bytes)) else {
        return Reply::Other;
    };
    if header.id != id || !header.is_response {
        return Reply::Other;
    }
    if header.is_truncated {
        return Reply::Truncated;
    }
    let Ok(packet) = Packet::parse(bytes) else {
        return Reply::Failed("its answer cannot be read");
    };
    match packet.rcode() {
        RCODE::NoError | RCODE::NameError => {}
        RCODE::FormatError => return Reply::Failed("it did not understand the question"),
        RCODE::ServerFailure => return Reply::Failed("it failed"),
        RCODE::Refused => return Reply::Failed("it refused to answer"),
        _ => return Reply::Failed("it answered with an error"),
    }
    let asked = |question: &Question<'_>| {
        question.qname == name
            && question.qtype == kind.of_question()
            && question.qclass == QCLASS::CLASS(CLASS::IN)
    };
    if packet.questions.len() != 1 || !packet.questions.iter().all(asked) {
        return Reply::Other;
    }
    if packet.rcode() == RCODE::NameError {
        return Reply::NoName;
    }
    Reply::Addresses(addresses(&packet, name, kind))
}

/// The first words of a message (RFC 1035, 4.1.1).
struct Header {
    id: u16,
    is_response: bool,
    is_truncated: bool,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [id, flags] = [0, 2].map(|at| {
            let word = bytes.get(at..)?.first_chunk()?;
            Some(u16::from_be_bytes(*word))
        });
        let flags = flags?;
        Some(Self {
            id: id?,
            is_response: flags & 0x8000 != 0,
            is_truncated: flags & 0x0200 != 0,
        })
    }
}

/// The decoder makes room for as many records as a message says that it has.
fn has_room_for_its_records(bytes: &[u8]) -> bool {
    let Some(counts) = bytes.get(4..12) else {
        return false;
    };
    let records: usize = counts
        .chunks_exact(2)
        .map(|count| usize::from(u16::from_be_bytes([count[0], count[1]])))
        .sum();
    records * SHORTEST <= bytes.len()
}

/// The addresses of the name, or of what it is an alias of.
fn addresses<'a>(packet: &'a Packet<'a>, mut name: Name<'a>, kind: Kind) -> Vec<IpAddr> {
    for _ in 0..=MOST_ALIASES {
        let own = || {
            packet
                .answers
                .iter()
                .filter(|record| record.class == CLASS::IN && record.name == name)
        };
        let found: Vec<IpAddr> = own()
            .filter_map(|record| match (&record.rdata, kind) {
                (RData::A(a), Kind::V4) => Some(Ipv4Addr::from(a.address).into()),
                (RData::AAAA(a), Kind::V6) => Some(Ipv6Addr::from(a.address).into()),
                _ => None,
            })
            .collect();
        if !found.is_empty() {
            return found;
        }
        let alias = own().find_map(|record| match &record.rdata {
            RData::CNAME(alias) => Some(alias.0.clone()),
            _ => None,
        });
        match alias {
            Some(alias) => name = alias,
            None => break,
        }
    }
    Vec::new()
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
