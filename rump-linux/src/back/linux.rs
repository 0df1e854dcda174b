//! A host that is a Linux process.
#![allow(unsafe_code)]

use super::watch;
use crate::errno::Errno;
use crate::host::{File, Host, Slot, Watched};
use crate::memory::{Fault, Memory};
use crate::raw::general;
use crate::wait::Waker;
use alloc::boxed::Box;
use core::ffi::c_long;
use core::ptr::{null, with_exposed_provenance_mut};

/// The Linux process that this is part of. The program's memory is the process's own,
/// copied with `process_vm_readv(2)` and `process_vm_writev(2)`, which answer `EFAULT`
/// where an access would fault.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinuxHost;

pub(super) fn result(returned: c_long) -> Result<u64, Errno> {
    u64::try_from(returned).map_err(|_| {
        let number = std::io::Error::last_os_error().raw_os_error();
        Errno(number.unwrap_or(libc::EIO) as u32)
    })
}

/// Fills `into` from the memory of a process, or of the process of a thread, that this one
/// may trace: `process_vm_readv(2)`.
///
/// # Errors
/// Not all of it can be read.
pub fn read_memory(process: i32, address: u64, into: &mut [u8]) -> Result<(), Fault> {
    let (local, remote) = vectors(into.as_mut_ptr(), into.len(), address);
    // SAFETY: the local buffer is borrowed exclusively; the remote address is checked by Linux.
    let done =
        unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0) };
    whole(done, into.len())
}

/// Copies `from` to the memory of such a process: `process_vm_writev(2)`. That it lets itself
/// be written there is what the program asked for by a system call.
///
/// # Errors
/// Not all of it can be written; some of it may have been.
pub fn write_memory(process: i32, address: u64, from: &[u8]) -> Result<(), Fault> {
    let (local, remote) = vectors(from.as_ptr().cast_mut(), from.len(), address);
    // SAFETY: the local buffer is borrowed, and only read; as above.
    let done =
        unsafe { libc::process_vm_writev(process, &raw const local, 1, &raw const remote, 1, 0) };
    whole(done, from.len())
}

/// The two sides of a copy.
fn vectors(local: *mut u8, length: usize, address: u64) -> (libc::iovec, libc::iovec) {
    let vector = |start: *mut libc::c_void| libc::iovec {
        iov_base: start,
        iov_len: length,
    };
    let remote = with_exposed_provenance_mut(address as usize);
    (vector(local.cast()), vector(remote))
}

fn whole(done: isize, wanted: usize) -> Result<(), Fault> {
    if usize::try_from(done) == Ok(wanted) {
        Ok(())
    } else {
        Err(Fault)
    }
}

pub(super) fn getpid() -> i32 {
    // SAFETY: takes nothing.
    unsafe { libc::getpid() }
}

impl Memory for LinuxHost {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), Fault> {
        // An empty one may be anywhere.
        if into.is_empty() {
            return Ok(());
        }
        read_memory(getpid(), address, into)
    }
    fn write(&self, address: u64, from: &[u8]) -> Result<(), Fault> {
        if from.is_empty() {
            return Ok(());
        }
        write_memory(getpid(), address, from)
    }
}

/// A descriptor of the host, closed at the end.
pub(super) struct Owned(pub(super) i32);
impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: it is this one's own.
        unsafe { libc::close(self.0) };
    }
}

/// A descriptor of the program's, which it keeps.
struct Borrowed(i32);

impl File for Borrowed {
    fn read_at(&self, position: u64, into: &mut [u8]) -> Result<usize, Errno> {
        let position = i64::try_from(position).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the room is given with its length.
        let read = unsafe { libc::pread(self.0, into.as_mut_ptr().cast(), into.len(), position) };
        result(read as c_long).map(|length| length as usize)
    }

    fn position(&self) -> Result<u64, Errno> {
        // SAFETY: numbers.
        result(unsafe { libc::lseek(self.0, 0, libc::SEEK_CUR) })
    }

    fn set_position(&self, position: u64) -> Result<(), Errno> {
        // SAFETY: numbers.
        result(unsafe { libc::lseek(self.0, position as i64, libc::SEEK_SET) }).map(drop)
    }
}

impl Host for LinuxHost {
    fn file(&self, fd: i32) -> Result<Box<dyn File>, Errno> {
        Ok(Box::new(Borrowed(fd)))
    }

    fn call(&self, number: u32, a: [u64; 6]) -> i64 {
        // SAFETY: the program itself asked for this call, of which this process is part; it
        // is not about descriptors or memory of the personality.
        let returned =
            unsafe { libc::syscall(c_long::from(number), a[0], a[1], a[2], a[3], a[4], a[5]) };
        result(returned).map_or_else(|errno| -i64::from(errno.0), |value| value as i64)
    }

    fn reserve(&self, slot: Slot) -> Result<i32, Errno> {
        // What asks Linux, as fstat(2) does, finds a socket.
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        // SAFETY: numbers.
        let blank = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
        let blank = Owned(result(blank.into())? as i32);
        let taken = match slot {
            Slot::Lowest(from) if blank.0 >= from => {
                let number = blank.0;
                core::mem::forget(blank);
                return Ok(number);
            }
            // SAFETY: as above.
            Slot::Lowest(from) => unsafe { libc::fcntl(blank.0, libc::F_DUPFD_CLOEXEC, from) },
            Slot::Exactly(number) if number == blank.0 => {
                core::mem::forget(blank);
                return Ok(number);
            }
            // SAFETY: as above; what had the number was given up by the program.
            Slot::Exactly(number) => unsafe { libc::dup3(blank.0, number, libc::O_CLOEXEC) },
        };
        result(taken.into()).map(|number| number as i32)
    }

    fn release(&self, number: i32) {
        drop(Owned(number));
    }

    fn poll(&self, fds: &mut [general::pollfd], timeout: Option<u64>) -> Result<usize, Errno> {
        let limit = timeout.map(|nanos| libc::timespec {
            tv_sec: (nanos / 1_000_000_000) as i64,
            tv_nsec: (nanos % 1_000_000_000) as i64,
        });
        let limit = limit.as_ref().map_or(null(), core::ptr::from_ref);
        // SAFETY: the entries are borrowed, and have the layout of the C library's.
        let ready =
            unsafe { libc::ppoll(fds.as_mut_ptr().cast(), fds.len() as u64, limit, null()) };
        result(ready.into()).map(|count| count as usize)
    }

    fn watch(&self, waker: Waker) -> Result<Box<dyn Watched>, Errno> {
        Ok(Box::new(watch::Watch::new(waker)?))
    }

    fn now(&self, clock: u32) -> u64 {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: one time is written.
        unsafe { libc::clock_gettime(clock as i32, &raw mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    fn mask(&self, mask: u64) -> u64 {
        let mut old = 0u64;
        // SAFETY: the kernel's masks have eight bytes.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigprocmask,
                libc::SIG_SETMASK,
                &raw const mask,
                &raw mut old,
                8,
            )
        };
        old
    }

    fn broken_pipe(&self) {
        // SAFETY: what a write to a closed pipe does.
        unsafe { libc::raise(libc::SIGPIPE) };
    }
}
