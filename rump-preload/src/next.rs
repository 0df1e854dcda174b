//! The C library's own functions, behind those of this library.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::sync::OnceLock;

/// One of them, of the type `F`, looked for when it is first needed.
pub(crate) struct Next<F> {
    name: &'static CStr,
    found: OnceLock<Option<F>>,
}

impl<F: Copy> Next<F> {
    /// # Safety
    /// `F` is the type of a pointer to the function of this name.
    pub(crate) const unsafe fn new(name: &'static CStr) -> Self {
        const { assert!(size_of::<F>() == size_of::<*mut libc::c_void>()) };
        Self {
            name,
            found: OnceLock::new(),
        }
    }

    /// The function; `None` if the program has no such.
    pub(crate) fn get(&self) -> Option<F> {
        *self.found.get_or_init(|| {
            // SAFETY: the name ends with a null byte.
            let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            // SAFETY: not null, and of this type by the contract of `new`.
            (!found.is_null()).then(|| unsafe { std::mem::transmute_copy(&found) })
        })
    }
}
