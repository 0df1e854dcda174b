//! Disks whose other end is in the program: `rump_vbd.h`.

use super::call;
use super::program::{Programs, given};
use core::ffi::{c_int, c_void};
use rump_sys::vbd::{Config, Name, Ops, Vbd, rump_vbd_create, rump_vbd_destroy};

static DISKS: Programs = Programs::new();

static OPS: Ops = Ops {
    transfer,
    flush,
    discard,
};

unsafe extern "C" fn transfer(
    host: *mut c_void,
    how: u32,
    data: *mut u8,
    len: u64,
    offset: u64,
    io: *mut c_void,
) -> c_int {
    // SAFETY: the kernel passes it.
    let (ops, host) = unsafe { given::<Ops>(host) };
    let arguments = [host as u64, how.into(), data as u64, len, offset, io as u64];
    call(true, ops.transfer as usize, arguments) as c_int
}

unsafe extern "C" fn flush(host: *mut c_void) -> c_int {
    // SAFETY: as above.
    let (ops, host) = unsafe { given::<Ops>(host) };
    call(true, ops.flush as usize, [host as u64, 0, 0, 0, 0, 0]) as c_int
}

unsafe extern "C" fn discard(host: *mut c_void, offset: u64, len: u64) -> c_int {
    // SAFETY: as above.
    let (ops, host) = unsafe { given::<Ops>(host) };
    call(
        true,
        ops.discard as usize,
        [host as u64, offset, len, 0, 0, 0],
    ) as c_int
}

/// As [`rump_vbd_create`].
unsafe extern "C" fn create(
    ops: *const Ops,
    host: *mut c_void,
    config: *const Config,
    vbd: *mut *mut Vbd,
    name: *mut Name,
) -> c_int {
    // SAFETY: the table is there for good, what is given until `destroy`; the rest is the
    // caller's.
    unsafe {
        DISKS.create(ops, host, vbd, |given| {
            rump_vbd_create(&OPS, given, config, vbd, name)
        })
    }
}

/// As [`rump_vbd_destroy`].
unsafe extern "C" fn destroy(vbd: *mut Vbd) -> c_int {
    // SAFETY: the caller's.
    let error = unsafe { rump_vbd_destroy(vbd) };
    if error == 0 {
        // SAFETY: it is removed, and the kernel calls no more.
        unsafe { DISKS.forget::<Ops, _>(vbd) };
    }
    error
}

rump_sys::export_gates! {
    rump_vbd_create = create;
    rump_vbd_destroy = destroy;
}
