//! The worker: the process that frames go through.
//!
//! | module | is |
//! |---|---|
//! | `application` | a thread for each queue of an application: its ring, the checks, the uplink |
//! | `uplink` | a thread for each queue of a NIC: whose frames are, their rings |
//! | `turns` | who of those who have something to send may, and how much |
//! | `control` | the thread for all sockets: who comes, claims, goes |
//! | `admission` | who may come, and what it is told |
//! | `handover` | a worker hands over to the next |
//! | `sandbox` | what system calls it has left |
//! | [`asks`] | who is in the same process asks it, as `rump ctl` does a supervisor |
//! | [`here`] | the same without a supervisor, in a machine of its own |
//!
//! It starts with nothing but a [link](Link) to the supervisor, and gets all descriptors by
//! it. What it can open later is nothing.

mod admission;
mod application;
pub mod asks;
mod control;
mod handover;
pub mod here;
mod sandbox;
mod turns;
mod uplink;

use crate::config::{CardPlan, Kind, Plan};
use crate::ledger::{Found, Item, Ledger};
use crate::link::Link;
use crate::messages::{FromWorker, ToWorker};
use crate::table::limit::Limits;
use crate::table::{Counters, Host, HostId, Nic, Right, Slot, Table};
use crate::vfio;
use crate::wire::Mac;
use handover::Heir;
use rump_hyper::linux::cable::{End, Socket};
use rump_hyper::linux::{Packet, Tap};
use rump_hyper::vif::{Backend, Offloads};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use turns::Turns;

/// How an application is reached.
#[derive(Debug)]
pub(crate) struct Cable {
    end: End,
    socket: Socket,
    process: Option<i32>,
    nic: usize,
    limits: Mutex<Limits>,
}

/// A NIC.
#[derive(Debug)]
struct Uplink {
    name: String,
    backend: Box<dyn Backend>,
    turns: Turns,
    counters: Counters,
    /// How often each queue was found empty, after all that was in it had gone on.
    empty: Vec<AtomicU64>,
}

/// What all threads have.
#[derive(Debug)]
struct Shared {
    plan: Plan,
    table: RwLock<Table<Arc<Cable>>>,
    uplinks: Vec<Uplink>,
    /// Threads that move frames are to end after what they have in hand.
    stop: AtomicBool,
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, Table<Arc<Cable>>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table<Arc<Cable>>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn grace(&self) -> Duration {
        Duration::from_secs(self.plan.grace)
    }
}

/// Opens cards, all of them at once, for as long as the process lasts: who runs the worker has
/// a kernel with drivers for them.
pub type OpenCards = dyn Fn(&[CardPlan]) -> io::Result<Vec<Box<dyn Backend>>>;

/// How long a card that the worker before still has is waited for.
const CARD: Duration = Duration::from_secs(5);

/// Runs the worker over a link to its supervisor, until it is told to end.
///
/// # Errors
/// It could not start, or the supervisor is gone.
pub fn run(link: Link) -> io::Result<()> {
    run_with_cards(link, &|_| {
        Err(io::Error::other("this program has no drivers for cards"))
    })
}

/// The same, with cards.
///
/// # Errors
/// As [`run`].
pub fn run_with_cards(link: Link, cards: &OpenCards) -> io::Result<()> {
    let (message, files) = link.receive()?;
    let ToWorker::Setup {
        plan,
        files: counts,
        heir,
    } = message
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut files = files.into_iter();
    let mut next = || files.next().ok_or(io::ErrorKind::InvalidData);
    let (ledger, door) = (File::from(next()?), Box::new(Socket::from(next()?)));
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let mut backends: Vec<Option<Box<dyn Backend>>> = Vec::new();
    for (nic, count) in plan.nics.iter().zip(counts) {
        let files: Vec<OwnedFd> = (0..count).map(|_| next()).collect::<Result<_, _>>()?;
        backends.push(open(&nic.kind, files)?);
    }
    let from = heir.then(next).transpose()?.map(Link::of);
    let random = File::open("/dev/urandom")?;
    rump_hyper::linux::calibrate();
    // A card is one worker's at a time: the one before has to end first.
    let later = plan.cards().count() > 0 && from.is_some();
    if !later {
        open_cards(&plan, &mut backends, cards)?;
        sandbox::enter()?;
    }
    link.send(&FromWorker::Ready, &[])?;
    let heir = from.map(Heir::of).transpose()?;
    // The one before goes on serving until this one can, but for a card's sake.
    let mut handed = None;
    if later {
        handed = heir.as_ref().map(Heir::take_over).transpose()?;
        open_cards(&plan, &mut backends, cards)?;
        sandbox::enter()?;
    }
    let shared = shared(*plan, backends.into_iter().flatten(), cpus);
    let (ledger, found) = Ledger::open(ledger)?;
    let superior = control::Superior::Supervisor(link);
    let mut control = control::Control::new(shared, superior, door, ledger, random);
    let slots = control.recall(found);
    let mut running = FromWorker::Running {
        applications: 0,
        gap: None,
    };
    if let Some(heir) = heir {
        let handed = handed.map_or_else(|| heir.take_over(), Ok)?;
        running = control.inherit(heir, handed, &slots)?;
    }
    control.start_uplinks()?;
    control.tell(&running)?;
    control.run()
}

