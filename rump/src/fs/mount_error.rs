//! Why something could not be mounted or unmounted.

use super::Mount;
use crate::error::Errno;
use std::io;
use std::path::PathBuf;

/// What was not possible, with what, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// An image of the host could not be opened.
    #[error("cannot open the image {}: {source}", .path.display())]
    Image {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel could not have a disk.
    #[error("cannot make a disk for {kind}: {source}")]
    Disk {
        /// What was to be mounted from it.
        kind: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// What to mount on could not be made.
    #[error("cannot make {} to mount on: {source}", .at.display())]
    Directory {
        /// The directory.
        at: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refused to mount.
    #[error("cannot mount {kind} from {device} on {}: {source}{}", .at.display(), hint(.source))]
    Mount {
        /// The kind of file system.
        kind: &'static str,
        /// What it was to be mounted from.
        device: String,
        /// Where.
        at: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refused to unmount: something is open.
    #[error("cannot unmount {}: {source}{}", .mount.path().display(), hint(.source))]
    Unmount {
        /// What stays mounted.
        mount: Box<Mount>,
        /// Why not.
        source: io::Error,
    },
    /// It is unmounted, but its disk stays, because something has it open.
    #[error("{} is unmounted: {source}", .at.display())]
    Detach {
        /// Where it was mounted.
        at: PathBuf,
        /// Which, and why.
        source: Box<crate::block::InUse>,
    },
}

/// What one can do about it.
fn hint(error: &io::Error) -> &'static str {
    match Errno::of(error) {
        Some(Errno::EINVAL | Errno::EFTYPE) => {
            " (it has no such file system, or one that is damaged or too new for this kernel)"
        }
        Some(Errno::EROFS) => " (mount it read-only)",
        Some(Errno::EPERM) => {
            " (it was not unmounted cleanly: check it with fsck, or mount it read-only)"
        }
        Some(Errno::EBUSY) => {
            " (it is in use: close what is open there, and unmount what is mounted)"
        }
        Some(Errno::ENXIO) => " (no disk is behind that device)",
        Some(Errno::ENODEV | Errno::EOPNOTSUPP) => {
            " (this kernel has no such file system: it is compiled in with the feature `fs`)"
        }
        Some(Errno::ENOTBLK) => {
            " (it is not a block device: name \"/dev/ld0d\", not \"/dev/rld0d\")"
        }
        Some(Errno::EIO) => " (the disk fails, or what is on it makes no sense)",
        _ => "",
    }
}

impl MountError {
    fn source_error(&self) -> &io::Error {
        match self {
            Self::Image { source, .. }
            | Self::Disk { source, .. }
            | Self::Directory { source, .. }
            | Self::Mount { source, .. }
            | Self::Unmount { source, .. } => source,
            Self::Detach { source, .. } => &source.source,
        }
    }

    /// The kind that std has for it.
    pub fn kind(&self) -> io::ErrorKind {
        self.source_error().kind()
    }

    /// NetBSD's number, if the kernel refused.
    pub fn errno(&self) -> Option<Errno> {
        Errno::of(self.source_error())
    }
}

impl From<MountError> for io::Error {
    fn from(error: MountError) -> Self {
        Self::new(error.kind(), error)
    }
}
