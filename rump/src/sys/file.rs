//! Files, directories and mounts: `open(2)`, `stat(2)`, `getdents(2)`, `mount(2)` and so on.
#![allow(unsafe_code)]

use super::{call, retry};
use crate::descriptor::{AsDescriptor, OwnedDescriptor};
use crate::error::Errno;
use crate::lwp;
use rump_sys::abi::{self, fs, timespec};
use rump_sys::{syscalls, vbd};
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) use fs::{stat as Stat, statvfs as StatVfs};

/// A path as the kernel takes it.
///
/// # Errors
/// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is a 0 in it, as in std.
pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a path cannot have a 0 in it: {path:?}"),
        )
    })
}

/// A call with a path.
fn at(path: &Path, mut once: impl FnMut(*const c_char) -> c_int) -> io::Result<()> {
    let path = c_path(path)?;
    retry(|| once(path.as_ptr())).map(drop)
}

/// A call with two.
fn between(
    from: &Path,
    to: &Path,
    mut once: impl FnMut(*const c_char, *const c_char) -> c_int,
) -> io::Result<()> {
    let (from, to) = (c_path(from)?, c_path(to)?);
    retry(|| once(from.as_ptr(), to.as_ptr())).map(drop)
}

pub(crate) fn open(path: &Path, flags: c_int, mode: u32) -> io::Result<OwnedDescriptor> {
    let path = c_path(path)?;
    // SAFETY: the path ends in 0.
    retry(|| unsafe { syscalls::open(path.as_ptr(), flags | abi::O_CLOEXEC, mode) })
        .map(OwnedDescriptor::adopt)
}

fn raw(file: &OwnedDescriptor) -> c_int {
    file.as_descriptor().as_raw()
}

/// An offset that the kernel can have.
fn position(offset: u64) -> io::Result<i64> {
    i64::try_from(offset).map_err(|_| Errno::EINVAL.into())
}

pub(crate) fn read_at(file: &OwnedDescriptor, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let (fd, offset) = (raw(file), position(offset)?);
    // SAFETY: the buffer can be written for its length.
    retry(|| unsafe { syscalls::pread(fd, into.as_mut_ptr().cast(), into.len(), offset) })
        .map(isize::unsigned_abs)
}

pub(crate) fn write_at(file: &OwnedDescriptor, from: &[u8], offset: u64) -> io::Result<usize> {
    let (fd, offset) = (raw(file), position(offset)?);
    // SAFETY: the bytes can be read for their length.
    retry(|| unsafe { syscalls::pwrite(fd, from.as_ptr().cast(), from.len(), offset) })
        .map(isize::unsigned_abs)
}

pub(crate) fn seek(file: &OwnedDescriptor, to: io::SeekFrom) -> io::Result<u64> {
    let (offset, whence) = match to {
        io::SeekFrom::Start(offset) => (position(offset)?, fs::SEEK_SET),
        io::SeekFrom::Current(offset) => (offset, fs::SEEK_CUR),
        io::SeekFrom::End(offset) => (offset, fs::SEEK_END),
    };
    let fd = raw(file);
    // SAFETY: it takes numbers.
    call(|| unsafe { syscalls::lseek(fd, offset, whence) }).map(|at| at.unsigned_abs() as u64)
}

pub(crate) fn set_len(file: &OwnedDescriptor, length: u64) -> io::Result<()> {
    let (fd, length) = (raw(file), position(length)?);
    // SAFETY: it takes numbers.
    retry(|| unsafe { syscalls::ftruncate(fd, length) }).map(drop)
}

/// Writes a file out, and has the disk keep it (`FDISKSYNC`).
pub(crate) fn sync_file(file: &OwnedDescriptor, data_only: bool) -> io::Result<()> {
    let fd = raw(file);
    let how = if data_only {
        fs::FDATASYNC
    } else {
        fs::FFILESYNC
    };
    // SAFETY: it takes numbers.
    let synced = retry(|| unsafe { syscalls::fsync_range(fd, how | fs::FDISKSYNC, 0, 0) });
    match synced {
        // It insists on a descriptor to write with, which a directory cannot have.
        Err(error) if Errno::of(&error) == Some(Errno::EBADF) => {
            // SAFETY: it takes a number.
            retry(|| unsafe { syscalls::fsync(fd) }).map(drop)
        }
        synced => synced.map(drop),
    }
}

pub(crate) fn discard(file: &OwnedDescriptor, offset: u64, length: u64) -> io::Result<()> {
    let (fd, offset, length) = (raw(file), position(offset)?, position(length)?);
    // SAFETY: it takes numbers.
    retry(|| unsafe { syscalls::fdiscard(fd, offset, length) }).map(drop)
}

