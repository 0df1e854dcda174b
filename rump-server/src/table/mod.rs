//! Who is there, and what is whose.
//!
//! A *host* is what the world sees as one machine: an Ethernet address and its IP addresses,
//! on one NIC. One or several *applications* are of a host and split its ports: a port is an
//! application's by a *claim*, or by a *lease* of a range of ephemeral ones.
//!
//! | module | is |
//! |---|---|
//! | `host` | a host, and who owns its ports |
//! | `members` | applications come, go, come back, claim |
//! | `arrive` | what comes from the wire: for whom it is |
//! | `depart` | what an application sends: whether it may, and where it goes |
//! | `fragments`, `limit`, `counters` | as they are called |
//! | `under_way` | what the table of another worker has to know of packets under way |
//!
//! The table is read for every frame and written only when somebody comes, goes or claims: it
//! stands behind a readers-writer lock, taken once for a batch. What frames themselves change
//! (fragments, echoes, counters) has locks of its own, which most frames never take.

pub mod arrive;
pub mod counters;
pub mod depart;
mod fragments;
#[cfg(test)]
mod fuzz;
pub mod host;
pub mod limit;
pub mod members;
#[cfg(test)]
mod tests;
pub mod under_way;

pub use counters::{Counters, Reason};
pub use depart::Departure;
pub use host::{Claim, Host, HostId, Right};
pub use members::{Application, Candidate, Refusal, Slot};
pub use under_way::{Parts, UnderWay};

use crate::wire::Mac;
use hashbrown::HashMap;
use std::time::Instant;

/// A NIC, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nic(pub usize);

/// Hosts and applications. `E` is what an application is reached by while it is there.
#[derive(Debug)]
pub struct Table<E> {
    hosts: Vec<Host>,
    by_mac: HashMap<(Nic, Mac), HostId>,
    applications: HashMap<Slot, Application<E>>,
    next: u64,
    /// Until then there may be others whose ports are not known yet.
    settles: Option<Instant>,
}

/// Who is to have a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// One application.
    One(Slot),
    /// All of a host.
    Host(HostId),
    /// Nobody yet: it may be for one who has not come back.
    Nobody,
    /// All on a NIC.
    Nic(Nic),
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// To these,
    pub to: Targets,
    /// but not to the one who sent it,
    pub but: Option<Slot>,
    /// and not to these.
    pub but_host: Option<HostId>,
}

impl From<Targets> for Delivery {
    fn from(to: Targets) -> Self {
        Self {
            to,
            but: None,
            but_host: None,
        }
    }
}

impl<E> Table<E> {
    /// With these hosts, and nobody there.
    pub fn new(hosts: Vec<Host>) -> Self {
        let by_mac = hosts.iter().enumerate();
        Self {
            by_mac: by_mac
                .map(|(at, host)| ((host.nic, host.mac), HostId(at)))
                .collect(),
            hosts,
            applications: HashMap::new(),
            next: 1,
            settles: None,
        }
    }

    /// Applications of an earlier server, of whom nothing is known, may come back until then, and
    /// have connections and ports. For a port of nobody's nobody answers meanwhile.
    pub fn settles_at(&mut self, time: Instant) {
        self.settles = Some(time);
    }

    fn is_settled(&self, now: Instant) -> bool {
        self.settles.is_none_or(|settles| settles <= now)
    }

    /// The hosts.
    pub fn hosts(&self) -> impl Iterator<Item = (HostId, &Host)> {
        self.hosts
            .iter()
            .enumerate()
            .map(|(at, host)| (HostId(at), host))
    }

    /// A host.
    ///
    /// # Panics
    /// If it is another table's.
    pub fn host(&self, id: HostId) -> &Host {
        &self.hosts[id.0]
    }

    fn host_mut(&mut self, id: HostId) -> &mut Host {
        &mut self.hosts[id.0]
    }

    /// Applications that are there, or are waited for.
    pub fn applications(&self) -> impl Iterator<Item = (Slot, &Application<E>)> {
        self.applications
            .iter()
            .map(|(slot, application)| (*slot, application))
    }

    /// One of them.
    pub fn application(&self, slot: Slot) -> Option<&Application<E>> {
        self.applications.get(&slot)
    }

    /// The host on a NIC that has this Ethernet address.
    fn by_mac(&self, nic: Nic, mac: Mac) -> Option<HostId> {
        self.by_mac.get(&(nic, mac)).copied()
    }

    /// The host on a NIC that has this address and is there.
    fn by_address(&self, nic: Nic, address: std::net::IpAddr) -> Option<HostId> {
        let has =
            |(_, host): &(HostId, &Host)| host.nic == nic && host.is_here() && host.has(address);
        self.hosts().find(has).map(|(id, _)| id)
    }

    /// Calls `each` for whoever a delivery is to, and is there.
    pub fn deliver(&self, delivery: &Delivery, mut each: impl FnMut(Slot, &Application<E>)) {
        let mut to = |slot: Slot| {
            if delivery.but != Some(slot)
                && let Some(application) = self.applications.get(&slot)
                && Some(application.host) != delivery.but_host
            {
                each(slot, application);
            }
        };
        match delivery.to {
            Targets::One(slot) => to(slot),
            Targets::Nobody => {}
            Targets::Host(id) => self.host(id).members.iter().copied().for_each(to),
            Targets::Nic(nic) => {
                let on = self.hosts.iter();
                let on = on.filter(|host| host.nic == nic && !host.is_away());
                on.flat_map(|host| host.members.iter().copied())
                    .for_each(to);
            }
        }
    }
}
