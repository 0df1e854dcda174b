//! The network server: an interface over what other programs share too.
//!
//! A network server (`rump server`) owns network cards; programs with a kernel of their own
//! reach the network through it, and share the addresses of one host or have one of their own.
//! What it gives them is a back end for an interface:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kernel = rump::Kernel::builder().boot()?;
//! let cable = rump::server::connect("/run/rump/server.sock")?;
//! let link = cable.attach(&kernel)?;      // vif0, with the host's addresses and routes
//! println!("{:?} by {}", cable.addresses(), link.name());
//! let listener = rump::net::TcpListener::bind("0.0.0.0:80")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Ports
//! Programs of one host share its ports. From [`attach`](Cable::attach) on, every bind(2) to an
//! address of the host, or to all, asks the server first ([`claims`]) and
//! fails with `EADDRINUSE` where another program has the port, with `EACCES` where the user may
//! not; it waits for the answer, up to 5 s. Ports that the kernel chooses come from ranges that
//! the server leases; the sysctl nodes `net.inet.ip.anonportmin` and its like are set to one of
//! them, and restored at the end. When less than half of a range is free another one is asked
//! for: so many ports within half a second may be too many, and connecting fails then as it does
//! without ports.
//!
//! # When the server ends
//! Sockets and connections live in this program. A thread of the connection looks for the
//! server's successor, at once and then less and less often, shows it the ticket that it had,
//! claims all ports again, and has frames go on. Meanwhile frames that are to be sent wait, up to
//! 2 s, and after that the newest of each connection; they, and what the server had not taken, are
//! sent to its successor. An interface has no link after a minute without a server, and gets it
//! back. [`Cable::reconnections`] counts.
//!
//! A server that says that this program may not be there ends that: the interface fails with
//! `ENXIO` then ([`Link::error`](crate::iface::Link::error)).
//!
//! # Paths of its own
//! An interface can leave the server for a network card of its own, and come back, with its
//! connections open: [`switch`] moves it, tells the server, and does as the server
//! [wants](Cable::obey).
//!
//! # Servers in other domains
//! In an image under Xen the server can be another image (`docs/services.md`): the place `xen:` is
//! the network interface whose back end it is, `xen:1` that of this number. All else is the same.
//!
//! # Trust
//! What the server writes to the rings and says on the socket is checked, and what cannot be ends
//! the connection as the server's end does. It can lose and make up frames at will, like any
//! network.
//!
//! # What is known to be weak
//! A kernel has one range of ephemeral ports. With two servers it is that of the one that was
//! attached last, and the other one refuses what is sent from these ports. A host whose addresses
//! change is another one: the program has to connect anew.

mod clerk;
mod hail;
mod line;
mod ports;
mod room;
mod session;
#[cfg(test)]
mod tests;
mod xen;

use crate::error::Errno;
use crate::iface::link::{Batch, HostErrno, Offloads, Statistics, Transmit};
use crate::iface::{Backend, IpNet, Link, route};
use crate::kernel::Kernel;
use crate::net::claims::{self, Claims, Guard, Protocol};
use crate::switch;
use clerk::Shared;
use ports::Range;
use rump_ring::control::{Hello, VERSION};
use session::Place;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, Weak};
use std::thread::JoinHandle;

pub use rump_ring::control::Name;
pub use xen::{Ctl, Domain, Door, Order};

/// Why there is no connection to a server, or no interface over it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody is there, or does not answer.
    #[error(
        "no network server at {place:?}: {source}; is `rump server` running, and may this user write to the socket?"
    )]
    Connect {
        /// Its socket.
        place: PathBuf,
        /// What the host says.
        source: io::Error,
    },
    /// The server does not want this program.
    #[error("the network server at {place:?} refuses this program: {text}")]
    Refused {
        /// Its socket.
        place: PathBuf,
        /// Whether it would again.
        permanent: bool,
        /// Why.
        text: String,
    },
    /// The server says what it must not.
    #[error(
        "the network server at {place:?} sends {what}; is it a server, and of the same version?"
    )]
    Wrong {
        /// Its socket.
        place: PathBuf,
        /// What.
        what: String,
    },
    /// A name is too long, or has control characters in it.
    #[error("{name:?} is no name of a host or a program: it has at most 32 bytes, all printable")]
    Name {
        /// The name.
        name: String,
    },
    /// There can be no thread or no descriptor.
    #[error("the connection to the network server has no {what}: {source}")]
    Resource {
        /// What is lacking.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused something.
    #[error("the interface over the network server cannot {operation}: {source}")]
    Kernel {
        /// What was asked of it.
        operation: String,
        /// Why not.
        source: io::Error,
    },
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Connect { source, .. }
            | Error::Resource { source, .. }
            | Error::Kernel { source, .. } => source.kind(),
            Error::Refused { .. } => io::ErrorKind::PermissionDenied,
            Error::Wrong { .. } => io::ErrorKind::InvalidData,
            Error::Name { .. } => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// Connects to the server with this socket, with the usual settings; for others see
/// [`Cable::builder`].
///
/// # Errors
/// All of [`Error`] but [`Error::Name`] and [`Error::Kernel`].
pub fn connect(place: impl AsRef<Path>) -> Result<Cable, Error> {
    Cable::builder(place).connect()
}

/// How a program wants to be connected.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    place: PathBuf,
    host: String,
    label: Option<String>,
    queues: u16,
}

