//! An interface of the kernel's, and what is behind it.
//!
//! The kernel's calls out come here; a thread brings it what comes, and removes the interface
//! when it is told to ([`Attached::detach`]): it is the only one that calls the kernel for it,
//! but for the kernel's own threads, whose calls have ended when it is removed.

use crate::host::Machine;
use crate::sched;
use alloc::string::String;
use alloc::sync::Arc;
use core::ffi::{CStr, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use rump_hyper::errno::Errno;
use rump_hyper::upcall;
use rump_hyper::vif::abi::{self, Config, Name, Ops, Rx, Tx, Vif};
use rump_hyper::vif::shape::{self, Scratch};
use rump_hyper::vif::{Backend, Batch, Offloads, Pool, Transmit};
use rump_sys::vif::{rump_vif_create, rump_vif_destroy, rump_vif_receive, rump_vif_set_link};

/// What the kernel calls.
#[derive(Debug)]
struct Shared {
    backend: Arc<dyn Backend>,
    /// What the kernel takes, and whether the back end was told.
    offloads: AtomicU32,
    told: AtomicBool,
    lost: AtomicU64,
    /// 1 when the thread is to remove the interface and to end.
    stop: AtomicU32,
}

static OPS: Ops = Ops { transmit, state };

unsafe extern "C" fn transmit(host: *mut c_void, queue: u32, frames: *const Tx, count: u32) {
    // SAFETY: the kernel passes what it was given, which is there until the interface is not.
    let shared = unsafe { &*host.cast::<Shared>() };
    // SAFETY: they are used within this call only.
    let frames = unsafe { Transmit::from_kernel(frames, count) };
    upcall::wrap::<Machine, _>(|| {
        let mut scratch = Scratch::default();
        let sent = shape::send(
            frames,
            shared.backend.offers(),
            || &mut scratch,
            |frames| shared.backend.send(queue as usize, frames),
        );
        let lost = frames.len().saturating_sub(sent.unwrap_or(0));
        shared.lost.fetch_add(lost as u64, Ordering::Relaxed);
    });
}

unsafe extern "C" fn state(host: *mut c_void, _flags: u32, offloads: u32) {
    // SAFETY: as in `transmit`.
    let shared = unsafe { &*host.cast::<Shared>() };
    if shared.offloads.swap(offloads, Ordering::AcqRel) != offloads {
        shared.told.store(false, Ordering::Release);
        shared.backend.wake();
    }
}

/// The kernel's interface, for the thread that serves it.
struct Port(*mut Vif);
// SAFETY: the functions of `rump_vif.h` may be called from any thread, and it stays until the
// thread that has this removes it.
unsafe impl Send for Port {}

/// An interface that was made here.
#[derive(Debug)]
pub struct Attached {
    name: String,
    shared: Arc<Shared>,
    /// 1 when the thread has removed the interface, and has nothing more of what is behind it.
    ended: Arc<AtomicU32>,
}

impl Attached {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Removes it. What was behind it is not used any more when this returns.
    pub fn detach(self) {
        let stop = &self.shared.stop;
        stop.store(1, Ordering::Release);
        self.shared.backend.wake();
        sched::unpark(stop.as_ptr().addr() as u64, usize::MAX);
        drop(self.shared);
        while self.ended.load(Ordering::Acquire) == 0 {
            sched::park(&self.ended, 0, None);
        }
    }
}

/// Makes an interface of the kernel's with this behind it, for good, and returns its name. The
/// calling thread has an lwp.
///
/// # Errors
/// What the kernel says; `ENOMEM` if there is no memory for a thread.
pub fn attach(backend: Arc<dyn Backend>, address: [u8; 6]) -> Result<String, Errno> {
    attach_for_now(backend, address).map(|attached| attached.name)
}

/// The same, until it is detached.
///
/// # Errors
/// As [`attach`].
pub fn attach_for_now(backend: Arc<dyn Backend>, address: [u8; 6]) -> Result<Attached, Errno> {
    let link = backend.link();
    let config = Config {
        version: abi::VERSION,
        unit: -1,
        mtu: 0,
        offloads: backend.offers().bits(),
        address,
        link: link.into(),
        pad: 0,
    };
    let shared = Arc::new(Shared {
        backend,
        offloads: AtomicU32::new(0),
        told: AtomicBool::new(false),
        lost: AtomicU64::new(0),
        stop: AtomicU32::new(0),
    });
    let (mut vif, mut name): (*mut Vif, Name) = (null_mut(), [0; abi::NAME_SIZE]);
    let host = Arc::as_ptr(&shared).cast_mut().cast();
    // SAFETY: the table is there for good, the host until the thread below has removed the
    // interface, which has a count of it; the rest is read and written during the call.
    let error = unsafe { rump_vif_create(&OPS, host, &config, &mut vif, &mut name) };
    if error != 0 {
        return Err(Errno(error));
    }
    // SAFETY: the kernel wrote a name with its 0.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy();
    let port = Port(vif);
    let ended = Arc::new(AtomicU32::new(0));
    let (ours, end) = (Arc::clone(&shared), Arc::clone(&ended));
    let main = move || {
        crate::kernel::give_lwp();
        serve(&ours, &port, link);
        // SAFETY: this thread is the only one that calls for it, and does so no more.
        unsafe { rump_vif_destroy(port.0) };
        crate::kernel::end_lwp();
        drop(ours);
        end.store(1, Ordering::Release);
        sched::unpark(end.as_ptr().addr() as u64, usize::MAX);
    };
    if sched::try_spawn(main, &name, sched::KERNEL).is_err() {
        // SAFETY: nobody else knows of it.
        unsafe { rump_vif_destroy(vif) };
        return Err(Errno::NOMEM);
    }
    Ok(Attached {
        name: name.into_owned(),
        shared,
        ended,
    })
}

/// Brings the kernel what comes, until it is told to stop.
fn serve(shared: &Shared, port: &Port, mut link: bool) {
    let backend = &*shared.backend;
    // The kernel copies what it takes, so that no buffer stays with it.
    let mut batch = Batch::new(Pool::new(0));
    let mut failed = false;
    while shared.stop.load(Ordering::Acquire) == 0 {
        let offloads = Offloads::from_bits(shared.offloads.load(Ordering::Acquire));
        if !shared.told.swap(true, Ordering::AcqRel) {
            // What it brings that was not asked for is dealt with below.
            let _ = backend.set_receive_offloads(offloads & Offloads::RX);
        }
        let has = backend.link() && !failed;
        if has != link {
            link = has;
            // SAFETY: the interface is there.
            unsafe { rump_vif_set_link(port.0, link.into()) };
        }
        if failed {
            // Nothing will come any more.
            sched::park(&shared.stop, 0, None);
            continue;
        }
        failed = backend.receive(0, &mut batch).is_err();
        shape::received(&mut batch, offloads);
        deliver(port, &mut batch);
    }
}

fn deliver(port: &Port, batch: &mut Batch) {
    for frames in batch.take().chunks_mut(abi::BATCH) {
        let mut rx = [Rx::EMPTY; abi::BATCH];
        for (to, frame) in rx.iter_mut().zip(&mut *frames) {
            to.data = frame.buffer.as_mut_ptr();
            to.len = frame.len as u32;
            to.room = frame.len as u32;
            to.offload = frame.offload;
        }
        // SAFETY: so many frames, whose memory is there until after the call, in which the
        // kernel copies them.
        unsafe { rump_vif_receive(port.0, rx.as_ptr(), frames.len() as u32) };
    }
    batch.take().clear();
}
