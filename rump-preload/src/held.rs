//! Signals that come while a thread is in the kernel: they are handled when it has left.
//!
//! A handler may use sockets, and the thread may hold the kernel's locks. So the signal is given
//! back to Linux, for this thread, and all are blocked; once the thread is out, the mask of
//! before lets Linux deliver what is pending, in its order, with its masks and stacks. The mask
//! that the program thinks the thread has is noted meanwhile.
#![allow(unsafe_code)]

use crate::answer::linuxs;
use crate::signals;
use libc::{SIG_SETMASK, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
use libc::{c_int, siginfo_t, ucontext_t};
use rump_linux::raw::general::{
    __NR_getpid, __NR_gettid, __NR_rt_sigprocmask, __NR_rt_tgsigqueueinfo, __NR_tgkill,
};
use std::cell::Cell;

/// Masks of Linux's: a bit for each signal.
pub(crate) type Mask = u64;

const fn bits(signals: &[c_int]) -> Mask {
    let (mut mask, mut at) = (0, 0);
    while at < signals.len() {
        mask |= 1 << (signals[at] - 1);
        at += 1;
    }
    mask
}

/// All that do not stand for an instruction of the thread's own.
const ALL: Mask = !bits(&[SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS]);
/// Calls that are handed over must not be blocked, or they end the process.
const NEVER: Mask = bits(&[SIGSYS]);

thread_local! {
    /// Whether there are any.
    static HELD: Cell<bool> = const { Cell::new(false) };
    /// The mask that they are handled under.
    static THEN: Cell<Mask> = const { Cell::new(0) };
    /// The thread's mask after that.
    static AFTER: Cell<Mask> = const { Cell::new(0) };
}

/// Sets the thread's mask; the one before.
fn set(mask: Mask) -> Mask {
    let mut old: Mask = 0;
    let [new, before] = [&raw const mask, &raw const old].map(|at| at.expose_provenance() as u64);
    linuxs(
        __NR_rt_sigprocmask,
        [
            SIG_SETMASK as u64,
            new,
            before,
            size_of::<Mask>() as u64,
            0,
            0,
        ],
    );
    // SAFETY: a number of this function's, which Linux has written.
    unsafe { (&raw mut old).read_volatile() }
}

/// In the library's handler: the signal is to be handled later.
pub(crate) fn hold(signal: c_int, info: &siginfo_t, interrupted: &mut ucontext_t) {
    // From here on no other comes.
    set(ALL);
    let mask = (&raw mut interrupted.uc_sigmask).cast::<Mask>();
    // SAFETY: Linux's part of the set, which it has written and reads again.
    let before = unsafe { mask.replace(ALL) };
    if HELD.replace(true) {
        // It interrupted what was under way to hold another, or a wait under another mask.
        let before = before | !ALL;
        THEN.set(THEN.get() & before);
        AFTER.set(AFTER.get() & before);
    } else {
        THEN.set(before);
        AFTER.set(before);
    }
    let [process, thread] = [__NR_getpid, __NR_gettid].map(|number| linuxs(number, [0; 6]) as u64);
    let signal = signal as u64;
    let info = (&raw const *info).expose_provenance() as u64;
    let queued = linuxs(
        __NR_rt_tgsigqueueinfo,
        [process, thread, signal, info, 0, 0],
    );
    if queued < 0 {
        // Without what it says; there is always room for that.
        linuxs(__NR_tgkill, [process, thread, signal, 0, 0, 0]);
    }
}

/// Sets the mask for the time of a call of the kernel's, or back: the one before.
pub(crate) fn mask(new: Mask) -> Mask {
    let new = new & !NEVER;
    let before = set(ALL);
    if HELD.get() {
        return AFTER.replace(new);
    }
    set(new);
    before
}

/// The mask under which Linux may wait in a call of the kernel's; none if something has come
/// already. What comes is held.
pub(crate) fn for_wait() -> Option<Mask> {
    let before = set(ALL);
    if HELD.replace(true) {
        return None;
    }
    THEN.set(before);
    AFTER.set(before);
    Some(before)
}

/// The call was not interrupted: what came is handled under the mask of after it.
pub(crate) fn went_on() {
    THEN.set(AFTER.get());
}

/// The thread has left the kernel: what came is handled now.
pub(crate) fn let_in() {
    if !HELD.get() {
        return;
    }
    // Handlers may call the kernel, too.
    let (then, after) = (THEN.get(), AFTER.get());
    HELD.set(false);
    signals::take_restart();
    set(then);
    if after != then {
        set(after);
    }
}
