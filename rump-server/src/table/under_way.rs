//! What is remembered of packets under way, for the table that comes after this one: for whom
//! the parts of a packet are, how far one was sent in parts, and who has asked for echoes.
//!
//! Applications are known by their tickets, and times by how long ago they were.

use super::fragments::{Fragments, Key};
use super::{Host, Slot, Table, Targets};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A packet that is under way in parts, and what was decided for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts<V> {
    source: IpAddr,
    destination: IpAddr,
    id: u32,
    protocol: u8,
    /// In microseconds.
    age: u64,
    value: V,
}

/// Who has asked for an echo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    v6: bool,
    id: u16,
    ticket: u128,
    /// In microseconds.
    age: u64,
}

/// All of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// What it is called.
    pub host: String,
    /// For whom the parts of packets are; `None` is all of it.
    parts: Vec<Parts<Option<u128>>>,
    echoes: Vec<Echo>,
}

fn age(since: Instant, now: Instant) -> u64 {
    let age = now.saturating_duration_since(since).as_micros();
    u64::try_from(age).unwrap_or(u64::MAX)
}

/// When that was; now, where a clock has not been running for so long.
fn since(age: u64, now: Instant) -> Instant {
    now.checked_sub(Duration::from_micros(age)).unwrap_or(now)
}

fn take<V: Clone, W>(of: &Fragments<V>, now: Instant, known: impl Fn(V) -> W) -> Vec<Parts<W>> {
    let part = |(key, since, value): (Key, Instant, V)| Parts {
        source: key.source,
        destination: key.destination,
        id: key.id,
        protocol: key.protocol,
        age: age(since, now),
        value: known(value),
    };
    of.all().into_iter().map(part).collect()
}

fn give<V: Clone, W>(
    to: &Fragments<V>,
    parts: Vec<Parts<W>>,
    now: Instant,
    known: impl Fn(W) -> Option<V>,
) {
    let part = |part: Parts<W>| {
        let key = Key {
            source: part.source,
            destination: part.destination,
            id: part.id,
            protocol: part.protocol,
        };
        Some((key, since(part.age, now), known(part.value)?))
    };
    to.set(parts.into_iter().filter_map(part));
}

impl<E> Table<E> {
    fn ticket(&self, slot: Slot) -> Option<u128> {
        self.application(slot).map(|known| known.ticket)
    }

    /// What a host has under way.
    pub fn under_way(&self, host: &Host, now: Instant) -> UnderWay {
        let ticket = |targets| match targets {
            Targets::One(slot) => self.ticket(slot),
            Targets::Host(_) | Targets::Nic(_) | Targets::Nobody => None,
        };
        let echo = |(v6, id, slot, since)| {
            let ticket = self.ticket(slot)?;
            let age = age(since, now);
            Some(Echo {
                v6,
                id,
                ticket,
                age,
            })
        };
        UnderWay {
            host: host.name.clone(),
            parts: take(&host.fragments, now, ticket),
            echoes: host.echoes().into_iter().filter_map(echo).collect(),
        }
    }

    /// Goes on with what a host had under way.
    pub fn resume_host(
        &self,
        under_way: UnderWay,
        slot: impl Fn(u128) -> Option<Slot>,
        now: Instant,
    ) {
        let Some((id, host)) = self.hosts().find(|(_, host)| host.name == under_way.host) else {
            return;
        };
        give(
            &host.fragments,
            under_way.parts,
            now,
            |ticket| match ticket {
                Some(ticket) => slot(ticket).map(Targets::One),
                None => Some(Targets::Host(id)),
            },
        );
        for echo in under_way.echoes {
            if let Some(slot) = slot(echo.ticket) {
                host.echo_asked(echo.v6, echo.id, slot, since(echo.age, now));
            }
        }
    }

    /// How far an application has sent packets in parts.
    pub fn parts_sent(&self, slot: Slot, now: Instant) -> Vec<Parts<u32>> {
        let application = self.application(slot);
        application.map_or_else(Vec::new, |known| take(&known.fragments, now, |end| end))
    }

    /// It goes on from there.
    pub fn resume_parts(&self, slot: Slot, parts: Vec<Parts<u32>>, now: Instant) {
        if let Some(application) = self.application(slot) {
            give(&application.fragments, parts, now, Some);
        }
    }
}
