//! Bridges: interfaces that are one Ethernet together.

use super::error::Error;
use super::interface::{Interface, text};
use crate::sys::bridge as raw;
use std::fmt;
use std::io;

/// A bridge of the kernel's, `bridge(4)`: frames go from one member to the others, and to the
/// one alone behind which an address was seen.
///
/// It has no addresses itself: one of its members has them, by which the kernel is reached over
/// all of them. A frame that comes with work left to be done ([`Offload`](super::link::Offload)) has
/// it done where it leaves the bridge, by the member's back end if that offers it. A member that is removed from the kernel leaves the bridge. The feature
/// `bridge` brings it; rump-lite has none.
///
/// ```no_run
/// use rump::iface::{Bridge, Pair};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kernel = rump::Kernel::builder().boot()?;
/// let (one, two) = (kernel.attach(Pair::new().0)?, kernel.attach(Pair::new().0)?);
/// let bridge = Bridge::create("bridge0")?;
/// bridge.add(&one)?;
/// bridge.add(&two)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Bridge(Interface);

impl Bridge {
    /// Makes a bridge without members, such as `bridge0`, that is up.
    ///
    /// # Errors
    /// As [`Interface::create`]: `EINVAL` if the kernel has no bridges.
    pub fn create(name: &str) -> Result<Self, Error> {
        let bridge = Self(Interface::create(name)?);
        bridge.0.set_up(true)?;
        Ok(bridge)
    }

    fn refused(&self, operation: String) -> impl FnOnce(io::Error) -> Error {
        |source| Error::Interface {
            interface: self.0.name().into(),
            operation,
            source,
        }
    }

    /// Makes an interface a member, and turns it on. It is promiscuous from then on, and takes
    /// frames only as they can go on: in segments that fit, with all their checksums.
    ///
    /// # Errors
    /// `EEXIST` if it is one already; `EBUSY` if it is one of another bridge; `EINVAL` if it is
    /// no Ethernet, or its MTU is not the bridge's.
    #[doc(alias = "BRDGADD")]
    pub fn add(&self, member: &Interface) -> Result<(), Error> {
        raw::add(self.0.raw_name(), member.raw_name())
            .map_err(self.refused(format!("have the member {member}")))?;
        // Also if it is on: its driver is told once more what is wanted of it.
        member.set_up(true)
    }

    /// Takes a member out.
    ///
    /// # Errors
    /// `ENOENT` if it is none.
    #[doc(alias = "BRDGDEL")]
    pub fn remove(&self, member: &Interface) -> Result<(), Error> {
        raw::remove(self.0.raw_name(), member.raw_name())
            .map_err(self.refused(format!("let the member {member} go")))
    }

    /// The names of its members.
    ///
    /// # Errors
    /// `ENXIO` if it is gone.
    #[doc(alias = "BRDGGIFS")]
    pub fn members(&self) -> Result<Vec<String>, Error> {
        let names =
            raw::members(self.0.raw_name()).map_err(self.refused("tell its members".into()))?;
        Ok(names.iter().map(|name| text(name).into()).collect())
    }

    /// The bridge as an interface: its MTU, its counters.
    pub fn interface(&self) -> &Interface {
        &self.0
    }

    /// Removes it. Its members stay.
    ///
    /// # Errors
    /// `ENXIO` if it is gone.
    pub fn destroy(self) -> Result<(), Error> {
        self.0.destroy()
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bridge({})", self.0)
    }
}
