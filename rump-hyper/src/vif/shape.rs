//! Bringing frames into the shape that the other side takes.
//!
//! Whoever leaves work to another was told that it would be done. But back ends are
//! replaced while frames are under way, kernels change their minds, and some back ends
//! bring what they please; then it is done here.

use super::abi::{DATA_VALID, GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM, Offload};
use super::backend::{Batch, Piece, Received, Transmit};
use super::offload::{Cutter, Offloads, Work, check, finish};
use crate::errno::Errno;
use alloc::vec::Vec;
use core::ops::Range;

/// What a segment is cut up to is brought so many frames at a time.
const PART: usize = 16;

/// Checks the frames of a batch, and does to them what `taken` says that the kernel does
/// not. Returns how many were dropped because what they claim is wrong.
pub fn received(batch: &mut Batch, taken: Offloads) -> u64 {
    received_in_parts(batch, taken, |_| {})
}

/// The same where there are not as many buffers as frames that segments are cut up to: whenever
/// there are some, `bring` takes them out. The last ones are left in the batch.
pub fn received_in_parts(
    batch: &mut Batch,
    taken: Offloads,
    mut bring: impl FnMut(&mut Batch),
) -> u64 {
    let fits = |frame: &Received| {
        check(frame.bytes(), frame.offload)
            .is_ok_and(|work| taken.contains(Offloads::needed_to_receive(&work)))
    };
    if batch.frames().iter().all(fits) {
        return 0;
    }
    let mut dropped = 0;
    for frame in batch.take_all() {
        match check(frame.bytes(), frame.offload) {
            Ok(work) => shape(batch, frame, work, taken, &mut bring),
            Err(_) => dropped += 1,
        }
    }
    dropped
}

fn shape(
    batch: &mut Batch,
    mut frame: Received,
    work: Work,
    taken: Offloads,
    bring: &mut impl FnMut(&mut Batch),
) {
    if !taken.contains(Offloads::needed_to_receive(&work)) {
        match work {
            Work::None | Work::Verified => {}
            Work::Checksum { start, at } => {
                let len = frame.len;
                finish::complete(&mut frame.buffer[..len], start, at);
            }
            Work::Segment(segment) => {
                let mut cutter = Cutter::new(frame.bytes(), segment);
                loop {
                    let mut buffer = batch.buffer();
                    let Some(len) = cutter.next(&mut buffer) else {
                        return;
                    };
                    batch.push(buffer, len, verified(taken));
                    if batch.frames().len() >= PART {
                        bring(batch);
                    }
                }
            }
        }
        frame.offload = verified(taken);
    }
    batch.push(frame.buffer, frame.len, frame.offload);
}

/// What is said of a frame whose checksum was made here.
fn verified(taken: Offloads) -> Offload {
    Offload {
        flags: if taken.contains(Offloads::RX_CSUM) {
            DATA_VALID
        } else {
            0
        },
        ..Offload::default()
    }
}

/// What is needed of a back end that is to send a frame of the kernel's.
fn needed(claim: Offload) -> Offloads {
    let csum = if claim.flags & NEEDS_CSUM == 0 {
        Offloads::NONE
    } else {
        Offloads::TX_CSUM
    };
    csum | match claim.gso_type & !GSO_ECN {
        GSO_NONE => Offloads::NONE,
        GSO_TCPV4 => Offloads::TX_TSO4,
        GSO_TCPV6 => Offloads::TX_TSO6,
        _ => Offloads::ALL,
    }
}

/// Memory for frames that are brought into shape before they are sent.
#[derive(Debug, Default)]
pub struct Scratch {
    whole: Vec<u8>,
    pieces: Vec<u8>,
    ends: Vec<Range<usize>>,
}

