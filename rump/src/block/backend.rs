//! What stands behind a disk.

use crate::error::Errno;
use std::fmt;
use std::sync::Arc;

/// Something that keeps sectors.
///
/// All methods are called by several threads at a time, and hold none of the kernel's virtual
/// CPUs: waiting harms nobody else. Places and lengths are whole sectors within
/// [`size`](Self::size). Transfers to the same place are not under way at the same time.
pub trait Backend: Send + Sync + fmt::Debug {
    /// Bytes of it, which does not change while it is behind a disk. What is no whole sector
    /// at its end is not used.
    fn size(&self) -> u64;

    /// Bytes of a sector: a power of two from 512 to 65536.
    fn sector_size(&self) -> u32 {
        512
    }

    /// Whether it cannot be written, so that the kernel does not try.
    fn is_read_only(&self) -> bool {
        false
    }

    /// Fills the buffer with what is at the place.
    ///
    /// # Errors
    /// Why it is not full.
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Errno>;

    /// Writes the bytes at the place. They are to survive a crash of the program or the
    /// machine only after the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// Why not all was written.
    fn write(&self, offset: u64, from: &[u8]) -> Result<(), Errno>;

    /// Puts all that was written on stable storage.
    ///
    /// # Errors
    /// Why it may not be there.
    fn flush(&self) -> Result<(), Errno>;

    /// Is told that nobody needs what is at the place any more.
    ///
    /// # Errors
    /// `EOPNOTSUPP` if it makes no use of that.
    fn discard(&self, offset: u64, length: u64) -> Result<(), Errno> {
        let _ = (offset, length);
        Err(Errno::EOPNOTSUPP)
    }

    /// How many transfers that nobody waits for (read-ahead, what is written back) it is good
    /// to have under way beside those that somebody does wait for. With 0 the thread that
    /// starts such a transfer does it: right for what does not wait for hardware.
    fn depth(&self) -> usize {
        0
    }
}

impl<B: Backend + ?Sized> Backend for Arc<B> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn sector_size(&self) -> u32 {
        (**self).sector_size()
    }

    fn is_read_only(&self) -> bool {
        (**self).is_read_only()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Errno> {
        (**self).read(offset, into)
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), Errno> {
        (**self).write(offset, from)
    }

    fn flush(&self) -> Result<(), Errno> {
        (**self).flush()
    }

    fn discard(&self, offset: u64, length: u64) -> Result<(), Errno> {
        (**self).discard(offset, length)
    }

    fn depth(&self) -> usize {
        (**self).depth()
    }
}
