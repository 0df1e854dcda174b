//! A disk in the kernel whose other end is in the host: `rump_vbd.h`.
//!
//! The kernel's calls out of it go to whoever implements [`Host`], on the thread that made
//! them, without its virtual CPU; or, if nobody waits for the transfer yet and the host
//! wants several at a time, on a thread of a small crew.
#![allow(unsafe_code)]

use super::host::{Made, called};
use super::upcall;
use crate::error::Errno;
use crate::lwp;
use rump_sys::vbd as raw;
use std::ffi::{c_int, c_void};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

/// What is behind a disk. None of these is called with a virtual CPU.
pub(crate) trait Host: Send + Sync + 'static {
    /// Fills the buffer with what is at the place.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Errno>;
    /// Writes the bytes at the place.
    fn write(&self, offset: u64, from: &[u8]) -> Result<(), Errno>;
    /// Puts all that was written on stable storage.
    fn flush(&self) -> Result<(), Errno>;
    /// Forgets what is at the place.
    fn discard(&self, offset: u64, length: u64) -> Result<(), Errno>;
    /// How many threads may be at work for transfers that nobody waits for; with 0, whoever
    /// starts one does it.
    fn crew(&self) -> usize;
}

/// Transfers that may wait for the crew, before those who start them do them themselves.
const QUEUE: usize = 256;

/// A disk's host, with its crew.
struct Attached<H> {
    host: Arc<H>,
    crew: OnceLock<Option<SyncSender<Transfer>>>,
}

/// A transfer of the kernel's.
struct Transfer {
    write: bool,
    data: *mut u8,
    length: usize,
    offset: u64,
    io: *mut c_void,
}

// SAFETY: the kernel leaves buffer and request to the host, on any thread, until it calls
// `rump_vbd_done` (rump_vbd.h).
unsafe impl Send for Transfer {}

impl Transfer {
    fn perform<H: Host>(&self, host: &H) -> Result<(), Errno> {
        // A back end that panics has failed; the kernel's frames below are left alone.
        catch_unwind(AssertUnwindSafe(|| {
            if self.write {
                // SAFETY: so many bytes that the kernel does not change meanwhile: a buffer
                // that is being written is busy (buffercache(9)).
                let from = unsafe { std::slice::from_raw_parts(self.data, self.length) };
                host.write(self.offset, from)
            } else {
                // SAFETY: so many bytes that are the host's alone until the transfer is done.
                let into = unsafe { std::slice::from_raw_parts_mut(self.data, self.length) };
                host.read(self.offset, into)
            }
        }))
        .unwrap_or(Err(Errno::EIO))
    }

    /// On a thread that holds no virtual CPU.
    fn done(self, result: Result<(), Errno>) {
        // SAFETY: called once, as `self` says, for what `transfer` put off.
        unsafe { raw::rump_vbd_done(self.io, number(result)) };
    }
}

fn number(result: Result<(), Errno>) -> c_int {
    result.err().map_or(0, Errno::raw)
}

impl<H: Host> Attached<H> {
    /// Gives the transfer to the crew, or back.
    fn hand_over(&self, transfer: Transfer) -> Result<(), Transfer> {
        let crew = self.crew.get_or_init(|| self.start_crew());
        let Some(crew) = crew else {
            return Err(transfer);
        };
        crew.try_send(transfer).map_err(|refused| match refused {
            TrySendError::Full(transfer) | TrySendError::Disconnected(transfer) => transfer,
        })
    }

    fn start_crew(&self) -> Option<SyncSender<Transfer>> {
        let (sender, receiver) = sync_channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let started = (0..self.host.crew()).filter(|_| {
            let (receiver, host) = (receiver.clone(), self.host.clone());
            let member = thread::Builder::new().name("rump-disk".into());
            member.spawn(move || work(&receiver, &*host)).is_ok()
        });
        (started.count() > 0).then_some(sender)
    }
}

