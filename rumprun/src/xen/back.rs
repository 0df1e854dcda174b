//! Devices of other domains' whose back ends are here, as xl(1) makes them with
//! `backend=THIS`: finding them in xenstore, and coming to terms with their front ends by the
//! states of both (io/xenbus.h).
//!
//! xl writes a folder for each, `backend/KIND/DOMAIN/NUMBER`, which is ours, with the path of
//! the front end's, which is its. All that is done is done in one thread when one of them
//! changes; nothing is waited for, so that no front end can hold up another. What is done next
//! follows from the states alone ([`next`]).
//!
//! # What xl waits for
//! - That our state is [`WAITING`](state::WAITING) when it makes a device: 10 seconds.
//! - When it takes one away it writes `online` 0 and our state [`CLOSING`](state::CLOSING), and
//!   waits until the state is [`CLOSED`](state::CLOSED), and then until the folder is gone,
//!   which is for the domain of the back end to remove: 10 seconds each.
//!
//! `hotplug-status` is what xl's scripts write in a domain that runs them; it is written here
//! for who looks at it.
//!
//! A device that cannot be served, as a disk that the program does not offer, is looked at again
//! when something changes: xl gives up after its 10 seconds.

use super::abi::state;
use super::blkback::{self, Blkback};
use super::cable;
use super::device::Problem;
use super::netback::Netback;
use super::store::{Error, HERE, Store};
use super::{Kernel, Remove};
use crate::memory::{PAGE, frames};
use crate::say;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Kinds of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Interface,
    Disk,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Interface, Self::Disk];

    /// Where they are, in our own part of the tree; also the word of its changes.
    fn folder(self) -> &'static str {
        match self {
            Self::Interface => "backend/vif",
            Self::Disk => "backend/vbd",
        }
    }
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing, until something changes.
    Rest,
    /// Wait for the front end.
    Wait,
    /// It has said all: connect.
    Connect,
    /// It goes, or is made to: let go of it, and wait until it has closed.
    Close,
    /// It has gone: be closed until it comes again.
    Closed,
    /// It will not come again: be closed, and remove what xl has made.
    Leave,
}

/// The states of both ends.
#[derive(Clone, Copy, Debug)]
struct States {
    /// Ours, which xl writes as well.
    own: u32,
    /// Whether xl wants the device to be there.
    online: bool,
    /// The front end's; `None` if there is none.
    front: Option<u32>,
    /// Whether it is connected to.
    connected: bool,
}

/// What follows from the states.
fn next(states: States) -> Step {
    use state::{CLOSED, CLOSING, CONNECTED, INITIALISED, INITIALISING, WAITING};
    let States {
        own,
        online,
        front,
        connected,
    } = states;
    let is_there = matches!(front, Some(INITIALISED | CONNECTED | CLOSING));
    if !online && (own >= CLOSING || front.is_none()) {
        return match (is_there, connected, own) {
            (false, ..) | (.., CLOSED) => Step::Leave,
            (true, true, _) => Step::Close,
            (true, false, _) => Step::Rest,
        };
    }
    match (front, own) {
        // Just made; or it comes again, perhaps without having gone.
        (_, 0 | INITIALISING) => Step::Wait,
        (Some(INITIALISING | WAITING), _) if own != WAITING || connected => Step::Wait,
        (Some(INITIALISED | CONNECTED), WAITING) if !connected => Step::Connect,
        (Some(CLOSING), WAITING | INITIALISED | CONNECTED) => Step::Close,
        (None | Some(CLOSED), WAITING | INITIALISED | CONNECTED | CLOSING)
            if own != WAITING || connected || front.is_some() =>
        {
            Step::Closed
        }
        _ => Step::Rest,
    }
}

/// What serves a device.
struct Server {
    name: String,
    remove: Remove,
    /// The number of the cable, if it is one.
    cable: Option<u64>,
}

/// What a device is served with.
#[derive(Clone, Debug)]
enum Means {
    Interface,
    Disk(blkback::Lease),
}

