//! Network interfaces whose other end is in the program: `rump_vif.h`.

use super::call;
use super::program::{Programs, given};
use core::ffi::{c_int, c_void};
use rump_hyper::vif::abi::{Config, Name, Ops, Tx, Vif};
use rump_sys::vif::{rump_vif_create, rump_vif_destroy};

static INTERFACES: Programs = Programs::new();

static OPS: Ops = Ops { transmit, state };

unsafe extern "C" fn transmit(host: *mut c_void, queue: u32, frames: *const Tx, count: u32) {
    // SAFETY: `create` gave it, and the program's table stays as long as the interface.
    let (ops, host) = unsafe { given::<Ops>(host) };
    let arguments = [host as u64, queue.into(), frames as u64, count.into(), 0, 0];
    call(true, ops.transmit as usize, arguments);
}

unsafe extern "C" fn state(host: *mut c_void, flags: u32, offloads: u32) {
    // SAFETY: as above.
    let (ops, host) = unsafe { given::<Ops>(host) };
    let arguments = [host as u64, flags.into(), offloads.into(), 0, 0, 0];
    // It does not block, and the kernel keeps its virtual CPU.
    call(false, ops.state as usize, arguments);
}

/// As [`rump_vif_create`].
unsafe extern "C" fn create(
    ops: *const Ops,
    host: *mut c_void,
    config: *const Config,
    vif: *mut *mut Vif,
    name: *mut Name,
) -> c_int {
    // SAFETY: the table is there for good, what is given until `destroy`; the rest is the
    // caller's.
    unsafe {
        INTERFACES.create(ops, host, vif, |given| {
            rump_vif_create(&OPS, given, config, vif, name)
        })
    }
}

/// As [`rump_vif_destroy`].
unsafe extern "C" fn destroy(vif: *mut Vif) {
    // SAFETY: the caller's; after it the kernel calls no more.
    unsafe {
        rump_vif_destroy(vif);
        INTERFACES.forget::<Ops, _>(vif);
    }
}

rump_sys::export_gates! {
    rump_vif_create = create;
    rump_vif_destroy = destroy;
}
