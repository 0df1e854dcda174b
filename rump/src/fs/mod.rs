//! File systems of NetBSD's: ffs, ext2, msdos, cd9660 and tmpfs, on disks of the kernel or
//! images of the host, with the shape of [`std::fs`].
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !rump::kernel::available() { return Ok(()) }
//! use rump::fs::{self, Mount};
//! use std::io::{ErrorKind, Write};
//!
//! let kernel = rump::Kernel::builder().boot()?;
//! let mount = match Mount::tmpfs(&kernel).size(8 << 20).mount("/data") {
//!     Ok(mount) => mount,
//!     Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
//!     Err(error) => return Err(error.into()),
//! };
//! fs::create_dir_all("/data/a/b")?;
//! let mut file = fs::File::create("/data/a/b/name")?;
//! file.write_all(b"hello")?;
//! file.sync_all()?;
//! drop(file);
//! assert_eq!(fs::read_to_string("/data/a/b/name")?, "hello");
//! mount.unmount()?;
//! # Ok(())
//! # }
//! ```
//!
//! An image that Linux made is `Mount::ext2(&kernel).image("disk.img", "/mnt")?`.
//!
//! # Paths
//! They are those of the kernel's, not the host's: there is a small file system in memory at
//! first, with `/dev` and `/tmp`. A path without a `/` in front begins there, too. Names are
//! bytes.
//!
//! # What is safe when
//! [`File::sync_all`] and [`File::sync_data`] return when the data is on the disk and the
//! disk was told to flush its cache. What is not synchronised may be lost with the power, or
//! with this process: its memory is the kernel's cache. A [`Mount`] that is
//! [unmounted](Mount::unmount) has written everything; one that is only dropped tries to.
//!
//! # Damaged file systems
//! NetBSD trusts what it mounts. Most damage is an error; what its checks find, but it cannot
//! go on with, is a panic of the kernel's, which ends the process with a message. So does a
//! bad address that it takes from the disk: while a file system is mounted from a disk, a
//! handler of `SIGSEGV` and `SIGBUS` says so, before the handler that was there has the
//! signal. What others made, or a crash left, is for fsck first.
//!
//! # Differences to std
//! - Errors are NetBSD's, inside an [`io::Error`] of std's kind ([`Errno`]).
//! - A directory can be read as a file on ffs, where Linux says
//!   [`IsADirectory`](io::ErrorKind::IsADirectory).
//! - The user is root of the kernel's, so permissions keep nobody out, unless the program
//!   makes a [`Process`](crate::process::Process) with others.
//!
//! rump-lite has no files: everything here is an error of the kind
//! [`Unsupported`](io::ErrorKind::Unsupported) there. A kernel of another process is not
//! reached by this ([`remote`](crate::remote)).

mod directory;
mod file;
mod metadata;
mod mount;
mod mount_error;
mod open_options;
mod usage;

pub use directory::{
    DirEntry, ReadDir, create_dir, create_dir_all, read_dir, remove_dir, remove_dir_all,
};
pub use file::File;
pub use metadata::{FileTimes, FileType, Metadata, Permissions};
pub use mount::{Builder, Cd9660, Ext2, Ffs, FileSystem, Mount, Msdos, Tmpfs};
pub use mount_error::MountError;
pub use open_options::OpenOptions;
pub use usage::{Usage, usage};

use crate::error::Errno;
use crate::sys::file as sys;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// What is known of a file, through symbolic links (`stat(2)`).
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound), [`NotADirectory`](io::ErrorKind::NotADirectory).
#[doc(alias = "stat")]
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    sys::stat(path.as_ref(), true).map(Metadata)
}

/// What is known of a file, which may be a symbolic link (`lstat(2)`).
///
/// # Errors
/// As [`metadata`].
#[doc(alias = "lstat")]
pub fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    sys::stat(path.as_ref(), false).map(Metadata)
}

