//! The kernel's own threads.

use crate::sched;
use alloc::sync::Arc;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};
use rump_hyper::abi::{Lwp, ThreadMain};
use rump_hyper::errno::Errno;
use rump_hyper::host::ThreadSpec;

/// What the hypercalls keep of a thread.
#[derive(Debug, Default)]
pub(crate) struct PerThread {
    pub(super) lwp: AtomicPtr<Lwp>,
    pub(super) slot: AtomicPtr<c_void>,
    pub(super) errno: AtomicI32,
    /// Where it says that it has ended: an [`Arc`] of 0 or 1; null if nobody asks.
    ended: AtomicPtr<AtomicU32>,
}

impl PerThread {
    /// The thread's lwp; null if it has none.
    pub(crate) fn lwp(&self) -> *mut Lwp {
        self.lwp.load(Ordering::Relaxed)
    }
}

/// Priorities of NetBSD from which on they are those of interrupts (`sys/param.h`).
const SOFT_INTERRUPT: c_int = 160;

/// An address that a thread takes along.
struct Argument(*mut c_void);
// SAFETY: it is the kernel's to see that its threads may use it.
unsafe impl Send for Argument {}

pub(super) fn spawn(
    main: ThreadMain,
    arg: *mut c_void,
    spec: ThreadSpec<'_>,
) -> Result<*mut c_void, Errno> {
    let ended = spec.joinable.then(|| Arc::new(AtomicU32::new(0)));
    let own = ended.clone();
    let arg = Argument(arg);
    let start = move || {
        let arg = arg;
        let own = own.map_or(null_mut(), |own| Arc::into_raw(own).cast_mut());
        sched::with_current(|this| this.host.ended.store(own, Ordering::Relaxed));
        // SAFETY: the kernel's function with its own argument. Nothing unwinds in an image.
        unsafe { main(arg.0) };
        exit()
    };
    let priority = if spec.priority >= SOFT_INTERRUPT {
        sched::INTERRUPT
    } else {
        sched::KERNEL
    };
    sched::try_spawn(start, &super::lossy(spec.name), priority).map_err(|_| Errno::NOMEM)?;
    Ok(ended.map_or(null_mut(), |ended| Arc::into_raw(ended).cast_mut().cast()))
}

/// Ends the calling thread. Nothing on its stack needs to be dropped.
pub(super) fn exit() -> ! {
    let ended = sched::with_current(|this| this.host.ended.swap(null_mut(), Ordering::Relaxed));
    if !ended.is_null() {
        // SAFETY: `spawn` put a count of an `Arc` there for this thread.
        let ended = unsafe { Arc::from_raw(ended) };
        ended.store(1, Ordering::Release);
        let address = ended.as_ptr().addr() as u64;
        drop(ended);
        sched::unpark(address, usize::MAX);
    }
    sched::exit()
}

/// Waits until a thread has ended.
///
/// # Safety
/// The cookie came from `spawn` and has not been joined.
pub(super) unsafe fn join(cookie: *mut c_void) {
    // SAFETY: by contract, a count of an `Arc`.
    let ended = unsafe { Arc::from_raw(cookie.cast::<AtomicU32>()) };
    while ended.load(Ordering::Acquire) == 0 {
        sched::park(&ended, 0, None);
    }
}
