//! What a frame claims is still to be done to it, checked against the frame.
//!
//! The claims come with the frame from outside: from another host's guest, another
//! process, a file. Nothing in them is believed: positions are inside the frame, a
//! segment that is to be cut up has the headers of one, and what its headers say of its
//! length is its length. What passes can be worked on, or handed to a kernel, without
//! looking again.

use crate::vif::abi::{DATA_VALID, GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM, Offload};
use core::fmt;

/// Ethernet: two addresses and a type (IEEE 802.3, 3.1.1).
pub(crate) const ETHERNET: usize = 14;
/// A tag of IEEE 802.1Q.
const VLAN: usize = 4;
const TYPE_VLAN: u16 = 0x8100;
const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
/// IPv6 headers may be followed by so many others.
const EXTENSIONS: usize = 8;
/// The smallest data that a segment is cut to. TCPs do not go below 48 (RFC 879 and what
/// followed from it); less would make thousands of segments of one.
const SMALLEST: u16 = 32;

/// What is wrong with what a frame claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// There is no Ethernet header.
    Short,
    /// A flag that has no meaning.
    Flags,
    /// A kind of segmentation that nobody asked for.
    Kind,
    /// The checksum is not in the frame.
    Checksum,
    /// It is to be cut up, and is not such a segment: not that protocol, or its headers
    /// are not whole.
    Headers,
    /// Its headers say another length than it has.
    Length,
    /// It is to be cut into pieces that are too small.
    Size,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "shorter than an Ethernet header",
            Self::Flags => "an unknown flag",
            Self::Kind => "an unknown kind of segmentation",
            Self::Checksum => "a checksum that is not in the frame",
            Self::Headers => "not the headers of a TCP segment",
            Self::Length => "headers that say another length",
            Self::Size => "segments that are too small",
        })
    }
}

impl core::error::Error for Malformed {}

/// What is to be done to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing; its checksums are as they came.
    None,
    /// Nothing; somebody has found its checksum good.
    Verified,
    /// A checksum over all that follows `start` is to be put at `at`.
    Checksum {
        /// From the start of the frame.
        start: usize,
        /// From the start of the frame; at most its length less 2.
        at: usize,
    },
    /// It is to be cut up.
    Segment(Segment),
}

/// A TCP segment that is longer than a link allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// It is IPv6.
    pub v6: bool,
    /// Where the IP header begins.
    pub ip: usize,
    /// Where the TCP header begins.
    pub tcp: usize,
    /// Where the data begin.
    pub data: usize,
    /// How much data each piece has.
    pub size: usize,
    /// CWR is for the first piece only.
    pub ecn: bool,
    /// The checksum of the data is not incomplete but was verified.
    pub verified: bool,
}

impl Segment {
    /// How many pieces a frame of so many bytes makes.
    pub fn pieces(&self, len: usize) -> usize {
        (len - self.data).div_ceil(self.size).max(1)
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([two[0], two[1]]))
}

/// Checks what is claimed of a frame.
///
/// # Errors
/// [`Malformed`].
pub fn check(frame: &[u8], claim: Offload) -> Result<Work, Malformed> {
    check_head(frame, frame.len(), claim)
}

/// The same of a frame of which only the beginning is at hand: all headers are in it.
///
/// # Errors
/// [`Malformed`].
pub fn check_head(head: &[u8], len: usize, claim: Offload) -> Result<Work, Malformed> {
    if head.len().min(len) < ETHERNET {
        return Err(Malformed::Short);
    }
    if claim.flags & !(NEEDS_CSUM | DATA_VALID) != 0 {
        return Err(Malformed::Flags);
    }
    if claim.gso_type != GSO_NONE {
        return segment(head, len, claim).map(Work::Segment);
    }
    if claim.flags & NEEDS_CSUM != 0 {
        let start = usize::from(claim.csum_start);
        let at = start + usize::from(claim.csum_offset);
        if start < ETHERNET || at + 2 > len {
            return Err(Malformed::Checksum);
        }
        return Ok(Work::Checksum { start, at });
    }
    Ok(if claim.flags & DATA_VALID != 0 {
        Work::Verified
    } else {
        Work::None
    })
}

