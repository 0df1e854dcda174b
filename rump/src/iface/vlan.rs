//! Virtual networks on an Ethernet, which tags tell apart.

use super::error::Error;
use super::interface::{Interface, text};
use crate::sys::vlan as raw;
use std::fmt;
use std::io;

/// An interface for the frames of another one that have a tag (IEEE 802.1Q), `vlan(4)`: what
/// comes with it arrives here without, and what is sent here leaves there with it.
///
/// It is an Ethernet interface as others are: it can have addresses, or be a member of a
/// bridge. The feature `vlan` brings it; NetBSD 7 and rump-lite have none.
///
/// ```no_run
/// use rump::iface::{Pair, Vlan};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kernel = rump::Kernel::builder().boot()?;
/// let trunk = kernel.attach(Pair::new().0)?;
/// let offices = Vlan::create("vlan7", &trunk, 7)?;
/// offices.interface().add_address("10.0.7.1/24".parse()?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Vlan(Interface);

impl Vlan {
    /// Makes such an interface, such as `vlan7`, over a parent, which is turned on as it is.
    ///
    /// # Errors
    /// As [`Interface::create`]: `EINVAL` if the kernel has no VLANs. Of the tag, `EINVAL` if it
    /// is not 1 to 4094, and `EEXIST` if the parent has it already; `ENXIO` if that is gone,
    /// `EPROTONOSUPPORT` if it is no Ethernet. Nothing is made then.
    #[doc(alias = "SIOCSETVLAN")]
    pub fn create(name: &str, parent: &Interface, tag: u16) -> Result<Self, Error> {
        let vlan = Self(Interface::create(name)?);
        let set = || {
            raw::set(vlan.0.raw_name(), parent.raw_name(), tag)
                .map_err(vlan.refused(format!("have the tag {tag} of {parent}")))?;
            parent.set_up(true)?;
            vlan.0.set_up(true)
        };
        match set() {
            Ok(()) => Ok(vlan),
            Err(error) => {
                // What has failed is told, whatever comes of this.
                let _ = vlan.destroy();
                Err(error)
            }
        }
    }

    fn refused(&self, operation: String) -> impl FnOnce(io::Error) -> Error + use<> {
        let interface = self.0.name().into();
        |source| Error::Interface {
            interface,
            operation,
            source,
        }
    }

    /// The name of its parent, and its tag; `None` if the parent is gone.
    ///
    /// # Errors
    /// `ENXIO` if it is gone itself.
    #[doc(alias = "SIOCGETVLAN")]
    pub fn over(&self) -> Result<Option<(String, u16)>, Error> {
        let (parent, tag) =
            raw::get(self.0.raw_name()).map_err(self.refused("tell its parent".into()))?;
        let parent = text(&parent);
        Ok((!parent.is_empty()).then(|| (parent.into(), tag)))
    }

    /// It as an interface: its addresses, its counters.
    pub fn interface(&self) -> &Interface {
        &self.0
    }

    /// Removes it. Its parent stays.
    ///
    /// # Errors
    /// `ENXIO` if it is gone.
    pub fn destroy(self) -> Result<(), Error> {
        self.0.destroy()
    }
}

impl fmt::Debug for Vlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vlan({})", self.0)
    }
}
