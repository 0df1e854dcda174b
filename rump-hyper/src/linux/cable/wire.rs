//! Other sides that are no processes of this machine, such as a domain of Xen's: they have
//! neither sockets nor files, and do not sleep on words.

use super::{End, Shape, Socket};
use core::fmt;
use rump_ring::Shared;
use std::io::Result;
use std::os::fd::{AsFd, BorrowedFd};

/// Memory that is shared with the other side, as long as this lives.
pub trait Medium: Send + Sync + fmt::Debug {
    /// The memory.
    fn memory(&self) -> Shared;

    /// Has the other side look: it sleeps, or waits for room. When it does the same, whoever
    /// serves this calls [`rouse`](super::rouse).
    fn ring(&self);
}

/// What stands for a [`Socket`](super::Socket): it carries datagrams in order, and does not wait.
pub trait Wire: Send + Sync + fmt::Debug {
    /// Sends a datagram.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room; the other side is gone.
    fn send(&self, bytes: &[u8]) -> Result<()>;

    /// Takes a datagram, if there is one, and tells its length.
    ///
    /// # Errors
    /// `InvalidData` if there is no room for it, or the other side is broken; `UnexpectedEof` if it
    /// is gone.
    fn receive(&self, bytes: &mut [u8]) -> Result<Option<usize>>;

    /// Can be read when there may be something to receive, or room again, until the next
    /// [`receive`](Self::receive).
    fn file(&self) -> BorrowedFd<'_>;

    /// Which user the other side counts as.
    fn user(&self) -> u32;

    /// Nothing goes over it any more.
    fn shut_down(&self);

    /// As [`Socket::make`](super::Socket::make).
    ///
    /// # Errors
    /// There is no memory.
    fn make(&self, shape: Shape) -> Result<End>;

    /// As [`Socket::map`](super::Socket::map).
    ///
    /// # Errors
    /// `InvalidData` if there is none of this shape.
    fn map(&self, shape: Shape) -> Result<End>;
}

/// Where others connect.
pub trait Door: Send {
    /// Can be read when somebody may have connected.
    fn file(&self) -> BorrowedFd<'_>;

    /// The next who has connected.
    ///
    /// # Errors
    /// There is no room for one.
    fn accept(&self) -> Result<Option<Socket>>;
}

/// One that [listens](Socket::listen).
impl Door for Socket {
    fn file(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn accept(&self) -> Result<Option<Socket>> {
        self.accept()
    }
}
