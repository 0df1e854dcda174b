//! What stands behind an interface.
#![allow(unsafe_code)]

use super::abi::{BATCH, Offload, Part, Tx};
use super::buffer::{Buffer, Pool};
use super::offload::Offloads;
use crate::errno::Errno;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// Something that takes and brings frames.
///
/// An interface has one thread for each queue, which calls [`receive`](Self::receive)
/// again and again; [`send`](Self::send) is called by whoever has something to send.
/// All of them call without a virtual CPU, so waiting harms nobody else. A back end can
/// be replaced while the interface is up, and put behind another interface later.
pub trait Backend: Send + Sync + fmt::Debug {
    /// What it can do: of the frames that it sends, what may be left to it
    /// (`TX_*`); and which frames it could bring (`RX_*`).
    fn offers(&self) -> Offloads;

    /// Says which frames it may bring (`RX_*`, among those that it offers). Frames that
    /// are under way already may still come.
    ///
    /// # Errors
    /// What it is that keeps it from doing so.
    fn set_receive_offloads(&self, offloads: Offloads) -> Result<(), Errno> {
        let _ = offloads;
        Ok(())
    }

    /// How many queues it has; each is served by a thread.
    fn queues(&self) -> usize {
        1
    }

    /// Whether there is a link. Asked before and after each wait for frames.
    fn link(&self) -> bool {
        true
    }

    /// Waits for frames and puts them into the batch, as many as are there and fit. It
    /// may bring none, and does so soon after [`wake`](Self::wake).
    ///
    /// # Errors
    /// What will not pass by itself: the interface has no link until the back end is
    /// replaced.
    fn receive(&self, queue: usize, batch: &mut Batch) -> Result<(), Errno>;

