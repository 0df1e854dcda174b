//! A file or a block device of the host.

use super::Backend;
use crate::error::Errno;
use nix::fcntl::{FallocateFlags, Flock, FlockArg, fallocate};
use rump_sys::hyper::host::Host;
use rump_sys::hyper::linux::LinuxHost;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A disk image: a file of the host with the sectors of a disk, or a block device.
///
/// It is locked (`flock(2)`) against a second kernel: shared if it is read-only.
#[derive(Debug)]
pub struct Image {
    file: Flock<File>,
    path: PathBuf,
    size: u64,
    sector_size: u32,
    read_only: bool,
    depth: usize,
}

/// How an image is opened.
#[derive(Debug, Clone, Default)]
pub struct ImageBuilder {
    read_only: bool,
    write_through: bool,
    sector_size: Option<u32>,
    depth: usize,
}

impl Image {
    /// Opens an image to read and write.
    ///
    /// # Errors
    /// The host's; [`WouldBlock`](io::ErrorKind::WouldBlock) if another process has it locked.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::builder().open(path)
    }

    /// Opens an image to read.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::builder().read_only(true).open(path)
    }

    /// Makes a new image of so many bytes, all 0 and without blocks on the host's disk.
    ///
    /// # Errors
    /// The host's; [`AlreadyExists`](io::ErrorKind::AlreadyExists).
    pub fn create(path: impl AsRef<Path>, size: u64) -> io::Result<Self> {
        let path = path.as_ref();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.set_len(size)?;
        drop(file);
        Self::open(path)
    }

    /// Says how to open it.
    pub fn builder() -> ImageBuilder {
        ImageBuilder::default()
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl ImageBuilder {
    /// Whether it is not to be written.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Whether each write is on stable storage when it is done (`O_DSYNC`): a disk without
    /// a cache, and much slower.
    #[must_use]
    pub fn write_through(mut self, write_through: bool) -> Self {
        self.write_through = write_through;
        self
    }

    /// Bytes of a sector, 512 by default.
    #[must_use]
    pub fn sector_size(mut self, bytes: u32) -> Self {
        self.sector_size = Some(bytes);
        self
    }

    /// See [`Backend::depth`]; 0 by default, which is right for images in the host's cache.
    #[must_use]
    pub fn depth(mut self, transfers: usize) -> Self {
        self.depth = transfers;
        self
    }

    /// Opens it.
    ///
    /// # Errors
    /// As [`Image::open`]; [`InvalidInput`](io::ErrorKind::InvalidInput) for what is neither
    /// a file nor a block device.
    pub fn open(self, path: impl AsRef<Path>) -> io::Result<Image> {
        let path = path.as_ref();
        let flags = if self.write_through {
            nix::libc::O_DSYNC
        } else {
            0
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(!self.read_only)
            .custom_flags(flags)
            .open(path)?;
        let kind = file.metadata()?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is neither a file nor a block device", path.display()),
            ));
        }
        // stat(2) knows no size of a device; its end does.
        let size = file.seek(SeekFrom::End(0))?;
        let lock = if self.read_only {
            FlockArg::LockSharedNonblock
        } else {
            FlockArg::LockExclusiveNonblock
        };
        let file = Flock::lock(file, lock).map_err(|(_, errno)| {
            let error = io::Error::from(errno);
            let text = format!("{} is in use, or cannot be locked: {error}", path.display());
            io::Error::new(error.kind(), text)
        })?;
        Ok(Image {
            file,
            path: path.to_path_buf(),
            size,
            sector_size: self.sector_size.unwrap_or(512),
            read_only: self.read_only,
            depth: self.depth,
        })
    }
}

/// NetBSD's number for what went wrong on the host.
fn errno(error: &io::Error) -> Errno {
    // An image that became shorter is no disk any more.
    let host = error.raw_os_error();
    host.map_or(Errno::EIO, |host| {
        Errno::from_raw(<LinuxHost as Host>::errno(host).0)
    })
}

impl Backend for Image {
    fn size(&self) -> u64 {
        self.size
    }

    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Errno> {
        let read = self.file.read_exact_at(into, offset);
        read.map_err(|error| errno(&error))
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), Errno> {
        let written = self.file.write_all_at(from, offset);
        written.map_err(|error| errno(&error))
    }

    fn flush(&self) -> Result<(), Errno> {
        self.file.sync_data().map_err(|error| errno(&error))
    }

    fn discard(&self, offset: u64, length: u64) -> Result<(), Errno> {
        let range = |bytes| i64::try_from(bytes).map_err(|_| Errno::EINVAL);
        let how = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(&*self.file, how, range(offset)?, range(length)?)
            .map_err(|error| errno(&error.into()))
    }

    fn depth(&self) -> usize {
        self.depth
    }
}
