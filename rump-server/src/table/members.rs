//! Applications come, claim, go, and come back.

use super::counters::Counters;
use super::fragments::Fragments;
use super::host::{Claim, HostId, Owned};
use super::{Host, Table};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An application. No number is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u64);

/// So many claims are one application's at most.
const CLAIMS: usize = 4096;

/// One that is there, or is waited for.
#[derive(Debug)]
pub struct Application<E> {
    /// Which host's it is.
    pub host: HostId,
    /// What it calls itself.
    pub label: String,
    /// Whose it is.
    pub user: u32,
    /// By what it is known when it comes back.
    pub ticket: u128,
    /// What was counted.
    pub counters: Arc<Counters>,
    /// How it is reached; `None` while it is waited for.
    pub end: Option<E>,
    /// How far packets in parts have been sent.
    pub(super) fragments: Fragments<u32>,
    pub(super) claims: usize,
    until: Option<Instant>,
}

/// Who wants to be one.
#[derive(Clone, Debug)]
pub struct Candidate<E> {
    /// What it calls itself.
    pub label: String,
    /// Whose it is.
    pub user: u32,
    /// That of before, or a new one.
    pub ticket: u128,
    /// Ephemeral ports that it had from an earlier server, if it had.
    pub had: Option<RangeInclusive<u16>>,
    /// How it is reached.
    pub end: E,
}

/// Why it cannot have what it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Another application has the port.
    #[error("another application has the port")]
    InUse,
    /// The user may not have it.
    #[error("this user may not have it")]
    NotAllowed,
    /// The host has no such address.
    #[error("the host has no such address")]
    NotHere,
    /// There are no more: applications, claims, ports to lease.
    #[error("there are no more to be had")]
    NoMore,
    /// There is no such host, or none was named and there are several.
    #[error("no such host")]
    NoHost,
    /// The only application of the host has gone to a NIC of its own, or it is not the only
    /// one and cannot.
    #[error("a host that goes to a NIC of its own has one application only")]
    Away,
}

impl<E> Table<E> {
    /// The host that a user means; by no name, the only one that it may be of.
    ///
    /// # Errors
    /// [`Refusal::NoHost`], [`Refusal::NotAllowed`].
    pub fn find(&self, name: &str, user: u32) -> Result<HostId, Refusal> {
        let may = |host: &Host| {
            host.users
                .as_ref()
                .is_none_or(|users| users.contains(&user))
        };
        if !name.is_empty() {
            let named = self.hosts().find(|(_, host)| host.name == name);
            let (id, host) = named.ok_or(Refusal::NoHost)?;
            return may(host).then_some(id).ok_or(Refusal::NotAllowed);
        }
        let mut all = self.hosts().filter(|(_, host)| may(host));
        match (all.next(), all.next()) {
            (Some((id, _)), None) => Ok(id),
            (None, _) => Err(Refusal::NotAllowed),
            _ => Err(Refusal::NoHost),
        }
    }

    /// An application comes to a host that [`find`](Self::find) gave, or comes back: then it
    /// has its leases, and its claims for so long as `grace` until it has said them again.
    ///
    /// # Errors
    /// [`Refusal::NoMore`]; [`Refusal::Away`].
    pub fn join(
        &mut self,
        id: HostId,
        candidate: Candidate<E>,
        now: Instant,
        grace: Duration,
    ) -> Result<Slot, Refusal> {
        let back = self.applications.iter_mut().find(|(_, known)| {
            known.end.is_none()
                && (known.ticket, known.user, known.host) == (candidate.ticket, candidate.user, id)
        });
        if let Some((slot, known)) = back {
            let slot = *slot;
            known.label = candidate.label;
            known.end = Some(candidate.end);
            known.until = None;
            let host = self.host_mut(id);
            let own = host.claims.values_mut().filter(|owned| owned.slot == slot);
            own.for_each(|owned| owned.until = Some(now + grace));
            return Ok(slot);
        }
        let host = self.host(id);
        if host.is_away() {
            return Err(Refusal::Away);
        }
        if host.members.len() >= host.most {
            return Err(Refusal::NoMore);
        }
        // A ticket is somebody's whom nobody waits for any more, or who is still there.
        let slot = self.add(id, candidate.label, candidate.user, candidate.ticket);
        let leased = match candidate.had {
            Some(ports) => {
                // Where one comes back, others may be to come.
                self.settles = self.settles.map(|settles| settles.max(now + grace));
                self.lease_again(slot, &ports)
            }
            None => self.lease_first(slot, now),
        };
        if let Err(refusal) = leased {
            self.leave(slot);
            return Err(refusal);
        }
        if let Some(application) = self.applications.get_mut(&slot) {
            application.end = Some(candidate.end);
        }
        Ok(slot)
    }

