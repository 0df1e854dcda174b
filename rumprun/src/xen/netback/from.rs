//! Frames that a front end sends.

use super::super::abi::net;
use super::super::back_ring::BackRing;
use super::super::foreign::Copies;
use super::groups::Groups;
use super::packet::{Nonsense, Packet};
use crate::process::lock::Mutex;
use alloc::vec::Vec;
use rump_hyper::vif::{Batch, buffer::Buffer};

/// Frames that are copied together at most: each has a buffer that is large enough for any.
const TOGETHER: usize = 32;

/// Its requests to send.
#[derive(Debug)]
pub(super) struct From {
    domain: u16,
    ring: BackRing,
}

/// A frame under way.
struct Coming {
    packet: Packet,
    /// None if it cannot be used.
    buffer: Option<Buffer>,
}

impl From {
    pub(super) fn new(domain: u16, ring: BackRing) -> Self {
        Self { domain, ring }
    }

    /// Takes frames that are there, as many as are copied together, does what is asked about
    /// groups, and answers their requests. Returns how many frames were lost.
    pub(super) fn take(
        &mut self,
        batch: &mut Batch,
        groups: &Mutex<Groups>,
    ) -> Result<u64, Nonsense> {
        let mut coming = Vec::new();
        // What was read before nonsense came is not used, either: the link ends.
        while coming.len() < TOGETHER {
            let Some(packet) = Packet::read(|| self.ring.take())? else {
                break;
            };
            let buffer = packet.is_usable().then(|| batch.buffer());
            coming.push(Coming { packet, buffer });
        }
        let copied = copy(self.domain, &mut coming);
        let mut lost = 0;
        for (Coming { packet, buffer }, copied) in coming.into_iter().zip(copied) {
            if packet.groups().next().is_some() {
                let mut groups = groups.lock();
                let refused = packet.groups().filter(|group| !groups.change(*group));
                let refused = refused.count();
                packet
                    .responses(refused == 0)
                    .for_each(|response| self.ring.answer(&response));
                continue;
            }
            let buffer = buffer.filter(|_| copied);
            let offload = buffer
                .as_ref()
                .and_then(|buffer| packet.offload(buffer.get(..packet.len())?));
            packet
                .responses(offload.is_some())
                .for_each(|response| self.ring.answer(&response));
            match buffer.zip(offload) {
                Some((buffer, offload)) => batch.push(buffer, packet.len(), offload),
                None => lost += 1,
            }
        }
        Ok(lost)
    }

    /// Shows the front end the answers; whether it wants to be told.
    pub(super) fn publish(&self) -> bool {
        self.ring.publish()
    }

    /// Asks to be told of the next frame; whether there is one already.
    pub(super) fn ask(&self) -> Result<bool, Nonsense> {
        self.ring.ask().map_err(|_| Nonsense)
    }
}

/// Copies frames into their buffers; says of each whether it is there.
fn copy(domain: u16, coming: &mut [Coming]) -> Vec<bool> {
    let mut copied: Vec<bool> = coming.iter().map(|one| one.buffer.is_some()).collect();
    let mut copies = Copies::new(domain);
    for (number, Coming { packet, buffer }) in coming.iter_mut().enumerate() {
        let Some(buffer) = buffer else { continue };
        let mut rest = &mut buffer[..];
        for piece in packet.pieces() {
            // A frame is not longer than a buffer: its length has 16 bits.
            let (to, behind) = rest.split_at_mut(piece.len);
            copies.take(number, piece.at, to);
            rest = behind;
        }
    }
    copies.run(|number| copied[number] = false);
    copied
}

const _: () = assert!(rump_hyper::vif::buffer::CAPACITY >= u16::MAX as usize && net::SENT == 4);
