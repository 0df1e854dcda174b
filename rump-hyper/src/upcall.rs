//! Calls up into the kernel, and the rule of the virtual CPU.
//!
//! A thread that runs kernel code holds a virtual CPU. A hypercall that may
//! block gives it up first and takes one back afterwards, or the kernel comes
//! to a standstill: rumpuser(3) calls that *wrapping*. [`wrap`] is the only
//! place that does it, so "who wraps" can be answered by searching for it.
//!
//! The kernel hands over its entry points once, in `rumpuser_init`.
#![allow(unsafe_code)]

use crate::abi::Hyperup;
use crate::host::Host;
use crate::sync::Mutex;
use crate::sync::waiter::Chain;
use alloc::boxed::Box;
use core::cell::RefCell;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

/// What `rumpuser_init` was given; null before. Never freed: a kernel lives as
/// long as its process.
static HYPERUP: AtomicPtr<Hyperup> = AtomicPtr::new(null_mut());

/// Stores the kernel's entry points.
pub fn install(hyperup: Hyperup) {
    HYPERUP.store(Box::into_raw(Box::new(hyperup)), Ordering::Release);
}

/// The kernel's entry points.
///
/// # Panics
/// If `rumpuser_init` has not been called: there is no kernel to call.
pub fn hyperup() -> &'static Hyperup {
    let hyperup = HYPERUP.load(Ordering::Acquire);
    assert!(!hyperup.is_null(), "rump: hypercall before rumpuser_init");
    // SAFETY: `install` leaked a box of it and nobody ever writes it again.
    unsafe { &*hyperup }
}

/// How the kernel knows a mutex.
fn address(interlock: Option<&Mutex>) -> *mut c_void {
    interlock.map_or(null_mut(), |mutex| {
        core::ptr::from_ref(mutex).cast_mut().cast()
    })
}

/// Gives up the big lock and the virtual CPU; returns how often the big lock
/// was held. An interlock that is the virtual CPU's own mutex is taken by the
/// kernel before the CPU becomes free.
///
/// Threads that the kernel signals on the way are not woken yet: they are
/// returned, to be woken when the caller has let go of what else they may need.
pub fn backend_unschedule<H: Host>(interlock: Option<&Mutex>) -> (c_int, Chain) {
    let mut nlocks = 0;
    let batch = Batch::default();
    if let Some(unschedule) = hyperup().backend_unschedule {
        let outer = H::slot();
        H::set_slot((&raw const batch).cast_mut().cast());
        // SAFETY: the kernel's own function, called from a thread that entered
        // a hypercall and so holds a virtual CPU, as the interface demands.
        unsafe { unschedule(0, &raw mut nlocks, address(interlock)) };
        H::set_slot(outer);
    }
    (nlocks, batch.0.into_inner())
}

/// Threads signalled by this thread while it gives its virtual CPU up.
#[derive(Default)]
struct Batch(RefCell<Chain>);

/// Wakes threads, or leaves them to the [`backend_unschedule`] that is under way
/// on this thread.
pub(crate) fn wake_soon<H: Host>(mut chain: Chain) {
    // SAFETY: the slot is null or the batch of a call that is under way on this
    // thread, further up its stack; nobody else uses the slot.
    let batch = unsafe { H::slot().cast::<Batch>().as_ref() };
    let Some(batch) = batch else {
        chain.wake::<H>();
        return;
    };
    let mut later = batch.0.borrow_mut();
    while let Some(node) = chain.pop() {
        // SAFETY: popped from a chain, so alive and in no other.
        unsafe { later.push(node) };
    }
}

/// Takes a virtual CPU and the big lock `nlocks` times. An interlock that is
/// the virtual CPU's own mutex is held on entry and free on return.
pub fn backend_schedule(nlocks: c_int, interlock: Option<&Mutex>) {
    if let Some(schedule) = hyperup().backend_schedule {
        // SAFETY: the kernel's own function; the thread gave its virtual CPU
        // up through `backend_unschedule`, or never had one.
        unsafe { schedule(nlocks, address(interlock)) };
    }
}

/// Runs something that may block, without the virtual CPU.
pub fn wrap<H: Host, R>(blocking: impl FnOnce() -> R) -> R {
    let (nlocks, signalled) = backend_unschedule::<H>(None);
    signalled.wake::<H>();
    let result = blocking();
    backend_schedule(nlocks, None);
    result
}

/// Runs something on a virtual CPU of its own, from a host thread that holds
/// none, between the kernel's schedule and unschedule.
pub fn scheduled<R>(inside: impl FnOnce(&Hyperup) -> R) -> R {
    let up = hyperup();
    if let Some(schedule) = up.schedule {
        // SAFETY: the kernel's function; the caller holds no virtual CPU.
        unsafe { schedule() };
    }
    let result = inside(up);
    if let Some(unschedule) = up.unschedule {
        // SAFETY: the kernel's function; undoes the call above.
        unsafe { unschedule() };
    }
    result
}

/// Gives the calling host thread an lwp of the kernel's own process.
pub fn adopt_thread() -> c_int {
    scheduled(|up| match up.lwproc_newlwp {
        // SAFETY: the kernel's function, called on a virtual CPU.
        Some(newlwp) => unsafe { newlwp(0) },
        None => 0,
    })
}