/// A device.
struct Device {
    kind: Kind,
    domain: u16,
    /// Ours, below the folder of its kind; also the word of the front end's changes.
    path: String,
    /// The path of the front end, and what it is served with; or why it is not served.
    terms: Result<(String, Means), String>,
    server: Option<Server>,
}

/// All devices.
pub(super) struct Backs<K> {
    kernel: K,
    devices: Vec<Device>,
}

/// The path of a front end of a domain's, if it is one of its own.
fn front_of(domain: u16, path: &str) -> bool {
    path.strip_prefix(&*format!("/local/domain/{domain}/"))
        .is_some_and(|rest| !rest.is_empty() && !rest.contains(".."))
}

impl<K: Kernel> Backs<K> {
    /// Waits for devices. Changes are told by words that are for [`changed`](Self::changed).
    pub(super) fn new(store: &mut Store, kernel: K) -> Result<Self, Error> {
        for kind in Kind::ALL {
            store.watch(kind.folder(), kind.folder())?;
        }
        Ok(Self {
            kernel,
            devices: Vec::new(),
        })
    }

    /// Something has changed, as this word says.
    pub(super) fn changed(&mut self, store: &mut Store, token: &str) {
        for kind in Kind::ALL {
            if token == kind.folder() || token == HERE {
                self.find(store, kind);
            }
        }
        if let Some(at) = self.devices.iter().position(|device| device.path == token) {
            self.advance(store, at);
        }
    }

    /// Says at all devices that cables are to be had.
    pub(super) fn offer(&mut self, store: &mut Store) {
        // For who makes these devices: from here on they can be cables.
        if let Err(error) = store.write("data/feature-rump-ring", "1") {
            say!("rumprun: nobody can see that there are cables: {error}");
        }
        let interfaces = |device: &&Device| device.kind == Kind::Interface;
        for device in self.devices.iter().filter(interfaces) {
            if let Err(problem) = cable::offer(store, &device.path) {
                say!("rumprun: {}: {problem}", device.path);
            }
        }
    }

    /// The program has closed the cable of a device: the front end is to close, too.
    pub(super) fn close(&mut self, store: &mut Store, cable: u64) {
        let of = |device: &Device| device.server.as_ref()?.cable;
        let found = self.devices.iter().find(|device| of(device) == Some(cable));
        if let Some(Device { path, .. }) = found {
            // It may have gone just now.
            let _ = store.write(&format!("{path}/state"), &format!("{}", state::CLOSING));
        }
    }

    /// Looks which devices of a kind there are.
    fn find(&mut self, store: &mut Store, kind: Kind) {
        let top = kind.folder();
        // There is no folder before the first of them.
        for domain in store.list(top).unwrap_or_default() {
            let folder = format!("{top}/{domain}");
            let Ok(domain) = domain.parse::<u16>() else {
                continue;
            };
            for number in store.list(&folder).unwrap_or_default() {
                let path = format!("{folder}/{number}");
                if self.devices.iter().all(|device| device.path != path) {
                    self.devices.push(Device {
                        kind,
                        domain,
                        path,
                        terms: Err(String::new()),
                        server: None,
                    });
                }
            }
        }
        for at in (0..self.devices.len()).rev() {
            if self.devices[at].kind == kind {
                self.begin(store, at);
                self.advance(store, at);
            }
        }
    }

    /// Comes to terms with xl over a device, if that was not done.
    fn begin(&mut self, store: &mut Store, at: usize) {
        let device = &self.devices[at];
        let Err(before) = &device.terms else { return };
        let terms = begin(store, device, &self.devices).map_err(|problem| {
            let problem = format!("{problem}");
            // It is tried again and again.
            if problem != *before {
                say!("rumprun: {} is not served: {problem}", device.path);
            }
            problem
        });
        self.devices[at].terms = terms;
    }

