//! What the program has given for its interfaces or disks: a table of functions, and what they
//! are called with.

use crate::sync::Lock;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::{c_int, c_void};

/// What it gave for one.
struct Given<O> {
    ops: *const O,
    host: *mut c_void,
}

/// Interfaces, or disks, and the addresses of what was given for them.
pub(super) struct Programs(Lock<Vec<(usize, usize)>>);

impl Programs {
    pub(super) const fn new() -> Self {
        Self(Lock::new(Vec::new()))
    }

    /// Has the kernel make one, with what was given as its host.
    ///
    /// # Safety
    /// The table stays until [`forget`](Self::forget); `make` writes to `made` if it returns 0,
    /// and keeps the host only then.
    pub(super) unsafe fn create<O, K>(
        &self,
        ops: *const O,
        host: *mut c_void,
        made: *mut *mut K,
        make: impl FnOnce(*mut c_void) -> c_int,
    ) -> c_int {
        let given = Box::into_raw(Box::new(Given { ops, host }));
        let error = make(given.cast());
        if error == 0 {
            // SAFETY: it was written.
            let made = unsafe { *made }.addr();
            self.0.lock().push((made, given.addr()));
        } else {
            // SAFETY: the kernel did not keep it.
            drop(unsafe { Box::from_raw(given) });
        }
        error
    }

    /// The kernel has removed one.
    ///
    /// # Safety
    /// It calls no more for it; `O` is the table's type.
    pub(super) unsafe fn forget<O, K>(&self, made: *mut K) {
        let mut all = self.0.lock();
        let at = all.iter().position(|(other, _)| *other == made.addr());
        let given = at.map(|at| all.swap_remove(at).1);
        drop(all);
        if let Some(given) = given {
            // SAFETY: `create` made it, and the kernel calls no more.
            drop(unsafe { Box::from_raw(given as *mut Given<O>) });
        }
    }
}

/// The program's table, and what it calls with it.
///
/// # Safety
/// It is the host that [`Programs::create`] gave the kernel, with a table of this type.
pub(super) unsafe fn given<O: Copy>(host: *mut c_void) -> (O, *mut c_void) {
    // SAFETY: by contract; the program's table stays as long as the interface or disk.
    unsafe {
        let given = &*host.cast::<Given<O>>();
        (*given.ops, given.host)
    }
}
