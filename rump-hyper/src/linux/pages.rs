//! Pages for the kernel, which takes nearly all its memory one page at a time.
//!
//! `posix_memalign(3)` keeps a header before each block, so a page that begins where a page
//! does costs nearly two. These come from one range of addresses, reserved at the first use
//! and made accessible piece by piece; a page is recognised by where it is. What the kernel
//! gives back is kept for the next, and beyond some of them the system gets the memory back,
//! though not the addresses.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::ptr::{null_mut, with_exposed_provenance_mut};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::vec::Vec;

/// `PAGE_SIZE` of the kernel.
pub(super) const SIZE: usize = 4096;
/// How much is made accessible at a time.
const STEP: usize = 1 << 20;
/// How much is reserved, and the least that is worth it where addresses are limited.
const RESERVE: (usize, usize) = (1 << 36, 1 << 26);
/// Of how many pages that nobody uses the memory is kept.
const WARM: usize = 1024;

/// The range, and what is free in it.
struct Arena {
    start: usize,
    end: usize,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    /// What was never used begins here, and is accessible up to there.
    fresh: usize,
    accessible: usize,
    /// Free pages with memory, and without.
    warm: Vec<usize>,
    cold: Vec<usize>,
}

/// The arena; `None` where no addresses can be reserved.
fn arena() -> Option<&'static Arena> {
    static ARENA: OnceLock<Option<Arena>> = OnceLock::new();
    ARENA.get_or_init(Arena::reserve).as_ref()
}

/// A page, or null.
pub(super) fn allocate() -> *mut u8 {
    arena().map_or(null_mut(), Arena::allocate)
}

/// Takes back a page; false if it is none of these.
///
/// # Safety
/// The address is not used again.
pub(super) unsafe fn release(memory: *mut u8) -> bool {
    // SAFETY: by contract.
    arena().is_some_and(|arena| unsafe { arena.release(memory) })
}

impl Arena {
    fn reserve() -> Option<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let mut size = RESERVE.0;
        while size >= RESERVE.1 {
            let nowhere = null_mut::<c_void>();
            // SAFETY: a new mapping, which replaces none.
            let start = unsafe { libc::mmap(nowhere, size, libc::PROT_NONE, flags, -1, 0) };
            if start != libc::MAP_FAILED {
                let start = start.expose_provenance();
                return Some(Self {
                    start,
                    end: start + size,
                    pages: Mutex::new(Pages {
                        fresh: start,
                        accessible: start,
                        ..Pages::default()
                    }),
                });
            }
            size /= 2;
        }
        None
    }

    fn allocate(&self) -> *mut u8 {
        let page = self.pages().take(self.end);
        page.map_or(null_mut(), with_exposed_provenance_mut)
    }

    /// # Safety
    /// The address is not used again.
    unsafe fn release(&self, memory: *mut u8) -> bool {
        let address = memory.expose_provenance();
        if !(self.start..self.end).contains(&address) {
            return false;
        }
        let mut pages = self.pages();
        if pages.warm.len() < WARM {
            pages.warm.push(address);
            return true;
        }
        drop(pages);
        // SAFETY: a page of the arena that nobody uses, by contract. Should it fail, the
        // page only keeps its memory.
        unsafe { libc::madvise(memory.cast(), SIZE, libc::MADV_DONTNEED) };
        self.pages().cold.push(address);
        true
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Nothing in here is left half done.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn take(&mut self, end: usize) -> Option<usize> {
        if let Some(page) = self.warm.pop().or_else(|| self.cold.pop()) {
            return Some(page);
        }
        if self.fresh == self.accessible {
            if self.accessible == end {
                return None;
            }
            let next = with_exposed_provenance_mut(self.accessible);
            let access = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: the arena's own addresses, which nobody uses yet.
            if unsafe { libc::mprotect(next, STEP, access) } != 0 {
                return None;
            }
            self.accessible += STEP;
        }
        let page = self.fresh;
        self.fresh += SIZE;
        Some(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::thread;

    #[test]
    fn pages_are_whole_distinct_and_used_again() {
        let arena = Arena::reserve().unwrap();
        let take = || {
            let page = arena.allocate();
            assert!(!page.is_null() && page.addr().is_multiple_of(SIZE));
            // SAFETY: a page of this test's own.
            unsafe { page.write_bytes(0xa5, SIZE) };
            page.expose_provenance()
        };
        let all: Vec<usize> = thread::scope(|scope| {
            let takers = [(); 4].map(|()| scope.spawn(|| [(); WARM].map(|()| take())));
            takers
                .into_iter()
                .flat_map(|taker| taker.join().unwrap())
                .collect()
        });
        let distinct: HashSet<usize> = all.iter().copied().collect();
        assert_eq!(distinct.len(), all.len());
        for &page in &all {
            // SAFETY: nobody uses it after this.
            assert!(unsafe { arena.release(with_exposed_provenance_mut(page)) });
        }
        assert_eq!(arena.pages().warm.len(), WARM);
        let again: HashSet<usize> = all.iter().map(|_| take()).collect();
        assert_eq!(again, distinct);
    }

    #[test]
    fn what_is_not_of_the_arena_is_not_taken() {
        let arena = Arena::reserve().unwrap();
        let mut other = [0_u8; 8];
        // SAFETY: it is not taken.
        assert!(!unsafe { arena.release(other.as_mut_ptr()) });
    }
}
