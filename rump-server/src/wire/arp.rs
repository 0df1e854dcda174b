//! ARP for IPv4 over Ethernet (RFC 826, RFC 5227).

use super::{ETHERNET, Frame, Mac, Malformed, ethertype};
use std::net::Ipv4Addr;

/// Length of such a message.
const LEN: usize = 28;
/// `ar_op`: somebody asks.
pub const REQUEST: u16 = 1;
/// `ar_op`: somebody tells.
pub const REPLY: u16 = 2;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// [`REQUEST`], [`REPLY`].
    pub operation: u16,
    /// Who says it: this address is there.
    pub sender_mac: Mac,
    /// The sender's; unspecified in a probe.
    pub sender: Ipv4Addr,
    /// Who is told.
    pub target_mac: Mac,
    /// The one that is asked for.
    pub target: Ipv4Addr,
}

/// Reads one that begins there.
///
/// # Errors
/// [`Malformed::Length`] if it is about other kinds of addresses.
pub fn parse(frame: &Frame<'_>, at: usize) -> Result<Arp, Malformed> {
    // Ethernet, IPv4, their lengths.
    if frame.get(at, LEN)?[..6] != [0, 1, 8, 0, 6, 4] {
        return Err(Malformed::Length);
    }
    Ok(Arp {
        operation: frame.u16(at + 6)?,
        sender_mac: Mac(frame.array(at + 8)?),
        sender: frame.array::<4>(at + 14)?.into(),
        target_mac: Mac(frame.array(at + 18)?),
        target: frame.array::<4>(at + 24)?.into(),
    })
}

/// A frame with a message from its sender to its target.
pub fn frame(arp: &Arp) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ETHERNET + LEN);
    frame.extend(arp.target_mac.0);
    frame.extend(arp.sender_mac.0);
    frame.extend(ethertype::ARP.to_be_bytes());
    frame.extend([0, 1, 8, 0, 6, 4]);
    frame.extend(arp.operation.to_be_bytes());
    frame.extend(arp.sender_mac.0);
    frame.extend(arp.sender.octets());
    frame.extend(arp.target_mac.0);
    frame.extend(arp.target.octets());
    frame
}
