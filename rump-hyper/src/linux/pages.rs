//! Pages for the kernel, which takes nearly all its memory one page at a time.
//!
//! `posix_memalign(3)` keeps a header before each block, so a page that begins where a page
//! does costs nearly two. These come from one range of addresses, reserved at the first use
//! and made accessible piece by piece; a page is recognised by where it is. What the kernel
//! gives back is kept for the next, and beyond some of them the system gets the memory back,
//! though not the addresses.
//!
//! When the kernel has a device, the range is what the device reaches: it is mapped for
//! DMA, all of it that is accessible, and from then on each further piece before anybody
//! has it. Then it also serves what is longer than a page ([`Runs`]), it is not longer than
//! the device's window, no memory goes back to the system, because the IOMMU would still
//! lead to it, and none is inherited by a fork, which would be given copies of pages that
//! are written by devices.
#![allow(unsafe_code)]

use super::runs::Runs;
use crate::pci::window::Window;
use core::ffi::c_void;
use core::ptr::{null_mut, with_exposed_provenance_mut};
use std::boxed::Box;
use std::io::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::vec::Vec;

/// `PAGE_SIZE` of the kernel.
pub(super) const SIZE: usize = 4096;
/// How much is made accessible at a time, and where it is mapped for DMA: the IOMMU has
/// large pages.
const STEP: usize = 1 << 20;
const DMA_STEP: usize = 4 << 20;
/// How much is reserved, and the least that is worth it where addresses are limited.
const RESERVE: (usize, usize) = (1 << 36, 1 << 26);
/// Of how many pages that nobody uses the memory is kept.
const WARM: usize = 1024;

/// Maps a piece of the range for DMA: where it begins, and how long it is.
pub(super) type Mapper = Box<dyn FnMut(usize, usize) -> Result<()> + Send>;

/// What a window is chosen by.
pub(super) struct Room {
    /// The window that there is: it is the same as long as the process lives.
    pub(super) window: Option<Window>,
    /// Where the arena begins.
    pub(super) start: usize,
    /// How much of it must be in the window, and how much there could be.
    pub(super) used: usize,
    pub(super) all: usize,
}

/// The window that was chosen, and what maps pieces of the arena there.
pub(super) type Chosen<E> = core::result::Result<(Window, Mapper), E>;

