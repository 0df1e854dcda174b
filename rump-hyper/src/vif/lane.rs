//! A ring of frames in memory that two processes share, for one direction.
//!
//! | offset | size | is |
//! |---|---|---|
//! | 0 | 8 | how many bytes were put in, ever: the sender's |
//! | 64 | 8 | how many were taken out: the receiver's |
//! | 128 | 4 | 1 while the receiver sleeps and wants to be woken |
//! | 192 | | the data, a power of two |
//!
//! A frame is 16 bytes (length, what is to be done to it) and its own, up to a multiple
//! of 16; it goes around the end. Each side keeps its own count to itself and only tells
//! it: what the other side says is checked, and the worst it can do is to send nonsense.
//!
//! The one who sends looks whether the other [sleeps](sleep) after it has told its count;
//! the one who receives says that it will sleep, and then looks once more at the count.

pub mod sleep;
#[cfg(all(test, not(loom)))]
mod tests;

use super::abi::{FRAME_MAX, Offload};
use super::backend::Transmit;
use core::sync::atomic::Ordering;
use rump_ring::Shared;

const AT_PUT: usize = 0;
const AT_TAKEN: usize = 64;
const AT_SLEEPS: usize = 128;
const DATA: usize = 192;
const HEADER: usize = 16;

/// The other side has told a count, or sent a length, that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// How much memory a lane with so many bytes of data needs.
pub const fn size(data: usize) -> usize {
    DATA + data
}

/// A lane: its memory, and the data in it.
#[derive(Debug)]
struct Lane {
    memory: Shared,
    start: usize,
    data: usize,
}

impl Lane {
    fn new(memory: Shared, start: usize, data: usize) -> Self {
        assert!(data.is_power_of_two() && data >= 2 * FRAME_MAX);
        assert!(start.is_multiple_of(64) && start + size(data) <= memory.len());
        Self {
            memory,
            start,
            data,
        }
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

    /// Where a count is in the memory, and how much there is up to the end.
    fn place(&self, count: u64) -> (usize, usize) {
        let offset = count as usize & (self.data - 1);
        (self.start + DATA + offset, self.data - offset)
    }

    fn put(&self, count: u64, bytes: &[u8]) {
        let (at, room) = self.place(count);
        let (before, behind) = bytes.split_at(bytes.len().min(room));
        self.memory.write(at, before);
        self.memory.write(self.start + DATA, behind);
    }

    fn take(&self, count: u64, out: &mut [u8]) {
        let (at, room) = self.place(count);
        let len = out.len().min(room);
        let (before, behind) = out.split_at_mut(len);
        self.memory.read(at, before);
        self.memory.read(self.start + DATA, behind);
    }
}

/// How much a frame takes up.
fn taken_up(len: usize) -> u64 {
    (HEADER + len.next_multiple_of(HEADER)) as u64
}

/// The end that frames are put into.
#[derive(Debug)]
pub struct Sender {
    lane: Lane,
    put: u64,
}

impl Sender {
    /// The sender of the lane that begins there, with so many bytes of data.
    ///
    /// # Panics
    /// If it is not all in the memory, or its size is not a power of two.
    pub fn new(memory: Shared, start: usize, data: usize) -> Self {
        Self {
            lane: Lane::new(memory, start, data),
            put: 0,
        }
    }

    /// Puts frames in, as many as there is room for; returns how many.
    ///
    /// # Errors
    /// The other side is broken.
    pub fn send(&mut self, frames: &[Transmit<'_>]) -> Result<usize, Broken> {
        let lane = &self.lane;
        let waiting = self.put.wrapping_sub(lane.told(AT_TAKEN));
        let mut room = (lane.data as u64).checked_sub(waiting).ok_or(Broken)?;
        let mut sent = 0;
        for frame in frames {
            let whole = taken_up(frame.len());
            if frame.len() > FRAME_MAX || whole > room {
                break;
            }
            lane.put(self.put, &header(frame.len(), frame.offload()));
            let mut at = self.put + HEADER as u64;
            for piece in frame.pieces() {
                lane.put(at, piece.bytes());
                at += piece.bytes().len() as u64;
            }
            room -= whole;
            self.put += whole;
            sent += 1;
        }
        lane.tell(AT_PUT, self.put);
        Ok(sent)
    }

    /// Whether the receiver is to be woken. To be asked after frames were put in.
    pub fn must_wake(&self) -> bool {
        sleep::rouse(self.lane.memory.u32(self.lane.start + AT_SLEEPS))
    }
}

/// The end that frames come out of.
#[derive(Debug)]
pub struct Receiver {
    lane: Lane,
    taken: u64,
}

impl Receiver {
    /// The receiver, as [`Sender::new`].
    ///
    /// # Panics
    /// As there.
    pub fn new(memory: Shared, start: usize, data: usize) -> Self {
        Self {
            lane: Lane::new(memory, start, data),
            taken: 0,
        }
    }

    /// How many bytes there are.
    fn waiting(&self) -> Result<u64, Broken> {
        let waiting = self.lane.told(AT_PUT).wrapping_sub(self.taken);
        let most = self.lane.data as u64;
        if waiting > most {
            Err(Broken)
        } else {
            Ok(waiting)
        }
    }

    /// Takes a frame out, if there is one; returns its length and what is to be done to
    /// it, which is not checked. `out` has room for the longest.
    ///
    /// # Errors
    /// The other side is broken.
    pub fn receive(&mut self, out: &mut [u8]) -> Result<Option<(usize, Offload)>, Broken> {
        let waiting = self.waiting()?;
        if waiting == 0 {
            return Ok(None);
        }
        let mut bytes = [0; HEADER];
        self.lane.take(self.taken, &mut bytes);
        let (len, offload) = claims(&bytes);
        if len > FRAME_MAX || taken_up(len) > waiting {
            return Err(Broken);
        }
        self.lane.take(self.taken + HEADER as u64, &mut out[..len]);
        self.taken += taken_up(len);
        self.lane.tell(AT_TAKEN, self.taken);
        Ok(Some((len, offload)))
    }

    /// Says that this side will sleep; false if it must not, because there is a frame.
    ///
    /// # Errors
    /// The other side is broken.
    pub fn may_sleep(&self) -> Result<bool, Broken> {
        let sleeps = self.lane.memory.u32(self.lane.start + AT_SLEEPS);
        sleep::announce(sleeps);
        let empty = self.waiting()? == 0;
        if !empty {
            sleep::rouse(sleeps);
        }
        Ok(empty)
    }
}

fn header(len: usize, offload: Offload) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..4].copy_from_slice(&(len as u32).to_ne_bytes());
    bytes[4] = offload.flags;
    bytes[5] = offload.gso_type;
    let words = [
        offload.hdr_len,
        offload.gso_size,
        offload.csum_start,
        offload.csum_offset,
    ];
    for (to, word) in bytes[6..14].chunks_exact_mut(2).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

fn claims(bytes: &[u8; HEADER]) -> (usize, Offload) {
    let word = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    let len = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    let offload = Offload {
        flags: bytes[4],
        gso_type: bytes[5],
        hdr_len: word(6),
        gso_size: word(8),
        csum_start: word(10),
        csum_offset: word(12),
    };
    (len, offload)
}
