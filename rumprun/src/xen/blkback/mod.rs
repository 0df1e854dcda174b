//! A disk of another domain's (io/blkif.h): the back end of its front end, over a disk of the
//! kernel's that the program offers ([`offers`]).
//!
//! ```text
//! ring -> [`request`]: read -> [`desk`]: copied by [`pages`] -> the kernel's disk
//! ring <- answered          <- [`desk`]: copied by [`pages`] <- [`done`]: told by its driver
//!                              [`errands`]: flushes and discards, which a thread waits for
//! ```
//!
//! Each queue has a ring of one or more pages, an event channel and a thread, and as many
//! transfers under way as it has memory for ([`memory`]). It is there while its front end is
//! connected ([`back`](super::back)); when it goes, transfers that were begun are waited for,
//! and then the pages of the rings are let go of.
//!
//! # Order, and what is safe
//! Requests are done in any order, as the protocol has it. A write is answered when the disk has
//! taken it, a flush when all that was answered before it was asked for is on stable storage.
//! So what a front end was told is flushed does not depend on this domain any more. Barriers,
//! the older way, are not offered: a flush says the same and holds nothing up.
//!
//! # Grants that persist
//! A front end that keeps its grants (`feature-persistent`) copies all through pages that it has
//! granted for good, and these are mapped once, in place of a copy of Xen's for each ([`pages`]).
//!
//! # What is known to be weak
//! - Only the layout of requests that 64-bit x86 domains write is read (`x86_64-abi`).
//! - A disk is taken for one that can discard until it says that it cannot.

mod desk;
mod done;
mod errands;
#[cfg(test)]
mod fuzz;
pub(super) mod memory;
mod pages;
mod request;

use super::abi::disk;
use super::back_ring::BackRing;
use super::device::Problem;
use super::event::Channel;
use super::foreign::Mapping;
use super::ring::Broken;
use super::store::Store;
use crate::block::medium::Medium;
use crate::block::offers::{self, Offer};
use crate::{cpu, sched, time};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use desk::Desk;
use done::Done;
use errands::Errands;
use memory::Pool;
use pages::{Domain, Pages};

/// A ring has two to the power of this pages at most.
const ORDER: u32 = 4;
/// The most queues.
const QUEUES: usize = 8;

/// How often an event may come for nothing before it is slept for a while, and how long.
const IN_VAIN: u32 = 8;
const WHILE_NS: u64 = 2_000_000;

/// A disk that is given to a front end.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    offer: Offer,
    writable: bool,
}

impl Lease {
    pub(super) fn name(&self) -> &str {
        &self.offer.name
    }

    pub(super) fn path(&self) -> &str {
        &self.offer.path
    }

    pub(super) fn is_writable(&self) -> bool {
        self.writable
    }
}

fn queues() -> usize {
    cpu::data::count().clamp(1, QUEUES)
}

/// The disk that xl has chosen for a device, with a mode; `given` are those that others have.
fn choose<'a>(
    name: &str,
    mode: &str,
    offer: Option<Offer>,
    mut given: impl Iterator<Item = &'a Lease>,
) -> Result<Lease, Problem> {
    let terms = |text: String| Problem::Terms(text);
    let offer = offer.ok_or_else(|| terms(format!("the program offers no disk `{name}`")))?;
    let writable = match mode {
        "r" => false,
        "w" => true,
        _ => return Err(terms(format!("xl says mode is `{mode}`"))),
    };
    if writable && !offer.writable {
        let text =
            format!("the disk `{name}` is offered to be read only, and access=ro is not set");
        return Err(terms(text));
    }
    // What one domain writes another one would not see.
    if given.any(|other| other.offer.path == offer.path && (other.writable || writable)) {
        let text = format!("the disk `{name}` is another's, and one of them writes to it");
        return Err(terms(text));
    }
    Ok(Lease { offer, writable })
}

