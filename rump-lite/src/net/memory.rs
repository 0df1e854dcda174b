//! Buffers of TCP connections, which come from the host and are used again.
#![allow(unsafe_code)]

use crate::hypercall;
use alloc::vec::Vec;
use core::ptr::NonNull;
use rump_hyper::errno::Errno;
use smoltcp::socket::tcp::SocketBuffer;

/// The size of the smallest buffer. What can be in it may be limited further, and is no
/// more. As pages are touched only when data is in them, an idle connection has address
/// space.
pub(crate) const BUFFER: usize = 64 * 1024;

/// The size of the largest one, which is the most that TCP's window can be.
const LARGEST: usize = 1 << 30;

/// How many bytes of buffers are kept for the next connections.
const KEPT: usize = 4 << 20;

/// The size of a buffer for so many bytes: few different ones, so that they are used again.
pub(crate) fn size_for(bytes: usize) -> usize {
    bytes.clamp(BUFFER, LARGEST).next_power_of_two()
}

/// A buffer. Whoever has it gives it back to its [`Pool`].
#[derive(Debug)]
pub(crate) struct Buffer {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: it is memory, and there is one owner.
unsafe impl Send for Buffer {}

impl Buffer {
    /// The memory as smoltcp takes it.
    ///
    /// # Safety
    /// Called once, and the result is dropped before the buffer is given back.
    pub(crate) unsafe fn as_socket_buffer(&self) -> SocketBuffer<'static> {
        // SAFETY: mapped memory of that size, zeroed at first and bytes ever since, that
        // nobody else touches until the buffer is given back.
        let bytes = unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.size) };
        SocketBuffer::new(bytes)
    }
}

/// The buffers that nobody uses.
#[derive(Debug)]
pub(crate) struct Pool {
    free: Vec<Buffer>,
    /// Bytes in `free`.
    kept: usize,
    /// Bytes taken of the host.
    mapped: usize,
    limit: usize,
}

impl Pool {
    /// A pool that takes at most so many bytes of the host.
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self {
            free: Vec::new(),
            kept: 0,
            mapped: 0,
            limit: limit.unwrap_or(usize::MAX),
        }
    }

    /// A buffer for at least so many bytes.
    ///
    /// # Errors
    /// `ENOBUFS` at the limit, and if the host has no more.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<Buffer, Errno> {
        let size = size_for(bytes);
        if let Some(place) = self.free.iter().rposition(|free| free.size == size) {
            self.kept -= size;
            return Ok(self.free.swap_remove(place));
        }
        if self.mapped + size > self.limit {
            // Those of other sizes are in the way.
            while let Some(buffer) = self.free.pop() {
                self.kept -= buffer.size;
                self.unmap(buffer);
            }
        }
        if self.mapped + size > self.limit {
            return Err(Errno::NOBUFS);
        }
        let start = hypercall::map(size).map_err(|_| Errno::NOBUFS)?;
        self.mapped += size;
        Ok(Buffer { start, size })
    }

    pub(crate) fn give(&mut self, buffer: Buffer) {
        if self.kept + buffer.size <= KEPT {
            self.kept += buffer.size;
            self.free.push(buffer);
        } else {
            self.unmap(buffer);
        }
    }

    fn unmap(&mut self, buffer: Buffer) {
        self.mapped -= buffer.size;
        // SAFETY: mapped by `take` with that size, and its owner has given it up.
        unsafe { hypercall::unmap(buffer.start, buffer.size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_large_enough_and_of_few_sizes() {
        for bytes in [
            0,
            1,
            BUFFER,
            BUFFER + 1,
            200_001,
            16 << 20,
            LARGEST,
            usize::MAX,
        ] {
            let size = size_for(bytes);
            assert!(size >= bytes.min(LARGEST) && size.is_power_of_two() && size <= LARGEST);
        }
        assert_eq!((size_for(0), size_for(200_001)), (BUFFER, 256 << 10));
    }

    #[test]
    fn the_limit_is_of_all_sizes_together() {
        let mut pool = Pool::new(Some(4 * BUFFER));
        let small = [(); 3].map(|()| pool.take(1).unwrap());
        assert_eq!(pool.take(2 * BUFFER).err(), Some(Errno::NOBUFS));
        small.into_iter().for_each(|buffer| pool.give(buffer));
        // What is kept makes room.
        let large = pool.take(4 * BUFFER).unwrap();
        assert_eq!(pool.take(1).err(), Some(Errno::NOBUFS));
        pool.give(large);
        let again = pool.take(1).unwrap();
        pool.give(again);
    }
}
