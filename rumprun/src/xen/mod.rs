//! The machine as a guest of Xen's, PVH or HVM (Xen 4.6 and later).
//!
//! | module | is |
//! |---|---|
//! | `abi` | numbers and layouts of Xen's public headers |
//! | `hypercall` | finding Xen by cpuid, and calling it |
//! | `page` | a page that others read and write as well |
//! | `pipe`, `ring` | bytes, and requests with responses, in such a page |
//! | `console` | the console |
//! | `event` | event channels as interrupts, with a vector of each CPU |
//! | `clock` | Xen's clocks |
//! | `grant` | pages that another domain may use |
//! | `store` | xenstore, by which domains find each other |
//! | `device` | coming to terms with a back end |
//! | `netfront`, `headers` | a network interface, and where the headers of its frames are |
//! | `blkfront` | a disk |
//! | `foreign`, `back_ring` | pages and rings of other domains' |
//! | `cable` | network interfaces that are cables of a network server's |
//! | `ctl` | what dom0 orders of the program |
//! | `back` | devices of other domains' that are served here |
//! | `netback`, `blkback` | network interfaces and disks among them |
//! | `firmware` | the command line and the archive of an HVM guest |
//!
//! What is the same on every machine stays as it is: local APICs and their timers, other CPUs
//! by INIT and start-up, which Xen has for PVH and HVM alike. Xen itself is trusted, as a CPU
//! is. Other domains are not: what they write is checked where it is read.
//!
//! # Order
//! The console works from the first line on. `set_up` maps the page that is shared with Xen,
//! before the clocks are set up; each CPU then turns its events on (`enable`). Devices are
//! found when the kernel has booted (`attach`); after that a thread waits for what xenstore
//! tells: back ends that go away, front ends of other domains' that are to be served, and `xl
//! shutdown`, which is SIGTERM for the program.
//!
//! # What is known to be weak
//! - Events go to the first 32 CPUs.
//! - A back end that has gone and comes back (a restarted driver domain) is not connected
//!   anew; neither is a guest that was saved and restored, or moved.

mod abi;
mod back;
mod back_ring;
mod blkback;
mod blkfront;
mod cable;
pub(crate) mod clock;
pub(crate) mod console;
mod ctl;
mod device;
pub(crate) mod event;
pub(crate) mod firmware;
mod foreign;
mod grant;
mod headers;
pub(crate) mod hypercall;
mod netback;
mod netfront;
mod page;
mod pipe;
mod ring;
mod store;

use crate::block::medium::Medium;
use crate::say;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use back::Backs;
use cable::desk::{self, Wish};
use cable::front::Fronts;
use device::{Front, Place, Problem};
use hypercall::Refused;
use store::{Error, Store};

pub(crate) use blkfront::Blkfront;
pub(crate) use hypercall::is_xen;
pub(crate) use netback::Netback;
pub(crate) use netfront::Netfront;

/// `ENOMEM` of Xen's numbers, for what is lacking here.
const NO_MEMORY: i64 = 12;

/// Shares a page with Xen, on a guest of it.
pub(crate) fn set_up() {
    if is_xen()
        && let Err(Refused(error)) = event::set_up()
    {
        say!("rumprun: Xen shares no page (error {error}): there are no clocks and devices of it");
    }
}

/// Has events come to the CPU that calls.
pub(crate) fn enable() {
    if is_xen()
        && event::shared_page().is_some()
        && let Err(Refused(error)) = event::enable()
    {
        say!("rumprun: Xen brings no events to this CPU (error {error})");
    }
}

/// Ends the machine: it has failed, or not. Returns if this is no guest of Xen's.
pub(crate) fn shut_down(failed: bool) {
    if is_xen() {
        let reason = if failed {
            abi::sched::CRASH
        } else {
            abi::sched::POWER_OFF
        };
        hypercall::shut_down(reason);
    }
}

/// Removes what was made, and returns when nothing of it is used any more.
pub(crate) type Remove = Box<dyn FnOnce() + Send>;

/// What makes interfaces and disks of the kernel's of the devices here, and tells their names;
/// `None` if the kernel takes one not.
pub(crate) trait Kernel {
    /// The calling thread is going to make and remove such.
    fn enter(&self);
    /// An interface with this address.
    fn interface(&self, card: Arc<Netfront>, address: [u8; 6]) -> Option<String>;
    /// An interface for a front end of another domain's, with this address, until it is removed.
    fn serve(&self, card: Arc<Netback>, address: [u8; 6]) -> Option<(String, Remove)>;
    /// A disk.
    fn disk(&self, disk: Arc<Blkfront>) -> Option<String>;
    /// Opens a disk of the kernel's, by its path in it, to read or also to write.
    fn open(&self, path: &str, writable: bool) -> Option<Arc<dyn Medium>>;
}

/// The program offers a disk to other domains: those that wait for one are looked at.
pub(crate) fn offered() {
    store::look();
}

