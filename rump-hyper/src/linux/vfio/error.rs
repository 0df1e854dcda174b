//! Why there is no access to a device.

use std::format;
use std::io;
use std::path::PathBuf;
use std::string::{String, ToString};

/// Why a device cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such device.
    #[error("there is no PCI device {address} on this machine (lspci -D lists them)")]
    Absent {
        /// Which.
        address: String,
    },
    /// The device is behind no IOMMU.
    #[error(
        "{address} has no IOMMU group: the machine has no IOMMU, or Linux does not use it (firmware setting VT-d or AMD-Vi; kernel parameter intel_iommu=on). Without one a device could write anywhere, and is not used"
    )]
    NoIommu {
        /// Which.
        address: String,
    },
    /// Another driver has it.
    #[error(
        "{address} is {}: bind it to vfio-pci (modprobe vfio-pci; echo vfio-pci > /sys/bus/pci/devices/{address}/driver_override; echo {address} > /sys/bus/pci/devices/{address}/driver/unbind, if it is bound; echo {address} > /sys/bus/pci/drivers_probe)",
        .driver.as_ref().map_or("not bound to a driver of Linux".to_string(), |name| format!("bound to {name}"))
    )]
    NotBound {
        /// Which.
        address: String,
        /// The driver that has it.
        driver: Option<String>,
    },
    /// VFIO's files are not there, or not for this user.
    #[error("opening {}: {source}{}", .path.display(), .hint)]
    Open {
        /// The container's, or the group's.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// Other devices of the group have drivers.
    #[error(
        "IOMMU group {group} of {address} cannot be used: every device in /sys/kernel/iommu_groups/{group}/devices must be bound to vfio-pci or to no driver, because the IOMMU cannot tell them apart"
    )]
    NotViable {
        /// Which device.
        address: String,
        /// Its group.
        group: u32,
    },
    /// There are no addresses left for the kernel's memory.
    #[error(
        "the IOMMU translates no range of addresses that has room for {} MiB of the kernel's memory below 2^{bits}: boot the kernel with less memory, or attach the device earlier", .needed >> 20
    )]
    NoWindow {
        /// How many bytes are needed.
        needed: u64,
        /// How many bits an address may have.
        bits: u32,
    },
    /// The limit of locked memory.
    #[error(
        "the kernel's memory cannot be locked for DMA: RLIMIT_MEMLOCK is {} KiB and {} KiB are needed at once, more as the kernel's memory grows; raise it (ulimit -l, LimitMEMLOCK= of the service, memlock in /etc/security/limits.conf)", .limit >> 10, .needed >> 10
    )]
    Memlock {
        /// The limit in bytes.
        limit: u64,
        /// How much more was needed.
        needed: u64,
    },
    /// A call of VFIO's failed.
    #[error("{what} of {object} through VFIO: {source}")]
    Vfio {
        /// What was done.
        what: &'static str,
        /// To what.
        object: String,
        /// The system's error.
        source: io::Error,
    },
    /// It is not what is expected of a PCI function.
    #[error("{address}: {problem}")]
    Unusable {
        /// Which.
        address: String,
        /// Why.
        problem: &'static str,
    },
    /// The system's error, of memory that could not be had.
    #[error("memory for devices: {0}")]
    Memory(#[from] io::Error),
}
