//! A host, and who owns its ports.

use super::fragments::{Fragments, LIFE};
use super::members::Slot;
use super::{Nic, Targets};
use crate::wire::{Mac, Protocol};
use hashbrown::HashMap;
use rump_ring::control::link_local;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A host, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub usize);

/// A port that somebody has bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// Of which protocol.
    pub protocol: Protocol,
    /// One of the host's addresses, or 0.0.0.0 or :: for all of that family.
    pub address: IpAddr,
    /// Which.
    pub port: u16,
}

impl Claim {
    /// The same port on all addresses of the family.
    fn anywhere(self) -> Self {
        let address = match self.address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Self { address, ..self }
    }
}

/// Who may claim which ports; those below 1024 that are in none are root's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Of which protocol; `None` is both.
    pub protocol: Option<Protocol>,
    /// Which.
    pub ports: RangeInclusive<u16>,
    /// User numbers.
    pub users: Vec<u32>,
}

/// Ports below this are root's unless a [`Right`] says otherwise.
const RESERVED: u16 = 1024;
const ROOT: u32 = 0;
/// Who has asked for echoes is remembered for so many requests.
const ECHOES: usize = 1024;

/// Who owns a port, and until when if it has not said again that it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned {
    pub slot: Slot,
    pub until: Option<Instant>,
}

/// A machine, as the world sees it.
#[derive(Debug)]
pub struct Host {
    /// What it is called here.
    pub name: String,
    /// What it is on.
    pub nic: Nic,
    /// Its Ethernet address.
    pub mac: Mac,
    /// The longest packet of its link.
    pub mtu: u32,
    /// Its addresses, with the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Users who may be of it; `None` is everybody.
    pub users: Option<Vec<u32>>,
    /// Who may claim what.
    pub rights: Vec<Right>,
    /// How many applications there may be.
    pub most: usize,
    link_local: Ipv6Addr,
    ephemeral: RangeInclusive<u16>,
    block: u16,
    pub(super) members: Vec<Slot>,
    pub(super) claims: HashMap<Claim, Owned>,
    /// Who has which block of the ephemeral ports.
    pub(super) blocks: Vec<Option<Slot>>,
    /// Since when.
    pub(super) away: Option<Instant>,
    pub(super) fragments: Fragments<Targets>,
    echoes: Mutex<Vec<(bool, u16, Slot, Instant)>>,
}

impl Host {
    /// One that lends out these ports, so many at a time, and has no addresses yet.
    pub fn new(name: &str, nic: Nic, mac: Mac, ephemeral: RangeInclusive<u16>, block: u16) -> Self {
        let blocks = ephemeral.len() / usize::from(block.max(1));
        Self {
            name: name.into(),
            nic,
            mac,
            mtu: 1500,
            addresses: Vec::new(),
            users: None,
            rights: Vec::new(),
            most: blocks,
            link_local: link_local(mac.0),
            ephemeral,
            block: block.max(1),
            members: Vec::new(),
            claims: HashMap::new(),
            blocks: vec![None; blocks],
            away: None,
            fragments: Fragments::default(),
            echoes: Mutex::default(),
        }
    }

    /// Whether an address is its own.
    pub fn has(&self, address: IpAddr) -> bool {
        address == self.link_local || self.addresses.iter().any(|(own, _)| *own == address)
    }

    /// Whether its only application has gone to a NIC of its own.
    pub fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// Whether somebody answers for it here.
    pub(super) fn is_here(&self) -> bool {
        !self.is_away() && !self.members.is_empty()
    }

    /// Its applications, in the order in which they came.
    pub fn members(&self) -> &[Slot] {
        &self.members
    }

    /// Who gets what is for nobody, so as to say that it is.
    pub(super) fn first(&self) -> Option<Slot> {
        self.members.first().copied()
    }

