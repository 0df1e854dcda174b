//! PCI devices of the host, driven by NetBSD's drivers in this process.
//!
//! [`list`] tells which there are. A device that Linux's `vfio-pci` has can be attached:
//! by [`Builder::pci`](crate::kernel::Builder::pci) when the kernel boots, or by
//! [`Kernel::attach_pci`](crate::Kernel::attach_pci) while it runs. The drivers are those
//! that `RUMP_DRIVERS` named when the program was built. A network interface is then there
//! under its driver's name, and a disk as a block device. A card makes checksums and cuts up
//! segments as far as its driver can have it do so; [`Interface::set_capabilities`] takes
//! that back.
//!
//! ```no_run
//! use rump::pci::Address;
//!
//! let address: Address = "0000:00:03.0".parse()?;
//! let kernel = rump::Kernel::builder().pci(address).boot()?;
//! for device in rump::pci::attached() {
//!     println!("{} is {}", device.address, device.name);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Memory
//! A device reaches the kernel's memory, and nothing else: the IOMMU sees to it. That
//! memory is locked, so `RLIMIT_MEMLOCK` has to allow as much as the kernel may take, and
//! it does not exist in a child of a fork. What lies elsewhere is copied ([`stats`]); with
//! [`Builder::pci`](crate::kernel::Builder::pci) the kernel's memory is the device's from
//! the start, and less of it lies elsewhere.
//!
//! # When the host takes a device away
//! Linux asks for a device that is pulled out, or that is taken from `vfio-pci`. It is
//! detached then, even if it is in use: its interface or disk is gone. What a disk was to do
//! fails with `ENXIO`.
//!
//! # When a disk does not answer
//! NetBSD's nvme(4) would wait for ever. Here a command that has had no answer for
//! [30 seconds](set_disk_timeout) ends the controller's work: it is stopped, and all that it
//! was to do, and is told afterwards, fails with `ETIMEDOUT`
//! ([`TimedOut`](std::io::ErrorKind::TimedOut)), file systems on it included; the kernel's
//! console says why. [`Kernel::remove_pci`] and
//! [`attach_pci`](crate::Kernel::attach_pci) start it anew. An answer whose interrupt was
//! lost is found after two seconds.
//!
//! # What it does not do
//! Devices without an IOMMU are refused, and so are those of virtio, whose drivers here
//! go around it. Groups of several devices need all of them bound to `vfio-pci`.

mod address;
mod error;
mod host;
mod options;

pub use address::{Address, AddressError};
pub use error::Error;
pub use host::{HostDevice, list};
pub use options::{Interrupts, Options};

use crate::iface::Interface;
use crate::kernel::{self, Kernel};
use crate::sys::pci as raw;
use rump_sys::hyper::linux::vfio;
use rump_sys::hyper::pci::bus::Place;
use rump_sys::hyper::pci::{Function, Vector, interrupt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who made virtio devices (virtio 1.1, 4.1.2).
const VIRTIO: u16 = 0x1af4;

/// A device that the kernel has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attached {
    /// Where the host has it.
    pub address: Address,
    /// What the kernel calls it: `wm0`.
    pub name: String,
}

/// What has been counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Interrupts of all devices.
    pub interrupts: u64,
    /// Calls of drivers' handlers that they took: several interrupts can share one.
    pub handler_calls: u64,
    /// How often a thread of the program, which waited for what interrupts bring, waited for
    /// them and called handlers itself.
    pub waiters_calls: u64,
    /// Buffers that devices did not reach, so that they were copied.
    pub bounced_loads: u64,
    /// How many bytes were copied.
    pub bounced_bytes: u64,
    /// Commands of NVMe disks that their controllers were not told of at once, as others were
    /// to follow them.
    pub doorbells_put_off: u64,
    /// How often a controller was told of all of those.
    pub doorbells_made_up: u64,
}

/// What is held for an attached device.
struct Held {
    attached: Attached,
    place: Place,
    removal: Option<Arc<dyn Vector>>,
}

static HELD: Mutex<Vec<Held>> = Mutex::new(Vec::new());

