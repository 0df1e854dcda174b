//! Booting, lwps and processes: `rump(3)`, `rump_lwproc(3)`.
#![allow(unsafe_code)]

use crate::error::Errno;
use rump_sys::{abi, control, kernel, syscalls};
use std::ffi::{c_int, c_void};

/// Boots with room for so many open files; the caller sees to it that this happens once.
pub(crate) fn boot(files: c_int) -> Result<(), Errno> {
    // SAFETY: nothing of the kernel runs yet that could read it.
    unsafe { control::maxfiles = files };
    for set in kernel::link_sets()
        .iter()
        .filter(|set| set.name == "modules")
    {
        let named: Vec<_> = set
            .entries()
            .iter()
            .copied()
            .filter(|info| has_name(*info))
            .collect();
        // The kernel keeps the pointer.
        rump_sys::hyper::modules::set(named.leak());
    }
    // SAFETY: both may be called before boot, and take no pointers.
    let error = unsafe {
        control::rump_boot_setsigmodel(abi::RUMP_SIGMODEL_IGNORE);
        control::rump_init()
    };
    Errno::check(error)
}

/// Has the system calls of this process go elsewhere; the caller sees to it that nothing was
/// booted here, and that this happens once.
#[cfg(feature = "remote")]
pub(crate) fn go_elsewhere(kernel: &'static &'static dyn syscalls::Elsewhere) {
    // SAFETY: `kernel::join` has taken the state that boot begins with, so that no kernel is
    // booted here, and nobody has been told of one that could be called.
    unsafe { syscalls::go_elsewhere(kernel) };
}

/// Whether a `struct modinfo` describes a module. The kernel puts a dummy without a name
/// into the set, to have one at all, and expects it at the end only.
fn has_name(info: *const c_void) -> bool {
    // Version and class share the first word, the entry point is the second.
    const NAME: usize = 2;
    // SAFETY: entries of the link set point to such structures (sys/module.h), which are
    // constant and larger than three words.
    unsafe { !info.cast::<*const c_void>().add(NAME).read().is_null() }
}

/// How many components of a type the kernel has loaded. On a thread without an lwp.
pub(crate) fn component_count(kind: c_int) -> c_int {
    // SAFETY: the kernel has booted; it reads one counter.
    unsafe { control::rump_component_count(kind) }
}

/// Makes a process with a copy of the current process's descriptors (or with none) and
/// makes its first lwp this thread's.
pub(crate) fn fork_process(share: bool) -> Result<(), Errno> {
    let flags = if share {
        abi::RUMP_RFFD_COPY
    } else {
        abi::RUMP_RFFD_CLEAR
    };
    // SAFETY: the kernel runs; the flags are among the defined ones.
    Errno::check(unsafe { control::rump_pub_lwproc_rfork(flags) })
}

/// Makes an lwp of the process and makes it this thread's.
pub(crate) fn new_lwp(process: c_int) -> Result<(), Errno> {
    // SAFETY: the kernel runs; it looks the number up itself.
    Errno::check(unsafe { control::rump_pub_lwproc_newlwp(process) })
}

/// An lwp, as the kernel points to it. Only a token for [`switch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawLwp(*mut c_void);

/// This thread's lwp.
pub(crate) fn current() -> Option<RawLwp> {
    // SAFETY: it takes nothing; without a kernel the answer is null.
    let lwp = unsafe { control::rump_pub_lwproc_curlwp() };
    (!lwp.is_null()).then_some(RawLwp(lwp))
}

/// Makes an lwp this thread's, or none.
///
/// # Safety
/// The lwp must be alive and on no other thread.
pub(crate) unsafe fn switch(lwp: Option<RawLwp>) {
    // SAFETY: by contract.
    unsafe { control::rump_pub_lwproc_switch(lwp.map_or(std::ptr::null_mut(), |lwp| lwp.0)) }
}

/// Ends this thread's lwp, if it has one.
pub(crate) fn release() {
    if current().is_some() {
        // SAFETY: the thread has an lwp, which the call ends.
        unsafe { control::rump_pub_lwproc_releaselwp() }
    }
}

/// `getpid(2)`. On a thread that has an lwp.
#[inline]
pub(crate) fn getpid() -> c_int {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { syscalls::getpid() }
}
