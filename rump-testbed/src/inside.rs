//! What a test uses that runs in the guest: the guest's devices, the drivers that have
//! them, and the IOMMU's faults as they happen.

pub use crate::hotplug::{eject, pull_out};

use crate::device::Place;
use crate::pace;
use crate::report::{Fault, faults};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the guest is told what devices it has.
pub(crate) const DEVICES: &str = "RUMP_TESTBED_DEVICES";
/// How it is told how much slower it is than on a machine with nothing else to do.
pub(crate) const SLOWNESS: &str = "RUMP_TESTBED_SLOWNESS";
/// Where the kernel shows its PCI devices and their drivers.
pub(crate) const PCI: &str = "/sys/bus/pci";

/// How long to wait for something that would take no more than `limit` on a machine with
/// nothing else to do. It is longer while this one is busy, as measured when the test began.
pub fn patience(limit: Duration) -> Duration {
    let told = std::env::var(SLOWNESS).ok();
    let slowness = told.and_then(|told| told.parse().ok());
    pace::longer(limit, pace::sound(slowness))
}

/// The devices that the guest was given, in that order.
///
/// # Errors
/// This process was not started by a test in a guest.
pub fn devices() -> io::Result<Vec<Place>> {
    let list = std::env::var(DEVICES)
        .map_err(|_| io::Error::other("this process runs in no guest: no RUMP_TESTBED_DEVICES"))?;
    serde_json::from_str(&list).map_err(io::Error::other)
}

/// The address of the first device of a model, such as `nvme`.
///
/// # Errors
/// As [`devices`], or there is none.
pub fn device(model: &str) -> io::Result<String> {
    let devices = devices()?;
    let found = devices.into_iter().find(|place| place.model == model);
    found
        .map(|place| place.address)
        .ok_or_else(|| io::Error::other(format!("the guest has no {model}")))
}

/// Gives the device at a PCI address to a driver of Linux's, taking it from another.
///
/// # Errors
/// There is no such device, or the driver does not take it.
pub fn bind(address: &str, driver: &str) -> io::Result<()> {
    let device = Path::new(PCI).join("devices").join(address);
    write(&device.join("driver_override"), driver)?;
    if self::driver(address)?.is_some() {
        write(&device.join("driver/unbind"), address)?;
    }
    write(&Path::new(PCI).join("drivers_probe"), address)?;
    match self::driver(address)? {
        Some(has) if has == driver => Ok(()),
        other => Err(io::Error::other(format!(
            "{address} was to be bound to {driver}; it has {}",
            other.as_deref().unwrap_or("no driver")
        ))),
    }
}

/// Takes the device at a PCI address from its driver, if it has one. It stays without
/// until it is bound.
///
/// # Errors
/// There is no such device.
pub fn unbind(address: &str) -> io::Result<()> {
    let device = Path::new(PCI).join("devices").join(address);
    write(&device.join("driver_override"), "\n")?;
    if driver(address)?.is_some() {
        write(&device.join("driver/unbind"), address)?;
    }
    Ok(())
}

/// The driver of Linux's that has the device at a PCI address.
///
/// # Errors
/// There is no such device.
pub fn driver(address: &str) -> io::Result<Option<String>> {
    link(address, "driver")
}

/// The IOMMU group of the device at a PCI address; its file is `/dev/vfio/GROUP` while
/// `vfio-pci` has the device.
///
/// # Errors
/// There is no such device.
pub fn group(address: &str) -> io::Result<Option<String>> {
    link(address, "iommu_group")
}

/// The other devices of the IOMMU group of the device at a PCI address.
///
/// # Errors
/// There is no such device, or it is in no group.
pub fn neighbours(address: &str) -> io::Result<Vec<String>> {
    let device = Path::new(PCI).join("devices").join(address);
    let group = device.join("iommu_group/devices");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&group).map_err(|error| about(&group, error))? {
        all.push(entry?.file_name().to_string_lossy().into_owned());
    }
    all.retain(|other| other != address);
    Ok(all)
}

/// The name of what a link in a device's folder leads to.
fn link(address: &str, name: &str) -> io::Result<Option<String>> {
    let device = Path::new(PCI).join("devices").join(address);
    std::fs::metadata(&device).map_err(|error| about(&device, error))?;
    match std::fs::read_link(device.join(name)) {
        Ok(target) => Ok(target
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(about(&device.join(name), error)),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text).map_err(|error| about(path, error))
}

pub(crate) fn about(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// What the kernel logs from now on (`/dev/kmsg`). Reading it takes nothing away from the
/// log, so a fault is seen by the test itself and in its report.
#[derive(Debug)]
pub struct KernelLog {
    file: File,
}

impl KernelLog {
    /// From now on.
    ///
    /// # Errors
    /// `/dev/kmsg` cannot be read.
    pub fn follow() -> io::Result<Self> {
        let path = PathBuf::from("/dev/kmsg");
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
            .open(&path)
            .map_err(|error| about(&path, error))?;
        file.seek(SeekFrom::End(0))
            .map_err(|error| about(&path, error))?;
        Ok(Self { file })
    }

    /// What has been logged since the last call, a message a line.
    ///
    /// # Errors
    /// Reading failed, or the kernel has overwritten messages before they were read.
    pub fn read(&mut self) -> io::Result<String> {
        let mut log = String::new();
        // One message at each read, and none is longer than this.
        let mut record = [0; 8192];
        loop {
            match self.file.read(&mut record) {
                Ok(length) => {
                    // "priority,sequence,time,flags;text", then lines of details that
                    // begin with a space.
                    let record = String::from_utf8_lossy(&record[..length]);
                    let (_, text) = record.split_once(';').unwrap_or(("", &record));
                    log += text.lines().next().unwrap_or_default();
                    log.push('\n');
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(log),
                Err(error) => return Err(error),
            }
        }
    }

    /// The IOMMU's faults since the last call.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn faults(&mut self) -> io::Result<Vec<Fault>> {
        self.read().map(|log| faults(&log))
    }
}
