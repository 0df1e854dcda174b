//! The words that a ring is made of.
#![allow(unsafe_code)]

use crate::primitive::AtomicU64;

/// Memory in words of eight bytes.
pub trait Words {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them.
    ///
    /// # Panics
    /// If it is not there.
    fn word(&self, index: usize) -> &AtomicU64;
}

impl Words for [AtomicU64] {
    fn len(&self) -> usize {
        self.len()
    }
    fn word(&self, index: usize) -> &AtomicU64 {
        &self[index]
    }
}

impl<W: Words + ?Sized> Words for &W {
    fn len(&self) -> usize {
        (**self).len()
    }
    fn word(&self, index: usize) -> &AtomicU64 {
        (**self).word(index)
    }
}

#[cfg(not(loom))]
pub use area::Area;

/// Not in models: loom has no atomics in memory that it did not make.
#[cfg(not(loom))]
mod area {
    use super::{AtomicU64, Words};
    use crate::shared::Shared;
    use core::ptr::NonNull;

    /// A part of [`Shared`] memory, as words.
    #[derive(Clone, Copy, Debug)]
    pub struct Area {
        start: NonNull<u8>,
        words: usize,
    }

    // SAFETY: all access is atomic.
    unsafe impl Send for Area {}
    // SAFETY: as above.
    unsafe impl Sync for Area {}

    impl Area {
        /// So many words, from a place in memory on. It lives as long as the memory does.
        ///
        /// # Panics
        /// If they are not all inside, or not aligned.
        pub fn new(memory: &Shared, offset: usize, words: usize) -> Self {
            let bytes = words.checked_mul(size_of::<u64>());
            let start = memory.at(offset, bytes.expect("words of memory"));
            assert!(start.as_ptr().addr().is_multiple_of(size_of::<u64>()));
            Self { start, words }
        }
    }

    impl Words for Area {
        fn len(&self) -> usize {
            self.words
        }

        #[inline]
        fn word(&self, index: usize) -> &AtomicU64 {
            assert!(index < self.words, "word {index} of {}", self.words);
            // SAFETY: inside and aligned, as was checked here and in `new`; it lives as long as
            // the memory, by contract of `Shared::new`.
            unsafe { AtomicU64::from_ptr(self.start.cast::<u64>().add(index).as_ptr()) }
        }
    }
}
