//! Threads, the current lwp, and what drivers' host side calls.

use crate::abi::{Lwp, ThreadMain, lwp_op};
use crate::errno::status;
use crate::host::{Host, ThreadSpec};
use crate::upcall;
use core::ffi::{c_char, c_int, c_void};
use core::ptr::{null_mut, without_provenance_mut};

/// `rumpuser_thread_create`
pub unsafe fn thread_create<H: Host>(
    main: ThreadMain,
    arg: *mut c_void,
    name: *const c_char,
    joinable: c_int,
    priority: c_int,
    cpu: c_int,
    cookie: *mut *mut c_void,
) -> c_int {
    let spec = ThreadSpec {
        // SAFETY: a C string or null, by the module's contract.
        name: (!name.is_null()).then(|| unsafe { super::text(name) }),
        joinable: joinable != 0,
        priority,
        cpu,
    };
    status(H::spawn(main, arg, spec).map(|thread| {
        if spec.joinable {
            // SAFETY: a place for the cookie, by the module's contract.
            unsafe { cookie.write(thread) };
        }
    }))
}

/// `rumpuser_thread_exit`
pub unsafe fn thread_exit<H: Host>() -> ! {
    H::thread_exit()
}

/// `rumpuser_thread_join`
pub unsafe fn thread_join<H: Host>(cookie: *mut c_void) -> c_int {
    // SAFETY: a cookie of `thread_create`, by the module's contract.
    status(upcall::wrap::<H, _>(|| unsafe { H::join(cookie) }))
}

/// `rumpuser_curlwpop`: a kernel that asks for an unknown operation is not the
/// one this interface was made for, and stops.
pub unsafe fn curlwpop<H: Host>(op: c_int, lwp: *mut Lwp) {
    match op {
        lwp_op::CREATE | lwp_op::DESTROY => {}
        lwp_op::SET => {
            debug_assert!(H::curlwp().is_null(), "rump: thread has an lwp already");
            H::set_curlwp(lwp);
        }
        lwp_op::CLEAR => {
            debug_assert!(H::curlwp() == lwp, "rump: not the lwp of this thread");
            H::set_curlwp(null_mut());
        }
        _ => panic!("rump: unknown lwp operation {op}"),
    }
}

/// `rumpuser_curlwp`
#[inline]
pub unsafe fn curlwp<H: Host>() -> *mut Lwp {
    H::curlwp()
}

/// `rumpuser_component_unschedule`: the cookie is the count of big locks.
pub unsafe fn component_unschedule<H: Host>() -> *mut c_void {
    let (nlocks, signalled) = upcall::backend_unschedule::<H>(None);
    signalled.wake::<H>();
    without_provenance_mut(nlocks.cast_unsigned() as usize)
}

/// `rumpuser_component_schedule`
#[allow(clippy::cast_possible_truncation)]
pub unsafe fn component_schedule<H: Host>(cookie: *mut c_void) {
    // The cookie is a c_int that `component_unschedule` widened.
    upcall::backend_schedule((cookie.addr() as u32).cast_signed(), None);
}

/// `rumpuser_component_kthread`
pub unsafe fn component_kthread<H: Host>() {
    upcall::adopt_thread();
}

/// `rumpuser_component_curlwp`
pub unsafe fn component_curlwp<H: Host>() -> *mut Lwp {
    upcall::scheduled(|up| match up.lwproc_curlwp {
        // SAFETY: the kernel's function, called on a virtual CPU.
        Some(curlwp) => unsafe { curlwp() },
        None => null_mut(),
    })
}

/// `rumpuser_component_switchlwp`
pub unsafe fn component_switchlwp<H: Host>(lwp: *mut Lwp) {
    upcall::scheduled(|up| {
        if let Some(switch) = up.lwproc_switch {
            // SAFETY: the kernel's function, on a virtual CPU, and its lwp.
            unsafe { switch(lwp) };
        }
    });
}

/// `rumpuser_component_kthread_release`
pub unsafe fn component_kthread_release<H: Host>() {
    upcall::scheduled(|up| {
        if let Some(release) = up.lwproc_release {
            // SAFETY: the kernel's function, called on a virtual CPU.
            unsafe { release() };
        }
    });
}

/// `rumpuser_component_errtrans`
pub unsafe fn component_errtrans<H: Host>(host: c_int) -> c_int {
    if host == 0 { 0 } else { H::errno(host).0 }
}
