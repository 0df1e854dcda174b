//! Whose turn it is: deficit round robin among the queues of applications that send to one NIC
//! (Shreedhar and Varghese, "Efficient fair queueing using deficit round robin", 1995).
//!
//! Each queue has a thread of its own, and as many of them have a turn at a time as there are
//! CPUs. Who has something to send stands in line for a turn, in which it may take
//! [`QUANTUM`] bytes out of its ring; [`FRAME`] of them are what a frame costs by itself. What
//! its last frame took beyond that is missing in its next turn, so over time all take the same,
//! whatever their frames are like. Who has nothing left gives its turn up, and saves nothing.
//! While nobody stands in line a turn is simply renewed, which costs nothing.
//!
//! Linux's scheduler only decides when the thread runs that has the turn. Without turns it
//! decides how much passes, too: 64 threads that all had something to send got shares that
//! differed by 80 %.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

/// Bytes of a turn: the longest frame, or 50 short ones.
const QUANTUM: i64 = 64 << 10;
/// What a frame costs beside its bytes.
const FRAME: i64 = 1 << 10;

/// The turns at a NIC.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
    /// How many stand in line.
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct State {
    /// Turns that nobody has.
    free: usize,
    line: VecDeque<Arc<Place>>,
}

/// A place in line.
#[derive(Debug)]
struct Place {
    granted: AtomicBool,
    thread: Thread,
}

impl Default for Place {
    /// This thread's.
    fn default() -> Self {
        Self {
            granted: AtomicBool::new(false),
            thread: std::thread::current(),
        }
    }
}

impl Place {
    fn stand(self: &Arc<Self>, state: &mut State) {
        self.granted.store(false, Ordering::Relaxed);
        state.line.push_back(Arc::clone(self));
    }

    fn wait(&self) {
        while !self.granted.load(Ordering::Acquire) {
            std::thread::park();
        }
    }

