//! A disk with a cache, and what a power cut leaves of it.
//!
//! It records what is done to it. Afterwards a cut can be made at any point of the record:
//! what was flushed before is there, and of what was written since, each sector may be there
//! or not, in any order, as disks promise no more.

use super::memory::range;
use super::{Backend, Memory};
use crate::error::Errno;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A disk in memory that records what is done to it, for cuts of its power.
pub struct PowerCut {
    base: Vec<u8>,
    now: Memory,
    events: Mutex<Vec<Event>>,
}

/// What happened to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes were written at a place.
    Write {
        /// Where.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// All that was written before became safe.
    Flush,
    /// The program had [marked](PowerCut::mark) this point.
    Mark(u64),
}

/// What was recorded, in order, after the contents the disk had at first.
#[derive(Clone)]
pub struct Trace {
    base: Vec<u8>,
    events: Vec<Event>,
}

impl fmt::Debug for PowerCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PowerCut({} bytes)", self.base.len())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({} events)", self.events.len())
    }
}

const SECTOR: usize = 512;

impl PowerCut {
    /// A disk with these contents, all of them safe.
    pub fn new(contents: Vec<u8>) -> Self {
        Self {
            now: contents.clone().into(),
            base: contents,
            events: Mutex::default(),
        }
    }

    /// Marks a point: what the program was told to be safe by now.
    pub fn mark(&self, id: u64) {
        self.events().push(Event::Mark(id));
    }

    /// What was recorded so far.
    pub fn trace(&self) -> Trace {
        Trace {
            base: self.base.clone(),
            events: self.events().clone(),
        }
    }

    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for PowerCut {
    fn size(&self) -> u64 {
        self.now.size()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Errno> {
        self.now.read(offset, into)
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), Errno> {
        // Under the lock, so that the record has the order in which they took effect.
        let mut events = self.events();
        self.now.write(offset, from)?;
        let bytes = from.to_vec();
        events.push(Event::Write { offset, bytes });
        Ok(())
    }

    fn flush(&self) -> Result<(), Errno> {
        self.events().push(Event::Flush);
        Ok(())
    }
}

impl Trace {
    /// What happened.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The last mark before a point, which is a number of events.
    pub fn marked_before(&self, point: usize) -> Option<u64> {
        let before = self.events.iter().take(point).rev();
        before.into_iter().find_map(|event| match event {
            Event::Mark(id) => Some(*id),
            _ => None,
        })
    }

    /// What is on the disk if its power was cut after so many events: of each sector that
    /// was written since the last flush, by the seed's chance, the oldest contents, the
    /// newest, or any between.
    pub fn cut(&self, point: usize, seed: u64) -> Vec<u8> {
        let mut disk = self.base.clone();
        let events = &self.events[..point.min(self.events.len())];
        let flushed = events.iter().rposition(|event| *event == Event::Flush);
        let (safe, unsafe_) = events.split_at(flushed.unwrap_or(0));
        for event in safe {
            apply(&mut disk, event, |_| true);
        }
        let mut random = seed | 1;
        // How much arrives at all differs from cut to cut, from nearly nothing to nearly all.
        let share = next(&mut random) % 101;
        for event in unsafe_ {
            apply(&mut disk, event, |_| next(&mut random) % 100 < share);
        }
        disk
    }
}

fn next(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    *state >> 33
}

/// Writes those sectors of a write that arrive.
fn apply(disk: &mut [u8], event: &Event, mut arrives: impl FnMut(usize) -> bool) {
    let Event::Write { offset, bytes } = event else {
        return;
    };
    let Ok(place) = range(*offset, bytes.len(), disk.len()) else {
        return;
    };
    let sectors = disk[place].chunks_mut(SECTOR).zip(bytes.chunks(SECTOR));
    for (index, (to, from)) in sectors.enumerate() {
        if arrives(index) {
            to.copy_from_slice(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_flushed_is_there_and_the_rest_may_be() {
        let disk = PowerCut::new(vec![0; 64 * SECTOR]);
        disk.write(0, &[1; 32 * SECTOR]).unwrap();
        disk.flush().unwrap();
        disk.mark(5);
        disk.write(16 * SECTOR as u64, &[2; 32 * SECTOR]).unwrap();
        let trace = disk.trace();
        assert_eq!(trace.events().len(), 4);
        assert_eq!(trace.marked_before(2), None);
        assert_eq!(trace.marked_before(3), Some(5));
        let (mut lost, mut arrived) = (0, 0);
        for seed in 0..200 {
            let left = trace.cut(4, seed);
            assert!(left[..16 * SECTOR].iter().all(|byte| *byte == 1));
            assert!(left[48 * SECTOR..].iter().all(|byte| *byte == 0));
            for (index, sector) in left.chunks(SECTOR).enumerate() {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "torn sector");
                lost += usize::from(sector[0] == 1 && index >= 16);
                arrived += usize::from(sector[0] == 2);
            }
        }
        assert!(lost > 500 && arrived > 500, "{lost} {arrived}");
        assert_eq!(trace.cut(0, 1), vec![0; 64 * SECTOR]);
    }
}
