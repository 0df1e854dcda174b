//! An interface over another of the same kernel: `wm0`, `ixg0`, or whatever Ethernet it has.
//!
//! Frames do not come out of the kernel for it: what the lower interface receives is
//! taken for the upper one's, and what that sends the lower one sends
//! (`netbsd-src/kern/libvif/vif_splice.c`). Addresses and sockets are the upper
//! interface's, so they stay when the back end is [replaced](super::super::Link::replace),
//! which is how a program moves to hardware of its own and back.
//!
//! What the lower interface is to be, it is made here, before anything goes over it: up,
//! with all the checksums and segments that its driver can do, and without an IPv6 address
//! of its own. To hardware some of that is a reset, and a link takes its time to come
//! ([`Splice::wait_for_link`]); none of it is left to do when frames move. It is as it was
//! once the back end is dropped.
//!
//! # What is known to be weak
//! What users change on the lower interface meanwhile is followed only as far as its link
//! goes; capabilities that they turn off are made up for in software, and addresses that
//! they add to it are dead. Where both have one Ethernet address, so that the lower one's
//! filters go on to work, who listens on the upper one promiscuously hears no more than
//! those let pass.

use super::super::Statistics as Counters;
use super::super::error::Error as InterfaceError;
use super::super::interface::{Interface, LinkState};
use crate::error::{Errno, Lacking};
use crate::iface::link::{Backend, Batch, HostErrno, Offloads, Statistics, Transmit};
use ipnet::IpNet;
use rump_sys::kernel::{KIND, Kind};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why an interface cannot be spliced over another.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is none of that name, or it refused what was asked of it.
    #[error(transparent)]
    Lower(#[from] InterfaceError),
    /// Its frames are not Ethernet's.
    #[error("{lower} is no Ethernet: nothing can be spliced over it")]
    NotEthernet {
        /// The lower interface.
        lower: String,
    },
    /// It has an address, so somebody uses it; what came to that would be lost.
    #[error(
        "{lower} has the address {address}: an interface that others are spliced over has none; remove it, or give it to the upper one"
    )]
    HasAddress {
        /// The lower interface.
        lower: String,
        /// One of its addresses.
        address: IpNet,
    },
    /// Its frames go elsewhere already.
    #[error("{lower} is in use: it is spliced already, a member of a bridge, or has VLANs")]
    InUse {
        /// The lower interface.
        lower: String,
    },
    /// It is the interface itself, or one whose frames go over it.
    #[error("{upper} cannot be spliced over {lower}, which is {upper} itself or over it")]
    Circle {
        /// The interface whose back end this was to be.
        upper: String,
        /// The lower interface.
        lower: String,
    },
    /// Its packets cannot be as long as those of the upper one.
    #[error("{lower} cannot have the MTU of {upper}: make that smaller")]
    Mtu {
        /// The interface whose back end this was to be.
        upper: String,
        /// The lower interface.
        lower: String,
    },
    /// The kernel, or the lower interface's driver, refused.
    #[error("{upper} cannot be spliced over {lower}: {source}")]
    Refused {
        /// The interface whose back end this was to be.
        upper: String,
        /// The lower interface.
        lower: String,
        /// Why.
        source: io::Error,
    },
    /// rump-lite has nothing like it.
    #[error(transparent)]
    Lacking(#[from] Lacking),
}

