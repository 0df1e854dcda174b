//! The bus of NetBSD's shmif(4): a file that several kernels have mapped, as an Ethernet
//! that all of them are on.
//!
//! | offset | size | is |
//! |---|---|---|
//! | 0 | 4 | a number that says what this is |
//! | 4 | 4 | the version; written to wake who waits for the file to change |
//! | 8 | 8 | the generation: how often the data have wrapped around |
//! | 16 | 4 | where the oldest frame is, or the end of the data while none was lost |
//! | 20 | 4 | where the newest frame is |
//! | 24 | 4 | the lock: 1 while somebody has it |
//! | 32 | | the data, up to 1 MiB of all |
//!
//! The data are a ring of frames, each behind a header of 24 bytes (length, seconds,
//! microseconds, nothing, and in the last 8 who sent it), at any offset, going around the
//! end. Who writes puts the frame behind the newest and moves the oldest out of its way;
//! who reads keeps its own place, and begins with the oldest again if that has passed it.
//! A bus that is all zero is a new one, with an empty frame in it.
//!
//! A place is here a number that grows for ever: the generation and the offset together.
//! All that is read from the bus is checked: who writes to it may be anybody.

#[cfg(all(test, not(loom)))]
mod tests;

use crate::primitive::Ordering;
use core::fmt;
use rump_ring::Shared;

/// The size of the file.
pub const SIZE: usize = 1 << 20;
/// The longest frame that others take.
pub const FRAME_MAX: usize = 1514;
/// Where the version is, which is written to wake others.
pub const WAKE: u64 = 4;
/// What is written there.
pub const VERSION: u32 = 3;

const MAGIC: u32 = 0xca11_d054;
const AT_MAGIC: usize = 0;
const AT_GENERATION: usize = 8;
const AT_FIRST: usize = 16;
const AT_LAST: usize = 20;
const AT_LOCK: usize = 24;
const DATA: usize = 32;
const DATA_SIZE: usize = SIZE - DATA;
const RING: u64 = DATA_SIZE as u64;
const HEADER: usize = 24;

/// What is wrong with a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// It is something else.
    Magic,
    /// A place that is not in it.
    Place,
    /// A frame that is longer than any.
    Length,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Magic => "not a bus of shmif",
            Self::Place => "a place that is not in the bus",
            Self::Length => "a frame that is too long",
        })
    }
}

impl core::error::Error for Broken {}

/// A bus. Those who call hold its lock, but for the lock itself.
#[derive(Debug)]
pub struct Bus {
    memory: Shared,
    /// Who this is, among those on the bus.
    sender: u64,
}

/// What is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

/// The header of a frame.
struct Header {
    len: usize,
    sender: u64,
}

impl Bus {
    /// The bus in this memory.
    ///
    /// # Panics
    /// If the memory is not as long as a bus.
    pub fn new(memory: Shared, sender: u64) -> Self {
        assert_eq!(memory.len(), SIZE);
        Self { memory, sender }
    }

