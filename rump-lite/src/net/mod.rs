//! The network: interfaces, and which packet is whose.
//!
//! TCP is smoltcp's. For UDP and ICMP errors its packet formats are used, and the rest,
//! which is little, is here. A packet that is received is looked at once, to find who it
//! is for by a hash of its addresses; only then is smoltcp given it, together with the
//! one connection that is concerned.
//!
//! There are the loopback interface and those whose other end is in the host (`vif`).
//! Packets to any address of this kernel's go over the former.

mod announce;
pub(crate) mod claims;
pub(crate) mod configure;
pub(crate) mod connection;
pub(crate) mod device;
mod events;
pub(crate) mod interface;
pub(crate) mod memory;
mod neighbors;
pub(crate) mod packet;
mod pending;
pub(crate) mod ports;
mod route;
pub(crate) mod routes;
pub(crate) mod routing;
mod sockaddr;
pub(crate) mod time_wait;
pub(crate) mod timers;
mod udp;
pub(crate) mod vif;

use crate::hypercall;
use crate::kernel::Kernel;
use crate::slab::Slab;
use crate::socket::{Protocol, Tcp};
use alloc::collections::VecDeque;
#[cfg(test)]
use alloc::vec::Vec;
use connection::{Cause, Connection};
use device::Frame;
use hashbrown::HashMap;
use interface::Interface;
use memory::Pool;
use packet::Packet;
use ports::Ports;
use routes::Routes;
use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Address, Ipv6Address};
use time_wait::TimeWait;
use timers::Timers;

/// The loopback interface's place in the list.
pub(crate) const LOOPBACK: usize = 0;

/// The two ends of a connection, as one of them sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub(crate) local: IpEndpoint,
    pub(crate) remote: IpEndpoint,
}

/// The network's state.
pub(crate) struct Stack {
    pub(crate) interfaces: Slab<Interface>,
    pub(crate) connections: Slab<Connection>,
    by_tuple: HashMap<Tuple, usize>,
    pub(crate) tcp_ports: Ports,
    pub(crate) udp_ports: Ports,
    time_wait: TimeWait,
    /// Connections over `lo0` that have more to send when what they sent has been received.
    senders: VecDeque<usize>,
    pub(crate) timers: Timers,
    pub(crate) routes: Routes,
    memory: Pool,
    /// Whether an interface may have frames for the host.
    pub(crate) outgoing: bool,
    /// The time as of the call that is under way.
    now: Instant,
    /// Copies of the packets that are received, while a test wants them.
    #[cfg(test)]
    pub(crate) record: Option<Vec<Vec<u8>>>,
    /// How many of the next packets get lost.
    #[cfg(test)]
    pub(crate) lose: usize,
}

impl Stack {
    pub(crate) fn new(now: Instant, memory_limit: Option<usize>) -> Self {
        let mut interfaces = Slab::default();
        // The first number is LOOPBACK.
        interfaces.insert(Interface::loopback(now, hypercall::random()));
        Self {
            interfaces,
            connections: Slab::default(),
            by_tuple: HashMap::new(),
            tcp_ports: Ports::new(hypercall::random()),
            udp_ports: Ports::new(hypercall::random()),
            time_wait: TimeWait::default(),
            senders: VecDeque::new(),
            timers: Timers::new(),
            routes: Routes::default(),
            memory: Pool::new(memory_limit),
            outgoing: false,
            now,
            #[cfg(test)]
            record: None,
            #[cfg(test)]
            lose: 0,
        }
    }

    /// What an interface sends is taken to the host before the kernel is left.
    pub(crate) fn note_outgoing(&mut self, interface: usize) {
        self.outgoing |= interface != LOOPBACK;
    }

    /// smoltcp may answer this packet at once.
    fn answer_by(&mut self, interface: usize, frame: &Frame) {
        if interface != LOOPBACK
            && let Some(from) = packet::sender(frame.bytes())
        {
            let hop = self.routes.hop(interface, from);
            self.interfaces[interface].toward(from, hop);
        }
    }

    /// Reads the clock. Every call that has to do with the network begins with it.
    pub(crate) fn read_clock(&mut self) -> Instant {
        self.now = hypercall::now();
        self.now
    }

    /// A local port with which a connection, made from it by `tuple`, does not exist yet.
    pub(crate) fn choose_port(
        &mut self,
        range: ports::Range,
        tuple: impl Fn(u16) -> Tuple,
    ) -> Option<u16> {
        let by_tuple = &self.by_tuple;
        self.tcp_ports
            .choose(range, |_, port| !by_tuple.contains_key(&tuple(port)))
    }

    /// Whether a connection of these addresses exists.
    pub(crate) fn is_connected(&self, tuple: &Tuple) -> bool {
        self.by_tuple.contains_key(tuple)
    }
}

