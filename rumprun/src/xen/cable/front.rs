//! Network interfaces of ours that are cables: the front end's side of a cable.

use super::super::abi::state;
use super::super::device::{self, Place, Problem};
use super::super::event::Channel;
use super::super::store::Store;
use super::memory::Shared;
use super::{Arc, Cable, Control, Frames, Mutex, OFFERED, PAGES, PORT, WANTED, new_id};
use crate::say;
use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::AtomicBool;
use rump_hyper::errno::Errno;

/// Whether a network interface can be a cable: then it is the program's to connect.
pub(in super::super) fn is_one(store: &mut Store, place: &Place) -> bool {
    let offered = store.number::<u32>(&format!("{}/{OFFERED}", place.backend));
    offered.is_ok_and(|offered| offered == 1)
}

/// Those that are.
#[derive(Debug, Default)]
pub(in super::super) struct Fronts(Vec<(Place, Arc<Cable>)>);

impl Fronts {
    /// Connects by a network interface of this number, or by any that can be a cable.
    pub(in super::super) fn connect(
        &mut self,
        store: &mut Store,
        number: Option<u32>,
    ) -> Result<Arc<Cable>, Errno> {
        let mut found = Errno::NXIO;
        for place in device::all(store, "vif").into_iter().flatten() {
            let wanted = number.map(|number| format!("device/vif/{number}"));
            if wanted.is_some_and(|wanted| wanted != place.path) || !is_one(store, &place) {
                continue;
            }
            if self.0.iter().any(|(known, _)| known.path == place.path) {
                found = Errno::BUSY;
                continue;
            }
            match place.state(store) {
                state::WAITING => {}
                // It is to wait for us again.
                state::CLOSING | state::CLOSED => {
                    let _ = place.enter(store, state::INITIALISING);
                    found = Errno::AGAIN;
                    continue;
                }
                _ => {
                    found = Errno::AGAIN;
                    continue;
                }
            }
            match new(store, &place) {
                Ok(cable) => {
                    let cable = Arc::new(cable);
                    self.0.push((place, cable.clone()));
                    return Ok(cable);
                }
                Err(problem) => {
                    say!("rumprun: {}: no cable: {problem}", place.path);
                    found = Errno::NOMEM;
                }
            }
        }
        Err(found)
    }

    /// Something has changed, as this word says: a back end may have gone.
    pub(in super::super) fn changed(&mut self, store: &mut Store, token: &str) {
        let Some(at) = self.0.iter().position(|(place, _)| place.path == token) else {
            return;
        };
        if self.0[at].0.state(store) >= state::CLOSING {
            say!("rumprun: {token}: its back end has gone");
            self.close(store, at);
        }
    }

    /// The program has closed one.
    pub(in super::super) fn closed(&mut self, store: &mut Store, id: u64) {
        if let Some(at) = self.0.iter().position(|(_, cable)| cable.id == id) {
            self.close(store, at);
        }
    }

    fn close(&mut self, store: &mut Store, at: usize) {
        let (place, cable) = self.0.swap_remove(at);
        cable.end();
        place.close(store);
        // It may have gone with its domain.
        let _ = store.unwatch(&format!("{}/state", place.backend), &place.path);
    }
}

/// Says all that the back end has to know.
fn new(store: &mut Store, place: &Place) -> Result<Cable, Problem> {
    let text = store.read(&format!("{}/mac", place.path))?;
    let address = super::super::netfront::ethernet(&text).ok_or(Problem::Value("mac", text))?;
    let control = Shared::pages(place.domain, PAGES.len())?;
    let channel = Channel::new(place.domain)?;
    for (name, grant) in PAGES.iter().zip(control.grants()) {
        place.tell(store, name, &format!("{grant}"))?;
    }
    place.tell(store, PORT, &format!("{}", channel.port()))?;
    place.tell(store, WANTED, "1")?;
    store.watch(&format!("{}/state", place.backend), &place.path)?;
    place.enter(store, state::CONNECTED)?;
    Ok(Cable {
        id: new_id(),
        domain: place.domain,
        address,
        channel,
        control: Control::Ours(control),
        frames: Mutex::new(Frames::None),
        closed: AtomicBool::new(false),
    })
}
