//! A frame that a front end sends, as its requests describe it (io/netif.h): where its pieces
//! are, and what is still to be done to it.
//!
//! The first request has the length of the whole, the others theirs; behind the first may be
//! what is said of the frame beside. All of it is the front end's, and is checked here, where
//! it is read, and nowhere else. What cannot be a description ends the interface
//! ([`Nonsense`]); a frame that cannot be used is lost, and the next one is looked at
//! ([`Packet::is_usable`]).
//!
//! Pure: it is given requests, and gives back numbers.

use super::super::abi::net;
use super::super::foreign::Granted;
use super::super::headers::{self, Gso};
use super::groups::Group;
use crate::memory::PAGE;
use rump_hyper::vif::abi::Offload;

/// Something that the front end says makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Nonsense;

/// A request to send.
pub(in super::super) type Request = [u8; net::SEND];

/// What is said beside of one frame, at most.
const EXTRAS: usize = 4;
/// Requests for one frame, with what is said beside.
const ENTRIES: usize = net::PIECES + EXTRAS;

/// A part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Piece {
    /// Where it is.
    pub at: Granted,
    /// Its length, with which it is inside the page.
    pub len: usize,
}

/// A frame.
#[derive(Clone, Debug)]
pub(in super::super) struct Packet {
    pieces: [Piece; net::PIECES],
    count: usize,
    /// What each request is answered with: its number, or that it was none.
    answers: [Option<u16>; ENTRIES],
    answered: usize,
    /// Its length.
    len: usize,
    blank: bool,
    gso: Result<Option<Gso>, Nonsense>,
    /// It is no frame, but says what is to become of groups.
    groups: [Option<Group>; EXTRAS],
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// What the request says itself: grant, offset, flags, number, length.
fn fields(request: &Request) -> (Granted, u16, u16, usize) {
    let grant = u32::from_le_bytes([request[0], request[1], request[2], request[3]]);
    let offset = half(request, 4);
    let at = Granted { grant, offset };
    (
        at,
        half(request, 6),
        half(request, 8),
        half(request, 10).into(),
    )
}

impl Packet {
    /// Reads the next frame: `next` takes a request out of the ring. `None` if there is none.
    pub(in super::super) fn read<E>(
        mut next: impl FnMut() -> Result<Option<Request>, E>,
    ) -> Result<Option<Self>, Nonsense> {
        let mut next = || next().map_err(|_| Nonsense);
        let Some(first) = next()? else {
            return Ok(None);
        };
        let (at, mut flags, number, len) = fields(&first);
        let none = Piece { at, len: 0 };
        let mut packet = Self {
            pieces: [none; net::PIECES],
            count: 1,
            answers: [None; ENTRIES],
            answered: 0,
            len,
            blank: flags & net::SEND_BLANK != 0,
            gso: Ok(None),
            groups: [None; EXTRAS],
        };
        packet.answer(Some(number));
        if flags & net::EXTRA != 0 {
            packet.read_extras(&mut next)?;
        }
        let mut rest = 0;
        while flags & net::MORE != 0 {
            // It is shown as a whole or not at all.
            let request = next()?.ok_or(Nonsense)?;
            let (at, more, number, len) = fields(&request);
            // What is said beside stands behind the first.
            if packet.count == net::PIECES || more & net::EXTRA != 0 {
                return Err(Nonsense);
            }
            packet.pieces[packet.count] = inside(at, len)?;
            packet.count += 1;
            packet.answer(Some(number));
            rest += len;
            flags = more;
        }
        packet.pieces[0] = inside(at, len.checked_sub(rest).ok_or(Nonsense)?)?;
        Ok(Some(packet))
    }

