//! What other domains have granted to this one (grant_table.h): copying from and to their
//! pages, and mapping a page of theirs.
//!
//! Copying is what frames are moved by: Xen reads and writes the other domain's page, so that
//! nothing of it is mapped here, and what has arrived here does not change any more. Only the
//! pages of rings are mapped, and these are read as [`Page`]s are.
//!
//! A page of another domain's is mapped at an address at which there is no memory of ours
//! ([`vacant`]), and when it is unmapped nothing is there again.
//!
//! # What is known to be weak
//! A page of a guest's that Xen has paged out is not waited for: a copy from or to it fails.

use super::abi::{SELF, grant};
use super::hypercall::{self, Refused};
use super::page::Page;
use crate::memory::{self, PAGE, PAGE64, vacant};
use alloc::vec::Vec;
use core::marker::PhantomData;

/// One end of a copy: the number of a grant, or of a frame.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct End {
    place: u64,
    domain: u16,
    offset: u16,
}

/// `struct gnttab_copy`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Operation {
    from: End,
    to: End,
    len: u16,
    flags: u16,
    status: i16,
}

const _: () = assert!(size_of::<Operation>() == 40 && PAGE <= u16::MAX as usize);

/// Copies that are made together. Each has a number of the caller's, by which is told what
/// failed.
#[derive(Debug)]
pub(super) struct Copies<'a> {
    domain: u16,
    operations: Vec<(usize, Operation)>,
    memory: PhantomData<&'a mut [u8]>,
}

/// What is copied between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Granted {
    /// The number of the grant.
    pub grant: u32,
    /// Where in the page. With the length it is inside.
    pub offset: u16,
}

impl<'a> Copies<'a> {
    /// None yet, from and to pages of this domain.
    pub(super) fn new(domain: u16) -> Self {
        Self {
            domain,
            operations: Vec::new(),
            memory: PhantomData,
        }
    }

    /// Copies from the other domain to memory of the heap.
    pub(super) fn take(&mut self, number: usize, from: Granted, to: &'a mut [u8]) {
        self.add(
            number,
            from,
            to.as_ptr().addr(),
            to.len(),
            grant::FROM_GRANT,
        );
    }

    /// Copies to the other domain from memory of the heap.
    pub(super) fn put(&mut self, number: usize, from: &'a [u8], to: Granted) {
        self.add(
            number,
            to,
            from.as_ptr().addr(),
            from.len(),
            grant::TO_GRANT,
        );
    }

    /// Copies as many as there are pages of ours.
    fn add(&mut self, number: usize, granted: Granted, own: usize, len: usize, flags: u16) {
        assert!(usize::from(granted.offset) + len <= PAGE);
        for (at, len) in parts(own, len) {
            let address = own + at;
            let theirs = End {
                place: granted.grant.into(),
                domain: self.domain,
                offset: granted.offset + at as u16,
            };
            let ours = End {
                place: (address / PAGE) as u64,
                domain: SELF,
                offset: (address % PAGE) as u16,
            };
            let (from, to) = if flags == grant::FROM_GRANT {
                (theirs, ours)
            } else {
                (ours, theirs)
            };
            self.operations.push((
                number,
                Operation {
                    from,
                    to,
                    len: len as u16,
                    flags,
                    // What Xen does not look at has failed.
                    status: -1,
                },
            ));
        }
    }

    /// Makes them, and tells the numbers of those that failed, some more than once.
    pub(super) fn run(self, mut failed: impl FnMut(usize)) {
        let (numbers, mut operations): (Vec<_>, Vec<_>) = self.operations.into_iter().unzip();
        let end = memory::frames::end();
        let inside = |operation: &Operation| {
            let own = if operation.flags == grant::FROM_GRANT {
                operation.to
            } else {
                operation.from
            };
            own.place < end / PAGE64
        };
        // The heap is at its physical addresses; other memory of ours is not.
        assert!(operations.iter().all(inside));
        if !operations.is_empty() {
            // SAFETY: the structures of this operation. Our ends are memory that is borrowed
            // for as long as this lives.
            let _ = unsafe { hypercall::grants(grant::COPY, &mut operations) };
        }
        for (number, operation) in numbers.iter().zip(&operations) {
            if operation.status != 0 {
                failed(*number);
            }
        }
    }
}

