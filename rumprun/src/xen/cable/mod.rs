//! Cables of the program's to other domains: what a network server and its applications are
//! joined by, where they are domains (`docs/services.md`).
//!
//! A cable takes the place of a network interface that xl(1) has made. The back end's domain
//! offers it (`feature-rump-ring`), and a front end that wants one says so (`request-rump-ring`)
//! where it would tell of an interface's rings. Then there are
//!
//! - two pages of the front end's, which both write: messages, and what [`memory`] tells of;
//! - an event channel;
//! - memory of the back end's for frames, which the front end maps when it has heard of it.
//!
//! What is in them is the program's, on both sides: `rump_ring`, as between two processes.
//!
//! | module | is |
//! |---|---|
//! | [`memory`] | pages of ours that another domain may map, and mapping its |
//! | [`desk`] | what is wanted of the thread that talks to xenstore |
//! | [`front`] | network interfaces of ours that are cables |
//! | `gates` | what the program calls |
//!
//! # Who owns the memory
//! The server does, so that it is what the server says, and stays when an application goes away.
//! Xen takes mappings of it away with the domain that has them. A domain that lives and does not
//! unmap keeps the pages of its cables from being used for something else: those of
//! [`memory::KEPT`] cables at most, then it gets no other.
//! A server that is gone leaves its pages to who has them mapped, so that what was under way in
//! them can be sent again by its successor.

pub(super) mod desk;
pub(super) mod front;
#[cfg(feature = "image")]
mod gates;
mod memory;

use super::device::Problem;
use super::event::Channel;
use super::foreign::Mapping;
use super::hypercall::Refused;
use super::page::Page;
use super::store::Store;
use crate::process::lock::Mutex;
use crate::sched;
use crate::sync::Lock;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use memory::{Mapped, Shared};
use rump_hyper::errno::Errno;

/// What a back end offers, and a front end wants.
const OFFERED: &str = "feature-rump-ring";
const WANTED: &str = "request-rump-ring";
/// Where a front end says what its two pages are, and its port.
const PAGES: [&str; 2] = ["rump-ring-ref0", "rump-ring-ref1"];
const PORT: &str = "event-channel";
/// Cables that wait to be accepted at most.
const WAITING: usize = 64;

/// The two pages: the front end writes the first, the back end the second.
#[derive(Debug)]
enum Control {
    Ours(Shared),
    Theirs([Mapping; 2]),
}

/// Memory for frames: there until the cable is not.
#[derive(Debug)]
#[allow(dead_code, reason = "it is let go of when it is dropped")]
enum Frames {
    None,
    Ours(Shared),
    Theirs(Mapped),
}

/// A cable.
#[derive(Debug)]
pub(super) struct Cable {
    id: u64,
    domain: u16,
    /// That which xl has given the interface.
    address: [u8; 6],
    channel: Channel,
    control: Control,
    frames: Mutex<Frames>,
    closed: AtomicBool,
}

/// All that the program has, and what it has not accepted yet.
static ALL: Lock<BTreeMap<u64, Arc<Cable>>> = Lock::new(BTreeMap::new());
static ACCEPTABLE: Lock<VecDeque<Arc<Cable>>> = Lock::new(VecDeque::new());
/// Counts what came there: who accepts sleeps on it.
static CAME: AtomicU32 = AtomicU32::new(0);
/// Whether the program takes cables.
static OFFERS: AtomicBool = AtomicBool::new(false);

