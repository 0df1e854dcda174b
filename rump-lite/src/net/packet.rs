//! Reading and writing packets, by smoltcp's formats. Whatever is malformed is nothing.

use super::Tuple;
use core::ops::Range;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, Icmpv4Repr, Icmpv6DstUnreachable,
    Icmpv6Message, Icmpv6Packet, Icmpv6Repr, IpAddress, IpEndpoint, IpProtocol, IpRepr, IpVersion,
    Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpControl, TcpPacket, TcpRepr, UdpPacket, UdpRepr,
};

/// How much of a packet an error quotes (RFC 1812: the whole error within 576 bytes).
const QUOTED: usize = 512;

/// A UDP datagram that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Datagram {
    pub(crate) from: IpEndpoint,
    pub(crate) to: IpEndpoint,
    /// Where its data are in the packet.
    pub(crate) data: Range<usize>,
}

/// What a packet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    Tcp {
        tuple: Tuple,
        /// It asks for a connection.
        syn: bool,
    },
    Udp(Datagram),
    /// A UDP datagram with these ends, ours first, met no socket.
    Refused(Tuple),
    /// Something that smoltcp answers, or not.
    Other,
}

/// smoltcp looks at the first byte without asking whether there is one.
fn version(packet: &[u8]) -> Option<IpVersion> {
    packet.first()?;
    IpVersion::of_packet(packet).ok()
}

/// An IP header: protocol, addresses, where the payload is.
struct Header {
    protocol: IpProtocol,
    source: IpAddress,
    destination: IpAddress,
    payload: Range<usize>,
}

impl Header {
    fn parse(packet: &[u8]) -> Option<Self> {
        let (repr, start) = match version(packet)? {
            IpVersion::Ipv4 => {
                let packet = Ipv4Packet::new_checked(packet).ok()?;
                let repr = Ipv4Repr::parse(&packet, &ChecksumCapabilities::ignored()).ok()?;
                (IpRepr::Ipv4(repr), usize::from(packet.header_len()))
            }
            IpVersion::Ipv6 => {
                let packet = Ipv6Packet::new_checked(packet).ok()?;
                (
                    IpRepr::Ipv6(Ipv6Repr::parse(&packet).ok()?),
                    packet.header_len(),
                )
            }
        };
        Some(Self {
            protocol: repr.next_header(),
            source: repr.src_addr(),
            destination: repr.dst_addr(),
            payload: start..start + repr.payload_len(),
        })
    }
}

/// The protocol of a packet that came over a link, and where it is from and to, if it is whole and its checksums
/// are right; those of TCP, UDP and ICMP unless they were `verified` before.
pub(crate) fn ends(packet: &[u8], verified: bool) -> Option<(IpProtocol, IpAddress, IpAddress)> {
    let header = Header::parse(packet)?;
    let payload = packet.get(header.payload.clone())?;
    let (from, to) = (header.source, header.destination);
    if version(packet)? == IpVersion::Ipv4 {
        let ip = Ipv4Packet::new_checked(packet).ok()?;
        // Fragments are not put together.
        if !ip.verify_checksum() || ip.more_frags() || ip.frag_offset() != 0 {
            return None;
        }
    }
    let right = verified
        || match header.protocol {
            IpProtocol::Tcp => TcpPacket::new_checked(payload)
                .is_ok_and(|segment| segment.verify_checksum(&from, &to)),
            IpProtocol::Udp => UdpPacket::new_checked(payload)
                .is_ok_and(|datagram| datagram.verify_checksum(&from, &to)),
            IpProtocol::Icmp => {
                Icmpv4Packet::new_checked(payload).is_ok_and(|message| message.verify_checksum())
            }
            IpProtocol::Icmpv6 => match (from, to) {
                (IpAddress::Ipv6(from), IpAddress::Ipv6(to)) => Icmpv6Packet::new_checked(payload)
                    .is_ok_and(|message| message.verify_checksum(&from, &to)),
                _ => false,
            },
            _ => true,
        };
    right.then_some((header.protocol, from, to))
}

/// The sender of a packet.
pub(crate) fn sender(packet: &[u8]) -> Option<IpAddress> {
    Header::parse(packet).map(|header| header.source)
}

/// Writes the checksum of a packet of ours, above IP; whom the packet is for.
pub(crate) fn complete(packet: &mut [u8]) -> Option<IpAddress> {
    let header = Header::parse(packet)?;
    let payload = packet.get_mut(header.payload)?;
    let (from, to) = (header.source, header.destination);
    match header.protocol {
        IpProtocol::Udp => UdpPacket::new_checked(payload)
            .ok()?
            .fill_checksum(&from, &to),
        IpProtocol::Tcp => TcpPacket::new_checked(payload)
            .ok()?
            .fill_checksum(&from, &to),
        IpProtocol::Icmp => Icmpv4Packet::new_checked(payload).ok()?.fill_checksum(),
        IpProtocol::Icmpv6 => {
            if let (IpAddress::Ipv6(from), IpAddress::Ipv6(to)) = (from, to) {
                let mut message = Icmpv6Packet::new_checked(payload).ok()?;
                message.fill_checksum(&from, &to);
            }
        }
        _ => {}
    }
    Some(to)
}

