//! Lwps: what a thread of the host is inside the kernel. `rump_lwproc(3)`
//!
//! An lwp is an allocation whose address is its handle. Its process never changes, so
//! that a thread reads it from its own lwp without the lock. All else about it is under
//! the lock. It also has the condition variable that its thread sleeps on.
//!
//! A thread that has none and makes a system call is given one for the call, in the
//! first process.
#![allow(unsafe_code)]

use crate::hypercall::{self, Cv};
use crate::kernel::{self, Guard};
use crate::process::{FIRST_PROCESS, Pid};
use alloc::boxed::Box;
use alloc::string::String;
use core::cell::{Cell, RefCell};
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use rump_abi as abi;
use rump_hyper::abi::lwp_op;
use rump_hyper::errno::Errno;

/// A thread of the kernel.
#[derive(Debug)]
pub(crate) struct Lwp {
    pub(crate) pid: Pid,
    pub(crate) cv: Cv,
    /// The descriptor that its call is about, and the file that it stood for.
    pub(crate) using: Cell<Option<(c_int, usize)>>,
    lacked: RefCell<Lacked>,
}

/// What the last call that failed found to be absent.
#[derive(Debug, Default)]
struct Lacked {
    what: Option<String>,
    /// It was in the call that is under way.
    now: bool,
}

/// Keeps for the calling thread what its call found to be absent.
pub(crate) fn note_lack(what: String) {
    if let Some(lwp) = current() {
        let what = Some(what);
        *lwp.lacked.borrow_mut() = Lacked { what, now: true };
    }
}

/// A call of this thread's has failed. What an earlier one lacked is not why.
pub(crate) fn note_failure() {
    if let Some(lwp) = current() {
        let mut lacked = lwp.lacked.borrow_mut();
        if !core::mem::take(&mut lacked.now) {
            lacked.what = None;
        }
    }
}

/// Writes what this thread's last call that failed found to be absent, as far as there is
/// room, and tells how much that was; 0 if it failed for another reason.
///
/// # Safety
/// So many bytes may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_lite_lacked(buf: *mut u8, room: usize) -> usize {
    let Some(lwp) = current() else {
        return 0;
    };
    let lacked = lwp.lacked.borrow();
    let what = lacked.what.as_deref().unwrap_or_default();
    let length = what.floor_char_boundary(room);
    // SAFETY: no more than there is room, by contract.
    unsafe { buf.copy_from_nonoverlapping(what.as_ptr(), length) };
    length
}

type Raw = *mut rump_hyper::abi::Lwp;

/// The lwp of the calling thread.
#[inline]
pub(crate) fn current() -> Option<&'static Lwp> {
    // SAFETY: null, or made by `create`; it lives until this very thread releases it.
    unsafe { hypercall::curlwp().cast::<Lwp>().as_ref() }
}

/// Makes an lwp in a process, which must exist.
fn create(kernel: &mut Guard, pid: Pid) -> Raw {
    kernel
        .processes
        .get_mut(pid)
        .expect("the process exists")
        .lwps += 1;
    let raw = Box::into_raw(Box::new(Lwp {
        pid,
        cv: Cv::new(),
        using: Cell::default(),
        lacked: RefCell::default(),
    }))
    .cast();
    hypercall::lwp_op(lwp_op::CREATE, raw);
    raw
}

/// Makes another lwp, or none, the calling thread's.
fn switch(to: Raw) {
    let from = hypercall::curlwp();
    if from != to {
        if !from.is_null() {
            hypercall::lwp_op(lwp_op::CLEAR, from);
        }
        if !to.is_null() {
            hypercall::lwp_op(lwp_op::SET, to);
        }
    }
}

/// Ends the calling thread's lwp, and its process with the last one.
fn release(kernel: &mut Guard) {
    let raw = hypercall::curlwp();
    switch(null_mut());
    hypercall::lwp_op(lwp_op::DESTROY, raw);
    // SAFETY: made by `create`, was this thread's alone, and no longer is.
    let lwp = unsafe { Box::from_raw(raw.cast::<Lwp>()) };
    kernel.lwp_ends(lwp.pid);
}

/// Runs a system call on the calling thread's lwp, or on one made for it.
#[inline]
pub(crate) fn enter<R>(
    call: impl FnOnce(&mut Guard, &Lwp) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let mut kernel = kernel::lock().ok_or(Errno::NOSYS)?;
    match current() {
        Some(lwp) => call(&mut kernel, lwp),
        None => enter_implicitly(&mut kernel, call),
    }
}

#[cold]
fn enter_implicitly<R>(
    kernel: &mut Guard,
    call: impl FnOnce(&mut Guard, &Lwp) -> Result<R, Errno>,
) -> Result<R, Errno> {
    let lwp = create(kernel, FIRST_PROCESS);
    switch(lwp);
    let result = match current() {
        Some(lwp) => call(kernel, lwp),
        None => Err(Errno::SRCH),
    };
    release(kernel);
    result
}

