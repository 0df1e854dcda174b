//! Open files.

use super::{FileTimes, Metadata, OpenOptions, Permissions};
use crate::descriptor::{AsDescriptor, BorrowedDescriptor, OwnedDescriptor};
use crate::sys::{descriptor, file as sys};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// An open file of the kernel's, as [`std::fs::File`].
#[derive(Debug)]
pub struct File(pub(super) OwnedDescriptor);

impl File {
    /// Opens a file to read.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound), [`NotADirectory`](io::ErrorKind::NotADirectory);
    /// those of `open(2)`.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file to write, makes it if there is none, and removes what is in it.
    ///
    /// # Errors
    /// [`IsADirectory`](io::ErrorKind::IsADirectory),
    /// [`ReadOnlyFilesystem`](io::ErrorKind::ReadOnlyFilesystem); those of `open(2)`.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
    }

    /// Makes a file that is not there yet, to read and write.
    ///
    /// # Errors
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists); else as [`create`](Self::create).
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
    }

    /// How a file is to be opened.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Writes all of the file to its disk, with what is known of it, and has the disk flush
    /// its cache (`fsync_range(2)`, `FDISKSYNC`). A directory, which cannot be opened to
    /// write, is written by `fsync(2)`, which leaves the disk's cache to the log or to the
    /// next that flushes.
    ///
    /// # Errors
    /// The disk's: what was written may not be there.
    #[doc(alias("fsync", "fsync_range"))]
    pub fn sync_all(&self) -> io::Result<()> {
        sys::sync_file(&self.0, false)
    }

    /// The same for what is in the file, and what it takes to find it (`FDATASYNC`).
    ///
    /// # Errors
    /// As [`sync_all`](Self::sync_all).
    #[doc(alias("fdatasync", "fsync_range"))]
    pub fn sync_data(&self) -> io::Result<()> {
        sys::sync_file(&self.0, true)
    }

    /// Cuts the file short, or makes it longer by a hole (`ftruncate(2)`).
    ///
    /// # Errors
    /// `EINVAL` if it was opened to read; [`FileTooLarge`](io::ErrorKind::FileTooLarge).
    #[doc(alias = "ftruncate")]
    pub fn set_len(&self, length: u64) -> io::Result<()> {
        sys::set_len(&self.0, length)
    }

    /// What is known of it (`fstat(2)`).
    ///
    /// # Errors
    /// The file system's.
    #[doc(alias = "fstat")]
    pub fn metadata(&self) -> io::Result<Metadata> {
        sys::file_stat(&self.0).map(Metadata)
    }

    /// A second handle to the same open file, which shares its position.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Sets who may do what with it (`fchmod(2)`).
    ///
    /// # Errors
    /// As [`set_permissions`](super::set_permissions).
    #[doc(alias = "fchmod")]
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        sys::set_file_mode(&self.0, permissions.mode())
    }

    /// Sets when it was read and written (`futimens(2)`).
    ///
    /// # Errors
    /// As [`set_times`](super::set_times).
    #[doc(alias = "futimens")]
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        sys::set_file_times(&self.0, &times.into_kernel()?)
    }

    /// Reads at a place, and leaves the position alone (`pread(2)`).
    ///
    /// # Errors
    /// The file system's.
    #[doc(alias = "pread")]
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        sys::read_at(&self.0, into, offset)
    }

    /// Fills the buffer from a place.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof); the file system's.
    pub fn read_exact_at(&self, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !into.is_empty() {
            let read = self.read_at(into, offset)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            into = &mut into[read..];
            offset += read as u64;
        }
        Ok(())
    }

    /// Writes at a place, and leaves the position alone (`pwrite(2)`).
    ///
    /// # Errors
    /// The file system's.
    #[doc(alias = "pwrite")]
    pub fn write_at(&self, from: &[u8], offset: u64) -> io::Result<usize> {
        sys::write_at(&self.0, from, offset)
    }

    /// Writes all of it at a place.
    ///
    /// # Errors
    /// [`WriteZero`](io::ErrorKind::WriteZero); the file system's.
    pub fn write_all_at(&self, mut from: &[u8], mut offset: u64) -> io::Result<()> {
        while !from.is_empty() {
            let written = self.write_at(from, offset)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            from = &from[written..];
            offset += written as u64;
        }
        Ok(())
    }

    /// Frees the blocks behind a range, which reads as 0 from then on (`fdiscard(2)`).
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) if the file system cannot.
    #[doc(alias = "fdiscard")]
    pub fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        sys::discard(&self.0, offset, length)
    }
}

impl AsDescriptor for File {
    fn as_descriptor(&self) -> BorrowedDescriptor<'_> {
        self.0.as_descriptor()
    }
}

impl Read for &File {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        descriptor::read(&self.0, into)
    }
}

impl Write for &File {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        descriptor::write(&self.0, from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        sys::seek(&self.0, to)
    }
}

impl Read for File {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&*self).read(into)
    }
}

impl Write for File {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        (&*self).write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        (&*self).seek(to)
    }
}
