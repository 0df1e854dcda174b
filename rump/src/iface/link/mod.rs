//! Links: network interfaces of the kernel, and what is behind them.
//!
//! A [`Link`] is an Ethernet interface of the kernel (`vif0`, `vif1`, ...) together with
//! the [`Backend`] that takes and brings its frames: a TAP interface of Linux ([`Tap`]),
//! one that Linux has already ([`Packet`]), or whatever implements the trait. The interface, its addresses and the connections
//! over it stay when the back end is [replaced](Link::replace).
//!
//! ```no_run
//! use rump::iface::Tap;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kernel = rump::Kernel::builder().boot()?;
//! let link = kernel.attach(Tap::open("tap0")?)?;
//! println!("{} is the kernel's end of tap0", link.name());
//! # Ok(())
//! # }
//! ```
//!
//! # Back ends
//! | back end | is | offloads | needs |
//! |---|---|---|---|
//! | [`Tap`] | a TAP interface of Linux, also with several queues | all | CAP_NET_ADMIN |
//! | [`Packet`] | an interface that Linux has, through a packet socket | all | CAP_NET_RAW |
//! | [`Shm`] | a cable to another process, in shared memory | all | a Unix socket to it |
//! | `server::Cable` | a cable to a network server, with the feature `server` | all | its Unix socket |
//! | [`Shmif`] | a bus in a file, as NetBSD's shmif(4) has it | none | a file |
//! | [`Pair`](super::Pair) | a cable inside the process | all | |
//! | [`Splice`](super::Splice) | another interface of the kernel: a network card that it drives | what its driver can do | NetBSD |
//! | [`Tee`](super::Tee) | records frames of another back end for Wireshark | its | |
//! | [`Faults`](super::Faults) | makes another back end a bad link | none | |
//!
//! What a back end does not offer is done here, before frames reach it: checksums, and the
//! cutting up of TCP segments. Frames of a [`Splice`](super::Splice) do not leave the kernel,
//! where the same is done for it.
//!
//! # Threads
//! Each queue of a back end has a thread, which waits for frames, hands them to the
//! kernel in batches, and runs what the kernel does with them. Frames that the kernel
//! sends are sent by the thread that made the system call, on its way out.

mod announce;
mod moderation;
mod port;
mod worker;

use crate::iface::{Interface, LinkState};
use crate::kernel::Kernel;
use port::Port;
use rump_sys::hyper::vif::abi;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use worker::Workers;

pub use rump_sys::hyper::errno::Errno as HostErrno;
pub use rump_sys::hyper::linux::{Packet, Shm, Shmif, Tap};
pub use rump_sys::hyper::vif::abi::Offload;
pub use rump_sys::hyper::vif::abi::Stats;
pub use rump_sys::hyper::vif::backend::Piece;
pub use rump_sys::hyper::vif::{
    Backend, Batch, Buffer, Offloads, Pool, Received, Statistics, Transmit,
};

/// What an interface is to be; [`Builder::attach`] is next.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    unit: Option<u32>,
    mtu: Option<u32>,
    address: Option<[u8; 6]>,
}

impl Builder {
    /// The number in its name; by default the first that is free.
    #[must_use]
    pub fn unit(mut self, unit: u32) -> Self {
        self.unit = Some(unit);
        self
    }

    /// Its MTU in bytes, from 68 to 65535; 1500 by default.
    #[must_use]
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = Some(mtu);
        self
    }

    /// Its Ethernet address; by default one that is administered locally, and random.
    #[must_use]
    pub fn address(mut self, address: [u8; 6]) -> Self {
        self.address = Some(address);
        self
    }

    /// Makes the interface. It is down, and has no addresses.
    ///
    /// # Errors
    /// Those of [`splice::Error`](super::splice::Error) if the back end is another interface;
    /// [`kernel::Down`](crate::kernel::Down); `EEXIST` if the unit is taken; `EINVAL` if
    /// the MTU or the address is none; `ENOSYS` if the kernel was not built with such
    /// interfaces (they are part of the feature `net`); no thread could be started.
    pub fn attach(self, kernel: &Kernel, backend: impl Backend + 'static) -> io::Result<Link> {
        let _ = kernel;
        let address = self.address.unwrap_or_else(random_address);
        let unit = match self.unit {
            None => -1,
            Some(unit) => i32::try_from(unit).map_err(|_| crate::Errno::EINVAL)?,
        };
        if address[0] & 1 != 0 {
            return Err(crate::Errno::EINVAL.into());
        }
        let backend: Arc<dyn Backend> = Arc::new(backend);
        let port = Port::new(
            Arc::clone(&backend),
            &abi::Config {
                version: abi::VERSION,
                unit,
                mtu: self.mtu.unwrap_or(0),
                offloads: backend.offers().bits(),
                address,
                link: backend.link().into(),
                pad: 0,
            },
        )?;
        let workers = Workers::new(Arc::clone(&port));
        let interface = Interface::named(port.vif().name())?;
        let link = Link {
            port,
            workers,
            interface,
        };
        link.workers.serve(backend.queues())?;
        let offloads = backend.offers();
        tracing::info!(interface = link.name(), ?backend, ?offloads, "attached");
        Ok(link)
    }
}

