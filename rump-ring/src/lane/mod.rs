//! A ring of messages in memory that two processes share, for one direction.
//!
//! | offset | size | is |
//! |---|---|---|
//! | 0 | 8 | how many bytes were put in, ever: the sender's |
//! | 64 | 8 | how many were taken out: the receiver's |
//! | 128 | 4 | 1 while the receiver sleeps and wants to be woken |
//! | 192 | 4 | 1 while the sender waits for room and wants to be woken |
//! | 256 | | the data, a power of two |
//!
//! A message is 16 bytes (its length, and a note of [`NOTE`] bytes that is not looked at here)
//! and its own, up to a multiple of 16; it goes around the end. Each side keeps its own count to
//! itself and only tells it, many messages at a time; it looks at the other's only when it seems
//! to be out of room or of messages. What the other side says is checked, and the worst it can
//! do is to send nonsense.
//!
//! The one who sends looks whether the other [sleeps](sleep) after it has told its count;
//! the one who receives says that it will sleep, and then looks once more at the count. With
//! the roles exchanged it is the same for room.
//!
//! The receiver copies what it must be able to rely on, and may leave the rest where it is until
//! it [releases](Receiver::release) it: that is memory which the other side can still write.

pub mod sleep;
#[cfg(all(test, not(loom)))]
mod tests;

use crate::{Broken, Shared};
use core::sync::atomic::{AtomicU32, Ordering};

const AT_PUT: usize = 0;
const AT_TAKEN: usize = 64;
const AT_SLEEPS: usize = 128;
const AT_WAITS: usize = 192;
const DATA: usize = 256;
const HEADER: usize = 16;
/// How many bytes go along with a message.
pub const NOTE: usize = 12;

/// How much memory a lane with so many bytes of data needs.
pub const fn size(data: usize) -> usize {
    DATA + data
}

/// A lane: its memory, and the data in it.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    memory: Shared,
    start: usize,
    data: usize,
    most: usize,
}

impl Lane {
    /// The lane that begins there, with so many bytes of data and messages of at most so many.
    /// The memory of a new one is zero.
    ///
    /// # Panics
    /// If it is not all in the memory or not at a multiple of 64, the data are not a power of
    /// two, or have no room for the longest message.
    pub fn new(memory: Shared, start: usize, data: usize, most: usize) -> Self {
        assert!(data.is_power_of_two() && data as u64 >= taken_up(most));
        assert!(start.is_multiple_of(64) && start + size(data) <= memory.len());
        Self {
            memory,
            start,
            data,
            most,
        }
    }

    /// The word that is 1 while the receiver sleeps.
    pub fn sleeps(&self) -> &AtomicU32 {
        self.flag(AT_SLEEPS)
    }

    /// The word that is 1 while the sender waits for room.
    pub fn waits(&self) -> &AtomicU32 {
        self.flag(AT_WAITS)
    }

    /// What the other side has told.
    fn told(&self, at: usize) -> u64 {
        self.memory.u64(self.start + at).load(Ordering::Acquire)
    }

    fn tell(&self, at: usize, count: u64) {
        self.memory
            .u64(self.start + at)
            .store(count, Ordering::Release);
    }

    fn flag(&self, at: usize) -> &AtomicU32 {
        self.memory.u32(self.start + at)
    }

    /// Where so many bytes from a count on are in the memory, up to the end and behind it.
    fn places(&self, count: u64, len: usize) -> [(usize, usize); 2] {
        let offset = count as usize & (self.data - 1);
        let before = len.min(self.data - offset);
        let start = self.start + DATA;
        [(start + offset, before), (start, len - before)]
    }

    fn put(&self, count: u64, bytes: &[u8]) {
        let [(at, len), (behind, _)] = self.places(count, bytes.len());
        let (before, rest) = bytes.split_at(len);
        self.memory.write(at, before);
        self.memory.write(behind, rest);
    }

    fn take(&self, count: u64, out: &mut [u8]) {
        let [(at, len), (behind, _)] = self.places(count, out.len());
        let (before, rest) = out.split_at_mut(len);
        self.memory.read(at, before);
        self.memory.read(behind, rest);
    }
}

