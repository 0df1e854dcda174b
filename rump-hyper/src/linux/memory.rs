//! Memory of the process.
#![allow(unsafe_code)]

use super::pages;
use crate::errno::Errno;
use core::ffi::c_void;
use core::ptr::null_mut;
use std::alloc::{self, Layout};
use std::io::Error;

/// The alignment of what is smaller than a page: that of a line of a cache.
const LINE: usize = 64;

/// Small pieces are the global allocator's, so that a program which has another for its library
/// has that here, too; pages have a range of their own, and so has what is larger where devices
/// reach it (`pages`); else that is mapped.
pub(super) fn allocate(size: usize, align: usize) -> *mut u8 {
    if size < pages::SIZE && align <= LINE {
        return match small(size) {
            // SAFETY: not empty.
            Some(layout) => unsafe { alloc::alloc(layout) },
            None => null_mut(),
        };
    }
    if size <= pages::SIZE && align <= pages::SIZE {
        let page = pages::allocate();
        if !page.is_null() {
            return page;
        }
    }
    if pages::serves_devices() {
        let run = pages::allocate_run(whole(size), align);
        if !run.is_null() {
            return run;
        }
    }
    let mapped = map_aligned(null_mut(), whole(size), align, false);
    mapped.map_or(null_mut(), <*mut c_void>::cast)
}

fn small(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.max(1), LINE).ok()
}

/// In whole pages; too much stays too much.
fn whole(size: usize) -> usize {
    size.checked_next_multiple_of(pages::SIZE).unwrap_or(size)
}

/// # Safety
/// The address came from `allocate` with this size and is not used again.
pub(super) unsafe fn release(memory: *mut u8, size: usize) {
    // SAFETY: by contract; where it came from is known by the place and the size.
    unsafe {
        if size <= pages::SIZE && pages::release(memory) {
            return;
        }
        match small(size) {
            Some(layout) if size < pages::SIZE => alloc::dealloc(memory, layout),
            _ => unmap(memory.cast(), whole(size)),
        }
    }
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
    map_aligned(hint, size, align, execute)
}

fn map_aligned(
    hint: *mut c_void,
    size: usize,
    align: usize,
    execute: bool,
) -> Result<*mut c_void, Errno> {
    let start = map_once(hint, size, execute)?;
    if start.addr().is_multiple_of(align) {
        return Ok(start);
    }
    // SAFETY: mapped above and shown to nobody.
    unsafe { libc::munmap(start, size) };
    // Map more, keep the aligned part.
    let room = size.checked_add(align).ok_or(Errno::NOMEM)?;
    let start = map_once(hint, room, execute)?;
    let before = start.addr().next_multiple_of(align) - start.addr();
    let aligned = start.wrapping_byte_add(before);
    // SAFETY: the two ends of a mapping of our own, outside the kept part.
    unsafe {
        if before > 0 {
            libc::munmap(start, before);
        }
        libc::munmap(aligned.wrapping_byte_add(size), room - before - size);
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
