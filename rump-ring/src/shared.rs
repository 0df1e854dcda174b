//! Memory that another process can write at any time.
//!
//! No reference to it is ever made: it is read and written in atomic pieces, inside its
//! bounds, and what was read is a copy that stays as it is. On x86-64 one instruction moves
//! what is longer, which the compiler knows nothing of, and which takes half the time.
#![allow(unsafe_code)]

use crate::primitive::Ordering;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// A piece of such memory, aligned to 8 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: all access is atomic.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

const WORD: usize = size_of::<u64>();
/// From this length on an instruction moves bytes faster than a loop does.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const LONG: usize = 256;

/// Copies so many bytes.
///
/// # Safety
/// They can be read and written; nobody in this process has a reference to what is written.
#[cfg(all(target_arch = "x86_64", not(miri)))]
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // What is written before the count that tells of it is seen before it: a store after the
    // instruction is not seen before those of the instruction (Intel 64 and IA-32 Software
    // Developer's Manual, volume 3, 9.2.4).
    // SAFETY: by contract. Flags and stack stay as they are; the direction is forward, as the
    // ABI has it.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags)
        );
    }
}

impl Shared {
    /// Memory of this length.
    ///
    /// # Panics
    /// If it is not aligned to 8 bytes.
    ///
    /// # Safety
    /// It can be read and written as long as this or a copy of it is used, and nobody in
    /// this process has a reference to it.
    pub unsafe fn new(start: NonNull<u8>, len: usize) -> Self {
        assert!(start.as_ptr().addr().is_multiple_of(WORD));
        Self { start, len }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none of it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of so many bytes.
    ///
    /// # Panics
    /// If they are not all inside.
    pub fn at(&self, offset: usize, len: usize) -> NonNull<u8> {
        let fits = offset.checked_add(len).is_some_and(|end| end <= self.len);
        assert!(fits, "{len} bytes at {offset} of {}", self.len);
        // SAFETY: inside, as was just checked.
        unsafe { self.start.add(offset) }
    }

    /// A word of it.
    ///
    /// # Panics
    /// If it is not inside, or not aligned.
    pub fn u32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(size_of::<u32>()));
        let word = self.at(offset, size_of::<u32>());
        // SAFETY: inside and aligned; it stays as long as `self`, by contract of `new`.
        unsafe { AtomicU32::from_ptr(word.cast().as_ptr()) }
    }

    /// A long word of it.
    ///
    /// # Panics
    /// If it is not inside, or not aligned.
    pub fn u64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(WORD));
        let word = self.at(offset, WORD);
        // SAFETY: as in `u32`.
        unsafe { AtomicU64::from_ptr(word.cast().as_ptr()) }
    }

    fn u8(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: as in `u32`.
        unsafe { AtomicU8::from_ptr(self.at(offset, 1).as_ptr()) }
    }

    /// How many bytes there are up to whole words, and in these.
    fn words(offset: usize, len: usize) -> (usize, usize) {
        let head = (offset.next_multiple_of(WORD) - offset).min(len);
        (head, (len - head) / WORD * WORD)
    }

    /// Copies from it.
    ///
    /// # Panics
    /// If it is not all inside.
    pub fn read(&self, offset: usize, out: &mut [u8]) {
        let start = self.at(offset, out.len());
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if out.len() >= LONG {
            // SAFETY: all of it is inside, and `out` is borrowed for it.
            return unsafe { copy(start.as_ptr(), out.as_mut_ptr(), out.len()) };
        }
        let _ = start;
        let (head, words) = Self::words(offset, out.len());
        let byte = |at: usize| self.u8(offset + at).load(Ordering::Relaxed);
        for (at, to) in out[..head].iter_mut().enumerate() {
            *to = byte(at);
        }
        for (index, to) in out[head..head + words].chunks_exact_mut(WORD).enumerate() {
            let word = self.u64(offset + head + index * WORD);
            to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        for (at, to) in out.iter_mut().enumerate().skip(head + words) {
            *to = byte(at);
        }
    }

    /// Copies to it.
    ///
    /// # Panics
    /// If it is not all inside.
    pub fn write(&self, offset: usize, from: &[u8]) {
        let start = self.at(offset, from.len());
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if from.len() >= LONG {
            // SAFETY: all of it is inside, where there are no references, by contract of `new`.
            return unsafe { copy(from.as_ptr(), start.as_ptr(), from.len()) };
        }
        let _ = start;
        let (head, words) = Self::words(offset, from.len());
        let byte = |at: usize, byte| self.u8(offset + at).store(byte, Ordering::Relaxed);
        for (at, from) in from[..head].iter().enumerate() {
            byte(at, *from);
        }
        for (index, from) in from[head..head + words].chunks_exact(WORD).enumerate() {
            let mut word = [0; WORD];
            word.copy_from_slice(from);
            let to = self.u64(offset + head + index * WORD);
            to.store(u64::from_ne_bytes(word), Ordering::Relaxed);
        }
        for (at, from) in from.iter().enumerate().skip(head + words) {
            byte(at, *from);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn bytes_go_in_and_out_at_any_place() {
        let mut memory = vec![0_u64; 64];
        let start = NonNull::new(memory.as_mut_ptr()).unwrap().cast();
        // SAFETY: it is not used otherwise.
        let shared = unsafe { Shared::new(start, 512) };
        let bytes: Vec<u8> = (0..400).map(|at| (at % 199) as u8).collect();
        for offset in 0..20 {
            for len in (0..=64).chain(250..=270).chain([400]) {
                shared.write(0, &[0xee; 512]);
                shared.write(offset, &bytes[..len]);
                let mut all = [0; 512];
                shared.read(0, &mut all);
                assert!(all[..offset].iter().all(|byte| *byte == 0xee));
                assert_eq!(all[offset..offset + len], bytes[..len]);
                assert!(all[offset + len..].iter().all(|byte| *byte == 0xee));
                let mut out = vec![0; len];
                shared.read(offset, &mut out);
                assert_eq!(out, bytes[..len]);
            }
        }
    }

    #[test]
    #[should_panic(expected = "2 bytes at 127 of 128")]
    fn nothing_outside_is_read() {
        let mut memory = vec![0_u64; 16];
        let start = NonNull::new(memory.as_mut_ptr()).unwrap().cast();
        // SAFETY: it is not used otherwise.
        unsafe { Shared::new(start, 128) }.read(127, &mut [0; 2]);
    }
}