fn held() -> MutexGuard<'static, Vec<Held>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The drivers that the kernel was built with: those that `RUMP_DRIVERS` named, and those
/// that came with them.
pub fn drivers() -> &'static [&'static str] {
    rump_sys::DRIVERS
}

/// The devices that the kernel has, in the order in which they came.
pub fn attached() -> Vec<Attached> {
    held().iter().map(|held| held.attached.clone()).collect()
}

/// What has been counted since the kernel booted.
pub fn stats() -> Stats {
    let counts = interrupt::counts();
    let counted = raw::stats();
    Stats {
        interrupts: counts.interrupts,
        handler_calls: counts.calls,
        waiters_calls: counts.visited,
        bounced_loads: counted.bounced_loads,
        bounced_bytes: counted.bounced_bytes,
        doorbells_put_off: counted.put_off,
        doorbells_made_up: counted.made_up,
    }
}

/// How long a disk may take to answer a command, in whole seconds and one at least; `None`
/// for as long as it wants. It is 30 seconds unless this says otherwise, and is the same for
/// all disks of the kernel's that nvme(4) drives.
///
/// # Errors
/// [`Error::Unsupported`] if this kernel has no PCI.
#[doc(alias = "rump_pci_set_timeout")]
pub fn set_disk_timeout(limit: Option<Duration>) -> Result<(), Error> {
    supported()?;
    let seconds = limit.map_or(0, |limit| limit.as_secs().clamp(1, u32::MAX.into()));
    raw::set_timeout(seconds as u32);
    Ok(())
}

/// A device that is open, and not yet attached.
pub(crate) struct Opened {
    device: HostDevice,
    function: Arc<dyn Function>,
}

/// Whether the kernel of this build can have devices.
fn supported() -> Result<(), Error> {
    if raw::available() {
        return Ok(());
    }
    let lite = matches!(rump_sys::kernel::KIND, rump_sys::kernel::Kind::Lite);
    Err(if lite {
        Error::Unsupported {
            kernel: "rump-lite",
            hint: ": set NETBSD_SRC to a NetBSD source tree and RUMP_DRIVERS to the drivers, and build again",
        }
    } else {
        Error::Unsupported {
            kernel: "this kernel",
            hint: ": set RUMP_DRIVERS to the drivers (RUMP_DRIVERS=wm,nvme), and build again",
        }
    })
}

/// Takes a device from the host, and has it reach the kernel's memory.
pub(crate) fn open(address: Address, options: Options) -> Result<Opened, Error> {
    supported()?;
    let device = host::find(address)?;
    if device.vendor == VIRTIO {
        return Err(Error::Virtio {
            address,
            device: device.device,
        });
    }
    let text = address.to_string();
    let group = device.group.ok_or_else(|| vfio::Error::NoIommu {
        address: text.clone(),
    })?;
    if device.driver.as_deref() != Some("vfio-pci") {
        return Err(vfio::Error::NotBound {
            address: text,
            driver: device.driver,
        }
        .into());
    }
    let mut function = vfio::open(&text, group)?;
    function.limit_interrupts(options.interrupts.kind());
    let function = Arc::new(function);
    Ok(Opened { device, function })
}

/// Has the kernel's drivers look at an open device.
pub(crate) fn attach(opened: Opened) -> Result<Attached, Error> {
    let Opened { device, function } = opened;
    let address = device.address;
    let slot = |source| Error::Slot { address, source };
    let removal = function.removal();
    let place = Place::take(function).map_err(|error| slot(crate::Errno::from_raw(error.0)))?;
    let Some(name) = raw::attach(place.bus(), place.device()).map_err(slot)? else {
        return Err(Error::NoDriver {
            address,
            vendor: device.vendor,
            device: device.device,
            class: device.class,
            drivers: drivers().to_vec(),
        });
    };
    let attached = Attached { address, name };
    tracing::info!(%address, name = attached.name, "attached");
    offload(&attached.name);
    held().push(Held {
        attached: attached.clone(),
        place,
        removal: removal.clone(),
    });
    if let Some(removal) = removal {
        watch(removal, attached.name.clone());
    }
    Ok(attached)
}