    /// Whether this user's application of this ticket is waited for.
    pub fn is_awaited(&self, id: HostId, user: u32, ticket: u128) -> bool {
        self.applications.values().any(|known| {
            known.end.is_none() && (known.ticket, known.user, known.host) == (ticket, user, id)
        })
    }

    /// One that was expected goes on as if nothing had been: its claims are its own.
    pub fn resume(&mut self, slot: Slot, end: E) {
        let Some(application) = self.applications.get_mut(&slot) else {
            return;
        };
        application.end = Some(end);
        application.until = None;
        let claims = self.hosts[application.host.0].claims.values_mut();
        for owned in claims.filter(|owned| owned.slot == slot) {
            owned.until = None;
        }
    }

    fn add(&mut self, id: HostId, label: String, user: u32, ticket: u128) -> Slot {
        let slot = Slot(self.next);
        self.next += 1;
        let application = Application {
            host: id,
            label,
            user,
            ticket,
            counters: Arc::default(),
            end: None,
            fragments: Fragments::default(),
            claims: 0,
            until: None,
        };
        self.applications.insert(slot, application);
        self.host_mut(id).members.push(slot);
        slot
    }

    /// One that was there before this table was, and is waited for.
    pub fn expect(
        &mut self,
        id: HostId,
        (label, user, ticket): (String, u32, u128),
        until: Instant,
    ) -> Slot {
        let slot = self.add(id, label, user, ticket);
        if let Some(application) = self.applications.get_mut(&slot) {
            application.until = Some(until);
        }
        slot
    }

    /// Gives it back what it had, for so long.
    ///
    /// # Errors
    /// [`Refusal`]: it does not fit with what others have.
    pub fn restore(
        &mut self,
        slot: Slot,
        claims: impl IntoIterator<Item = Claim>,
        leases: impl IntoIterator<Item = RangeInclusive<u16>>,
        until: Option<Instant>,
    ) -> Result<(), Refusal> {
        let application = self.applications.get_mut(&slot).ok_or(Refusal::NoHost)?;
        let host = &mut self.hosts[application.host.0];
        for ports in leases {
            let block = host.block_of(&ports).ok_or(Refusal::NotHere)?;
            if host.blocks[block].is_some_and(|owner| owner != slot) {
                return Err(Refusal::InUse);
            }
            host.blocks[block] = Some(slot);
        }
        for claim in claims {
            if host.is_taken(claim, slot) {
                return Err(Refusal::InUse);
            }
            if host.claims.insert(claim, Owned { slot, until }).is_none() {
                application.claims += 1;
            }
        }
        Ok(())
    }

    /// It goes, and all that it had.
    pub fn leave(&mut self, slot: Slot) -> Option<Application<E>> {
        let application = self.applications.remove(&slot)?;
        let host = self.host_mut(application.host);
        host.members.retain(|member| *member != slot);
        host.claims.retain(|_, owned| owned.slot != slot);
        for block in &mut host.blocks {
            if *block == Some(slot) {
                *block = None;
            }
        }
        host.away = host.away.filter(|_| !host.members.is_empty());
        Some(application)
    }

    /// Ends what has not been asked for in time; returns who is no more waited for.
    pub fn expire(&mut self, now: Instant) -> Vec<Slot> {
        let over = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        for host in &mut self.hosts {
            let applications = &mut self.applications;
            host.claims.retain(|_, owned| {
                let keep = !over(owned.until);
                if !keep && let Some(owner) = applications.get_mut(&owned.slot) {
                    owner.claims -= 1;
                }
                keep
            });
        }
        let late = |(slot, known): (&Slot, &Application<E>)| {
            (known.end.is_none() && over(known.until)).then_some(*slot)
        };
        let late: Vec<Slot> = self.applications.iter().filter_map(late).collect();
        for slot in &late {
            self.leave(*slot);
        }
        late
    }

