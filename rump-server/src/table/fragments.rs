//! Fragments follow their first one.
//!
//! Only the first says whose a packet is. What was decided for it is kept for those that
//! follow, for so many packets of one owner and for [`LIFE`]; when there is no room, the
//! oldest is forgotten.

use crate::wire::Ip;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a packet may take to be whole. Hosts wait 60 s (RFC 8200, 4.5) or half of it.
pub const LIFE: Duration = Duration::from_secs(30);
/// Packets in parts that one owner can have at a time.
pub const MOST: usize = 64;

/// What is the same in all parts of a packet (RFC 791, 3.2; RFC 8200, 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) id: u32,
    /// IPv4 alone looks at it.
    pub(super) protocol: u8,
}

impl Key {
    fn of(ip: &Ip) -> Option<Self> {
        Some(Self {
            source: ip.source,
            destination: ip.destination,
            id: ip.fragment?.id,
            protocol: if ip.source.is_ipv4() { ip.protocol } else { 0 },
        })
    }
}

/// What was decided for packets that are under way in parts.
#[derive(Debug)]
pub(super) struct Fragments<V>(Mutex<Vec<(Key, Instant, V)>>);

impl<V> Default for Fragments<V> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<V: Clone> Fragments<V> {
    /// Keeps what was decided for the first.
    pub(super) fn first(&self, ip: &Ip, value: V, now: Instant) {
        let Some(key) = Key::of(ip) else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(other, since, _)| {
            *other != key && now.saturating_duration_since(*since) < LIFE
        });
        if all.len() == MOST {
            // They are in the order in which they came.
            all.remove(0);
        }
        all.push((key, now, value));
    }

    /// All of them, from the oldest on.
    pub(super) fn all(&self) -> Vec<(Key, Instant, V)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// These instead, from the oldest on.
    pub(super) fn set(&self, all: impl Iterator<Item = (Key, Instant, V)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = all.take(MOST).collect();
    }

    /// What was decided for it, to be looked at and changed; `look` says whether to keep it.
    pub(super) fn follow<R>(
        &self,
        ip: &Ip,
        now: Instant,
        look: impl FnOnce(&mut V) -> (R, bool),
    ) -> Option<R> {
        let key = Key::of(ip)?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|(other, since, _)| {
            *other == key && now.saturating_duration_since(*since) < LIFE
        })?;
        let (result, keep) = look(&mut all[at].2);
        if !keep {
            all.remove(at);
        }
        Some(result)
    }
}
