//! Memory for the kernel, and how much of it there is.
//!
//! The kernel enforces `RUMP_MEMLIMIT` itself; this side counts what it handed
//! out, so that a test can hold the two against each other.

use crate::errno::Errno;
use crate::host::Host;
use crate::params;
use core::ffi::c_void;
use core::sync::atomic::{AtomicUsize, Ordering};

static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// Bytes that the kernel has from `rumpuser_malloc` and `rumpuser_anonmmap`.
pub fn in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}

/// The limit set by [`params::set`] as `RUMP_MEMLIMIT`, in bytes: a number with
/// `k`, `m` or `g` behind it. `None` is no limit, or one that is not a number.
///
/// ```
/// rump_hyper::params::set("RUMP_MEMLIMIT", "8m");
/// assert_eq!(rump_hyper::memory::limit(), Some(8 << 20));
/// ```
pub fn limit() -> Option<usize> {
    let text = params::get("RUMP_MEMLIMIT")?;
    let digits = text.trim_end_matches(['k', 'm', 'g']);
    let unit = match &text[digits.len()..] {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

/// `rumpuser_malloc`: alignment 0 means what a pointer needs.
pub fn allocate<H: Host>(size: usize, align: usize) -> Result<*mut c_void, Errno> {
    let align = align.max(size_of::<*mut c_void>());
    assert!(
        align.is_power_of_two(),
        "rump: alignment {align} is no power of two"
    );
    let memory = H::allocate(size, align);
    if memory.is_null() {
        return Err(Errno::NOMEM);
    }
    IN_USE.fetch_add(size, Ordering::Relaxed);
    Ok(memory.cast())
}

/// `rumpuser_free`.
///
/// # Safety
/// The kernel returns what it got from [`allocate`], with the same size.
#[allow(unsafe_code)]
pub unsafe fn release<H: Host>(memory: *mut c_void, size: usize) {
    if memory.is_null() {
        return;
    }
    IN_USE.fetch_sub(size, Ordering::Relaxed);
    // SAFETY: by contract.
    unsafe { H::release(memory.cast(), size) };
}

/// `rumpuser_anonmmap`.
pub fn map<H: Host>(
    hint: *mut c_void,
    size: usize,
    align_bits: u32,
    execute: bool,
) -> Result<*mut c_void, Errno> {
    let start = H::map(hint, size, align_bits, execute)?;
    IN_USE.fetch_add(size, Ordering::Relaxed);
    Ok(start)
}

/// `rumpuser_unmap`.
///
/// # Safety
/// The kernel returns what it got from [`map`], with the same size.
#[allow(unsafe_code)]
pub unsafe fn unmap<H: Host>(start: *mut c_void, size: usize) {
    IN_USE.fetch_sub(size, Ordering::Relaxed);
    // SAFETY: by contract.
    unsafe { H::unmap(start, size) };
}
