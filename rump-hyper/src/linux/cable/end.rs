//! One end of a cable.

use super::incoming::Incoming;
use super::memory::{Memory, wrong};
use super::{Broken, Shape, Side, futex};
use crate::errno::Errno;
use crate::linux::LinuxHost;
use crate::sync::spin::{Budget, Gauge};
use crate::vif::abi::FRAME_MAX;
use crate::vif::backend::Piece;
use crate::vif::lane::{offload, put};
use crate::vif::{Backend, Batch, Offloads, Statistics, Transmit};
use core::fmt;
use core::time::Duration;
use rump_ring::lane::sleep::rouse;
use rump_ring::lane::{Lane, Receiver, Sender};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;
use std::vec;
use std::vec::Vec;

/// The longest that is slept at a time.
pub const LONGEST: Duration = Duration::from_secs(1);

/// One end of a cable.
///
/// Any thread may use it, each queue and direction by one at a time. That of the other side is
/// the same with the directions exchanged.
pub struct End {
    pub(super) memory: Memory,
    shape: Shape,
    queues: Vec<Queue>,
    closed: AtomicBool,
}

/// Where the positions in a queue are: what a successor needs to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// How many bytes were put in, ever.
    pub put: u64,
    /// How many were taken out and released.
    pub taken: u64,
}

/// What an end has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Frames that were taken out or looked at.
    pub received: u64,
    /// Frames that were put in.
    pub sent: u64,
    /// Frames that were not, for want of room or as they are too long.
    pub dropped: u64,
    /// How often room was waited for.
    pub waits: u64,
}

#[derive(Debug)]
pub(super) struct Queue {
    sender: Mutex<Sender>,
    receiver: Mutex<Receiver>,
    /// What these are of.
    outgoing: Lane,
    pub(super) incoming: Lane,
    /// How waits for frames went that did not sleep.
    gauge: Gauge,
    /// A wait is to end.
    woken: AtomicBool,
    /// Room was waited for in vain; there is no waiting until there is some.
    stuck: AtomicBool,
    received: AtomicU64,
    sent: AtomicU64,
    dropped: AtomicU64,
    waits: AtomicU64,
}

impl Queue {
    fn sender(&self) -> MutexGuard<'_, Sender> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receiver(&self) -> MutexGuard<'_, Receiver> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn received(&self, count: u64) {
        self.received.fetch_add(count, Ordering::Relaxed);
    }

