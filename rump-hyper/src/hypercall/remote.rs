//! The remote kernel's hypercalls (sysproxy): there is no server yet.
//!
//! A kernel that includes the sysproxy component links, and is told that it
//! cannot serve: starting the server fails with ENOSYS, so that no remote
//! process ever exists for which the others could be called. Should one be
//! called all the same, it answers ENOSYS as well and touches nothing.

use crate::errno::Errno;
use crate::host::Host;
use core::ffi::{c_char, c_int, c_void};

/// `rumpuser_sp_init`
pub unsafe fn sp_init<H: Host>(
    _url: *const c_char,
    _os_type: *const c_char,
    _release: *const c_char,
    _machine: *const c_char,
) -> c_int {
    Errno::NOSYS.0
}

/// `rumpuser_sp_copyin` and `rumpuser_sp_copyout`
pub unsafe fn sp_copy<H: Host>(
    _client: *mut c_void,
    _from: *const c_void,
    _to: *mut c_void,
    _len: usize,
) -> c_int {
    Errno::NOSYS.0
}

/// `rumpuser_sp_copyinstr` and `rumpuser_sp_copyoutstr`
pub unsafe fn sp_copystr<H: Host>(
    _client: *mut c_void,
    _from: *const c_void,
    _to: *mut c_void,
    _len: *mut usize,
) -> c_int {
    Errno::NOSYS.0
}

/// `rumpuser_sp_anonmmap`
pub unsafe fn sp_anonmmap<H: Host>(
    _client: *mut c_void,
    _size: usize,
    _out: *mut *mut c_void,
) -> c_int {
    Errno::NOSYS.0
}

/// `rumpuser_sp_raise`
pub unsafe fn sp_raise<H: Host>(_client: *mut c_void, _signal: c_int) -> c_int {
    Errno::NOSYS.0
}

/// `rumpuser_sp_fini`: no server, nothing to end.
pub unsafe fn sp_fini<H: Host>(_client: *mut c_void) {}
