//! A block device of the kernel, by its name.

use crate::descriptor::{AsDescriptor, BorrowedDescriptor, OwnedDescriptor};
use crate::error::Errno;
use crate::sys::{blkio, file as sys};
use rump_sys::abi::{self, fs};
use std::io;
use std::path::{Path, PathBuf};

/// An open disk or wedge of the kernel.
///
/// Places and lengths are whole sectors; buffers need no alignment. What is written is in the
/// disk's cache until it is [flushed](Self::flush).
#[derive(Debug)]
pub struct BlockDevice {
    // Before what it is of.
    io: Option<blkio::Device>,
    file: OwnedDescriptor,
    path: PathBuf,
    size: u64,
    sector_size: u32,
}

impl BlockDevice {
    /// Opens a device to read and write, by its character device ("/dev/rld0d", "/dev/rdk0").
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound); `ENXIO` if no disk is behind the node; `EROFS`
    /// if it cannot be written; `EBUSY` if it is a wedge's disk, or mounted;
    /// [`Unsupported`](io::ErrorKind::Unsupported) on rump-lite.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open_as(path.as_ref(), abi::O_RDWR)
    }

    /// Opens a device to read.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_read_only(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open_as(path.as_ref(), abi::O_RDONLY)
    }

    fn open_as(path: &Path, flags: i32) -> io::Result<Self> {
        let file = sys::open(path, flags, 0)?;
        let (mut size, mut sector_size) = (0i64, 0u32);
        sys::control(&file, fs::DIOCGMEDIASIZE, &mut size)?;
        sys::control(&file, fs::DIOCGSECTORSIZE, &mut sector_size)?;
        Ok(Self {
            // A kernel that upstream's build installed has no such transfers.
            io: blkio::Device::open(&file).ok(),
            file,
            path: path.to_path_buf(),
            size: u64::try_from(size).map_err(|_| Errno::EINVAL)?,
            sector_size,
        })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of it (`DIOCGMEDIASIZE`).
    #[doc(alias = "DIOCGMEDIASIZE")]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of a sector (`DIOCGSECTORSIZE`).
    #[doc(alias = "DIOCGSECTORSIZE")]
    pub fn sector_size(&self) -> u32 {
        self.sector_size
    }

    /// Fills the buffer with what is at the place.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) beyond the end; `EINVAL` for what is no
    /// whole sector; the driver's, `EIO` above all.
    pub fn read_at(&self, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
        self.check(offset, into.len())?;
        if let Some(io) = &self.io {
            return io.read(into, offset);
        }
        while !into.is_empty() {
            let read = sys::read_at(&self.file, into, offset)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            into = &mut into[read..];
            offset += read as u64;
        }
        Ok(())
    }

    /// Writes the bytes at the place.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at); `EBADF` if the device was opened to read. A part may
    /// have been written.
    pub fn write_at(&self, mut from: &[u8], mut offset: u64) -> io::Result<()> {
        self.check(offset, from.len())?;
        if let Some(io) = &self.io {
            return io.write(from, offset);
        }
        while !from.is_empty() {
            let written = sys::write_at(&self.file, from, offset)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            from = &from[written..];
            offset += written as u64;
        }
        Ok(())
    }

    /// Has the disk put all that was written on stable storage (`DIOCCACHESYNC`).
    ///
    /// # Errors
    /// The driver's; `EBADF` if the device was opened to read.
    #[doc(alias = "DIOCCACHESYNC")]
    pub fn flush(&self) -> io::Result<()> {
        let mut force = 1i32;
        sys::control(&self.file, fs::DIOCCACHESYNC, &mut force)
    }

    /// Tells the disk that nobody needs what is at the place any more (`fdiscard(2)`).
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it makes no use of that.
    #[doc(alias = "fdiscard")]
    pub fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        sys::discard(&self.file, offset, length)
    }

    /// Whether a transfer is of whole sectors of it.
    pub(super) fn check(&self, offset: u64, length: usize) -> io::Result<()> {
        let sector = u64::from(self.sector_size);
        if !offset.is_multiple_of(sector) || !(length as u64).is_multiple_of(sector) {
            return Err(Errno::EINVAL.into());
        }
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Transfers that nobody waits for in the kernel.
    pub(super) fn io(&self) -> Option<&blkio::Device> {
        self.io.as_ref()
    }

    pub(super) fn file(&self) -> &OwnedDescriptor {
        &self.file
    }
}

impl AsDescriptor for BlockDevice {
    fn as_descriptor(&self) -> BorrowedDescriptor<'_> {
        self.file.as_descriptor()
    }
}