pub(crate) fn file_stat(file: &OwnedDescriptor) -> io::Result<Stat> {
    let (fd, mut stat) = (raw(file), MaybeUninit::<Stat>::uninit());
    // SAFETY: a `struct stat` is written.
    call(|| unsafe { syscalls::fstat(fd, stat.as_mut_ptr()) })?;
    // SAFETY: written by the call, which succeeded.
    Ok(unsafe { stat.assume_init() })
}

pub(crate) fn stat(path: &Path, follow: bool) -> io::Result<Stat> {
    let mut stat = MaybeUninit::<Stat>::uninit();
    let to = stat.as_mut_ptr();
    // SAFETY: the path ends in 0, and a `struct stat` is written.
    at(path, |path| unsafe {
        if follow {
            syscalls::stat(path, to)
        } else {
            syscalls::lstat(path, to)
        }
    })?;
    // SAFETY: written by the call, which succeeded.
    Ok(unsafe { stat.assume_init() })
}

pub(crate) fn stat_vfs(path: &Path) -> io::Result<Box<StatVfs>> {
    let mut found = Box::new(MaybeUninit::<StatVfs>::zeroed());
    let to = found.as_mut_ptr();
    // SAFETY: the path ends in 0; the kernel's structure is smaller than what there is
    // room for (rump-abi).
    at(path, |path| unsafe {
        syscalls::statvfs1(path, to, fs::ST_WAIT)
    })?;
    // SAFETY: all of it was zeroed before the call wrote to it, and it has only numbers.
    Ok(unsafe { found.assume_init() })
}

pub(crate) fn set_file_mode(file: &OwnedDescriptor, mode: u32) -> io::Result<()> {
    let fd = raw(file);
    // SAFETY: it takes numbers.
    call(|| unsafe { syscalls::fchmod(fd, mode) }).map(drop)
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    // SAFETY: the path ends in 0.
    at(path, |path| unsafe { syscalls::chmod(path, mode) })
}

/// What changes nothing of an owner or a group.
const NOBODY: u32 = u32::MAX;

pub(crate) fn set_owner(
    path: &Path,
    user: Option<u32>,
    group: Option<u32>,
    follow: bool,
) -> io::Result<()> {
    let (user, group) = (user.unwrap_or(NOBODY), group.unwrap_or(NOBODY));
    // SAFETY: the path ends in 0.
    at(path, |path| unsafe {
        if follow {
            syscalls::chown(path, user, group)
        } else {
            syscalls::lchown(path, user, group)
        }
    })
}

/// Sets when a file was read and written.
pub(crate) fn set_file_times(file: &OwnedDescriptor, times: &[timespec; 2]) -> io::Result<()> {
    let fd = raw(file);
    // SAFETY: two times are read.
    call(|| unsafe { syscalls::futimens(fd, times.as_ptr()) }).map(drop)
}

pub(crate) fn set_times(path: &Path, times: &[timespec; 2], follow: bool) -> io::Result<()> {
    let flags = if follow { 0 } else { fs::AT_SYMLINK_NOFOLLOW };
    // SAFETY: the path ends in 0, and two times are read.
    at(path, |path| unsafe {
        syscalls::utimensat(fs::AT_FDCWD, path, times.as_ptr(), flags)
    })
}

pub(crate) fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    // SAFETY: the path ends in 0.
    at(path, |path| unsafe { syscalls::mkdir(path, mode) })
}

pub(crate) fn remove_directory(path: &Path) -> io::Result<()> {
    // SAFETY: the path ends in 0.
    at(path, |path| unsafe { syscalls::rmdir(path) })
}

pub(crate) fn unlink(path: &Path) -> io::Result<()> {
    // SAFETY: the path ends in 0.
    at(path, |path| unsafe { syscalls::unlink(path) })
}

pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    // SAFETY: the paths end in 0.
    between(from, to, |from, to| unsafe { syscalls::rename(from, to) })
}

pub(crate) fn link(from: &Path, to: &Path) -> io::Result<()> {
    // SAFETY: the paths end in 0.
    between(from, to, |from, to| unsafe { syscalls::link(from, to) })
}

pub(crate) fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    // SAFETY: the paths end in 0.
    between(target, path, |target, path| unsafe {
        syscalls::symlink(target, path)
    })
}

pub(crate) fn read_link(path: &Path) -> io::Result<Vec<u8>> {
    let path = c_path(path)?;
    // MAXPATHLEN is 1024; a target of that length would not be cut short silently.
    let mut target = vec![0u8; 4096];
    // SAFETY: the path ends in 0, and the buffer can be written for its length.
    let length = retry(|| unsafe {
        syscalls::readlink(path.as_ptr(), target.as_mut_ptr().cast(), target.len())
    })?;
    target.truncate(length.unsigned_abs());
    Ok(target)
}

