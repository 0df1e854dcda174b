//! A cable between two processes: memory that both have mapped, with a
//! [lane](rump_ring::lane) each way in each queue.
//!
//! Frames are copied once in, offloads and all, and once out, or looked at where they are
//! ([`Incoming`]). One side makes the memory, a memfd sealed against being made longer or
//! shorter (memfd_create(2)), and hands it to the other, whose [`End`] is the mirror of its own.
//!
//! # Waking
//! Whoever has nothing to do sleeps on a word of the shared memory (futex(2)), and is woken only
//! while it says so: two busy sides make no system calls. There are no descriptors for it, whose
//! flags the other side could change so that a write to them blocks. What the other side can do
//! to that word is to wake this one for nothing, and to have it sleep for [`LONGEST`] although
//! its own process wants it; so nobody waits longer at a time.
//!
//! # Trust
//! The other side is not trusted: what it says of the lanes is checked here, and what it says of
//! frames by whoever takes them. No reference to the memory is made. What is looked at where it
//! is may change until it is sent: only what was copied can be relied upon.
//!
//! # Elsewhere
//! Where the other side is no process of this machine, memory is a [`Medium`]'s, which has its
//! own way to ring for who sleeps, and the socket is a [`Wire`]'s; all else is the same.
//!
//! Huge pages are for others who are trusted: who has the memory can give some of it back
//! (fallocate(2), `FALLOC_FL_PUNCH_HOLE`), and when no huge page is left then, the next who
//! touches it dies of it. Of ordinary pages there are others.
#![allow(unsafe_code)]

mod end;
mod incoming;
mod memory;
mod socket;
#[cfg(all(test, not(loom)))]
mod tests;
mod wire;

pub use end::{Counters, End, LONGEST, State};
pub use incoming::{Frame, Incoming};
pub use rump_ring::Broken;
pub use socket::{Message, Peer, Socket};
pub use wire::{Door, Medium, Wire};

use super::futex;
use crate::errno::Errno;
use crate::vif::lane::{LEAST, lane};
use memory::Memory;
use rump_ring::Shared;
use rump_ring::lane::{Lane, size};
use std::boxed::Box;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

impl From<Broken> for Errno {
    fn from(Broken: Broken) -> Self {
        Self::BADMSG
    }
}

/// The most queues.
pub const MOST_QUEUES: u16 = 16;
/// The most bytes of a ring in one direction.
pub const MOST_DATA: u32 = 64 << 20;

/// How many queues a cable has, and how much waits in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    queues: u16,
    data: u32,
}

/// Which end of a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// That of who made the memory.
    Maker,
    /// That of who was given it.
    Guest,
}

impl Shape {
    /// So many queues, up to [`MOST_QUEUES`], and so many bytes each way in each: a power of two
    /// from 256 KiB to [`MOST_DATA`]. `None` if it is not so.
    pub fn new(queues: u16, data: u32) -> Option<Self> {
        let fits = (1..=MOST_QUEUES).contains(&queues)
            && data.is_power_of_two()
            && (LEAST..=MOST_DATA as usize).contains(&(data as usize));
        fits.then_some(Self { queues, data })
    }

    /// How many queues.
    pub fn queues(self) -> u16 {
        self.queues
    }

    /// How many bytes wait each way in each queue.
    pub fn data(self) -> u32 {
        self.data
    }

    /// Where the data of a lane ends and the next one begins.
    fn stride(self) -> usize {
        size(self.data as usize)
    }

    /// How many bytes of memory it takes.
    pub fn memory(self) -> usize {
        2 * usize::from(self.queues) * self.stride()
    }

    /// The lane of a queue that this side sends into, or receives from.
    fn lane(self, memory: Shared, queue: u16, sender: Side) -> Lane {
        let index = 2 * usize::from(queue) + usize::from(sender == Side::Guest);
        lane(memory, index * self.stride(), self.data as usize)
    }
}

/// Wakes who sleeps at this side's end of a cable: the other side of a [`Medium`] has rung.
///
/// # Panics
/// If the memory is shorter than that of this shape.
pub fn rouse(memory: Shared, shape: Shape, side: Side) {
    let other = match side {
        Side::Maker => Side::Guest,
        Side::Guest => Side::Maker,
    };
    for queue in 0..shape.queues {
        futex::unpark_shared(shape.lane(memory, queue, other).sleeps());
        futex::unpark_shared(shape.lane(memory, queue, side).waits());
    }
}

impl End {
    /// Makes the memory of a new cable, and this end of it; the other end is whoever
    /// [maps](Self::map) the [file](Self::file).
    ///
    /// # Errors
    /// There is no memory, or there are no descriptors.
    pub fn make(shape: Shape) -> io::Result<Self> {
        let memory = Memory::make(shape.memory())?;
        Ok(Self::new(memory, shape, Side::Maker))
    }

    /// The same in huge pages (hugetlbpage, 2 MiB), if there are enough; else as
    /// [`make`](Self::make). [`has_huge_pages`](Self::has_huge_pages) tells which. They are for
    /// other sides that are trusted: see [Trust](self).
    ///
    /// # Errors
    /// As [`make`](Self::make).
    pub fn make_huge(shape: Shape) -> io::Result<Self> {
        let memory = Memory::make_huge(shape.memory());
        let memory = memory.or_else(|_| Memory::make(shape.memory()))?;
        Ok(Self::new(memory, shape, Side::Maker))
    }

    /// The other end of one that somebody else made.
    ///
    /// # Errors
    /// `InvalidData` if the file is no memory of this shape, or not sealed.
    pub fn map(file: impl Into<std::os::fd::OwnedFd>, shape: Shape) -> io::Result<Self> {
        let memory = Memory::open(file.into(), shape.memory())?;
        Ok(Self::new(memory, shape, Side::Guest))
    }

    /// The end of the maker's successor, which is of use once it [goes on](Self::go_on) from where
    /// the maker's was.
    ///
    /// # Errors
    /// `InvalidData` if the file is no memory of this shape, or not sealed.
    pub fn succeed(file: impl Into<std::os::fd::OwnedFd>, shape: Shape) -> io::Result<Self> {
        let memory = Memory::open(file.into(), shape.memory())?;
        Ok(Self::new(memory, shape, Side::Maker))
    }

    /// An end in memory that is no file.
    ///
    /// # Panics
    /// If it is shorter than that of this shape.
    pub fn over(medium: Box<dyn Medium>, shape: Shape, side: Side) -> Self {
        Self::new(Memory::other(medium), shape, side)
    }

    /// The file that the memory is in, if it is one, for the other side or a successor.
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        self.memory.file().map(AsFd::as_fd)
    }

    /// Whether the memory is in huge pages.
    pub fn has_huge_pages(&self) -> bool {
        self.memory.huge
    }
}