/// Whether there is something at the path.
///
/// # Errors
/// If that cannot be told.
pub fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// All that is in a file.
///
/// # Errors
/// As [`File::open`], and the file system's.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// All that is in a file, as text.
///
/// # Errors
/// As [`read`]; [`InvalidData`](io::ErrorKind::InvalidData) if it is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Makes a file with these contents, or replaces those that it has.
///
/// # Errors
/// As [`File::create`]; [`StorageFull`](io::ErrorKind::StorageFull), and the file system's.
pub fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    File::create(path)?.write_all(contents.as_ref())
}

/// Copies contents and permissions of a file; returns how many bytes they are.
///
/// # Errors
/// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is no file; else as [`read`] and
/// [`write`](fn@write).
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let mut from = File::open(from)?;
    let metadata = from.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "only files can be copied",
        ));
    }
    let mode = metadata.mode() & 0o7777;
    let mut to = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(to)?;
    let mut buffer = vec![0; 64 << 10];
    let mut copied = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        to.write_all(&buffer[..read])?;
        copied += read as u64;
    }
    to.set_permissions(Permissions::from_mode(mode))?;
    Ok(copied)
}

/// Gives a file another name, in place of what has it (`rename(2)`).
///
/// # Errors
/// [`CrossesDevices`](io::ErrorKind::CrossesDevices) if that is on another file system; and
/// those of the manual page.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    sys::rename(from.as_ref(), to.as_ref())
}

/// Removes a file, which may be a symbolic link (`unlink(2)`).
///
/// # Errors
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied) for a directory.
#[doc(alias = "unlink")]
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    sys::unlink(path.as_ref())
}

/// Gives a file a second name (`link(2)`).
///
/// # Errors
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists);
/// [`CrossesDevices`](io::ErrorKind::CrossesDevices);
/// [`Unsupported`](io::ErrorKind::Unsupported) on msdos.
#[doc(alias = "link")]
pub fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    sys::link(original.as_ref(), link.as_ref())
}

/// Makes a symbolic link (`symlink(2)`).
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound) for a link that would lead nowhere, as on Linux:
/// NetBSD makes it, and fsck complains.
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists);
/// [`Unsupported`](io::ErrorKind::Unsupported) on msdos.
pub fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    if original.as_ref().as_os_str().is_empty() {
        return Err(Errno::ENOENT.into());
    }
    sys::symlink(original.as_ref(), link.as_ref())
}

/// Where a symbolic link leads (`readlink(2)`).
///
/// # Errors
/// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is none.
#[doc(alias = "readlink")]
pub fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let target = sys::read_link(path.as_ref())?;
    Ok(OsString::from_vec(target).into())
}

/// Sets who may do what with a file (`chmod(2)`).
///
/// # Errors
/// [`ReadOnlyFilesystem`](io::ErrorKind::ReadOnlyFilesystem).
#[doc(alias = "chmod")]
pub fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    sys::set_mode(path.as_ref(), permissions.mode())
}

/// Sets whose a file is (`chown(2)`); `None` leaves it.
///
/// # Errors
/// [`ReadOnlyFilesystem`](io::ErrorKind::ReadOnlyFilesystem).
pub fn chown(path: impl AsRef<Path>, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    sys::set_owner(path.as_ref(), user, group, true)
}

/// The same, of a symbolic link itself (`lchown(2)`).
///
/// # Errors
/// As [`chown`].
pub fn lchown(path: impl AsRef<Path>, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    sys::set_owner(path.as_ref(), user, group, false)
}

/// Sets when a file was read and written (`utimensat(2)`).
///
/// # Errors
/// [`ReadOnlyFilesystem`](io::ErrorKind::ReadOnlyFilesystem).
#[doc(alias = "utimensat")]
pub fn set_times(path: impl AsRef<Path>, times: FileTimes) -> io::Result<()> {
    sys::set_times(path.as_ref(), &times.into_kernel()?, true)
}
