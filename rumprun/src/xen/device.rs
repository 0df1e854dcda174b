//! A device of Xen's, from the front end's side: finding the back end, and coming to terms
//! with it by the states of both (io/xenbus.h).

use super::abi::state;
use super::store::{Error, Store};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What a device can be stuck at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// What xenstore has of it.
    Store(Error),
    /// The state that its back end is in.
    State(u32),
    /// What its back end says of itself.
    Value(&'static str, String),
    /// There is no memory, or no grant, for its rings.
    Memory,
    /// What is asked for cannot be had.
    Terms(String),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<super::hypercall::Refused> for Problem {
    fn from(refused: super::hypercall::Refused) -> Self {
        Self::Store(Error::Refused(refused))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::State(state) => {
                write!(f, "its back end does not connect: it is in state {state}")
            }
            Self::Value(name, value) => write!(f, "its back end says {name} is `{value}`"),
            Self::Memory => f.write_str("there is no memory for its rings"),
            Self::Terms(text) => f.write_str(text),
        }
    }
}

/// A device, and where both of its ends are in xenstore.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// `device/vif/0`, in our own part of the tree.
    pub path: String,
    /// The back end's.
    pub backend: String,
    /// The domain of the back end.
    pub domain: u16,
}

/// A device whose back end is watched.
pub(super) trait Front: Send + Sync {
    /// Its two ends in xenstore.
    fn place(&self) -> &Place;
    /// The other end is not there any more.
    fn gone(&self);
}

/// The devices of a kind, in the order of their numbers.
pub(super) fn all(store: &mut Store, kind: &str) -> Vec<Result<Place, Problem>> {
    // Where there is none the folder is not there.
    let names = store.list(&format!("device/{kind}")).unwrap_or_default();
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    let place = |number| {
        let path = format!("device/{kind}/{number}");
        let domain = store.number(&format!("{path}/backend-id"))?;
        let value = |domain: u32| Problem::Value("backend-id", format!("{domain}"));
        Ok(Place {
            backend: store.read(&format!("{path}/backend"))?,
            domain: u16::try_from(domain).map_err(|_| value(domain))?,
            path,
        })
    };
    numbers.into_iter().map(place).collect()
}

impl Place {
    /// The back end's state; one that is not there is closed.
    pub(super) fn state(&self, store: &mut Store) -> u32 {
        let path = format!("{}/state", self.backend);
        store.number(&path).unwrap_or(state::CLOSED)
    }

    /// Whether it is a drive of CDs.
    pub(super) fn is_cd(&self, store: &mut Store) -> bool {
        let kind = store.read(&format!("{}/device-type", self.path));
        kind.is_ok_and(|kind| kind == "cdrom")
    }

    /// Says something of ours.
    pub(super) fn tell(&self, store: &mut Store, name: &str, value: &str) -> Result<(), Problem> {
        Ok(store.write(&format!("{}/{name}", self.path), value)?)
    }

    /// Says in which state we are.
    pub(super) fn enter(&self, store: &mut Store, state: u32) -> Result<(), Problem> {
        self.tell(store, "state", &format!("{state}"))
    }

    /// Waits until the back end is in one of these states.
    fn wait(&self, store: &mut Store, states: &[u32]) -> Result<(), Problem> {
        // Only a change that does not come makes this end early.
        for _ in 0..100 {
            let now = self.state(store);
            if states.contains(&now) {
                return Ok(());
            }
            if now >= state::CLOSING {
                return Err(Problem::State(now));
            }
            if store.event(false).is_err() {
                break;
            }
        }
        Err(Problem::State(self.state(store)))
    }

    /// Connects: waits for the back end, tells it what `tell` says and that we are in a state,
    /// and waits until it has taken that. Changes of its state are told by the path of the
    /// device from here on.
    pub(super) fn connect(
        &self,
        store: &mut Store,
        then: u32,
        tell: impl FnOnce(&mut Store) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        store.watch(&format!("{}/state", self.backend), &self.path)?;
        self.enter(store, state::INITIALISING)?;
        self.wait(
            store,
            &[state::WAITING, state::INITIALISED, state::CONNECTED],
        )?;
        tell(store)?;
        self.enter(store, then)?;
        self.wait(store, &[state::CONNECTED])
    }

    /// The back end has gone: says that we have, too.
    pub(super) fn close(&self, store: &mut Store) {
        // Nobody is left to be told if that fails.
        let _ = self.enter(store, state::CLOSED);
    }
}