/// Says what is offered to the front end of a new device, and which disk it is.
pub(super) fn begin<'a>(
    store: &mut Store,
    path: &str,
    given: impl Iterator<Item = &'a Lease>,
) -> Result<Lease, Problem> {
    let name = store.read(&format!("{path}/params"))?;
    let mode = store.read(&format!("{path}/mode"))?;
    let lease = choose(&name, &mode, offers::find(&name), given)?;
    for (name, value) in [
        ("feature-max-indirect-segments", request::MOST as u64),
        ("feature-persistent", 1),
        ("max-ring-page-order", ORDER.into()),
        ("multi-queue-max-queues", queues() as u64),
    ] {
        store.write(&format!("{path}/{name}"), &value.to_string())?;
    }
    Ok(lease)
}

/// A queue's thread, and how it is told to end.
#[derive(Debug)]
struct Running {
    done: Arc<Done>,
    ended: Arc<AtomicU32>,
}

/// The back end. When it is dropped all of it has ended.
pub(super) struct Blkback {
    queues: Vec<Running>,
    errands: Arc<Errands>,
    /// Of the thread that does these.
    ended: Option<Arc<AtomicU32>>,
    // The pages of the rings, for as long as these are used.
    _mappings: Vec<Mapping>,
    // Closed last, by who drops this.
    medium: Arc<dyn Medium>,
}

/// What a queue is made of, as the front end says.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    references: Vec<u32>,
    port: u32,
}

/// Reads what a front end says of its queues.
fn said(mut read: impl FnMut(&str) -> Option<String>) -> Result<Vec<Said>, Problem> {
    let no = |name, value: &str| Problem::Value(name, value.into());
    if let Some(protocol) = read("protocol")
        && protocol != disk::PROTOCOL
    {
        return Err(no("protocol", &protocol));
    }
    let mut number = |name: &'static str, most: usize, other: usize| match read(name) {
        None => Ok(other),
        Some(text) => match text.parse() {
            Ok(number) if number <= most => Ok(number),
            _ => Err(no(name, &text)),
        },
    };
    let order = number("ring-page-order", ORDER as usize, 0)?;
    let count = number("multi-queue-num-queues", queues(), 1)?;
    if count == 0 {
        return Err(no("multi-queue-num-queues", "0"));
    }
    let mut all = Vec::new();
    for queue in 0..count {
        let folder = if count == 1 {
            String::new()
        } else {
            format!("queue-{queue}/")
        };
        let mut number = |name: &str| {
            let text = read(&format!("{folder}{name}"))?;
            text.parse::<u32>().ok()
        };
        let references = if order == 0 {
            number("ring-ref")
                .or_else(|| number("ring-ref0"))
                .map(|one| [one].into())
        } else {
            (0..1 << order)
                .map(|at| number(&format!("ring-ref{at}")))
                .collect()
        };
        let references = references.ok_or_else(|| no("ring-ref", "no number"))?;
        let port = number("event-channel").ok_or_else(|| no("event-channel", "no number"))?;
        all.push(Said { references, port });
    }
    Ok(all)
}

/// What a front end is told of a disk.
fn about(medium: &dyn Medium, discards: bool) -> Vec<(&'static str, u64)> {
    let shape = medium.shape();
    let sector = u64::from(shape.sector_size);
    let info = if shape.read_only { disk::READ_ONLY } else { 0 };
    let mut about = Vec::from([
        ("sectors", request::units(shape)),
        ("sector-size", sector),
        ("physical-sector-size", sector),
        ("info", info.into()),
        ("feature-flush-cache", medium.has_cache().into()),
        ("feature-discard", discards.into()),
    ]);
    if discards {
        about.extend([
            ("discard-granularity", sector),
            ("discard-alignment", 0),
            ("discard-secure", 0),
        ]);
    }
    about
}

