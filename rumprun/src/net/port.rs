//! An interface of the kernel's, and what is behind it.
//!
//! The kernel's calls out come here; a thread for each queue of what is behind it brings it what
//! comes. The first of them removes the interface when they are told to end
//! ([`Attached::detach`]) and all others have: they are the only ones that call the kernel for it,
//! but for the kernel's own threads, whose calls have ended when it is removed.

use crate::host::Machine;
use crate::sched;
use alloc::format;
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
    /// Nothing will come any more: what is behind it has failed.
    failed: AtomicBool,
    /// 1 when the threads are to end, and the first of them is to remove the interface.
    stop: AtomicU32,
    /// How many threads beside the first have not ended yet.
    others: AtomicU32,
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

impl Shared {
    /// Has all threads look whether they are to end.
    fn wake(&self) {
        self.backend.wake();
        sched::unpark(self.stop.as_ptr().addr() as u64, usize::MAX);
    }

    fn is_to_stop(&self) -> bool {
        self.stop.load(Ordering::Acquire) != 0
    }

    fn stop(&self) {
        self.stop.store(1, Ordering::Release);
        self.wake();
    }

    /// Waits until the other threads have ended.
    fn wait_for_others(&self) {
        loop {
            match self.others.load(Ordering::Acquire) {
                0 => return,
                others => sched::park(&self.others, others, None),
            };
        }
    }
}

/// The kernel's interface, for the threads that serve it.
#[derive(Clone, Copy)]
struct Port(*mut Vif);
// SAFETY: the functions of `rump_vif.h` may be called from any thread, and it stays until the
// first of the threads that have this removes it, when the others have ended.
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
        self.shared.stop();
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
        failed: AtomicBool::new(false),
        stop: AtomicU32::new(0),
        others: AtomicU32::new(0),
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
    let give_up = || {
        shared.stop();
        shared.wait_for_others();
        // SAFETY: nobody else knows of it any more.
        unsafe { rump_vif_destroy(vif) };
        Errno::NOMEM
    };
    for queue in 1..shared.backend.queues() {
        spawn_other(&shared, port, queue, &name).map_err(|_| give_up())?;
    }
    let ended = Arc::new(AtomicU32::new(0));
    let (ours, end) = (Arc::clone(&shared), Arc::clone(&ended));
    let main = move || {
        crate::kernel::give_lwp();
        serve(&ours, port, link);
        ours.wait_for_others();
        // SAFETY: this thread is the only one left that calls for it, and does so no more.
        unsafe { rump_vif_destroy(port.0) };
        crate::kernel::end_lwp();
        drop(ours);
        end.store(1, Ordering::Release);
        sched::unpark(end.as_ptr().addr() as u64, usize::MAX);
    };
    if sched::try_spawn(main, &name, sched::KERNEL).is_err() {
        return Err(give_up());
    }
    Ok(Attached {
        name: name.into_owned(),
        shared,
        ended,
    })
}

/// Starts the thread of a queue that is not the first.
fn spawn_other(shared: &Arc<Shared>, port: Port, queue: usize, name: &str) -> Result<(), Errno> {
    let ours = Arc::clone(shared);
    let main = move || {
        crate::kernel::give_lwp();
        let mut batch = Batch::new(Pool::new(0));
        while !ours.is_to_stop() {
            receive(&ours, port, queue, &mut batch);
        }
        crate::kernel::end_lwp();
        let others = &ours.others;
        others.fetch_sub(1, Ordering::AcqRel);
        sched::unpark(others.as_ptr().addr() as u64, usize::MAX);
    };
    shared.others.fetch_add(1, Ordering::AcqRel);
    let spawned = sched::try_spawn(main, &format!("{name}.{queue}"), sched::KERNEL);
    spawned.map(drop).map_err(|_| {
        shared.others.fetch_sub(1, Ordering::AcqRel);
        Errno::NOMEM
    })
}

/// Brings the kernel what comes over the first queue, and tells it of the link, until it is told
/// to stop.
fn serve(shared: &Shared, port: Port, mut link: bool) {
    let backend = &*shared.backend;
    // The kernel copies what it takes, so that no buffer stays with it.
    let mut batch = Batch::new(Pool::new(0));
    while !shared.is_to_stop() {
        if !shared.told.swap(true, Ordering::AcqRel) {
            let offloads = Offloads::from_bits(shared.offloads.load(Ordering::Acquire));
            // What it brings that was not asked for is dealt with below.
            let _ = backend.set_receive_offloads(offloads & Offloads::RX);
        }
        let has = backend.link() && !shared.failed.load(Ordering::Acquire);
        if has != link {
            link = has;
            // SAFETY: the interface is there.
            unsafe { rump_vif_set_link(port.0, link.into()) };
        }
        receive(shared, port, 0, &mut batch);
    }
}

/// Waits for what comes over a queue, and brings it to the kernel.
fn receive(shared: &Shared, port: Port, queue: usize, batch: &mut Batch) {
    if shared.failed.load(Ordering::Acquire) {
        // Nothing will come any more.
        sched::park(&shared.stop, 0, None);
        return;
    }
    if shared.backend.receive(queue, batch).is_err() {
        shared.failed.store(true, Ordering::Release);
        shared.wake();
    }
    let offloads = Offloads::from_bits(shared.offloads.load(Ordering::Acquire));
    shape::received_in_parts(batch, offloads, |batch| deliver(port, batch));
    deliver(port, batch);
}

fn deliver(port: Port, batch: &mut Batch) {
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
