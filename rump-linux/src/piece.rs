//! Memory that data passes through between the program and the kernel.
//!
//! Programs read with buffers that are much longer than what comes. Room of that length,
//! made and cleared for each call, would cost more than the call, so it is kept. What an
//! earlier call left in it is not seen: only what the kernel wrote is copied on.

use crate::process::Process;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

/// What is moved at a time, in bytes.
pub(crate) const PIECE: usize = 128 << 10;
/// How many are kept: about as many as threads are in calls at a time.
const KEPT: usize = 16;

/// A [`PIECE`] of bytes, lent by a process.
pub(crate) struct Piece<'a> {
    process: &'a Process,
    bytes: Vec<u8>,
}

impl Process {
    /// Room for data that passes through.
    pub(crate) fn piece(&self) -> Piece<'_> {
        let kept = self.pieces.lock().pop();
        Piece {
            process: self,
            bytes: kept.unwrap_or_else(|| vec![0; PIECE]),
        }
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        let mut pieces = self.process.pieces.lock();
        if pieces.len() < KEPT {
            pieces.push(core::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Piece<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Piece<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}
