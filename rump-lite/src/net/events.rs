//! What happens to connections without a segment of theirs: time passes, a neighbour
//! answers, an interface goes.

use super::connection::Cause;
use crate::kernel::Kernel;
use alloc::vec::Vec;
use smoltcp::time::Instant;

impl Kernel {
    /// Sends packets that wait for an address of a link's, where that is known now.
    pub(super) fn retry_packets(&mut self) {
        let net = &mut self.net;
        for (_, interface) in net.interfaces.iter_mut() {
            let later = interface.retry(net.now);
            net.timers.set_interfaces(later);
            net.outgoing |= interface.vif.is_some();
        }
    }

    fn connections_of(&self, interface: usize) -> Vec<usize> {
        let all = self.net.connections.iter();
        all.filter(|(_, connection)| connection.interface == interface)
            .map(|(id, _)| id)
            .collect()
    }

    /// An address of a link's may be known now: whoever waited for it goes on.
    pub(super) fn neighbors_changed(&mut self, interface: usize) {
        self.retry_packets();
        for id in self.connections_of(interface) {
            self.pump(id, Cause::Timer);
        }
    }

    /// An interface goes: so do its connections.
    pub(super) fn abandon_connections(&mut self, interface: usize) {
        for id in self.connections_of(interface) {
            self.net.connections[id].tcp_mut().abort();
            self.pump(id, Cause::Timer);
            // A program may keep its socket; it has no use for an interface any more.
            if let Some(connection) = self.net.connections.get_mut(id) {
                connection.interface = super::LOOPBACK;
            }
        }
    }

    /// Does what the passing of time demands.
    pub(crate) fn run_timers(&mut self, now: Instant) {
        self.net.now = now;
        while let Some(id) = self.net.timers.take_due(now) {
            if id == super::timers::INTERFACES {
                self.retry_packets();
                continue;
            }
            let Some(connection) = self.net.connections.get_mut(id) else {
                continue;
            };
            connection.note_due(now);
            self.pump(id, Cause::Timer);
        }
        self.run_network();
    }
}
