//! Memory that transfers go through: a block of pages for each queue, of which parts are taken.
//!
//! Blocks are never freed, and one that was used for a disk is used for that disk only: a front end
//! of ours that is behind it lets its back end have these pages for good ([`lasts`]), so that
//! nothing is copied between. What that domain does to them meanwhile it could do to the disk as
//! well; they are only copied from and to.
//!
//! A block is zero when a queue begins, so that what is left in it was never another front end's.

use super::request::LONGEST;
use crate::memory::PAGE;
use crate::sync::Lock;
use alloc::alloc::alloc_zeroed;
use alloc::string::String;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// Bytes of a queue's that are under way at most: those of a block.
pub(super) const MOST: usize = 1 << 20;
const PAGES: usize = MOST / PAGE;

/// So many pages in a row.
#[derive(Debug)]
struct Block(NonNull<u8>);

// SAFETY: owned like a Box.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

/// All there are, by where they begin, and those that no queue has, with the path of the disk.
static ALL: Lock<Vec<usize>> = Lock::new(Vec::new());
static KEPT: Lock<Vec<(String, Block)>> = Lock::new(Vec::new());

/// Whether so many bytes from an address on are of a block.
pub(in super::super) fn lasts(start: usize, len: usize) -> bool {
    let all = ALL.lock();
    all.iter()
        .any(|block| *block <= start && start + len <= block + MOST)
}

impl Block {
    /// One for a disk, of zeros.
    fn of(path: &str) -> Option<Self> {
        let mut kept = KEPT.lock();
        if let Some(at) = kept.iter().position(|(of, _)| of == path) {
            return Some(kept.swap_remove(at).1);
        }
        drop(kept);
        let layout = Layout::from_size_align(MOST, PAGE).ok()?;
        // SAFETY: not of size 0.
        let block = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        ALL.lock().push(block.as_ptr().addr());
        Some(Self(block))
    }
}

/// A part of a block.
#[derive(Debug)]
pub(super) struct Memory {
    start: NonNull<u8>,
    /// Its first page in the block.
    page: usize,
    len: usize,
}

// SAFETY: owned like a Box.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes of its own, which were initialised, and are there for good.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

/// A block, and what of it is taken.
#[derive(Debug)]
pub(super) struct Pool {
    path: String,
    block: Block,
    taken: [bool; PAGES],
}

impl Pool {
    /// One for a disk; `None` if there is no memory.
    pub(super) fn new(path: &str) -> Option<Self> {
        Some(Self {
            path: path.into(),
            block: Block::of(path)?,
            taken: [false; PAGES],
        })
    }

    /// So many bytes, 1 to [`LONGEST`], from a page on; `None` if there are not as many in a row.
    pub(super) fn take(&mut self, len: usize) -> Option<Memory> {
        let pages = len.div_ceil(PAGE);
        let page = self
            .taken
            .windows(pages)
            .position(|taken| !taken.contains(&true))?;
        self.taken[page..page + pages].fill(true);
        // SAFETY: inside the block.
        let start = unsafe { self.block.0.add(page * PAGE) };
        Some(Memory { start, page, len })
    }

    /// Takes it back.
    pub(super) fn put(&mut self, memory: Memory) {
        self.taken[memory.page..][..memory.len.div_ceil(PAGE)].fill(false);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // What was not given back may still be written to: then nobody has the block any more.
        if self.taken.contains(&true) {
            return;
        }
        let block = Block(self.block.0);
        // SAFETY: all of it is this one's.
        unsafe { block.0.write_bytes(0, MOST) };
        KEPT.lock().push((core::mem::take(&mut self.path), block));
    }
}

const _: () = assert!(LONGEST <= MOST && MOST.is_multiple_of(PAGE));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_under_way_than_there_is() {
        let mut pool = Pool::new("/dev/full").unwrap();
        let mut taken: Vec<_> = (0..MOST / LONGEST)
            .map(|_| pool.take(LONGEST).unwrap())
            .collect();
        assert!(pool.take(512).is_none());
        pool.put(taken.remove(1));
        let small: Vec<_> = core::iter::from_fn(|| pool.take(3 * PAGE - 512)).collect();
        assert_eq!(small.len(), LONGEST / (3 * PAGE));
        assert!(pool.take(3 * PAGE).is_none());
        for memory in taken.iter().chain(&small) {
            let start = memory.as_ptr().addr();
            assert!(start.is_multiple_of(PAGE) && lasts(start, memory.len()));
            assert!(!lasts(start, MOST + 1));
        }
        let mut places: Vec<_> = taken
            .iter()
            .chain(&small)
            .map(|memory| memory.as_ptr_range())
            .collect();
        places.sort_by_key(|place| place.start);
        assert!(places.windows(2).all(|two| two[0].end <= two[1].start));
        small
            .into_iter()
            .chain(taken)
            .for_each(|memory| pool.put(memory));
        assert!(pool.take(LONGEST).is_some());
    }

    #[test]
    fn a_block_stays_with_its_disk_and_is_zero() {
        let mut pool = Pool::new("/dev/one").unwrap();
        let mut memory = pool.take(PAGE).unwrap();
        memory.fill(7);
        let place = memory.as_ptr();
        pool.put(memory);
        drop(pool);
        let other = Pool::new("/dev/two").unwrap().take(PAGE).unwrap();
        assert_ne!(other.as_ptr(), place);
        let mut again = Pool::new("/dev/one").unwrap();
        let memory = again.take(PAGE).unwrap();
        assert_eq!((memory.as_ptr(), &memory[..]), (place, &[0; PAGE][..]));
        // Of one that is still in use there is no next owner.
        drop(again);
        let next = Pool::new("/dev/one").unwrap().take(PAGE).unwrap();
        assert_ne!(next.as_ptr(), place);
    }
}
