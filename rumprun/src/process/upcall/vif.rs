//! Network interfaces whose other end is in the program: `rump_vif.h`.

use super::call;
use crate::sync::Lock;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};
use rump_hyper::vif::abi::{Config, Name, Ops, Tx, Vif};
use rump_sys::vif::{rump_vif_create, rump_vif_destroy};

/// What the program gave for an interface.
struct Program {
    ops: *const Ops,
    host: *mut c_void,
}

/// Interfaces, and the addresses of what is behind them.
static MADE: Lock<Vec<(usize, usize)>> = Lock::new(Vec::new());

static OPS: Ops = Ops { transmit, state };

unsafe extern "C" fn transmit(host: *mut c_void, queue: u32, frames: *const Tx, count: u32) {
    // SAFETY: `create` gave it, and the program's table stays as long as the interface.
    let (function, host) = unsafe {
        let program = &*host.cast::<Program>();
        ((*program.ops).transmit, program.host)
    };
    let arguments = [host as u64, queue.into(), frames as u64, count.into(), 0, 0];
    call(true, function as usize, arguments);
}

unsafe extern "C" fn state(host: *mut c_void, flags: u32, offloads: u32) {
    // SAFETY: as above.
    let (function, host) = unsafe {
        let program = &*host.cast::<Program>();
        ((*program.ops).state, program.host)
    };
    let arguments = [host as u64, flags.into(), offloads.into(), 0, 0, 0];
    // It does not block, and the kernel keeps its virtual CPU.
    call(false, function as usize, arguments);
}

/// As [`rump_vif_create`].
unsafe extern "C" fn create(
    ops: *const Ops,
    host: *mut c_void,
    config: *const Config,
    vif: *mut *mut Vif,
    name: *mut Name,
) -> c_int {
    let program = Box::into_raw(Box::new(Program { ops, host }));
    // SAFETY: the table is there for good, the program until `destroy`; the rest is the
    // caller's.
    let error = unsafe { rump_vif_create(&OPS, program.cast(), config, vif, name) };
    if error == 0 {
        // SAFETY: it was written.
        let made = unsafe { *vif }.addr();
        MADE.lock().push((made, program.addr()));
    } else {
        // SAFETY: the kernel did not keep it.
        drop(unsafe { Box::from_raw(program) });
    }
    error
}

/// As [`rump_vif_destroy`].
unsafe extern "C" fn destroy(vif: *mut Vif) {
    // SAFETY: the caller's.
    unsafe { rump_vif_destroy(vif) };
    let mut made = MADE.lock();
    let at = made.iter().position(|(other, _)| *other == vif.addr());
    let program = at.map(|at| made.swap_remove(at).1);
    drop(made);
    if let Some(program) = program {
        // SAFETY: `create` made it, and the kernel calls no more.
        drop(unsafe { Box::from_raw(program as *mut Program) });
    }
}

rump_sys::export_gates! {
    rump_vif_create = create;
    rump_vif_destroy = destroy;
}
