//! Booting, and managing processes and lwps: `rump(3)`, `rump_lwproc(3)`.
//!
//! These return NetBSD error numbers directly.

use core::ffi::{c_int, c_void};

crate::gate::functions! {
    here = not(any(rump_kernel = "none", rump_kernel = "image")),
    gated = rump_kernel = "image",
    absent = "There is no kernel in this build";
    /// Boots. Once per process; a second call does nothing and returns 0.
    fn rump_init() -> c_int;
    /// Chooses what becomes of signals; before [`rump_init`].
    fn rump_boot_setsigmodel(model: c_int);
    /// Makes a process and makes its first lwp this thread's.
    fn rump_pub_lwproc_rfork(flags: c_int) -> c_int;
    /// Makes an lwp of the process and makes it this thread's.
    fn rump_pub_lwproc_newlwp(pid: c_int) -> c_int;
    /// Makes an lwp this thread's; null for none. One lwp must not be on two threads.
    fn rump_pub_lwproc_switch(lwp: *mut c_void);
    /// Ends this thread's lwp; without one it is fatal.
    fn rump_pub_lwproc_releaselwp();
    /// How many components of a type were loaded; only on a thread without an lwp.
    fn rump_component_count(kind: c_int) -> c_int;
    /// `__NetBSD_Version__` of the kernel.
    fn rump_getversion() -> c_int;
}

crate::gate::export! {
    rump_init = rump_init;
    rump_boot_setsigmodel = rump_boot_setsigmodel;
    rump_pub_lwproc_rfork = rump_pub_lwproc_rfork;
    rump_pub_lwproc_newlwp = newlwp;
    rump_pub_lwproc_switch = rump_pub_lwproc_switch;
    rump_pub_lwproc_releaselwp = rump_pub_lwproc_releaselwp;
    rump_component_count = rump_component_count;
    rump_getversion = rump_getversion;
    rump_pub_lwproc_curlwp = rump_pub_lwproc_curlwp;
}

/// The first process, which all threads of an image's program are in.
#[cfg(rump_gates)]
const FIRST_PROCESS: c_int = 1;

/// [`rump_pub_lwproc_newlwp`] for the program of an image: its thread may have an lwp already,
/// for Linux's system calls, and keeps that.
#[cfg(rump_gates)]
unsafe extern "C" fn newlwp(pid: c_int) -> c_int {
    // SAFETY: the caller's; the kernel of an image has booted before its program runs.
    unsafe {
        if pid == FIRST_PROCESS && !rump_pub_lwproc_curlwp().is_null() {
            return 0;
        }
        rump_pub_lwproc_newlwp(pid)
    }
}

#[cfg(rump_kernel = "image")]
unsafe extern "C" {
    /// This thread's lwp, or null.
    #[link_name = crate::gate::image_name!(rump_pub_lwproc_curlwp)]
    pub fn rump_pub_lwproc_curlwp() -> *mut c_void;
}

#[cfg(not(any(rump_kernel = "none", rump_kernel = "image")))]
unsafe extern "C" {
    /// This thread's lwp, or null.
    pub fn rump_pub_lwproc_curlwp() -> *mut c_void;
    /// How many open files the kernel allows in all (`param.c`, kern.maxfiles, which has
    /// no sysctl node in a rump kernel). Read at boot and whenever a file is opened.
    #[link_name = "rumpns_maxfiles"]
    pub static mut maxfiles: c_int;
}

/// How many open files the kernel allows in all: there is none, or it has booted.
#[cfg(any(rump_kernel = "none", rump_kernel = "image"))]
#[allow(non_upper_case_globals)]
pub static mut maxfiles: c_int = 0;

/// This thread's lwp: null.
///
/// # Safety
/// There is no kernel in this build.
#[cfg(rump_kernel = "none")]
pub unsafe extern "C" fn rump_pub_lwproc_curlwp() -> *mut c_void {
    core::ptr::null_mut()
}
