//! What the kernel wants read or written.

use alloc::sync::Arc;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicI32, Ordering};
use rump_hyper::errno::Errno;

/// Tells the kernel how a transfer has ended: what it knows it by, and an error number or 0.
pub(crate) type Tell = unsafe fn(*mut c_void, c_int);

/// A transfer, which ends where this is dropped: the kernel is told then.
#[derive(Debug)]
pub(crate) struct Transfer {
    write: bool,
    data: *mut u8,
    len: usize,
    offset: u64,
    io: *mut c_void,
    tell: Tell,
    error: AtomicI32,
}

// SAFETY: the memory is this transfer's until it ends, whichever thread does it; pieces of it
// do not overlap.
unsafe impl Send for Transfer {}
// SAFETY: as above.
unsafe impl Sync for Transfer {}

impl Transfer {
    /// One from or to memory, at a place of the disk.
    ///
    /// # Safety
    /// The memory, so many bytes, is nobody else's until `tell` is called, which may be done
    /// with `io` once, from any thread that has no virtual CPU.
    pub(crate) unsafe fn new(
        write: bool,
        (data, len): (*mut u8, usize),
        offset: u64,
        (io, tell): (*mut c_void, Tell),
    ) -> Self {
        Self {
            write,
            data,
            len,
            offset,
            io,
            tell,
            error: AtomicI32::new(0),
        }
    }

    /// Cuts it into pieces of so many bytes at most.
    pub(crate) fn pieces(self, most: usize) -> impl Iterator<Item = Piece> {
        let len = self.len;
        let whole = Arc::new(self);
        (0..len).step_by(most).map(move |at| Piece {
            of: whole.clone(),
            at,
            len: most.min(len - at),
        })
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        // SAFETY: `new` says so; this is the one time.
        unsafe { (self.tell)(self.io, *self.error.get_mut()) };
    }
}

/// A part of a transfer, which ends with the last of its pieces.
#[derive(Debug)]
pub(crate) struct Piece {
    of: Arc<Transfer>,
    at: usize,
    len: usize,
}

impl Piece {
    /// Whether it is to be written.
    pub(crate) fn is_write(&self) -> bool {
        self.of.write
    }

    /// Its place on the disk.
    pub(crate) fn offset(&self) -> u64 {
        self.of.offset + self.at as u64
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where its memory is.
    pub(crate) fn address(&self) -> usize {
        self.of.data.addr() + self.at
    }

    /// The bytes that are to be written.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: within the memory, which nobody writes to until the end.
        unsafe { core::slice::from_raw_parts(self.of.data.add(self.at), self.len) }
    }

    /// Where the bytes that were read belong.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        assert!(!self.of.write);
        // SAFETY: as above, and this is the only piece with that part.
        unsafe { core::slice::from_raw_parts_mut(self.of.data.add(self.at), self.len) }
    }

    /// The transfer fails, whatever becomes of its other pieces.
    pub(crate) fn fail(&self, errno: Errno) {
        self.of.error.store(errno.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::vec;
    use std::vec::Vec;

    std::thread_local! {
        /// What the kernel was told, in a test.
        pub(crate) static TOLD: RefCell<Vec<(usize, c_int)>> = const { RefCell::new(Vec::new()) };
    }

    unsafe fn tell(io: *mut c_void, error: c_int) {
        TOLD.with_borrow_mut(|told| told.push((io.addr(), error)));
    }

    /// A transfer of this thread's test, that is told by its number.
    pub(crate) fn transfer(write: bool, data: &mut [u8], offset: u64, number: usize) -> Transfer {
        let io = core::ptr::without_provenance_mut(number);
        // SAFETY: the test has no other use for the memory meanwhile.
        unsafe {
            Transfer::new(
                write,
                (data.as_mut_ptr(), data.len()),
                offset,
                (io, tell as Tell),
            )
        }
    }

    #[test]
    fn a_transfer_ends_with_its_last_piece() {
        let mut data = vec![0; 2500];
        let mut pieces: Vec<_> = transfer(false, &mut data, 4096, 1).pieces(1000).collect();
        let places: Vec<_> = pieces.iter().map(|p| (p.offset(), p.len())).collect();
        assert_eq!(places, [(4096, 1000), (5096, 1000), (6096, 500)]);
        for (number, piece) in pieces.iter_mut().enumerate() {
            piece.room().fill(number as u8 + 1);
        }
        pieces[1].fail(Errno::IO);
        pieces.truncate(1);
        assert!(TOLD.take().is_empty());
        pieces.clear();
        assert_eq!(TOLD.take(), [(1, 5)]);
        assert_eq!((data[999], data[1000], data[2499]), (1, 2, 3));
    }
}
