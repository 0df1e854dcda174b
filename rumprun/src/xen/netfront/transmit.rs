//! Frames that are sent.
//!
//! A frame is copied into pages that were granted once; each is free again when its request was
//! answered.

use super::super::abi::net;
use super::super::device::Problem;
use super::super::headers;
use super::super::page::Page;
use super::super::ring::Ring;
use super::Nonsense;
use crate::memory::PAGE;
use alloc::vec::Vec;
use rump_hyper::vif::Transmit as Frame;
use rump_hyper::vif::abi::{DATA_VALID, NEEDS_CSUM, Offload};

/// The longest frame: its length has 16 bits.
pub(super) const LONGEST: usize = u16::MAX as usize;

/// Requests with frames, and pages for them.
#[derive(Debug)]
pub(super) struct Transmit {
    ring: Ring,
    /// By their numbers, with the numbers of their grants.
    pages: Vec<(Page, u32)>,
    free: Vec<u16>,
    /// Which of them the back end has.
    given: Vec<bool>,
}

/// Flags of a frame's first request.
fn flags_of(offload: Offload) -> u16 {
    match offload.flags {
        flags if flags & NEEDS_CSUM != 0 => net::SEND_BLANK | net::SEND_VALID,
        flags if flags & DATA_VALID != 0 => net::SEND_VALID,
        _ => 0,
    }
}

/// What is said beside of a segment that is to be cut up.
fn extra_of(offload: Offload) -> Option<[u8; net::SEND]> {
    let kind = headers::kind(offload)?;
    let [low, high] = offload.gso_size.to_le_bytes();
    let mut extra = [0; net::SEND];
    extra[..5].copy_from_slice(&[net::EXTRA_GSO, 0, low, high, kind]);
    Some(extra)
}

/// Copies a frame into pages, which it fills one after the other.
fn copy(frame: &Frame<'_>, pages: &[Page]) {
    let mut at = 0;
    for piece in frame.pieces() {
        piece.for_each(|mut bytes| {
            while let Some(page) = pages.get(at / PAGE).filter(|_| !bytes.is_empty()) {
                let (now, rest) = bytes.split_at(bytes.len().min(PAGE - at % PAGE));
                page.write(at % PAGE, now);
                at += now.len();
                bytes = rest;
            }
        });
    }
}

impl Transmit {
    /// With pages that a domain may read; and the number by which it reaches the ring.
    pub(super) fn new(domain: u16) -> Result<(Self, u32), Problem> {
        let (ring, number) = super::share(domain, true)?;
        let ring = Ring::new(ring, net::SEND);
        let pages = super::share_pages(domain, ring.room(), false)?;
        Ok((Self::with(ring, pages), number))
    }

    fn with(ring: Ring, pages: Vec<(Page, u32)>) -> Self {
        Self {
            ring,
            free: (0..pages.len() as u16).rev().collect(),
            given: pages.iter().map(|_| false).collect(),
            pages,
        }
    }

    /// Takes the pages of frames back that were sent.
    pub(super) fn reclaim(&mut self) -> Result<(), Nonsense> {
        // The response is a number and a status, which says of a frame only that it was dropped.
        while let Some([low, high, status @ ..]) =
            self.ring.take::<{ net::SENT }>().map_err(|_| Nonsense)?
        {
            if i16::from_le_bytes(status) == net::NOTHING {
                continue;
            }
            let number = u16::from_le_bytes([low, high]);
            let given = self.given.get_mut(usize::from(number)).ok_or(Nonsense)?;
            if !core::mem::take(given) {
                return Err(Nonsense);
            }
            self.free.push(number);
        }
        Ok(())
    }

    /// Puts a frame into the ring; false if there is no room. One that is too long for it is
    /// passed over.
    pub(super) fn send(&mut self, frame: &Frame<'_>) -> bool {
        let (len, extra) = (frame.len(), extra_of(frame.offload()));
        let parts = len.div_ceil(PAGE);
        let needed = parts + usize::from(extra.is_some());
        if len > LONGEST {
            return true;
        }
        if (self.ring.room() as usize) < needed || self.free.len() < parts {
            return false;
        }
        let numbers = self.free.split_off(self.free.len() - parts);
        let mut pages = [self.pages[0].0; LONGEST.div_ceil(PAGE)];
        for (page, number) in pages.iter_mut().zip(&numbers) {
            *page = self.pages[usize::from(*number)].0;
        }
        copy(frame, &pages[..parts]);
        let mut flags = flags_of(frame.offload());
        for (part, number) in numbers.into_iter().enumerate() {
            // The first has the length of the whole.
            let size = if part == 0 {
                len
            } else {
                (len - part * PAGE).min(PAGE)
            };
            if part + 1 < parts {
                flags |= net::MORE;
            }
            let extra = extra.filter(|_| part == 0);
            if extra.is_some() {
                flags |= net::EXTRA;
            }
            self.given[usize::from(number)] = true;
            let grant = self.pages[usize::from(number)].1;
            let mut request = [0; net::SEND];
            request[..4].copy_from_slice(&grant.to_le_bytes());
            request[6..8].copy_from_slice(&flags.to_le_bytes());
            request[8..10].copy_from_slice(&number.to_le_bytes());
            request[10..].copy_from_slice(&(size as u16).to_le_bytes());
            self.ring.push(&request);
            if let Some(extra) = extra {
                self.ring.push(&extra);
            }
            flags = 0;
        }
        true
    }

