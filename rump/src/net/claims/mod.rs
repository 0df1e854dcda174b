//! Asking before a port is taken.
//!
//! Kernels that share an address must not take the same port of it. Whoever knows what the
//! others have (a network server, a policy of the program's own)
//! implements [`Claims`], and [`add`] has every bind(2) of TCP and UDP ask for its port
//! first, over IPv4 and IPv6:
//!
//! ```
//! use rump::Errno;
//! use rump::net::claims::{self, Claims, Protocol};
//! use rump::net::{IpAddr, TcpListener};
//! use std::sync::Arc;
//!
//! /// No service has a low port.
//! struct High;
//!
//! impl Claims for High {
//!     fn claim(&self, _: Protocol, _: IpAddr, port: u16) -> Result<(), Errno> {
//!         if port < 1024 { Err(Errno::EACCES) } else { Ok(()) }
//!     }
//!     fn release(&self, _: Protocol, _: IpAddr, _: u16) {}
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! # if !rump::kernel::available() { return Ok(()) }
//! # let kernel = rump::Kernel::builder().boot().map_err(std::io::Error::other)?;
//! let guard = claims::add(Arc::new(High))?;
//! let error = TcpListener::bind("127.0.0.1:80").unwrap_err();
//! assert_eq!(Errno::of(&error), Some(Errno::EACCES));
//! drop(guard);
//! TcpListener::bind("127.0.0.1:80")?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is asked, and what is not
//! - The address is what the program binds to: unspecified for all of its family. An IPv6
//!   socket that also speaks IPv4 asks twice, for `::` and `0.0.0.0`; a mapped address is one
//!   of IPv4.
//! - Ports that the kernel chooses (port 0, connecting without a bind) are not asked about.
//!   They come from the range of `net.inet.ip.anonportmin` to `anonportmax`, those of IPv6
//!   sockets from that of `net.inet6.ip6`; so does a port for `IP_PORTRANGE_HIGH`. Those for
//!   `IP_PORTRANGE_LOW` come from `lowportmin` to `lowportmax`.
//! - A port is released when nothing in this kernel has it any more: connections have that
//!   of the listener that accepted them, also when it is closed, and keep it in `TIME_WAIT`
//!   (in rump-lite, until then).
//! - A bind that fails gives back what it asked for. One that asks for what this kernel has
//!   already (`SO_REUSEADDR`) does not ask again.
//!
//! Without anybody who wants to be asked, a bind costs two atomic additions more, and a
//! connection's end a comparison.

mod table;

pub(crate) use table::{Place, TABLE};

pub use rump_ring::control::Protocol;

use crate::error::Errno;
use crate::sys::claims as raw;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Who is asked.
pub trait Claims: Send + Sync + 'static {
    /// Whether a socket may have this port. May wait; the thread that binds does, and no
    /// other. It holds nothing of the kernel's, and calls of it are allowed.
    ///
    /// # Errors
    /// That of bind(2): `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`. With a panic it is `EIO`.
    fn claim(&self, protocol: Protocol, address: IpAddr, port: u16) -> Result<(), Errno>;

    /// Nothing has that any more which [`claim`](Self::claim) granted, or
    /// [`Guard::live`] told of. Must neither wait nor call the kernel, which is locked.
    fn release(&self, protocol: Protocol, address: IpAddr, port: u16);
}

/// As long as this lives, it is asked.
#[derive(Debug)]
#[must_use = "nobody is asked when it is dropped"]
pub struct Guard(u64);

/// Those who come and go do so one at a time.
static COMING_AND_GOING: Mutex<()> = Mutex::new(());

/// Has `claims` asked from now on. Several may be: all are asked about every bind, in the
/// order in which they were added, until one says no; the earlier ones get their
/// [`release`](Claims::release) then.
///
/// What is bound already is not asked about: [`Guard::live`] tells.
///
/// # Errors
/// Of kind `Unsupported` if the kernel cannot ask; if there is none,
/// [`Down`](crate::kernel::Down).
pub fn add(claims: Arc<dyn Claims>) -> io::Result<Guard> {
    let _one = COMING_AND_GOING
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    // First, so that what the kernel asks about finds somebody to ask.
    let guard = Guard(TABLE.add(claims));
    match raw::set(true) {
        Ok(()) => Ok(guard),
        Err(error) => {
            TABLE.remove(guard.0);
            std::mem::forget(guard);
            Err(error)
        }
    }
}

impl Guard {
    /// All ports that sockets have now, chosen ones too: protocol, address and port.
    /// Unspecified addresses stand for all of a family, and for what has one of them.
    ///
    /// For each there is a [`release`](Claims::release) later. One that is being bound just
    /// now may be asked about and told of here. Of a kernel that is down there are none.
    pub fn live(&self) -> Vec<(Protocol, IpAddr, u16)> {
        let mut places = Vec::new();
        let listed = raw::list(|place| match place {
            Some(place) => places.push(place),
            None => TABLE.note(&mut places),
        });
        if listed.is_err() {
            return Vec::new();
        }
        let parts = places.into_iter();
        parts
            .map(|place| (place.protocol, place.address, place.port))
            .collect()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _one = COMING_AND_GOING
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A kernel that is not there asks nobody.
        if TABLE.remove(self.0) && raw::set(false).is_ok() {
            TABLE.forget();
        }
    }
}