    /// It wants a port, or says again that it has it.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn claim(&mut self, slot: Slot, claim: Claim) -> Result<(), Refusal> {
        let application = self.applications.get_mut(&slot).ok_or(Refusal::NoHost)?;
        let host = &mut self.hosts[application.host.0];
        if !claim.address.is_unspecified() && !host.has(claim.address) || claim.port == 0 {
            return Err(Refusal::NotHere);
        }
        if !host.may_claim(claim, application.user) {
            return Err(Refusal::NotAllowed);
        }
        if host.is_taken(claim, slot) {
            return Err(Refusal::InUse);
        }
        let owned = Owned { slot, until: None };
        if let Some(own) = host.claims.get_mut(&claim) {
            *own = owned;
            return Ok(());
        }
        if application.claims >= CLAIMS {
            return Err(Refusal::NoMore);
        }
        application.claims += 1;
        host.claims.insert(claim, owned);
        Ok(())
    }

    /// It needs a port no more; whether it had it.
    pub fn release(&mut self, slot: Slot, claim: Claim) -> bool {
        let Some(application) = self.applications.get_mut(&slot) else {
            return false;
        };
        let host = &mut self.hosts[application.host.0];
        let own = host
            .claims
            .get(&claim)
            .is_some_and(|owned| owned.slot == slot);
        if own {
            host.claims.remove(&claim);
            application.claims -= 1;
        }
        own
    }

    /// It wants ephemeral ports.
    ///
    /// # Errors
    /// [`Refusal::NoMore`].
    pub fn lease(&mut self, slot: Slot) -> Result<RangeInclusive<u16>, Refusal> {
        let application = self.applications.get(&slot).ok_or(Refusal::NoHost)?;
        let host = &mut self.hosts[application.host.0];
        let block = host.free_block(slot).ok_or(Refusal::NoMore)?;
        host.blocks[block] = Some(slot);
        Ok(host.ports(block))
    }

    /// The ports that it had, if nobody else has them now.
    fn lease_again(&mut self, slot: Slot, had: &RangeInclusive<u16>) -> Result<(), Refusal> {
        let application = self.applications.get(&slot).ok_or(Refusal::NoHost)?;
        let host = &mut self.hosts[application.host.0];
        match host
            .block_of(had)
            .filter(|block| host.is_free(*block, slot))
        {
            Some(block) => {
                host.blocks[block] = Some(slot);
                Ok(())
            }
            None => self.lease(slot).map(drop),
        }
    }

    /// The first ports of one that has had none: not those that others are the most likely to
    /// have had, while these may come back.
    fn lease_first(&mut self, slot: Slot, now: Instant) -> Result<(), Refusal> {
        if self.is_settled(now) {
            return self.lease(slot).map(drop);
        }
        let application = self.applications.get(&slot).ok_or(Refusal::NoHost)?;
        let host = &mut self.hosts[application.host.0];
        let last = (0..host.blocks.len()).rfind(|block| host.is_free(*block, slot));
        host.blocks[last.ok_or(Refusal::NoMore)?] = Some(slot);
        Ok(())
    }

    /// It goes to a NIC of its own, or comes back.
    ///
    /// # Errors
    /// [`Refusal::Away`]: it is not alone in its host.
    pub fn moved(&mut self, slot: Slot, direct: bool, now: Instant) -> Result<(), Refusal> {
        let application = self.applications.get(&slot).ok_or(Refusal::NoHost)?;
        let host = &mut self.hosts[application.host.0];
        if direct && host.members.len() > 1 {
            return Err(Refusal::Away);
        }
        host.away = direct.then_some(now);
        Ok(())
    }

    /// What one has claimed.
    pub fn claims_of(&self, slot: Slot) -> Vec<Claim> {
        self.of(slot, |host| {
            let own = host.claims.iter().filter(|(_, owned)| owned.slot == slot);
            let mut claims: Vec<Claim> = own.map(|(claim, _)| *claim).collect();
            claims.sort();
            claims
        })
    }

    /// What one has leased.
    pub fn leases_of(&self, slot: Slot) -> Vec<RangeInclusive<u16>> {
        self.of(slot, |host| {
            let own = |block: &usize| host.blocks[*block] == Some(slot);
            let blocks = (0..host.blocks.len()).filter(own);
            blocks.map(|block| host.ports(block)).collect()
        })
    }

    fn of<T>(&self, slot: Slot, ask: impl FnOnce(&Host) -> Vec<T>) -> Vec<T> {
        let application = self.applications.get(&slot);
        application.map_or_else(Vec::new, |known| ask(self.host(known.host)))
    }
}
