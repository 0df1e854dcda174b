//! What room there is on a file system.

use crate::sys::file as sys;
use std::io;
use std::path::Path;

/// Room on a file system (`statvfs(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Bytes in all.
    pub size: u64,
    /// Bytes that are free.
    pub free: u64,
    /// Bytes that are free for users other than root.
    pub available: u64,
    /// Files that it can have.
    pub files: u64,
    /// Files that can still be made.
    pub free_files: u64,
    /// Bytes of a block.
    pub block_size: u64,
    /// Bytes of the longest name.
    pub name_max: u64,
}

/// What room there is on the file system that a path is on.
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound).
#[doc(alias = "statvfs")]
pub fn usage(path: impl AsRef<Path>) -> io::Result<Usage> {
    let found = sys::stat_vfs(path.as_ref())?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Usage {
        size: bytes(found.f_blocks),
        free: bytes(found.f_bfree),
        available: bytes(found.f_bavail),
        files: found.f_files,
        free_files: found.f_ffree,
        block_size: found.f_bsize,
        name_max: found.f_namemax,
    })
}
