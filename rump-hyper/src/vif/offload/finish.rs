//! Doing what nobody else does: checksums, and the cutting up of TCP segments.
//!
//! What is worked on has been [checked](check()). Sums are the Internet checksum
//! (RFC 1071), whose words can be added in any order and in any byte order, as long as
//! it is the same throughout.

use super::check::{Malformed, Segment, Work, check};
use crate::vif::abi::Offload;

/// The sum of the words in `bytes`, as machine words in memory order; a last odd byte
/// counts as a word with a zero behind it.
pub fn sum(bytes: &[u8]) -> u64 {
    let mut chunks = bytes.chunks_exact(4);
    let mut total: u64 = chunks
        .by_ref()
        .map(|four| u64::from(u32::from_ne_bytes([four[0], four[1], four[2], four[3]])))
        .sum();
    let mut rest = chunks.remainder().chunks_exact(2);
    for two in &mut rest {
        total += u64::from(u16::from_ne_bytes([two[0], two[1]]));
    }
    if let [last] = rest.remainder() {
        total += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    total
}

/// Makes one word of a sum, the carries added in.
pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// What to store where the sum over the rest is this. Never 0, which in UDP would mean
/// that there is no checksum; the other form of zero is as good everywhere.
fn stored(sum: u64) -> [u8; 2] {
    match !fold(sum) {
        0 => [0xff, 0xff],
        word => word.to_ne_bytes(),
    }
}

/// Completes a checksum: over all that follows `start`, where the sum of the pseudo
/// header stands at `at`.
pub fn complete(frame: &mut [u8], start: usize, at: usize) {
    // The words are counted from `start`, and the checksum is one of them.
    let word = stored(sum(&frame[start..]));
    frame[at..at + 2].copy_from_slice(&word);
}

/// Cuts a segment up, piece by piece.
#[derive(Debug)]
pub struct Cutter<'a> {
    frame: &'a [u8],
    segment: Segment,
    /// How many pieces there were, and where the next begins.
    count: u16,
    at: usize,
    done: bool,
}

impl<'a> Cutter<'a> {
    /// For a frame and what [`check`](check()) made of it.
    pub fn new(frame: &'a [u8], segment: Segment) -> Self {
        Self {
            frame,
            segment,
            count: 0,
            at: segment.data,
            done: false,
        }
    }

    /// The length of the longest piece.
    pub fn longest(&self) -> usize {
        (self.segment.data + self.segment.size).min(self.frame.len())
    }

    /// Writes the next piece, complete with checksums, and returns its length; `None`
    /// if there are no more. `out` has room for the longest.
    pub fn next(&mut self, out: &mut [u8]) -> Option<usize> {
        if core::mem::replace(&mut self.done, true) {
            return None;
        }
        let Segment { ip, tcp, data, .. } = self.segment;
        let end = (self.at + self.segment.size).min(self.frame.len());
        self.done = end == self.frame.len();
        let len = data + (end - self.at);
        let piece = &mut out[..len];
        piece[..data].copy_from_slice(&self.frame[..data]);
        piece[data..].copy_from_slice(&self.frame[self.at..end]);
        if self.segment.v6 {
            let payload = (len - ip - 40) as u16;
            piece[ip + 4..ip + 6].copy_from_slice(&payload.to_be_bytes());
        } else {
            self.ipv4_header(&mut piece[ip..tcp], len - ip);
        }
        self.tcp_header(piece);
        self.at = end;
        self.count = self.count.wrapping_add(1);
        Some(len)
    }

    /// Each piece has an identification of its own (RFC 6864 asks for that only where
    /// it may be fragmented).
    fn ipv4_header(&self, header: &mut [u8], total: usize) {
        header[2..4].copy_from_slice(&(total as u16).to_be_bytes());
        let id = u16::from_be_bytes([header[4], header[5]]).wrapping_add(self.count);
        header[4..6].copy_from_slice(&id.to_be_bytes());
        header[10..12].fill(0);
        let word = (!fold(sum(header))).to_ne_bytes();
        header[10..12].copy_from_slice(&word);
    }

    fn tcp_header(&self, piece: &mut [u8]) {
        const FIN: u8 = 0x01;
        const PSH: u8 = 0x08;
        const CWR: u8 = 0x80;
        let Segment {
            ip,
            tcp,
            data,
            v6,
            ecn,
            ..
        } = self.segment;
        let addresses = if v6 {
            ip + 8..ip + 40
        } else {
            ip + 12..ip + 20
        };
        let length = (piece.len() - tcp) as u16;
        // RFC 9293, 3.1, and RFC 8200, 8.1: addresses, protocol, length.
        let pseudo = sum(&piece[addresses])
            + u64::from(u16::from_ne_bytes([0, 6]))
            + u64::from(u16::from_ne_bytes(length.to_be_bytes()));
        let header = &mut piece[tcp..];
        let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]])
            .wrapping_add((self.at - data) as u32);
        header[4..8].copy_from_slice(&sequence.to_be_bytes());
        if !self.done {
            header[13] &= !(FIN | PSH);
        }
        if ecn && self.count > 0 {
            header[13] &= !CWR;
        }
        header[16..18].fill(0);
        let word = stored(pseudo + sum(header));
        header[16..18].copy_from_slice(&word);
    }
}

/// Puts in the checksums that a frame is to have, and leaves it in one piece, also if it
/// is to be cut up. For those who look at frames, or keep them.
///
/// # Errors
/// What it claims is wrong; then it is as it was.
pub fn restore(frame: &mut [u8], claim: Offload) -> Result<(), Malformed> {
    match check(frame, claim)? {
        Work::None | Work::Verified => {}
        Work::Checksum { start, at } => complete(frame, start, at),
        Work::Segment(segment) => {
            let whole = frame.len() - segment.data;
            let segment = Segment {
                size: whole.max(1),
                ..segment
            };
            let copy = frame.to_vec();
            Cutter::new(&copy, segment).next(frame);
        }
    }
    Ok(())
}