/// Sends frames through a back end that can do what `offers` says, and does the rest.
/// Returns how many of the kernel's frames were sent, as a whole or at least in part: the first
/// ones, up to one that there was no room for.
///
/// # Errors
/// That of `send`, if it has not taken one.
pub fn send<'s>(
    frames: &[Transmit<'_>],
    offers: Offloads,
    scratch: impl FnOnce() -> &'s mut Scratch,
    mut send: impl FnMut(&[Transmit<'_>]) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let fits = |frame: &Transmit<'_>| offers.contains(needed(frame.offload()));
    if frames.iter().all(fits) {
        return send(frames);
    }
    let scratch = scratch();
    let mut sent = 0;
    for run in frames.chunk_by(|a, b| fits(a) && fits(b)) {
        if fits(&run[0]) {
            let taken = send(run)?;
            sent += taken;
            if taken < run.len() {
                return Ok(sent);
            }
            continue;
        }
        for frame in run {
            scratch.finish(frame);
            let pieces: Vec<_> = scratch.pieces().map(|bytes| [Piece::new(bytes)]).collect();
            let shaped: Vec<_> = pieces
                .iter()
                .map(|piece| Transmit::new(piece, Offload::default()))
                .collect();
            if !shaped.is_empty() {
                if send(&shaped)? == 0 {
                    return Ok(sent);
                }
                sent += 1;
            }
        }
    }
    Ok(sent)
}

impl Scratch {
    /// Does all that is to be done to a frame; what comes of it is in `pieces`.
    fn finish(&mut self, frame: &Transmit<'_>) {
        self.ends.clear();
        self.pieces.clear();
        self.whole.resize(frame.len(), 0);
        frame.copy_to(&mut self.whole);
        match check(&self.whole, frame.offload()) {
            // Not what a kernel sends.
            Err(_) => {}
            Ok(Work::None | Work::Verified) => self.ends.push(0..0),
            Ok(Work::Checksum { start, at }) => {
                finish::complete(&mut self.whole, start, at);
                self.ends.push(0..0);
            }
            Ok(Work::Segment(segment)) => {
                let mut cutter = Cutter::new(&self.whole, segment);
                let longest = cutter.longest();
                loop {
                    let start = self.pieces.len();
                    self.pieces.resize(start + longest, 0);
                    match cutter.next(&mut self.pieces[start..]) {
                        None => break,
                        Some(len) => {
                            self.pieces.truncate(start + len);
                            self.ends.push(start..start + len);
                        }
                    }
                }
            }
        }
    }

    /// The frames that were made; an empty range stands for the whole.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.ends.iter().map(|range| {
            if range.is_empty() {
                &self.whole[..]
            } else {
                &self.pieces[range.clone()]
            }
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::vif::Pool;

    /// A segment of TCP over IPv4, that is to be cut up to so many bytes each.
    fn segment(len: usize, each: u16) -> (Vec<u8>, Offload) {
        let mut frame = alloc::vec![0; 54 + len];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14] = 0x45;
        frame[16..18].copy_from_slice(&(40 + len as u16).to_be_bytes());
        (frame[22], frame[23], frame[46]) = (64, 6, 0x50);
        let offload = Offload {
            flags: NEEDS_CSUM,
            gso_type: GSO_TCPV4,
            hdr_len: 54,
            gso_size: each,
            csum_start: 34,
            csum_offset: 16,
        };
        (frame, offload)
    }

    #[test]
    fn segments_are_brought_in_parts() {
        let mut batch = Batch::new(Pool::new(0));
        for _ in 0..3 {
            let (frame, offload) = segment(60_000, 500);
            let mut buffer = batch.buffer();
            buffer[..frame.len()].copy_from_slice(&frame);
            batch.push(buffer, frame.len(), offload);
        }
        let (mut frames, mut bytes, mut most) = (0, 0, 0);
        let mut bring = |batch: &mut Batch| {
            most = most.max(batch.frames().len());
            for frame in batch.take_all() {
                frames += 1;
                bytes += frame.len - 54;
            }
        };
        assert_eq!(received_in_parts(&mut batch, Offloads::NONE, &mut bring), 0);
        bring(&mut batch);
        assert_eq!((frames, bytes, most), (3 * 120, 3 * 60_000, PART));
    }
}
