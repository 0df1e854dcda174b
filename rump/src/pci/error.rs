//! What can go wrong with PCI devices.

use super::Address;
use crate::error::Errno;
use crate::kernel::Down;
use rump_sys::hyper::linux::vfio;
use std::io;

/// What was not possible, with which device, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This kernel has no PCI.
    #[error("PCI devices are not in {kernel}{}", .hint)]
    Unsupported {
        /// Which kernel that is.
        kernel: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// No kernel runs in this process.
    #[error(transparent)]
    Down(#[from] Down),
    /// There is no such device.
    #[error("there is no PCI device {address} on this machine (lspci -D lists them)")]
    Absent {
        /// Which.
        address: Address,
    },
    /// It is attached already.
    #[error("{address} is attached already, as {name}")]
    Attached {
        /// Which.
        address: Address,
        /// What the kernel calls it.
        name: String,
    },
    /// It is a device that would go around the IOMMU.
    #[error(
        "{address} is a virtio device ({device:04x}): the kernel's drivers give such devices addresses that the IOMMU does not translate, so it is refused"
    )]
    Virtio {
        /// Which.
        address: Address,
        /// Its number.
        device: u16,
    },
    /// There is no access to it.
    #[error(transparent)]
    Access(#[from] vfio::Error),
    /// The kernel has no slot for it.
    #[error("{address} cannot be put on the kernel's buses: {source}")]
    Slot {
        /// Which.
        address: Address,
        /// Why not.
        source: Errno,
    },
    /// No driver took it.
    #[error(
        "no driver of this kernel took {address} ({vendor:04x}:{device:04x}, class {class:06x}): {}", Drivers(.drivers)
    )]
    NoDriver {
        /// Which.
        address: Address,
        /// Who made it.
        vendor: u16,
        /// Its number.
        device: u16,
        /// What kind of device it is.
        class: u32,
        /// The drivers that the kernel was built with.
        drivers: Vec<&'static str>,
    },
    /// The kernel has no such device.
    #[error("no PCI device is attached as {name:?}")]
    NotAttached {
        /// The name.
        name: String,
    },
    /// The driver did not let go of it.
    #[error("{name} ({address}) cannot be detached: {source}")]
    Detach {
        /// Which.
        address: Address,
        /// What the kernel calls it.
        name: String,
        /// Why not: `EBUSY` if something of it is open or mounted.
        source: Errno,
    },
}

struct Drivers<'a>(&'a [&'static str]);

impl std::fmt::Display for Drivers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("it was built with none (RUMP_DRIVERS names them)");
        }
        write!(f, "it was built with {} (RUMP_DRIVERS)", self.0.join(", "))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Unsupported { .. } => io::ErrorKind::Unsupported,
            Error::Down(_) => io::ErrorKind::NotConnected,
            Error::Absent { .. } => io::ErrorKind::NotFound,
            Error::Attached { .. } => io::ErrorKind::AlreadyExists,
            Error::Access(vfio::Error::Open { source, .. }) => source.kind(),
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
