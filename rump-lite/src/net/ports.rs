//! Ports of one protocol: who is bound to which, and which one is next.

use alloc::vec::Vec;
use core::ffi::c_int;
use core::ops::RangeInclusive;
use hashbrown::HashMap;
use smoltcp::wire::IpAddress;

/// Ports that are handed out (`net.inet.ip.anonportmin`, `anonportmax`), the last one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: c_int,
    pub(crate) last: c_int,
}

impl Default for Range {
    fn default() -> Self {
        Self {
            first: 49_152,
            last: u16::MAX.into(),
        }
    }
}

impl Range {
    /// What either end may be set to: as in NetBSD, no reserved ports, and two at least.
    pub(crate) fn firsts(&self) -> RangeInclusive<c_int> {
        1024..=self.last - 1
    }

    /// The same.
    pub(crate) fn lasts(&self) -> RangeInclusive<c_int> {
        self.first + 1..=u16::MAX.into()
    }
}

/// Where a socket takes packets from: an address, or any of one family or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    At(IpAddress),
    AnyV4,
    AnyV6,
    AnyOfBoth,
}

impl Place {
    fn takes(self, address: IpAddress) -> bool {
        match self {
            Self::At(own) => own == address,
            Self::AnyV4 => matches!(address, IpAddress::Ipv4(_)),
            Self::AnyV6 => matches!(address, IpAddress::Ipv6(_)),
            Self::AnyOfBoth => true,
        }
    }

    /// How well an address fits; 0 for not at all.
    pub(crate) fn fit(self, address: IpAddress) -> u8 {
        match self {
            _ if !self.takes(address) => 0,
            Self::At(_) => 3,
            Self::AnyOfBoth => 1,
            Self::AnyV4 | Self::AnyV6 => 2,
        }
    }

    /// Whether there is an address that both take.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::At(address), place) | (place, Self::At(address)) => place.takes(address),
            (Self::AnyV4, Self::AnyV6) | (Self::AnyV6, Self::AnyV4) => false,
            _ => true,
        }
    }
}

/// How far a socket shares its port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sharing {
    /// `SO_REUSEADDR`.
    pub(crate) address: bool,
    /// `SO_REUSEPORT`.
    pub(crate) port: bool,
}

/// A socket that is bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) socket: usize,
    pub(crate) place: Place,
    pub(crate) sharing: Sharing,
}

impl Bound {
    /// BSD's rules: with `SO_REUSEADDR` only the same place is taken, and the more
    /// specific one gets the packets; with `SO_REUSEPORT` on both sides even that is
    /// shared, as it is between members of a group with `SO_REUSEADDR`.
    fn forbids(&self, place: Place, sharing: Sharing) -> bool {
        let group = matches!(place, Place::At(address) if address.is_multicast());
        if self.sharing.port && sharing.port || group && self.sharing.address && sharing.address {
            return false;
        }
        if sharing.address || sharing.port {
            self.place == place
        } else {
            self.place.overlaps(place)
        }
    }
}

/// The ports of a protocol.
#[derive(Debug)]
pub(crate) struct Ports {
    bound: HashMap<u16, Vec<Bound>>,
    /// Connections by local port.
    connections: HashMap<u16, usize>,
    /// The one that was handed out last; at first some number.
    last: c_int,
}

