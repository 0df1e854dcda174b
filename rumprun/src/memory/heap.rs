//! The kernel's heap.
//!
//! Small pieces are of a few sizes, cut from *slabs*: 16 KiB, aligned to their size, with a
//! header that counts what is in use. A slab that is empty goes back to [`frames`]. All else
//! is whole pages. Who frees says the size, as Rust and rumpuser(3) do, so that pieces have no
//! header.
//!
//! All of it lies at its physical address and a piece is contiguous: a device can be given
//! it.

use super::{PAGE, frames};
use crate::sync::Lock;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;

/// Bytes of a slab.
const SLAB: usize = 16 * 1024;
/// Sizes of pieces.
const SIZES: [usize; 14] = [
    16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048,
];
/// Bytes of a slab's header; pieces are aligned to as much.
const HEADER: usize = 64;

/// The first bytes of a slab.
#[repr(C)]
struct Slab {
    next: *mut Slab,
    previous: *mut Slab,
    /// Pieces that were given back, each with the address of the next.
    free: *mut *mut u8,
    /// Pieces that were given out.
    used: usize,
    /// Where the part begins that was never given out.
    fresh: usize,
}

/// Slabs of one size that have room.
struct Class {
    size: usize,
    slabs: Lock<*mut Slab>,
}

// SAFETY: the slabs are the class's, and reached under its lock.
unsafe impl Sync for Class {}

static CLASSES: [Class; SIZES.len()] = {
    let mut at = 0;
    let mut classes = [const {
        Class {
            size: 0,
            slabs: Lock::new(null_mut()),
        }
    }; SIZES.len()];
    while at < SIZES.len() {
        classes[at].size = SIZES[at];
        at += 1;
    }
    classes
};

/// The class that a request is served by; `None` is whole pages.
fn class(size: usize, align: usize) -> Option<&'static Class> {
    if align > HEADER {
        return None;
    }
    // A piece of a size that the alignment divides is aligned to it.
    CLASSES
        .iter()
        .find(|class| class.size >= size && class.size % align == 0)
}

impl Class {
    fn take(&self) -> *mut u8 {
        let mut first = self.slabs.lock();
        if first.is_null() {
            let Some(slab) = frames::take(SLAB / PAGE, SLAB / PAGE) else {
                return null_mut();
            };
            let slab = slab as *mut Slab;
            // SAFETY: fresh pages, aligned to their size.
            unsafe {
                slab.write(Slab {
                    next: null_mut(),
                    previous: null_mut(),
                    free: null_mut(),
                    used: 0,
                    fresh: HEADER,
                });
            }
            *first = slab;
        }
        // SAFETY: slabs on the list have room, and are this class's.
        let slab = unsafe { &mut **first };
        let piece = if slab.free.is_null() {
            let piece = (&raw mut *slab).cast::<u8>().wrapping_add(slab.fresh);
            slab.fresh += self.size;
            piece
        } else {
            let piece = slab.free;
            // SAFETY: a piece that was given back, and holds the address of the next.
            slab.free = unsafe { *piece }.cast();
            piece.cast()
        };
        slab.used += 1;
        if slab.is_full(self.size) {
            // SAFETY: it is the first of the list.
            unsafe { unlink(&mut first, slab) };
        }
        piece
    }

    /// # Safety
    /// The piece came from `take`, and is not used any more.
    unsafe fn release(&self, piece: *mut u8) {
        let start = piece
            .map_addr(|address| address & !(SLAB - 1))
            .cast::<Slab>();
        let mut first = self.slabs.lock();
        // SAFETY: pieces lie in a slab, which is aligned to its size.
        let slab = unsafe { &mut *start };
        let was_full = slab.is_full(self.size);
        let piece = piece.cast::<*mut u8>();
        // SAFETY: by contract; pieces are at least 16 bytes, aligned to 16.
        unsafe { *piece = slab.free.cast() };
        slab.free = piece;
        slab.used -= 1;
        if was_full {
            slab.previous = null_mut();
            slab.next = *first;
            // SAFETY: slabs on the list are this class's.
            if let Some(next) = unsafe { slab.next.as_mut() } {
                next.previous = start;
            }
            *first = start;
        }
        // The only one with room stays, lest a piece that comes and goes cost a slab each time.
        if slab.used == 0 && !(slab.next.is_null() && slab.previous.is_null()) {
            // SAFETY: it is on the list, and none of its pieces is in use.
            unsafe {
                unlink(&mut first, slab);
                drop(first);
                frames::release(start.addr() as u64, SLAB / PAGE);
            }
        }
    }
}

impl Slab {
    fn is_full(&self, size: usize) -> bool {
        self.free.is_null() && self.fresh + size > SLAB
    }
}

/// Takes a slab off the list.
///
/// # Safety
/// It is on it.
unsafe fn unlink(first: &mut *mut Slab, slab: &mut Slab) {
    // SAFETY: neighbours on the list are slabs.
    unsafe {
        match slab.previous.as_mut() {
            Some(previous) => previous.next = slab.next,
            None => *first = slab.next,
        }
        if let Some(next) = slab.next.as_mut() {
            next.previous = slab.previous;
        }
    }
}

/// Memory of that size and alignment (a power of two), or null.
pub fn allocate(size: usize, align: usize) -> *mut u8 {
    if let Some(class) = class(size, align) {
        return class.take();
    }
    frames::take(size.div_ceil(PAGE).max(1), align.div_ceil(PAGE))
        .map_or(null_mut(), |address| address as *mut u8)
}

/// Gives memory back.
///
/// # Safety
/// It came from [`allocate`] with this size and alignment, and is not used again.
pub unsafe fn release(memory: *mut u8, size: usize, align: usize) {
    // SAFETY: by contract.
    unsafe {
        match class(size, align) {
            Some(class) => class.release(memory),
            None => frames::release(memory.addr() as u64, size.div_ceil(PAGE).max(1)),
        }
    }
}

/// Pages for good, with zeros in them.
///
/// # Panics
/// If there are none.
pub(crate) fn pages(count: usize) -> *mut u8 {
    let pages = frames::take(count, 1).expect("memory for the kernel's tables") as *mut u8;
    // SAFETY: just taken.
    unsafe { pages.write_bytes(0, count * PAGE) };
    pages
}

/// The heap as Rust's allocator.
#[derive(Debug)]
pub struct Heap;

// SAFETY: pieces do not overlap and live until they are given back; sizes and alignments are
// kept.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocate(layout.size(), layout.align())
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: by contract.
        unsafe { release(memory, layout.size(), layout.align()) };
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // What is served by the same piece, or the same pages, stays.
        let same = match (
            class(layout.size(), layout.align()),
            class(size, layout.align()),
        ) {
            (Some(old), Some(new)) => old.size == new.size,
            (None, None) => layout.size().div_ceil(PAGE) == size.div_ceil(PAGE),
            _ => false,
        };
        if same {
            return memory;
        }
        let new = allocate(size, layout.align());
        if !new.is_null() {
            // SAFETY: both are at least that long; the old one is given back once.
            unsafe {
                new.copy_from_nonoverlapping(memory, layout.size().min(size));
                release(memory, layout.size(), layout.align());
            }
        }
        new
    }
}
