//! From an application's ring to where its frames go.
//!
//! The head of each frame is copied out, checked, and sent from that copy; what follows goes
//! from where the application has put it. What it writes there meanwhile changes what it
//! says, and not as whom.
//!
//! Who has something to send [takes turns](super::turns) with the others. What the NIC has no
//! room for is offered again for a time, so that a ring fills up and its application waits;
//! only then it is dropped.

use super::turns::Share;
use super::{Cable, Shared};
use crate::table::{Application, Delivery, Departure, Reason, Slot, Table};
use crate::wire::{Frame, HEAD};
use rump_hyper::linux::cable::{Broken, Frame as Seen};
use rump_hyper::vif::abi::BATCH;
use rump_hyper::vif::backend::Piece;
use rump_hyper::vif::{Transmit, shape};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How long an application waits for room in the ring of another, before what it sends to
/// that one is dropped. It waits alone.
const PATIENCE: Duration = Duration::from_millis(2);
/// How long a NIC that takes no more is waited for, and how often it is asked.
const PATIENCE_OF_WIRE: Duration = Duration::from_millis(10);
const ASK_AGAIN: Duration = Duration::from_micros(100);
/// How long nothing is waited for at a time.
const LONG: Duration = Duration::from_secs(1);

/// Frames to one application, of those in hand.
type Local = Vec<(Arc<Cable>, Arc<crate::table::Counters>, usize)>;

/// Serves a queue until the cable is closed, or all threads are to stop.
///
/// # Errors
/// The application has written what cannot be.
pub(super) fn serve(
    shared: &Shared,
    slot: Slot,
    cable: &Cable,
    queue: usize,
) -> Result<(), Broken> {
    let mut heads = vec![[0; HEAD]; BATCH];
    let mut scratch = shape::Scratch::default();
    let mut last = None;
    let mut share = Share::new(&shared.uplinks[cable.nic].turns);
    let lane = Lane {
        shared,
        slot,
        cable,
        queue,
    };
    while !shared.stop.load(Ordering::Acquire) {
        let closed = cable.end.is_closed();
        share.wait();
        let pause = lane.batch(&mut share, &mut heads, &mut scratch)?;
        match pause {
            // What it had said before it went is still sent, and no more than that can be: who has
            // the memory may fill it for ever.
            _ if closed => {
                let taken = cable.end.taken(queue);
                let last = *last.get_or_insert(taken.wrapping_add(cable.end.shape().data().into()));
                if pause.is_none() || taken.wrapping_sub(last).cast_signed() >= 0 {
                    break;
                }
            }
            None => {
                share.leave();
                cable.end.wait(queue, LONG)?;
            }
            Some(time) if time.is_zero() => {}
            Some(time) => {
                share.leave();
                rest(shared, cable, time);
            }
        }
    }
    Ok(())
}

/// A queue of an application's.
struct Lane<'a> {
    shared: &'a Shared,
    slot: Slot,
    cable: &'a Cable,
    queue: usize,
}

/// Leaves the ring alone for a time. Who has it end before, by `stop` or by closing the cable,
/// unparks this thread.
fn rest(shared: &Shared, cable: &Cable, time: Duration) {
    let until = Instant::now().checked_add(time);
    while !shared.stop.load(Ordering::Acquire) && !cable.end.is_closed() {
        let left = match until {
            Some(until) => until.saturating_duration_since(Instant::now()),
            None => LONG,
        };
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left.min(LONG));
    }
}