impl Error {
    /// What `rump_vif_splice` says of the two.
    pub(crate) fn of(upper: &str, lower: &str, source: io::Error) -> Self {
        let (upper, lower) = (upper.into(), lower.into());
        match Errno::of(&source) {
            Some(Errno::ENXIO) => Self::Lower(InterfaceError::Absent {
                name: lower,
                there: Vec::new(),
            }),
            Some(Errno::EPFNOSUPPORT) => Self::NotEthernet { lower },
            Some(Errno::EBUSY) => Self::InUse { lower },
            Some(Errno::ELOOP) => Self::Circle { upper, lower },
            Some(Errno::EMSGSIZE) => Self::Mtu { upper, lower },
            _ => Self::Refused {
                upper,
                lower,
                source,
            },
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Lower(error) => return error.into(),
            Error::Lacking(lacking) => return lacking.into(),
            Error::HasAddress { .. } | Error::InUse { .. } => io::ErrorKind::ResourceBusy,
            Error::NotEthernet { .. } | Error::Circle { .. } | Error::Mtu { .. } => {
                io::ErrorKind::InvalidInput
            }
            Error::Refused { ref source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}

/// What is changed of a lower interface, as it was before.
#[derive(Debug)]
struct Before {
    up: bool,
    mtu: u32,
    capabilities: u64,
    /// If that was changed.
    link_local: Option<bool>,
}

/// A back end that is another interface of the kernel.
///
/// ```no_run
/// use rump::iface::{Splice, Tap};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kernel = rump::Kernel::builder().boot()?;
/// let link = kernel.attach(Tap::open("tap0")?)?;
/// // ... and later, with connections open:
/// let direct = Splice::over("wm0")?;
/// direct.wait_for_link(Duration::from_secs(5))?;
/// let tap = link.replace(direct)?;
/// // ... and back:
/// link.replace(tap)?;
/// # Ok(())
/// # }
/// ```
pub struct Splice {
    lower: Interface,
    identity: Identity,
    before: Before,
    counted: Counters,
}

/// Which interface it is: another may have its name when it is gone.
type Identity = (Interface, [u8; 6]);

/// The interfaces that there is one over.
static LOWER: Mutex<Vec<Identity>> = Mutex::new(Vec::new());

fn lower() -> MutexGuard<'static, Vec<Identity>> {
    LOWER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it is of those that IPv6 gives interfaces by itself.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

impl Splice {
    /// One over the interface of this name, which is turned on.
    ///
    /// The upper interface keeps its Ethernet address, and the lower one is made promiscuous
    /// for it. Where hardware does not allow that (many virtual functions), the upper one
    /// can be [made with the lower one's address](crate::iface::link::Builder::address).
    ///
    /// # Errors
    /// [`Error::Lower`] if there is none; [`Error::NotEthernet`]; [`Error::HasAddress`];
    /// [`Error::InUse`] if there is another over it; [`Error::Lacking`] on rump-lite.
    pub fn over(name: &str) -> Result<Self, Error> {
        if KIND == Kind::Lite {
            let what = "interfaces that are spliced over others";
            return Err(Lacking::new(what.into(), Errno::EOPNOTSUPP).into());
        }
        let interface = Interface::named(name)?;
        let Some(hardware) = interface.hardware_address()? else {
            return Err(Error::NotEthernet { lower: name.into() });
        };
        let identity = (interface.clone(), hardware);
        let addresses = interface.addresses()?;
        let theirs = |net: &IpNet| !is_link_local(net.addr());
        if let Some(address) = addresses.iter().map(|own| own.net()).find(theirs) {
            let lower = name.into();
            return Err(Error::HasAddress { lower, address });
        }
        let capabilities = interface.capabilities()?;
        let mut before = Before {
            up: interface.is_up()?,
            mtu: interface.mtu()?,
            capabilities: capabilities.enabled,
            link_local: None,
        };
        let counted = interface.statistics()?;
        let mut others = lower();
        if others.contains(&identity) {
            return Err(Error::InUse { lower: name.into() });
        }
        others.push(identity.clone());
        drop(others);
        if !before.up && addresses.is_empty() {
            // Where the kernel does not know of that, there is an address that is dead.
            before.link_local = interface.has_automatic_link_local().ok();
            let _ = interface.automatic_link_local(false);
        }
        // From here on it is made what it was by dropping.
        let splice = Self {
            lower: interface,
            identity,
            before,
            counted,
        };
        let interface = &splice.lower;
        interface.offload()?;
        if !splice.before.up {
            interface.set_up(true)?;
        }
        Ok(splice)
    }

    /// The interface below.
    pub fn lower(&self) -> &Interface {
        &self.lower
    }

    /// Waits until the interface below has a link. To replace another back end after that
    /// loses no frames.
    ///
    /// # Errors
    /// `ETIMEDOUT`; `ENXIO` if it is gone.
    pub fn wait_for_link(&self, within: Duration) -> Result<(), Error> {
        let began = Instant::now();
        while self.lower.link_state()? == LinkState::Down {
            if began.elapsed() >= within {
                return Err(Error::Lower(InterfaceError::Interface {
                    interface: self.lower.name().into(),
                    operation: "have a link".into(),
                    source: Errno::ETIMEDOUT.into(),
                }));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// The kernel has them; nothing is left to whoever stands in front of it.
impl Backend for Splice {
    fn offers(&self) -> Offloads {
        Offloads::NONE
    }

    fn link(&self) -> bool {
        self.lower
            .link_state()
            .is_ok_and(|state| state != LinkState::Down)
    }

    /// # Errors
    /// `EOPNOTSUPP`: its frames do not come this way, and so it cannot be inside of
    /// another back end.
    fn receive(&self, _queue: usize, _batch: &mut Batch) -> Result<(), HostErrno> {
        Err(HostErrno::OPNOTSUPP)
    }

    /// # Errors
    /// As [`receive`](Self::receive).
    fn send(&self, _queue: usize, _frames: &[Transmit<'_>]) -> Result<usize, HostErrno> {
        Err(HostErrno::OPNOTSUPP)
    }

    fn wake(&self) {}

    /// What the interface below has counted since.
    fn statistics(&self) -> Statistics {
        let mut statistics = Statistics::default();
        if let Ok(now) = self.lower.statistics() {
            let then = &self.counted;
            let drops = |counters: &Counters| counters.receive_errors + counters.receive_drops;
            statistics.received = now.received - then.received;
            statistics.sent = now.sent - then.sent;
            statistics.receive_drops = drops(&now) - drops(then);
            statistics.send_drops = now.send_errors - then.send_errors;
        }
        statistics
    }

    fn splice(&self) -> Option<&str> {
        Some(self.lower.name())
    }
}

impl Drop for Splice {
    fn drop(&mut self) {
        let restore = || {
            if self.lower.hardware_address()? != Some(self.identity.1) {
                // It is gone, and another has its name.
                return Ok(());
            }
            let Before {
                up,
                mtu,
                capabilities,
                link_local,
            } = self.before;
            if let Some(before) = link_local {
                // That gives it such an address at once, and turns it on.
                let _ = self.lower.automatic_link_local(before);
                for own in self.lower.addresses()? {
                    if is_link_local(own.net().addr()) {
                        self.lower.remove_address(own.net().addr())?;
                    }
                }
            }
            if !up {
                self.lower.set_up(false)?;
            }
            if self.lower.capabilities()?.enabled != capabilities {
                self.lower.set_capabilities(capabilities)?;
            }
            if self.lower.mtu()? != mtu {
                self.lower.set_mtu(mtu)?;
            }
            Ok::<_, InterfaceError>(())
        };
        // It may be gone, or the kernel may be.
        if let Err(error) = restore() {
            tracing::debug!(interface = self.lower.name(), %error, "not as it was before");
        }
        lower().retain(|other| *other != self.identity);
    }
}

impl fmt::Debug for Splice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Splice").field(&self.lower.name()).finish()
    }
}
