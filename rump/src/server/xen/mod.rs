//! Servers and applications that are domains of Xen's, each in an image.
//!
//! The platform has pages that both have and an event channel (`rump_sys::xen`), and what is in
//! them is the same as between processes: messages, here in a lane each way, and frames in the
//! lanes of a cable. A thread of each connection hears when the other side rings, and wakes who
//! sleeps in a queue, or reads messages.

mod ctl;
mod door;
#[cfg(test)]
mod tests;
mod wire;

pub use ctl::{Ctl, Order};
pub use door::{Domain, Door};

use crate::sys::xen::Cable;
use nix::sys::eventfd::{EfdFlags, EventFd};
use rump_sys::hyper::linux::cable::{Side, Socket};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wire::Wire;

/// How long a server is given to answer, also where it is to come after another: before it hears
/// anything it has to look into xenstore, a dozen times, and its toolstack may be busy. One that is
/// gone is noticed at once.
const ANSWER: Duration = Duration::from_secs(30);
/// What stands before the number of a network interface in the name of a place.
const SCHEME: &str = "xen:";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bell() -> io::Result<EventFd> {
    let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
    Ok(EventFd::from_flags(flags)?)
}

/// The number of the interface that a place names, if it names one: `xen:2`, or `xen:` for any.
fn number(place: &Path) -> Option<io::Result<Option<u16>>> {
    let number = place.to_str()?.strip_prefix(SCHEME)?;
    let wrong = |_| io::Error::new(ErrorKind::InvalidInput, "xen:NUMBER is an interface");
    Some(match number {
        "" => Ok(None),
        number => number.parse().map(Some).map_err(wrong),
    })
}

/// How long the server at a place is given to answer, where one with a socket is given so long.
pub(super) fn patience(place: &Path, time: Duration) -> Duration {
    number(place).map_or(time, |_| time.max(ANSWER))
}

/// Connects to a server: by its socket, or by a network interface of Xen's.
pub(super) fn connect(place: &Path) -> io::Result<Socket> {
    match number(place) {
        None => Socket::connect(place),
        Some(number) => {
            let cable = Cable::connect(number?)?;
            Ok(Wire::begin(Box::new(cable), Side::Guest, 0)?)
        }
    }
}
