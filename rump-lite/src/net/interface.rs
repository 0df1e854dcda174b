//! Network interfaces: each a device and the part of smoltcp that speaks IP over it.

use super::connection::Connection;
use super::device::{Frame, Queue};
use super::neighbors::Neighbors;
use super::pending::Pending;
use super::routes::{Routes, host};
use super::vif::Vif;
use alloc::string::String;
use alloc::vec::Vec;
use smoltcp::iface::{Config, PollResult, SocketSet};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, IpAddress, IpCidr, Ipv4Address, Ipv6Address,
};

/// How many addresses an interface has at most: smoltcp's `iface-max-addr-count`.
pub(crate) const ADDRESSES: usize = 8;

/// An interface. Its index, as programs know it, is its place in the list of interfaces
/// plus one.
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) device: Queue,
    ip: smoltcp::iface::Interface,
    pub(crate) addresses: Vec<IpCidr>,
    pub(crate) neighbors: Neighbors,
    pub(crate) up: bool,
    pub(crate) mtu: usize,
    /// The host's end; none of `lo0`.
    pub(crate) vif: Option<Vif>,
    /// Packets that wait for an address of the link's.
    pending: Pending,
    /// Without a socket: what is received with it is answered as if nobody listened.
    nobody: SocketSet<'static>,
    seed: u64,
}

impl Interface {
    /// `lo0`.
    pub(crate) fn loopback(now: Instant, seed: u64) -> Self {
        let mut device = Queue::loopback();
        let ip = speaker(HardwareAddress::Ip, &mut device, now, seed);
        let mut interface = Self::new("lo0".into(), device, ip, None, seed);
        interface.mtu = super::device::LOOPBACK_MTU;
        interface.up = true;
        interface.addresses = Vec::from([
            IpCidr::new(IpAddress::Ipv4(Ipv4Address::LOCALHOST), 8),
            IpCidr::new(IpAddress::Ipv6(Ipv6Address::LOCALHOST), 128),
        ]);
        interface.addresses_changed();
        // All of 127/8 is this host, and only what is for this host is sent here.
        interface.ip.set_any_ip(true);
        interface
    }

    /// One whose other end is in the host. It is down.
    pub(crate) fn ethernet(now: Instant, seed: u64, name: String, mtu: usize, vif: Vif) -> Self {
        let mut device = Queue::ethernet(mtu);
        let address = HardwareAddress::Ethernet(EthernetAddress(vif.address));
        let ip = speaker(address, &mut device, now, seed);
        let mut interface = Self::new(name, device, ip, Some(vif), seed);
        interface.mtu = mtu;
        interface
    }

    fn new(
        name: String,
        device: Queue,
        ip: smoltcp::iface::Interface,
        vif: Option<Vif>,
        seed: u64,
    ) -> Self {
        Self {
            name,
            device,
            ip,
            addresses: Vec::new(),
            neighbors: Neighbors::default(),
            up: false,
            mtu: 0,
            vif,
            pending: Pending::default(),
            nobody: SocketSet::new(Vec::new()),
            seed,
        }
    }

    /// Takes another MTU. What is known of neighbours is forgotten: smoltcp learns of a
    /// device once.
    pub(crate) fn set_mtu(&mut self, now: Instant, mtu: usize) {
        self.mtu = mtu;
        if let Some(vif) = &self.vif {
            let address = HardwareAddress::Ethernet(EthernetAddress(vif.address));
            self.device.set_mtu(mtu);
            self.ip = speaker(address, &mut self.device, now, self.seed);
            self.addresses_changed();
        }
    }

    /// Tells smoltcp, which then forgets its neighbours.
    pub(crate) fn addresses_changed(&mut self) {
        self.neighbors.clear();
        let own = &self.addresses;
        self.ip.update_ip_addrs(|addresses| {
            addresses.clear();
            for address in own {
                // There is room for so many.
                let _ = addresses.push(*address);
            }
        });
    }

    pub(crate) fn has_address(&self, address: IpAddress) -> bool {
        self.addresses.iter().any(|own| own.address() == address)
    }

    /// Whether an address is in a net of this interface's.
    pub(crate) fn is_on_link(&self, address: IpAddress) -> bool {
        let mut own = self.addresses.iter();
        self.vif.is_some() && own.any(|own| own.contains_addr(&address))
    }

