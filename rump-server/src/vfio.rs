//! A card that a worker is to open by VFIO after privileges are given up.
//!
//! Linux gives a card away by its IOMMU group, a file that is root's; it is made the user's,
//! and stays so until the file goes. What the card reaches is locked in memory, of which an
//! ordinary user may have little: the limit is lifted, for the supervisor and its workers.
//!
//! Nothing of the card is open here. Each worker opens it and boots a kernel with its driver,
//! before it gives up all system calls that it needs no more. With a worker that dies Linux
//! closes the card, which ends its access to memory and resets it.

use crate::config::CardPlan;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::unistd::Uid;
use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often it is looked whether a card is free.
const AGAIN: Duration = Duration::from_millis(1);

fn folder(card: &CardPlan) -> PathBuf {
    Path::new("/sys/bus/pci/devices").join(&card.address)
}

/// The last part of where a link in its folder leads.
fn last(card: &CardPlan, name: &str) -> Option<String> {
    let target = std::fs::read_link(folder(card).join(name)).ok()?;
    Some(target.file_name()?.to_str()?.to_string())
}

/// The file that gives the card away.
fn group(card: &CardPlan) -> Result<PathBuf> {
    let group = last(card, "iommu_group").ok_or_else(|| {
        let what = "it is behind no IOMMU; turn that on (intel_iommu=on, amd_iommu=on)";
        Error::other(what)
    })?;
    Ok(Path::new("/dev/vfio").join(group))
}

/// Waits until nobody has a card, up to so long: a group is open once at a time.
///
/// # Errors
/// The last one that its file gave.
pub(crate) fn wait(card: &CardPlan, time: Duration) -> Result<()> {
    let file = group(card)?;
    let until = Instant::now() + time;
    loop {
        match OpenOptions::new().read(true).write(true).open(&file) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < until => {
                std::thread::sleep(AGAIN);
            }
            other => return other.map(drop),
        }
    }
}

/// Makes a card the user's, if this is root.
pub(crate) fn grant(card: &CardPlan, user: Option<(u32, u32)>) -> Result<()> {
    let folder = folder(card);
    if !folder.exists() {
        let what = format!(
            "there is no PCI device {}: lspci -D lists them",
            card.address
        );
        return Err(Error::other(what));
    }
    let driver = last(card, "driver");
    if driver.as_deref() != Some("vfio-pci") {
        let has = driver.as_deref().unwrap_or("no driver");
        let what = format!(
            "{} has {has} and not vfio-pci; write vfio-pci to driver_override in {}, \
             unbind it there, and write {} to /sys/bus/pci/drivers_probe",
            card.address,
            folder.display(),
            card.address
        );
        return Err(Error::other(what));
    }
    let file = group(card)?;
    if Uid::effective().is_root() {
        setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)?;
        chown(file, user.map(|(user, _)| user), None)?;
    }
    Ok(())
}
