//! Threads of the process.
//!
//! Kernel threads are made with pthreads rather than `std::thread`: they end by
//! `pthread_exit` from deep inside C, which unwinds, and there must be no Rust
//! destructor on the way. Names are cut to the 15 bytes that Linux has room for.
//! Stacks are 1 MiB, ample for the kernel's own 16 KiB and a hypercall's work on
//! top, and small enough that Linux does not back them with huge pages.
#![allow(unsafe_code)]

use super::variables;
use crate::abi::{Lwp, ThreadMain};
use crate::errno::Errno;
use crate::host::ThreadSpec;
use core::ffi::{CStr, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, Ordering};
use std::boxed::Box;
use std::time::Duration;

const STACK: usize = 1 << 20;
/// Longest name, with its NUL (pthread_setname_np(3)).
const NAME: usize = 16;
/// Tries while the host is short of threads, 10 ms apart.
const TRIES: usize = 10;

#[inline]
pub(super) fn curlwp() -> *mut Lwp {
    variables::with(|thread| thread.curlwp.get())
}

#[inline]
pub(super) fn set_curlwp(lwp: *mut Lwp) {
    variables::with(|thread| thread.curlwp.set(lwp));
}

#[inline]
pub(super) fn token() -> *mut c_void {
    variables::with(|thread| thread.slot.as_ptr().cast())
}

pub(super) fn slot() -> *mut c_void {
    variables::with(|thread| thread.slot.get())
}

pub(super) fn set_slot(pointer: *mut c_void) {
    variables::with(|thread| thread.slot.set(pointer));
}

#[inline]
pub(super) fn set_errno(errno: c_int) {
    variables::with(|thread| thread.errno.set(errno));
    // C programs on the rump kernel's interface look there (rump(3)).
    // SAFETY: the calling thread's own errno.
    unsafe { *libc::__errno_location() = errno };
}

/// What the kernel last stored as the calling thread's errno: NetBSD's number,
/// 0 if its last system call succeeded.
#[inline]
pub fn errno() -> c_int {
    variables::with(|thread| thread.errno.get())
}

// Declared here because they unwind, which the libc crate does not say.
unsafe extern "C-unwind" {
    fn pthread_exit(value: *mut c_void) -> !;
    fn pthread_create(
        thread: *mut libc::pthread_t,
        attributes: *const libc::pthread_attr_t,
        main: ThreadMain,
        arg: *mut c_void,
    ) -> c_int;
}

struct Start {
    main: ThreadMain,
    arg: *mut c_void,
    name: [u8; NAME],
}