    /// Does what follows from the states of a device.
    fn advance(&mut self, store: &mut Store, at: usize) {
        // Each step leads to one that rests.
        for _ in 0..4 {
            let device = &self.devices[at];
            let path = &device.path;
            let Ok(own) = store.number(&format!("{path}/state")) else {
                // Somebody has removed it.
                self.forget(store, at);
                return;
            };
            let online = store.number::<u32>(&format!("{path}/online"));
            let online = online.is_ok_and(|online| online != 0);
            let front = match &device.terms {
                Ok((front, _)) => store.number(&format!("{front}/state")).ok(),
                // Nothing is said to xl before there are terms, but that it may take it back.
                Err(_) if online => return,
                Err(_) => None,
            };
            let step = next(States {
                own,
                online,
                front: front.filter(|front| *front != 0),
                connected: device.server.is_some(),
            });
            let device = &mut self.devices[at];
            let then = match step {
                Step::Rest => return,
                Step::Wait => {
                    device.disconnect();
                    state::WAITING
                }
                Step::Connect => match device.connect(store, &self.kernel) {
                    Ok(()) => state::CONNECTED,
                    Err(problem) => {
                        say!("rumprun: {}: {problem}", device.path);
                        state::CLOSING
                    }
                },
                Step::Close => {
                    device.disconnect();
                    state::CLOSING
                }
                Step::Closed => {
                    device.disconnect();
                    state::CLOSED
                }
                Step::Leave => {
                    device.disconnect();
                    let path = device.path.clone();
                    // Where these fail xl has removed it already.
                    let _ = store.write(&format!("{path}/state"), "6");
                    self.forget(store, at);
                    let _ = store.remove(&path);
                    return;
                }
            };
            if let Err(error) = store.write(&format!("{}/state", device.path), &format!("{then}")) {
                say!("rumprun: {}: {error}", device.path);
                return;
            }
        }
    }

    /// Lets go of a device.
    fn forget(&mut self, store: &mut Store, at: usize) {
        let mut device = self.devices.swap_remove(at);
        device.disconnect();
        if let Ok((front, _)) = &device.terms {
            // It may have gone with its domain.
            let _ = store.unwatch(&format!("{front}/state"), &device.path);
        }
    }
}

/// Says what is offered to a new device, and returns the path of its front end, whose changes
/// are told from here on, and what it is served with. `all` are all devices.
fn begin(store: &mut Store, device: &Device, all: &[Device]) -> Result<(String, Means), Problem> {
    let path = &device.path;
    let front = store.read(&format!("{path}/frontend"))?;
    if !front_of(device.domain, &front) {
        return Err(Problem::Value("frontend", front));
    }
    let means = match device.kind {
        Kind::Interface => {
            for (name, value) in Netback::FEATURES {
                store.write(&format!("{path}/{name}"), value)?;
            }
            let queues = format!("{}", Netback::most_queues());
            store.write(&format!("{path}/multi-queue-max-queues"), &queues)?;
            cable::offer(store, path)?;
            Means::Interface
        }
        Kind::Disk => {
            let others = all.iter().filter_map(|other| match &other.terms {
                Ok((_, Means::Disk(lease))) => Some(lease),
                _ => None,
            });
            Means::Disk(blkback::begin(store, path, others)?)
        }
    };
    store.write(&format!("{path}/hotplug-status"), "connected")?;
    store.watch(&format!("{front}/state"), path)?;
    Ok((front, means))
}

impl Device {
    /// Connects to its front end.
    fn connect(&mut self, store: &mut Store, kernel: &impl Kernel) -> Result<(), Problem> {
        let Ok((front, means)) = &self.terms else {
            return Ok(());
        };
        let mut number = None;
        let (name, remove): (_, Remove) = match means {
            Means::Interface => match cable::serve(store, self.domain, &self.path, front)? {
                Some((cable, end)) => {
                    number = Some(cable);
                    ("a cable".into(), Box::new(end))
                }
                None => {
                    let back = Netback::new(store, self.domain, &self.path, front)?;
                    let address = back.address();
                    let made = kernel.serve(Arc::new(back), address);
                    made.ok_or(Problem::Memory)?
                }
            },
            Means::Disk(lease) => {
                let medium = kernel.open(lease.path(), lease.is_writable());
                let medium = medium.ok_or_else(|| Problem::Value("params", lease.name().into()))?;
                let back = Blkback::new(store, self.domain, &self.path, front, lease, medium)?;
                (lease.name().into(), Box::new(move || drop(back)))
            }
        };
        say!("rumprun: {name} serves {}", self.path);
        self.server = Some(Server {
            name,
            remove,
            cable: number,
        });
        Ok(())
    }

