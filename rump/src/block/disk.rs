//! A disk of the kernel over a back end.

use super::Backend;
use crate::error::{Errno, Lacking};
use crate::kernel::Kernel;
use crate::sys::vbd::{Host, Vbd};
use std::fmt;
use std::io;
use std::sync::Arc;

/// A disk that the program made, "vbd0".
///
/// It is there until it is [detached](Self::detach). Dropping it tries that, and leaves it
/// where it is in use.
#[derive(Debug)]
pub struct Disk {
    /// `None` once it is detached.
    vbd: Option<Vbd>,
    raw_path: String,
    backend: Arc<dyn Backend>,
}

/// A disk that could not be detached, and why: something on it is mounted, or it is open.
#[derive(thiserror::Error)]
#[error("the disk {} stays: {source}; unmount what is on it, and close its devices", .disk.name())]
pub struct InUse {
    /// The disk.
    pub disk: Disk,
    /// Why not.
    pub source: io::Error,
}

impl fmt::Debug for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InUse")
            .field("disk", &self.disk.name())
            .field("source", &self.source)
            .finish()
    }
}

/// Checks what the kernel asks before it reaches the back end.
struct Checked(Arc<dyn Backend>);

impl Checked {
    fn check(&self, offset: u64, length: usize) -> Result<(), Errno> {
        let end = offset.checked_add(length as u64).ok_or(Errno::EINVAL)?;
        if end > self.0.size() {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

impl Host for Checked {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Errno> {
        self.check(offset, into.len())?;
        self.0.read(offset, into)
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), Errno> {
        if self.0.is_read_only() {
            return Err(Errno::EROFS);
        }
        self.check(offset, from.len())?;
        self.0.write(offset, from)
    }

    fn flush(&self) -> Result<(), Errno> {
        self.0.flush()
    }

    fn discard(&self, offset: u64, length: u64) -> Result<(), Errno> {
        let end = offset.checked_add(length).ok_or(Errno::EINVAL)?;
        if self.0.is_read_only() || end > self.0.size() {
            return Err(Errno::EINVAL);
        }
        self.0.discard(offset, length)
    }

    fn crew(&self) -> usize {
        self.0.depth().min(MOST)
    }
}

/// Threads of a disk at most.
const MOST: usize = 32;

impl Disk {
    /// Makes a disk over a back end.
    ///
    /// # Errors
    /// [`Lacking`] on rump-lite; [`Unsupported`](io::ErrorKind::Unsupported) if the kernel is
    /// of another process or without the component; `EINVAL` if the back end has no sector,
    /// or sectors of an impossible size; `EMFILE` if there are 64 disks.
    #[doc(alias = "rump_vbd_create")]
    pub fn attach(_kernel: &Kernel, backend: impl Backend + 'static) -> io::Result<Self> {
        if rump_sys::kernel::KIND == rump_sys::kernel::Kind::Lite {
            return Err(Lacking::new("disks".into(), Errno::ENOSYS).into());
        }
        let backend: Arc<dyn Backend> = Arc::new(backend);
        let sector = backend.sector_size();
        if !sector.is_power_of_two() || !(512..=65536).contains(&sector) {
            return Err(Errno::EINVAL.into());
        }
        let vbd = Vbd::new(
            Arc::new(Checked(backend.clone())),
            backend.size() / u64::from(sector),
            sector,
            backend.is_read_only(),
        )?;
        tracing::info!(disk = vbd.name(), ?backend, "disk attached");
        let raw_path = format!("/dev/r{}d", vbd.name());
        Ok(Self {
            vbd: Some(vbd),
            raw_path,
            backend,
        })
    }

    /// Its name, "vbd0".
    pub fn name(&self) -> &str {
        self.vbd.as_ref().map_or("", Vbd::name)
    }

    /// Where a file system is mounted from: its block device, "/dev/vbd0d".
    pub fn path(&self) -> String {
        format!("/dev/{}d", self.name())
    }

    /// What a [`BlockDevice`](super::BlockDevice) is opened by: its character device,
    /// "/dev/rvbd0d".
    pub fn raw_path(&self) -> &str {
        &self.raw_path
    }

    /// What is behind it.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Flushes and removes it, with its wedges.
    ///
    /// # Errors
    /// [`InUse`], with the disk. The back end's error if it cannot be flushed is told by the
    /// crate `tracing`.
    pub fn detach(mut self) -> Result<(), InUse> {
        match self.remove() {
            Ok(()) => Ok(()),
            Err(source) => Err(InUse { disk: self, source }),
        }
    }

    fn remove(&mut self) -> io::Result<()> {
        let Some(vbd) = self.vbd.take() else {
            return Ok(());
        };
        let name = vbd.name().to_string();
        if let Err((vbd, error)) = vbd.destroy() {
            self.vbd = Some(vbd);
            return Err(error);
        }
        if !self.backend.is_read_only()
            && let Err(error) = self.backend.flush()
        {
            tracing::error!(disk = name, %error, "what was written last may not be safe");
        }
        tracing::info!(disk = name, "disk detached");
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(disk = self.name(), %error, "disk left attached");
        }
    }
}
