//! From an application's ring to where its frames go.
//!
//! The head of each frame is copied out, checked, and sent from that copy; what follows goes
//! from where the application has put it. What it writes there meanwhile changes what it
//! says, and not as whom.

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
/// So many batches are taken of one that has gone: all that it can have left.
const LEFT: usize = 1 << 12;
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
    let mut left = LEFT;
    while !shared.stop.load(Ordering::Acquire) {
        let closed = cable.end.is_closed();
        let pause = batch(shared, slot, cable, queue, &mut heads, &mut scratch)?;
        match pause {
            // What it had said before it went is still sent.
            _ if closed => {
                left -= 1;
                if pause.is_none() || left == 0 {
                    break;
                }
            }
            None => cable.end.wait(queue, LONG)?,
            Some(time) => rest(shared, cable, time),
        }
    }
    Ok(())
}

/// Leaves the ring alone for a time.
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
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
}

/// Takes what is there; returns how long to wait, or nothing if there was none.
fn batch(
    shared: &Shared,
    slot: Slot,
    cable: &Cable,
    queue: usize,
    heads: &mut [[u8; HEAD]],
    scratch: &mut shape::Scratch,
) -> Result<Option<Duration>, Broken> {
    let mut incoming = cable.end.incoming(queue);
    let mut seen: Vec<Seen<'_>> = Vec::with_capacity(BATCH);
    for head in heads.iter_mut() {
        match incoming.next(head)? {
            Some(frame) => seen.push(frame),
            None => break,
        }
    }
    if seen.is_empty() {
        return Ok(None);
    }
    let heads = &*heads;
    let now = Instant::now();
    let bytes: usize = seen.iter().map(|frame| frame.len).sum();
    let mut local = Local::new();
    let mut departures: Vec<Option<Departure>> = Vec::with_capacity(seen.len());
    {
        let table = shared.read();
        let Some(application) = table.application(slot) else {
            return Ok(Some(Duration::ZERO));
        };
        for (index, (frame, head)) in seen.iter().zip(heads).enumerate() {
            let of = Frame::of_head(head, frame.len);
            let departure = table.from_application(slot, &of, frame.offload, now);
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
    }
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
    to_wire(shared, slot, cable, queue, &wire, scratch);
    for (to, counters, index) in &local {
        bring(to, counters, &transmit(*index), queue);
    }
    for answer in departures
        .iter()
        .flatten()
        .filter_map(|departure| departure.answer.as_deref())
    {
        let pieces = [Piece::new(answer)];
        let _ = cable
            .end
            .send(queue, &[Transmit::new(&pieces, Default::default())]);
    }
    incoming.release();
    let mut limits = cable.limits.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Some(limits.pay(seen.len() as u64, bytes as u64, now)))
}

fn targets(table: &Table<Arc<Cable>>, delivery: &Delivery, index: usize, local: &mut Local) {
    table.deliver(delivery, |_, application: &Application<Arc<Cable>>| {
        if let Some(end) = &application.end {
            local.push((end.clone(), application.counters.clone(), index));
        }
    });
}

fn to_wire(
    shared: &Shared,
    slot: Slot,
    cable: &Cable,
    queue: usize,
    frames: &[Transmit<'_>],
    scratch: &mut shape::Scratch,
) {
    if frames.is_empty() {
        return;
    }
    let uplink = &shared.uplinks[cable.nic];
    let backend = &uplink.backend;
    let queue = queue % backend.queues();
    let offers = backend.offers();
    let send = |frames: &[Transmit<'_>]| backend.send(queue, frames);
    let sent = shape::send(frames, offers, || scratch, send).unwrap_or(0);
    let bytes: usize = frames[..sent].iter().map(Transmit::len).sum();
    uplink.counters.brought.add(sent as u64, bytes as u64);
    let lost = (frames.len() - sent) as u64;
    if lost > 0
        && let Some(application) = shared.read().application(slot)
    {
        application.counters.dropped(Reason::Uplink, lost);
    }
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
