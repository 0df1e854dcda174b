//! A disk of the kernel's, by its node and system calls alone.
#![allow(dead_code, unsafe_code)]

use rump_sys::{hyper, syscalls};
use std::ffi::{CString, c_int};
use std::io::{Error, Result};

/// `O_RDONLY` and `O_RDWR` (`fcntl.h`).
const MODES: [c_int; 2] = [0, 2];
/// `DIOCGMEDIASIZE`, `_IOR('d', 132, off_t)` (`sys/dkio.h`).
const MEDIA_SIZE: u64 = 0x4000_0000 | 8 << 16 | (b'd' as u64) << 8 | 132;

/// An open disk.
pub struct RawDisk(c_int);

fn check(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| {
        let errno = rump::Errno::from_raw(hyper::errno());
        Error::from(errno)
    })
}

impl RawDisk {
    pub fn open(path: &str, write: bool) -> Result<Self> {
        let path = CString::new(path)?;
        let mode = MODES[usize::from(write)];
        // SAFETY: a C string.
        let fd = unsafe { syscalls::open(path.as_ptr(), mode, 0) };
        check(fd as isize)?;
        Ok(Self(fd))
    }

    /// In bytes.
    pub fn size(&self) -> Result<u64> {
        let mut size = 0_u64;
        // SAFETY: a place for the number that this request is answered with.
        let result = unsafe { syscalls::ioctl(self.0, MEDIA_SIZE, (&raw mut size).cast()) };
        check(result as isize)?;
        Ok(size)
    }

    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        // SAFETY: so many bytes may be written.
        check(unsafe { syscalls::read(self.0, buf.as_mut_ptr().cast(), buf.len()) })
    }

    pub fn write(&mut self, buf: &[u8]) -> Result<usize> {
        // SAFETY: so many bytes may be read.
        check(unsafe { syscalls::write(self.0, buf.as_ptr().cast(), buf.len()) })
    }
}

impl Drop for RawDisk {
    fn drop(&mut self) {
        // SAFETY: a descriptor of this one's own.
        unsafe { syscalls::close(self.0) };
    }
}