    /// Reads what is said beside.
    fn read_extras(
        &mut self,
        next: &mut impl FnMut() -> Result<Option<Request>, Nonsense>,
    ) -> Result<(), Nonsense> {
        for number in 0..EXTRAS {
            let extra = next()?.ok_or(Nonsense)?;
            let (kind, flags) = (extra[0], extra[1]);
            if kind == 0 || kind >= net::EXTRA_KINDS || flags & !net::EXTRA_MORE != 0 {
                return Err(Nonsense);
            }
            self.answer(None);
            match (kind, extra[4], half(&extra, 2)) {
                (net::EXTRA_GSO, of, size) => {
                    self.gso = Gso::of(of, size).map(Some).ok_or(Nonsense);
                }
                (net::EXTRA_JOIN | net::EXTRA_LEAVE, ..) => {
                    self.groups[number] = Some(Group {
                        joins: kind == net::EXTRA_JOIN,
                        address: [2, 3, 4, 5, 6, 7].map(|at| extra[at]),
                    });
                }
                // The kernel has no use for it.
                (net::EXTRA_HASH, ..) => {}
                _ => self.gso = Err(Nonsense),
            }
            if flags & net::EXTRA_MORE == 0 {
                return Ok(());
            }
        }
        Err(Nonsense)
    }

    fn answer(&mut self, number: Option<u16>) {
        self.answers[self.answered] = number;
        self.answered += 1;
    }

    /// Its length.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Its pieces, in order; together they are as long as it is.
    pub(in super::super) fn pieces(&self) -> &[Piece] {
        &self.pieces[..self.count]
    }

    /// What is to become of groups; it is no frame then.
    pub(super) fn groups(&self) -> impl Iterator<Item = Group> {
        self.groups.iter().flatten().copied()
    }

    /// Whether it can be a frame, before anything of it is copied.
    pub(in super::super) fn is_usable(&self) -> bool {
        self.groups().next().is_none() && self.len >= headers::ETHERNET && self.gso.is_ok()
    }

    /// What is to be done to it, as [`rump_hyper::vif::offload::check`] takes it, by its own
    /// headers. `None` if these are not such that it can be done.
    pub(super) fn offload(&self, frame: &[u8]) -> Option<Offload> {
        let gso = self.gso.ok()?;
        if !self.blank && gso.is_none() {
            // That somebody has checked its checksum is not believed.
            return Some(Offload::default());
        }
        headers::unfinished(frame, gso)
    }

