//! Which interface leads to an address, and from which address packets to it come.

use super::routes::Gateway;
use super::{LOOPBACK, Stack, is_loopback, is_loopback_broadcast, localhost};
use smoltcp::wire::{IpAddress, IpCidr};

/// The way to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) interface: usize,
    /// The address of this end.
    pub(crate) source: IpAddress,
}

impl Stack {
    /// Whether packets to an address stay in this kernel.
    pub(crate) fn is_own(&self, address: IpAddress) -> bool {
        is_loopback(address)
            || self
                .interfaces
                .iter()
                .any(|(_, interface)| interface.has_address(address))
    }

    /// Whether an address means all hosts of a link.
    pub(crate) fn is_broadcast(&self, address: IpAddress) -> bool {
        is_loopback_broadcast(address)
            || self
                .interfaces
                .iter()
                .any(|(_, interface)| interface.is_broadcast(address))
    }

    /// The way to an address, unless there is none.
    pub(crate) fn way_to(&self, address: IpAddress) -> Option<Way> {
        let way = |interface, source| Way { interface, source };
        if is_loopback(address) || is_loopback_broadcast(address) {
            return Some(way(LOOPBACK, localhost(address)));
        }
        if self.is_own(address) {
            return Some(way(LOOPBACK, address));
        }
        let matching = |own: &IpCidr, interface: &super::Interface| {
            let limited =
                interface.is_broadcast(address) && own.address().version() == address.version();
            if own.contains_addr(&address) || limited {
                Some(own.prefix_len())
            } else {
                None
            }
        };
        let links = self
            .interfaces
            .iter()
            .filter(|(_, link)| link.vif.is_some() && link.up);
        let best = links
            .flat_map(|(number, link)| {
                link.addresses
                    .iter()
                    .filter_map(move |own| Some((matching(own, link)?, way(number, own.address()))))
            })
            .max_by_key(|(length, _)| *length);
        let best = match (best, self.set_way_to(address)) {
            (Some((length, _)), Some((set, way))) if set > length => Some(way),
            (Some((_, way)), _) => Some(way),
            (None, set) => set.map(|(_, way)| way),
        };
        // A group's members may be here.
        best.or_else(|| {
            address
                .is_multicast()
                .then(|| way(LOOPBACK, localhost(address)))
        })
    }

    /// The best way that was set, and how much of the address it is for.
    fn set_way_to(&self, address: IpAddress) -> Option<(u8, Way)> {
        if !address.is_unicast() {
            return None;
        }
        let routes = self.routes.to(address);
        let usable = routes.filter_map(|route| {
            let link = self.interfaces.get(route.interface)?;
            let near = match route.gateway {
                Gateway::Router(router) => router,
                Gateway::Link => address,
            };
            let source = link.source_for(near).filter(|_| link.up)?;
            let interface = route.interface;
            Some((route.net.prefix_len(), Way { interface, source }))
        });
        usable.max_by_key(|(length, _)| *length)
    }

    /// The interface on whose net an address is.
    pub(crate) fn link_of(&self, address: IpAddress) -> Option<usize> {
        let mut links = self.interfaces.iter();
        links
            .find(|(_, link)| link.is_on_link(address))
            .map(|(number, _)| number)
    }

    /// The interface that sends from one address to another.
    pub(crate) fn interface_for(&self, source: IpAddress, to: IpAddress) -> Option<usize> {
        if to.is_multicast() && !is_loopback(source) {
            let mut links = self.interfaces.iter();
            return links
                .find(|(_, link)| link.up && link.has_address(source))
                .map(|(number, _)| number);
        }
        self.way_to(to).map(|way| way.interface)
    }
}