/// An entry of a directory, in the kernel's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) number: u64,
    /// `DT_*`.
    pub(crate) kind: u8,
}

/// What entries are read into at a time.
const ENTRIES: usize = 32 << 10;

/// Reads entries where the descriptor stands, among them "." and "..": none at the end.
pub(crate) fn entries(directory: &OwnedDescriptor) -> io::Result<Vec<Entry>> {
    let fd = raw(directory);
    let mut buffer = vec![0u8; ENTRIES];
    // SAFETY: the buffer can be written for its length.
    let length =
        retry(|| unsafe { syscalls::getdents(fd, buffer.as_mut_ptr().cast(), buffer.len()) })?;
    parse_entries(buffer.get(..length as usize).unwrap_or_default())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a directory without sense"))
}

/// Takes apart what `getdents(2)` has written: what file systems make of a disk that others
/// wrote is looked at before it is used.
fn parse_entries(mut bytes: &[u8]) -> Option<Vec<Entry>> {
    use std::mem::offset_of;
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let field = |at: usize, size: usize| bytes.get(at..at + size);
        let number = u64::from_ne_bytes(
            field(offset_of!(fs::dirent, d_fileno), 8)?
                .try_into()
                .ok()?,
        );
        let short = |at| {
            Some(usize::from(u16::from_ne_bytes(
                field(at, 2)?.try_into().ok()?,
            )))
        };
        let length = short(offset_of!(fs::dirent, d_reclen))?;
        let name = short(offset_of!(fs::dirent, d_namlen))?;
        let kind = *bytes.get(offset_of!(fs::dirent, d_type))?;
        let start = offset_of!(fs::dirent, d_name);
        if length < start || length > bytes.len() || start + name > length {
            return None;
        }
        let name = &bytes[start..start + name];
        // A number of 0 is a hole; a name is one step of a path.
        if number != 0 && !name.is_empty() && !name.contains(&0) && !name.contains(&b'/') {
            entries.push(Entry {
                name: name.to_vec(),
                number,
                kind,
            });
        }
        bytes = &bytes[length..];
    }
    Some(entries)
}

/// What a file system is told when it is mounted, with the name of its device, if it is on
/// one, in the first place.
pub(crate) enum Arguments {
    Ufs,
    Msdos {
        user: u32,
        group: u32,
        file_mask: u32,
        directory_mask: u32,
        flags: c_int,
        minutes_east: c_int,
    },
    Iso {
        flags: c_int,
    },
    Tmpfs {
        nodes: u64,
        bytes: i64,
        user: u32,
        group: u32,
        mode: u32,
    },
}

/// Mounts; `device` is the node of the disk.
pub(crate) fn mount(
    kind: &CStr,
    at: &Path,
    flags: c_int,
    device: &Path,
    arguments: &Arguments,
) -> io::Result<()> {
    let (at, device) = (c_path(at)?, c_path(device)?);
    let fspec = device.as_ptr();
    let mount = |arguments: *mut c_void, size: usize| {
        // SAFETY: of each call below: the arguments are those of this kind of file system,
        // as long as they say, and the strings in them end in 0.
        call(|| unsafe { syscalls::mount(kind.as_ptr(), at.as_ptr(), flags, arguments, size) })
            .map(drop)
    };
    match *arguments {
        Arguments::Ufs => {
            let mut arguments = fs::ufs_args { fspec };
            mount((&raw mut arguments).cast(), size_of::<fs::ufs_args>())
        }
        Arguments::Msdos {
            user,
            group,
            file_mask,
            directory_mask,
            flags,
            minutes_east,
        } => {
            let mut arguments = fs::msdosfs_args {
                fspec,
                _pad1: [0; 16],
                uid: user,
                gid: group,
                mask: file_mask,
                flags: flags | fs::MSDOSFSMNT_VERSIONED,
                version: fs::MSDOSFSMNT_VERSION,
                dirmask: directory_mask,
                gmtoff: minutes_east.saturating_mul(60),
            };
            mount((&raw mut arguments).cast(), size_of::<fs::msdosfs_args>())
        }
        Arguments::Iso { flags } => {
            let mut arguments = fs::iso_args {
                fspec,
                _pad1: [0; 16],
                flags,
            };
            mount((&raw mut arguments).cast(), size_of::<fs::iso_args>())
        }
        Arguments::Tmpfs {
            nodes,
            bytes,
            user,
            group,
            mode,
        } => {
            let mut arguments = fs::tmpfs_args {
                ta_version: fs::TMPFS_ARGS_VERSION,
                ta_nodes_max: nodes,
                ta_size_max: bytes,
                ta_root_uid: user,
                ta_root_gid: group,
                ta_root_mode: mode,
            };
            mount((&raw mut arguments).cast(), size_of::<fs::tmpfs_args>())
        }
    }
}

