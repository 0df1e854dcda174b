//! The routing table: what was set by programs. The nets of interfaces are not in it, they
//! come from the addresses.
//!
//! smoltcp has a table for each interface, of few entries and without routes straight onto
//! a link. So the next hop is looked up here, and smoltcp is told the one that it needs
//! before it sends ([`Interface::toward`](super::Interface::toward)).

use alloc::vec::Vec;
use rump_hyper::errno::Errno;
use smoltcp::wire::{IpAddress, IpCidr, IpVersion};

/// So many there are at most.
const MOST: usize = 1024;

/// Where packets go next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gateway {
    Router(IpAddress),
    /// To whom they are for, over the interface.
    Link,
}

/// A route that a program set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) net: IpCidr,
    pub(crate) gateway: Gateway,
    pub(crate) interface: usize,
}

/// The net that has this address alone.
pub(super) fn host(address: IpAddress) -> IpCidr {
    let length = match address.version() {
        IpVersion::Ipv4 => 32,
        IpVersion::Ipv6 => 128,
    };
    IpCidr::new(address, length)
}

#[derive(Debug, Default)]
pub(crate) struct Routes(Vec<Route>);

impl Routes {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    pub(crate) fn find(&mut self, net: IpCidr) -> Option<&mut Route> {
        self.0.iter_mut().find(|route| route.net == net)
    }

    /// # Errors
    /// `EEXIST` if there is one to this net; `ENOBUFS` if there are too many.
    pub(crate) fn add(&mut self, route: Route) -> Result<(), Errno> {
        if self.find(route.net).is_some() {
            return Err(Errno::EXIST);
        }
        if self.0.len() >= MOST {
            return Err(Errno::NOBUFS);
        }
        self.0.push(route);
        Ok(())
    }

    /// # Errors
    /// `ESRCH` if there is none to this net.
    pub(crate) fn remove(&mut self, net: IpCidr) -> Result<Route, Errno> {
        let place = self.0.iter().position(|route| route.net == net);
        Ok(self.0.swap_remove(place.ok_or(Errno::SRCH)?))
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Route) -> bool) {
        self.0.retain(keep);
    }

    /// The routes to an address.
    pub(crate) fn to(&self, address: IpAddress) -> impl Iterator<Item = &Route> {
        self.0
            .iter()
            .filter(move |route| route.net.contains_addr(&address))
    }

    /// Whom to give a packet for this address to, that leaves by this interface.
    pub(crate) fn hop(&self, interface: usize, to: IpAddress) -> Option<IpAddress> {
        if self.0.is_empty() {
            return None;
        }
        self.to(to)
            .filter(|route| route.interface == interface)
            .max_by_key(|route| route.net.prefix_len())
            .map(|route| match route.gateway {
                Gateway::Router(router) => router,
                Gateway::Link => to,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::wire::Ipv4Address;

    fn address(last: u8) -> IpAddress {
        IpAddress::Ipv4(Ipv4Address::new(10, 1, 0, last))
    }

    #[test]
    fn the_longest_prefix_is_taken() {
        let mut routes = Routes::default();
        for (length, router) in [(0, 1), (24, 2), (32, 3)] {
            let route = Route {
                net: IpCidr::new(address(7), length),
                gateway: Gateway::Router(address(router)),
                interface: 1,
            };
            routes.add(route).unwrap();
            assert_eq!(routes.add(route), Err(Errno::EXIST));
            assert_eq!(routes.hop(1, address(7)), Some(address(router)));
        }
        assert_eq!(routes.hop(1, address(8)), Some(address(2)));
        assert_eq!(routes.hop(2, address(8)), None);
        let net = IpCidr::new(address(7), 24);
        assert!(routes.remove(net).is_ok());
        assert_eq!(routes.remove(net), Err(Errno::SRCH));
        assert_eq!(routes.hop(1, address(8)), Some(address(1)));
    }
}
