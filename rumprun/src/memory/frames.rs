//! Physical memory, in pages.
//!
//! A buddy allocator: free memory is in blocks of a power of two of pages, aligned to their
//! size, on a list for each size. A byte for each page says of the first page of a free block
//! how large it is. The lists are in the free pages themselves, which are mapped at their own
//! addresses.
//!
//! A request need not be a power of two: what it does not need of the block goes back at
//! once, so that what is given out is exact.

use super::{PAGE, PAGE64};
use crate::boot::info::Range;
use crate::sync::Lock;
use core::ptr::null_mut;
use core::slice;

/// Sizes of blocks: one page to 2 GiB.
const ORDERS: usize = 20;
/// In [`Frames::orders`]: not the first page of a free block.
const NOT_FREE: u8 = 0xff;

/// A free block, in its first bytes.
#[repr(C)]
struct Free {
    next: *mut Free,
    previous: *mut Free,
}

/// How much memory there is, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// That the loader gave.
    pub total: usize,
    /// That are free.
    pub free: usize,
}

/// The allocator.
pub(crate) struct Frames {
    /// Address of the first page that [`orders`](Self::orders) speaks of.
    base: u64,
    orders: &'static mut [u8],
    lists: [*mut Free; ORDERS],
    count: Count,
}

// SAFETY: the pages on the lists are the allocator's alone.
unsafe impl Send for Frames {}

impl Frames {
    pub(crate) const fn new() -> Self {
        Self {
            base: 0,
            orders: &mut [],
            lists: [null_mut(); ORDERS],
            count: Count { total: 0, free: 0 },
        }
    }

    /// Takes memory over, except what is used.
    ///
    /// # Safety
    /// Nobody else uses it; it is mapped at its own address.
    pub(crate) unsafe fn add(&mut self, memory: &[Range], used: &[Range]) {
        let low = memory.iter().map(|range| range.start).min().unwrap_or(0) & !(PAGE64 - 1);
        let high = memory.iter().map(|range| range.end).max().unwrap_or(0);
        let len = ((high - low) / PAGE64) as usize;
        // The bytes for the pages are in the first gap that is large enough.
        let table = memory
            .iter()
            .find_map(|range| gap(*range, used, len))
            .expect("memory for the table of pages");
        // SAFETY: free memory, by contract; `gap` has found that nobody uses it.
        self.orders = unsafe { slice::from_raw_parts_mut(table as *mut u8, len) };
        self.orders.fill(NOT_FREE);
        self.base = low;
        let table = Range {
            start: table,
            end: table + len as u64,
        };
        for range in memory {
            self.count.total += ((range.end - range.start) / PAGE64) as usize;
            let mut at = range.start.next_multiple_of(PAGE64);
            while let Some((start, end)) = next_free(at, range.end, used, table) {
                // SAFETY: as above.
                unsafe { self.release(start, ((end - start) / PAGE64) as usize) };
                at = end;
            }
        }
    }

    fn order(&mut self, address: u64) -> Option<&mut u8> {
        let index = address.checked_sub(self.base)? / PAGE64;
        self.orders.get_mut(usize::try_from(index).ok()?)
    }

    /// Puts a block on its list.
    ///
    /// # Safety
    /// It is free, aligned to its size, and on no list.
    unsafe fn push(&mut self, address: u64, order: usize) {
        let block = address as *mut Free;
        let next = self.lists[order];
        // SAFETY: by contract; the list holds free blocks only.
        unsafe {
            block.write(Free {
                next,
                previous: null_mut(),
            });
            if let Some(next) = next.as_mut() {
                next.previous = block;
            }
        }
        self.lists[order] = block;
        if let Some(slot) = self.order(address) {
            *slot = order as u8;
        }
    }