pub(crate) fn unmount(path: &Path, force: bool) -> io::Result<()> {
    let flags = if force { fs::MNT_FORCE } else { 0 };
    // SAFETY: the path ends in 0.
    at(path, |path| unsafe { syscalls::unmount(path, flags) })
}

/// Writes out all of the file system that a path is in. The disk's cache is for the caller.
pub(crate) fn sync_all_of(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    lwp::enter_here()?;
    // SAFETY: the path ends in 0.
    Errno::check(unsafe { vbd::rump_fs_sync(path.as_ptr()) })?;
    Ok(())
}

/// A control request of a disk whose argument the kernel reads or writes during the call.
///
/// # Errors
/// As `ioctl(2)`.
pub(crate) fn control<T: Control>(
    device: &OwnedDescriptor,
    request: u64,
    argument: &mut T,
) -> io::Result<()> {
    // The size is part of the number (`IOCPARM_LEN` of `<sys/ioccom.h>`).
    assert_eq!(size_of::<T>(), (request >> 16 & 0x1fff) as usize);
    let fd = raw(device);
    let argument: *mut T = argument;
    // SAFETY: what the request reads and writes, of its size; `Control` is for what the
    // kernel may fill with any bytes and follows no pointers of, but for `list_wedges`.
    call(|| unsafe { syscalls::ioctl(fd, request, argument.cast()) }).map(drop)
}

/// Arguments of control requests that consist of numbers.
pub(crate) trait Control {}
impl Control for c_int {}
impl Control for u32 {}
impl Control for i64 {}
impl Control for fs::dkwedge_info {}

/// Wedges of a disk; those that came meanwhile may be missing.
pub(crate) fn list_wedges(device: &OwnedDescriptor) -> io::Result<Vec<fs::dkwedge_info>> {
    const NONE: fs::dkwedge_info = fs::dkwedge_info {
        dkw_devname: [0; 16],
        dkw_wname: [0; 128],
        dkw_parent: [0; 16],
        dkw_offset: 0,
        dkw_size: 0,
        dkw_ptype: [0; 32],
    };
    let mut wedges = vec![NONE; 256];
    let mut list = fs::dkwedge_list {
        dkwl_buf: wedges.as_mut_ptr().cast(),
        dkwl_bufsize: size_of_val(&*wedges),
        dkwl_nwedges: 0,
        dkwl_ncopied: 0,
    };
    let fd = raw(device);
    // SAFETY: the argument of the request, about room for as many bytes as it says.
    call(|| unsafe { syscalls::ioctl(fd, fs::DIOCLWEDGES, (&raw mut list).cast()) })?;
    wedges.truncate(list.dkwl_ncopied as usize);
    Ok(wedges)
}

/// The text in a field that may end in 0.
pub(crate) fn field_text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0);
    let bytes = &field[..end.unwrap_or(field.len())];
    OsStr::from_bytes(bytes).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64, name: &[u8]) -> Vec<u8> {
        let length = (13 + name.len() + 1).next_multiple_of(8);
        let mut bytes = number.to_ne_bytes().to_vec();
        bytes.extend((length as u16).to_ne_bytes());
        bytes.extend((name.len() as u16).to_ne_bytes());
        bytes.push(fs::DT_REG);
        bytes.extend(name);
        bytes.resize(length, 0);
        bytes
    }

    #[test]
    fn entries_are_taken_apart() {
        let bytes = [entry(2, b"."), entry(0, b"hole"), entry(9, b"name")].concat();
        let names = parse_entries(&bytes).unwrap();
        let names: Vec<&[u8]> = names.iter().map(|entry| &*entry.name).collect();
        assert_eq!(names, [&b"."[..], b"name"]);
        assert_eq!(parse_entries(&[]), Some(Vec::new()));
        let strange = [entry(3, b"a/b"), entry(4, b"a\0b"), entry(5, b"")].concat();
        assert_eq!(parse_entries(&strange), Some(Vec::new()));
    }

    /// Nothing that is written there makes it read elsewhere, stand still or panic.
    #[test]
    fn any_bytes_will_do() {
        let mut bytes = [entry(7, b"one"), entry(8, b"another one")].concat();
        assert_eq!(parse_entries(&bytes[..bytes.len() - 1]), None);
        for at in 0..bytes.len() {
            let before = bytes[at];
            for value in [0, 1, 12, 13, 0x7f, 0xff] {
                bytes[at] = value;
                let _ = parse_entries(&bytes);
            }
            bytes[at] = before;
        }
        let mut seed = 1u64;
        for length in 0..2000 {
            let bytes: Vec<u8> = (0..length % 97)
                .map(|_| {
                    seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
                    (seed >> 60) as u8
                })
                .collect();
            let _ = parse_entries(&bytes);
        }
    }
}
