//! What dom0 orders of the program by xenstore, and what the program answers (`docs/services.md`).
//!
//! An order is the text of one node, which dom0 alone can write; what the program says is in nodes
//! of a folder that is the domain's own. The thread that talks to xenstore passes texts on, and
//! knows nothing of what is in them.

use super::cable::desk::{self, Wish};
use super::store::{Error, Store};
use crate::sched;
use crate::sync::Lock;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use rump_hyper::errno::Errno;

/// Where orders come; also the word of its changes.
const ORDERS: &str = "control/rump-ctl";
/// Below here the program says things.
const SAID: &str = "data/rump-ctl";
/// So many orders wait to be heard; further ones are lost.
const WAITING: usize = 16;
/// What xenstored takes from a guest by default, in one node.
const LONGEST: usize = 1024;

static WAIT: Lock<VecDeque<String>> = Lock::new(VecDeque::new());
/// Counts what came: who hears sleeps on it.
static CAME: AtomicU32 = AtomicU32::new(0);
/// Whether somebody hears.
static HEARD: AtomicBool = AtomicBool::new(false);

/// Somebody hears from here on.
pub(super) fn watch(store: &mut Store) -> Result<(), Error> {
    if HEARD.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    store.watch(ORDERS, ORDERS)
}

/// Something has changed, as this word says: there may be an order.
pub(super) fn changed(store: &mut Store, token: &str) {
    if token != ORDERS {
        return;
    }
    // It is not there before the first order.
    let Ok(text) = store.read(ORDERS) else {
        return;
    };
    let mut waiting = WAIT.lock();
    if waiting.len() < WAITING && !text.is_empty() {
        waiting.push_back(text);
        drop(waiting);
        CAME.fetch_add(1, Ordering::Release);
        sched::unpark(CAME.as_ptr().addr() as u64, 1);
    }
}

/// Writes what the program says.
pub(super) fn say(store: &mut Store, name: &str, text: &str) -> Result<(), Errno> {
    store
        .write(&format!("{SAID}/{name}"), text)
        .map_err(|error| {
            crate::say!("rumprun: the answer to an order of dom0's is lost: {error}");
            Errno::IO
        })
}

/// Waits for an order.
#[cfg_attr(not(feature = "image"), allow(dead_code))]
pub(super) fn hear() -> String {
    loop {
        let came = CAME.load(Ordering::Acquire);
        let next = WAIT.lock().pop_front();
        match next {
            Some(order) => return order,
            None => sched::park(&CAME, came, None),
        };
    }
}

/// Has the program hear orders.
#[cfg_attr(not(feature = "image"), allow(dead_code))]
pub(super) fn open() -> Result<(), Errno> {
    let asked = desk::ask(Wish::Hear);
    asked.then_some(()).ok_or(Errno::NXIO)
}

/// Has the program say something, in a node of this name.
#[cfg_attr(not(feature = "image"), allow(dead_code))]
pub(super) fn tell(name: &str, text: &str) -> Result<(), Errno> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.is_empty() || name.len() > 32 || !name.bytes().all(is_name) || text.len() > LONGEST {
        return Err(Errno::INVAL);
    }
    desk::say(name, text)
}