    /// Takes a block off its list.
    ///
    /// # Safety
    /// It is on the list of that size.
    unsafe fn remove(&mut self, address: u64, order: usize) {
        // SAFETY: by contract; neighbours on a list are free blocks.
        unsafe {
            let block = &*(address as *const Free);
            match block.previous.as_mut() {
                Some(previous) => previous.next = block.next,
                None => self.lists[order] = block.next,
            }
            if let Some(next) = block.next.as_mut() {
                next.previous = block.previous;
            }
        }
        if let Some(slot) = self.order(address) {
            *slot = NOT_FREE;
        }
    }

    /// So many pages that follow each other, aligned to a power of two of pages.
    pub(crate) fn take(&mut self, pages: usize, align: usize) -> Option<u64> {
        let order = pages
            .max(align)
            .checked_next_power_of_two()?
            .trailing_zeros() as usize;
        let found = (order..ORDERS).find(|order| !self.lists[*order].is_null())?;
        let address = self.lists[found].addr() as u64;
        // SAFETY: it is the first of that list.
        unsafe { self.remove(address, found) };
        self.count.free -= 1 << found;
        // SAFETY: the rest of a block that was just taken.
        unsafe { self.release(address + pages as u64 * PAGE64, (1 << found) - pages) };
        Some(address)
    }

    /// Takes back so many pages.
    ///
    /// # Safety
    /// They were taken, or added, and nobody uses them.
    pub(crate) unsafe fn release(&mut self, mut address: u64, mut pages: usize) {
        self.count.free += pages;
        while pages > 0 {
            // The largest block that begins here and is not too long.
            let aligned = (address / PAGE64).trailing_zeros() as usize;
            let order = aligned.min(pages.ilog2() as usize).min(ORDERS - 1);
            // SAFETY: by contract.
            unsafe { self.release_block(address, order) };
            address += PAGE64 << order;
            pages -= 1 << order;
        }
    }

    /// # Safety
    /// As for [`release`](Self::release), of an aligned block.
    unsafe fn release_block(&mut self, mut address: u64, mut order: usize) {
        while order < ORDERS - 1 {
            let other = address ^ PAGE64 << order;
            if self
                .order(other)
                .is_none_or(|slot| usize::from(*slot) != order)
            {
                break;
            }
            // SAFETY: it is free and of that size, as its byte says.
            unsafe { self.remove(other, order) };
            address = address.min(other);
            order += 1;
        }
        // SAFETY: both halves are free and on no list.
        unsafe { self.push(address, order) };
    }
}

/// Where `len` bytes fit into a range beside what is used.
fn gap(range: Range, used: &[Range], len: usize) -> Option<u64> {
    let mut start = range.start.next_multiple_of(PAGE64);
    while start.checked_add(len as u64)? <= range.end {
        match used
            .iter()
            .find(|used| used.start < start + len as u64 && start < used.end)
        {
            Some(used) => start = used.end.next_multiple_of(PAGE64),
            None => return Some(start),
        }
    }
    None
}

/// The next whole pages from `at` on that nobody uses.
fn next_free(at: u64, end: u64, used: &[Range], table: Range) -> Option<(u64, u64)> {
    let mut at = at;
    let used = || used.iter().chain([&table]);
    while let Some(within) = used().find(|used| used.start < at + PAGE64 && at < used.end) {
        at = within.end.next_multiple_of(PAGE64);
    }
    let end = used()
        .filter(|used| used.start >= at)
        .map(|used| used.start)
        .fold(end, u64::min);
    let end = end & !(PAGE64 - 1);
    (at < end).then_some((at, end))
}

static FRAMES: Lock<Frames> = Lock::new(Frames::new());

/// Takes over the machine's memory.
pub(crate) fn set_up(memory: &[Range], used: &[Range]) {
    // SAFETY: the loader says that it is there; `used` is what it and the image occupy.
    unsafe { FRAMES.lock().add(memory, used) };
}

/// So many pages that follow each other, at their physical address, or `None` if there is no
/// such memory. What is in them is not defined.
pub fn take(pages: usize, align: usize) -> Option<u64> {
    FRAMES.lock().take(pages, align)
}

/// A page of zeros.
pub fn take_zeroed() -> Option<u64> {
    let page = take(1, 1)?;
    // SAFETY: a page that is nobody else's.
    unsafe { (page as *mut u8).write_bytes(0, PAGE) };
    Some(page)
}