/// Cuts memory where pages end: where each part begins, and its length.
fn parts(address: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let part = (PAGE - (address + at) % PAGE).min(len - at);
        let found = (part > 0).then_some((at, part));
        at += part;
        found
    })
}

/// A page of another domain's that is mapped until this is dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    page: Page,
    handle: u32,
}

/// Maps a page of a domain's, by the number of its grant, at an address at which
/// nothing is. Returns the handle by which it is unmapped.
pub(super) fn map_at(address: u64, domain: u16, number: u32) -> Result<u32, Refused> {
    #[repr(C)]
    struct Map {
        address: u64,
        flags: u32,
        grant: u32,
        domain: u16,
        status: i16,
        handle: u32,
        bus: u64,
    }
    let mut map = [Map {
        address,
        flags: grant::HOST_MAP,
        grant: number,
        domain,
        status: -1,
        handle: 0,
        bus: 0,
    }];
    // SAFETY: the structure of this operation; nothing is at the address.
    unsafe { hypercall::grants(grant::MAP, &mut map)? };
    match map[0].status {
        0 => Ok(map[0].handle),
        status => Err(Refused(-i64::from(status))),
    }
}

/// Unmaps a page; whether Xen has.
pub(super) fn unmap(address: u64, handle: u32) -> bool {
    #[repr(C)]
    struct Unmap {
        address: u64,
        bus: u64,
        handle: u32,
        status: i16,
    }
    let mut unmap = [Unmap {
        address,
        bus: 0,
        handle,
        status: -1,
    }];
    // SAFETY: the structure of this operation, for what was mapped.
    let called = unsafe { hypercall::grants(grant::UNMAP, &mut unmap) };
    let done = called.is_ok() && unmap[0].status == 0;
    if !done {
        crate::say!("rumprun: Xen does not unmap a page of another domain's");
    }
    done
}

impl Mapping {
    /// Maps what a domain has granted.
    pub(super) fn new(domain: u16, number: u32) -> Result<Self, Refused> {
        let none = Refused(super::NO_MEMORY);
        let address = vacant::take(1).ok_or(none)?;
        let mapped = map_at(address, domain, number);
        let handle = mapped.inspect_err(|_| vacant::give(address, 1))?;
        // SAFETY: mapped there until it is unmapped; such addresses are in our page tables.
        let page = unsafe { Page::new(address as *mut u8) };
        let page = page.ok_or(Refused(super::NO_MEMORY))?;
        Ok(Self { page, handle })
    }

    /// The page, which is not to be used when this is gone.
    pub(super) fn page(&self) -> Page {
        self.page
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let address = self.page.address();
        if unmap(address, self.handle) {
            vacant::give(address, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// No copy goes over the end of a page, on either side, and together they are all.
        #[test]
        fn copies_stay_in_pages(address in 0x10_0000_usize..0x20_0000, offset: u16, len: u16) {
            let offset = offset % PAGE as u16;
            let len = usize::from(len) % (PAGE + 1 - usize::from(offset));
            let mut copies = Copies::new(7);
            copies.add(3, Granted { grant: 9, offset }, address, len, grant::TO_GRANT);
            let mut at = 0;
            for (number, operation) in &copies.operations {
                let (own, other, len) = (operation.from, operation.to, usize::from(operation.len));
                prop_assert_eq!((*number, own.domain, other.domain, other.place), (3, SELF, 7, 9));
                prop_assert_eq!(own.place as usize * PAGE + usize::from(own.offset), address + at);
                prop_assert_eq!(usize::from(other.offset), usize::from(offset) + at);
                prop_assert!(len > 0 && usize::from(own.offset) + len <= PAGE);
                at += len;
            }
            prop_assert_eq!(at, len);
            prop_assert!(copies.operations.len() <= 2);
        }
    }
}
