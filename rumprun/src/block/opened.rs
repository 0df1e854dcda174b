//! A disk of the kernel's that is open, by its name in `/dev`: transfers by `rump_blkio.h`,
//! which nobody waits for in the kernel; all else by system calls.

use super::Shape;
use super::medium::{Medium, Request};
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::ptr::{NonNull, null_mut};
use rump_hyper::errno::Errno;
use rump_sys::abi::{self, fs};
use rump_sys::{blkio, syscalls};

/// An open file of the kernel's first process.
#[derive(Debug)]
struct File(c_int);

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: it takes a number, of a file that is this one's.
        unsafe { syscalls::close(self.0) };
    }
}

fn done(result: c_int) -> Result<(), Errno> {
    if result < 0 {
        Err(Errno(syscalls::errno()))
    } else {
        Ok(())
    }
}

impl File {
    fn open(path: &str, writable: bool) -> Result<Self, Errno> {
        let path = CString::new(path).map_err(|_| Errno(abi::EINVAL))?;
        let flags = if writable { abi::O_RDWR } else { abi::O_RDONLY };
        // SAFETY: the path ends in 0.
        let file = unsafe { syscalls::open(path.as_ptr(), flags, 0) };
        done(file).map(|()| Self(file))
    }

    /// A control that writes or reads a value.
    ///
    /// # Safety
    /// The value is of the type that belongs to the control.
    unsafe fn control<T>(&self, which: u64, value: &mut T) -> Result<(), Errno> {
        let value: *mut T = value;
        // SAFETY: by contract.
        done(unsafe { syscalls::ioctl(self.0, which, value.cast()) })
    }

    fn flush(&self) -> Result<(), Errno> {
        let mut force: c_int = 1;
        // SAFETY: an `int`.
        unsafe { self.control(fs::DIOCCACHESYNC, &mut force) }
    }
}

/// A disk. The threads that use it, make it or drop it have an lwp of the first process.
#[derive(Debug)]
pub(crate) struct Opened {
    device: NonNull<blkio::Device>,
    file: File,
    shape: Shape,
    has_cache: bool,
}

// SAFETY: the kernel's functions for it may be called from any thread; none changes it.
unsafe impl Send for Opened {}
// SAFETY: as above.
unsafe impl Sync for Opened {}

impl Opened {
    /// Opens a disk by its character device, such as `/dev/rld0d`.
    ///
    /// # Errors
    /// The kernel's; `ENOSYS` if it has no such transfers.
    pub(crate) fn new(path: &str, writable: bool) -> Result<Self, Errno> {
        let file = File::open(path, writable)?;
        let (mut size, mut sector_size) = (0_i64, 0_u32);
        // SAFETY: an `off_t`.
        unsafe { file.control(fs::DIOCGMEDIASIZE, &mut size)? };
        // SAFETY: a `u_int`.
        unsafe { file.control(fs::DIOCGSECTORSIZE, &mut sector_size)? };
        let size = u64::try_from(size).map_err(|_| Errno(abi::EINVAL))?;
        if !sector_size.is_power_of_two() || sector_size < 512 {
            return Err(Errno(abi::EINVAL));
        }
        let has_cache = writable && file.flush().is_ok();
        let mut device = null_mut();
        // SAFETY: a pointer is written.
        match unsafe { blkio::rump_blkio_open(file.0, &raw mut device) } {
            0 => {}
            errno => return Err(Errno(errno)),
        }
        Ok(Self {
            device: NonNull::new(device).ok_or(Errno(abi::ENXIO))?,
            file,
            shape: Shape {
                sector_size,
                sectors: size / u64::from(sector_size),
                read_only: !writable,
            },
            has_cache,
        })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: of `new`; who started transfers has waited for them.
        unsafe { blkio::rump_blkio_close(self.device.as_ptr()) };
    }
}

/// What the kernel has of a transfer.
#[repr(C)]
struct UnderWay {
    raw: blkio::Transfer,
    request: Box<dyn Request>,
}

unsafe extern "C" fn ended(transfer: *mut blkio::Transfer) {
    // SAFETY: `start` made it, and the kernel calls once for each.
    let under_way = unsafe { Box::from_raw(transfer.cast::<UnderWay>()) };
    let result = match under_way.raw.error {
        0 => Ok(()),
        errno => Err(Errno(errno)),
    };
    under_way.request.done(result);
}

fn under_way(mut request: Box<dyn Request>) -> *mut blkio::Transfer {
    let memory = request.memory();
    let (data, len) = (memory.as_mut_ptr(), memory.len() as u64);
    let raw = blkio::Transfer {
        data,
        len,
        offset: request.offset(),
        flags: if request.is_write() { blkio::WRITE } else { 0 },
        pieces: 0,
        error: 0,
        pad: 0,
        done: ended,
    };
    Box::into_raw(Box::new(UnderWay { raw, request })).cast()
}

impl Medium for Opened {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn has_cache(&self) -> bool {
        self.has_cache
    }

    fn enter(&self) {
        crate::kernel::give_lwp();
    }

    fn leave(&self) {
        crate::kernel::end_lwp();
    }

    fn start(&self, requests: Vec<Box<dyn Request>>) {
        let mut started: Vec<_> = requests.into_iter().map(under_way).collect();
        let count = started.len() as u32;
        // SAFETY: transfers with memory that is theirs until they are done.
        unsafe { blkio::rump_blkio_start(self.device.as_ptr(), started.as_mut_ptr(), count) };
    }

    fn flush(&self) -> Result<(), Errno> {
        if self.has_cache {
            self.file.flush()
        } else {
            Ok(())
        }
    }

    fn discard(&self, offset: u64, len: u64) -> Result<(), Errno> {
        let no = |_| Errno(abi::EINVAL);
        let (offset, len) = (
            i64::try_from(offset).map_err(no)?,
            i64::try_from(len).map_err(no)?,
        );
        // SAFETY: it takes numbers.
        let result = done(unsafe { syscalls::fdiscard(self.file.0, offset, len) });
        match result {
            // What it says of nodes and drivers that have no such call.
            Err(Errno(abi::ENODEV | abi::ENOTTY | abi::ENOSYS | abi::EOPNOTSUPP)) => {
                Err(Errno::OPNOTSUPP)
            }
            result => result,
        }
    }
}
