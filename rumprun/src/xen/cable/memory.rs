//! Pages of ours that another domain may map, and mapping many of its at once.
//!
//! Which they are is told in a page of control, behind what is the program's
//! ([`rump_sys::xen::CONTROL`]): how many, and then the grants of pages with a list, in which
//! each of them has its grant, 4 bytes each. What another domain tells so is copied once, and is
//! then numbers that Xen looks at: of a grant that is none, or that is not for us, nothing is
//! mapped.

use super::super::foreign::{Copies, Granted, map_at, unmap};
use super::super::hypercall::Refused;
use super::super::page::Page;
use super::super::{NO_MEMORY, grant};
use crate::memory::{PAGE, PAGE64, space, vacant};
use crate::sync::Lock;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

/// Where in a page of control the number of pages is told; the grants of the list follow.
const COUNT: usize = CONTROL;
const LIST: usize = CONTROL + 4;
/// What of such a page is the program's.
const CONTROL: usize = 2304;
/// Grants in a page of the list, and so many pages of it at most: 64 MiB and more.
const IN_PAGE: usize = PAGE / 4;
const LISTS: usize = 64;
/// So many pieces of memory a domain may keep mapped that nobody needs any more.
pub(super) const KEPT: usize = 4;

/// Memory that a domain has not let go of yet.
static LEFT: Lock<Vec<Piece>> = Lock::new(Vec::new());

/// Memory of ours that was granted, page by page.
#[derive(Debug)]
struct Piece {
    domain: u16,
    start: u64,
    pages: usize,
    grants: Vec<u32>,
}

impl Piece {
    /// New memory, which is zero. Its pages are where there are some: as one piece of so many
    /// there may be none when domains have come and gone.
    fn new(domain: u16, pages: usize) -> Result<Self, Refused> {
        let made = space::map_whole(pages);
        let (start, frames) = made.map_err(|_| Refused(NO_MEMORY))?;
        let mut piece = Self {
            domain,
            start,
            pages,
            grants: Vec::with_capacity(pages),
        };
        for frame in frames {
            match grant::share(domain, frame, true) {
                Ok(number) => piece.grants.push(number),
                Err(refused) => {
                    piece.give_up();
                    return Err(refused);
                }
            }
        }
        Ok(piece)
    }

    /// Ends its grants, and frees it once the domain has none of it mapped; false until then.
    fn end(&mut self) -> bool {
        self.grants.retain(|number| !grant::end(*number));
        if self.grants.is_empty() {
            // It is an area of ours, which nobody has any more.
            let _ = space::unmap(self.start, self.pages as u64 * PAGE64);
        }
        self.grants.is_empty()
    }

    fn give_up(mut self) {
        if !self.end() {
            LEFT.lock().push(self);
        }
    }
}

/// Frees what domains have let go of since; how much a domain has not.
fn clear(domain: u16) -> usize {
    let all = core::mem::take(&mut *LEFT.lock());
    let (mut left, mut count) = (Vec::new(), 0);
    for mut piece in all {
        if !piece.end() {
            count += usize::from(piece.domain == domain);
            left.push(piece);
        }
    }
    LEFT.lock().append(&mut left);
    count
}

/// Memory of ours that a domain may map, until this is dropped.
#[derive(Debug)]
pub(super) struct Shared {
    memory: Option<Piece>,
    list: Option<Piece>,
}

impl Shared {
    /// So many pages.
    pub(super) fn pages(domain: u16, pages: usize) -> Result<Self, Refused> {
        if clear(domain) >= 2 * KEPT {
            return Err(Refused(NO_MEMORY));
        }
        Ok(Self {
            memory: Some(Piece::new(domain, pages)?),
            list: None,
        })
    }

    /// So many bytes, and a list of their pages.
    pub(super) fn with_list(domain: u16, len: usize) -> Result<Self, Refused> {
        let pages = len.div_ceil(PAGE);
        let lists = pages.div_ceil(IN_PAGE);
        if pages == 0 || lists > LISTS {
            return Err(Refused(NO_MEMORY));
        }
        let mut shared = Self::pages(domain, pages)?;
        let list = Piece::new(domain, lists)?;
        for (at, number) in shared.grants().iter().enumerate() {
            let (page, entry) = (at / IN_PAGE, at % IN_PAGE);
            page_at(list.start + page as u64 * PAGE64)
                .u32(4 * entry)
                .store(*number, Ordering::Relaxed);
        }
        shared.list = Some(list);
        Ok(shared)
    }

    /// Where it is.
    pub(super) fn start(&self) -> u64 {
        self.memory.as_ref().map_or(0, |piece| piece.start)
    }

    /// The grants of its pages.
    pub(super) fn grants(&self) -> &[u32] {
        self.memory.as_ref().map_or(&[], |piece| &piece.grants)
    }

    /// One of its pages.
    pub(super) fn page(&self, number: usize) -> Page {
        let piece = self.memory.as_ref().filter(|piece| number < piece.pages);
        let start = piece.expect("a page of this memory").start;
        page_at(start + number as u64 * PAGE64)
    }

