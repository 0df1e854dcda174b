//! Buffers of TCP connections, which come from the host and are used again.
#![allow(unsafe_code)]

use crate::hypercall;
use alloc::vec::Vec;
use core::ptr::NonNull;
use rump_hyper::errno::Errno;
use smoltcp::socket::tcp::SocketBuffer;

/// The size of a buffer, whatever was asked for by `SO_SNDBUF` or `SO_RCVBUF`: what can be
/// in it may be limited further, and is no more. As pages are touched only when data is in
/// them, an idle connection has address space.
pub(crate) const BUFFER: usize = 64 * 1024;

/// How many buffers are kept for the next connections.
const KEPT: usize = 64;

/// A buffer. Whoever has it gives it back to its [`Pool`].
#[derive(Debug)]
pub(crate) struct Buffer(NonNull<u8>);

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
        SocketBuffer::new(unsafe { core::slice::from_raw_parts_mut(self.0.as_ptr(), BUFFER) })
    }
}

/// The buffers that nobody uses.
#[derive(Debug)]
pub(crate) struct Pool {
    free: Vec<Buffer>,
    mapped: usize,
    limit: usize,
}

impl Pool {
    /// A pool that takes at most so many bytes of the host.
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self {
            free: Vec::new(),
            mapped: 0,
            limit: limit.unwrap_or(usize::MAX),
        }
    }

    /// # Errors
    /// `ENOBUFS` at the limit, and if the host has no more.
    pub(crate) fn take(&mut self) -> Result<Buffer, Errno> {
        if let Some(buffer) = self.free.pop() {
            return Ok(buffer);
        }
        if self.mapped + BUFFER > self.limit {
            return Err(Errno::NOBUFS);
        }
        let memory = hypercall::map(BUFFER).map_err(|_| Errno::NOBUFS)?;
        self.mapped += BUFFER;
        Ok(Buffer(memory))
    }

    pub(crate) fn give(&mut self, buffer: Buffer) {
        if self.free.len() < KEPT {
            self.free.push(buffer);
            return;
        }
        // SAFETY: mapped by `take` with that size, and its owner gives it up.
        unsafe { hypercall::unmap(buffer.0, BUFFER) };
        self.mapped -= BUFFER;
    }
}
