//! An interface in the kernel whose other end is in the host: `rump_vif.h`.
//!
//! Calls into it are made on this thread's lwp, and the kernel's calls out of it go to
//! whoever implements [`Host`].
#![allow(unsafe_code)]

use super::host::{Made, called};
use super::upcall;
use crate::error::Errno;
use crate::lwp;
use rump_sys::hyper::vif::abi;
use rump_sys::hyper::vif::backend::Piece;
use rump_sys::hyper::vif::{Offloads, Received, Transmit};
use rump_sys::kernel::{KIND, Kind};
use rump_sys::vif as raw;
use std::ffi::{CStr, c_void};
use std::io;
use std::sync::Arc;

/// What the kernel calls.
pub(crate) trait Host: Send + Sync + 'static {
    /// Sends frames; holds no virtual CPU.
    fn transmit(&self, queue: usize, frames: &[Transmit<'_>]);
    /// Whether it sends over another interface of the kernel's, and which offloads are in
    /// use. Must neither block nor call the kernel.
    fn state(&self, spliced: bool, offloads: Offloads);
}

/// An interface in the kernel. Dropping it removes it.
pub(crate) struct Vif(Made<abi::Vif>);

// SAFETY: the kernel's functions for an interface may be called from any thread; that it
// is not removed meanwhile is seen to by borrowing.
unsafe impl Send for Vif {}
// SAFETY: as above.
unsafe impl Sync for Vif {}

unsafe extern "C" fn transmit<H: Host>(
    host: *mut c_void,
    queue: u32,
    frames: *const abi::Tx,
    count: u32,
) {
    // SAFETY: the kernel passes what it was given, until the interface has gone.
    let host = unsafe { called::<H>(host) };
    // SAFETY: they are used within this call only.
    let frames = unsafe { Transmit::from_kernel(frames, count) };
    upcall::wrap(|| host.transmit(queue as usize, frames));
}

unsafe extern "C" fn state<H: Host>(host: *mut c_void, flags: u32, offloads: u32) {
    // SAFETY: as in `transmit`.
    let host = unsafe { called::<H>(host) };
    host.state(flags & abi::SPLICED != 0, Offloads::from_bits(offloads));
}

/// The kernel's table of functions of a host.
struct Table<H>(std::marker::PhantomData<H>);

impl<H: Host> Table<H> {
    const OPS: abi::Ops = abi::Ops {
        transmit: transmit::<H>,
        state: state::<H>,
    };
}

/// The room of a frame that the kernel takes over is counted in steps of a cluster.
const ROOM: usize = 2048;
/// Frames of this length and more are taken over, shorter ones are copied.
const WORTH_LEASING: usize = 4096;

impl Vif {
    /// Makes an interface.
    pub(crate) fn new<H: Host>(host: Arc<H>, config: &abi::Config) -> io::Result<Self> {
        Made::new(host, |host, made, name| {
            // SAFETY: table and host stay as long as the interface is there; the rest is
            // read and written during the call.
            unsafe { raw::rump_vif_create(&Table::<H>::OPS, host, config, made, name) }
        })
        .map(Self)
    }

    pub(crate) fn name(&self) -> &str {
        self.0.name()
    }

    /// Hands frames to the kernel.
    pub(crate) fn receive(&self, frames: &mut Vec<Received>) {
        while !frames.is_empty() {
            let count = frames.len().min(abi::BATCH);
            self.receive_batch(frames.drain(..count));
        }
    }

    /// Hands over at most as many as make a batch.
    fn receive_batch(&self, frames: impl ExactSizeIterator<Item = Received>) {
        if lwp::enter_here().is_err() {
            return;
        }
        let mut rx = [abi::Rx::EMPTY; abi::BATCH];
        let mut count = 0;
        // Those that the kernel copies must stay until it has.
        let mut kept = [const { None }; abi::BATCH];
        for (index, mut frame) in frames.enumerate().take(abi::BATCH) {
            let to = &mut rx[index];
            *to = abi::Rx {
                data: frame.buffer.as_mut_ptr(),
                len: frame.len as u32,
                room: frame.len.next_multiple_of(ROOM).min(frame.buffer.len()) as u32,
                offload: frame.offload,
                ..abi::Rx::EMPTY
            };
            // The kernel of an image calls no function of the program's with locks held.
            let may = KIND != Kind::Image && frame.buffer.can_lease();
            if frame.len >= WORTH_LEASING && may {
                to.lease = frame.buffer.into_lease();
            } else {
                kept[index] = Some(frame.buffer);
            }
            count += 1;
        }
        // SAFETY: so many frames; their memory is leased, or is in `kept` until after
        // the call.
        unsafe { raw::rump_vif_receive(self.0.raw(), rx.as_ptr(), count) };
        drop(kept);
    }

    pub(crate) fn set_offloads(&self, offloads: Offloads) {
        if lwp::enter_here().is_ok() {
            // SAFETY: the interface is there as long as this is.
            unsafe { raw::rump_vif_set_offloads(self.0.raw(), offloads.bits()) };
        }
    }

    pub(crate) fn set_link(&self, link: bool) {
        if lwp::enter_here().is_ok() {
            // SAFETY: as above.
            unsafe { raw::rump_vif_set_link(self.0.raw(), link.into()) };
        }
    }

    /// Sends a frame, without saying what becomes of it.
    pub(crate) fn send(&self, frame: &[u8]) {
        if lwp::enter_here().is_ok() {
            // SAFETY: the interface is there as long as this is, and the frame is copied
            // during the call.
            unsafe { raw::rump_vif_send(self.0.raw(), frame.as_ptr().cast(), frame.len() as u32) };
        }
    }

    /// Has it send over another interface, or to the host again.
    pub(crate) fn splice(&self, lower: Option<&CStr>) -> io::Result<()> {
        lwp::enter_here()?;
        let name = lower.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: as above; the name is read during the call.
        Errno::check(unsafe { raw::rump_vif_splice(self.0.raw(), name) })?;
        Ok(())
    }

    /// Takes no more of what comes to that interface.
    pub(crate) fn unsplice(&self, lower: &CStr) {
        if lwp::enter_here().is_ok() {
            // SAFETY: as above.
            unsafe { raw::rump_vif_unsplice(self.0.raw(), lower.as_ptr()) };
        }
    }

    /// Sends frames over the interface that the host is joined to; returns how many were taken.
    pub(crate) fn put(&self, frames: &[Transmit<'_>]) -> usize {
        if lwp::enter_here().is_err() {
            return 0;
        }
        let mut taken = 0;
        for batch in frames.chunks(abi::BATCH) {
            let pieces = batch.iter().flat_map(|frame| frame.pieces());
            let parts: Vec<abi::Part> = pieces.map(Piece::part).collect();
            let mut rest = parts.as_slice();
            let tx = |frame: &Transmit<'_>| {
                let (own, behind) = rest.split_at(frame.pieces().len());
                rest = behind;
                abi::Tx {
                    parts: own.as_ptr(),
                    nparts: own.len() as u32,
                    len: frame.len() as u32,
                    offload: frame.offload(),
                    pad: [0; 6],
                }
            };
            let tx: Vec<abi::Tx> = batch.iter().map(tx).collect();
            // SAFETY: the interface is there as long as this is; so many frames, whose parts
            // stay until after the call, which copies them.
            let count = unsafe { raw::rump_vif_put(self.0.raw(), tx.as_ptr(), tx.len() as u32) };
            taken += count as usize;
            if (count as usize) < tx.len() {
                break;
            }
        }
        taken
    }

    /// Joins the host to that interface: what comes to it is transmitted here, and what is
    /// put in here it sends.
    pub(crate) fn through(&self, lower: &CStr) -> io::Result<()> {
        lwp::enter_here()?;
        // SAFETY: as above; the name is read during the call.
        Errno::check(unsafe { raw::rump_vif_through(self.0.raw(), lower.as_ptr()) })?;
        Ok(())
    }

    pub(crate) fn stats(&self) -> io::Result<abi::Stats> {
        lwp::enter_here()?;
        let mut stats = abi::Stats::default();
        // SAFETY: as above, and the counters are written during the call.
        unsafe { raw::rump_vif_get_stats(self.0.raw(), &mut stats) };
        Ok(stats)
    }
}

impl Drop for Vif {
    fn drop(&mut self) {
        // Where the kernel is not, or runs no more, the interface stays, and its host.
        if lwp::enter_here().is_err() {
            return;
        }
        // SAFETY: made by `new`; `&mut self` says that no other call is under way. The
        // kernel calls the host no more when the first call has returned.
        unsafe {
            raw::rump_vif_destroy(self.0.raw());
            self.0.is_gone();
        }
    }
}
