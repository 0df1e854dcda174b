//! Network interfaces: each a device and the part of smoltcp that speaks IP over it.

use super::connection::Connection;
use super::loopback::{Frame, Loopback};
use smoltcp::iface::{Config, PollResult, SocketSet};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, Ipv4Address, Ipv6Address};

/// An interface. Its index, as programs know it, is its place in the list of interfaces
/// plus one.
pub(crate) struct Interface {
    pub(crate) device: Loopback,
    ip: smoltcp::iface::Interface,
    /// Without a socket: what is received with it is answered as if nobody listened.
    nobody: SocketSet<'static>,
}

impl Interface {
    /// `lo0`.
    pub(crate) fn loopback(now: Instant, seed: u64) -> Self {
        let mut device = Loopback::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut ip = smoltcp::iface::Interface::new(config, &mut device, now);
        ip.update_ip_addrs(|addresses| {
            for (address, prefix) in [
                (IpAddress::Ipv4(Ipv4Address::LOCALHOST), 8),
                (IpAddress::Ipv6(Ipv6Address::LOCALHOST), 128),
            ] {
                // There is room for more than these.
                let _ = addresses.push(IpCidr::new(address, prefix));
            }
        });
        // All of 127/8 is this host, and only what is for this host is sent here.
        ip.set_any_ip(true);
        Self {
            device,
            ip,
            nobody: SocketSet::new(alloc::vec::Vec::new()),
        }
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

    /// Has smoltcp send what a connection has to send.
    pub(crate) fn transmit(&mut self, now: Instant, connection: &mut Connection) {
        let sockets = connection.sockets();
        while self.ip.poll_egress(now, &mut self.device, sockets) == PollResult::SocketStateChanged
        {
        }
    }

    /// When a connection has something to do again, if nothing arrives before.
    pub(crate) fn poll_at(&mut self, now: Instant, connection: &mut Connection) -> Option<Instant> {
        self.ip.poll_at(now, connection.sockets())
    }
}
