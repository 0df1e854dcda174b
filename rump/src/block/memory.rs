//! Bytes of this process.

use super::Backend;
use crate::error::Errno;
use std::fmt;
use std::sync::{PoisonError, RwLock};

/// A disk in memory. What is written stays as long as the value does.
pub struct Memory(RwLock<Vec<u8>>);

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} bytes)", self.size())
    }
}

impl Memory {
    /// A disk of so many bytes, all 0.
    pub fn new(bytes: usize) -> Self {
        vec![0; bytes].into()
    }

    /// What is on it.
    pub fn contents(&self) -> Vec<u8> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl From<Vec<u8>> for Memory {
    fn from(bytes: Vec<u8>) -> Self {
        Self(RwLock::new(bytes))
    }
}

/// Where so many bytes at a place are.
pub(super) fn range(
    offset: u64,
    length: usize,
    size: usize,
) -> Result<std::ops::Range<usize>, Errno> {
    let start = usize::try_from(offset).map_err(|_| Errno::EINVAL)?;
    let end = start.checked_add(length).ok_or(Errno::EINVAL)?;
    if end > size {
        return Err(Errno::EINVAL);
    }
    Ok(start..end)
}

impl Backend for Memory {
    fn size(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Errno> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        into.copy_from_slice(&bytes[range(offset, into.len(), bytes.len())?]);
        Ok(())
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), Errno> {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let range = range(offset, from.len(), bytes.len())?;
        bytes[range].copy_from_slice(from);
        Ok(())
    }

    fn flush(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn discard(&self, offset: u64, length: u64) -> Result<(), Errno> {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
        let range = range(offset, length, bytes.len())?;
        bytes[range].fill(0);
        Ok(())
    }
}
