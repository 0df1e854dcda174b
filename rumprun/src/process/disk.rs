//! The disk that the root of the file system is on, as the rump kernel has it mounted: the
//! tree's [`Store`], by system calls of the kernel. Needs a kernel with file systems, which
//! are NetBSD's.
//!
//! What a disk has on it is somebody else's word: entries of folders are taken apart with
//! care, and lengths are asked for before they are believed. NetBSD itself trusts disks more
//! than that (see the README): what its panics say ends the machine.

use super::dirent::names;
use super::tree::{Change, Entry, Found, Kind, Store};
use crate::{sched, time};
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use core::mem::{MaybeUninit, size_of};
use rump_linux::{Errno, Failure};
use rump_sys::abi::{self, fs, timespec};
use rump_sys::{syscalls, vbd};

/// Where the kernel has it.
const AT: &CStr = c"/rumprun-root";
/// What may be on it.
const KINDS: [(&CStr, &str); 2] = [(c"ext2fs", "ext2"), (c"ffs", "ffs")];
/// How long a disk may take to be there, and how often it is looked for, in nanoseconds.
const PATIENCE: u64 = 10_000_000_000;
const LOOK: u64 = 10_000_000;
/// What entries are read into at a time.
const ENTRIES: usize = 32 << 10;
/// The most bytes of a link's target.
const TARGET: usize = 4096;

/// The disk.
#[derive(Debug)]
pub(super) struct Disk(());

/// Why it cannot be the root, by the kernel's numbers.
fn why(device: &str, problems: &[(&str, c_int)]) -> String {
    let all = |errno: c_int| problems.iter().all(|(_, other)| *other == errno);
    if all(abi::ENODEV) || all(abi::ENOSYS) {
        return format!(
            "root={device}: this image's kernel has no file systems (they are NetBSD's: \
             cargo rumprun puts them in with NETBSD_SRC and a --root that is a file)"
        );
    }
    if all(abi::ENOENT) || all(abi::ENXIO) {
        return format!(
            "root={device}: the kernel has no such disk; the machine may have none, or the \
             kernel no driver for it (RUMP_DRIVERS=nvme)"
        );
    }
    let told = problems
        .iter()
        .map(|(kind, errno)| format!("{kind}: error {errno}"));
    let told: Vec<_> = told.collect();
    format!(
        "root={device}: there is no file system on it that the kernel can use ({})",
        told.join(", ")
    )
}

/// Mounts a disk of the kernel's. The calling thread has an lwp.
///
/// # Errors
/// Why it cannot be.
pub(super) fn mount(device: &str) -> Result<Disk, String> {
    let name = CString::new(device).map_err(|_| format!("root={device:?}: this is no name"))?;
    // SAFETY: the path ends in 0. A folder that is there will do.
    unsafe { syscalls::mkdir(AT.as_ptr(), 0o755) };
    let until = time::monotonic_ns() + PATIENCE;
    loop {
        let mut problems = Vec::new();
        for (kind, told) in KINDS {
            let mut arguments = fs::ufs_args {
                fspec: name.as_ptr(),
            };
            // SAFETY: texts end in 0, and the arguments are those of this kind.
            let done = unsafe {
                let size = size_of::<fs::ufs_args>();
                let arguments = (&raw mut arguments).cast();
                syscalls::mount(kind.as_ptr(), AT.as_ptr(), fs::MNT_NOATIME, arguments, size)
            };
            if done == 0 {
                return Ok(Disk(()));
            }
            problems.push((told, syscalls::errno()));
        }
        // Some drivers find their disks while the machine runs.
        let absent = problems
            .iter()
            .all(|(_, errno)| [abi::ENOENT, abi::ENXIO].contains(errno));
        if !absent || time::monotonic_ns() >= until {
            return Err(why(device, &problems));
        }
        sched::sleep_until(time::monotonic_ns() + LOOK);
    }
}

/// Writes everything out and lets go of the disk.
///
/// # Errors
/// The kernel's.
pub(super) fn unmount() -> Result<(), Errno> {
    // SAFETY: the path ends in 0.
    done(unsafe { syscalls::unmount(AT.as_ptr(), 0) })
        // SAFETY: as above.
        .or_else(|_| done(unsafe { syscalls::unmount(AT.as_ptr(), fs::MNT_FORCE) }))
}

/// What the last call failed with.
fn failure() -> Errno {
    Failure(syscalls::errno()).into()
}

fn done(result: c_int) -> Result<(), Errno> {
    if result < 0 { Err(failure()) } else { Ok(()) }
}