/// An address that no manufacturer gives away (IEEE 802, local administration).
fn random_address() -> [u8; 6] {
    let random = std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
        .to_ne_bytes();
    [0x02, random[0], random[1], random[2], random[3], random[4]]
}

/// A network interface of the kernel with what is behind it. Its addresses and settings
/// are those of its [`Interface`]. Dropping it removes the interface.
pub struct Link {
    port: Arc<Port>,
    workers: Workers,
    interface: Interface,
}

impl Link {
    /// The settings of an interface that is to be made.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What is behind it.
    pub fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.port.shared().backend().0)
    }

    /// Puts another back end behind the interface, which stays as it is, with its
    /// addresses and connections. Returns the one that was there, which the interface uses
    /// no more; what has come to it is taken in first. Waits for a call to it that is
    /// under way.
    ///
    /// The new one may be elsewhere in the network: the addresses are announced through it
    /// (a gratuitous ARP request, an unsolicited neighbour advertisement), and only then is
    /// the old one let go of, two milliseconds later. What comes to either until then is
    /// taken in.
    ///
    /// # Errors
    /// The new one is a [`Splice`](super::Splice), and that is not possible
    /// ([`splice::Error`](super::splice::Error)): the old one stays. No thread could be
    /// started for a further queue: the back end is replaced all the same.
    pub fn replace(&self, backend: impl Backend + 'static) -> io::Result<Arc<dyn Backend>> {
        let backend: Arc<dyn Backend> = Arc::new(backend);
        let queues = backend.queues();
        let interface = self.name();
        tracing::info!(interface, by = ?backend, "replacing the back end");
        let announcement = announce::frames(&self.interface);
        let old = self.port.replace(backend, &announcement)?;
        self.workers.serve(queues)?;
        Ok(old)
    }

    /// Says through the back end that the addresses are here, as [`replace`](Self::replace)
    /// does.
    pub fn announce(&self) {
        self.port.announce(&announce::frames(&self.interface));
    }

    /// Takes in what has come to a back end since it was replaced.
    pub(crate) fn take_late(&self, backend: &Arc<dyn Backend>) {
        if backend.splice().is_none() {
            self.port.take_late(backend);
        }
    }

    /// Throws away what has come to a back end since it was replaced.
    pub(crate) fn discard_late(backend: &Arc<dyn Backend>) {
        port::discard(backend);
    }

    /// Whether it has a link: what is behind it works, and is connected.
    pub fn has_link(&self) -> bool {
        if self.backend().splice().is_none() {
            return self.port.has_link();
        }
        // The kernel follows the other interface by itself.
        let state = self.interface.link_state();
        self.error().is_none() && state.is_ok_and(|state| state != LinkState::Down)
    }

    /// Why the back end has failed, if it has: the interface then has no link until the
    /// back end is [replaced](Self::replace). `ENXIO` says that what it stood for is gone
    /// (a TAP interface that was deleted, an interface below a [`Splice`](super::Splice)),
    /// `EIO` also that it panicked.
    pub fn error(&self) -> Option<crate::Errno> {
        let error = self.port.shared().failed()?;
        Some(crate::Errno::from_raw(error.0))
    }

    /// How many frames of the kernel's no back end took.
    pub fn send_drops(&self) -> u64 {
        self.port.shared().send_drops()
    }

    /// How many frames were dropped because what they claimed was wrong.
    pub fn malformed(&self) -> u64 {
        self.port.shared().malformed()
    }

    /// What the kernel's interface has counted.
    ///
    /// # Errors
    /// [`kernel::Down`](crate::kernel::Down).
    pub fn stats(&self) -> io::Result<Stats> {
        self.port.vif().stats()
    }
}

impl Deref for Link {
    type Target = Interface;

    fn deref(&self) -> &Interface {
        &self.interface
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("name", &self.name())
            .field("backend", &self.backend())
            .finish()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        tracing::info!(interface = self.name(), "removed");
        self.workers.stop();
    }
}
