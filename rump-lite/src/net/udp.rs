//! UDP: sending datagrams, and finding the sockets that they are for.

use super::{Tuple, packet};
use crate::file::Object;
use crate::kernel::Kernel;
use crate::socket::{Datagram, Protocol};
use crate::user::Reader;
use crate::wait;
use alloc::vec::Vec;
use rump_hyper::errno::Errno;
use smoltcp::wire::IpEndpoint;

impl Kernel {
    /// Sends a datagram through an interface.
    pub(crate) fn send_datagram(
        &mut self,
        interface: usize,
        tuple: &Tuple,
        hops: u8,
        data: &mut Reader<'_>,
    ) -> usize {
        let length = data.left();
        let fill = |mut room: &mut [u8]| {
            data.take(length, |part| {
                let (here, rest) = core::mem::take(&mut room).split_at_mut(part.len());
                here.copy_from_slice(part);
                room = rest;
            });
        };
        let (size, write) = packet::datagram(tuple.local, tuple.remote, hops, length, fill);
        self.send_packet(interface, size, write);
        self.run_network();
        length
    }

    /// A datagram has come.
    pub(super) fn receive_udp(
        &mut self,
        interface: usize,
        frame: &[u8],
        datagram: &packet::Datagram,
    ) {
        let (from, to) = (datagram.from, datagram.to);
        let data = &frame[datagram.data.clone()];
        if to.addr.is_multicast() || self.net.is_broadcast(to.addr) {
            for socket in self.members(from, to) {
                self.deliver(socket, from, data);
            }
            return;
        }
        match self.receiver_of(from, to) {
            Some(socket) => self.deliver(socket, from, data),
            None => {
                if let Some((length, write)) = packet::port_unreachable(frame) {
                    self.send_packet(interface, length, write);
                }
            }
        }
    }

    /// Puts a datagram into a socket's queue, if there is room.
    fn deliver(&mut self, socket: usize, from: IpEndpoint, data: &[u8]) {
        let entry = &mut self.sockets[socket];
        let room = entry.options.receive_buffer;
        if let Protocol::Udp(udp) = &mut entry.protocol
            && !entry.shut_read
            && udp.queued + data.len() <= room
        {
            udp.queued += data.len();
            udp.queue.push_back(Datagram {
                from,
                data: data.into(),
            });
            self.notify(Object::Socket(socket), wait::READ);
        }
    }

    /// How well a datagram fits a socket; a peer says more than an address.
    fn fit(&self, socket: usize, place_fit: u8, from: IpEndpoint) -> u8 {
        match &self.sockets[socket].protocol {
            Protocol::Udp(udp) if place_fit > 0 => match udp.peer {
                None => place_fit,
                Some(peer) if peer == from => place_fit + 4,
                Some(_) => 0,
            },
            _ => 0,
        }
    }

    fn receiver_of(&self, from: IpEndpoint, to: IpEndpoint) -> Option<usize> {
        let bound = self.net.udp_ports.bound_to(to.port).iter();
        bound
            .map(|bound| {
                (
                    self.fit(bound.socket, bound.place.fit(to.addr), from),
                    bound.socket,
                )
            })
            .filter(|(fit, _)| *fit > 0)
            .max()
            .map(|(_, socket)| socket)
    }

    /// The sockets that a datagram to a group, or to all hosts, is for.
    fn members(&self, from: IpEndpoint, to: IpEndpoint) -> Vec<usize> {
        let member = |socket: usize| match &self.sockets[socket].protocol {
            Protocol::Udp(udp) => !to.addr.is_multicast() || udp.groups.contains(&to.addr),
            Protocol::Tcp(_) => false,
        };
        let bound = self.net.udp_ports.bound_to(to.port).iter();
        bound
            .filter(|bound| self.fit(bound.socket, bound.place.fit(to.addr), from) > 0)
            .map(|bound| bound.socket)
            .filter(|socket| member(*socket))
            .collect()
    }

    /// A datagram met no socket. Only a socket that is connected to that address is told.
    pub(super) fn refuse_udp(&mut self, tuple: &Tuple) {
        let bound = self.net.udp_ports.bound_to(tuple.local.port).iter();
        let told: Vec<usize> = bound
            .filter(|bound| bound.place.fit(tuple.local.addr) > 0)
            .map(|bound| bound.socket)
            .filter(|socket| {
                matches!(&self.sockets[*socket].protocol, Protocol::Udp(udp) if udp.peer == Some(tuple.remote))
            })
            .collect();
        for socket in told {
            self.sockets[socket].error = Some(Errno::CONNREFUSED);
            self.notify(Object::Socket(socket), wait::ANY);
        }
    }
}
