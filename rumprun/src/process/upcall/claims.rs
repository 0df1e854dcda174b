//! Ports that the program is asked for before they are taken: `rump_claims.h`.
//!
//! The program's functions are called as others are, so that what they call of the kernel's (who
//! has a port) is called on their threads, while the kernel's thread waits with its locks.

use super::call;
use crate::sync::Lock;
use core::ffi::{c_int, c_void};
use core::ptr::null;
use rump_hyper::claims::{Endpoint, Ops, Tell, Used};
use rump_sys::claims::{rump_claims_list, rump_claims_set};

/// The program's functions. Once there are some they stay: they are a table's that is there for
/// good, and calls of them may be under way.
static PROGRAM: Lock<Option<Ops>> = Lock::new(None);

static OPS: Ops = Ops { claim, bound, gone };

fn program() -> Option<Ops> {
    *PROGRAM.lock()
}

unsafe extern "C" fn claim(wanted: *const Endpoint) -> c_int {
    let Some(ops) = program() else { return 0 };
    let arguments = [wanted as u64, 0, 0, 0, 0, 0];
    call(true, ops.claim as usize, arguments) as c_int
}

unsafe extern "C" fn bound(at: *const Endpoint, used: Used, arg: *mut c_void) {
    if let Some(ops) = program() {
        let arguments = [at as u64, used as usize as u64, arg as u64, 0, 0, 0];
        call(true, ops.bound as usize, arguments);
    }
}

unsafe extern "C" fn gone(protocol: u32, port: u32, used: Used, arg: *mut c_void) {
    if let Some(ops) = program() {
        let used = used as usize as u64;
        let arguments = [protocol.into(), port.into(), used, arg as u64, 0, 0];
        call(true, ops.gone as usize, arguments);
    }
}

/// As [`rump_claims_set`].
unsafe extern "C" fn set(ops: *const Ops) -> c_int {
    // SAFETY: null, or a table of the program's.
    let Some(ops) = (unsafe { ops.as_ref() }) else {
        // SAFETY: nobody is asked then.
        return unsafe { rump_claims_set(null()) };
    };
    *PROGRAM.lock() = Some(*ops);
    // SAFETY: the table is there for good.
    unsafe { rump_claims_set(&OPS) }
}

/// Whom the program wants to be told.
struct Told {
    tell: Tell,
    arg: *mut c_void,
}

unsafe extern "C" fn tell(told: *mut c_void, at: *const Endpoint) {
    // SAFETY: `list` passes it, and waits.
    let told = unsafe { &*told.cast::<Told>() };
    let arguments = [told.arg as u64, at as u64, 0, 0, 0, 0];
    call(true, told.tell as usize, arguments);
}

/// As [`rump_claims_list`]. What is told comes on another thread of the program's, during the call.
unsafe extern "C" fn list(program: Tell, arg: *mut c_void) {
    let mut told = Told { tell: program, arg };
    // SAFETY: `tell` is for that, which stays during the call.
    unsafe { rump_claims_list(tell, (&raw mut told).cast()) };
}

rump_sys::export_gates! {
    rump_claims_set = set;
    rump_claims_list = list;
}