    /// Ends what serves it, if it is connected to, and all that was mapped for it.
    fn disconnect(&mut self) {
        if let Some(Server { name, remove, .. }) = self.server.take() {
            remove();
            let free = frames::count().free * PAGE / 1024;
            say!(
                "rumprun: {name} serves {} no more; {free} KiB are free",
                self.path
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step(own: u32, online: bool, front: Option<u32>, connected: bool) -> Step {
        next(States {
            own,
            online,
            front,
            connected,
        })
    }

    #[test]
    fn a_front_end_comes_and_goes_and_comes_again() {
        assert_eq!(step(1, true, Some(1), false), Step::Wait);
        assert_eq!(step(2, true, Some(1), false), Step::Rest);
        assert_eq!(step(2, true, Some(4), false), Step::Connect);
        assert_eq!(step(4, true, Some(4), true), Step::Rest);
        assert_eq!(step(4, true, Some(5), true), Step::Close);
        assert_eq!(step(5, true, Some(5), false), Step::Rest);
        assert_eq!(step(5, true, Some(6), false), Step::Closed);
        assert_eq!(step(6, true, Some(6), false), Step::Rest);
        assert_eq!(step(6, true, Some(1), false), Step::Wait);
        // Without a word, as after a crash.
        assert_eq!(step(4, true, Some(1), true), Step::Wait);
        assert_eq!(step(4, true, None, true), Step::Closed);
        // What it said made no sense: it has to close first.
        assert_eq!(step(5, true, Some(4), false), Step::Rest);
        assert_eq!(step(2, true, None, false), Step::Rest);
    }

    #[test]
    fn xl_takes_a_device_away() {
        // Its guest lives, and closes.
        assert_eq!(step(5, false, Some(4), true), Step::Close);
        assert_eq!(step(5, false, Some(4), false), Step::Rest);
        assert_eq!(step(5, false, Some(5), false), Step::Rest);
        assert_eq!(step(5, false, Some(6), false), Step::Leave);
        // Its guest is no more.
        assert_eq!(step(5, false, None, true), Step::Leave);
        assert_eq!(step(6, false, Some(6), false), Step::Leave);
        // It has never connected.
        assert_eq!(step(5, false, Some(1), false), Step::Leave);
    }

    #[test]
    fn front_ends_are_in_their_own_domain() {
        assert!(front_of(3, "/local/domain/3/device/vif/0"));
        for path in [
            "/local/domain/31/device/vif/0",
            "/local/domain/3/",
            "/local/domain/3/../4/device",
            "device/vif/0",
            "",
        ] {
            assert!(!front_of(3, path), "{path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// Whatever both ends write, in whatever order: it is connected to only when it waits
        /// and the front end is ready, each change leads to rest in a few steps, and without a
        /// front end nothing stays connected.
        #[test]
        fn states_come_to_rest(
            changes in prop::collection::vec((prop::option::of(any::<u32>()), 0_u32..9, any::<bool>(), any::<bool>()), 1..20),
        ) {
            let (mut own, mut connected, mut online) = (1, false, true);
            for (front, small, is_small, xl) in changes {
                let front = front.map(|front| if is_small { small } else { front }).filter(|front| *front != 0);
                if xl && own != 0 {
                    (own, online) = (state::CLOSING, false);
                }
                let mut steps = 0;
                loop {
                    let step = step(own, online, front, connected);
                    if step == Step::Rest {
                        break;
                    }
                    if step == Step::Leave {
                        return Ok(());
                    }
                    own = match step {
                        Step::Wait => state::WAITING,
                        Step::Connect => {
                            prop_assert!(own == state::WAITING && !connected && online);
                            prop_assert!(matches!(front, Some(3 | 4)));
                            state::CONNECTED
                        }
                        Step::Close => state::CLOSING,
                        _ => state::CLOSED,
                    };
                    connected = step == Step::Connect;
                    steps += 1;
                    prop_assert!(steps <= 3, "no rest");
                }
                prop_assert!(front.is_some() || !connected);
            }
        }
    }
}