/// What a member of the crew does until the disk is no more.
fn work<H: Host>(queue: &Mutex<Receiver<Transfer>>, host: &H) {
    // Without an lwp of its own it is slower, not wrong.
    let _ = lwp::enter_here();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(transfer) = next else { return };
        let result = transfer.perform(host);
        transfer.done(result);
    }
}

unsafe extern "C" fn transfer<H: Host>(
    host: *mut c_void,
    how: u32,
    data: *mut u8,
    length: u64,
    offset: u64,
    io: *mut c_void,
) -> c_int {
    // SAFETY: the kernel passes what it was given, until the disk is gone.
    let attached = unsafe { called::<Attached<H>>(host) };
    let transfer = Transfer {
        write: how & raw::WRITE != 0,
        data,
        length: length as usize,
        offset,
        io,
    };
    let transfer = if how & raw::ASYNC != 0 && attached.host.crew() > 0 {
        match attached.hand_over(transfer) {
            Ok(()) => return raw::LATER,
            Err(transfer) => transfer,
        }
    } else {
        transfer
    };
    number(upcall::wrap(|| transfer.perform(&*attached.host)))
}

unsafe extern "C" fn flush<H: Host>(host: *mut c_void) -> c_int {
    // SAFETY: as in `transfer`.
    let attached = unsafe { called::<Attached<H>>(host) };
    guarded(|| attached.host.flush())
}

unsafe extern "C" fn discard<H: Host>(host: *mut c_void, offset: u64, length: u64) -> c_int {
    // SAFETY: as in `transfer`.
    let attached = unsafe { called::<Attached<H>>(host) };
    guarded(|| attached.host.discard(offset, length))
}

/// Runs it without the virtual CPU; a panic is an error.
fn guarded(work: impl FnOnce() -> Result<(), Errno>) -> c_int {
    number(upcall::wrap(|| {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Errno::EIO))
    }))
}

/// The kernel's table of functions of a host.
struct Table<H>(std::marker::PhantomData<H>);

impl<H: Host> Table<H> {
    const OPS: raw::Ops = raw::Ops {
        transfer: transfer::<H>,
        flush: flush::<H>,
        discard: discard::<H>,
    };
}

/// A disk in the kernel. Dropping it without [`destroy`](Self::destroy) leaves it there.
#[derive(Debug)]
pub(crate) struct Vbd(Made<raw::Vbd>);

// SAFETY: the kernel's functions for a disk may be called from any thread; the one there is
// takes `self`.
unsafe impl Send for Vbd {}
// SAFETY: as above; shared references only read the name.
unsafe impl Sync for Vbd {}

impl Vbd {
    /// Makes a disk of so many sectors.
    pub(crate) fn new<H: Host>(
        host: Arc<H>,
        sectors: u64,
        sector_size: u32,
        read_only: bool,
    ) -> io::Result<Self> {
        let attached = Arc::new(Attached {
            host,
            crew: OnceLock::new(),
        });
        let config = raw::Config {
            version: raw::VERSION,
            flags: if read_only { raw::READ_ONLY } else { 0 },
            sectors,
            sector_size,
            pad: 0,
        };
        Made::new(attached, |host, made, name| {
            // SAFETY: table and host stay as long as the disk is there; the rest is read and
            // written during the call.
            unsafe { raw::rump_vbd_create(&Table::<H>::OPS, host, &config, made, name) }
        })
        .map(Self)
    }

    pub(crate) fn name(&self) -> &str {
        self.0.name()
    }

    /// Removes it, or gives it back if it is in use, or the kernel is down.
    pub(crate) fn destroy(mut self) -> Result<(), (Self, io::Error)> {
        if let Err(down) = lwp::enter_here() {
            return Err((self, down.into()));
        }
        // SAFETY: made by `new`, and used up here if it succeeds.
        let error = unsafe { raw::rump_vbd_destroy(self.0.raw()) };
        if let Err(errno) = Errno::check(error) {
            return Err((self, errno.into()));
        }
        // SAFETY: the kernel calls the host no more.
        unsafe { self.0.is_gone() };
        Ok(())
    }
}