    /// Tells of it in a page of control.
    pub(super) fn announce(&self, control: Page) {
        let lists = self.list.as_ref().map_or(&[][..], |list| &list.grants);
        for (at, number) in lists.iter().enumerate() {
            control.u32(LIST + 4 * at).store(*number, Ordering::Relaxed);
        }
        let count = self.grants().len() as u32;
        control.u32(COUNT).store(count, Ordering::Release);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for piece in [self.memory.take(), self.list.take()].into_iter().flatten() {
            piece.give_up();
        }
    }
}

/// A page that is there as long as whoever calls has it.
fn page_at(address: u64) -> Page {
    // SAFETY: as above; it is reached as memory that others write.
    unsafe { Page::new(address as *mut u8) }.expect("a page that is not the first")
}

/// The grants of a list, as it was copied.
fn references(list: &[u8], count: usize) -> Vec<u32> {
    let (words, _) = list.as_chunks::<4>();
    let some = words.iter().take(count);
    some.map(|word| u32::from_le_bytes(*word)).collect()
}

/// The grants of the list's pages, if so many pages are told of.
fn lists(control: Page, pages: usize) -> Option<Vec<u32>> {
    let count = control.u32(COUNT).load(Ordering::Acquire) as usize;
    let lists = pages.div_ceil(IN_PAGE);
    let at = |at: usize| control.u32(LIST + 4 * at).load(Ordering::Relaxed);
    (count == pages && (1..=LISTS).contains(&lists)).then(|| (0..lists).map(at).collect())
}

/// Pages of another domain's that are mapped until this is dropped.
#[derive(Debug)]
pub(super) struct Mapped {
    start: u64,
    pages: usize,
    handles: Vec<u32>,
}

impl Mapped {
    /// The memory of so many bytes that is told of in a page of control.
    pub(super) fn announced(domain: u16, control: Page, len: usize) -> Result<Self, Refused> {
        let pages = len.div_ceil(PAGE);
        let lists = lists(control, pages).ok_or(Refused(NO_MEMORY))?;
        let mut bytes = vec![0; lists.len() * PAGE];
        let mut whole = true;
        let mut copies = Copies::new(domain);
        for (grant, to) in lists.iter().zip(bytes.chunks_mut(PAGE)) {
            let from = Granted {
                grant: *grant,
                offset: 0,
            };
            copies.take(0, from, to);
        }
        copies.run(|_| whole = false);
        if !whole {
            return Err(Refused(NO_MEMORY));
        }
        Self::new(domain, &references(&bytes, pages))
    }

    /// The pages of these grants, in their order.
    fn new(domain: u16, grants: &[u32]) -> Result<Self, Refused> {
        let mut mapped = Self {
            start: vacant::take(grants.len()).ok_or(Refused(NO_MEMORY))?,
            pages: grants.len(),
            handles: Vec::with_capacity(grants.len()),
        };
        for (page, number) in (0..).zip(grants) {
            let handle = map_at(mapped.start + page * PAGE64, domain, *number)?;
            mapped.handles.push(handle);
        }
        Ok(mapped)
    }

    /// Where it is.
    pub(super) fn start(&self) -> u64 {
        self.start
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let mut whole = true;
        for (page, handle) in (0..).zip(&self.handles) {
            whole &= unmap(self.start + page * PAGE64, *handle);
        }
        // What Xen does not unmap is still there.
        if whole {
            vacant::give(self.start, self.pages);
        }
    }
}

const _: () = assert!(LIST + 4 * LISTS <= PAGE);
#[cfg(feature = "image")]
const _: () = assert!(CONTROL == rump_sys::xen::CONTROL);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// Whatever another domain tells: only memory of the length that was agreed upon is looked
        /// for, and its list is read within the page and the copy.
        #[test]
        fn what_is_told_of_memory_is_not_believed(
            told: u32,
            near: bool,
            pages in 0_usize..70_000,
            words in prop::collection::vec(any::<u32>(), LISTS),
        ) {
            let control = Page::for_test();
            let told = if near { pages as u32 } else { told };
            control.u32(COUNT).store(told, Ordering::Relaxed);
            for (at, word) in words.iter().enumerate() {
                control.u32(LIST + 4 * at).store(*word, Ordering::Relaxed);
            }
            if let Some(found) = lists(control, pages) {
                prop_assert_eq!(told as usize, pages);
                prop_assert_eq!(found.len(), pages.div_ceil(IN_PAGE));
                prop_assert!(found.len() <= LISTS);
                prop_assert_eq!(&found[..], &words[..found.len()]);
            }
        }

        /// The list has a grant for each page, or what is there of it.
        #[test]
        fn lists_are_read_as_they_are(list in prop::collection::vec(any::<u8>(), 0..9000), count in 0_usize..3000) {
            let read = references(&list, count);
            prop_assert_eq!(read.len(), count.min(list.len() / 4));
            for (at, number) in read.iter().enumerate() {
                prop_assert_eq!(&number.to_le_bytes(), &list[4 * at..4 * at + 4]);
            }
        }
    }
}
