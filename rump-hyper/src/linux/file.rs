//! Files of the host.
#![allow(unsafe_code)]

use super::errno;
use crate::abi::Iovec;
use crate::errno::Errno;
use crate::host::{FileType, OpenMode};
use core::ffi::{CStr, c_int};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions, metadata};
use std::io::{Error, Seek, SeekFrom};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

fn as_path(path: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(path.to_bytes()))
}

pub(super) fn info(path: &CStr, want_size: bool) -> Result<(u64, FileType), Errno> {
    let path = as_path(path);
    let found = metadata(path).map_err(|error| errno::of(&error))?;
    let kind = found.file_type();
    let kind = if kind.is_dir() {
        FileType::Directory
    } else if kind.is_file() {
        FileType::Regular
    } else if kind.is_block_device() {
        FileType::Block
    } else if kind.is_char_device() {
        FileType::Character
    } else {
        FileType::Other
    };
    if !want_size || !matches!(kind, FileType::Block | FileType::Character) {
        return Ok((found.len(), kind));
    }
    // stat(2) knows no size of a device; its end does.
    let size = File::open(path).and_then(|mut file| file.seek(SeekFrom::End(0)));
    match size.map_err(|error| errno::of(&error))? {
        0 => Err(Errno::OPNOTSUPP),
        size => Ok((size, kind)),
    }
}

pub(super) fn open(path: &CStr, mode: OpenMode) -> Result<c_int, Errno> {
    let mut flags = 0;
    if mode.create {
        flags |= libc::O_CREAT;
    }
    if mode.exclusive {
        flags |= libc::O_EXCL;
    }
    OpenOptions::new()
        .read(mode.read)
        .write(mode.write)
        // std refuses to create what is opened for reading; rumpuser(3) does not.
        .custom_flags(flags)
        .mode(0o644)
        .open(as_path(path))
        .map(IntoRawFd::into_raw_fd)
        .map_err(|error| errno::of(&error))
}

pub(super) fn close(fd: c_int) {
    // SAFETY: the kernel opened it, gives it up, and owns it until then.
    let file = unsafe { File::from_raw_fd(fd) };
    // Not every descriptor can be synchronised, and there is nobody to tell.
    let _ = file.sync_all();
}

fn moved(result: isize) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| errno::of(&Error::last_os_error()))
}

fn count(vectors: &[Iovec]) -> Result<c_int, Errno> {
    c_int::try_from(vectors.len()).map_err(|_| Errno::INVAL)
}

/// # Safety
/// The vectors describe memory that may be written.
pub(super) unsafe fn read(
    fd: c_int,
    vectors: &[Iovec],
    offset: Option<i64>,
) -> Result<usize, Errno> {
    let (start, count) = (vectors.as_ptr().cast::<libc::iovec>(), count(vectors)?);
    // SAFETY: `Iovec` has the layout of an iovec; the rest by contract.
    moved(unsafe {
        match offset {
            Some(offset) => libc::preadv64(fd, start, count, offset),
            None => libc::readv(fd, start, count),
        }
    })
}

/// # Safety
/// The vectors describe memory that may be read.
pub(super) unsafe fn write(
    fd: c_int,
    vectors: &[Iovec],
    offset: Option<i64>,
) -> Result<usize, Errno> {
    let (start, count) = (vectors.as_ptr().cast::<libc::iovec>(), count(vectors)?);
    // SAFETY: `Iovec` has the layout of an iovec; the rest by contract.
    moved(unsafe {
        match offset {
            Some(offset) => libc::pwritev64(fd, start, count, offset),
            None => libc::writev(fd, start, count),
        }
    })
}

pub(super) fn sync(fd: c_int) -> Result<(), Errno> {
    // SAFETY: takes no memory.
    match unsafe { libc::fdatasync(fd) } {
        0 => Ok(()),
        _ => Err(errno::of(&Error::last_os_error())),
    }
}