impl Packet {
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let header = Header::parse(packet)?;
        let payload = packet.get(header.payload.clone())?;
        match header.protocol {
            IpProtocol::Tcp => {
                let segment = TcpPacket::new_checked(payload).ok()?;
                Some(Self::Tcp {
                    tuple: Tuple {
                        local: IpEndpoint::new(header.destination, segment.dst_port()),
                        remote: IpEndpoint::new(header.source, segment.src_port()),
                    },
                    syn: segment.syn() && !segment.ack() && !segment.rst() && !segment.fin(),
                })
            }
            IpProtocol::Udp => {
                let datagram = UdpPacket::new_checked(payload).ok()?;
                let start = header.payload.start + smoltcp::wire::UDP_HEADER_LEN;
                (datagram.dst_port() != 0).then(|| {
                    Self::Udp(Datagram {
                        from: IpEndpoint::new(header.source, datagram.src_port()),
                        to: IpEndpoint::new(header.destination, datagram.dst_port()),
                        data: start..start + datagram.payload().len(),
                    })
                })
            }
            IpProtocol::Icmp => {
                let message = Icmpv4Packet::new_checked(payload).ok()?;
                let refused = message.msg_type() == Icmpv4Message::DstUnreachable
                    && message.msg_code() == u8::from(Icmpv4DstUnreachable::PortUnreachable);
                if refused {
                    refused_datagram(message.data())
                } else {
                    Some(Self::Other)
                }
            }
            IpProtocol::Icmpv6 => {
                let message = Icmpv6Packet::new_checked(payload).ok()?;
                let refused = message.msg_type() == Icmpv6Message::DstUnreachable
                    && message.msg_code() == u8::from(Icmpv6DstUnreachable::PortUnreachable);
                if refused {
                    refused_datagram(message.payload())
                } else {
                    Some(Self::Other)
                }
            }
            // Headers in between are not taken apart to find a connection.
            IpProtocol::HopByHop
            | IpProtocol::Ipv6Route
            | IpProtocol::Ipv6Frag
            | IpProtocol::Ipv6Opts => None,
            _ => Some(Self::Other),
        }
    }
}

/// Who sent the datagram that an error quotes, perhaps not all of it.
fn refused_datagram(quote: &[u8]) -> Option<Packet> {
    let (protocol, source, destination, start) = match version(quote)? {
        IpVersion::Ipv4 => {
            if quote.len() < smoltcp::wire::IPV4_HEADER_LEN {
                return None;
            }
            let packet = Ipv4Packet::new_unchecked(quote);
            (
                packet.next_header(),
                IpAddress::Ipv4(packet.src_addr()),
                IpAddress::Ipv4(packet.dst_addr()),
                usize::from(packet.header_len()),
            )
        }
        IpVersion::Ipv6 => {
            if quote.len() < smoltcp::wire::IPV6_HEADER_LEN {
                return None;
            }
            let packet = Ipv6Packet::new_unchecked(quote);
            (
                packet.next_header(),
                IpAddress::Ipv6(packet.src_addr()),
                IpAddress::Ipv6(packet.dst_addr()),
                smoltcp::wire::IPV6_HEADER_LEN,
            )
        }
    };
    let datagram = quote
        .get(start..)
        .filter(|rest| rest.len() >= smoltcp::wire::UDP_HEADER_LEN)?;
    let datagram = UdpPacket::new_unchecked(datagram);
    (protocol == IpProtocol::Udp).then(|| {
        Packet::Refused(Tuple {
            local: IpEndpoint::new(source, datagram.src_port()),
            remote: IpEndpoint::new(destination, datagram.dst_port()),
        })
    })
}

/// A packet to be written: its length, and what writes it.
pub(crate) type Draft<F> = (usize, F);

