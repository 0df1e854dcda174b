//! A host behind a table of operations: how interfaces and disks of the kernel's are made
//! whose other end is here.
//!
//! The kernel is given a table of functions and a pointer, with which it calls them. What
//! the pointer is to is kept for it, until whoever made the object says that it is gone.
#![allow(unsafe_code)]

use crate::error::Errno;
use crate::lwp;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// An object of the kernel's, and the host that it calls. Dropped without
/// [`is_gone`](Self::is_gone), it leaves the host to the kernel.
#[derive(Debug)]
pub(super) struct Made<R> {
    raw: NonNull<R>,
    name: String,
    host: *const c_void,
    drop_host: unsafe fn(*const c_void),
}

/// A host in the kernel's hands, until it has taken it.
struct Given<H>(*const c_void, PhantomData<Arc<H>>);

impl<H> Drop for Given<H> {
    fn drop(&mut self) {
        // SAFETY: it came from `Arc::into_raw`, and the kernel did not keep it.
        unsafe { drop_host::<H>(self.0) };
    }
}

/// # Safety
/// The pointer came from `Arc::into_raw` and is used up.
unsafe fn drop_host<H>(host: *const c_void) {
    // SAFETY: by contract.
    drop(unsafe { Arc::from_raw(host.cast::<H>()) });
}

impl<R> Made<R> {
    /// Has `make` make an object that calls the host: it gets the pointer for the kernel,
    /// and places for the object and its name, and returns an error number.
    ///
    /// `make` may keep the pointer only if it returns 0 and an object.
    pub(super) fn new<H: Send + Sync + 'static, const N: usize>(
        host: Arc<H>,
        make: impl FnOnce(*mut c_void, &mut *mut R, &mut [c_char; N]) -> c_int,
    ) -> io::Result<Self> {
        lwp::enter_here()?;
        super::upcall::ready()?;
        let given = Given::<H>(Arc::into_raw(host).cast(), PhantomData);
        let mut raw = null_mut();
        let mut name = [0; N];
        Errno::check(make(given.0.cast_mut(), &mut raw, &mut name))?;
        let raw = NonNull::new(raw).ok_or(Errno::ENXIO)?;
        let bytes = name.map(|byte| byte as u8);
        let name = CStr::from_bytes_until_nul(&bytes);
        let made = Self {
            raw,
            name: name.unwrap_or_default().to_string_lossy().into_owned(),
            host: given.0,
            drop_host: drop_host::<H>,
        };
        std::mem::forget(given);
        Ok(made)
    }

    pub(super) fn raw(&self) -> *mut R {
        self.raw.as_ptr()
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Gives the host back.
    ///
    /// # Safety
    /// The object is gone, and the kernel calls the host no more. Once.
    pub(super) unsafe fn is_gone(&mut self) {
        // SAFETY: it came from `Arc::into_raw`, and by contract this is the last use.
        unsafe { (self.drop_host)(self.host) };
    }
}

/// The host that the kernel calls.
///
/// # Safety
/// The pointer is what [`Made::new`] gave the kernel for a host of this type, and the
/// object is not gone.
pub(super) unsafe fn called<'a, H>(host: *mut c_void) -> &'a H {
    // SAFETY: by contract.
    unsafe { &*host.cast::<H>() }
}