/// What all threads have, with a back end for each NIC.
fn shared(
    plan: Plan,
    backends: impl IntoIterator<Item = Box<dyn Backend>>,
    cpus: usize,
) -> Arc<Shared> {
    let named = plan.nics.iter().zip(backends);
    let uplinks = named.map(|(nic, backend)| Uplink {
        name: nic.name.clone(),
        empty: (0..backend.queues()).map(|_| AtomicU64::new(0)).collect(),
        backend,
        turns: Turns::new(cpus),
        counters: Counters::default(),
    });
    Arc::new(Shared {
        table: RwLock::new(Table::new(hosts(&plan))),
        uplinks: uplinks.collect(),
        plan,
        stop: AtomicBool::new(false),
    })
}

/// Opens what needs no card.
fn open(kind: &Kind, mut files: Vec<OwnedFd>) -> io::Result<Option<Box<dyn Backend>>> {
    let backend: Box<dyn Backend> = match kind {
        Kind::Tap(_) => Box::new(Tap::from_files(files)?),
        Kind::Packet(name) => {
            let file = files.pop().ok_or(io::ErrorKind::InvalidData)?;
            Box::new(Packet::from_file(name, file)?)
        }
        Kind::Pci(_) => return Ok(None),
        Kind::Interface(_) => return Err(io::ErrorKind::Unsupported.into()),
    };
    let taken = backend.offers() & Offloads::RX;
    let refused =
        |errno: rump_hyper::errno::Errno| io::Error::other(format!("offloads: {errno:?}"));
    backend.set_receive_offloads(taken).map_err(refused)?;
    Ok(Some(backend))
}

/// Opens all cards, in their places among the NICs.
fn open_cards(
    plan: &Plan,
    backends: &mut [Option<Box<dyn Backend>>],
    cards: &OpenCards,
) -> io::Result<()> {
    let wanted: Vec<CardPlan> = plan.cards().cloned().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for card in &wanted {
        vfio::wait(card, CARD)?;
    }
    let opened = cards(&wanted)?;
    let places = backends.iter_mut().filter(|place| place.is_none());
    for (place, card) in places.zip(opened) {
        *place = Some(card);
    }
    if backends.iter().any(Option::is_none) {
        return Err(io::Error::other("a card is missing"));
    }
    Ok(())
}

fn hosts(plan: &Plan) -> Vec<Host> {
    let host = |host: &crate::config::HostPlan| {
        let (first, last) = host.ephemeral;
        let nic = Nic(host.nic);
        let mut made = Host::new(&host.name, nic, Mac(host.mac), first..=last, host.lease);
        made.mtu = plan.nics[host.nic].mtu;
        made.addresses.clone_from(&host.addresses);
        made.users.clone_from(&host.users);
        made.most = host.applications.unwrap_or(made.most).min(made.most);
        made.rights = host
            .rights
            .iter()
            .map(|right| Right {
                protocol: Some(right.protocol()),
                ports: right.ports.0..=right.ports.1,
                users: right.users.clone(),
            })
            .collect();
        made
    };
    plan.hosts.iter().map(host).collect()
}

/// What is known of applications that were there before.
#[derive(Debug, Default)]
struct Known {
    application: Option<(HostId, String, u32)>,
    claims: Vec<crate::table::Claim>,
    leases: Vec<std::ops::RangeInclusive<u16>>,
}

impl control::Control {
    /// Expects those who were there before, for a time; keeps what they had for them.
    fn recall(&mut self, found: Vec<Found>) -> HashMap<u128, Slot> {
        let shared = self.shared.clone();
        let until = Instant::now() + shared.grace();
        let mut table = shared.write();
        let mut known: HashMap<u128, Known> = HashMap::new();
        for (ticket, item, _) in &found {
            let of = known.entry(*ticket).or_default();
            match item {
                Item::Application { host, label, user } => {
                    let id = table.hosts().find(|(_, other)| other.name == *host);
                    of.application = id.map(|(id, _)| (id, label.clone(), *user));
                }
                Item::Claim(claim) => of.claims.push(*claim),
                Item::Lease(ports) => of.leases.push(ports.clone()),
            }
        }
        let mut slots = HashMap::new();
        for (ticket, known) in known {
            let Some((host, label, user)) = known.application else {
                continue;
            };
            let slot = table.expect(host, (label, user, ticket), until);
            if table
                .restore(slot, known.claims, known.leases, Some(until))
                .is_ok()
            {
                slots.insert(ticket, slot);
            } else {
                table.leave(slot);
            }
        }
        for (ticket, item, place) in found {
            match slots.get(&ticket) {
                Some(slot) => self.ledger.adopt(*slot, item, place),
                None => self.note(|ledger| ledger.leave(place)),
            }
        }
        slots
    }
}