    /// Takes the lock, if nobody has it.
    pub fn try_lock(&self) -> bool {
        let lock = self.memory.u32(AT_LOCK);
        lock.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Gives the lock back.
    pub fn unlock(&self) {
        self.memory.u32(AT_LOCK).store(0, Ordering::Release);
    }

    /// Makes a new bus of it, if it is not one yet; returns where the next frame will be.
    ///
    /// # Errors
    /// It is no bus.
    pub fn join(&self) -> Result<Place, Broken> {
        match self.memory.u32(AT_MAGIC).load(Ordering::Relaxed) {
            MAGIC => {}
            0 => {
                self.memory
                    .u32(AT_FIRST)
                    .store(DATA_SIZE as u32, Ordering::Relaxed);
                self.memory.u32(AT_MAGIC).store(MAGIC, Ordering::Relaxed);
            }
            _ => return Err(Broken::Magic),
        }
        Ok(Place(self.extent()?.1))
    }

    /// Copies from the ring.
    fn get(&self, place: u64, out: &mut [u8]) {
        let offset = (place % RING) as usize;
        let before = out.len().min(DATA_SIZE - offset);
        let (before, behind) = out.split_at_mut(before);
        self.memory.read(DATA + offset, before);
        self.memory.read(DATA, behind);
    }

    /// Copies to the ring.
    fn put(&self, place: u64, bytes: &[u8]) {
        let offset = (place % RING) as usize;
        let (before, behind) = bytes.split_at(bytes.len().min(DATA_SIZE - offset));
        self.memory.write(DATA + offset, before);
        self.memory.write(DATA, behind);
    }

    fn header(&self, place: u64) -> Result<Header, Broken> {
        let mut bytes = [0; HEADER];
        self.get(place, &mut bytes);
        let [a, b, c, d, .., s0, s1, s2, s3, s4, s5, s6, s7] = bytes;
        let len = u32::from_ne_bytes([a, b, c, d]) as usize;
        if len > FRAME_MAX {
            return Err(Broken::Length);
        }
        let sender = u64::from_ne_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        Ok(Header { len, sender })
    }

    /// The places of the oldest frame, and of what comes behind the newest.
    fn extent(&self) -> Result<(u64, u64), Broken> {
        let offset = |at: usize| u64::from(self.memory.u32(at).load(Ordering::Relaxed));
        let (first, last) = (offset(AT_FIRST), offset(AT_LAST));
        if first > RING || last >= RING {
            return Err(Broken::Place);
        }
        let newest = self.header(last)?;
        let end = (last + (HEADER + newest.len) as u64) % RING;
        // How often it went around before this generation does not matter; one more, so
        // that there is something before it.
        let generation = self.memory.u64(AT_GENERATION).load(Ordering::Relaxed);
        let base = (generation % (1 << 40) + 1) * RING;
        let begin = if first >= end { base - RING } else { base };
        Ok((begin + first, base + end))
    }

    /// Whether there is a frame to be read, of others or one's own.
    ///
    /// # Errors
    /// What is wrong with the bus.
    pub fn is_behind(&self, place: Place) -> Result<bool, Broken> {
        Ok(self.extent()?.1 != place.0)
    }

    /// Reads the next frame that somebody else has sent; returns its length. `out` has
    /// room for the longest.
    ///
    /// # Errors
    /// What is wrong with the bus.
    pub fn read(&self, place: &mut Place, out: &mut [u8]) -> Result<Option<usize>, Broken> {
        let (begin, end) = self.extent()?;
        if !(begin..=end).contains(&place.0) {
            // The others were faster.
            place.0 = begin;
        }
        while place.0 < end {
            let header = self.header(place.0)?;
            let data = place.0 + HEADER as u64;
            place.0 = data + header.len as u64;
            if place.0 > end {
                return Err(Broken::Length);
            }
            // The first one of a new bus is empty.
            if header.sender != self.sender && header.len > 0 {
                let out = &mut out[..header.len];
                self.get(data, out);
                return Ok(Some(header.len));
            }
        }
        Ok(None)
    }

    /// Writes a frame.
    ///
    /// # Errors
    /// It is too long, or what is wrong with the bus.
    pub fn write(&self, frame: &[u8], seconds: u32, microseconds: u32) -> Result<(), Broken> {
        if frame.len() > FRAME_MAX {
            return Err(Broken::Length);
        }
        let (mut begin, start) = self.extent()?;
        let oldest = begin;
        let data = start + HEADER as u64;
        let end = data + frame.len() as u64;
        while end - begin >= RING {
            begin += (HEADER + self.header(begin)?.len) as u64;
            if begin > start {
                return Err(Broken::Place);
            }
        }
        if begin != oldest {
            let first = (begin % RING) as u32;
            self.memory.u32(AT_FIRST).store(first, Ordering::Relaxed);
        }
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&(frame.len() as u32).to_ne_bytes());
        header[4..8].copy_from_slice(&seconds.to_ne_bytes());
        header[8..12].copy_from_slice(&microseconds.to_ne_bytes());
        header[16..].copy_from_slice(&self.sender.to_ne_bytes());
        self.put(start, &header);
        self.put(data, frame);
        let last = (start % RING) as u32;
        self.memory.u32(AT_LAST).store(last, Ordering::Relaxed);
        if start / RING != end / RING {
            self.memory
                .u64(AT_GENERATION)
                .fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