/// C's convention: 0, or an error's number.
fn status(result: Result<(), Errno>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(errno) => errno.0,
    }
}

/// Makes a process and makes its first lwp the calling thread's. The flags say what
/// becomes of the descriptors (`RUMP_RFFD_SHARE` and so on).
///
/// # Safety
/// None beyond rump_lwproc(3): the kernel has booted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_pub_lwproc_rfork(flags: c_int) -> c_int {
    status(fork(flags))
}

fn fork(flags: c_int) -> Result<(), Errno> {
    let mut kernel = kernel::lock().ok_or(Errno::NOSYS)?;
    let parent = current().map_or(FIRST_PROCESS, |lwp| lwp.pid);
    let pid = match flags {
        abi::RUMP_RFFD_CLEAR => kernel.new_process(None)?,
        abi::RUMP_RFFD_COPY => kernel.new_process(Some(parent))?,
        abi::RUMP_RFFD_SHARE => {
            return Err(kernel.lacks(
                format_args!("processes that share descriptors (RUMP_RFFD_SHARE)"),
                Errno::OPNOTSUPP,
            ));
        }
        _ => return Err(Errno::INVAL),
    };
    let lwp = create(&mut kernel, pid);
    switch(lwp);
    Ok(())
}

/// Makes an lwp of the process and makes it the calling thread's.
///
/// # Safety
/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_pub_lwproc_newlwp(pid: c_int) -> c_int {
    let Some(mut kernel) = kernel::lock() else {
        return Errno::NOSYS.0;
    };
    if kernel.processes.get_mut(pid).is_none() {
        return Errno::SRCH.0;
    }
    let lwp = create(&mut kernel, pid);
    switch(lwp);
    0
}

/// Makes an lwp the calling thread's; null for none.
///
/// # Safety
/// The lwp lives, and is no other thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_pub_lwproc_switch(lwp: *mut c_void) {
    switch(lwp.cast());
}

/// Ends the calling thread's lwp.
///
/// # Safety
/// The thread has one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_pub_lwproc_releaselwp() {
    assert!(current().is_some(), "rump-lite: no lwp to release");
    if let Some(mut kernel) = kernel::lock() {
        release(&mut kernel);
    }
}

/// The calling thread's lwp, or null.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_pub_lwproc_curlwp() -> *mut c_void {
    hypercall::curlwp().cast()
}

/// What the hypervisor calls the kernel by. There are no virtual CPUs to be scheduled:
/// a thread in the kernel holds the lock, and gives it up when it sleeps.
pub(crate) mod upcalls {
    use super::*;
    use core::ffi::{c_char, c_long};
    use rump_hyper::abi::Hyperup;

    unsafe extern "C" fn nothing() {}

    unsafe extern "C" fn backend_unschedule(
        _count: c_int,
        held: *mut c_int,
        _interlock: *mut c_void,
    ) {
        // SAFETY: null, or a place for the number, by the interface.
        if let Some(held) = unsafe { held.as_mut() } {
            *held = 0;
        }
    }

    unsafe extern "C" fn backend_schedule(_count: c_int, _interlock: *mut c_void) {}

    unsafe extern "C" fn lwproc_switch(lwp: Raw) {
        switch(lwp);
    }

    unsafe extern "C" fn lwproc_rfork(
        _client: *mut c_void,
        flags: c_int,
        _name: *const c_char,
    ) -> c_int {
        status(fork(flags))
    }

    unsafe extern "C" fn lwproc_curlwp() -> Raw {
        hypercall::curlwp()
    }

    unsafe extern "C" fn syscall(
        _number: c_int,
        _args: *mut c_void,
        _result: *mut c_long,
    ) -> c_int {
        Errno::NOSYS.0
    }

    unsafe extern "C" fn execnotify(_name: *const c_char) {}

    unsafe extern "C" fn getpid() -> c_int {
        current().map_or(FIRST_PROCESS, |lwp| lwp.pid)
    }

    /// The table for `rumpuser_init`.
    pub(crate) fn table() -> Hyperup {
        Hyperup {
            schedule: Some(nothing),
            unschedule: Some(nothing),
            backend_unschedule: Some(backend_unschedule),
            backend_schedule: Some(backend_schedule),
            lwproc_switch: Some(lwproc_switch),
            lwproc_release: Some(rump_pub_lwproc_releaselwp),
            lwproc_rfork: Some(lwproc_rfork),
            lwproc_newlwp: Some(rump_pub_lwproc_newlwp),
            lwproc_curlwp: Some(lwproc_curlwp),
            syscall: Some(syscall),
            lwpexit: Some(nothing),
            execnotify: Some(execnotify),
            getpid: Some(getpid),
            extra: [0; 8],
        }
    }
}
