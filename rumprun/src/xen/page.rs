//! A page that somebody else reads and writes as well: reached by atomic words and by copies,
//! at offsets that are checked, and never by references to what is in it.

use super::hypercall::{self, Refused};
use crate::memory::{PAGE, vacant};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// A page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page(NonNull<u8>);

// SAFETY: all access is atomic, or a copy of bytes whose owner the protocol tells.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// The page at an address.
    ///
    /// # Safety
    /// It is there for good, aligned, and no reference to it exists.
    pub(super) unsafe fn new(address: *mut u8) -> Option<Self> {
        NonNull::new(address).map(Self)
    }

    /// A page of zeros that stays for good.
    pub(super) fn allocate() -> Option<Self> {
        let memory = crate::memory::heap::allocate(PAGE, PAGE);
        if memory.is_null() {
            return None;
        }
        // SAFETY: just allocated.
        unsafe {
            memory.write_bytes(0, PAGE);
            Self::new(memory)
        }
    }

    /// A page of Xen's, by the kind of such pages and its number, which is at an address of ours
    /// for good.
    pub(super) fn of_xen(space: u32, number: u64) -> Result<Self, Refused> {
        let none = Refused(super::NO_MEMORY);
        let address = vacant::take(1).ok_or(none)?;
        // SAFETY: nothing is there, and it is never given back.
        let page = unsafe {
            hypercall::place(space, number, address).inspect_err(|_| vacant::give(address, 1))?;
            Self::new(address as *mut u8)
        };
        page.ok_or(none)
    }

    /// Its address, which is the physical one.
    pub(super) fn address(self) -> u64 {
        self.0.as_ptr().addr() as u64
    }

    fn at<T>(self, offset: usize) -> *mut T {
        assert!(offset.is_multiple_of(align_of::<T>()) && offset + size_of::<T>() <= PAGE);
        self.0.as_ptr().wrapping_add(offset).cast()
    }

    pub(super) fn u8(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: inside the page, which is there for good.
        unsafe { &*self.at(offset) }
    }

    pub(super) fn u16(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: as above, and aligned.
        unsafe { &*self.at(offset) }
    }

    pub(super) fn u32(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { &*self.at(offset) }
    }

    pub(super) fn u64(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { &*self.at(offset) }
    }

    /// Copies bytes out, whatever they are at the moment.
    pub(super) fn read(self, offset: usize, to: &mut [u8]) {
        assert!(offset <= PAGE && to.len() <= PAGE - offset);
        // SAFETY: inside the page; `to` is ours.
        unsafe {
            self.at_byte(offset)
                .copy_to_nonoverlapping(to.as_mut_ptr(), to.len())
        };
    }

    /// Copies bytes in.
    pub(super) fn write(self, offset: usize, from: &[u8]) {
        assert!(offset <= PAGE && from.len() <= PAGE - offset);
        // SAFETY: inside the page.
        unsafe {
            self.at_byte(offset)
                .copy_from_nonoverlapping(from.as_ptr(), from.len())
        };
    }

    fn at_byte(self, offset: usize) -> *mut u8 {
        self.0.as_ptr().wrapping_add(offset)
    }
}

#[cfg(test)]
impl Page {
    /// A page for a test.
    pub(super) fn for_test() -> Self {
        let layout = std::alloc::Layout::from_size_align(PAGE, PAGE).unwrap();
        // SAFETY: not of size 0; leaked.
        unsafe { Self::new(std::alloc::alloc_zeroed(layout)).unwrap() }
    }
}