    /// Shows the back end what was written; whether it wants to be told.
    pub(super) fn publish(&self) -> bool {
        self.ring.publish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::abi::ring;
    use super::super::super::netback::Packet;
    use super::*;
    use core::sync::atomic::Ordering;
    use proptest::prelude::*;
    use rump_hyper::vif::abi::{GSO_TCPV4, GSO_TCPV6};
    use rump_hyper::vif::backend::Piece;
    use std::vec;

    std::thread_local! {
        /// The pages of a test, which all of its cases have: pages stay for good.
        static PAGES: Vec<Page> = (0..256).map(|_| Page::for_test()).collect();
    }

    fn transmit() -> (Transmit, Page) {
        let page = Page::for_test();
        let pages = PAGES.with(|pages| pages.iter().copied().zip(100..).collect());
        (Transmit::with(Ring::new(page, net::SEND), pages), page)
    }

    fn segment(gso_type: u8) -> Offload {
        Offload {
            flags: NEEDS_CSUM,
            gso_type,
            gso_size: 1440,
            ..Offload::default()
        }
    }

    /// The back end: takes a frame as ours does, and answers its requests. Its bytes.
    fn take(transmit: &Transmit, page: Page, next: &mut u32) -> Option<Vec<u8>> {
        let before = *next;
        let packet = Packet::read(|| {
            if *next == page.u32(ring::REQUEST_PRODUCER).load(Ordering::Relaxed) {
                return Ok::<_, ()>(None);
            }
            let mut request = [0; net::SEND];
            page.read(
                ring::ENTRIES + net::SEND * (*next as usize % 256),
                &mut request,
            );
            *next += 1;
            Ok(Some(request))
        });
        let packet = packet.unwrap()?;
        assert!(packet.is_usable());
        let mut frame = Vec::new();
        for piece in packet.pieces() {
            let (from, _) = transmit.pages[piece.at.grant as usize - 100];
            let mut bytes = vec![0; piece.len];
            from.read(piece.at.offset.into(), &mut bytes);
            frame.extend(bytes);
        }
        for (at, response) in (before..).zip(packet.responses(true)) {
            page.write(ring::ENTRIES + net::SEND * (at as usize % 256), &response);
        }
        page.u32(ring::RESPONSE_PRODUCER)
            .store(*next, Ordering::Relaxed);
        Some(frame)
    }

    #[test]
    fn frames_go_out_and_their_pages_come_back() {
        let (mut transmit, page) = transmit();
        let bytes: Vec<u8> = (0..LONGEST).map(|at| (at % 251) as u8).collect();
        let mut next = 0;
        let lengths = [60, 1514, 4096, 4097, 9000, LONGEST];
        for (turn, len) in lengths.into_iter().cycle().take(600).enumerate() {
            let at = 20 + turn % 30;
            let pieces = [&bytes[..at], &[], &bytes[at..len]].map(Piece::new);
            let offload = if turn % 2 == 0 {
                segment(GSO_TCPV4)
            } else {
                segment(GSO_TCPV6)
            };
            assert!(transmit.send(&Frame::new(&pieces, offload)));
            assert!(take(&transmit, page, &mut next).is_none());
            transmit.publish();
            assert_eq!(
                take(&transmit, page, &mut next).as_deref(),
                Some(&bytes[..len])
            );
            transmit.reclaim().unwrap();
            assert_eq!(transmit.free.len(), 256);
            assert_eq!(transmit.ring.room(), 256);
        }
    }

    #[test]
    fn there_is_room_for_so_many() {
        let (bytes, plain) = (vec![1; LONGEST], Offload::default());
        for (len, offload, fit) in [
            (60, plain, 256),
            (60, segment(GSO_TCPV4), 128),
            (LONGEST, plain, 16),
            (LONGEST, segment(GSO_TCPV6), 15),
        ] {
            let (mut transmit, _) = transmit();
            let pieces = [Piece::new(&bytes[..len])];
            let frame = Frame::new(&pieces, offload);
            let sent = (0..1000).take_while(|_| transmit.send(&frame)).count();
            assert_eq!(sent, fit);
        }
    }

    #[test]
    fn what_is_to_be_done_is_said() {
        let (mut transmit, page) = transmit();
        let verified = Offload {
            flags: DATA_VALID,
            ..Offload::default()
        };
        let pieces = [Piece::new(&[0; 60])];
        for offload in [Offload::default(), verified, segment(GSO_TCPV6)] {
            assert!(transmit.send(&Frame::new(&pieces, offload)));
        }
        let entry = |at: usize| {
            let mut request = [0; net::SEND];
            page.read(ring::ENTRIES + net::SEND * at, &mut request);
            request
        };
        assert_eq!([0, 1, 2].map(|at| entry(at)[6]), [0, 2, 1 | 2 | 8]);
        assert_eq!(entry(3)[..5], [1, 0, 0xa0, 5, 2]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// Whatever the other domain answers: no page is free twice, or while it has it.
        #[test]
        fn responses_are_not_believed(
            sent in 0_usize..60,
            responses in prop::collection::vec((0_u16..300, -1_i16..3), 0..80),
            claimed in 0_u32..300,
        ) {
            let (mut transmit, page) = transmit();
            let bytes = [0; 5000];
            let pieces = [Piece::new(&bytes)];
            for _ in 0..sent {
                transmit.send(&Frame::new(&pieces, segment(GSO_TCPV4)));
            }
            for (at, (number, status)) in responses.iter().enumerate() {
                let slot = ring::ENTRIES + net::SEND * at;
                page.write(slot, &number.to_le_bytes());
                page.write(slot + 2, &status.to_le_bytes());
            }
            page.u32(ring::RESPONSE_PRODUCER).store(claimed, Ordering::Relaxed);
            let _ = transmit.reclaim();
            let given = transmit.given.iter().filter(|given| **given).count();
            prop_assert_eq!(given + transmit.free.len(), 256);
            let mut free = transmit.free.clone();
            free.sort_unstable();
            free.dedup();
            prop_assert_eq!(free.len(), transmit.free.len());
        }
    }
}
