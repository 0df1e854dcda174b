//! A disk of the kernel's, for a back end that brings it what other domains ask for: the other
//! way round from [`Backend`](super::Backend), which the kernel asks.

use super::Shape;
use alloc::boxed::Box;
use alloc::vec::Vec;
use rump_hyper::errno::Errno;

/// A transfer that is to be done.
pub(crate) trait Request: Send {
    /// Whether it is one to the disk.
    fn is_write(&self) -> bool;
    /// Where, in bytes.
    fn offset(&self) -> u64;
    /// What is to be written, or where what is read belongs: whole sectors. It stays where it
    /// is when the request is moved.
    fn memory(&mut self) -> &mut [u8];
    /// It is done. Called once, on any thread, which may have a virtual CPU of the kernel's:
    /// nothing is waited for.
    fn done(self: Box<Self>, result: Result<(), Errno>);
}

/// A disk that is open.
pub(crate) trait Medium: Send + Sync {
    /// What the disk is, for good.
    fn shape(&self) -> Shape;
    /// Whether it has a cache that can be flushed.
    fn has_cache(&self) -> bool;
    /// The calling thread is going to use it, until it calls [`leave`](Self::leave).
    fn enter(&self);
    /// The calling thread does not use it any more.
    fn leave(&self);
    /// Starts transfers within the disk, in this order.
    fn start(&self, requests: Vec<Box<dyn Request>>);
    /// Puts all that was written, by transfers that are done, on stable storage, and waits for
    /// that.
    ///
    /// # Errors
    /// Why it may not be there.
    fn flush(&self) -> Result<(), Errno>;
    /// Says that nobody needs so many bytes at a place any more.
    ///
    /// # Errors
    /// `EOPNOTSUPP` if the disk makes no use of that, or why it has failed.
    fn discard(&self, offset: u64, len: u64) -> Result<(), Errno>;
}