fn segment(frame: &[u8], len: usize, claim: Offload) -> Result<Segment, Malformed> {
    let v6 = match claim.gso_type & !GSO_ECN {
        GSO_TCPV4 => false,
        GSO_TCPV6 => true,
        _ => return Err(Malformed::Kind),
    };
    // Without either flag nobody knows what its checksum is worth.
    if claim.flags == 0 {
        return Err(Malformed::Flags);
    }
    if claim.gso_size < SMALLEST {
        return Err(Malformed::Size);
    }
    let (ip, kind) = network(frame).ok_or(Malformed::Headers)?;
    let tcp = match (v6, kind) {
        (false, TYPE_IPV4) => ipv4(frame, len, ip)?,
        (true, TYPE_IPV6) => ipv6(frame, len, ip)?,
        _ => return Err(Malformed::Headers),
    };
    let header = usize::from(*frame.get(tcp + 12).ok_or(Malformed::Headers)? >> 4) * 4;
    let data = tcp + header;
    if header < 20 || data > frame.len() {
        return Err(Malformed::Headers);
    }
    if claim.flags & NEEDS_CSUM != 0
        && (usize::from(claim.csum_start) != tcp || claim.csum_offset != 16)
    {
        return Err(Malformed::Checksum);
    }
    Ok(Segment {
        v6,
        ip,
        tcp,
        data,
        size: claim.gso_size.into(),
        ecn: claim.gso_type & GSO_ECN != 0,
        verified: claim.flags & NEEDS_CSUM == 0,
    })
}

/// Where the network header begins, and what it is.
fn network(frame: &[u8]) -> Option<(usize, u16)> {
    match be16(frame, ETHERNET - 2)? {
        TYPE_VLAN => Some((ETHERNET + VLAN, be16(frame, ETHERNET + VLAN - 2)?)),
        kind => Some((ETHERNET, kind)),
    }
}

/// RFC 791, 3.1. Returns where the TCP header begins.
fn ipv4(frame: &[u8], whole: usize, ip: usize) -> Result<usize, Malformed> {
    let header = frame.get(ip..ip + 20).ok_or(Malformed::Headers)?;
    let len = usize::from(header[0] & 0x0f) * 4;
    // Fragments are not cut up: their TCP header is elsewhere, or is followed by less.
    let fragment = be16(header, 6).ok_or(Malformed::Headers)? & 0x3fff;
    if header[0] >> 4 != 4 || len < 20 || fragment != 0 || header[9] != TCP {
        return Err(Malformed::Headers);
    }
    match be16(header, 2).map(usize::from) {
        Some(total) if total == whole - ip && len <= total => Ok(ip + len),
        _ => Err(Malformed::Length),
    }
}

/// RFC 8200, 3 and 4. Returns where the TCP header begins.
fn ipv6(frame: &[u8], whole: usize, ip: usize) -> Result<usize, Malformed> {
    let header = frame.get(ip..ip + 40).ok_or(Malformed::Headers)?;
    if header[0] >> 4 != 6 {
        return Err(Malformed::Headers);
    }
    if be16(header, 4).map(usize::from) != Some(whole - ip - 40) {
        return Err(Malformed::Length);
    }
    let mut next = header[6];
    let mut at = ip + 40;
    for _ in 0..=EXTENSIONS {
        match next {
            TCP => return Ok(at),
            // Hop-by-hop options, routing, destination options.
            0 | 43 | 60 => {
                let two = frame.get(at..at + 2).ok_or(Malformed::Headers)?;
                next = two[0];
                at += (usize::from(two[1]) + 1) * 8;
            }
            _ => break,
        }
    }
    Err(Malformed::Headers)
}
