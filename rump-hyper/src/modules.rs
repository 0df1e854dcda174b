//! Kernel modules linked into the program.
//!
//! Upstream's hypervisor walks the shared objects of the process to find the
//! modules and components in them. Here the kernel is linked as a whole and its
//! link sets are complete, so the kernel finds them itself; a binding that has
//! modules outside those sets hands their table over with [`set`] before boot.

use crate::abi::ModInit;
use crate::cold::Cold;
use core::ffi::c_void;

struct Table(&'static [*const c_void]);

// SAFETY: a table of addresses of the kernel's constant module descriptions.
#[allow(unsafe_code)]
unsafe impl Send for Table {}

static TABLE: Cold<Table> = Cold::new(Table(&[]));

/// Sets the table of `struct modinfo *` to hand to the kernel when it boots.
pub fn set(table: &'static [*const c_void]) {
    TABLE.with(|current| current.0 = table);
}

/// `rumpuser_dl_bootstrap`.
///
/// # Safety
/// The kernel passes its own function, and the table holds what it expects.
#[allow(unsafe_code)]
pub unsafe fn bootstrap(init: Option<ModInit>) {
    let table = TABLE.with(|current| current.0);
    if let Some(init) = init
        && !table.is_empty()
    {
        // SAFETY: by contract.
        unsafe { init(table.as_ptr(), table.len()) };
    }
}