/// The range, and what is free in it.
struct Arena {
    start: usize,
    end: usize,
    /// It serves devices, or has.
    dma: AtomicBool,
    window: OnceLock<Window>,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    /// What was never used begins here, and is accessible up to there; beyond the limit
    /// nothing ever is.
    fresh: usize,
    accessible: usize,
    limit: usize,
    /// Free pages with memory, and without.
    warm: Vec<usize>,
    cold: Vec<usize>,
    /// Of memory that devices reach: what is free, and how more of it is mapped while
    /// there is a device.
    dma: bool,
    runs: Runs,
    mapper: Option<Mapper>,
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

/// Whether longer memory comes from here, too.
#[inline]
pub(super) fn serves_devices() -> bool {
    arena().is_some_and(|arena| arena.dma.load(Ordering::Relaxed))
}

/// Memory that devices reach, of whole pages and aligned to at least one; null if there is
/// none.
pub(super) fn allocate_run(len: usize, align: usize) -> *mut u8 {
    arena().map_or(null_mut(), |arena| arena.allocate_run(len, align))
}

/// Takes back what `allocate_run` gave; false if it is none of it.
///
/// # Safety
/// The memory is not used again, and it is so long.
pub(super) unsafe fn release_run(memory: *mut u8, len: usize) -> bool {
    arena().is_some_and(|arena| arena.release_run(memory, len))
}

/// Where devices find the arena; `None` before there was one.
pub(super) fn window() -> Option<Window> {
    arena()?.window.get().copied()
}

/// Has devices reach the arena: `choose` says through which window, and the mapper that
/// comes with it then maps what is accessible, and is kept for the rest.
pub(super) fn give_to_devices<E: From<Error>>(
    choose: impl FnOnce(Room) -> Chosen<E>,
) -> core::result::Result<Window, E> {
    let none = || Error::other("no range of addresses could be reserved");
    arena().ok_or_else(none)?.give_to_devices(choose)
}

/// How much of the arena is accessible.
pub(super) fn accessible() -> usize {
    arena().map_or(0, |arena| arena.pages().accessible - arena.start)
}

/// There is no device any more.
pub(super) fn take_from_devices() {
    if let Some(arena) = arena() {
        let mapper = arena.pages().mapper.take();
        drop(mapper);
    }
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
                let mapped = start.expose_provenance();
                // The little before the first large page stays unused.
                let start = mapped.next_multiple_of(DMA_STEP);
                let end = (mapped + size) / DMA_STEP * DMA_STEP;
                return Some(Self {
                    start,
                    end,
                    dma: AtomicBool::new(false),
                    window: OnceLock::new(),
                    pages: Mutex::new(Pages {
                        fresh: start,
                        accessible: start,
                        limit: end,
                        ..Pages::default()
                    }),
                });
            }
            size /= 2;
        }
        None
    }

    fn allocate(&self) -> *mut u8 {
        let page = self.pages().take();
        page.map_or(null_mut(), with_exposed_provenance_mut)
    }

    fn allocate_run(&self, len: usize, align: usize) -> *mut u8 {
        let run = self.pages().take_run(len, align.max(SIZE));
        run.map_or(null_mut(), with_exposed_provenance_mut)
    }

    /// # Safety
    /// The address is not used again.
    unsafe fn release(&self, memory: *mut u8) -> bool {
        let address = memory.expose_provenance();
        if !(self.start..self.end).contains(&address) {
            return false;
        }
        let mut pages = self.pages();
        if pages.warm.len() < WARM || pages.dma {
            pages.warm.push(address);
            return true;
        }
        drop(pages);
        // SAFETY: a page of the arena that nobody uses, by contract. Should it fail, the
        // page only keeps its memory.
        unsafe { libc::madvise(memory.cast(), SIZE, libc::MADV_DONTNEED) };
        let mut pages = self.pages();
        // Devices that have come meanwhile may have reached what was there: nobody gets
        // this page any more.
        if !pages.dma {
            pages.cold.push(address);
        }
        true
    }

    fn release_run(&self, memory: *mut u8, len: usize) -> bool {
        let address = memory.expose_provenance();
        if !(self.start..self.end).contains(&address) {
            return false;
        }
        self.pages().runs.put(address, len);
        true
    }

    fn give_to_devices<E: From<Error>>(
        &self,
        choose: impl FnOnce(Room) -> Chosen<E>,
    ) -> core::result::Result<Window, E> {
        let mut pages = self.pages();
        let used = (pages.accessible - self.start).next_multiple_of(DMA_STEP);
        let all = pages.limit - self.start;
        let (window, mut mapper) = choose(Room {
            window: self.window.get().copied(),
            start: self.start,
            used,
            all,
        })?;
        // What is to be mapped next begins at a large page.
        let fill = self.start + used - pages.accessible;
        if fill > 0 {
            access(pages.accessible, fill, true)?;
        }
        pages.accessible += fill;
        if used > 0 {
            advise(self.start, used);
            mapper(self.start, used)?;
        }
        pages.limit = pages
            .limit
            .min(self.start + usize::try_from(window.len).unwrap_or(usize::MAX));
        pages.dma = true;
        pages.mapper = Some(mapper);
        let window = *self.window.get_or_init(|| window);
        self.dma.store(true, Ordering::Relaxed);
        Ok(window)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Nothing in here is left half done.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn take(&mut self) -> Option<usize> {
        if let Some(page) = self.warm.pop().or_else(|| self.cold.pop()) {
            return Some(page);
        }
        if self.dma
            && let Some(page) = self.runs.take(SIZE, SIZE)
        {
            return Some(page);
        }
        if self.fresh == self.accessible {
            self.grow(SIZE)?;
        }
        let page = self.fresh;
        self.fresh += SIZE;
        Some(page)
    }

    fn take_run(&mut self, len: usize, align: usize) -> Option<usize> {
        if let Some(run) = self.runs.take(len, align) {
            return Some(run);
        }
        let start = self.fresh.checked_next_multiple_of(align)?;
        let end = start.checked_add(len)?;
        if end > self.accessible {
            self.grow(end - self.accessible)?;
        }
        self.runs.put(self.fresh, start - self.fresh);
        self.fresh = end;
        Some(start)
    }

    /// Makes at least that much more accessible.
    fn grow(&mut self, len: usize) -> Option<()> {
        let step = if self.dma { DMA_STEP } else { STEP };
        let len = len.checked_next_multiple_of(step)?;
        if len > self.limit - self.accessible {
            return None;
        }
        access(self.accessible, len, true).ok()?;
        if self.dma {
            advise(self.accessible, len);
        }
        if let Some(mapper) = &mut self.mapper
            && mapper(self.accessible, len).is_err()
        {
            // Whoever wanted it gets other memory, which devices do not reach.
            let _ = access(self.accessible, len, false);
            return None;
        }
        self.accessible += len;
        Some(())
    }
}

/// Makes a piece of the arena that nobody uses accessible, or not.
fn access(start: usize, len: usize, yes: bool) -> Result<()> {
    let access = if yes {
        libc::PROT_READ | libc::PROT_WRITE
    } else {
        libc::PROT_NONE
    };
    let start = with_exposed_provenance_mut(start);
    // SAFETY: the arena's own addresses, which nobody uses yet.
    match unsafe { libc::mprotect(start, len, access) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// Says how a piece of the arena that devices reach is used: not by a fork, and in large
/// pages if there are any.
fn advise(start: usize, len: usize) {
    let start = with_exposed_provenance_mut(start);
    // SAFETY: the arena's own addresses; neither advice changes what is in them. A system
    // without large pages refuses the second, and a fork is told not to touch the kernel.
    unsafe {
        libc::madvise(start, len, libc::MADV_DONTFORK);
        libc::madvise(start, len, libc::MADV_HUGEPAGE);
    }
}

#[cfg(test)]
#[path = "pages_tests.rs"]
mod tests;