    fn grant(&self) {
        self.granted.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Turns {
    /// With so many turns at a time.
    pub(super) fn new(at_a_time: usize) -> Self {
        Self {
            state: Mutex::new(State {
                free: at_a_time.max(1),
                line: VecDeque::new(),
            }),
            waiting: AtomicUsize::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn, behind all who do.
    fn take(&self, place: &Arc<Place>) {
        let mut state = self.state();
        if state.free > 0 {
            state.free -= 1;
            return;
        }
        place.stand(&mut state);
        self.told(&state);
        drop(state);
        place.wait();
    }

    /// Gives a turn to who has waited longest.
    fn pass(&self) {
        let mut state = self.state();
        let next = state.line.pop_front();
        state.free += usize::from(next.is_none());
        self.told(&state);
        drop(state);
        if let Some(next) = next {
            next.grant();
        }
    }

    /// Gives a turn to who has waited longest, if there is anybody, and waits for the next one:
    /// nobody comes between who had not been there.
    fn turn_round(&self, place: &Arc<Place>) {
        let mut state = self.state();
        let Some(next) = state.line.pop_front() else {
            return;
        };
        place.stand(&mut state);
        self.told(&state);
        drop(state);
        next.grant();
        place.wait();
    }

    fn told(&self, state: &State) {
        self.waiting.store(state.line.len(), Ordering::Relaxed);
    }

    fn are_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

/// A queue's part in the turns; its thread's alone.
#[derive(Debug)]
pub(super) struct Share<'a> {
    turns: &'a Turns,
    place: Arc<Place>,
    has_turn: bool,
    /// What may still be taken; what was taken too much, if it is below zero.
    credit: i64,
}

impl<'a> Share<'a> {
    /// That of this thread.
    pub(super) fn new(turns: &'a Turns) -> Self {
        Self {
            turns,
            place: Arc::default(),
            has_turn: false,
            credit: 0,
        }
    }

    /// Waits until something may be taken.
    pub(super) fn wait(&mut self) {
        loop {
            if self.has_turn && self.credit > 0 {
                return;
            }
            if !self.has_turn {
                self.turns.take(&self.place);
                self.has_turn = true;
            } else if self.turns.are_waited_for() {
                self.turns.turn_round(&self.place);
            }
            self.credit = (self.credit + QUANTUM).min(QUANTUM);
        }
    }

    /// Whether another frame may be taken after these.
    pub(super) fn allows(&self, frames: usize, bytes: usize) -> bool {
        cost(frames, bytes) < self.credit
    }

    /// So much was taken.
    pub(super) fn pay(&mut self, frames: usize, bytes: usize) {
        self.credit -= cost(frames, bytes);
    }

    /// Nothing is to be taken for a while: the turn is another's, and what is left of it nobody's.
    pub(super) fn leave(&mut self) {
        self.credit = self.credit.min(0);
        if std::mem::take(&mut self.has_turn) {
            self.turns.pass();
        }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

fn cost(frames: usize, bytes: usize) -> i64 {
    frames as i64 * FRAME + bytes as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// What each of several takes who always have frames of these lengths, until all have taken
    /// so much together.
    fn taken(at_a_time: usize, lengths: &[usize], all: u64) -> Vec<u64> {
        let turns = Turns::new(at_a_time);
        let sum = AtomicU64::new(0);
        // Nobody begins before all stand in line.
        let first: Vec<Place> = (0..at_a_time).map(|_| Place::default()).collect();
        first
            .into_iter()
            .for_each(|place| turns.take(&Arc::new(place)));
        let take = |length: usize| {
            let mut share = Share::new(&turns);
            let mut taken = 0;
            while sum.load(Ordering::Relaxed) < all {
                share.wait();
                let mut frames = 0;
                while share.allows(frames, frames * length) {
                    frames += 1;
                }
                share.pay(frames, frames * length);
                taken += cost(frames, frames * length) as u64;
                sum.fetch_add(cost(frames, frames * length) as u64, Ordering::Relaxed);
            }
            taken
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = lengths
                .iter()
                .map(|length| scope.spawn(|| take(*length)))
                .collect();
            while turns.waiting.load(Ordering::Relaxed) < lengths.len() {
                std::thread::yield_now();
            }
            (0..at_a_time).for_each(|_| turns.pass());
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        })
    }

    #[test]
    fn all_who_always_have_frames_take_the_same() {
        let lengths: Vec<usize> = (0..16)
            .map(|index| [60, 1514, 9000, 65_000][index % 4])
            .collect();
        let each = 200 * QUANTUM as u64;
        let all = each * lengths.len() as u64;
        let one = taken(1, &lengths, all);
        let furthest = one.iter().map(|taken| taken.abs_diff(each)).max();
        assert!(furthest < Some(3 * QUANTUM as u64), "{one:?}");
        // With several, whose thread does not run while it has a turn misses others meanwhile.
        let two = taken(2, &lengths, all);
        assert!(two.iter().all(|taken| *taken > 0), "{two:?}");
    }

    #[test]
    fn one_alone_goes_on() {
        let turns = Turns::new(1);
        let mut share = Share::new(&turns);
        for _ in 0..100 {
            share.wait();
            assert!(share.allows(0, 0));
            share.pay(1, 70_000);
        }
    }

    #[test]
    fn what_is_not_taken_is_not_saved_and_debts_are_kept() {
        let turns = Turns::new(1);
        let mut share = Share::new(&turns);
        share.wait();
        share.leave();
        share.wait();
        assert_eq!(share.credit, QUANTUM);
        share.pay(1, 3 * QUANTUM as usize);
        share.leave();
        assert!(share.credit < 0);
        let owed = share.credit;
        share.wait();
        assert!(share.credit > 0 && share.credit < QUANTUM, "{owed}");
        // Whoever has it gives it up when it ends.
        drop(share);
        Share::new(&turns).wait();
    }
}