    /// The own address for packets to one that may be in one of the nets.
    pub(crate) fn source_for(&self, near: IpAddress) -> Option<IpAddress> {
        let own = self.addresses.iter();
        own.filter(|own| own.address().version() == near.version())
            .max_by_key(|own| own.contains_addr(&near))
            .map(IpCidr::address)
    }

    /// Tells smoltcp whom packets to an address outside of the nets go to, before it sends
    /// one there.
    pub(crate) fn toward(&mut self, to: IpAddress, hop: Option<IpAddress>) {
        self.ip.routes_mut().update(|routes| {
            routes.clear();
            if let Some(hop) = hop {
                // There is room for one.
                let _ = routes.push(smoltcp::iface::Route {
                    cidr: host(to),
                    via_router: hop,
                    preferred_until: None,
                    expires_at: None,
                });
            }
        });
    }

    /// Whether an address means all hosts on this link.
    pub(crate) fn is_broadcast(&self, address: IpAddress) -> bool {
        let IpAddress::Ipv4(address) = address else {
            return false;
        };
        address == Ipv4Address::BROADCAST && self.vif.is_some()
            || self.addresses.iter().any(|own| match own {
                IpCidr::Ipv4(own) => own.broadcast() == Some(address),
                IpCidr::Ipv6(_) => false,
            })
    }

    /// What smoltcp's sockets need to begin with.
    pub(crate) fn context(&mut self) -> &mut smoltcp::iface::Context {
        self.ip.context()
    }

    /// Has smoltcp receive a packet, for a connection or for nobody.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        frame: Frame,
        connection: Option<&mut Connection>,
    ) {
        self.device.present(frame);
        let sockets = match connection {
            Some(connection) => connection.sockets(),
            None => &mut self.nobody,
        };
        self.ip.poll_ingress_single(now, &mut self.device, sockets);
        let frame = self.device.withdraw();
        self.device.recycle(frame);
    }

    /// Has smoltcp send what a connection has to send; whether there may be more.
    ///
    /// On `lo0` it is one at a time, so that each knows what was said to the one before. The
    /// window is told in units of some bytes, rounded down, and shrinks by that under segments
    /// which are on their way; smoltcp 0.14 then does not send again what was cut off them.
    pub(crate) fn transmit(&mut self, now: Instant, connection: &mut Connection) -> bool {
        let sockets = connection.sockets();
        loop {
            let result = self.ip.poll_egress(now, &mut self.device, sockets);
            if result != PollResult::SocketStateChanged || self.vif.is_none() {
                return result == PollResult::SocketStateChanged;
            }
        }
    }

    /// Sends an IP packet of that length, which `write` fills but for checksums. When to
    /// [`retry`](Self::retry), if it waits for its receiver to be found.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        routes: &Routes,
        number: usize,
        length: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Option<Instant> {
        if self.vif.is_none() {
            self.device.send(length, write);
            return None;
        }
        let mut packet = alloc::vec![0; length];
        write(&mut packet);
        let to = super::packet::complete(&mut packet)?;
        self.pending.push(now, packet, to, routes.hop(number, to));
        self.retry(now)
    }

    /// Sends what waited, if it can be sent now; when to try again.
    pub(crate) fn retry(&mut self, now: Instant) -> Option<Instant> {
        let mut pending = core::mem::take(&mut self.pending);
        let later = pending.retry(now, self);
        self.pending = pending;
        later
    }

    /// Has smoltcp send what sockets of a set have to send, once each.
    pub(super) fn send_waiting(&mut self, now: Instant, sockets: &mut SocketSet<'static>) {
        self.ip.poll_egress(now, &mut self.device, sockets);
    }

    /// When those sockets have something to do again.
    pub(super) fn waiting_at(
        &mut self,
        now: Instant,
        sockets: &SocketSet<'static>,
    ) -> Option<Instant> {
        self.ip.poll_at(now, sockets)
    }

    /// When a connection has something to do again, if nothing arrives before.
    pub(crate) fn poll_at(&mut self, now: Instant, connection: &mut Connection) -> Option<Instant> {
        self.ip.poll_at(now, connection.sockets())
    }
}

fn speaker(
    address: HardwareAddress,
    device: &mut Queue,
    now: Instant,
    seed: u64,
) -> smoltcp::iface::Interface {
    let mut config = Config::new(address);
    config.random_seed = seed;
    smoltcp::iface::Interface::new(config, device, now)
}