impl Builder {
    /// Of which host; by default the only one that this user may be of.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.host = name.into();
        self
    }

    /// What the program is called where the server is looked at; by default the name of its
    /// file.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// How many queues to ask for; each that the server grants has a thread. 1 by default.
    pub fn queues(mut self, queues: u16) -> Self {
        self.queues = queues;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// As [`connect`]; [`Error::Name`].
    pub fn connect(self) -> Result<Cable, Error> {
        let name = |name: &str| Name::new(name).map_err(|_| Error::Name { name: name.into() });
        let hello = Hello {
            version: VERSION,
            host: name(&self.host)?,
            label: match &self.label {
                Some(label) => name(label)?,
                None => own_name(),
            },
            queues: self.queues,
            ticket: 0,
            ports: None,
        };
        let joined = hail::hail(&self.place, &hello, clerk::ANSWER)?;
        let lacking = |what| move |source| Error::Resource { what, source };
        let shared = Shared::new(self.place, hello, joined);
        let (shared, socket) = shared.map_err(lacking("descriptor"))?;
        let shared = Arc::new(shared);
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("rump-server".into())
            .spawn(move || serving.serve(socket))
            .map_err(lacking("thread"))?;
        Ok(Cable(Arc::new(Connection {
            shared,
            thread: Some(thread),
        })))
    }
}

/// The name of the program's file.
fn own_name() -> Name {
    let path = std::env::current_exe().unwrap_or_default();
    Name::cut(&path.file_name().unwrap_or_default().to_string_lossy())
}

/// A connection to a network server: the back end of an interface. Clones are the same one,
/// which ends with the last of them.
#[derive(Clone)]
pub struct Cable(Arc<Connection>);

struct Connection {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the kernel was told for a connection, until it is dropped.
struct Attached {
    guard: Guard,
    range: Range,
}

impl Attached {
    /// The ports that sockets have.
    fn live(&self) -> Vec<Place> {
        self.guard.live()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.stop();
        let attached = &self.shared.attached;
        drop(
            attached
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        if let Some(thread) = self.thread.take() {
            // It is not in the child of a fork.
            if !crate::kernel::forked() {
                // One that panicked has ended as well.
                let _ = thread.join();
            }
        }
    }
}

impl Cable {
    /// How to connect to the server with this socket.
    pub fn builder(place: impl AsRef<Path>) -> Builder {
        Builder {
            place: place.as_ref().into(),
            host: String::new(),
            label: None,
            queues: 1,
        }
    }

    /// The Ethernet address of the host.
    pub fn mac(&self) -> [u8; 6] {
        self.0.shared.welcome().mac
    }

    /// The longest packet in bytes.
    pub fn mtu(&self) -> u32 {
        self.0.shared.welcome().mtu
    }

    /// The addresses of the host, with their nets.
    pub fn addresses(&self) -> Vec<IpNet> {
        let addresses = self.0.shared.welcome().addresses.into_iter();
        // Prefixes that are too long were refused.
        addresses
            .filter_map(|(address, prefix)| IpNet::new(address, prefix).ok())
            .collect()
    }

    /// The routers that everything else goes through: one of a family at most.
    pub fn gateways(&self) -> Vec<IpAddr> {
        let welcome = self.0.shared.welcome();
        let v4 = welcome.gateway.map(IpAddr::V4);
        v4.into_iter()
            .chain(welcome.gateway6.map(IpAddr::V6))
            .collect()
    }

    /// Whether there is a server at the moment.
    pub fn is_connected(&self) -> bool {
        self.0.shared.line.is_connected()
    }

    /// How often another server has taken the place of one that had ended.
    pub fn reconnections(&self) -> u64 {
        self.0.shared.line.generation()
    }