    /// Who owns a port: by a claim of this address, a claim of all, or a lease.
    pub fn owner(&self, protocol: Protocol, address: IpAddr, port: u16) -> Option<Slot> {
        let claim = Claim {
            protocol,
            address,
            port,
        };
        let claimed = self.claims.get(&claim);
        let claimed = claimed.or_else(|| self.claims.get(&claim.anywhere()));
        claimed
            .map(|owned| owned.slot)
            .or_else(|| self.lessee(port))
    }

    /// Who has leased a port.
    fn lessee(&self, port: u16) -> Option<Slot> {
        let at = port.checked_sub(*self.ephemeral.start())? / self.block;
        self.blocks.get(usize::from(at)).copied().flatten()
    }

    /// The ports of a block.
    pub(super) fn ports(&self, block: usize) -> RangeInclusive<u16> {
        let first = self.ephemeral.start() + block as u16 * self.block;
        first..=first + (self.block - 1)
    }

    /// The block that is exactly these ports.
    pub(super) fn block_of(&self, ports: &RangeInclusive<u16>) -> Option<usize> {
        (0..self.blocks.len()).find(|block| self.ports(*block) == *ports)
    }

    /// Whether somebody else stands in the way of a claim, as in bind(2) without
    /// SO_REUSEADDR.
    pub(super) fn is_taken(&self, claim: Claim, slot: Slot) -> bool {
        let others = |owned: &Owned| owned.slot != slot;
        if self.lessee(claim.port).is_some_and(|owner| owner != slot) {
            return true;
        }
        if claim == claim.anywhere() {
            // Of all addresses: any of them is in the way.
            self.claims
                .iter()
                .any(|(other, owned)| other.anywhere() == claim && others(owned))
        } else {
            let there = [claim, claim.anywhere()];
            there
                .iter()
                .any(|claim| self.claims.get(claim).is_some_and(others))
        }
    }

    /// Whether a user may have a port.
    pub(super) fn may_claim(&self, claim: Claim, user: u32) -> bool {
        let about = |right: &&Right| {
            right.ports.contains(&claim.port)
                && right
                    .protocol
                    .is_none_or(|protocol| protocol == claim.protocol)
        };
        let mut rights = self.rights.iter().filter(about).peekable();
        if rights.peek().is_none() {
            return claim.port >= RESERVED || user == ROOT;
        }
        rights.any(|right| right.users.contains(&user))
    }

    /// Whether nobody has a block, and nobody else has claimed in it.
    pub(super) fn is_free(&self, block: usize, slot: Slot) -> bool {
        let ports = self.ports(block);
        let claimed =
            |(claim, owned): (&Claim, &Owned)| owned.slot != slot && ports.contains(&claim.port);
        self.blocks[block].is_none() && !self.claims.iter().any(claimed)
    }

    /// The first block that is free.
    pub(super) fn free_block(&self, slot: Slot) -> Option<usize> {
        (0..self.blocks.len()).find(|block| self.is_free(*block, slot))
    }

    /// Somebody asks for an echo.
    pub(super) fn echo_asked(&self, v6: bool, id: u16, slot: Slot, now: Instant) {
        let mut echoes = self.echoes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = echoes
            .iter_mut()
            .find(|known| (known.0, known.1) == (v6, id))
        {
            *known = (v6, id, slot, now);
            return;
        }
        if echoes.len() == ECHOES {
            echoes.retain(|known| now.saturating_duration_since(known.3) < LIFE);
        }
        if echoes.len() == ECHOES {
            echoes.remove(0);
        }
        echoes.push((v6, id, slot, now));
    }

    /// Who has asked, for what, and when.
    pub(super) fn echoes(&self) -> Vec<(bool, u16, Slot, Instant)> {
        self.echoes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Who asked.
    pub(super) fn echo_owner(&self, v6: bool, id: u16) -> Option<Slot> {
        let echoes = self.echoes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = echoes.iter().find(|known| (known.0, known.1) == (v6, id))?;
        Some(known.2)
    }
}
