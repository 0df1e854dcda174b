//! A ring of indexes for any number of threads at each end.
//!
//! It is the SCQ of R. Nikolaev, "A Scalable, Portable, and Memory-Efficient Lock-Free FIFO
//! Queue" (DISC 2019): both ends reserve a place by adding to a counter, which never fails,
//! and only then look whether the place is in the state that they need. It holds indexes of
//! slots, of which there are `n`, in `2n` places; as there is no more than one of each, it is
//! never full. Slots that are free are in one such ring, and those with a message in another.
//!
//! | word | is |
//! |---|---|
//! | 0 | the head: how many places were reserved for taking out |
//! | 16 | the tail: how many were reserved for putting in |
//! | 32 | the threshold: how many more in vain until the ring is known to be empty |
//! | 48 | the first of `2n` places |
//!
//! A place has the index that is in it, or all ones; above that, whether one who puts in may use it
//! without a look at the head; above that, the turn of the ring that it is about.
//!
//! # Several at a time
//! [`Ring::put`] and [`Ring::take`] reserve a run of places with one addition, which is what
//! they cost most. An index whose place cannot be used gets another one behind the run; so
//! those of a run may come out in another order than they went in.
//!
//! # Trust
//! Nothing that is read leads out of the ring: places are found by masking, and an index that
//! is none of a slot is [`Broken`]. Whoever writes the words at will can make indexes appear
//! twice or never; who owns a slot must not be concluded from that alone. Honest threads go
//! around a loop again only after another one has got on, and by far not as often as there
//! are places; who has done so several times as often takes the ring for broken.

use crate::primitive::AtomicU64;
use crate::primitive::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use crate::{Broken, Words};

const AT_HEAD: usize = 0;
const AT_TAIL: usize = 16;
const AT_THRESHOLD: usize = 32;
const PLACES: usize = 48;
/// The most slots.
pub const MOST: usize = 1 << 24;

/// How many words a ring of the indexes of so many slots needs.
pub const fn words(slots: usize) -> usize {
    PLACES + 2 * slots
}

/// A ring; every thread may have one of its own over the same words.
#[derive(Clone, Copy, Debug)]
pub struct Ring<W> {
    words: W,
    /// How many bits say which of the places.
    bits: u32,
}

/// What became of a reserved place.
enum Place {
    Done(u64),
    Lost,
}

impl<W: Words> Ring<W> {
    /// A new, empty ring.
    ///
    /// # Panics
    /// If the number of slots is not a power of two up to [`MOST`]; see [`words`].
    pub fn new(words: W) -> Self {
        let ring = Self::open(words);
        let empty = ring.entry(0, true, ring.none());
        for place in 0..ring.places() {
            ring.place(place).store(empty, Relaxed);
        }
        // The turn 0 is over, so that nothing of it is waited for.
        ring.words.word(AT_HEAD).store(ring.places(), Relaxed);
        ring.words.word(AT_THRESHOLD).store(u64::MAX, Relaxed);
        ring.words.word(AT_TAIL).store(ring.places(), Release);
        ring
    }

    /// One that another process made.
    ///
    /// # Panics
    /// As [`Ring::new`].
    pub fn open(words: W) -> Self {
        let places = words.len().saturating_sub(PLACES);
        let slots = places / 2;
        assert!(
            places.is_power_of_two() && (1..=MOST).contains(&slots),
            "{places} places"
        );
        Self {
            bits: places.trailing_zeros(),
            words,
        }
    }

    /// Of how many slots it holds the indexes.
    pub fn slots(&self) -> u32 {
        1 << (self.bits - 1)
    }

    fn places(&self) -> u64 {
        1 << self.bits
    }

    /// How often anything is tried.
    fn patience(&self) -> u32 {
        1024 + 4 * self.places() as u32
    }

    /// The index of a place that is empty.
    fn none(&self) -> u64 {
        self.places() - 1
    }

    fn entry(&self, turn: u64, safe: bool, index: u64) -> u64 {
        turn << (self.bits + 1) | u64::from(safe) << self.bits | index
    }

    fn turn(&self, entry: u64) -> u64 {
        entry >> (self.bits + 1)
    }

    fn is_safe(&self, entry: u64) -> bool {
        entry >> self.bits & 1 != 0
    }

    fn index(&self, entry: u64) -> u64 {
        entry & self.none()
    }

    /// The turn that a count of an end belongs to, as far as an entry has room for it.
    fn turn_of(&self, count: u64) -> u64 {
        self.turn(count << 1)
    }

    /// Neighbours in count are in different cache lines.
    #[inline]
    fn place(&self, count: u64) -> &AtomicU64 {
        let at = count & self.none();
        let at = if self.bits > 6 {
            // Eight entries a line.
            (at << 3 | at >> (self.bits - 3)) & self.none()
        } else {
            at
        };
        self.words.word(PLACES + at as usize)
    }

    /// In vain so often after the last one that was put in: the ring is empty.
    fn most_in_vain(&self) -> u64 {
        3 * u64::from(self.slots()) - 1
    }

