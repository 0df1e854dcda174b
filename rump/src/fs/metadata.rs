//! What is known of a file.

use crate::error::Errno;
use crate::sys::file::Stat;
use rump_sys::abi::fs;
use rump_sys::abi::timespec;
use std::fmt;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is known of a file, as [`std::fs::Metadata`].
#[derive(Clone)]
pub struct Metadata(pub(super) Stat);

impl Metadata {
    /// What kind of file it is.
    pub fn file_type(&self) -> FileType {
        FileType(self.0.st_mode & fs::S_IFMT)
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type().is_dir()
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type().is_file()
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.file_type().is_symlink()
    }

    /// Bytes in it.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.0.st_size.try_into().unwrap_or(0)
    }

    /// Who may do what with it.
    pub fn permissions(&self) -> Permissions {
        Permissions(self.0.st_mode & 0o7777)
    }

    /// When it was written last.
    ///
    /// # Errors
    /// `EOVERFLOW` for a time that the host does not have.
    pub fn modified(&self) -> io::Result<SystemTime> {
        time(&self.0.st_mtim)
    }

    /// When it was read last.
    ///
    /// # Errors
    /// As [`modified`](Self::modified).
    pub fn accessed(&self) -> io::Result<SystemTime> {
        time(&self.0.st_atim)
    }

    /// When it was made, where the file system knows that.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) where it does not.
    pub fn created(&self) -> io::Result<SystemTime> {
        let made = &self.0.st_birthtim;
        if made.tv_sec <= 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        time(made)
    }

    /// When anything of it changed last.
    ///
    /// # Errors
    /// As [`modified`](Self::modified).
    pub fn changed(&self) -> io::Result<SystemTime> {
        time(&self.0.st_ctim)
    }

    /// Type and permissions (`st_mode`).
    pub fn mode(&self) -> u32 {
        self.0.st_mode
    }

    /// Which file it is on its file system.
    pub fn ino(&self) -> u64 {
        self.0.st_ino
    }

    /// Which file system it is on.
    pub fn dev(&self) -> u64 {
        self.0.st_dev
    }

    /// How many names it has.
    pub fn nlink(&self) -> u64 {
        self.0.st_nlink.into()
    }

    /// Whose it is.
    pub fn uid(&self) -> u32 {
        self.0.st_uid
    }

    /// Whose group's.
    pub fn gid(&self) -> u32 {
        self.0.st_gid
    }

    /// Which device it is the node of.
    pub fn rdev(&self) -> u64 {
        self.0.st_rdev
    }

    /// What it takes of the disk, in units of 512 bytes.
    pub fn blocks(&self) -> u64 {
        self.0.st_blocks.try_into().unwrap_or(0)
    }

    /// How many bytes it is best read and written in.
    pub fn blksize(&self) -> u64 {
        self.0.st_blksize.try_into().unwrap_or(0)
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("file_type", &self.file_type())
            .field("permissions", &self.permissions())
            .field("len", &self.len())
            .field("ino", &self.ino())
            .field("modified", &self.modified().ok())
            .finish_non_exhaustive()
    }
}

fn time(time: &timespec) -> io::Result<SystemTime> {
    let nanoseconds = Duration::from_nanos(time.tv_nsec.clamp(0, 999_999_999) as u64);
    let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
    let whole = if time.tv_sec < 0 {
        UNIX_EPOCH.checked_sub(seconds)
    } else {
        UNIX_EPOCH.checked_add(seconds)
    };
    whole
        .and_then(|whole| whole.checked_add(nanoseconds))
        .ok_or_else(|| Errno::EOVERFLOW.into())
}

/// What kind of file something is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileType(u32);

impl FileType {
    /// What `getdents(2)` says, if it says anything.
    pub(super) fn of_entry(kind: u8) -> Option<Self> {
        Some(Self(match kind {
            fs::DT_FIFO => fs::S_IFIFO,
            fs::DT_CHR => fs::S_IFCHR,
            fs::DT_DIR => fs::S_IFDIR,
            fs::DT_BLK => fs::S_IFBLK,
            fs::DT_REG => fs::S_IFREG,
            fs::DT_LNK => fs::S_IFLNK,
            fs::DT_SOCK => fs::S_IFSOCK,
            _ => return None,
        }))
    }

