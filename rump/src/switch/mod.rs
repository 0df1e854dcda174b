//! Moving an interface to hardware of its own and back, while its connections stay open.
//!
//! An interface's frames go one of two ways ([`Path`]): *shared*, through whatever serves
//! several programs (a cable to the network server, a TAP interface), which is what was
//! behind the [`Link`] when the [`Switch`] was made; or *direct*, over a back end that is
//! opened for the time that it is used: a network card spliced below the interface, a
//! virtual function, a TAP or packet socket of one's own.
//!
//! ```no_run
//! use rump::iface::{Splice, Tap};
//! use rump::switch::{Path, Policy, Switch};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kernel = rump::Kernel::builder().boot()?;
//! let link = Arc::new(kernel.attach(Tap::open("tap0")?)?);
//! let switch = Switch::builder(link)
//!     .direct(|| Ok(Splice::over("wm0")?))
//!     .policy(Policy::new(50_000, 10_000)?.above(Duration::from_millis(500)))
//!     .build()?;
//! // By itself when there is much to do, or when the program says so:
//! switch.to(Path::Direct)?;
//! switch.to(Path::Shared)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Who says so
//! - the program: [`Switch::to`];
//! - whoever shares: an [`Orders`] can be kept anywhere, and never waits;
//! - a [`Policy`]: frames per second, with hysteresis;
//! - need: a direct back end that fails, or has had no link for half a second, is left.
//!
//! # How nothing is lost
//! The new back end is opened and has a link before anything moves. Then
//! [`Link::replace`] has the interface send over it and announces the addresses there (a
//! gratuitous ARP request, an unsolicited neighbour advertisement), and only after that
//! lets the old one go, taking in what comes to either until then. On the way to the direct
//! path the [`Server`] is told afterwards; then the addresses are announced once more, as it
//! answered for them until then, and what it took is taken in. On the way back it is told
//! before anything moves. What has come to either path while it was not used is thrown away
//! before it is: it came over the other one as well, or was for nobody here.
//!
//! Each interface has a switch of its own, and they may move at the same time.
//!
//! # What is known to be weak
//! Frames are lost, and TCP sends them again, where a server takes longer than 200 ms to say that
//! nothing is under way for the interface there any more, or the thread of an interface below
//! does not run for 10 ms. Where both paths bring all frames (cards on one hub), what comes
//! within that time comes twice. A program that itself replaces the back
//! end of a link that has a switch confuses the two.

mod inner;
mod policy;

use crate::iface::{Backend, Link};
use inner::Inner;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

pub use policy::Policy;

/// Which way an interface's frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// Through what serves others as well.
    Shared,
    /// Over a back end of its own.
    Direct,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared => "shared",
            Self::Direct => "direct",
        })
    }
}

/// Why an interface was not moved. It goes on over the path that it was on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no function that opens one ([`Builder::direct`]).
    #[error("{interface} has no direct path: the switch was made without one")]
    NoDirect {
        /// The interface.
        interface: String,
    },
    /// The direct back end could not be opened.
    #[error("{interface} stays shared: its direct back end cannot be opened: {source}")]
    Open {
        /// The interface.
        interface: String,
        /// What the function said.
        source: io::Error,
    },
    /// The direct back end has no link.
    #[error(
        "{interface} stays shared: its direct back end has had no link for {waited:?}; is the cable in, and the other side up?"
    )]
    NoLink {
        /// The interface.
        interface: String,
        /// For how long one was waited for.
        waited: Duration,
    },
    /// Whoever shares does not allow it, or could not be told.
    #[error("{interface} does not become {path}: the server says: {source}")]
    Refused {
        /// The interface.
        interface: String,
        /// Where it was to go.
        path: Path,
        /// What the server said: `EBUSY` where others use the same host.
        source: io::Error,
    },
    /// The back end could not be put behind the interface.
    #[error("{interface} does not become {path}: {source}")]
    Replace {
        /// The interface.
        interface: String,
        /// Where it was to go.
        path: Path,
        /// Why.
        source: io::Error,
    },
    /// Thresholds between which there is nothing.
    #[error(
        "a policy that goes up at {up} frames per second and down at {down} has no hysteresis: the second must be the smaller one"
    )]
    Policy {
        /// Frames per second.
        up: u64,
        /// Frames per second.
        down: u64,
    },
}

/// Whoever shares what is behind the interface, and wants to know where it is.
pub trait Server: Send + Sync {
    /// Whether the interface may leave. May wait.
    ///
    /// # Errors
    /// Why not.
    fn may_leave(&self) -> io::Result<()> {
        Ok(())
    }

