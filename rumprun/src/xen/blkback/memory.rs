//! Memory that transfers go through: whole pages, of a few sizes, which are kept for the next
//! one. It is of one front end's, so that what is left in it was never another's.

use super::request::LONGEST;
use crate::memory::PAGE;
use alloc::alloc::{alloc_zeroed, dealloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// The most bytes of a queue's that are under way, or kept.
pub(super) const MOST: usize = 1 << 20;

/// Sizes are powers of two, from a page on.
const CLASSES: usize = (LONGEST / PAGE).ilog2() as usize + 1;

/// So many bytes, in pages of their own.
#[derive(Debug)]
pub(super) struct Memory {
    start: NonNull<u8>,
    class: usize,
    len: usize,
}

// SAFETY: owned like a Box.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// Bytes of a class.
fn size(class: usize) -> usize {
    PAGE << class
}

fn layout(class: usize) -> Layout {
    Layout::from_size_align(size(class), PAGE).expect("whole pages")
}

impl Memory {
    fn new(class: usize) -> Option<Self> {
        // SAFETY: not of size 0.
        let start = unsafe { alloc_zeroed(layout(class)) };
        Some(Self {
            start: NonNull::new(start)?,
            class,
            len: size(class),
        })
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes of its own, which were initialised.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: of `new`, with that layout.
        unsafe { dealloc(self.start.as_ptr(), layout(self.class)) };
    }
}

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Pool {
    kept: [Vec<Memory>; CLASSES],
    /// Bytes of all, those under way as well.
    all: usize,
}

impl Pool {
    /// So many bytes, 1 to [`LONGEST`]; `None` if as many as may be are under way, or there is
    /// no memory.
    pub(super) fn take(&mut self, len: usize) -> Option<Memory> {
        let class = len.div_ceil(PAGE).next_power_of_two().ilog2() as usize;
        let kept = self.kept.get_mut(class)?.pop();
        let mut memory = kept.or_else(|| self.make(class))?;
        memory.len = len;
        Some(memory)
    }

    fn make(&mut self, class: usize) -> Option<Memory> {
        if self.all + size(class) > MOST {
            // Those of other sizes make room.
            self.forget();
        }
        if self.all + size(class) > MOST {
            return None;
        }
        let made = Memory::new(class)?;
        self.all += size(class);
        Some(made)
    }

    fn forget(&mut self) {
        for (class, kept) in self.kept.iter_mut().enumerate() {
            self.all -= kept.len() * size(class);
            kept.clear();
        }
    }

    /// Takes it back.
    pub(super) fn put(&mut self, memory: Memory) {
        self.kept[memory.class].push(memory);
    }
}

const _: () = assert!(LONGEST <= MOST && (LONGEST / PAGE).is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_under_way_than_may_be() {
        let mut pool = Pool::default();
        let mut taken: Vec<_> = (0..MOST / LONGEST)
            .map(|_| pool.take(LONGEST).unwrap())
            .collect();
        assert!(pool.take(512).is_none());
        pool.put(taken.pop().unwrap());
        // What was kept makes room for others, and comes back.
        let mut small: Vec<_> = core::iter::from_fn(|| pool.take(3 * PAGE)).collect();
        assert_eq!(small.len(), LONGEST / (4 * PAGE));
        assert_eq!(small[0].len(), 3 * PAGE);
        assert!(small[0].as_ptr().addr().is_multiple_of(PAGE));
        assert!(pool.take(LONGEST).is_none());
        small[0][5] = 7;
        let place = small[0].as_ptr();
        pool.put(small.swap_remove(0));
        let again = pool.take(4 * PAGE).unwrap();
        assert_eq!(
            (again.as_ptr(), again[5], again.len()),
            (place, 7, 4 * PAGE)
        );
        small.push(again);
        small.drain(..).for_each(|memory| pool.put(memory));
        taken.drain(..).for_each(|memory| pool.put(memory));
        assert_eq!(pool.all, MOST);
        assert!(pool.take(LONGEST).is_some());
    }
}
