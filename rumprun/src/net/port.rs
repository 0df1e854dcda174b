//! An interface of the kernel's, and what is behind it.
//!
//! The kernel's calls out come here; a thread brings it what comes. Neither the interface
//! nor what is behind it goes away before the machine does.

use crate::host::Machine;
use crate::sched;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::{CStr, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use rump_hyper::errno::Errno;
use rump_hyper::upcall;
use rump_hyper::vif::abi::{self, Config, Name, Ops, Rx, Tx, Vif};
use rump_hyper::vif::shape::{self, Scratch};
use rump_hyper::vif::{Backend, Batch, Offloads, Pool, Transmit};
use rump_sys::vif::{rump_vif_create, rump_vif_receive, rump_vif_set_link};

/// What the kernel calls.
struct Shared {
    backend: Arc<dyn Backend>,
    /// What the kernel takes, and whether the back end was told.
    offloads: AtomicU32,
    told: AtomicBool,
    lost: AtomicU64,
}

static OPS: Ops = Ops { transmit, state };

unsafe extern "C" fn transmit(host: *mut c_void, queue: u32, frames: *const Tx, count: u32) {
    // SAFETY: the kernel passes what it was given, which is there for good.
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
// SAFETY: the functions of `rump_vif.h` may be called from any thread, and it stays.
unsafe impl Send for Port {}

/// Makes an interface of the kernel's with this behind it, and returns its name. The calling
/// thread has an lwp.
///
/// # Errors
/// What the kernel says; `ENOMEM` if there is no memory for a thread.
pub fn attach(backend: Arc<dyn Backend>, address: [u8; 6]) -> Result<alloc::string::String, Errno> {
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
    let shared: &'static Shared = Box::leak(Box::new(Shared {
        backend,
        offloads: AtomicU32::new(0),
        told: AtomicBool::new(false),
        lost: AtomicU64::new(0),
    }));
    let (mut vif, mut name): (*mut Vif, Name) = (null_mut(), [0; abi::NAME_SIZE]);
    let host = core::ptr::from_ref(shared).cast_mut().cast();
    // SAFETY: table and host are there for good; the rest is read and written during the call.
    let error = unsafe { rump_vif_create(&OPS, host, &config, &mut vif, &mut name) };
    if error != 0 {
        return Err(Errno(error));
    }
    // SAFETY: the kernel wrote a name with its 0.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy();
    let port = Port(vif);
    sched::try_spawn(move || serve(shared, &port, link), &name, sched::KERNEL)
        .map_err(|_| Errno::NOMEM)?;
    Ok(name.into_owned())
}

/// Brings the kernel what comes, for ever.
fn serve(shared: &Shared, port: &Port, mut link: bool) {
    crate::kernel::give_lwp();
    let backend = &*shared.backend;
    // The kernel copies what it takes, so that no buffer stays with it.
    let mut batch = Batch::new(Pool::new(0));
    loop {
        let offloads = Offloads::from_bits(shared.offloads.load(Ordering::Acquire));
        if !shared.told.swap(true, Ordering::AcqRel) {
            // What it brings that was not asked for is dealt with below.
            let _ = backend.set_receive_offloads(offloads & Offloads::RX);
        }
        if backend.link() != link {
            link = !link;
            // SAFETY: the interface is there.
            unsafe { rump_vif_set_link(port.0, link.into()) };
        }
        if backend.receive(0, &mut batch).is_err() {
            // SAFETY: as above.
            unsafe { rump_vif_set_link(port.0, 0) };
            return;
        }
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