/// A UDP datagram, whose data `fill` writes.
pub(crate) fn datagram(
    from: IpEndpoint,
    to: IpEndpoint,
    hops: u8,
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Draft<impl FnOnce(&mut [u8])> {
    let udp = UdpRepr {
        src_port: from.port,
        dst_port: to.port,
    };
    let ip = IpRepr::new(
        from.addr,
        to.addr,
        IpProtocol::Udp,
        udp.header_len() + length,
        hops,
    );
    (ip.buffer_len(), move |packet: &mut [u8]| {
        let none = ChecksumCapabilities::ignored();
        ip.emit(&mut *packet, &none);
        let mut payload = UdpPacket::new_unchecked(&mut packet[ip.header_len()..]);
        udp.emit(&mut payload, &from.addr, &to.addr, length, fill, &none);
    })
}

/// The error that says that a datagram met no socket.
pub(crate) fn port_unreachable(refused: &[u8]) -> Option<Draft<impl FnOnce(&mut [u8]) + '_>> {
    enum Message<'a> {
        V4(Icmpv4Repr<'a>),
        V6(Icmpv6Repr<'a>),
    }
    let header = Header::parse(refused)?;
    let quote = refused.get(header.payload)?;
    let quote = &quote[..quote.len().min(QUOTED)];
    // From where it was sent to, to where it came from.
    let (from, to) = (header.destination, header.source);
    if to.is_unspecified() || to.is_multicast() || to.is_broadcast() {
        return None;
    }
    let none = ChecksumCapabilities::ignored();
    let (message, length, protocol) = match version(refused)? {
        IpVersion::Ipv4 => {
            let header = Ipv4Repr::parse(&Ipv4Packet::new_checked(refused).ok()?, &none).ok()?;
            let message = Icmpv4Repr::DstUnreachable {
                reason: Icmpv4DstUnreachable::PortUnreachable,
                header,
                data: quote,
            };
            (Message::V4(message), message.buffer_len(), IpProtocol::Icmp)
        }
        IpVersion::Ipv6 => {
            let header = Ipv6Repr::parse(&Ipv6Packet::new_checked(refused).ok()?).ok()?;
            let message = Icmpv6Repr::DstUnreachable {
                reason: Icmpv6DstUnreachable::PortUnreachable,
                header,
                data: quote,
            };
            (
                Message::V6(message),
                message.buffer_len(),
                IpProtocol::Icmpv6,
            )
        }
    };
    let ip = IpRepr::new(from, to, protocol, length, 64);
    Some((ip.buffer_len(), move |packet: &mut [u8]| {
        let none = ChecksumCapabilities::ignored();
        ip.emit(&mut *packet, &none);
        let payload = &mut packet[ip.header_len()..];
        match (message, from, to) {
            (Message::V4(message), ..) => {
                message.emit(&mut Icmpv4Packet::new_unchecked(payload), &none);
            }
            (Message::V6(message), IpAddress::Ipv6(from), IpAddress::Ipv6(to)) => {
                message.emit(&from, &to, &mut Icmpv6Packet::new_unchecked(payload), &none);
            }
            (Message::V6(_), ..) => {}
        }
    }))
}

/// The acknowledgement of a `FIN`, made from nothing but the segment.
pub(crate) fn acknowledgement(segment: &[u8]) -> Option<Draft<impl FnOnce(&mut [u8]) + use<>>> {
    let header = Header::parse(segment)?;
    let packet = TcpPacket::new_checked(segment.get(header.payload)?).ok()?;
    let none = ChecksumCapabilities::ignored();
    let repr = TcpRepr::parse(&packet, &header.source, &header.destination, &none).ok()?;
    if repr.control != TcpControl::Fin {
        return None;
    }
    let answer = TcpRepr {
        src_port: repr.dst_port,
        dst_port: repr.src_port,
        control: TcpControl::None,
        seq_number: repr.ack_number?,
        ack_number: Some(repr.seq_number + repr.segment_len()),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (from, to) = (header.destination, header.source);
    let ip = IpRepr::new(from, to, IpProtocol::Tcp, answer.buffer_len(), 64);
    Some((ip.buffer_len(), move |packet: &mut [u8]| {
        let none = ChecksumCapabilities::ignored();
        ip.emit(&mut *packet, &none);
        let mut segment = TcpPacket::new_unchecked(&mut packet[ip.header_len()..]);
        answer.emit(&mut segment, &from, &to, &none);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use smoltcp::wire::{Ipv4Address, Ipv6Address};

    fn ends() -> [(IpEndpoint, IpEndpoint); 2] {
        let (v4, v6) = (
            IpAddress::Ipv4(Ipv4Address::LOCALHOST),
            IpAddress::Ipv6(Ipv6Address::LOCALHOST),
        );
        [v4, v6].map(|address| {
            (
                IpEndpoint::new(address, 1000),
                IpEndpoint::new(address, 2000),
            )
        })
    }

    fn write(draft: Draft<impl FnOnce(&mut [u8])>) -> Vec<u8> {
        let mut packet = vec![0; draft.0];
        (draft.1)(&mut packet);
        packet
    }

    #[test]
    fn datagrams_are_read_as_written() {
        for (from, to) in ends() {
            for length in [0, 1, 65_507] {
                let data = vec![7; length];
                let packet = write(datagram(from, to, 64, length, |room| {
                    room.copy_from_slice(&data)
                }));
                let Some(Packet::Udp(read)) = Packet::parse(&packet) else {
                    panic!("{length}")
                };
                assert_eq!((read.from, read.to), (from, to));
                assert_eq!(packet[read.data], data);
            }
        }
    }

    #[test]
    fn a_refusal_is_found_by_its_sender() {
        for (from, to) in ends() {
            for length in [0, 8, 5000] {
                let refused = write(datagram(from, to, 64, length, |_| {}));
                let error = write(port_unreachable(&refused).unwrap());
                let tuple = Tuple {
                    local: from,
                    remote: to,
                };
                assert_eq!(Packet::parse(&error), Some(Packet::Refused(tuple)));
            }
        }
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        for (from, to) in ends() {
            let packet = write(datagram(from, to, 64, 100, |_| {}));
            for length in 0..packet.len() {
                assert_eq!(Packet::parse(&packet[..length]), None);
                assert!(port_unreachable(&packet[..length]).is_none());
            }
        }
    }
}