    /// Sends frames and returns how many were taken; the rest is dropped. Asks nothing
    /// of it that it does not offer.
    ///
    /// # Errors
    /// Why none was taken.
    fn send(&self, queue: usize, frames: &[Transmit<'_>]) -> Result<usize, Errno>;

    /// Has [`receive`](Self::receive) return, on each queue, also if it is called only
    /// afterwards.
    fn wake(&self);

    /// What it has counted.
    fn statistics(&self) -> Statistics {
        Statistics::default()
    }

    /// The interface of the same kernel that frames go over, instead of through
    /// [`send`](Self::send) and [`receive`](Self::receive), which then are not called.
    fn splice(&self) -> Option<&str> {
        None
    }
}

/// One that is kept, to be put behind an interface again.
impl<B: Backend + ?Sized> Backend for Arc<B> {
    fn offers(&self) -> Offloads {
        (**self).offers()
    }

    fn set_receive_offloads(&self, offloads: Offloads) -> Result<(), Errno> {
        (**self).set_receive_offloads(offloads)
    }

    fn queues(&self) -> usize {
        (**self).queues()
    }

    fn link(&self) -> bool {
        (**self).link()
    }

    fn receive(&self, queue: usize, batch: &mut Batch) -> Result<(), Errno> {
        (**self).receive(queue, batch)
    }

    fn send(&self, queue: usize, frames: &[Transmit<'_>]) -> Result<usize, Errno> {
        (**self).send(queue, frames)
    }

    fn wake(&self) {
        (**self).wake();
    }

    fn statistics(&self) -> Statistics {
        (**self).statistics()
    }

    fn splice(&self) -> Option<&str> {
        (**self).splice()
    }
}

/// What a back end has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Frames that it brought.
    pub received: u64,
    /// Frames that it sent.
    pub sent: u64,
    /// Frames that it lost on their way in.
    pub receive_drops: u64,
    /// Frames that it could not send.
    pub send_drops: u64,
}

/// A frame that has come.
#[derive(Debug)]
pub struct Received {
    /// Where it is.
    pub buffer: Buffer,
    /// How long it is.
    pub len: usize,
    /// What is to be done to it, or has been. Not checked yet.
    pub offload: Offload,
}

impl Received {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

/// Room for frames that come.
#[derive(Debug)]
pub struct Batch {
    pool: Pool,
    frames: Vec<Received>,
    bytes: usize,
}

/// A batch of so many bytes is full: it should fit into a cache.
const FULL: usize = 256 * 1024;

impl Batch {
    /// An empty one, with buffers from this pool.
    pub fn new(pool: Pool) -> Self {
        Self {
            pool,
            frames: Vec::with_capacity(BATCH),
            bytes: 0,
        }
    }

    /// Memory for a frame.
    pub fn buffer(&mut self) -> Buffer {
        self.pool.take()
    }

    /// Adds a frame. One that is longer than its buffer is cut off.
    pub fn push(&mut self, buffer: Buffer, len: usize, offload: Offload) {
        let len = len.min(buffer.len());
        self.bytes += len;
        self.frames.push(Received {
            buffer,
            len,
            offload,
        });
    }

    /// Whether no more should be added.
    pub fn is_full(&self) -> bool {
        self.frames.len() >= BATCH || self.bytes >= FULL
    }

    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames in it.
    pub fn frames(&self) -> &[Received] {
        &self.frames
    }

    /// Takes all frames out.
    pub fn take_all(&mut self) -> Vec<Received> {
        self.bytes = 0;
        core::mem::take(&mut self.frames)
    }

    /// The frames, to be taken out.
    pub fn take(&mut self) -> &mut Vec<Received> {
        self.bytes = 0;
        &mut self.frames
    }
}

/// A frame that is to be sent.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Transmit<'a> {
    raw: Tx,
    memory: PhantomData<&'a [u8]>,
}

// SAFETY: it is a shared reference to bytes.
unsafe impl Send for Transmit<'_> {}
// SAFETY: as above.
unsafe impl Sync for Transmit<'_> {}

/// A piece of a frame: memory that stays as it is, or such as another process can write at any
/// time, to which there must be no reference.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Piece<'a> {
    raw: Part,
    memory: PhantomData<&'a [u8]>,
}

/// Is set in the length of a piece that another process can write; the kernel has no such.
const SHARED: usize = 1 << (usize::BITS - 1);

// SAFETY: it is a shared reference to bytes, or reached in atomic pieces.
unsafe impl Send for Piece<'_> {}
// SAFETY: as above.
unsafe impl Sync for Piece<'_> {}

impl<'a> Piece<'a> {
    /// A piece of memory.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            raw: Part {
                base: bytes.as_ptr().cast_mut().cast(),
                len: bytes.len(),
            },
            memory: PhantomData,
        }
    }

    /// A part of memory that another process can write.
    ///
    /// # Panics
    /// If it is not all inside.
    pub fn shared(memory: &'a rump_ring::Shared, at: usize, len: usize) -> Self {
        Self {
            raw: Part {
                base: memory.at(at, len).as_ptr().cast(),
                len: len | SHARED,
            },
            memory: PhantomData,
        }
    }

    /// Where it is, for calls of the system that read it.
    pub fn as_ptr(&self) -> *const u8 {
        self.raw.base.cast_const().cast()
    }

    /// As the kernel takes it, which copies it before it looks at what it says.
    pub fn part(&self) -> Part {
        Part {
            base: self.raw.base,
            len: self.len(),
        }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.raw.len & !SHARED
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes, unless another process can write them.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        // SAFETY: made from such a slice, or by who made the frame.
        let bytes = || unsafe { core::slice::from_raw_parts(self.raw.base.cast(), self.raw.len) };
        (self.raw.len & SHARED == 0).then(bytes)
    }

    /// Copies it, as far as there is room; returns how much it was.
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let len = self.len().min(out.len());
        self.copy_from(0, &mut out[..len]);
        len
    }

    /// Copies what is behind its first bytes. All of it is inside.
    fn copy_from(&self, at: usize, out: &mut [u8]) {
        if let Some(bytes) = self.bytes() {
            out.copy_from_slice(&bytes[at..at + out.len()]);
            return;
        }
        assert!(at + out.len() <= self.len());
        let start = self.raw.base.cast::<u8>().wrapping_add(at);
        // It is inside memory that begins at a word.
        let before = start.addr() % size_of::<u64>();
        if let Some(start) = NonNull::new(start.wrapping_sub(before)) {
            // SAFETY: inside such memory, as `shared` has checked.
            let memory = unsafe { rump_ring::Shared::new(start, before + out.len()) };
            memory.read(before, out);
        }
    }

    /// Hands out its bytes, some after the others: those of another process as copies.
    pub fn for_each(&self, mut each: impl FnMut(&[u8])) {
        if let Some(bytes) = self.bytes() {
            return each(bytes);
        }
        let mut copy = [0; 2048];
        let mut at = 0;
        while at < self.len() {
            let part = &mut copy[..(self.len() - at).min(2048)];
            self.copy_from(at, part);
            each(part);
            at += part.len();
        }
    }
}