/// How much a message takes up.
const fn taken_up(len: usize) -> u64 {
    (HEADER + len.next_multiple_of(HEADER)) as u64
}

/// The end that messages are put into.
#[derive(Debug)]
pub struct Sender {
    lane: Lane,
    put: u64,
    /// The other side's count, as far as it was looked at.
    taken: u64,
}

/// Where the bytes of a message go.
#[derive(Debug)]
pub struct Body<'a> {
    lane: &'a Lane,
    at: u64,
    left: usize,
}

impl Body<'_> {
    /// Adds bytes to a message.
    ///
    /// # Panics
    /// If it is longer then than was said.
    pub fn push(&mut self, bytes: &[u8]) {
        self.left = self
            .left
            .checked_sub(bytes.len())
            .expect("a longer message");
        self.lane.put(self.at, bytes);
        self.at = self.at.wrapping_add(bytes.len() as u64);
    }
}

impl Sender {
    /// The sender of a new lane.
    pub fn new(lane: Lane) -> Self {
        Self::resume(lane, 0)
    }

    /// The sender that goes on where another one was.
    pub fn resume(lane: Lane, position: u64) -> Self {
        Self {
            lane,
            put: position,
            taken: lane.told(AT_TAKEN),
        }
    }

    /// How many bytes were put in, ever.
    pub fn position(&self) -> u64 {
        self.put
    }

    /// What the other side has not released, to be sent in another way when it is gone. `None`
    /// if it says what cannot be.
    pub fn unread(&self) -> Option<Receiver> {
        let taken = self.lane.told(AT_TAKEN);
        (self.put.wrapping_sub(taken) <= self.lane.data as u64).then_some(Receiver {
            lane: self.lane,
            taken,
            seen: taken,
            put: self.put,
        })
    }

    /// Whether there is room for a message of this length, as far as is known.
    fn has_room(&mut self, len: usize) -> Result<bool, Broken> {
        let whole = taken_up(len);
        let (data, put) = (self.lane.data as u64, self.put);
        let room = |taken| data.checked_sub(put.wrapping_sub(taken));
        if room(self.taken).is_some_and(|room| room >= whole) {
            return Ok(true);
        }
        self.taken = self.lane.told(AT_TAKEN);
        Ok(room(self.taken).ok_or(Broken)? >= whole)
    }

    /// Puts a message of so many bytes in, if there is room; whether there was. It is not
    /// [told](Self::tell) yet. Bytes that are not filled in are what was there before.
    ///
    /// # Errors
    /// The other side is broken.
    ///
    /// # Panics
    /// If it is longer than the longest.
    pub fn put(
        &mut self,
        len: usize,
        note: [u8; NOTE],
        fill: impl FnOnce(&mut Body<'_>),
    ) -> Result<bool, Broken> {
        assert!(len <= self.lane.most, "a message of {len} bytes");
        if !self.has_room(len)? {
            return Ok(false);
        }
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&(len as u32).to_ne_bytes());
        header[4..].copy_from_slice(&note);
        self.lane.put(self.put, &header);
        fill(&mut Body {
            lane: &self.lane,
            at: self.put.wrapping_add(HEADER as u64),
            left: len,
        });
        self.put = self.put.wrapping_add(taken_up(len));
        Ok(true)
    }

    /// Tells the receiver of all that was put in.
    pub fn tell(&self) {
        self.lane.tell(AT_PUT, self.put);
    }

    /// Whether the receiver is to be woken. To be asked after messages were told.
    pub fn must_wake(&self) -> bool {
        sleep::rouse(self.lane.sleeps())
    }

    /// Says that this side will wait for room for a message of this length; false if it must
    /// not, because there is.
    ///
    /// # Errors
    /// The other side is broken.
    pub fn may_wait(&mut self, len: usize) -> Result<bool, Broken> {
        sleep::announce(self.lane.waits());
        self.taken = self.lane.told(AT_TAKEN);
        let full = !self.has_room(len)?;
        if !full {
            sleep::rouse(self.lane.waits());
        }
        Ok(full)
    }
}

