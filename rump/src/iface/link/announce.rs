//! Saying on a link who is there.
//!
//! When what is behind an interface is replaced, its frames may come out elsewhere in the
//! network. Switches, and other hosts, learn of it from a frame: for each address of IPv4
//! a gratuitous request (RFC 5227, 3), for each of IPv6 an advertisement that nobody asked
//! for (RFC 4861, 7.2.6). They are made before the switch, and sent as the first frames
//! after it.

use crate::iface::Interface;
use rump_sys::hyper::vif::offload::finish;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The frames for all addresses that an interface can be reached at.
pub(super) fn frames(interface: &Interface) -> Vec<Vec<u8>> {
    let own = || {
        if !interface.is_up()? {
            return Ok(None);
        }
        let hardware = interface.hardware_address()?;
        Ok::<_, crate::iface::Error>(hardware.zip(Some(interface.addresses()?)))
    };
    let Ok(Some((hardware, addresses))) = own() else {
        return Vec::new();
    };
    addresses
        .iter()
        .filter(|own| own.is_ready() || own.is_detached())
        .map(|own| match own.net().addr() {
            IpAddr::V4(address) => request(hardware, address).to_vec(),
            IpAddr::V6(address) => advertisement(hardware, address).to_vec(),
        })
        .collect()
}

/// The Ethernet header in front of `N` bytes.
fn ethernet(frame: &mut [u8], to: [u8; 6], from: [u8; 6], kind: u16) {
    frame[..6].copy_from_slice(&to);
    frame[6..12].copy_from_slice(&from);
    frame[12..14].copy_from_slice(&kind.to_be_bytes());
}

/// An ARP request for an address by who has it (RFC 826; RFC 5227, 1.1).
fn request(hardware: [u8; 6], address: Ipv4Addr) -> [u8; 42] {
    let mut frame = [0; 42];
    ethernet(&mut frame, [0xff; 6], hardware, 0x0806);
    // Ethernet, IPv4, the lengths of their addresses, request.
    frame[14..22].copy_from_slice(&[0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&hardware);
    frame[28..32].copy_from_slice(&address.octets());
    // Whose hardware address is asked for is not known, as far as such a request goes.
    frame[38..42].copy_from_slice(&address.octets());
    frame
}

/// A neighbour advertisement to all nodes (RFC 4861, 4.4).
fn advertisement(hardware: [u8; 6], address: Ipv6Addr) -> [u8; 86] {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    const MESSAGE: usize = 14 + 40;
    /// Override (RFC 4861, 4.4): what others know is to be replaced.
    const OVERRIDE: u8 = 0x20;
    let mut frame = [0; 86];
    // RFC 2464, 7.
    ethernet(&mut frame, [0x33, 0x33, 0, 0, 0, 1], hardware, 0x86dd);
    // Version 6, 32 bytes of ICMPv6, hop limit 255.
    frame[14..22].copy_from_slice(&[0x60, 0, 0, 0, 0, 32, 58, 255]);
    frame[22..38].copy_from_slice(&address.octets());
    frame[38..54].copy_from_slice(&ALL_NODES.octets());
    frame[MESSAGE] = 136;
    frame[MESSAGE + 4] = OVERRIDE;
    frame[MESSAGE + 8..MESSAGE + 24].copy_from_slice(&address.octets());
    // Target link-layer address: type, and length in units of 8 bytes.
    frame[MESSAGE + 24..MESSAGE + 26].copy_from_slice(&[2, 1]);
    frame[MESSAGE + 26..].copy_from_slice(&hardware);
    // RFC 8200, 8.1: addresses, length, protocol.
    let pseudo = finish::sum(&frame[22..54]) + finish::sum(&[0, 32, 0, 58]);
    frame[MESSAGE + 2..MESSAGE + 4].copy_from_slice(&finish::fold(pseudo).to_ne_bytes());
    finish::complete(&mut frame, MESSAGE, MESSAGE + 2);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARDWARE: [u8; 6] = [2, 0, 0, 1, 2, 3];

    #[test]
    fn a_request_names_its_sender_as_the_one_it_asks_for() {
        let frame = request(HARDWARE, Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(frame[..6], [0xff; 6]);
        assert_eq!(frame[6..12], frame[22..28]);
        assert_eq!(frame[28..32], frame[38..42]);
        assert_eq!(frame[20..22], [0, 1]);
        assert_eq!(frame[32..38], [0; 6]);
    }

    #[test]
    fn an_advertisement_has_a_good_checksum() {
        let address: Ipv6Addr = "fd00:14::2".parse().unwrap();
        let frame = advertisement(HARDWARE, address);
        // The sum over all, with the pseudo header and the checksum in it, is all ones.
        let total = finish::sum(&frame[22..]) + finish::sum(&[0, 32, 0, 58]);
        assert_eq!(finish::fold(total), 0xffff);
        assert_eq!(frame[62..78], address.octets());
        assert_eq!(frame[80..], HARDWARE);
    }
}
