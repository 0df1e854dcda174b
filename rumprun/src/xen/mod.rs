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
//! | `netfront` | a network interface |
//! | `firmware` | the command line of an HVM guest |
//!
//! What is the same on every machine stays as it is: local APICs and their timers, other CPUs
//! by INIT and start-up, which Xen has for PVH and HVM alike. Xen itself is trusted, as a CPU
//! is. Other domains are not: what they write is checked where it is read.
//!
//! # Order
//! The console works from the first line on. `set_up` maps the page that is shared with Xen,
//! before the clocks are set up; each CPU then turns its events on (`enable`). Devices are
//! found when the kernel has booted (`attach`); after that a thread waits for what xenstore
//! tells: back ends that go away, and `xl shutdown`, which is SIGTERM for the program.
//!
//! # What is known to be weak
//! - Events go to the first 32 CPUs.
//! - A back end that has gone and comes back (a restarted driver domain) is not connected
//!   anew; neither is a guest that was saved and restored, or moved.
//! - Network interfaces have no offloads: a frame is copied, and its checksum made, here.

mod abi;
pub(crate) mod clock;
pub(crate) mod console;
mod device;
pub(crate) mod event;
pub(crate) mod firmware;
mod grant;
pub(crate) mod hypercall;
mod netfront;
mod page;
mod pipe;
mod ring;
mod store;

use crate::say;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use device::Place;
use hypercall::Refused;
use netfront::Netfront;
use store::{Error, Store};

pub(crate) use hypercall::is_xen;

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

/// Connects the devices, has `attach` make an interface of the kernel's of each network
/// interface, and returns the interfaces' names.
pub(crate) fn attach(attach: impl Fn(Arc<Netfront>, [u8; 6]) -> Option<String>) -> Vec<String> {
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
    let (mut names, mut cards) = (Vec::new(), Vec::new());
    for place in device::all(&mut store, "vif") {
        let connected = place.and_then(|place| Netfront::new(&mut store, place));
        match connected {
            Ok(card) => {
                let card = Arc::new(card);
                names.extend(attach(card.clone(), card.address()));
                cards.push(card);
            }
            Err(problem) => say!("rumprun: a network interface of Xen's is not used: {problem}"),
        }
    }
    let main = move || {
        let Err(error) = watch(&mut store, &cards);
        say!("rumprun: {error}: what xl wants is not heard any more");
    };
    if crate::sched::try_spawn(main, "xenstore", crate::sched::KERNEL).is_err() {
        say!("rumprun: there is no memory for a thread that hears what xl wants");
    }
    names
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

/// Where xl writes what it wants.
const WANTED: &str = "control/shutdown";

/// Waits for changes, for ever.
fn watch(store: &mut Store, cards: &[Arc<Netfront>]) -> Result<core::convert::Infallible, Error> {
    // Those who are told of it look for the last.
    store.write("control/feature-poweroff", "1")?;
    store.watch(WANTED, WANTED)?;
    loop {
        let token = store.event(true)?;
        if token == WANTED {
            // It is empty, or not there, until somebody wants something.
            let wanted = store.read(WANTED).unwrap_or_default();
            if matches!(&*wanted, "poweroff" | "halt") {
                store.write(WANTED, "")?;
                say!("rumprun: xl wants this to end: SIGTERM");
                terminate();
            }
        }
        for card in cards.iter().filter(|card| card.place().path == token) {
            let place: &Place = card.place();
            if place.state(store) >= abi::state::CLOSING {
                say!("rumprun: {}: its back end has gone", place.path);
                card.gone();
                place.close(store);
            }
        }
    }
}