    /// Makes an interface of the kernel over this, with the host's addresses and routes, and has
    /// the kernel ask the server for ports from now on. What sockets have already is asked for,
    /// too; the log tells what the server refuses of that.
    ///
    /// # Errors
    /// [`Error::Kernel`]: it cannot ask for ports, or has such an interface or route already.
    pub fn attach(&self, kernel: &Kernel) -> Result<Link, Error> {
        let welcome = self.0.shared.welcome();
        let link = Link::builder()
            .address(welcome.mac)
            .mtu(welcome.mtu)
            .attach(kernel, self.clone())
            .map_err(kernel_cannot("be made"))?;
        self.claim_ports()?;
        for net in self.addresses() {
            link.add_address(net)
                .map_err(kernel_cannot(format!("have the address {net}")))?;
        }
        for router in self.gateways() {
            route::add_default(router)
                .map_err(kernel_cannot(format!("use the router {router}")))?;
        }
        self.0.shared.claim_live();
        Ok(link)
    }

    /// Has the kernel ask the server for ports, and choose from those that it leases. A part of
    /// [`attach`](Self::attach), for those who set an interface up themselves.
    ///
    /// # Errors
    /// [`Error::Kernel`]
    pub fn claim_ports(&self) -> Result<(), Error> {
        let shared = &self.0.shared;
        let asked = Asked(Arc::downgrade(shared));
        let guard = claims::add(Arc::new(asked)).map_err(kernel_cannot("have ports claimed"))?;
        let range = Range::set(shared.welcome().ports)
            .map_err(io::Error::other)
            .map_err(kernel_cannot("have ports leased"))?;
        let attached = Attached { guard, range };
        let place = &shared.attached;
        let before = place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(attached);
        drop(before);
        // It counts the ports from now on.
        shared.ring();
        Ok(())
    }

    /// Has a switch do as the server wants: go to a path of its own, or come back. The switch
    /// is to tell the server ([`switch::Builder::server`]), which is a clone of this.
    pub fn obey(&self, orders: switch::Orders) {
        self.on_order(move |path| {
            orders.go(path);
        });
    }

    fn on_order(&self, order: impl Fn(switch::Path) + Send + 'static) {
        let place = &self.0.shared.ordered;
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(order));
    }
}

impl switch::Server for Cable {
    /// The server neither answers for the host nor brings it frames while it is elsewhere. This
    /// returns when it knows, and all that it had for the interface until then is in the ring; or
    /// after 200 ms.
    fn moved(&self, path: switch::Path) -> io::Result<()> {
        let shared = &self.0.shared;
        let direct = path == switch::Path::Direct;
        Ok(shared.session.moved(direct, || shared.ring())?)
    }
}

fn kernel_cannot<E: Into<io::Error>>(operation: impl Into<String>) -> impl FnOnce(E) -> Error {
    |source| Error::Kernel {
        operation: operation.into(),
        source: source.into(),
    }
}

/// Asks the server for the kernel.
struct Asked(Weak<Shared>);

impl Claims for Asked {
    fn claim(&self, protocol: Protocol, address: IpAddr, port: u16) -> Result<(), Errno> {
        let place = (protocol, address, port);
        match self.0.upgrade() {
            Some(shared) if shared.concerns(place) => shared.session.claim(place, || shared.ring()),
            _ => Ok(()),
        }
    }

    fn release(&self, protocol: Protocol, address: IpAddr, port: u16) {
        if let Some(shared) = self.0.upgrade() {
            let place = (protocol, address, port);
            shared.session.release(place, || shared.ring());
        }
    }
}

impl Backend for Cable {
    fn offers(&self) -> Offloads {
        Offloads::ALL
    }

    fn queues(&self) -> usize {
        self.0.shared.line.queues()
    }

    fn link(&self) -> bool {
        self.0.shared.line.has_link()
    }

    /// # Errors
    /// `ENXIO` if the server has refused this program.
    fn receive(&self, queue: usize, batch: &mut Batch) -> Result<(), HostErrno> {
        let shared = &self.0.shared;
        shared
            .line
            .receive(queue, batch, |cable| shared.is_broken(cable));
        if batch.is_empty() && shared.line.has_failed() {
            return Err(HostErrno::NXIO);
        }
        Ok(())
    }

    /// # Errors
    /// `ENXIO` if the server has refused this program.
    fn send(&self, _queue: usize, frames: &[Transmit<'_>]) -> Result<usize, HostErrno> {
        let shared = &self.0.shared;
        if shared.line.has_failed() {
            return Err(HostErrno::NXIO);
        }
        Ok(shared.line.send(frames, |cable| shared.is_broken(cable)))
    }

    fn wake(&self) {
        self.0.shared.line.wake();
    }

    fn statistics(&self) -> Statistics {
        self.0.shared.line.statistics()
    }
}

impl fmt::Debug for Cable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cable")
            .field("server", &self.0.shared.place)
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}