impl fmt::Debug for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Piece({})", self.len())
    }
}

impl<'a> Transmit<'a> {
    /// A frame in pieces.
    pub fn new(pieces: &'a [Piece<'a>], offload: Offload) -> Self {
        let len: usize = pieces.iter().map(Piece::len).sum();
        Self {
            raw: Tx {
                parts: pieces.as_ptr().cast(),
                nparts: u32::try_from(pieces.len()).unwrap_or(0),
                len: u32::try_from(len).unwrap_or(0),
                offload,
                pad: [0; 6],
            },
            memory: PhantomData,
        }
    }

    /// The frames that the kernel hands over.
    ///
    /// # Safety
    /// The call `transmit` of [`Ops`](super::abi::Ops) that brought them has not
    /// returned, and does not before the end of `'a`.
    pub unsafe fn from_kernel(frames: *const Tx, count: u32) -> &'a [Self] {
        // SAFETY: by contract: so many frames, whose parts can be read.
        unsafe { core::slice::from_raw_parts(frames.cast(), count as usize) }
    }

    /// What is to be done to it.
    pub fn offload(&self) -> Offload {
        self.raw.offload
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.raw.len as usize
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.raw.len == 0
    }

    /// Its pieces.
    pub fn pieces(&self) -> &'a [Piece<'a>] {
        // SAFETY: so many parts, by who made the frame.
        unsafe { core::slice::from_raw_parts(self.raw.parts.cast(), self.raw.nparts as usize) }
    }

    /// Copies it into one piece, as far as there is room; returns how much it was.
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let mut at = 0;
        for piece in self.pieces() {
            at += piece.copy_to(&mut out[at..]);
        }
        at
    }
}

impl fmt::Debug for Transmit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmit")
            .field("len", &self.raw.len)
            .field("offload", &self.raw.offload)
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use rump_ring::Shared;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn pieces_of_another_process_are_copied() {
        let mut words = vec![0_u64; 1024];
        let start = NonNull::new(words.as_mut_ptr()).unwrap().cast();
        // SAFETY: it is not used otherwise.
        let memory = unsafe { Shared::new(start, 8192) };
        let bytes: Vec<u8> = (0..8192).map(|at| (at % 251) as u8).collect();
        memory.write(0, &bytes);
        for (at, len) in [(0, 8192), (3, 0), (5, 1), (6, 17), (8191, 1), (13, 5000)] {
            let piece = Piece::shared(&memory, at, len);
            assert_eq!((piece.len(), piece.bytes()), (len, None));
            let mut out = Vec::new();
            piece.for_each(|bytes| out.extend_from_slice(bytes));
            assert_eq!(out, bytes[at..at + len]);
            let pieces = [Piece::new(b"head"), piece];
            let frame = Transmit::new(&pieces, Offload::default());
            assert_eq!(frame.len(), 4 + len);
            let mut whole = vec![0; 4 + len / 2];
            assert_eq!(frame.copy_to(&mut whole), whole.len());
            assert_eq!(whole[4..], bytes[at..at + len / 2]);
        }
    }

    #[test]
    fn a_frame_in_pieces_is_the_same_in_one() {
        let pieces = [
            Piece::new(b"scatter"),
            Piece::new(b""),
            Piece::new(b"gather"),
        ];
        let frame = Transmit::new(&pieces, Offload::default());
        assert_eq!(frame.len(), 13);
        let mut whole = [0; 20];
        assert_eq!(frame.copy_to(&mut whole), 13);
        assert_eq!(&whole[..13], b"scattergather");
        assert_eq!(frame.copy_to(&mut whole[..9]), 9);
    }
}