/// A path below the root, as the kernel has it.
fn path(below: &[u8]) -> Result<CString, Errno> {
    CString::new([AT.to_bytes(), below].concat()).map_err(|_| Errno::EINVAL)
}

/// A file that is open. It is closed with this.
struct Opened(c_int);

impl Opened {
    fn new(below: &[u8], flags: c_int, permissions: u32) -> Result<Self, Errno> {
        let path = path(below)?;
        // SAFETY: the path ends in 0.
        let fd = unsafe { syscalls::open(path.as_ptr(), flags | fs::O_NOFOLLOW, permissions) };
        done(fd).map(|()| Self(fd))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: it takes a number, of a file that is this one's.
        unsafe { syscalls::close(self.0) };
    }
}

fn stat(below: &[u8]) -> Result<fs::stat, Errno> {
    let path = path(below)?;
    let mut stat = MaybeUninit::<fs::stat>::zeroed();
    // SAFETY: the path ends in 0, and a `struct stat` is written.
    done(unsafe { syscalls::lstat(path.as_ptr(), stat.as_mut_ptr()) })?;
    // SAFETY: numbers only, all of which were set.
    Ok(unsafe { stat.assume_init() })
}

fn target(below: &[u8]) -> Result<Vec<u8>, Errno> {
    let path = path(below)?;
    let mut target = vec![0; TARGET];
    // SAFETY: the path ends in 0, and so much is written at most.
    let length =
        unsafe { syscalls::readlink(path.as_ptr(), target.as_mut_ptr().cast::<c_char>(), TARGET) };
    let length = usize::try_from(length).map_err(|_| failure())?;
    target.truncate(length);
    Ok(target)
}