fn new_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Cable {
    /// The page that this side writes, and the other.
    fn pages(&self) -> [Page; 2] {
        match &self.control {
            Control::Ours(pages) => [pages.page(0), pages.page(1)],
            Control::Theirs([first, second]) => [second.page(), first.page()],
        }
    }

    /// Nothing goes over it any more. Who waits is told.
    fn end(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.channel.line().fire();
            self.channel.notify();
        }
    }

    /// Waits until the other side rings; false when it is closed.
    fn wait(&self) -> bool {
        self.channel.rearm();
        let closed = || self.closed.load(Ordering::Acquire);
        !closed() && self.channel.line().wait(None).is_some() && !closed()
    }

    /// Makes memory for frames.
    fn share(&self, len: usize) -> Result<u64, Refused> {
        let mut frames = self.frames.lock();
        if !matches!(*frames, Frames::None) || matches!(self.control, Control::Ours(_)) {
            return Err(Refused(super::NO_MEMORY));
        }
        let shared = Shared::with_list(self.domain, len)?;
        let [ours, _] = self.pages();
        shared.announce(ours);
        let start = shared.start();
        *frames = Frames::Ours(shared);
        Ok(start)
    }

    /// Maps what the other side has made.
    fn map(&self, len: usize) -> Result<u64, Refused> {
        let mut frames = self.frames.lock();
        if !matches!(*frames, Frames::None) {
            return Err(Refused(super::NO_MEMORY));
        }
        let [_, theirs] = self.pages();
        let mapped = Mapped::announced(self.domain, theirs, len)?;
        let start = mapped.start();
        *frames = Frames::Theirs(mapped);
        Ok(start)
    }
}

/// What is said in xenstore of a back end's device, if the program takes cables.
pub(super) fn offer(store: &mut Store, path: &str) -> Result<(), Problem> {
    if OFFERS.load(Ordering::Acquire) {
        store.write(&format!("{path}/{OFFERED}"), "1")?;
    }
    Ok(())
}

/// The cable that a front end wants, if it does and may: its number, and what ends it.
pub(super) fn serve(
    store: &mut Store,
    domain: u16,
    path: &str,
    front: &str,
) -> Result<Option<(u64, impl FnOnce() + Send + use<>)>, Problem> {
    let mut says = |name: &str| store.number::<u32>(&format!("{front}/{name}"));
    if !says(WANTED).is_ok_and(|wanted| wanted == 1) || !OFFERS.load(Ordering::Acquire) {
        return Ok(None);
    }
    let [first, second] = [says(PAGES[0])?, says(PAGES[1])?];
    let port = says(PORT)?;
    let text = store.read(&format!("{path}/mac"))?;
    let address = super::netfront::ethernet(&text).ok_or(Problem::Value("mac", text))?;
    let channel = Channel::of_other(domain, port)?;
    let control = [Mapping::new(domain, first)?, Mapping::new(domain, second)?];
    let cable = Arc::new(Cable {
        id: new_id(),
        domain,
        address,
        channel,
        control: Control::Theirs(control),
        frames: Mutex::new(Frames::None),
        closed: AtomicBool::new(false),
    });
    {
        let mut waiting = ACCEPTABLE.lock();
        if waiting.len() >= WAITING {
            return Err(Problem::Memory);
        }
        waiting.push_back(cable.clone());
    }
    CAME.fetch_add(1, Ordering::Release);
    sched::unpark(CAME.as_ptr().addr() as u64, 1);
    Ok(Some((cable.id, move || cable.end())))
}

/// Waits for one that was not accepted yet.
fn accept() -> Arc<Cable> {
    loop {
        let came = CAME.load(Ordering::Acquire);
        let next = ACCEPTABLE.lock().pop_front();
        match next {
            Some(cable) => return cable,
            None => sched::park(&CAME, came, None),
        };
    }
}

/// The program has it from here on.
fn keep(cable: Arc<Cable>) {
    ALL.lock().insert(cable.id, cable);
}

fn find(id: u64) -> Option<Arc<Cable>> {
    ALL.lock().get(&id).cloned()
}

/// Closes one, and has the other side told.
fn close(cable: &Cable) {
    cable.end();
    desk::ask(desk::Wish::Close {
        id: cable.id,
        front: matches!(cable.control, Control::Ours(_)),
    });
}

/// The program has it no more.
fn forget(id: u64) -> Option<Arc<Cable>> {
    let cable = ALL.lock().remove(&id)?;
    close(&cable);
    Some(cable)
}