    /// Puts indexes in, each of a slot that is in no ring.
    ///
    /// # Errors
    /// [`Broken`]
    ///
    /// # Panics
    /// If one is that of no slot, or there are more than slots.
    pub fn put(&self, indexes: &[u32]) -> Result<(), Broken> {
        let slots = self.slots();
        assert!(indexes.len() <= slots as usize, "more than {slots} slots");
        for index in indexes {
            assert!(*index < slots, "slot {index} of {slots}");
        }
        let first = self
            .words
            .word(AT_TAIL)
            .fetch_add(indexes.len() as u64, SeqCst);
        for (ahead, index) in (0..).zip(indexes) {
            let mut count = first.wrapping_add(ahead);
            let mut patience = self.patience();
            while !self.put_at(count, u64::from(*index))? {
                patience = patience.checked_sub(1).ok_or(Broken)?;
                count = self.words.word(AT_TAIL).fetch_add(1, SeqCst);
            }
        }
        Ok(())
    }

    /// Whether the place could be used.
    #[inline]
    fn put_at(&self, count: u64, index: u64) -> Result<bool, Broken> {
        let place = self.place(count);
        let turn = self.turn_of(count);
        let mut entry = place.load(Acquire);
        for _ in 0..self.patience() {
            let usable = self.turn(entry) < turn
                && self.index(entry) == self.none()
                && (self.is_safe(entry) || self.words.word(AT_HEAD).load(SeqCst) <= count);
            if !usable {
                return Ok(false);
            }
            let filled = self.entry(turn, true, index);
            match place.compare_exchange_weak(entry, filled, SeqCst, Acquire) {
                Ok(_) => {
                    let threshold = self.words.word(AT_THRESHOLD);
                    let most = self.most_in_vain();
                    if threshold.load(SeqCst) != most {
                        threshold.store(most, SeqCst);
                    }
                    return Ok(true);
                }
                Err(now) => entry = now,
            }
        }
        Err(Broken)
    }

    /// Takes indexes out, as many as there are and there is room for; returns how many.
    ///
    /// # Errors
    /// [`Broken`]
    pub fn take(&self, out: &mut [u32]) -> Result<usize, Broken> {
        let mut done = 0;
        let mut patience = self.patience();
        while done < out.len() {
            let head = self.words.word(AT_HEAD);
            let threshold = self.words.word(AT_THRESHOLD);
            if (threshold.load(SeqCst) as i64) < 0 {
                break;
            }
            // A run is no longer than what is there, so that none is reserved in vain.
            let wanted = (out.len() - done).min(self.slots() as usize) as u64;
            let waiting = if wanted == 1 {
                1
            } else {
                let tail = self.words.word(AT_TAIL).load(SeqCst);
                let waiting = tail.wrapping_sub(head.load(SeqCst)) as i64;
                waiting.clamp(1, wanted as i64) as u64
            };
            let first = head.fetch_add(waiting, SeqCst);
            let mut empty = false;
            for count in (0..waiting).map(|ahead| first.wrapping_add(ahead)) {
                match self.take_at(count)? {
                    Place::Done(index) => {
                        out[done] = self.checked(index)?;
                        done += 1;
                    }
                    Place::Lost => empty |= self.took_in_vain(count)?,
                }
            }
            if empty {
                break;
            }
            patience = patience.checked_sub(1).ok_or(Broken)?;
        }
        Ok(done)
    }

    fn checked(&self, index: u64) -> Result<u32, Broken> {
        if index < u64::from(self.slots()) {
            Ok(index as u32)
        } else {
            Err(Broken)
        }
    }

    #[inline]
    fn take_at(&self, count: u64) -> Result<Place, Broken> {
        let place = self.place(count);
        let turn = self.turn_of(count);
        let mut entry = place.load(Acquire);
        for _ in 0..self.patience() {
            if self.turn(entry) == turn {
                // Empty for this turn: only who reserved the place takes from it.
                let taken = place.fetch_or(self.none(), AcqRel);
                return Ok(Place::Done(self.index(taken)));
            }
            if self.turn(entry) > turn {
                return Ok(Place::Lost);
            }
            // Whoever is late finds that nobody will come: not in this turn, or not at all.
            let left = if self.index(entry) == self.none() {
                self.entry(turn, self.is_safe(entry), self.none())
            } else {
                self.entry(self.turn(entry), false, self.index(entry))
            };
            match place.compare_exchange_weak(entry, left, SeqCst, Acquire) {
                Ok(_) => return Ok(Place::Lost),
                Err(now) => entry = now,
            }
        }
        Err(Broken)
    }

    /// Nothing was there; whether that is because the ring is empty.
    #[cold]
    fn took_in_vain(&self, count: u64) -> Result<bool, Broken> {
        let threshold = self.words.word(AT_THRESHOLD);
        let next = count.wrapping_add(1);
        let tail = self.words.word(AT_TAIL).load(SeqCst);
        if tail <= next {
            self.catch_up(tail, next)?;
            threshold.fetch_sub(1, SeqCst);
            return Ok(true);
        }
        Ok(threshold.fetch_sub(1, SeqCst) as i64 <= 0)
    }

    /// Brings the tail to where the head is, so that who puts in next needs not to pass all
    /// the places that are lost.
    fn catch_up(&self, mut tail: u64, mut head: u64) -> Result<(), Broken> {
        for _ in 0..self.patience() {
            let moved = self
                .words
                .word(AT_TAIL)
                .compare_exchange_weak(tail, head, SeqCst, SeqCst);
            if moved.is_ok() {
                return Ok(());
            }
            head = self.words.word(AT_HEAD).load(SeqCst);
            tail = self.words.word(AT_TAIL).load(SeqCst);
            if tail >= head {
                return Ok(());
            }
        }
        Err(Broken)
    }
}