    /// A directory.
    pub fn is_dir(&self) -> bool {
        self.0 == fs::S_IFDIR
    }

    /// A regular file.
    pub fn is_file(&self) -> bool {
        self.0 == fs::S_IFREG
    }

    /// A symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.0 == fs::S_IFLNK
    }

    /// The node of a block device.
    pub fn is_block_device(&self) -> bool {
        self.0 == fs::S_IFBLK
    }

    /// The node of a character device.
    pub fn is_char_device(&self) -> bool {
        self.0 == fs::S_IFCHR
    }

    /// A named pipe.
    pub fn is_fifo(&self) -> bool {
        self.0 == fs::S_IFIFO
    }

    /// A local socket.
    pub fn is_socket(&self) -> bool {
        self.0 == fs::S_IFSOCK
    }
}

impl fmt::Debug for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            fs::S_IFDIR => "directory",
            fs::S_IFREG => "file",
            fs::S_IFLNK => "symbolic link",
            fs::S_IFBLK => "block device",
            fs::S_IFCHR => "character device",
            fs::S_IFIFO => "named pipe",
            fs::S_IFSOCK => "socket",
            _ => "unknown",
        })
    }
}

/// Who may do what with a file (`chmod(2)`).
#[derive(Clone, PartialEq, Eq)]
pub struct Permissions(u32);

impl Permissions {
    /// Those of the lower 12 bits.
    pub fn from_mode(mode: u32) -> Self {
        Self(mode & 0o7777)
    }

    /// The bits.
    pub fn mode(&self) -> u32 {
        self.0
    }

    /// Whether nobody may write.
    pub fn readonly(&self) -> bool {
        self.0 & 0o222 == 0
    }

    /// Whether nobody, or everybody, may write.
    pub fn set_readonly(&mut self, readonly: bool) {
        if readonly {
            self.0 &= !0o222;
        } else {
            self.0 |= 0o222;
        }
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permissions({:#o})", self.0)
    }
}

/// Times to be given to a file; what is not set stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileTimes {
    accessed: Option<SystemTime>,
    modified: Option<SystemTime>,
}

impl FileTimes {
    /// Changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// When it was read.
    #[must_use]
    pub fn set_accessed(mut self, time: SystemTime) -> Self {
        self.accessed = Some(time);
        self
    }

    /// When it was written.
    #[must_use]
    pub fn set_modified(mut self, time: SystemTime) -> Self {
        self.modified = Some(time);
        self
    }

    pub(super) fn into_kernel(self) -> io::Result<[timespec; 2]> {
        Ok([kernel_time(self.accessed)?, kernel_time(self.modified)?])
    }
}

fn kernel_time(time: Option<SystemTime>) -> io::Result<timespec> {
    let Some(time) = time else {
        return Ok(timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_OMIT,
        });
    };
    let too_far = |_| io::Error::from(Errno::EINVAL);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Ok(timespec {
            tv_sec: after.as_secs().try_into().map_err(too_far)?,
            tv_nsec: after.subsec_nanos().into(),
        }),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).map_err(too_far)?;
            let nanoseconds = i64::from(before.subsec_nanos());
            // Nanoseconds count forwards.
            Ok(timespec {
                tv_sec: -seconds - i64::from(nanoseconds > 0),
                tv_nsec: (1_000_000_000 - nanoseconds) % 1_000_000_000,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back() {
        let ago = |nanoseconds| UNIX_EPOCH - Duration::from_nanos(nanoseconds);
        let since = |nanoseconds| UNIX_EPOCH + Duration::from_nanos(nanoseconds);
        let times = [0, 1, 999_999_999, 1_000_000_000, 12_345_678_901];
        for when in times.into_iter().flat_map(|time| [ago(time), since(time)]) {
            let there = kernel_time(Some(when)).unwrap();
            assert!((0..1_000_000_000).contains(&there.tv_nsec), "{there:?}");
            assert_eq!(time(&there).unwrap(), when);
        }
        assert_eq!(kernel_time(None).unwrap().tv_nsec, fs::UTIME_OMIT);
    }

    #[test]
    fn times_without_sense_are_no_panic() {
        for (tv_sec, tv_nsec) in [(i64::MIN, -1), (i64::MAX, i64::MAX), (-1, i64::MIN)] {
            let _ = time(&timespec { tv_sec, tv_nsec });
        }
    }
}
