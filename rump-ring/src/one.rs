//! A ring of words for one thread at each end.
//!
//! | word | is |
//! |---|---|
//! | 0 | how many were put in, ever: the [`Sender`]'s |
//! | 16 | how many were taken out: the [`Receiver`]'s |
//! | 32 | the first of the places, a power of two |
//!
//! Each end keeps its own count to itself and only tells it, and looks at the other's only
//! when it seems to be out of room or of words; so that the two write to each other's cache
//! lines once in a while, and not with each word.

use crate::primitive::Ordering;
use crate::{Broken, Words};

const AT_PUT: usize = 0;
const AT_TAKEN: usize = 16;
const PLACES: usize = 32;

/// How many words a ring with so many places needs.
pub const fn words(places: usize) -> usize {
    PLACES + places
}

fn places<W: Words>(words: &W) -> u64 {
    let places = words.len().saturating_sub(PLACES);
    assert!(places.is_power_of_two(), "{places} places");
    places as u64
}

/// The end that words are put in at.
#[derive(Debug)]
pub struct Sender<W> {
    words: W,
    places: u64,
    put: u64,
    /// The other side's count, as far as it was looked at.
    taken: u64,
}

impl<W: Words> Sender<W> {
    /// That of a new ring, all of whose words are zero.
    ///
    /// # Panics
    /// If the number of places is not a power of two; see [`words`].
    pub fn new(words: W) -> Self {
        Self {
            places: places(&words),
            words,
            put: 0,
            taken: 0,
        }
    }

    /// For how many there is room: at least so many as are wanted, if there is.
    fn room(&mut self, wanted: u64) -> Result<u64, Broken> {
        let room = |taken| self.places.checked_sub(self.put.wrapping_sub(taken));
        if let Some(room) = room(self.taken).filter(|room| *room >= wanted) {
            return Ok(room);
        }
        let taken = self.words.word(AT_TAKEN).load(Ordering::Acquire);
        let room = room(taken).ok_or(Broken)?;
        self.taken = taken;
        Ok(room)
    }

    /// Puts in as many as there is room for; returns how many.
    ///
    /// # Errors
    /// [`Broken`]
    pub fn send(&mut self, items: &[u64]) -> Result<usize, Broken> {
        let room = self.room(items.len() as u64)?;
        let count = items.len().min(room as usize);
        let mask = self.places - 1;
        for item in &items[..count] {
            let place = PLACES + (self.put & mask) as usize;
            self.words.word(place).store(*item, Ordering::Relaxed);
            self.put = self.put.wrapping_add(1);
        }
        if count > 0 {
            self.words.word(AT_PUT).store(self.put, Ordering::Release);
        }
        Ok(count)
    }
}

/// The end that words come out of.
#[derive(Debug)]
pub struct Receiver<W> {
    words: W,
    places: u64,
    taken: u64,
    /// The other side's count, as far as it was looked at.
    put: u64,
}

impl<W: Words> Receiver<W> {
    /// That of a new ring.
    ///
    /// # Panics
    /// As [`Sender::new`].
    pub fn new(words: W) -> Self {
        Self {
            places: places(&words),
            words,
            taken: 0,
            put: 0,
        }
    }

    /// Takes out as many as there are and there is room for; returns how many.
    ///
    /// What they say is not checked.
    ///
    /// # Errors
    /// [`Broken`]
    pub fn receive(&mut self, items: &mut [u64]) -> Result<usize, Broken> {
        let mut waiting = self.put.wrapping_sub(self.taken);
        if waiting < items.len() as u64 {
            let put = self.words.word(AT_PUT).load(Ordering::Acquire);
            waiting = put.wrapping_sub(self.taken);
            if waiting > self.places {
                return Err(Broken);
            }
            self.put = put;
        }
        let count = items.len().min(waiting as usize);
        let mask = self.places - 1;
        for item in &mut items[..count] {
            let place = PLACES + (self.taken & mask) as usize;
            *item = self.words.word(place).load(Ordering::Relaxed);
            self.taken = self.taken.wrapping_add(1);
        }
        if count > 0 {
            self.words
                .word(AT_TAKEN)
                .store(self.taken, Ordering::Release);
        }
        Ok(count)
    }
}