fn nanoseconds(time: &timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

fn timespec_of(time: u64) -> timespec {
    timespec {
        tv_sec: (time / 1_000_000_000) as i64,
        tv_nsec: (time % 1_000_000_000) as i64,
    }
}

impl Store for Disk {
    fn list(&self, folder: &[u8]) -> Result<Vec<Entry>, Errno> {
        let opened = Opened::new(folder, fs::O_DIRECTORY, 0)?;
        let mut found = Vec::new();
        let mut buffer = vec![0_u8; ENTRIES];
        loop {
            // SAFETY: so much is written at most.
            let length =
                unsafe { syscalls::getdents(opened.0, buffer.as_mut_ptr().cast(), buffer.len()) };
            let length = usize::try_from(length).map_err(|_| failure())?;
            if length == 0 {
                break;
            }
            let bytes = buffer.get(..length).ok_or(Errno::EIO)?;
            names(bytes, &mut found).ok_or(Errno::EIO)?;
        }
        drop(opened);
        let mut entries = Vec::new();
        for name in found {
            let path = [folder, b"/", &name].concat();
            let stat = stat(&path)?;
            entries.push(Entry {
                found: match stat.st_mode & fs::S_IFMT {
                    fs::S_IFDIR => Found::Folder,
                    fs::S_IFREG => {
                        Found::File(u64::try_from(stat.st_size).map_err(|_| Errno::EIO)?)
                    }
                    fs::S_IFLNK => Found::Link(target(&path)?),
                    fs::S_IFCHR => Found::Device(numbers(stat.st_rdev)),
                    _ => Found::Other,
                },
                name,
                number: stat.st_ino,
                links: stat.st_nlink,
                permissions: stat.st_mode,
                owner: (stat.st_uid, stat.st_gid),
                times: [&stat.st_atim, &stat.st_mtim, &stat.st_ctim].map(nanoseconds),
            });
        }
        Ok(entries)
    }

    fn read(&self, path: &[u8], length: u64) -> Result<Vec<u8>, Errno> {
        let opened = Opened::new(path, abi::O_RDONLY, 0)?;
        let length = usize::try_from(length).map_err(|_| Errno::EFBIG)?;
        let mut data = Vec::new();
        data.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        data.resize(length, 0);
        let mut at = 0;
        while at < length {
            let rest = &mut data[at..];
            // SAFETY: so much is written at most.
            let now = unsafe {
                syscalls::pread(opened.0, rest.as_mut_ptr().cast(), rest.len(), at as i64)
            };
            match usize::try_from(now) {
                Err(_) => return Err(failure()),
                // It is shorter than it said.
                Ok(0) => return Err(Errno::EIO),
                Ok(now) => at += now,
            }
        }
        Ok(data)
    }

    fn create(&self, below: &[u8], kind: &Kind, permissions: u32) -> Result<(), Errno> {
        let place = path(below)?;
        match kind {
            Kind::Directory { .. } => {
                // SAFETY: the path ends in 0.
                done(unsafe { syscalls::mkdir(place.as_ptr(), permissions) })?;
            }
            Kind::Link(target) => {
                let target = CString::new(&**target).map_err(|_| Errno::EINVAL)?;
                // SAFETY: both end in 0.
                return done(unsafe { syscalls::symlink(target.as_ptr(), place.as_ptr()) });
            }
            Kind::File(_) => {
                let flags = abi::O_WRONLY | abi::O_CREAT | abi::O_TRUNC;
                drop(Opened::new(below, flags, permissions)?);
            }
            _ => return Err(Errno::EPERM),
        }
        // The kernel's process has a mask of its own.
        self.change(below, Change::Permissions(permissions))
    }

    fn link(&self, below: &[u8], new: &[u8]) -> Result<(), Errno> {
        let (from, to) = (path(below)?, path(new)?);
        // SAFETY: both end in 0.
        done(unsafe { syscalls::link(from.as_ptr(), to.as_ptr()) })
    }

    fn remove(&self, below: &[u8], folder: bool) -> Result<(), Errno> {
        let path = path(below)?;
        // SAFETY: the path ends in 0.
        done(unsafe {
            if folder {
                syscalls::rmdir(path.as_ptr())
            } else {
                syscalls::unlink(path.as_ptr())
            }
        })
    }

    fn rename(&self, below: &[u8], new: &[u8]) -> Result<(), Errno> {
        let (from, to) = (path(below)?, path(new)?);
        // SAFETY: both end in 0.
        done(unsafe { syscalls::rename(from.as_ptr(), to.as_ptr()) })
    }

    fn write(&self, path: &[u8], at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let opened = Opened::new(path, abi::O_WRONLY, 0)?;
        let (mut at, mut rest) = (i64::try_from(at).map_err(|_| Errno::EFBIG)?, bytes);
        while !rest.is_empty() {
            // SAFETY: so much is read at most.
            let now = unsafe { syscalls::pwrite(opened.0, rest.as_ptr().cast(), rest.len(), at) };
            let now = usize::try_from(now).map_err(|_| failure())?;
            rest = rest.get(now.max(1)..).unwrap_or_default();
            at += now as i64;
        }
        Ok(())
    }

    fn resize(&self, path: &[u8], length: u64) -> Result<(), Errno> {
        let opened = Opened::new(path, abi::O_WRONLY, 0)?;
        let length = i64::try_from(length).map_err(|_| Errno::EFBIG)?;
        // SAFETY: it takes numbers.
        done(unsafe { syscalls::ftruncate(opened.0, length) })
    }

    fn change(&self, below: &[u8], change: Change) -> Result<(), Errno> {
        let path = path(below)?;
        let path = path.as_ptr();
        // SAFETY: the path ends in 0, and two times are read.
        done(unsafe {
            match change {
                Change::Permissions(permissions) => syscalls::chmod(path, permissions),
                Change::Owner(user, group) => syscalls::lchown(path, user, group),
                Change::Times(times) => {
                    let times = times.map(timespec_of);
                    let flags = fs::AT_SYMLINK_NOFOLLOW;
                    syscalls::utimensat(fs::AT_FDCWD, path, times.as_ptr(), flags)
                }
            }
        })
    }

    fn sync(&self, below: Option<&[u8]>) -> Result<(), Errno> {
        let Some(below) = below else {
            // SAFETY: the path ends in 0.
            return match unsafe { vbd::rump_fs_sync(AT.as_ptr()) } {
                0 => Ok(()),
                errno => Err(Failure(errno).into()),
            };
        };
        // It insists on a descriptor to write with, which a folder cannot have.
        let file = Opened::new(below, abi::O_WRONLY, 0);
        match file {
            Ok(file) => {
                let how = fs::FFILESYNC | fs::FDISKSYNC;
                // SAFETY: it takes numbers.
                done(unsafe { syscalls::fsync_range(file.0, how, 0, 0) })
            }
            Err(Errno::EISDIR) => {
                let folder = Opened::new(below, abi::O_RDONLY, 0)?;
                // SAFETY: it takes a number.
                done(unsafe { syscalls::fsync(folder.0) })
            }
            // What is no file has no bytes to keep.
            Err(Errno::ELOOP | Errno::EINVAL) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

/// Numbers of a device, as Linux's file systems keep them: the older form, of 16 bits.
fn numbers(device: u64) -> (u32, u32) {
    let device = device as u32;
    (device >> 8 & 0xff, device & 0xff)
}