/// Leaves to a network card what it can do: NetBSD waits for somebody to say so.
fn offload(name: &str) {
    // A disk is no interface.
    let Ok(interface) = Interface::named(name) else {
        return;
    };
    if let Err(error) = interface.offload() {
        tracing::warn!(name, %error, "checksums and segments stay with the kernel");
    }
}

/// Gives a device back when the host wants it: it is pulled out, or taken from `vfio-pci`.
/// Whoever took it waits for that.
fn watch(removal: Arc<dyn Vector>, name: String) {
    let watcher = move || {
        if removal.wait(None).is_none() {
            return;
        }
        tracing::warn!(name, "the host takes the device away");
        if let Err(error) = detach(&name, true) {
            tracing::error!(name, %error, "it could not be given back");
        }
    };
    let thread = std::thread::Builder::new().name("pci-removal".into());
    if let Err(error) = thread.spawn(watcher) {
        tracing::warn!(%error, "no thread watches for the device's removal");
    }
}

fn detach(name: &str, gone: bool) -> Result<(), Error> {
    kernel::check_here()?;
    let found = held()
        .iter()
        .find(|held| held.attached.name == name)
        .map(|held| held.attached.address);
    let Some(address) = found else {
        return Err(Error::NotAttached { name: name.into() });
    };
    let _until_closed = interrupt::Leaving::begin();
    raw::detach(name, gone).map_err(|source| Error::Detach {
        address,
        name: name.into(),
        source,
    })?;
    let mut all = held();
    let index = all.iter().position(|held| held.attached.name == name);
    let gone = index.map(|index| all.remove(index));
    drop(all);
    if let Some(Held { place, removal, .. }) = gone {
        if let Some(removal) = removal {
            removal.stop();
        }
        // The driver has let go of it: it is reset, and given back to the host.
        drop(place);
    }
    tracing::info!(%address, name, "detached");
    Ok(())
}

impl Kernel {
    /// Takes a device from the host and has the kernel's drivers look at it. The device
    /// must be bound to `vfio-pci`.
    ///
    /// # Errors
    /// [`pci::Error`](Error); [`NoDriver`](Error::NoDriver) if no driver took it, which
    /// leaves the device with the host.
    pub fn attach_pci(&self, address: Address) -> Result<Attached, Error> {
        self.attach_pci_with(address, Options::new())
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As [`attach_pci`](Self::attach_pci).
    pub fn attach_pci_with(&self, address: Address, options: Options) -> Result<Attached, Error> {
        supported()?;
        kernel::check_here()?;
        if let Some(held) = held().iter().find(|held| held.attached.address == address) {
            let name = held.attached.name.clone();
            return Err(Error::Attached { address, name });
        }
        attach(open(address, options)?)
    }

    /// Has the driver let go of a device by its name in the kernel, and gives it back to
    /// the host, where it can be bound to another driver.
    ///
    /// # Errors
    /// [`Error::NotAttached`]; [`Error::Detach`], with `EBUSY` if something of it is open
    /// or mounted.
    pub fn detach_pci(&self, name: &str) -> Result<(), Error> {
        detach(name, false)
    }

    /// The same for a device that does not answer any more: its driver lets go of it even
    /// if it is in use.
    ///
    /// # Errors
    /// As [`detach_pci`](Self::detach_pci).
    pub fn remove_pci(&self, name: &str) -> Result<(), Error> {
        detach(name, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_pci_says_so() {
        assert_eq!(supported().is_ok(), raw::available());
        if let Err(error) = supported() {
            assert!(drivers().is_empty());
            let text = error.to_string();
            assert!(
                text.contains("not in") && text.contains("RUMP_DRIVERS"),
                "{text}"
            );
            let error = std::io::Error::from(error);
            assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
            let address = "0000:00:03.0".parse().unwrap();
            let error = Kernel::builder().pci(address).boot().unwrap_err();
            assert!(error.to_string().contains("not in"), "{error}");
        }
    }
}