/// A message that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its length in bytes.
    pub len: usize,
    /// What came along with it; not checked.
    pub note: [u8; NOTE],
    /// Where in the memory that is what was not copied: offset and length of two pieces, which
    /// may be empty.
    pub rest: [(usize, usize); 2],
}

/// The end that messages come out of.
#[derive(Debug)]
pub struct Receiver {
    lane: Lane,
    /// What was given back to the sender, and what was looked at.
    taken: u64,
    seen: u64,
    /// The other side's count, as far as it was looked at.
    put: u64,
}

impl Receiver {
    /// The receiver of a new lane.
    pub fn new(lane: Lane) -> Self {
        Self::resume(lane, 0)
    }

    /// The receiver that goes on where another one was.
    pub fn resume(lane: Lane, position: u64) -> Self {
        Self {
            lane,
            taken: position,
            seen: position,
            put: position,
        }
    }

    /// How many bytes were taken out and released, ever.
    pub fn position(&self) -> u64 {
        self.taken
    }

    /// How many bytes there are that were not looked at; looks again if there seem to be none.
    fn waiting(&mut self) -> Result<u64, Broken> {
        if self.put == self.seen {
            let put = self.lane.told(AT_PUT);
            if put.wrapping_sub(self.taken) > self.lane.data as u64
                || put.wrapping_sub(self.seen) > self.lane.data as u64
            {
                return Err(Broken);
            }
            self.put = put;
        }
        Ok(self.put.wrapping_sub(self.seen))
    }

    /// Looks at the next message, if there is one, and copies as much of it as there is room
    /// for in `head`. It stays where it is until it is [released](Self::release).
    ///
    /// # Errors
    /// The other side is broken.
    pub fn next(&mut self, head: &mut [u8]) -> Result<Option<Seen>, Broken> {
        let waiting = self.waiting()?;
        if waiting == 0 {
            return Ok(None);
        }
        let mut bytes = [0; HEADER];
        self.lane.take(self.seen, &mut bytes);
        let (len, note) = bytes.split_at(4);
        let len = u32::from_ne_bytes([len[0], len[1], len[2], len[3]]) as usize;
        if len > self.lane.most || taken_up(len) > waiting {
            return Err(Broken);
        }
        let copied = len.min(head.len());
        let body = self.seen.wrapping_add(HEADER as u64);
        self.lane.take(body, &mut head[..copied]);
        self.seen = self.seen.wrapping_add(taken_up(len));
        Ok(Some(Seen {
            len,
            note: core::array::from_fn(|at| note[at]),
            rest: self
                .lane
                .places(body.wrapping_add(copied as u64), len - copied),
        }))
    }

    /// Whether there is something to be looked at, or to be complained of.
    pub fn is_waiting(&self) -> bool {
        self.put != self.seen || self.lane.told(AT_PUT) != self.seen
    }

    /// Whether all that was put in was looked at and released.
    pub fn is_done(&self) -> bool {
        self.taken == self.seen && !self.is_waiting()
    }

    /// Gives the room of all messages that were looked at back to the sender. What is left of
    /// them in the memory is no more theirs.
    pub fn release(&mut self) {
        if self.taken != self.seen {
            self.taken = self.seen;
            self.lane.tell(AT_TAKEN, self.taken);
        }
    }

    /// Has all messages come again that were looked at and not released.
    pub fn rewind(&mut self) {
        self.seen = self.taken;
    }

    /// Whether the sender is to be woken. To be asked after messages were released.
    pub fn must_wake(&self) -> bool {
        sleep::rouse(self.lane.waits())
    }

    /// Says that this side will sleep; false if it must not, because there is a message.
    ///
    /// # Errors
    /// The other side is broken.
    pub fn may_sleep(&mut self) -> Result<bool, Broken> {
        sleep::announce(self.lane.sleeps());
        let empty = self.waiting()? == 0;
        if !empty {
            sleep::rouse(self.lane.sleeps());
        }
        Ok(empty)
    }
}
