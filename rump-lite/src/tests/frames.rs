//! Frames that a neighbour of the interface of a test sends.

use super::link::{MAC, THEIRS};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    UdpPacket, UdpRepr,
};
use std::vec::Vec;

/// The interface's own address.
pub(super) const HERE: Ipv4Address = Ipv4Address::new(10, 9, 0, 1);

/// An IPv4 packet in a frame; `write` fills what is behind its header.
pub(super) fn ipv4(
    from: Ipv4Address,
    protocol: IpProtocol,
    length: usize,
    write: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let ip = Ipv4Repr {
        src_addr: from,
        dst_addr: HERE,
        next_header: protocol,
        payload_len: length,
        hop_limit: 64,
    };
    let mut frame = [MAC, THEIRS].concat();
    frame.extend([8, 0]);
    frame.resize(14 + ip.buffer_len() + length, 0);
    let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
    ip.emit(&mut packet, &ChecksumCapabilities::default());
    write(packet.payload_mut());
    frame
}

pub(super) fn udp(from: Ipv4Address, port: u16, data: &[u8]) -> Vec<u8> {
    let udp = UdpRepr {
        src_port: 4000,
        dst_port: port,
    };
    ipv4(from, IpProtocol::Udp, 8 + data.len(), |payload| {
        udp.emit(
            &mut UdpPacket::new_unchecked(payload),
            &from.into(),
            &HERE.into(),
            data.len(),
            |room| room.copy_from_slice(data),
            &ChecksumCapabilities::default(),
        );
    })
}

/// A segment to this port from that one; numbers are those of a connection.
pub(super) fn tcp(
    from: (Ipv4Address, u16),
    port: u16,
    control: TcpControl,
    sequence: i32,
    acknowledged: Option<TcpSeqNumber>,
    data: &[u8],
) -> Vec<u8> {
    let syn = control == TcpControl::Syn;
    let segment = TcpRepr {
        src_port: from.1,
        dst_port: port,
        control,
        seq_number: TcpSeqNumber(sequence),
        ack_number: acknowledged,
        window_len: 8192,
        window_scale: syn.then_some(2),
        max_seg_size: syn.then_some(1460),
        sack_permitted: syn,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: data,
    };
    ipv4(from.0, IpProtocol::Tcp, segment.buffer_len(), |payload| {
        segment.emit(
            &mut TcpPacket::new_unchecked(payload),
            &from.0.into(),
            &HERE.into(),
            &ChecksumCapabilities::default(),
        );
    })
}

/// Says, or asks, who has which address: "it is me".
pub(super) fn arp(from: Ipv4Address) -> Vec<u8> {
    let mut frame = [[0xff; 6], THEIRS].concat();
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(THEIRS);
    frame.extend(from.octets());
    frame.extend([0; 6]);
    frame.extend(HERE.octets());
    frame
}