/// Connects the devices, gives them to the kernel, and returns the names of its interfaces.
pub(crate) fn attach(kernel: impl Kernel + Send + 'static) -> Vec<String> {
    if !is_xen() {
        return Vec::new();
    }
    let mut store = match Store::new() {
        Ok(store) => store,
        Err(error) => {
            say!("rumprun: there is no xenstore, and no device of Xen's: {error}");
            return Vec::new();
        }
    };
    let mut names = Vec::new();
    let mut fronts = connect(&mut store, "vif", Netfront::new, |card| {
        let name = kernel.interface(card.clone(), card.address());
        let is = name.is_some();
        names.extend(name);
        is
    });
    let disk = |disk| kernel.disk(disk).is_some();
    fronts.extend(connect(&mut store, "vbd", Blkfront::new, disk));
    // The program may want something before the thread is there.
    desk::open();
    let main = move || {
        kernel.enter();
        let Err(error) = watch(&mut store, &fronts, kernel);
        desk::shut();
        say!("rumprun: {error}: what xl wants is not heard any more");
    };
    if crate::sched::try_spawn(main, "xenstore", crate::sched::KERNEL).is_err() {
        desk::shut();
        say!("rumprun: there is no memory for a thread that hears what xl wants");
    }
    names
}

/// Connects the devices of a kind, and returns those that the kernel takes.
fn connect<F: Front + 'static>(
    store: &mut Store,
    kind: &str,
    new: impl Fn(&mut Store, Place) -> Result<F, Problem>,
    mut give: impl FnMut(Arc<F>) -> bool,
) -> Vec<Arc<dyn Front>> {
    let mut fronts: Vec<Arc<dyn Front>> = Vec::new();
    for place in device::all(store, kind) {
        // The CD that it was booted from, which has nothing else.
        if place.as_ref().is_ok_and(|place| place.is_cd(store)) {
            continue;
        }
        // It waits for the program, if that wants it.
        if let Ok(place) = &place
            && kind == "vif"
            && cable::front::is_one(store, place)
        {
            say!("rumprun: {} is a cable of a network server's", place.path);
            continue;
        }
        match place.and_then(|place| new(store, place)) {
            Ok(front) => {
                let front = Arc::new(front);
                if give(front.clone()) {
                    fronts.push(front);
                } else {
                    front.place().close(store);
                }
            }
            Err(problem) => say!("rumprun: a {kind} of Xen's is not used: {problem}"),
        }
    }
    fronts
}

/// Asks the program to end.
fn terminate() {
    use crate::process::signal::{Told, send};
    /// `SIGTERM` of Linux's.
    const TERMINATE: u32 = 15;
    send(Told {
        signal: TERMINATE,
        code: 0,
        about: crate::process::PID.into(),
    });
}

/// Does what the program wants.
fn serve_desk(store: &mut Store, backs: &mut Backs<impl Kernel>, cables: &mut Fronts) {
    while let Some(wish) = desk::next() {
        match wish {
            Wish::Offer => backs.offer(store),
            Wish::Connect(number, answer) => answer.give(cables.connect(store, number)),
            Wish::Close { id, front: true } => cables.closed(store, id),
            Wish::Close { id, front: false } => backs.close(store, id),
            Wish::Hear => {
                if let Err(error) = ctl::watch(store) {
                    say!("rumprun: orders of dom0's are not heard: {error}");
                }
            }
            Wish::Say(name, text, answer) => answer.give(ctl::say(store, &name, &text)),
        }
    }
}

/// Where xl writes what it wants.
const WANTED: &str = "control/shutdown";

/// Waits for changes, for ever.
fn watch(
    store: &mut Store,
    fronts: &[Arc<dyn Front>],
    kernel: impl Kernel,
) -> Result<core::convert::Infallible, Error> {
    let mut backs = Backs::new(store, kernel)?;
    let mut cables = Fronts::default();
    // Those who are told of it look for the last.
    store.write("control/feature-poweroff", "1")?;
    store.watch(WANTED, WANTED)?;
    loop {
        let token = store.event(true)?;
        if token == store::HERE {
            serve_desk(store, &mut backs, &mut cables);
        }
        if token == WANTED {
            // It is empty, or not there, until somebody wants something.
            let wanted = store.read(WANTED).unwrap_or_default();
            if matches!(&*wanted, "poweroff" | "halt") {
                store.write(WANTED, "")?;
                say!("rumprun: xl wants this to end: SIGTERM");
                terminate();
            }
        }
        ctl::changed(store, &token);
        backs.changed(store, &token);
        cables.changed(store, &token);
        for front in fronts.iter().filter(|front| front.place().path == token) {
            let place = front.place();
            if place.state(store) >= abi::state::CLOSING {
                say!("rumprun: {}: its back end has gone", place.path);
                front.gone();
                place.close(store);
            }
        }
    }
}