    /// Puts in as many as there is room for; returns how many were done with. Those that are
    /// too long are, too.
    fn put(
        &self,
        memory: &Memory,
        sender: &mut Sender,
        frames: &[Transmit<'_>],
    ) -> Result<usize, Broken> {
        let mut done = 0;
        let mut sent = 0;
        for frame in frames {
            if frame.len() <= FRAME_MAX {
                if !put(sender, frame)? {
                    break;
                }
                sent += 1;
            }
            done += 1;
        }
        sender.tell();
        if sender.must_wake() {
            memory.wake_other(self.outgoing.sleeps());
        }
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.dropped
            .fetch_add(done as u64 - sent, Ordering::Relaxed);
        Ok(done)
    }

    fn dropped(&self, frames: &[Transmit<'_>]) {
        self.dropped
            .fetch_add(frames.len() as u64, Ordering::Relaxed);
    }
}

impl End {
    pub(super) fn new(memory: Memory, shape: Shape, side: Side) -> Self {
        let other = match side {
            Side::Maker => Side::Guest,
            Side::Guest => Side::Maker,
        };
        let queue = |index: u16| {
            let outgoing = shape.lane(memory.shared, index, side);
            let incoming = shape.lane(memory.shared, index, other);
            Queue {
                sender: Mutex::new(Sender::new(outgoing)),
                receiver: Mutex::new(Receiver::new(incoming)),
                outgoing,
                incoming,
                gauge: Gauge::new(),
                woken: AtomicBool::new(false),
                stuck: AtomicBool::new(false),
                received: AtomicU64::new(0),
                sent: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
                waits: AtomicU64::new(0),
            }
        };
        Self {
            queues: (0..shape.queues).map(queue).collect(),
            memory,
            shape,
            closed: AtomicBool::new(false),
        }
    }

    /// What it is like.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Sends frames, as many as there is room for; returns how many. Those that are too long
    /// count as sent, but are [dropped](Counters::dropped). So are those that are not taken, if
    /// the caller does not send them again.
    ///
    /// # Errors
    /// The other side is broken: the cable is of no more use.
    ///
    /// # Panics
    /// If there is no such queue.
    pub fn send(&self, queue: usize, frames: &[Transmit<'_>]) -> Result<usize, Broken> {
        let queue = &self.queues[queue];
        let sent = queue.put(&self.memory, &mut queue.sender(), frames)?;
        queue.dropped(&frames[sent..]);
        Ok(sent)
    }

    /// Sends frames, and waits for room up to so long; returns how many there was room for. After
    /// such a time in vain nobody waits any more until there is room again. It ends early when
    /// the end is [closed](Self::close), and takes nothing then: what it took before can be
    /// [forwarded](Self::forward).
    ///
    /// # Errors
    /// The other side is broken: the cable is of no more use.
    ///
    /// # Panics
    /// If there is no such queue.
    pub fn send_all(
        &self,
        queue: usize,
        frames: &[Transmit<'_>],
        patience: Duration,
    ) -> Result<usize, Broken> {
        let queue = &self.queues[queue];
        let mut sender = queue.sender();
        // Whatever was put in before is forwarded, and nothing after that.
        if self.is_closed() {
            return Ok(0);
        }
        let mut sent = queue.put(&self.memory, &mut sender, frames)?;
        let mut until = None;
        while let Some(next) = frames.get(sent) {
            let now = Instant::now();
            let until = *until.get_or_insert_with(|| {
                queue.waits.fetch_add(1, Ordering::Relaxed);
                now + patience
            });
            if queue.stuck.load(Ordering::Relaxed) || self.is_closed() || now >= until {
                break;
            }
            if sender.may_wait(next.len())? && !self.is_closed() {
                futex::park_shared(queue.outgoing.waits(), 1, (until - now).min(LONGEST));
            }
            sent += queue.put(&self.memory, &mut sender, &frames[sent..])?;
        }
        if !self.is_closed() {
            queue.stuck.store(sent < frames.len(), Ordering::Relaxed);
            queue.dropped(&frames[sent..]);
        }
        Ok(sent)
    }

    /// Takes frames that are there out into a batch, as many as fit; returns how many.
    ///
    /// # Errors
    /// The other side is broken: the cable is of no more use.
    ///
    /// # Panics
    /// If there is no such queue.
    pub fn receive(&self, queue: usize, batch: &mut Batch) -> Result<usize, Broken> {
        let queue = &self.queues[queue];
        let mut incoming = self.looking_at(queue);
        let mut taken = 0;
        while !batch.is_full() {
            let mut buffer = batch.buffer();
            let Some(seen) = incoming.receiver.next(&mut buffer)? else {
                break;
            };
            batch.push(buffer, seen.len, offload(seen.note));
            taken += 1;
        }
        if taken > 0 {
            queue.received(taken as u64);
            incoming.release();
        }
        Ok(taken)
    }

    /// The frames that are there, to be looked at.
    ///
    /// # Panics
    /// If there is no such queue.
    pub fn incoming(&self, queue: usize) -> Incoming<'_> {
        self.looking_at(&self.queues[queue])
    }

    fn looking_at<'a>(&'a self, queue: &'a Queue) -> Incoming<'a> {
        Incoming {
            receiver: queue.receiver(),
            memory: &self.memory,
            queue,
        }
    }

    /// How many bytes of what the other side has put into a queue were taken out and released, ever.
    ///
    /// # Panics
    /// If there is no such queue.
    pub fn taken(&self, queue: usize) -> u64 {
        self.queues[queue].receiver().position()
    }

    /// Whether all that the other side has sent was taken, and nobody has any of it in hand.
    pub fn is_done(&self) -> bool {
        let is_done = |queue: &Queue| match queue.receiver.try_lock() {
            Ok(receiver) => receiver.is_done(),
            Err(TryLockError::Poisoned(error)) => error.into_inner().is_done(),
            Err(TryLockError::WouldBlock) => false,
        };
        self.queues.iter().all(is_done)
    }

    /// Waits until there is a frame in a queue, up to so long, and never longer than
    /// [`LONGEST`]; it may end earlier. Where frames come soon, it looks for them for
    /// some microseconds [before it sleeps](crate::sync::spin). Ends at once when it was [woken](Self::wake).
    ///
    /// # Errors
    /// The other side is broken: the cable is of no more use.
    ///
    /// # Panics
    /// If there is no such queue.
    pub fn wait(&self, queue: usize, time: Duration) -> Result<(), Broken> {
        let queue = &self.queues[queue];
        let is_over = || queue.woken.load(Ordering::Acquire) || self.is_closed();
        let has_frame = || queue.receiver().is_waiting();
        let spun = queue
            .gauge
            .watch::<LinuxHost>(Budget::FRAME, || has_frame() || is_over());
        if spun && !is_over() {
            return Ok(());
        }
        let may_sleep = queue.receiver().may_sleep()?;
        if may_sleep && !is_over() {
            futex::park_shared(queue.incoming.sleeps(), 1, time.min(LONGEST));
        }
        queue.woken.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Ends waits for frames on all queues, also such as begin only afterwards: one on each.
    pub fn wake(&self) {
        for queue in &self.queues {
            queue.woken.store(true, Ordering::Release);
            end_wait(queue.incoming.sleeps());
        }
    }

    /// Ends all waits, for frames and for room, and has none begin again: the other side is gone,
    /// or not to be heard any more. What is there can still be taken out.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for queue in &self.queues {
            end_wait(queue.incoming.sleeps());
            end_wait(queue.outgoing.waits());
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Where it is in its queues, for a successor. Nobody may use it any more.
    pub fn state(&self) -> Vec<State> {
        let state = |queue: &Queue| State {
            put: queue.sender().position(),
            taken: queue.receiver().position(),
        };
        self.queues.iter().map(state).collect()
    }

    /// Goes on from where the end was that this one [succeeds](Self::succeed), before anybody uses
    /// it.
    ///
    /// # Errors
    /// `InvalidData` if there are not as many states as queues.
    pub fn go_on(&self, states: &[State]) -> io::Result<()> {
        if states.len() != self.queues.len() {
            return Err(wrong("there are not as many states as queues"));
        }
        for (queue, state) in self.queues.iter().zip(states) {
            *queue.sender() = Sender::resume(queue.outgoing, state.put);
            *queue.receiver() = Receiver::resume(queue.incoming, state.taken);
        }
        Ok(())
    }

    /// Sends what the other side has not taken through another cable, whose other side takes its
    /// place; returns how many frames there was room for. What it has looked at and not
    /// released comes a second time.
    ///
    /// # Errors
    /// The other side of the other cable is broken.
    pub fn forward(&self, to: &End) -> Result<usize, Broken> {
        let mut frame = vec![0; FRAME_MAX];
        let mut sent = 0;
        for (index, queue) in self.queues.iter().enumerate() {
            let unread = queue.sender().unread();
            let Some(mut unread) = unread else { continue };
            while let Ok(Some(seen)) = unread.next(&mut frame) {
                let pieces = [Piece::new(&frame[..seen.len])];
                let frame = Transmit::new(&pieces, offload(seen.note));
                sent += to.send(index % to.queues.len(), &[frame])?;
            }
        }
        Ok(sent)
    }

    /// What it has counted.
    pub fn counters(&self) -> Counters {
        let sum = |of: fn(&Queue) -> &AtomicU64| {
            let each = self.queues.iter().map(of);
            each.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        Counters {
            received: sum(|queue| &queue.received),
            sent: sum(|queue| &queue.sent),
            dropped: sum(|queue| &queue.dropped),
            waits: sum(|queue| &queue.waits),
        }
    }
}

/// Wakes this side's own thread.
fn end_wait(word: &AtomicU32) {
    rouse(word);
    futex::unpark_shared(word);
}

/// Frames go as they are; where there is no room they are dropped, as with
/// [`send`](End::send).
impl Backend for End {
    fn offers(&self) -> Offloads {
        Offloads::ALL
    }

    fn queues(&self) -> usize {
        self.queues.len()
    }

    fn link(&self) -> bool {
        !self.is_closed()
    }

    /// # Errors
    /// `ENXIO` if it was closed and nothing is left; `EBADMSG` if the other side is broken.
    fn receive(&self, queue: usize, batch: &mut Batch) -> Result<(), Errno> {
        if self.receive(queue, batch)? > 0 {
            return Ok(());
        }
        if self.is_closed() {
            return Err(Errno::NXIO);
        }
        self.wait(queue, LONGEST)?;
        self.receive(queue, batch)?;
        Ok(())
    }

    /// # Errors
    /// `ENXIO` if it was closed; `EBADMSG` if the other side is broken.
    fn send(&self, queue: usize, frames: &[Transmit<'_>]) -> Result<usize, Errno> {
        if self.is_closed() {
            return Err(Errno::NXIO);
        }
        Ok(self.send(queue, frames)?)
    }

    fn wake(&self) {
        self.wake();
    }

    fn statistics(&self) -> Statistics {
        let counters = self.counters();
        Statistics {
            received: counters.received,
            sent: counters.sent,
            send_drops: counters.dropped,
            ..Statistics::default()
        }
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End")
            .field("shape", &self.shape)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