/// Whether an address is one of `lo0`.
fn is_loopback(address: IpAddress) -> bool {
    match address {
        IpAddress::Ipv4(address) => address.is_loopback() && !is_broadcast_v4(address),
        IpAddress::Ipv6(address) => address.is_loopback(),
    }
}

fn is_broadcast_v4(address: Ipv4Address) -> bool {
    // That of lo0; what it is sent to comes back.
    address == Ipv4Address::new(127, 255, 255, 255)
}

/// Whether an address means all hosts on `lo0`.
fn is_loopback_broadcast(address: IpAddress) -> bool {
    matches!(address, IpAddress::Ipv4(address) if is_broadcast_v4(address))
}

/// The address of `lo0` of the same family.
pub(crate) fn localhost(address: IpAddress) -> IpAddress {
    match address {
        IpAddress::Ipv4(_) => IpAddress::Ipv4(Ipv4Address::LOCALHOST),
        IpAddress::Ipv6(_) => IpAddress::Ipv6(Ipv6Address::LOCALHOST),
    }
}

impl Kernel {
    /// Receives what has been sent, and what is sent in answer, until nothing is left.
    pub(crate) fn run_network(&mut self) {
        loop {
            if let Some(frame) = self.net.interfaces[LOOPBACK].device.next() {
                self.receive(LOOPBACK, frame);
            } else if let Some(id) = self.net.senders.pop_front() {
                if let Some(connection) = self.net.connections.get_mut(id) {
                    connection.note_turn();
                    self.pump(id, Cause::Timer);
                }
            } else {
                return;
            }
        }
    }

    /// Sends an IP packet of that length, which `write` fills but for checksums.
    fn send_packet(&mut self, interface: usize, length: usize, write: impl FnOnce(&mut [u8])) {
        let net = &mut self.net;
        let later = net.interfaces[interface].send(net.now, &net.routes, interface, length, write);
        net.timers.set_interfaces(later);
        net.note_outgoing(interface);
    }

    /// Receives a packet.
    pub(crate) fn receive(&mut self, interface: usize, frame: Frame) {
        #[cfg(test)]
        if self.net.lose > 0 {
            self.net.lose -= 1;
            return;
        }
        #[cfg(test)]
        if let Some(record) = &mut self.net.record {
            record.push(frame.bytes().into());
        }
        self.net.answer_by(interface, &frame);
        match Packet::parse(frame.bytes()) {
            Some(Packet::Tcp { tuple, syn }) => self.receive_tcp(interface, frame, &tuple, syn),
            Some(Packet::Udp(datagram)) => {
                self.receive_udp(interface, frame.bytes(), &datagram);
                self.net.interfaces[interface].device.recycle(frame);
            }
            Some(Packet::Refused(tuple)) => {
                self.refuse_udp(&tuple);
                self.net.interfaces[interface].device.recycle(frame);
            }
            Some(Packet::Other) => {
                let now = self.net.now;
                self.net.interfaces[interface].receive(now, frame, None);
                self.net.note_outgoing(interface);
            }
            None => self.net.interfaces[interface].device.recycle(frame),
        }
    }

    fn receive_tcp(&mut self, interface: usize, frame: Frame, tuple: &Tuple, syn: bool) {
        let now = self.net.now;
        let mut id = self.net.by_tuple.get(tuple).copied();
        if id.is_none() && syn {
            match self.listener_for(tuple.local) {
                None => {}
                Some(listener) => {
                    id = self.listen_for(*tuple, interface, listener);
                    // Too many: it will be sent again.
                    if id.is_none() {
                        self.net.interfaces[interface].device.recycle(frame);
                        return;
                    }
                }
            }
        }
        let Some(id) = id else {
            if self.net.time_wait.contains(tuple) {
                self.acknowledge_again(interface, &frame);
                self.net.interfaces[interface].device.recycle(frame);
            } else {
                // smoltcp resets it.
                self.net.interfaces[interface].receive(now, frame, None);
                self.net.note_outgoing(interface);
            }
            return;
        };
        self.net.interfaces[interface].receive(now, frame, Some(&mut self.net.connections[id]));
        self.pump(id, Cause::Segment);
    }

    /// The listener that connections to an address are for.
    fn listener_for(&self, address: IpEndpoint) -> Option<usize> {
        let listens = |socket: usize| {
            matches!(
                self.sockets[socket].protocol,
                Protocol::Tcp(Tcp::Listening(_))
            )
        };
        let bound = self.net.tcp_ports.bound_to(address.port).iter();
        bound
            .filter(|bound| listens(bound.socket))
            .map(|bound| (bound.place.fit(address.addr), bound.socket))
            .filter(|(fit, _)| *fit > 0)
            .max()
            .map(|(_, socket)| socket)
    }

    /// Answers a `FIN` that was sent again in `TIME_WAIT`.
    fn acknowledge_again(&mut self, interface: usize, frame: &Frame) {
        if let Some((length, write)) = packet::acknowledgement(frame.bytes()) {
            self.send_packet(interface, length, write);
        }
    }
}
