//! From a NIC to the rings of those whose frames come.
//!
//! Nobody is waited for here: for one whose ring is full, frames are dropped, and counted.

use super::{Cable, Shared};
use crate::table::arrive::Arrival;
use crate::table::{Application, Counters, Nic, Reason, Slot};
use crate::wire::Frame;
use rump_hyper::vif::backend::Piece;
use rump_hyper::vif::{Batch, Offloads, Pool, Received, Transmit, shape};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long after an error a NIC is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// What one application gets of a batch.
struct Share {
    slot: Slot,
    cable: Arc<Cable>,
    counters: Arc<Counters>,
    frames: Vec<usize>,
}

/// Serves a queue of a NIC until all threads are to stop.
pub(super) fn serve(shared: &Shared, nic: usize, queue: usize) {
    let uplink = &shared.uplinks[nic];
    let mut batch = Batch::new(Pool::new(0));
    while !shared.stop.load(Ordering::Acquire) {
        if let Err(errno) = uplink.backend.receive(queue, &mut batch) {
            eprintln!("rump server: {}: {errno:?}", uplink.name);
            std::thread::sleep(PAUSE);
        }
        let wrong = shape::received(&mut batch, Offloads::RX);
        if wrong > 0 {
            uplink.counters.dropped(Reason::Offload, wrong);
        }
        if !batch.is_empty() {
            distribute(shared, nic, queue, batch.frames());
        }
        let is_empty = !batch.is_full();
        batch.take().clear();
        if is_empty {
            uplink.empty[queue].fetch_add(1, Ordering::Release);
        }
    }
}

fn distribute(shared: &Shared, nic: usize, queue: usize, frames: &[Received]) {
    let uplink = &shared.uplinks[nic];
    let now = Instant::now();
    let mut shares: Vec<Share> = Vec::new();
    let mut answers: Vec<Vec<u8>> = Vec::new();
    {
        let table = shared.read();
        for (index, frame) in frames.iter().enumerate() {
            let arrival = table.from_wire(Nic(nic), &Frame::new(frame.bytes()), now);
            uplink.counters.arrived(frame.len, &arrival);
            match arrival {
                Err(_) => {}
                Ok(Arrival::Answer(answer)) => answers.push(answer),
                Ok(Arrival::To(delivery)) => table.deliver(&delivery, |slot, application| {
                    share(&mut shares, slot, application, index);
                }),
            }
        }
    }
    for share in &shares {
        let pieces: Vec<[Piece<'_>; 1]> = share
            .frames
            .iter()
            .map(|index| [Piece::new(frames[*index].bytes())])
            .collect();
        let all: Vec<Transmit<'_>> = pieces
            .iter()
            .zip(&share.frames)
            .map(|(piece, index)| Transmit::new(piece, frames[*index].offload))
            .collect();
        let queue = queue % usize::from(share.cable.end.shape().queues());
        // What is broken is noticed by its own thread.
        let sent = share.cable.end.send(queue, &all).unwrap_or(0);
        let bytes: usize = all[..sent].iter().map(Transmit::len).sum();
        share.counters.brought.add(sent as u64, bytes as u64);
        if sent < all.len() {
            share
                .counters
                .dropped(Reason::Full, (all.len() - sent) as u64);
        }
    }
    for answer in &answers {
        let pieces = [Piece::new(answer)];
        let _ = uplink
            .backend
            .send(queue, &[Transmit::new(&pieces, Default::default())]);
    }
}

fn share(shares: &mut Vec<Share>, slot: Slot, application: &Application<Arc<Cable>>, index: usize) {
    let Some(cable) = &application.end else {
        application.counters.dropped(Reason::Nobody, 1);
        return;
    };
    if let Some(known) = shares.iter_mut().rev().find(|share| share.slot == slot) {
        known.frames.push(index);
        return;
    }
    shares.push(Share {
        slot,
        cable: cable.clone(),
        counters: application.counters.clone(),
        frames: vec![index],
    });
}