impl Ports {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            bound: HashMap::new(),
            connections: HashMap::new(),
            last: seed as c_int & c_int::MAX,
        }
    }

    /// The sockets bound to a port.
    pub(crate) fn bound_to(&self, port: u16) -> &[Bound] {
        self.bound.get(&port).map_or(&[], Vec::as_slice)
    }

    /// Whether a socket may be bound there.
    pub(crate) fn is_free(&self, port: u16, place: Place, sharing: Sharing) -> bool {
        let bound = self
            .bound_to(port)
            .iter()
            .any(|bound| bound.forbids(place, sharing));
        let connected = !sharing.address && !sharing.port && self.connections.contains_key(&port);
        !bound && !connected
    }

    pub(crate) fn bind(&mut self, port: u16, bound: Bound) {
        self.bound.entry(port).or_default().push(bound);
    }

    pub(crate) fn unbind(&mut self, port: u16, socket: usize) {
        if let Some(bound) = self.bound.get_mut(&port) {
            bound.retain(|bound| bound.socket != socket);
            if bound.is_empty() {
                self.bound.remove(&port);
            }
        }
    }

    /// All sockets that are bound, by port.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u16, Place)> {
        let bound = self.bound.iter();
        bound.flat_map(|(port, bound)| bound.iter().map(|bound| (*port, bound.place)))
    }

    /// A port of the range that nobody is bound to and that `fits`.
    pub(crate) fn choose(
        &mut self,
        range: Range,
        fits: impl Fn(&Self, u16) -> bool,
    ) -> Option<u16> {
        let count = range.last - range.first + 1;
        for _ in 0..count {
            // In turn, also where the range was another one before.
            self.last = range.first + (self.last - range.first + 1).rem_euclid(count);
            let port = u16::try_from(self.last).ok()?;
            if !self.bound.contains_key(&port) && fits(self, port) {
                return Some(port);
            }
        }
        None
    }

    pub(crate) fn has_connections(&self, port: u16) -> bool {
        self.connections.contains_key(&port)
    }

    pub(crate) fn connection_begins(&mut self, port: u16) {
        *self.connections.entry(port).or_default() += 1;
    }

    pub(crate) fn connection_ends(&mut self, port: u16) {
        if let Some(count) = self.connections.get_mut(&port) {
            *count -= 1;
            if *count == 0 {
                self.connections.remove(&port);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::wire::{Ipv4Address, Ipv6Address};

    const HOME: Place = Place::At(IpAddress::Ipv4(Ipv4Address::LOCALHOST));
    const HOME6: Place = Place::At(IpAddress::Ipv6(Ipv6Address::LOCALHOST));
    const ALONE: Sharing = Sharing {
        address: false,
        port: false,
    };
    const ADDRESS: Sharing = Sharing {
        address: true,
        port: false,
    };
    const PORT: Sharing = Sharing {
        address: false,
        port: true,
    };

    fn free(first: (Place, Sharing), second: (Place, Sharing)) -> bool {
        let mut ports = Ports::new(0);
        ports.bind(
            80,
            Bound {
                socket: 1,
                place: first.0,
                sharing: first.1,
            },
        );
        ports.is_free(80, second.0, second.1)
    }

    #[test]
    fn a_place_is_taken_once() {
        for sharing in [ALONE, ADDRESS] {
            for place in [HOME, HOME6, Place::AnyV4, Place::AnyOfBoth] {
                assert!(
                    !free((place, sharing), (place, sharing)),
                    "{place:?} {sharing:?}"
                );
            }
        }
        assert!(free((HOME, PORT), (HOME, PORT)) && !free((HOME, PORT), (HOME, ALONE)));
        assert!(free((HOME, ALONE), (HOME6, ALONE)));
        assert!(!free((HOME, ALONE), (Place::AnyV4, ALONE)));
        assert!(!free((Place::AnyOfBoth, ALONE), (HOME, ALONE)));
        assert!(free((Place::AnyV6, ALONE), (HOME, ALONE)));
        assert!(free((HOME, ADDRESS), (Place::AnyV4, ADDRESS)));
        assert!(free((Place::AnyV4, ADDRESS), (Place::AnyOfBoth, ADDRESS)));
        let group = Place::At(IpAddress::Ipv4(Ipv4Address::new(239, 1, 2, 3)));
        assert!(
            free((group, ADDRESS), (group, ADDRESS)) && !free((group, ALONE), (group, ADDRESS))
        );
    }

    #[test]
    fn the_most_specific_fits_best() {
        let address = IpAddress::Ipv4(Ipv4Address::LOCALHOST);
        let fits =
            [Place::AnyV6, Place::AnyOfBoth, Place::AnyV4, HOME].map(|place| place.fit(address));
        assert_eq!(fits, [0, 1, 2, 3]);
    }

    #[test]
    fn chosen_ports_are_in_range_and_free() {
        let mut ports = Ports::new(u64::MAX);
        let mut seen = Vec::new();
        for _ in 0..100 {
            let port = ports.choose(Range::default(), |_, _| true).unwrap();
            assert!(port >= 49_152 && !seen.contains(&port));
            ports.bind(
                port,
                Bound {
                    socket: 0,
                    place: HOME,
                    sharing: ALONE,
                },
            );
            seen.push(port);
        }
        assert_eq!(ports.choose(Range::default(), |_, _| false), None);
    }

    #[test]
    fn all_of_a_range_is_handed_out_and_nothing_else() {
        for seed in [0, 1, 50_000, u64::MAX] {
            let mut ports = Ports::new(seed);
            for (first, last) in [(2000, 2001), (65_000, 65_535), (1024, 1100)] {
                let range = Range { first, last };
                let mut seen: Vec<c_int> = (first..=last)
                    .map(|_| ports.choose(range, |_, _| true).unwrap().into())
                    .collect();
                seen.sort_unstable();
                assert!(seen.into_iter().eq(first..=last));
            }
        }
    }

    #[test]
    fn connections_hold_their_port() {
        let mut ports = Ports::new(0);
        ports.connection_begins(80);
        assert!(!ports.is_free(80, HOME, ALONE) && ports.is_free(80, HOME, ADDRESS));
        ports.connection_ends(80);
        assert!(ports.is_free(80, HOME, ALONE) && !ports.has_connections(80));
    }
}