/// Names the thread and becomes it.
unsafe extern "C-unwind" fn start(arg: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn` leaked it for this thread alone. It is copied out, so
    // nothing here needs dropping when the thread unwinds.
    let Start { main, arg, name } = *unsafe { Box::from_raw(arg.cast::<Start>()) };
    if name[0] != 0 {
        // SAFETY: a C string that fits, and the calling thread.
        unsafe { libc::pthread_setname_np(libc::pthread_self(), name.as_ptr().cast()) };
    }
    // SAFETY: the kernel's function with its own argument.
    unsafe { main(arg) }
}

fn short_name(name: Option<&CStr>) -> [u8; NAME] {
    let mut short = [0; NAME];
    let bytes = name.map_or(&[][..], CStr::to_bytes);
    let len = bytes.len().min(NAME - 1);
    short[..len].copy_from_slice(&bytes[..len]);
    short
}

pub(super) fn spawn(
    main: ThreadMain,
    arg: *mut c_void,
    spec: ThreadSpec<'_>,
) -> Result<*mut c_void, Errno> {
    let name = short_name(spec.name);
    let start_arg = Box::into_raw(Box::new(Start { main, arg, name }));
    let mut thread: libc::pthread_t = 0;
    let mut error = 0;
    for _ in 0..TRIES {
        error = create(&mut thread, start_arg.cast(), spec.joinable);
        if error != libc::EAGAIN {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    if error != 0 {
        // SAFETY: no thread was started, so it is still ours alone.
        drop(unsafe { Box::from_raw(start_arg) });
        return Err(super::errno::translate(error));
    }
    if !spec.joinable {
        return Ok(null_mut());
    }
    Ok(Box::into_raw(Box::new(thread)).cast())
}

fn create(thread: &mut libc::pthread_t, arg: *mut c_void, joinable: bool) -> c_int {
    let mut attributes = core::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the attributes are initialised by the first call, used, and
    // destroyed by the last; `start` takes the argument over.
    unsafe {
        let error = libc::pthread_attr_init(attributes.as_mut_ptr());
        if error != 0 {
            return error;
        }
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK);
        if !joinable {
            libc::pthread_attr_setdetachstate(
                attributes.as_mut_ptr(),
                libc::PTHREAD_CREATE_DETACHED,
            );
        }
        let error = pthread_create(thread, attributes.as_ptr(), start, arg);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        error
    }
}

pub(super) fn exit() -> ! {
    // SAFETY: the calling thread was made by `spawn`, and the frames above it
    // are C and `start`, none of which has anything to drop.
    unsafe { pthread_exit(null_mut()) }
}

/// # Safety
/// The cookie came from `spawn` and has not been joined.
pub(super) unsafe fn join(cookie: *mut c_void) -> Result<(), Errno> {
    // SAFETY: by contract, `spawn` leaked it.
    let thread = *unsafe { Box::from_raw(cookie.cast::<libc::pthread_t>()) };
    // SAFETY: a joinable thread that nobody else joins.
    match unsafe { libc::pthread_join(thread, null_mut()) } {
        0 => Ok(()),
        error => Err(super::errno::translate(error)),
    }
}

/// How long a thread with [short turns](short_turns) runs at a time, in nanoseconds.
const TURN: u64 = 200_000;

fn scheduling() -> Option<libc::sched_attr> {
    // SAFETY: a structure of plain data.
    let mut attributes: libc::sched_attr = unsafe { core::mem::zeroed() };
    let size = size_of::<libc::sched_attr>();
    // SAFETY: so much is written, of the calling thread.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    (got == 0).then_some(attributes)
}

/// From now on this thread, and those that it starts, run for 200 µs at a time while others
/// want the CPU, and get it the sooner when they are woken, before threads that run for
/// milliseconds: for who has little to do and is waited for. Its share stays as it is. That is
/// `sched_runtime` of sched_setattr(2), since Linux 6.12; before, or where it is forbidden, all
/// stays as it is.
pub fn short_turns() {
    let ordinary = |of: &libc::sched_attr| of.sched_policy == libc::SCHED_OTHER.cast_unsigned();
    if let Some(mut attributes) = scheduling().filter(ordinary) {
        attributes.sched_runtime = TURN;
        // SAFETY: the attributes are read, and are the calling thread's.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    }
}

static FORKED: AtomicBool = AtomicBool::new(false);

/// Whether this process is a fork of the one that booted the kernel. The
/// kernel's threads do not exist here: no call into it can succeed.
#[inline]
pub fn forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

extern "C" fn in_child() {
    FORKED.store(true, Ordering::Relaxed);
}

/// Has children of this process marked.
pub(super) fn watch_forks() -> Result<(), Errno> {
    // SAFETY: the handler only stores to an atomic.
    match unsafe { libc::pthread_atfork(None, None, Some(in_child)) } {
        0 => Ok(()),
        error => Err(super::errno::translate(error)),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn turns_become_shorter_and_nothing_else_changes() {
        let turns = std::thread::spawn(|| {
            let before = scheduling().unwrap();
            short_turns();
            let child = std::thread::spawn(|| scheduling().unwrap());
            (before, scheduling().unwrap(), child.join().unwrap())
        });
        let (before, after, child) = turns.join().unwrap();
        for now in [after, child] {
            assert_eq!(now.sched_nice, before.sched_nice);
            assert_eq!(now.sched_policy, before.sched_policy);
            // Linux before 6.12 has none.
            assert!([TURN, 0].contains(&now.sched_runtime), "{now:?}");
        }
    }
}
