//! Disks whose other end is in the program: `rump_vbd.h`.

use super::call;
use crate::sync::Lock;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use rump_sys::vbd::{Config, Name, Ops, Vbd, rump_vbd_create, rump_vbd_destroy};

/// What the program gave for a disk.
struct Program {
    ops: *const Ops,
    host: *mut c_void,
}

/// Disks, and the addresses of what is behind them.
static MADE: Lock<Vec<(usize, usize)>> = Lock::new(Vec::new());

static OPS: Ops = Ops {
    transfer,
    flush,
    discard,
};

/// The program's table for a disk, and what it calls with it.
///
/// # Safety
/// It is what `create` gave the kernel.
unsafe fn program(host: *mut c_void) -> (Ops, *mut c_void) {
    // SAFETY: by contract; the program's table stays as long as the disk.
    unsafe {
        let program = &*host.cast::<Program>();
        (*program.ops, program.host)
    }
}

unsafe extern "C" fn transfer(
    host: *mut c_void,
    how: u32,
    data: *mut u8,
    len: u64,
    offset: u64,
    io: *mut c_void,
) -> c_int {
    // SAFETY: the kernel passes it.
    let (ops, host) = unsafe { program(host) };
    let arguments = [host as u64, how.into(), data as u64, len, offset, io as u64];
    call(true, ops.transfer as usize, arguments) as c_int
}

unsafe extern "C" fn flush(host: *mut c_void) -> c_int {
    // SAFETY: as above.
    let (ops, host) = unsafe { program(host) };
    call(true, ops.flush as usize, [host as u64, 0, 0, 0, 0, 0]) as c_int
}

unsafe extern "C" fn discard(host: *mut c_void, offset: u64, len: u64) -> c_int {
    // SAFETY: as above.
    let (ops, host) = unsafe { program(host) };
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
    let program = Box::into_raw(Box::new(Program { ops, host }));
    // SAFETY: the table is there for good, the program until `destroy`; the rest is the
    // caller's.
    let error = unsafe { rump_vbd_create(&OPS, program.cast(), config, vbd, name) };
    if error == 0 {
        // SAFETY: it was written.
        let made = unsafe { *vbd }.addr();
        MADE.lock().push((made, program.addr()));
    } else {
        // SAFETY: the kernel did not keep it.
        drop(unsafe { Box::from_raw(program) });
    }
    error
}

/// As [`rump_vbd_destroy`].
unsafe extern "C" fn destroy(vbd: *mut Vbd) -> c_int {
    // SAFETY: the caller's.
    let error = unsafe { rump_vbd_destroy(vbd) };
    if error != 0 {
        return error;
    }
    let mut made = MADE.lock();
    let at = made.iter().position(|(other, _)| *other == vbd.addr());
    let program = at.map(|at| made.swap_remove(at).1);
    drop(made);
    if let Some(program) = program {
        // SAFETY: `create` made it, and the kernel calls no more.
        drop(unsafe { Box::from_raw(program as *mut Program) });
    }
    0
}

rump_sys::export_gates! {
    rump_vbd_create = create;
    rump_vbd_destroy = destroy;
}
