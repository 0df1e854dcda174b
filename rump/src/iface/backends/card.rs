//! The frames of a network card by themselves, without the kernel's stack.
//!
//! A program that passes frames on, as the network server does, wants NetBSD's driver of a
//! card and nothing above it. A [`Card`] is that: what the interface receives (`wm0`) comes
//! out of the kernel as it is, whoever it is for, and what is sent goes out as it is. The
//! kernel's part is an interface of its own between the two, which has no address
//! (`rump_vif_through` of `rump_vif.h`).
//!
//! What is left to be done to a frame that is sent (a checksum, the cutting up of a TCP segment)
//! the card does, if its driver says that it can; and of one that came it is said whether the card
//! has verified its checksum. What the card's queue has no room for is not taken.
//!
//! # What is known to be weak
//! A frame that came is copied twice: out of mbufs, and to who receives it. Cards that put segments
//! together do not do so here.

use super::pair::Pair;
use super::splice::{Error, Splice};
use crate::error::Errno;
use crate::iface::link::{Backend, Batch, HostErrno, Offloads, Statistics, Transmit};
use crate::iface::{Capabilities, Interface};
use crate::kernel::Kernel;
use crate::pci::{self, Address};
use crate::sys::vif::{Host, Vif};
use rump_sys::abi::{IFCAP_TSOv4, IFCAP_TSOv6};
use rump_sys::hyper::vif::abi;
use std::ffi::CString;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A card's frames, for whoever calls the methods of [`Backend`].
///
/// ```no_run
/// use rump::iface::{Backend, Card, link::{Batch, Pool}};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kernel = rump::Kernel::builder().pci("0000:00:03.0".parse()?).boot()?;
/// let card = Card::over(&kernel, "wm0")?;
/// let mut batch = Batch::new(Pool::new(0));
/// card.receive(0, &mut batch).map_err(|error| rump::Errno::from_raw(error.0))?;
/// println!("{} frames", batch.frames().len());
/// # Ok(())
/// # }
/// ```
pub struct Card {
    // Dropped first: the kernel then calls no more.
    vif: Vif,
    /// What comes out of the kernel; its other end is the kernel's.
    outside: Pair,
    /// The card as it is to be, until this is dropped.
    lower: Splice,
    name: CString,
    offers: Offloads,
}

/// What an interface does of what can be left to it.
fn offers(lower: &Interface) -> Result<Offloads, Error> {
    let enabled = lower.capabilities()?.enabled;
    let all = |wanted: u64| enabled & wanted == wanted;
    let each = [
        (all(Capabilities::CHECKSUMS_OUT), Offloads::TX_CSUM),
        (all(IFCAP_TSOv4), Offloads::TX_TSO4),
        (all(IFCAP_TSOv6), Offloads::TX_TSO6),
        (enabled & Capabilities::CHECKSUMS_IN != 0, Offloads::RX_CSUM),
    ];
    let some = each.into_iter().filter(|(does, _)| *does);
    Ok(some.fold(Offloads::NONE, |all, (_, one)| all | one))
}

/// Where the kernel puts what the card has received.
struct Inside(Pair);

impl Host for Inside {
    fn transmit(&self, queue: usize, frames: &[Transmit<'_>]) {
        // What there is no room for is counted there.
        let _ = self.0.send(queue, frames);
    }

    fn state(&self, _spliced: bool, _offloads: Offloads) {}
}

impl Card {
    /// That of the interface of this name, which is turned on, and made promiscuous.
    ///
    /// # Errors
    /// As [`Splice::over`]; [`Error::Refused`] if the kernel refuses it, or is none with
    /// interfaces of this kind.
    pub fn over(kernel: &Kernel, name: &str) -> Result<Self, Error> {
        let _ = kernel;
        let lower = Splice::over(name)?;
        let enabled = lower.lower().capabilities()?.enabled;
        // Nobody behind this takes segments that were put together.
        lower
            .lower()
            .set_capabilities(enabled & !Capabilities::LARGE_RECEIVE)?;
        let refused = |source| Error::of(name, name, source);
        let text = CString::new(name).map_err(|_| refused(Errno::ENXIO.into()))?;
        let (inside, outside) = Pair::new();
        let config = abi::Config {
            version: abi::VERSION,
            unit: -1,
            mtu: lower.lower().mtu()?,
            offloads: 0,
            address: lower.lower().hardware_address()?.unwrap_or_default(),
            link: 1,
            pad: 0,
        };
        let vif = Vif::new(Arc::new(Inside(inside)), &config).map_err(refused)?;
        let interface = Interface::named(vif.name())?;
        // It says nothing of itself.
        let _ = interface.automatic_link_local(false);
        interface.set_up(true)?;
        vif.through(&text).map_err(refused)?;
        Ok(Self {
            vif,
            outside,
            offers: offers(lower.lower())?,
            lower,
            name: text,
        })
    }

    /// The card's interface.
    pub fn interface(&self) -> &Interface {
        self.lower.lower()
    }

    /// Waits until it has a link.
    ///
    /// # Errors
    /// As [`Splice::wait_for_link`].
    pub fn wait_for_link(&self, within: Duration) -> Result<(), Error> {
        self.lower.wait_for_link(within)
    }
}

/// Boots the kernel of this process with cards of the host's that `vfio-pci` has, and takes the
/// frames of each. A card is its address (`0000:00:03.0`) and the driver that is to take it, if
/// that matters.
///
/// # Errors
/// Those of [`Builder::boot`](crate::kernel::Builder::boot) and [`Card::over`]; an address is
/// none; another driver has taken a card.
pub fn boot<'a>(
    cards: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
) -> io::Result<Vec<Box<dyn Backend>>> {
    let address = |text: &str| text.parse::<Address>().map_err(io::Error::other);
    let wanted: Vec<(Address, Option<&str>)> = cards
        .into_iter()
        .map(|(text, driver)| Ok((address(text)?, driver)))
        .collect::<io::Result<_>>()?;
    let addresses = wanted.iter().map(|(address, _)| *address);
    let builder = addresses.fold(Kernel::builder(), |builder, address| builder.pci(address));
    let kernel = builder.boot().map_err(io::Error::other)?;
    let attached = pci::attached();
    let card = |(address, driver): (Address, Option<&str>)| {
        let found = attached.iter().find(|one| one.address == address);
        let name = &found.ok_or(io::ErrorKind::NotFound)?.name;
        let has = name.trim_end_matches(|c: char| c.is_ascii_digit());
        if let Some(driver) = driver.filter(|driver| *driver != has) {
            let what = format!("{address} was to be {driver}'s, and is {has}'s");
            return Err(io::Error::other(what));
        }
        Ok(Box::new(Card::over(&kernel, name)?) as Box<dyn Backend>)
    };
    wanted.into_iter().map(card).collect()
}

impl Backend for Card {
    fn offers(&self) -> Offloads {
        self.offers
    }

    fn link(&self) -> bool {
        self.lower.link()
    }

    /// # Errors
    /// There are none that last.
    fn receive(&self, queue: usize, batch: &mut Batch) -> Result<(), HostErrno> {
        self.outside.receive(queue, batch)
    }

    fn send(&self, _queue: usize, frames: &[Transmit<'_>]) -> Result<usize, HostErrno> {
        Ok(self.vif.put(frames))
    }

    fn wake(&self) {
        self.outside.wake();
    }

    /// What the interface has counted since.
    fn statistics(&self) -> Statistics {
        self.lower.statistics()
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        self.vif.unsplice(&self.name);
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Card")
            .field(&self.interface().name())
            .finish()
    }
}
