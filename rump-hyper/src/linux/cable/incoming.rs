//! Frames that are looked at where the other side has put them.

use super::Broken;
use super::end::Queue;
use super::memory::Memory;
use crate::vif::abi::Offload;
use crate::vif::backend::Piece;
use crate::vif::lane::offload;
use rump_ring::lane::Receiver;
use std::sync::MutexGuard;

/// A frame of the other side's.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its length in bytes, of which as many as there was room for were copied.
    pub len: usize,
    /// What is to be done to it; not checked.
    pub offload: Offload,
    /// What was not copied, in two pieces that may be empty. The other side can still write it.
    pub rest: [Piece<'a>; 2],
}

/// The frames of a queue, looked at one after the other.
///
/// They stay in the ring, and their room is not the other side's again, until they are
/// [released](Self::release); without that they come no second time either, but by
/// [`rewind`](Self::rewind).
#[derive(Debug)]
pub struct Incoming<'a> {
    pub(super) receiver: MutexGuard<'a, Receiver>,
    pub(super) memory: &'a Memory,
    pub(super) queue: &'a Queue,
}

impl<'a> Incoming<'a> {
    /// The next frame, if there is one. As much of it as there is room for is copied to `head`,
    /// where it stays as it is.
    ///
    /// # Errors
    /// The other side is broken: the cable is of no more use.
    pub fn next(&mut self, head: &mut [u8]) -> Result<Option<Frame<'a>>, Broken> {
        let Some(seen) = self.receiver.next(head)? else {
            return Ok(None);
        };
        self.queue.received(1);
        Ok(Some(Frame {
            len: seen.len,
            offload: offload(seen.note),
            rest: seen
                .rest
                .map(|(at, len)| Piece::shared(&self.memory.shared, at, len)),
        }))
    }

    /// Gives all frames that were looked at back to the other side, and wakes it if it waits for
    /// room. What their pieces show from now on may be of other frames.
    pub fn release(&mut self) {
        self.receiver.release();
        if self.receiver.must_wake() {
            self.memory.wake_other(self.queue.incoming.waits());
        }
    }

    /// Has all frames come again that were looked at and not released.
    pub fn rewind(&mut self) {
        self.receiver.rewind();
    }
}
