//! Where applications in other domains connect.

use super::wire::Wire;
use super::{bell, lock};
use crate::sys::xen::{self, Cable};
use nix::sys::eventfd::EventFd;
use rump_sys::hyper::linux::cable::{self, Side, Socket};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};

/// A domain that wants to be an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Domain {
    /// Its number.
    pub number: u32,
    /// The Ethernet address that Xen's tools have given its network interface (`mac=` of
    /// xl-network-configuration(5)).
    pub address: [u8; 6],
}

/// Where applications in other domains connect to a network server in this image
/// (`rump_server::worker::here`): by their network interfaces whose back ends are here.
#[derive(Debug)]
pub struct Door(Arc<Waiting>);

#[derive(Debug)]
struct Waiting {
    sockets: Mutex<VecDeque<Socket>>,
    bell: EventFd,
}

impl Door {
    /// Opens it, for good. `user` says as which user a domain counts.
    ///
    /// # Errors
    /// This is no image under Xen (`ENOSYS`, `ENXIO`); there is no memory for a thread.
    pub fn open(user: impl Fn(Domain) -> u32 + Send + 'static) -> io::Result<Self> {
        let waiting = Arc::new(Waiting {
            sockets: Mutex::default(),
            bell: bell()?,
        });
        xen::offer()?;
        let inside = Arc::clone(&waiting);
        std::thread::Builder::new()
            .name("rump-door".into())
            .spawn(move || inside.accept(user))?;
        Ok(Self(waiting))
    }
}

impl Waiting {
    fn accept(&self, user: impl Fn(Domain) -> u32) {
        while let Ok(cable) = Cable::accept() {
            let domain = Domain {
                number: cable.domain(),
                address: cable.address(),
            };
            match Wire::begin(Box::new(cable), Side::Maker, user(domain)) {
                Ok(socket) => {
                    lock(&self.sockets).push_back(socket);
                    let _ = self.bell.write(1);
                }
                Err(error) => tracing::error!(%error, ?domain, "no room for an application"),
            }
        }
    }
}

impl cable::Door for Door {
    fn file(&self) -> BorrowedFd<'_> {
        self.0.bell.as_fd()
    }

    fn accept(&self) -> io::Result<Option<Socket>> {
        if let Some(socket) = lock(&self.0.sockets).pop_front() {
            return Ok(Some(socket));
        }
        let _ = self.0.bell.read();
        Ok(lock(&self.0.sockets).pop_front())
    }
}
