//! The kernel's heap.
//!
//! Small pieces are of a few sizes, cut from *slabs*: 16 KiB, aligned to their size, with a
//! header that says the size of the pieces and counts those in use. A slab that is empty goes
//! back to [`frames`]. All else is whole pages. No piece of a slab begins at a page, so that
//! an address tells what it is of.
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
    /// Which class it is of.
    class: &'static Class,
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
    fn take(&'static self) -> *mut u8 {
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
                    class: self,
                });
            }
            *first = slab;
        }
        // SAFETY: slabs on the list have room, and are this class's.
        let slab = unsafe { &mut **first };
        let piece = if slab.free.is_null() {
            let piece = (&raw mut *slab).cast::<u8>().wrapping_add(slab.fresh);
            slab.fresh = next_place(slab.fresh + self.size, self.size);
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
    /// The piece came from `take` of any class, and is not used any more.
    unsafe fn release(piece: *mut u8) {
        let start = piece
            .map_addr(|address| address & !(SLAB - 1))
            .cast::<Slab>();
        // SAFETY: pieces lie in a slab, which is aligned to its size; the class is written
        // before the first piece is given out.
        unsafe { (&raw const (*start).class).read().put_back(piece, start) };
    }

    /// # Safety
    /// As for `release`; the slab is of this class, and the piece in it.
    unsafe fn put_back(&self, piece: *mut u8, start: *mut Slab) {
        let mut first = self.slabs.lock();
        // SAFETY: a slab of this class, under its lock.
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

/// The first place from `at` on in a slab for a piece: not at a page.
fn next_place(at: usize, size: usize) -> usize {
    if at.is_multiple_of(PAGE) {
        at + size
    } else {
        at
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
/// It came from [`allocate`] with this size, and is not used again.
pub unsafe fn release(memory: *mut u8, size: usize) {
    // SAFETY: by contract: what begins at a page is pages, all else pieces.
    unsafe {
        if memory.addr().is_multiple_of(PAGE) {
            frames::release(memory.addr() as u64, size.div_ceil(PAGE).max(1));
        } else {
            Class::release(memory);
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
        unsafe { release(memory, layout.size()) };
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
                release(memory, layout.size());
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_apart_and_aligned() {
        let _memory = frames::set_up_for_tests(8192);
        let free = frames::count().free;
        let mut random = 3_u64;
        let mut held: std::vec::Vec<(*mut u8, usize, u8)> = std::vec::Vec::new();
        for turn in 0..200_000_u32 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let dice = (random >> 33) as usize;
            if dice.is_multiple_of(2) && held.len() > 1000 || held.len() > 2000 {
                let (piece, size, mark) = held.swap_remove(dice / 2 % held.len());
                // SAFETY: allocated below with this size.
                unsafe {
                    assert!((0..size).all(|at| *piece.add(at) == mark));
                    release(piece, size);
                }
                continue;
            }
            let size = [dice / 2 % 300, dice / 2 % 2100, dice / 2 % 9000][turn as usize % 3] + 1;
            let align = 1 << (dice / 7 % 9);
            let piece = allocate(size, align);
            assert!(!piece.is_null() && piece.addr().is_multiple_of(align));
            let mark = turn as u8;
            // SAFETY: of that size.
            unsafe { piece.write_bytes(mark, size) };
            held.push((piece, size, mark));
        }
        for (piece, size, _) in held {
            // SAFETY: as above.
            unsafe { release(piece, size) };
        }
        // One slab of each class may stay.
        assert!(frames::count().free + SIZES.len() * SLAB / PAGE >= free);
    }
}
