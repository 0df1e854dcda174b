//! Frames that found no server: the newest one of each connection waits for the next server.
//!
//! TCP sends what was not acknowledged again, after longer and longer times: half a minute without a
//! server could become a minute and more. What waits here is sent as soon as there is a server, and
//! that it is acknowledged ends these waits.

use crate::iface::link::{Offload, Piece, Transmit};
use rump_sys::hyper::linux::cable::End;
use rump_sys::hyper::vif::flow;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many frames, and bytes, wait at most; the oldest ones go first.
const FRAMES: usize = 1024;
const BYTES: usize = 1 << 20;
/// So long one waits: after that TCP has sent it again (the longest time between two tries in
/// NetBSD, `TCPTV_REXMTMAX`).
const LIFE: Duration = Duration::from_secs(64);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Room {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    flow: u32,
    bytes: Vec<u8>,
    offload: Offload,
    since: Instant,
}

impl Room {
    /// Takes copies of frames in; returns how many frames went for these.
    pub(super) fn take_in(&mut self, frames: &[Transmit<'_>], now: Instant) -> u64 {
        let before = self.waiting.len() + frames.len();
        for frame in frames {
            let mut bytes = vec![0; frame.len()];
            frame.copy_to(&mut bytes);
            let flow = flow::hash(frame);
            self.waiting.retain(|other| {
                let stays = other.flow != flow && now.duration_since(other.since) < LIFE;
                self.bytes -= if stays { 0 } else { other.bytes.len() };
                stays
            });
            self.bytes += bytes.len();
            self.waiting.push_back(Waiting {
                flow,
                bytes,
                offload: frame.offload(),
                since: now,
            });
            while self.waiting.len() > FRAMES || self.bytes > BYTES {
                let oldest = self.waiting.pop_front();
                self.bytes -= oldest.map_or(0, |oldest| oldest.bytes.len());
            }
        }
        (before - self.waiting.len()) as u64
    }

    /// Sends all over a cable; returns how many there was no room for, or waited too long.
    pub(super) fn empty(&mut self, to: &End, now: Instant) -> u64 {
        self.bytes = 0;
        let mut gone = 0;
        for waiting in self.waiting.drain(..) {
            let pieces = [Piece::new(&waiting.bytes)];
            let frame = Transmit::new(&pieces, waiting.offload);
            let queue = waiting.flow as usize % usize::from(to.shape().queues());
            let is_late = now.duration_since(waiting.since) >= LIFE;
            // What is wrong with the cable is noticed by those who use it.
            if is_late || to.send(queue, &[frame]) != Ok(1) {
                gone += 1;
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A UDP datagram of IPv4's from this port.
    fn frame(port: u16, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len.max(42)];
        bytes[12..15].copy_from_slice(&[8, 0, 0x45]);
        bytes[23] = 17;
        bytes[34..36].copy_from_slice(&port.to_be_bytes());
        bytes
    }

    fn take_in(room: &mut Room, bytes: &[u8], now: Instant) -> u64 {
        let pieces = [Piece::new(bytes)];
        room.take_in(&[Transmit::new(&pieces, Offload::default())], now)
    }

    #[test]
    fn the_newest_of_each_connection_waits() {
        let (mut room, now) = (Room::default(), Instant::now());
        for _ in 0..3 {
            for port in 1..=3 {
                take_in(&mut room, &frame(port, 60), now);
            }
        }
        assert_eq!((room.waiting.len(), room.bytes), (3, 180));
        assert_eq!(take_in(&mut room, &frame(2, 70), now), 1);
        let lens: Vec<_> = room.waiting.iter().map(|it| it.bytes.len()).collect();
        assert_eq!(lens, [60, 60, 70]);
        // Those that have waited for too long are gone.
        assert_eq!(take_in(&mut room, &frame(4, 50), now + LIFE), 3);
        assert_eq!((room.waiting.len(), room.bytes), (1, 50));
    }

    #[test]
    fn there_is_an_end_to_what_waits() {
        let (mut room, now) = (Room::default(), Instant::now());
        let gone: u64 = (0..2000)
            .map(|port| take_in(&mut room, &frame(port, 42), now))
            .sum();
        assert_eq!((room.waiting.len(), gone), (FRAMES, 2000 - FRAMES as u64));
        for port in 0..100 {
            take_in(&mut room, &frame(port, 60_000), now);
        }
        assert!(room.bytes <= BYTES);
        assert_eq!(
            room.waiting.iter().map(|it| it.bytes.len()).sum::<usize>(),
            room.bytes
        );
    }
}
