//! Memory of the process.
#![allow(unsafe_code)]

use super::pages;
use crate::errno::Errno;
use core::ffi::c_void;
use core::ptr::null_mut;
use std::io::Error;

pub(super) fn allocate(size: usize, align: usize) -> *mut u8 {
    if size == pages::SIZE && align <= pages::SIZE {
        let page = pages::allocate();
        if !page.is_null() {
            return page;
        }
    }
    if size >= pages::SIZE && pages::serves_devices() {
        let run = pages::allocate_run(whole(size), align);
        if !run.is_null() {
            return run;
        }
    }
    let mut memory = null_mut();
    // SAFETY: a place for the address; the alignment is a power of two and at
    // least a pointer's.
    let error = unsafe { libc::posix_memalign(&raw mut memory, align, size) };
    if error == 0 {
        memory.cast()
    } else {
        null_mut()
    }
}

/// # Safety
/// The address came from `allocate` and is not used again.
pub(super) unsafe fn release(memory: *mut u8, size: usize) {
    // SAFETY: by contract.
    unsafe {
        let taken = match size {
            pages::SIZE => pages::release(memory),
            0..pages::SIZE => false,
            _ => pages::serves_devices() && pages::release_run(memory, whole(size)),
        };
        if !taken {
            libc::free(memory.cast());
        }
    }
}

/// In whole pages.
fn whole(size: usize) -> usize {
    size.checked_next_multiple_of(pages::SIZE).unwrap_or(size)
}

fn map_once(hint: *mut c_void, size: usize, execute: bool) -> Result<*mut c_void, Errno> {
    let mut protection = libc::PROT_READ | libc::PROT_WRITE;
    if execute {
        protection |= libc::PROT_EXEC;
    }
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh mapping; the hint never replaces one that exists.
    let start = unsafe { libc::mmap(hint, size, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(super::errno::of(&Error::last_os_error()));
    }
    Ok(start)
}

pub(super) fn map(
    hint: *mut c_void,
    size: usize,
    align_bits: u32,
    execute: bool,
) -> Result<*mut c_void, Errno> {
    let align = 1_usize.checked_shl(align_bits).ok_or(Errno::INVAL)?;
    if !execute && pages::serves_devices() {
        let run = pages::allocate_run(whole(size), align);
        if !run.is_null() {
            // SAFETY: memory of that length, which nobody else has. Fresh pages are zero.
            unsafe { run.write_bytes(0, size) };
            return Ok(run.cast());
        }
    }
    let start = map_once(hint, size, execute)?;
    if start.addr().is_multiple_of(align) {
        return Ok(start);
    }
    // SAFETY: mapped above and shown to nobody.
    unsafe { unmap(start, size) };
    // Map more, keep the aligned part.
    let room = size.checked_add(align).ok_or(Errno::NOMEM)?;
    let start = map_once(hint, room, execute)?;
    let before = start.addr().next_multiple_of(align) - start.addr();
    let aligned = start.wrapping_byte_add(before);
    // SAFETY: the two ends of a mapping of our own, outside the kept part.
    unsafe {
        if before > 0 {
            unmap(start, before);
        }
        unmap(aligned.wrapping_byte_add(size), room - before - size);
    }
    Ok(aligned)
}

/// # Safety
/// The range was mapped by `map` and is not used again.
pub(super) unsafe fn unmap(start: *mut c_void, size: usize) {
    // SAFETY: by contract.
    unsafe {
        if !pages::serves_devices() || !pages::release_run(start.cast(), whole(size)) {
            libc::munmap(start, size);
        }
    }
}
