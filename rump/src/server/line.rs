//! The frames' side of a connection: a cable that is replaced when the server is.
//!
//! While there is no server, frames that are to be sent wait for one, up to [`PATIENCE`] after
//! it went; later, the newest of each connection does ([`Room`]). What it had not taken goes to its
//! successor first. What it had sent is taken in.

use super::room::Room;
use crate::iface::link::{Batch, Statistics, Transmit};
use rump_sys::hyper::linux::cable::{Broken, Counters, End, LONGEST};
use rump_sys::hyper::vif::flow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For so long frames wait for room, or for a server.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// For so long there is a link without a server: addresses of an interface without one are not
/// used, and then looked for anew (NetBSD's duplicate detection), which takes seconds.
pub(super) const LINK: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 60 });
/// How long a thread that serves a queue waits for a server at a time.
const LOOK: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(super) struct Line {
    state: Mutex<State>,
    changed: Condvar,
    /// How many queues there are.
    queues: usize,
}

#[derive(Debug)]
struct State {
    end: Arc<End>,
    /// How many there were before.
    generation: u64,
    /// The one before, which is not empty in these queues.
    old: Option<Arc<End>>,
    old_queues: u32,
    /// Since when there is no server.
    lost: Option<Instant>,
    /// There will be none any more.
    failed: bool,
    /// What found no server.
    room: Room,
    /// What ends that are gone have counted, and what went for nobody.
    counted: Counters,
    dropped: u64,
}

/// Which cable it was that something was the matter with.
pub(super) type Generation = u64;

impl Line {
    pub(super) fn new(end: End) -> Self {
        Self {
            queues: end.shape().queues().into(),
            state: Mutex::new(State {
                end: Arc::new(end),
                generation: 0,
                old: None,
                old_queues: 0,
                lost: None,
                failed: false,
                room: Room::default(),
                counted: Counters::default(),
                dropped: 0,
            }),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn queues(&self) -> usize {
        self.queues
    }

    /// The server is gone, or not to be heard any more.
    pub(super) fn lose(&self) {
        let mut state = self.state();
        state.lost.get_or_insert_with(Instant::now);
        state.end.close();
        drop(state);
        self.changed.notify_all();
    }

    /// The same for a cable whose other side has written what cannot be.
    fn give_up(&self, generation: Generation) {
        if self.state().generation == generation {
            self.lose();
        }
    }

    /// There will be no other.
    pub(super) fn fail(&self) {
        self.state().failed = true;
        self.lose();
    }

    /// There is another one.
    pub(super) fn renew(&self, end: End) {
        let mut state = self.state();
        state.end.close();
        // If it is broken already, that will be noticed.
        let _ = state.end.forward(&end);
        state.dropped += state.room.empty(&end, Instant::now());
        let old = std::mem::replace(&mut state.end, Arc::new(end));
        let counters = old.counters();
        state.counted.received += counters.received;
        state.counted.sent += counters.sent;
        state.counted.dropped += counters.dropped;
        state.old = Some(old);
        state.old_queues = u32::MAX;
        state.generation += 1;
        state.lost = None;
        drop(state);
        self.changed.notify_all();
    }

    /// How often there was another one.
    pub(super) fn generation(&self) -> Generation {
        self.state().generation
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state().lost.is_none()
    }

    pub(super) fn has_link(&self) -> bool {
        let state = self.state();
        !state.failed && state.lost.is_none_or(|lost| lost.elapsed() < LINK)
    }

    /// Sends frames, which wait for room or for a server; returns how many were sent. It is told
    /// if the cable is broken.
    pub(super) fn send(&self, frames: &[Transmit<'_>], broken: impl Fn(Generation)) -> usize {
        let mut sent = 0;
        let mut state = self.state();
        while sent < frames.len() {
            if let Some(lost) = state.lost {
                let left = PATIENCE.saturating_sub(lost.elapsed());
                if left.is_zero() || state.failed {
                    let gone = state.room.take_in(&frames[sent..], Instant::now());
                    state.dropped += gone;
                    break;
                }
                let waited = self.changed.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let (end, generation) = (Arc::clone(&state.end), state.generation);
            drop(state);
            let (run, queue) = run(&frames[sent..], end.shape().queues().into());
            let took = end.send_all(queue, run, PATIENCE);
            let all = took == Ok(run.len());
            match took {
                Ok(took) => sent += took,
                Err(Broken) => {
                    self.give_up(generation);
                    broken(generation);
                }
            }
            state = self.state();
            if !all && state.generation == generation && state.lost.is_none() {
                // There was no room, for too long.
                break;
            }
        }
        sent
    }

    /// Waits for frames of a queue and takes them; there may be none. It is told if the cable is
    /// broken.
    pub(super) fn receive(&self, queue: usize, batch: &mut Batch, broken: impl Fn(Generation)) {
        let state = self.state();
        let (end, generation) = (Arc::clone(&state.end), state.generation);
        let old = state
            .old
            .clone()
            .filter(|_| state.old_queues >> queue & 1 != 0);
        drop(state);
        if let Some(old) = old {
            // Whatever was wrong with it is over.
            let there = queue < usize::from(old.shape().queues());
            if there && old.receive(queue, batch).is_ok_and(|took| took > 0) {
                return;
            }
            self.is_drained(queue, generation);
        }
        if queue < usize::from(end.shape().queues()) {
            match take(&end, queue, batch) {
                Ok(()) if !batch.is_empty() || !end.is_closed() => return,
                Err(Broken) if !end.is_closed() => {
                    self.give_up(generation);
                    return broken(generation);
                }
                // What is wrong with one that is given up is of no interest.
                _ => {}
            }
        }
        let state = self.state();
        if state.generation == generation && !state.failed {
            drop(self.changed.wait_timeout(state, LOOK));
        }
    }

    /// Nothing is left of the cable of before in a queue.
    fn is_drained(&self, queue: usize, generation: Generation) {
        let mut state = self.state();
        if state.generation == generation {
            state.old_queues &= !(1 << queue);
            if state.old_queues.trailing_zeros() as usize >= self.queues {
                state.old = None;
            }
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state().failed
    }

    /// Ends waits for frames.
    pub(super) fn wake(&self) {
        let end = Arc::clone(&self.state().end);
        end.wake();
        self.changed.notify_all();
    }

    pub(super) fn statistics(&self) -> Statistics {
        let state = self.state();
        let now = state.end.counters();
        let mut statistics = Statistics::default();
        statistics.received = state.counted.received + now.received;
        statistics.sent = state.counted.sent + now.sent;
        statistics.send_drops = state.counted.dropped + now.dropped + state.dropped;
        statistics
    }
}

/// Takes what there is, or waits for it.
fn take(end: &End, queue: usize, batch: &mut Batch) -> Result<(), Broken> {
    if end.receive(queue, batch)? == 0 && !end.is_closed() {
        end.wait(queue, LONGEST)?;
        end.receive(queue, batch)?;
    }
    Ok(())
}

/// The first frames that go to the same queue: all of a connection do.
fn run<'a, 'b>(frames: &'a [Transmit<'b>], queues: usize) -> (&'a [Transmit<'b>], usize) {
    if queues == 1 {
        return (frames, 0);
    }
    let queue_of = |frame: &Transmit<'_>| flow::hash(frame) as usize % queues;
    let queue = frames.first().map_or(0, queue_of);
    let others = frames.iter().position(|frame| queue_of(frame) != queue);
    (&frames[..others.unwrap_or(frames.len())], queue)
}