/// Gives pages back.
///
/// # Safety
/// They came from [`take`] and nobody uses them any more.
pub unsafe fn release(address: u64, pages: usize) {
    // SAFETY: by contract.
    unsafe { FRAMES.lock().release(address, pages) };
}

/// The address behind the last page.
pub(crate) fn end() -> u64 {
    let frames = FRAMES.lock();
    frames.base + frames.orders.len() as u64 * PAGE64
}

/// How much there is.
pub fn count() -> Count {
    FRAMES.lock().count
}

/// Gives a test some memory, and to no other at the same time.
#[cfg(test)]
pub(crate) fn set_up_for_tests(pages: usize) -> impl Drop {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let layout = std::alloc::Layout::from_size_align(pages * PAGE, 1 << 20).expect("a layout");
    // SAFETY: not of size 0.
    let start = unsafe { std::alloc::alloc(layout) }.addr() as u64;
    let end = start + (pages * PAGE) as u64;
    *FRAMES.lock() = Frames::new();
    set_up(&[Range { start, end }], &[]);
    one
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{Layout, alloc};
    use std::vec::Vec;

    /// An allocator over memory of the test's.
    fn some(pages: usize, used: &[(usize, usize)]) -> (Frames, u64) {
        let layout = Layout::from_size_align(pages * PAGE, 1 << 20).unwrap();
        // SAFETY: not of size 0.
        let memory = unsafe { alloc(layout) }.addr() as u64;
        let range = |start: usize, end: usize| Range {
            start: memory + start as u64,
            end: memory + end as u64,
        };
        let used: Vec<_> = used
            .iter()
            .map(|(start, end)| range(*start, *end))
            .collect();
        let mut frames = Frames::new();
        // SAFETY: leaked memory of that size.
        unsafe { frames.add(&[range(0, pages * PAGE)], &used) };
        (frames, memory)
    }

    #[test]
    fn what_is_used_is_not_given_out() {
        let (mut frames, base) = some(64, &[(0, 100), (8192, 8193), (10 * PAGE + 1, 12 * PAGE)]);
        // Used: pages 0, 2, 10, 11, and one for the table.
        assert_eq!(
            frames.count,
            Count {
                total: 64,
                free: 59
            }
        );
        let mut taken = Vec::new();
        while let Some(page) = frames.take(1, 1) {
            taken.push((page - base) / PAGE64);
        }
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), 59);
        assert!([0, 2, 10, 11].iter().all(|page| !taken.contains(page)));
    }

    #[test]
    fn pieces_grow_together_again() {
        let (mut frames, _) = some(256, &[]);
        let whole = frames.count.free;
        let mut random = 1_u64;
        let mut held: Vec<(u64, usize)> = Vec::new();
        for _ in 0..20_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let dice = (random >> 33) as usize;
            if dice.is_multiple_of(3) && !held.is_empty() {
                let (address, pages) = held.swap_remove(dice / 3 % held.len());
                // SAFETY: taken below.
                unsafe { frames.release(address, pages) };
                continue;
            }
            let (pages, align) = (dice / 3 % 9 + 1, 1 << (dice / 27 % 4));
            let Some(address) = frames.take(pages, align) else {
                continue;
            };
            assert_eq!(address % (align as u64 * PAGE64), 0);
            let end = address + pages as u64 * PAGE64;
            assert!(held.iter().all(|(other, pages)| {
                end <= *other || other + *pages as u64 * PAGE64 <= address
            }));
            // SAFETY: just taken.
            unsafe { (address as *mut u8).write_bytes(0xa5, pages * PAGE) };
            held.push((address, pages));
        }
        for (address, pages) in held {
            // SAFETY: taken above.
            unsafe { frames.release(address, pages) };
        }
        assert_eq!(frames.count.free, whole);
        assert!(frames.take(128, 128).is_some());
        assert!(frames.take(1 << 40, 1).is_none());
    }
}
