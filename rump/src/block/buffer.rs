//! Memory for transfers.

use crate::sys::blkio;
use std::ops::{Deref, DerefMut};

/// Memory that is read to or written from.
///
/// A disk that hardware is behind reaches the memory of [`Buffer::new`] by itself; that of a
/// `Vec` is copied.
#[derive(Debug)]
pub struct Buffer(Memory);

#[derive(Debug)]
enum Memory {
    Kernel(blkio::Memory),
    Program(Vec<u8>),
}

impl Buffer {
    /// So many bytes, all zero, which begin on a page.
    pub fn new(len: usize) -> Self {
        // Where the kernel may have no more, the program's does, too.
        let kernel = blkio::Memory::zeroed(len).map(Memory::Kernel);
        Self(kernel.unwrap_or_else(|| Memory::Program(vec![0; len])))
    }
}

impl Default for Buffer {
    /// Without bytes.
    fn default() -> Self {
        Vec::new().into()
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Memory::Program(bytes))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Kernel(memory) => memory,
            Memory::Program(bytes) => bytes,
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Kernel(memory) => memory,
            Memory::Program(bytes) => bytes,
        }
    }
}