impl Lane<'_> {
    /// Takes what is there, as far as the share allows; returns how long to wait, or nothing if
    /// there was none.
    fn batch(
        &self,
        share: &mut Share<'_>,
        heads: &mut [[u8; HEAD]],
        scratch: &mut shape::Scratch,
    ) -> Result<Option<Duration>, Broken> {
        let cable = self.cable;
        let mut incoming = cable.end.incoming(self.queue);
        let mut seen: Vec<Seen<'_>> = Vec::with_capacity(BATCH);
        let mut bytes = 0;
        for head in heads.iter_mut() {
            if !share.allows(seen.len(), bytes) {
                break;
            }
            let Some(frame) = incoming.next(head)? else {
                break;
            };
            bytes += frame.len;
            seen.push(frame);
        }
        if seen.is_empty() {
            return Ok(None);
        }
        share.pay(seen.len(), bytes);
        let heads = &*heads;
        let now = Instant::now();
        let Some((departures, local)) = self.departures(&seen, heads, now) else {
            return Ok(Some(Duration::ZERO));
        };
        let pieces: Vec<[Piece<'_>; 3]> = seen
            .iter()
            .zip(heads)
            .map(|(frame, head)| {
                let [first, second] = frame.rest;
                [Piece::new(&head[..frame.len.min(HEAD)]), first, second]
            })
            .collect();
        let transmit = |index: usize| {
            let departure = departures[index].as_ref();
            let offload = departure
                .map(|departure| departure.offload)
                .unwrap_or_default();
            Transmit::new(&pieces[index], offload)
        };
        let wire: Vec<Transmit<'_>> = departures
            .iter()
            .enumerate()
            .filter(|(_, departure)| departure.as_ref().is_some_and(|departure| departure.wire))
            .map(|(index, _)| transmit(index))
            .collect();
        self.to_wire(&wire, scratch);
        if !local.is_empty() {
            // For whom it brings them it waits alone.
            share.leave();
        }
        for (to, counters, index) in &local {
            bring(to, counters, &transmit(*index), self.queue);
        }
        for answer in departures
            .iter()
            .flatten()
            .filter_map(|departure| departure.answer.as_deref())
        {
            let pieces = [Piece::new(answer)];
            let _ = cable
                .end
                .send(self.queue, &[Transmit::new(&pieces, Default::default())]);
        }
        incoming.release();
        let mut limits = cable.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = limits.pay(seen.len() as u64, bytes as u64, now);
        Ok(Some(pause))
    }

    /// Where each frame goes, and which go to applications here; nothing if this one is not known
    /// any more.
    fn departures(
        &self,
        seen: &[Seen<'_>],
        heads: &[[u8; HEAD]],
        now: Instant,
    ) -> Option<(Vec<Option<Departure>>, Local)> {
        let mut local = Local::new();
        let mut departures = Vec::with_capacity(seen.len());
        let table = self.shared.read();
        let application = table.application(self.slot)?;
        for (index, (frame, head)) in seen.iter().zip(heads).enumerate() {
            let of = Frame::of_head(head, frame.len);
            let departure = table.from_application(self.slot, &of, frame.offload, now);
            match &departure {
                Ok(departure) => {
                    application.counters.taken.add(1, frame.len as u64);
                    if let Some(delivery) = &departure.local {
                        targets(&table, delivery, index, &mut local);
                    }
                }
                Err(reason) => application.counters.dropped(*reason, 1),
            }
            departures.push(departure.ok());
        }
        Some((departures, local))
    }

    /// Puts frames on the wire, and waits for a while for room there.
    fn to_wire(&self, frames: &[Transmit<'_>], scratch: &mut shape::Scratch) {
        if frames.is_empty() {
            return;
        }
        let uplink = &self.shared.uplinks[self.cable.nic];
        let backend = &uplink.backend;
        let queue = self.queue % backend.queues();
        let offers = backend.offers();
        let mut sent = 0;
        let mut until = None;
        loop {
            let some = |frames: &[Transmit<'_>]| backend.send(queue, frames);
            let Ok(more) = shape::send(&frames[sent..], offers, || &mut *scratch, some) else {
                break;
            };
            sent += more;
            let now = Instant::now();
            if sent >= frames.len() || now >= *until.get_or_insert(now + PATIENCE_OF_WIRE) {
                break;
            }
            std::thread::sleep(ASK_AGAIN);
        }
        let bytes: usize = frames[..sent].iter().map(Transmit::len).sum();
        uplink.counters.brought.add(sent as u64, bytes as u64);
        let lost = (frames.len() - sent) as u64;
        if lost > 0
            && let Some(application) = self.shared.read().application(self.slot)
        {
            application.counters.dropped(Reason::Uplink, lost);
        }
    }
}

fn targets(table: &Table<Arc<Cable>>, delivery: &Delivery, index: usize, local: &mut Local) {
    table.deliver(delivery, |_, application: &Application<Arc<Cable>>| {
        if let Some(end) = &application.end {
            local.push((end.clone(), application.counters.clone(), index));
        }
    });
}

/// Brings a frame of one application to another.
fn bring(to: &Cable, counters: &crate::table::Counters, frame: &Transmit<'_>, queue: usize) {
    let queue = queue % usize::from(to.end.shape().queues());
    match to
        .end
        .send_all(queue, std::slice::from_ref(frame), PATIENCE)
    {
        Ok(1) => counters.brought.add(1, frame.len() as u64),
        // What is broken is noticed by its own thread.
        _ => counters.dropped(Reason::Full, 1),
    }
}
