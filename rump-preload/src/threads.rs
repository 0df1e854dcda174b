//! Threads that the kernel makes are not the program's, whose own calls are handed over.
#![allow(unsafe_code)]

use crate::dispatch;
use crate::inside::{Inside, is_inside, stay};
use crate::next::Next;
use libc::{c_int, c_void, pthread_attr_t, pthread_t};
use std::mem::MaybeUninit;
use std::ptr::null_mut;

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Create =
    unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;

// SAFETY: its type.
static CREATE: Next<Create> = unsafe { Next::new(c"pthread_create") };

/// What a thread begins with.
struct Begin {
    start: Start,
    argument: *mut c_void,
}

/// While this lives, the thread and those that it makes get no signals: the program's go to
/// threads of the program's, which may block them all to wait for one. What a fault raises is
/// not blocked.
struct Blocked(libc::sigset_t);

impl Blocked {
    fn all() -> Self {
        let [mut all, mut before] = [MaybeUninit::<libc::sigset_t>::zeroed(); 2];
        // SAFETY: sets that live here; all zero is one, too.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            for fault in [
                libc::SIGSEGV,
                libc::SIGBUS,
                libc::SIGFPE,
                libc::SIGILL,
                libc::SIGTRAP,
            ] {
                libc::sigdelset(all.as_mut_ptr(), fault);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Self(before.assume_init())
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the mask of before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, null_mut()) };
    }
}

extern "C" fn begin(begin: *mut c_void) -> *mut c_void {
    // SAFETY: made by `pthread_create` below, and given to this thread alone.
    let begin = unsafe { Box::from_raw(begin.cast::<Begin>()) };
    stay();
    (begin.start)(begin.argument)
}

extern "C" fn begin_armed(begin: *mut c_void) -> *mut c_void {
    dispatch::arm();
    let Begin { start, argument } = {
        let _inside = Inside::enter();
        // SAFETY: as above.
        *unsafe { Box::from_raw(begin.cast::<Begin>()) }
    };
    start(argument)
}

/// pthread_create(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    let Some(create) = CREATE.get() else {
        return libc::EAGAIN;
    };
    let is_ours = is_inside();
    if !is_ours && !dispatch::is_on() {
        // SAFETY: handed on.
        return unsafe { create(thread, attributes, start, argument) };
    }
    let _inside = Inside::enter();
    let signals = is_ours.then(Blocked::all);
    let begin = if is_ours { begin } else { begin_armed };
    let first = Box::into_raw(Box::new(Begin { start, argument }));
    // SAFETY: the caller's, and what the new thread begins with.
    let result = unsafe { create(thread, attributes, begin, first.cast()) };
    drop(signals);
    if result != 0 {
        // SAFETY: no thread has got it.
        drop(unsafe { Box::from_raw(first) });
    }
    result
}
