//! What a program does with signals: the functions of the C library that this library stands
//! in front of.
#![allow(unsafe_code)]

use crate::dispatch;
use crate::inside::Inside;
use crate::next::Next;
use crate::signals::{REAL, handler, is_ours, keep, kept};
use libc::{SA_NODEFER, SA_RESETHAND, SA_RESTART, SA_SIGINFO};
use libc::{SIG_DFL, SIG_IGN, SIGBUS, SIGSEGV, SIGSYS};
use libc::{c_int, sigaction as Action, sigset_t};
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

/// sigaction(2)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaction(signal: c_int, new: *const Action, old: *mut Action) -> c_int {
    let _inside = Inside::enter();
    let Some(real) = REAL.get() else { return -1 };
    // SAFETY: null, or the caller's.
    let wanted = unsafe { new.as_ref() };
    let faults = signal == SIGSEGV || signal == SIGBUS;
    let stays = is_ours(signal);
    let before = kept(signal);
    let handled = wanted.is_some_and(|new| ![SIG_DFL, SIG_IGN].contains(&new.sa_sigaction));
    let told = match wanted {
        // This library's handler stays.
        Some(_) if stays => None,
        Some(new) if handled && !faults => {
            let mut action = *new;
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags |= SA_SIGINFO;
            // It would be gone before the program's runs.
            action.sa_flags &= !SA_RESETHAND;
            // SAFETY: a set that lives.
            unsafe { libc::sigdelset(&raw mut action.sa_mask, SIGSYS) };
            Some(action)
        }
        Some(new) => Some(*new),
        None => None,
    };
    if let Some(new) = wanted.filter(|_| handled || stays) {
        // First, as the signal may come at once.
        keep(signal, new);
    }
    let mut replaced = MaybeUninit::<Action>::zeroed();
    let action = told.as_ref().map_or(null(), |told| &raw const *told);
    // SAFETY: null or a live action; one is written.
    let result = unsafe { real(signal, action, replaced.as_mut_ptr()) };
    if result == 0 && !old.is_null() {
        // SAFETY: all zero or written.
        let mut replaced = unsafe { replaced.assume_init() };
        if replaced.sa_sigaction == handler as *const () as usize
            && let Some(before) = before
        {
            replaced = *before;
        }
        // SAFETY: the caller's.
        unsafe { *old = replaced };
    }
    result
}

/// An action by a function, as it was before there was `sigaction(2)`.
fn simple(number: c_int, handler: usize, flags: c_int) -> usize {
    // SAFETY: numbers and an optional function.
    let mut new: Action = unsafe { MaybeUninit::zeroed().assume_init() };
    new.sa_sigaction = handler;
    new.sa_flags = flags;
    let mut old = new;
    // SAFETY: live actions.
    if unsafe { sigaction(number, &raw const new, &raw mut old) } == 0 {
        old.sa_sigaction
    } else {
        libc::SIG_ERR
    }
}

/// Functions that set an action with these flags.
macro_rules! simple {
    ($($name:ident = $flags:expr;)*) => {$(
        /// As the C library has it.
        ///
        /// # Safety
        /// As the C library's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(number: c_int, handler: usize) -> usize {
            simple(number, handler, $flags)
        }
    )*};
}

simple! {
    signal = SA_RESTART;
    bsd_signal = SA_RESTART;
    ssignal = SA_RESTART;
    sysv_signal = SA_RESETHAND | SA_NODEFER;
    __sysv_signal = SA_RESETHAND | SA_NODEFER;
}

/// siginterrupt(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn siginterrupt(number: c_int, interrupts: c_int) -> c_int {
    let mut action = MaybeUninit::<Action>::zeroed();
    // SAFETY: an action is written.
    if unsafe { sigaction(number, null(), action.as_mut_ptr()) } != 0 {
        return -1;
    }
    // SAFETY: written.
    let mut action = unsafe { action.assume_init() };
    action.sa_flags &= !SA_RESTART;
    if interrupts == 0 {
        action.sa_flags |= SA_RESTART;
    }
    // SAFETY: a live action.
    unsafe { sigaction(number, &raw const action, null_mut()) }
}

type Mask = unsafe extern "C" fn(c_int, *const sigset_t, *mut sigset_t) -> c_int;

// SAFETY: their types.
static PROCESS_MASK: Next<Mask> = unsafe { Next::new(c"sigprocmask") };
// SAFETY: as above.
static THREAD_MASK: Next<Mask> = unsafe { Next::new(c"pthread_sigmask") };

/// A set without `SIGSYS`, which would end the process if it was blocked.
fn unblocked(set: *const sigset_t) -> Option<sigset_t> {
    // SAFETY: null, or the caller's.
    let mut set = *unsafe { set.as_ref() }?;
    if dispatch::is_on() {
        // SAFETY: a set that lives.
        unsafe { libc::sigdelset(&raw mut set, SIGSYS) };
    }
    Some(set)
}

/// sigprocmask(2)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigprocmask(
    how: c_int,
    set: *const sigset_t,
    old: *mut sigset_t,
) -> c_int {
    let Some(real) = PROCESS_MASK.get() else {
        return -1;
    };
    let set = unblocked(set);
    let set = set.as_ref().map_or(null(), |set| &raw const *set);
    // SAFETY: null, or what lives here and the caller's.
    unsafe { real(how, set, old) }
}

/// pthread_sigmask(3)
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_sigmask(
    how: c_int,
    set: *const sigset_t,
    old: *mut sigset_t,
) -> c_int {
    let Some(real) = THREAD_MASK.get() else {
        return libc::EINVAL;
    };
    let set = unblocked(set);
    let set = set.as_ref().map_or(null(), |set| &raw const *set);
    // SAFETY: null, or what lives here and the caller's.
    unsafe { real(how, set, old) }
}