    /// The interface has left ([`Path::Direct`]), or is about to come back
    /// ([`Path::Shared`]). May wait, and should, until all that has come for the interface
    /// until then is in the shared back end, or from when on all is.
    ///
    /// # Errors
    /// It cannot come back: it stays where it is. Where it has left, an error is only noted.
    fn moved(&self, path: Path) -> io::Result<()>;
}

/// Opens a direct back end.
type Direct = Box<dyn FnMut() -> io::Result<Arc<dyn Backend>> + Send>;

/// What a [`Switch`] is to be.
#[must_use]
pub struct Builder {
    link: Arc<Link>,
    direct: Option<Direct>,
    server: Option<Arc<dyn Server>>,
    policy: Option<Policy>,
    link_within: Duration,
}

impl Builder {
    /// How the direct back end is opened, each time that the interface goes there. It may
    /// give out the same one again (an `Arc`), or take its time.
    pub fn direct<B: Backend + 'static>(
        mut self,
        mut open: impl FnMut() -> io::Result<B> + Send + 'static,
    ) -> Self {
        self.direct = Some(Box::new(move || Ok(Arc::new(open()?) as Arc<dyn Backend>)));
        self
    }

    /// Who is asked and told.
    pub fn server(mut self, server: Arc<dyn Server>) -> Self {
        self.server = Some(server);
        self
    }

    /// When the interface moves by itself.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// How long a direct back end that was opened is given to have a link; 5 s by default.
    pub fn link_within(mut self, time: Duration) -> Self {
        self.link_within = time;
        self
    }

    /// Makes the switch. What is behind the link now is its shared path.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn build(self) -> io::Result<Switch> {
        let name = format!("{}-switch", self.link.name());
        let (orders, ordered) = channel();
        let inner = Arc::new(Inner::new(self));
        let serving = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || inner::serve(&serving, &ordered))?;
        Ok(Switch {
            inner,
            orders,
            thread: Some(thread),
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("link", &self.link)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// What is said to the thread of a switch.
enum Order {
    Go(Path),
    Look,
    Stop,
}

/// How things are with a switch.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Where the frames go.
    pub path: Path,
    /// How often that has changed.
    pub switches: u64,
    /// How often it should have changed and did not.
    pub failures: u64,
    /// Why it did not the last time, if it has not since.
    pub error: Option<String>,
    /// How long the last change took, from the order until the old path was let go.
    pub took: Option<Duration>,
    /// Frames per second as the policy last saw them; `None` without one.
    pub rate: Option<f64>,
}

/// An interface that can go two ways. Dropping it leaves the interface where it is.
pub struct Switch {
    inner: Arc<Inner>,
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// A switch for this link.
    pub fn builder(link: Arc<Link>) -> Builder {
        Builder {
            link,
            direct: None,
            server: None,
            policy: None,
            link_within: Duration::from_secs(5),
        }
    }

    /// Moves the interface, unless it is there; whether it was not. Waits until the old
    /// path is let go; others that want to move it meanwhile wait.
    ///
    /// # Errors
    /// All of [`Error`]; the interface is where it was.
    pub fn to(&self, path: Path) -> Result<bool, Error> {
        let moved = self.inner.go(path)?;
        // On the direct path there is something to look at.
        let _ = self.orders.send(Order::Look);
        Ok(moved)
    }

    /// Where the interface's frames go.
    pub fn path(&self) -> Path {
        self.inner.status().path
    }

    /// How things are.
    pub fn status(&self) -> Status {
        self.inner.status()
    }

    /// The interface.
    pub fn link(&self) -> &Arc<Link> {
        self.inner.link()
    }

    /// For whoever gives orders from elsewhere.
    pub fn orders(&self) -> Orders {
        Orders(self.orders.clone())
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("link", self.link())
            .field("status", &self.status())
            .finish()
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            // One that panicked has ended as well. It is not in the child of a fork.
            if !crate::kernel::forked() {
                let _ = thread.join();
            }
        }
    }
}

/// Has a switch move its interface, without waiting for it. What becomes of it is in
/// [`Switch::status`].
#[derive(Clone)]
pub struct Orders(Sender<Order>);

impl Orders {
    /// To this path, unless it is there; false if the switch is no more.
    pub fn go(&self, path: Path) -> bool {
        self.0.send(Order::Go(path)).is_ok()
    }
}

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Orders")
    }
}
