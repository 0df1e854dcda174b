//! Transfers of disks that nobody waits for in the kernel: `rump_blkio.h`.
#![allow(unsafe_code)]

use crate::block::event::{Event, Teller};
use crate::descriptor::AsDescriptor;
use crate::error::Errno;
use crate::lwp;
use rump_sys::blkio as raw;
use rump_sys::hyper::linux::LinuxHost;
use rump_sys::hyper::memory;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// The disk of a descriptor. That must stay open as long as this lives.
#[derive(Debug)]
pub(crate) struct Device {
    device: NonNull<raw::Device>,
    /// Of those transfers that their threads wait for here.
    teller: Arc<Teller>,
}

// SAFETY: the kernel's functions for it may be called from any thread; none changes it.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

/// What goes along with a transfer.
pub(crate) trait Request: Send + 'static {
    /// The memory, which stays where it is when this is moved.
    fn memory(&mut self) -> &mut [u8];

    /// It is done. Called on a thread with a virtual CPU, which must not wait.
    fn done(self, result: Result<(), Errno>);
}

/// A transfer that is to be started.
#[derive(Debug)]
pub(crate) struct Transfer<R> {
    pub(crate) request: R,
    pub(crate) write: bool,
    pub(crate) offset: u64,
}

/// What the kernel has of it.
#[repr(C)]
struct UnderWay<R> {
    raw: raw::Transfer,
    request: R,
}

unsafe extern "C" fn done<R: Request>(transfer: *mut raw::Transfer) {
    // SAFETY: `start` made it, and the kernel calls once for each.
    let under_way = unsafe { Box::from_raw(transfer.cast::<UnderWay<R>>()) };
    let UnderWay { raw, request } = *under_way;
    request.done(Errno::check(raw.error));
}

impl<R: Request> Transfer<R> {
    fn into_raw(self) -> *mut raw::Transfer {
        let mut under_way = Box::new(UnderWay {
            raw: raw::Transfer {
                data: null_mut(),
                len: 0,
                offset: self.offset,
                flags: if self.write { raw::WRITE } else { 0 },
                pieces: 0,
                error: 0,
                pad: 0,
                done: done::<R>,
            },
            request: self.request,
        });
        let memory = under_way.request.memory();
        (under_way.raw.data, under_way.raw.len) = (memory.as_mut_ptr(), memory.len() as u64);
        Box::into_raw(under_way).cast()
    }
}

impl Device {
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) if the kernel has no such transfers;
    /// `ENOTBLK` if no disk is open there.
    pub(crate) fn open(file: &impl AsDescriptor) -> io::Result<Self> {
        lwp::enter_here()?;
        let mut device = null_mut();
        // SAFETY: a pointer is written.
        let error = unsafe { raw::rump_blkio_open(file.as_descriptor().as_raw(), &raw mut device) };
        Errno::check(error)?;
        Ok(Self {
            device: NonNull::new(device).ok_or(Errno::ENXIO)?,
            teller: Arc::default(),
        })
    }

    /// Starts transfers, in this order.
    ///
    /// # Errors
    /// The kernel is down; nothing was started.
    pub(crate) fn start<R: Request>(
        &self,
        transfers: Vec<Transfer<R>>,
    ) -> Result<(), (io::Error, Vec<Transfer<R>>)> {
        if let Err(down) = lwp::enter_here() {
            return Err((down.into(), transfers));
        }
        let mut started: Vec<_> = transfers.into_iter().map(Transfer::into_raw).collect();
        // No queue is that deep.
        let count = started.len() as u32;
        // SAFETY: transfers with memory that is theirs until they are done; `done` is for
        // their type.
        unsafe { raw::rump_blkio_start(self.device.as_ptr(), started.as_mut_ptr(), count) };
        Ok(())
    }
}

/// A transfer that its thread waits for.
#[repr(C)]
struct Waited {
    raw: raw::Transfer,
    done: Arc<Event<i32>>,
    teller: Arc<Teller>,
}

unsafe extern "C" fn waited_done(transfer: *mut raw::Transfer) {
    // SAFETY: `Device::transfer` has it until it was told.
    let Waited { raw, done, teller } = unsafe { &*transfer.cast::<Waited>() };
    let (error, done, teller) = (raw.error, done.clone(), teller.clone());
    done.tell(error, &teller);
}

impl Device {
    /// Does a transfer and waits for it. The memory is not written if it is one to the disk.
    ///
    /// # Safety
    /// So many bytes that nobody else uses meanwhile, or writes.
    unsafe fn transfer(&self, memory: NonNull<[u8]>, offset: u64, flags: u32) -> io::Result<()> {
        lwp::enter_here()?;
        let done = Arc::new(Event::default());
        let mut waited = Waited {
            raw: raw::Transfer {
                data: memory.as_ptr().cast(),
                len: memory.len() as u64,
                offset,
                flags,
                pieces: 0,
                error: 0,
                pad: 0,
                done: waited_done,
            },
            done: done.clone(),
            teller: self.teller.clone(),
        };
        let mut started: *mut raw::Transfer = (&raw mut waited).cast();
        // SAFETY: it stays here until it is done, and so does the memory, by contract.
        unsafe { raw::rump_blkio_start(self.device.as_ptr(), &raw mut started, 1) };
        Ok(Errno::check(done.wait(&self.teller))?)
    }

    /// Fills the memory with what is at the place.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) fn read(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        // SAFETY: borrowed exclusively.
        unsafe { self.transfer(into.into(), offset, 0) }
    }

    /// Writes the bytes at the place.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) fn write(&self, from: &[u8], offset: u64) -> io::Result<()> {
        // SAFETY: borrowed, and only read.
        unsafe { self.transfer(from.into(), offset, raw::WRITE) }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if lwp::enter_here().is_ok() {
            // SAFETY: opened by `open`; its owner has waited for all transfers.
            unsafe { raw::rump_blkio_close(self.device.as_ptr()) };
        }
    }
}

/// Memory of the kernel's, which devices reach.
#[derive(Debug)]
pub(crate) struct Memory {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: owned like a Box.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// That of a page.
const ALIGNMENT: usize = 4096;

impl Memory {
    /// So many bytes, all zero, on pages of their own. None if there is no more.
    pub(crate) fn zeroed(len: usize) -> Option<Self> {
        let size = len.max(1).checked_next_multiple_of(ALIGNMENT)?;
        let start = memory::allocate::<LinuxHost>(size, ALIGNMENT).ok()?;
        let start = NonNull::new(start.cast::<u8>())?;
        // SAFETY: so many bytes, which are nobody else's.
        unsafe { start.write_bytes(0, size) };
        Some(Self { start, len })
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes of this one's own, which were initialised.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let size = self.len.max(1).next_multiple_of(ALIGNMENT);
        // SAFETY: of `zeroed`, with that size.
        unsafe { memory::release::<LinuxHost>(self.start.as_ptr().cast(), size) };
    }
}