impl Blkback {
    /// Connects to a front end of a domain, which has written all that it has to. `path` is
    /// ours, `front` its.
    pub(super) fn new(
        store: &mut Store,
        domain: u16,
        path: &str,
        front: &str,
        lease: &Lease,
        medium: Arc<dyn Medium>,
    ) -> Result<Self, Problem> {
        let all = said(|name| store.read(&format!("{front}/{name}")).ok())?;
        // xl's user may not want them.
        let wanted = store.number(&format!("{path}/discard-enable"));
        let discards = lease.writable && wanted != Ok(0);
        for (name, value) in about(&*medium, discards) {
            store.write(&format!("{path}/{name}"), &value.to_string())?;
        }
        let mut back = Self {
            queues: Vec::new(),
            errands: Arc::new(Errands::new()),
            ended: None,
            _mappings: Vec::new(),
            medium,
        };
        let errands = back.errands.clone();
        let ended = back.run("flushes", move |medium| errands.serve(medium))?;
        back.ended = Some(ended);
        let keeps = store.read(&format!("{front}/feature-persistent"));
        let keeps = keeps.is_ok_and(|value| value == "1");
        for queue in all {
            let pool = Pool::new(lease.path()).ok_or(Problem::Memory)?;
            back.add(Domain::new(domain, keeps), pool, path, &queue)?;
        }
        Ok(back)
    }

    /// Runs a thread that uses the disk. The word is 1 when it has ended.
    fn run(
        &self,
        name: &str,
        main: impl FnOnce(&dyn Medium) + Send + 'static,
    ) -> Result<Arc<AtomicU32>, Problem> {
        let medium = self.medium.clone();
        let ended = Arc::new(AtomicU32::new(0));
        let end = ended.clone();
        let main = move || {
            medium.enter();
            main(&*medium);
            medium.leave();
            drop(medium);
            end.store(1, Ordering::Release);
            sched::unpark(end.as_ptr().addr() as u64, usize::MAX);
        };
        sched::try_spawn(main, name, sched::KERNEL).map_err(|_| Problem::Memory)?;
        Ok(ended)
    }

    /// Begins with a queue.
    fn add(&mut self, pages: Domain, pool: Pool, path: &str, said: &Said) -> Result<(), Problem> {
        let domain = pages.number();
        let channel = Channel::of_other(domain, said.port)?;
        let mut ring = Vec::new();
        for reference in &said.references {
            let mapping = Mapping::new(domain, *reference)?;
            ring.push(mapping.page());
            self._mappings.push(mapping);
        }
        let ring = BackRing::over(ring, disk::REQUEST);
        if ring.waiting().is_err() {
            let text = String::from("a ring whose indexes make no sense");
            return Err(Problem::Value("ring-ref", text));
        }
        let done = Arc::new(Done::new(Some(channel)));
        let (teller, errands) = (done.clone(), self.errands.clone());
        let below = (self.medium.clone(), pool);
        let desk = Desk::new(ring, pages, below, teller.clone(), errands);
        let path = String::from(path);
        let ended = self.run("vbd", move |_| serve(desk, &teller, &path))?;
        if let Some(channel) = done.channel() {
            channel.notify();
        }
        self.queues.push(Running { done, ended });
        Ok(())
    }
}

fn wait(ended: &AtomicU32) {
    while ended.load(Ordering::Acquire) == 0 {
        sched::park(ended, 0, None);
    }
}

impl Drop for Blkback {
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.done.stop();
        }
        self.errands.stop();
        if let Some(ended) = &self.ended {
            wait(ended);
        }
        for queue in &self.queues {
            wait(&queue.ended);
        }
    }
}