    /// The responses to its requests, in their order.
    pub(in super::super) fn responses(&self, done: bool) -> impl Iterator<Item = [u8; net::SENT]> {
        let result = if done { net::OKAY } else { net::ERROR };
        self.answers[..self.answered].iter().map(move |number| {
            let result = number.map_or(net::NOTHING, |_| result);
            let [low, high] = number.unwrap_or(0).to_le_bytes();
            let [first, second] = result.to_le_bytes();
            [low, high, first, second]
        })
    }
}

/// A piece that is inside its page.
fn inside(at: Granted, len: usize) -> Result<Piece, Nonsense> {
    if usize::from(at.offset) + len > PAGE {
        return Err(Nonsense);
    }
    Ok(Piece { at, len })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rump_hyper::vif::offload::check;
    use std::collections::VecDeque;
    use std::vec;
    use std::vec::Vec;

    fn request(grant: u32, offset: u16, flags: u16, id: u16, size: u16) -> Request {
        let mut bytes = [0; net::SEND];
        bytes[..4].copy_from_slice(&grant.to_le_bytes());
        for (at, field) in [(4, offset), (6, flags), (8, id), (10, size)] {
            bytes[at..at + 2].copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    fn extra(kind: u8, flags: u8, size: u16, of: u8) -> Request {
        let [low, high] = size.to_le_bytes();
        let mut bytes = [0; net::SEND];
        bytes[..5].copy_from_slice(&[kind, flags, low, high, of]);
        bytes
    }

    fn read(requests: &[Request]) -> (Result<Option<Packet>, Nonsense>, usize) {
        let mut all: VecDeque<_> = requests.iter().copied().collect();
        let packet = Packet::read(|| Ok::<_, ()>(all.pop_front()));
        (packet, requests.len() - all.len())
    }

    #[test]
    fn a_frame_of_one_piece_is_read() {
        let (packet, taken) = read(&[request(7, 100, 0, 3, 60), request(0, 0, 0, 0, 0)]);
        let packet = packet.unwrap().unwrap();
        assert_eq!((packet.len(), packet.pieces().len(), taken), (60, 1, 1));
        let at = Granted {
            grant: 7,
            offset: 100,
        };
        assert_eq!(packet.pieces()[0], Piece { at, len: 60 });
        assert_eq!(packet.offload(&[0; 60]), Some(Offload::default()));
        assert_eq!(packet.responses(true).collect::<Vec<_>>(), [[3, 0, 0, 0]]);
        assert_eq!(
            packet.responses(false).collect::<Vec<_>>(),
            [[3, 0, 255, 255]]
        );
        assert!(packet.is_usable());
        assert!(
            !read(&[request(7, 100, 0, 3, 13)])
                .0
                .unwrap()
                .unwrap()
                .is_usable()
        );
        assert!(read(&[]).0.unwrap().is_none());
    }

    /// A TCP segment over IPv4 of so many bytes in all.
    fn segment(len: usize) -> Vec<u8> {
        let mut frame = vec![0; len];
        frame[12..15].copy_from_slice(&[8, 0, 0x45]);
        frame[16..18].copy_from_slice(&((len - 14) as u16).to_be_bytes());
        frame[23] = 6;
        frame[46] = 0x50;
        frame
    }

    #[test]
    fn a_segment_is_read_with_what_is_said_beside() {
        let (packet, taken) = read(&[
            request(1, 4000, net::EXTRA | net::MORE | net::SEND_BLANK, 10, 4192),
            extra(net::EXTRA_GSO, 0, 1448, net::TCP4),
            request(2, 0, net::MORE, 11, 4000),
            request(3, 0, 0, 12, 100),
        ]);
        let packet = packet.unwrap().unwrap();
        assert_eq!(taken, 4);
        let lengths: Vec<_> = packet.pieces().iter().map(|piece| piece.len).collect();
        assert_eq!(lengths, [92, 4000, 100]);
        let frame = segment(4192);
        let offload = packet.offload(&frame).unwrap();
        assert!(check(&frame, offload).is_ok());
        assert_eq!((offload.csum_start, offload.csum_offset), (34, 16));
        assert_eq!((offload.gso_size, offload.hdr_len), (1448, 54));
        let responses: Vec<_> = packet.responses(true).collect();
        assert_eq!(
            responses,
            [[10, 0, 0, 0], [0, 0, 1, 0], [11, 0, 0, 0], [12, 0, 0, 0]]
        );
    }

    #[test]
    fn what_cannot_be_is_nonsense() {
        let more = |count: usize| -> Vec<_> {
            let piece = |at| request(1, 0, if at + 1 < count { net::MORE } else { 0 }, 0, 10);
            let mut all: Vec<_> = (0..count).map(piece).collect();
            all[0] = request(1, 0, net::MORE, 0, 1000);
            all
        };
        assert!(read(&more(net::PIECES)).0.is_ok());
        let cases: [&[Request]; 9] = [
            // Outside of its page.
            &[request(1, 4000, 0, 0, 97)],
            &[request(1, 0, 0, 0, 4097)],
            // The rest is longer than the whole.
            &[request(1, 0, net::MORE, 0, 60), request(2, 0, 0, 0, 61)],
            // Something is missing.
            &[request(1, 0, net::MORE, 0, 60)],
            &[request(1, 0, net::EXTRA, 0, 60)],
            // Beside another than the first.
            &[
                request(1, 0, net::MORE, 0, 60),
                request(2, 0, net::EXTRA, 0, 9),
            ],
            // Kinds that there are not.
            &[request(1, 0, net::EXTRA, 0, 60), extra(0, 0, 0, 0)],
            &[request(1, 0, net::EXTRA, 0, 60), extra(5, 0, 0, 0)],
            &more(net::PIECES + 1),
        ];
        for case in cases {
            assert_eq!(read(case).0.err(), Some(Nonsense), "{case:?}");
        }
        let mut endless = vec![request(1, 0, net::EXTRA, 0, 60)];
        endless.extend([extra(1, 1, 1448, 1); 10]);
        assert_eq!(read(&endless).0.err(), Some(Nonsense));
        // Only this frame.
        let beside = [request(1, 0, net::EXTRA, 0, 60), extra(1, 0, 0, 3)];
        let (packet, _) = read(&beside);
        assert!(!packet.unwrap().unwrap().is_usable());
    }

    #[test]
    fn groups_are_read_and_are_no_frame() {
        let mut joins = extra(net::EXTRA_JOIN, net::EXTRA_MORE, 0, 0);
        joins[2..8].copy_from_slice(&[1, 0, 0x5e, 0, 0, 1]);
        let mut leaves = joins;
        (leaves[0], leaves[1]) = (net::EXTRA_LEAVE, 0);
        let (packet, taken) = read(&[request(1, 0, net::EXTRA, 8, 60), joins, leaves]);
        let packet = packet.unwrap().unwrap();
        let group = |joins| Group {
            joins,
            address: [1, 0, 0x5e, 0, 0, 1],
        };
        assert!(packet.groups().eq([group(true), group(false)]));
        assert!(!packet.is_usable());
        assert_eq!((packet.responses(true).count(), taken), (3, 3));
        // A hash is nothing to us.
        let beside = [
            request(1, 0, net::EXTRA, 0, 60),
            extra(net::EXTRA_HASH, 0, 9, 9),
        ];
        let packet = read(&beside).0.unwrap().unwrap();
        assert!(packet.is_usable() && packet.groups().next().is_none());
    }

    /// What holds of any frame, whatever was in the ring.
    fn is_sound(packet: &Packet, taken: usize) {
        assert_eq!(packet.responses(true).count(), taken);
        let pieces = packet.pieces();
        let inside = |piece: &Piece| usize::from(piece.at.offset) + piece.len <= PAGE;
        assert!(pieces.iter().all(inside));
        let sum: usize = pieces.iter().map(|piece| piece.len).sum();
        assert_eq!(sum, packet.len());
    }

    /// Half a million rings of requests that are nearly right.
    #[test]
    fn many_rings_are_read() {
        let mut random = 1_u64;
        let mut dice = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        let mut frames = 0;
        let mut all = VecDeque::new();
        for _ in 0..500_000 {
            all.clear();
            for _ in 0..dice(8) {
                let flags = [0, net::MORE, net::EXTRA, dice(16) as u16][dice(4) as usize];
                let most = [60, 5000][usize::from(dice(20) == 0)];
                let offset = dice(most) as u16;
                let mut one = request(9, offset, flags, 5, dice(4100) as u16);
                if dice(3) == 0 {
                    one = extra(
                        dice(6) as u8,
                        dice(2) as u8,
                        dice(2000) as u16,
                        dice(4) as u8,
                    );
                }
                all.push_back(one);
            }
            let before = all.len();
            let packet = Packet::read(|| Ok::<_, ()>(all.pop_front()));
            if let Ok(Some(packet)) = packet {
                is_sound(&packet, before - all.len());
                frames += 1;
            }
        }
        assert!(frames > 50_000, "{frames} frames");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// Whatever is in the ring: pieces are inside their pages and together are the frame,
        /// each request that was taken has a response, and what comes out passes the check of
        /// whoever works on frames or is refused by it.
        #[test]
        fn whatever_is_asked_is_checked(
            mut requests in prop::collection::vec(any::<Request>(), 0..30),
            sane in prop::collection::vec((0_u16..16, 0_u16..200, 0_u16..3000, any::<bool>()), 30),
            frame in prop::collection::vec(any::<u8>(), 14..200),
            headers: bool,
        ) {
            for (request, (flags, offset, size, is)) in requests.iter_mut().zip(sane) {
                if is {
                    let (at, .., number, _) = fields(request);
                    let grant = at.grant % 8;
                    *request = super::tests::request(grant, offset, flags, number, size);
                }
            }
            let (packet, taken) = read(&requests);
            let Ok(Some(packet)) = packet else { return Ok(()) };
            is_sound(&packet, taken);
            let mut frame = frame;
            if headers {
                let start = segment(60);
                let len = start.len().min(frame.len());
                frame[..len].copy_from_slice(&start[..len]);
            }
            if let Some(offload) = packet.offload(&frame) {
                let _ = check(&frame, offload);
            }
        }
    }
}
