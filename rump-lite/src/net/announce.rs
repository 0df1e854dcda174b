//! What becomes of interfaces, addresses and routes, as all routing sockets are told:
//! `route(4)`, in the messages of NetBSD 8.

use super::interface::Interface;
use super::routing::{Told, append, begin, message};
use super::sockaddr::{mask, sockaddr};
use crate::file::Object;
use crate::kernel::Kernel;
use crate::wait;
use alloc::vec::Vec;
use core::mem::{offset_of, size_of};
use rump_abi::later::{self, ifa_msghdr};
use rump_abi::{self as abi, if_announcemsghdr, if_msghdr};
use smoltcp::wire::IpCidr;

/// How many messages wait to be read at most; a socket is told that there were more.
const MOST: usize = 256;

/// An interface at one time, as far as others are told.
pub(super) struct Before {
    number: usize,
    up: bool,
    link: bool,
    addresses: Vec<IpCidr>,
}

fn link(interface: &Interface) -> bool {
    interface.vif.as_ref().is_none_or(|vif| vif.link)
}

/// `RTM_IFANNOUNCE`.
fn announcement(interface: &Interface, number: usize, what: u16) -> Vec<u8> {
    let mut bytes = alloc::vec![0; size_of::<if_announcemsghdr>()];
    let index = number as u16 + 1;
    let name = interface.name.as_bytes();
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(
        offset_of!(if_announcemsghdr, ifan_index),
        &index.to_ne_bytes(),
    );
    put(offset_of!(if_announcemsghdr, ifan_name), name);
    put(
        offset_of!(if_announcemsghdr, ifan_what),
        &what.to_ne_bytes(),
    );
    begin(bytes, abi::RTM_IFANNOUNCE)
}

/// `RTM_IFINFO`.
fn state(interface: &Interface, number: usize) -> Vec<u8> {
    let mut bytes = alloc::vec![0; size_of::<if_msghdr>()];
    let index = number as u16 + 1;
    // There is room.
    let _ = interface.write_data(&mut bytes, offset_of!(if_msghdr, ifm_data));
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(offset_of!(if_msghdr, ifm_index), &index.to_ne_bytes());
    put(
        offset_of!(if_msghdr, ifm_flags),
        &interface.flags().to_ne_bytes(),
    );
    begin(bytes, abi::RTM_IFINFO)
}

/// `RTM_NEWADDR` or `RTM_DELADDR`.
fn of_address(interface: &Interface, number: usize, kind: u8, own: IpCidr) -> Vec<u8> {
    let mut bytes = alloc::vec![0; size_of::<ifa_msghdr>()];
    let addresses = [
        (abi::RTA_NETMASK, Some(sockaddr(mask(own)))),
        (abi::RTA_IFP, Some(interface.link_address(number + 1))),
        (abi::RTA_IFA, Some(sockaddr(own.address()))),
    ];
    let bits = append(&mut bytes, addresses);
    let index = number as u16 + 1;
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(offset_of!(ifa_msghdr, ifam_index), &index.to_ne_bytes());
    put(offset_of!(ifa_msghdr, ifam_addrs), &bits.to_ne_bytes());
    begin(bytes, kind)
}

impl Kernel {
    /// Has a routing socket read a message.
    pub(super) fn tell_one(&mut self, socket: usize, message: Vec<u8>) {
        let socket_of = &mut self.routing[socket];
        if socket_of.answers.len() < MOST {
            socket_of.answers.push_back(message);
        } else {
            socket_of.lost = true;
        }
        self.notify(Object::Routing(socket), wait::READ);
    }

    /// Has all of them read it.
    pub(super) fn tell_all(&mut self, message: &[u8]) {
        let sockets: Vec<usize> = self.routing.iter().map(|(socket, _)| socket).collect();
        for socket in sockets {
            self.tell_one(socket, message.into());
        }
    }

    /// An interface came.
    pub(super) fn tell_arrival(&mut self, number: usize) {
        let interface = &self.net.interfaces[number];
        self.tell_all(&announcement(interface, number, abi::IFAN_ARRIVAL));
    }

    /// An interface is about to go, and what it has with it.
    pub(super) fn tell_departure(&mut self, number: usize) {
        let interface = &self.net.interfaces[number];
        let addresses = interface.addresses.iter();
        let mut messages: Vec<Vec<u8>> = addresses
            .map(|own| of_address(interface, number, later::RTM_DELADDR, *own))
            .collect();
        messages.push(announcement(interface, number, abi::IFAN_DEPARTURE));
        for message in messages {
            self.tell_all(&message);
        }
    }

    /// What is known of an interface, to be compared with what becomes of it.
    pub(super) fn before(&self, number: usize) -> Option<Before> {
        let interface = self.net.interfaces.get(number)?;
        Some(Before {
            number,
            up: interface.up,
            link: link(interface),
            addresses: interface.addresses.clone(),
        })
    }

    /// Tells what has become of an interface.
    pub(super) fn tell_changes(&mut self, before: &Before) {
        let Some(interface) = self.net.interfaces.get(before.number) else {
            return;
        };
        let number = before.number;
        let mut messages = Vec::new();
        if (before.up, before.link) != (interface.up, link(interface)) {
            messages.push(state(interface, number));
        }
        let (old, new) = (&before.addresses, &interface.addresses);
        for own in old.iter().filter(|own| !new.contains(own)) {
            messages.push(of_address(interface, number, later::RTM_DELADDR, *own));
        }
        for own in new.iter().filter(|own| !old.contains(own)) {
            messages.push(of_address(interface, number, later::RTM_NEWADDR, *own));
        }
        for message in messages {
            self.tell_all(&message);
        }
    }

    /// Routes are gone without anybody's having asked for that.
    pub(super) fn tell_lost_routes(&mut self, lost: &[Told]) {
        for told in lost {
            let message = message(&self.net, abi::RTM_DELETE, told, &[]);
            self.tell_all(&message);
        }
    }
}