/// Serves a queue until it is told to stop and nothing is under way.
fn serve(mut desk: Desk<impl Pages>, done: &Done, path: &str) {
    let Some(channel) = done.channel() else {
        return;
    };
    let mut trusted = true;
    let distrust = |Broken| {
        crate::say!("rumprun: {path}: its front end writes nonsense; it is not used any more");
        false
    };
    let mut in_vain = 0;
    loop {
        let mut some = desk.finish();
        let stopped = done.is_stopped();
        if stopped && desk.is_idle() {
            return;
        }
        let takes = trusted && !stopped;
        if takes {
            match desk.take() {
                Ok(taken) => some |= taken,
                Err(broken) => trusted = distrust(broken),
            }
        }
        if desk.publish() {
            channel.notify();
        }
        if some {
            in_vain = 0;
            continue;
        }
        if takes && trusted {
            match desk.ask() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(broken) => trusted = distrust(broken),
            }
        }
        if in_vain > IN_VAIN {
            sched::sleep_until(time::monotonic_ns() + WHILE_NS);
        }
        in_vain += 1;
        channel.rearm();
        channel.line().wait(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    fn offer(name: &str, path: &str, writable: bool) -> Offer {
        Offer {
            name: name.into(),
            path: path.into(),
            writable,
        }
    }

    #[test]
    fn nobody_gets_what_is_not_offered() {
        let data = || Some(offer("data", "/dev/rld0d", true));
        let text = || Some(offer("text", "/dev/rld1d", false));
        let choose =
            |name, mode, offer, given: &[Lease]| super::choose(name, mode, offer, given.iter());
        let refused = |lease: Result<Lease, Problem>| lease.unwrap_err().to_string();
        let no = refused(choose("other", "r", None, &[]));
        assert_eq!(no, "the program offers no disk `other`");
        assert!(refused(choose("text", "w", text(), &[])).contains("read only"));
        assert!(refused(choose("text", "", text(), &[])).contains("mode"));
        assert!(choose("text", "r", text(), &[]).is_ok_and(|lease| !lease.is_writable()));
        let writer = choose("data", "w", data(), &[]).unwrap();
        let reader = choose("data", "r", data(), &[]).unwrap();
        assert!(writer.is_writable() && !reader.is_writable());
        // Also under another name.
        let same = || Some(offer("same", "/dev/rld0d", true));
        assert!(refused(choose("same", "r", same(), &[writer])).contains("another's"));
        assert!(choose("same", "w", same(), core::slice::from_ref(&reader)).is_err());
        assert!(choose("same", "r", same(), core::slice::from_ref(&reader)).is_ok());
        assert!(choose("text", "r", text(), &[reader]).is_ok());
    }

    fn keys(all: &[(&str, &str)]) -> Result<Vec<Said>, Problem> {
        let all: BTreeMap<_, _> = all.iter().copied().collect();
        said(|name| all.get(name).map(ToString::to_string))
    }

    #[test]
    fn front_ends_say_what_their_queues_are() {
        let one = [
            ("protocol", "x86_64-abi"),
            ("ring-ref", "9"),
            ("event-channel", "5"),
        ];
        let first = Said {
            references: [9].into(),
            port: 5,
        };
        assert_eq!(keys(&one), Ok([first].into()));
        let two = [
            ("ring-page-order", "1"),
            ("ring-ref0", "8"),
            ("ring-ref1", "4294967295"),
            ("event-channel", "5"),
            ("multi-queue-num-queues", "1"),
        ];
        let first = Said {
            references: [8, u32::MAX].into(),
            port: 5,
        };
        assert_eq!(keys(&two), Ok([first].into()));
        for without in 1..4 {
            let mut less = two.to_vec();
            less.remove(without);
            assert!(keys(&less).is_err());
        }
        for (name, value) in [
            ("protocol", "x86_32-abi"),
            ("ring-page-order", "5"),
            ("ring-page-order", "-1"),
            ("multi-queue-num-queues", "0"),
            ("multi-queue-num-queues", "1000"),
            ("multi-queue-num-queues", "two"),
            ("ring-ref", ""),
            ("event-channel", "0x5"),
        ] {
            let mut other = one.to_vec();
            other.push((name, value));
            assert!(keys(&other).is_err(), "{name} {value}");
        }
    }
}
