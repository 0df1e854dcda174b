//! Telling why, when the kernel touches memory that it does not have.
//!
//! NetBSD trusts what is on a file system that it mounts. What it takes for damage ends in
//! its panic(9), with a message; what it does not notice may end in a bad address, and a
//! process that is ended by that says nothing. So from the first file system on a disk
//! until the last, a handler of SIGSEGV and SIGBUS says what it may be about, puts the
//! handler that was there before back, and lets that have the signal.
#![allow(unsafe_code)]

use nix::libc::{self, siginfo_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use rump_sys::hyper::host::Host;
use rump_sys::hyper::linux::LinuxHost;
use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// File systems that are mounted from disks.
static MOUNTED: AtomicUsize = AtomicUsize::new(0);

/// What was there before, for both signals.
static BEFORE: OnceLock<[SigAction; 2]> = OnceLock::new();

const SIGNALS: [Signal; 2] = [Signal::SIGSEGV, Signal::SIGBUS];

const TEXT: &str = "rump: the kernel touched memory that it does not have, with file systems on disks mounted. \
     It trusts what is on them: one may be damaged. Check them with fsck(8) before they are mounted again.\n";

/// One more is about to be mounted.
pub(crate) fn mounting() {
    MOUNTED.fetch_add(1, Ordering::Relaxed);
    BEFORE.get_or_init(|| {
        let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
        let ours = SigAction::new(SigHandler::SigAction(tell), flags, SigSet::empty());
        SIGNALS.map(|signal| {
            // SAFETY: the handler does what may be done in one: it reads atomics and calls
            // write(2) and sigaction(2).
            let before = unsafe { sigaction(signal, &ours) };
            before.unwrap_or_else(|_| {
                SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty())
            })
        })
    });
}

/// One is not mounted any more.
pub(crate) fn unmounted() {
    MOUNTED.fetch_sub(1, Ordering::Relaxed);
}

extern "C" fn tell(signal: c_int, _: *mut siginfo_t, _: *mut c_void) {
    // A thread that is no lwp was not in the kernel.
    if MOUNTED.load(Ordering::Relaxed) > 0 && !LinuxHost::curlwp().is_null() {
        // SAFETY: the text is there for its length; there is nobody to tell of a failure.
        unsafe { libc::write(libc::STDERR_FILENO, TEXT.as_ptr().cast(), TEXT.len()) };
    }
    let index = usize::from(signal == libc::SIGBUS);
    // A fault while another thread sets the handlers up finds the default instead.
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    let before = BEFORE.get().map_or(default, |before| before[index]);
    // SAFETY: what was in force before us. The instruction is then tried again, and the
    // fault is its handler's.
    let _ = unsafe { sigaction(SIGNALS[index], &before) };
}
