//! Frames that come.
//!
//! Each slot of the ring has a page of its own, which the back end gets again when its response
//! was taken. Responses come in the order of the requests: what is said of a frame beside takes
//! the places of some, and does not repeat their numbers.

use super::super::abi::net;
use super::super::device::Problem;
use super::super::headers::{self, Gso};
use super::super::page::Page;
use super::super::ring::Ring;
use super::Nonsense;
use crate::memory::PAGE;
use alloc::vec::Vec;
use rump_hyper::vif::abi::{DATA_VALID, Offload};

/// A response.
type Response = [u8; net::RECEIVED];

/// Requests for frames, and their pages.
#[derive(Debug)]
pub(super) struct Receive {
    ring: Ring,
    /// Of each slot, with the number of its grant.
    pages: Vec<(Page, u32)>,
}

/// A part of a frame: where it is, and the flags of its response. `None` is one that the back end
/// says it could not bring.
#[derive(Clone, Copy)]
struct Part {
    page: Page,
    inside: Option<(usize, usize)>,
    flags: u16,
}

impl Receive {
    /// With pages that a domain may write; and the number by which it reaches the ring.
    pub(super) fn new(domain: u16) -> Result<(Self, u32), Problem> {
        let (ring, number) = super::share(domain, true)?;
        let ring = Ring::new(ring, net::RECEIVE);
        let pages = super::share_pages(domain, ring.room(), true)?;
        Ok((Self { ring, pages }, number))
    }

    /// Gives the other side all pages that it has not; whether it wants to be told.
    pub(super) fn fill(&mut self) -> bool {
        while self.ring.room() > 0 {
            let slot = self.ring.next_request();
            let mut request = [0; net::RECEIVE];
            request[..2].copy_from_slice(&(slot as u16).to_le_bytes());
            request[4..].copy_from_slice(&self.pages[slot].1.to_le_bytes());
            self.ring.push(&request);
        }
        self.ring.publish()
    }

    /// Asks to be told of the next frame; whether there is one already.
    pub(super) fn ask(&self) -> bool {
        self.ring.ask()
    }

    /// Takes a frame that has come, and puts it where there is room for any: how long it is, and
    /// what is to be done to it. `None` in that place if it was lost.
    pub(super) fn take(
        &mut self,
        to: &mut [u8],
    ) -> Result<Option<Option<(usize, Offload)>>, Nonsense> {
        let Some(first) = self.part()? else {
            return Ok(None);
        };
        let mut gso = None;
        if first.flags & net::EXTRA != 0 {
            loop {
                let (extra, more) = self.extra()?;
                gso = extra.or(gso);
                if !more {
                    break;
                }
            }
        }
        let (mut len, mut whole, mut part) = (0, true, first);
        loop {
            match part.inside {
                Some((start, more)) => {
                    let to = to.get_mut(len..len + more).ok_or(Nonsense)?;
                    part.page.read(start, to);
                    len += more;
                }
                None => whole = false,
            }
            if part.flags & net::MORE == 0 {
                break;
            }
            // It is shown as a whole or not at all.
            part = self.part()?.ok_or(Nonsense)?;
        }
        let offload = offload(&to[..len], first.flags, gso);
        Ok(Some(
            offload.filter(|_| whole).map(|offload| (len, offload)),
        ))
    }

    /// The next response, with its slot.
    fn response(&mut self) -> Result<Option<(usize, Response)>, Nonsense> {
        let slot = self.ring.next_response();
        let response = self.ring.take().map_err(|_| Nonsense)?;
        Ok(response.map(|response| (slot, response)))
    }

    /// The next response, with a part of a frame. Errors of the other side's are negative.
    fn part(&mut self) -> Result<Option<Part>, Nonsense> {
        let Some((slot, response)) = self.response()? else {
            return Ok(None);
        };
        let field = |at: usize| u16::from_le_bytes([response[at], response[at + 1]]);
        let (start, flags, status) = (usize::from(field(2)), field(4), field(6) as i16);
        let len = usize::from(status.unsigned_abs());
        let inside = (status > 0).then_some((start, len));
        if usize::from(field(0)) != slot || inside.is_some() && start + len > PAGE {
            return Err(Nonsense);
        }
        let page = self.pages[slot].0;
        Ok(Some(Part {
            page,
            inside,
            flags,
        }))
    }

    /// What is said beside: how a segment is to be cut up, if it is that; and whether there is
    /// more.
    fn extra(&mut self) -> Result<(Option<Gso>, bool), Nonsense> {
        let (_, extra) = self.response()?.ok_or(Nonsense)?;
        let (kind, flags, of) = (extra[0], extra[1], extra[4]);
        let size = u16::from_le_bytes([extra[2], extra[3]]);
        if kind == 0 || kind >= net::EXTRA_KINDS {
            return Err(Nonsense);
        }
        let gso = Gso::of(of, size).filter(|_| kind == net::EXTRA_GSO);
        Ok((gso, flags & net::EXTRA_MORE != 0))
    }
}

/// What is to be done to a frame, or was. `None` if that cannot be.
fn offload(frame: &[u8], flags: u16, gso: Option<Gso>) -> Option<Offload> {
    if flags & net::RECEIVED_BLANK != 0 || gso.is_some() {
        return headers::unfinished(frame, gso);
    }
    let flags = match flags & net::RECEIVED_VALID {
        0 => 0,
        _ => DATA_VALID,
    };
    Some(Offload {
        flags,
        ..Offload::default()
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::abi::ring;
    use super::*;
    use core::sync::atomic::Ordering;
    use proptest::prelude::*;
    use rump_hyper::vif::abi::{FRAME_MAX, GSO_TCPV6, NEEDS_CSUM};
    use std::vec;

    std::thread_local! {
        /// The pages of a test, which all of its cases have: pages stay for good.
        static PAGES: Vec<Page> = (0..256).map(|_| Page::for_test()).collect();
    }

    /// All pages are the back end's, whose ring is returned.
    fn receive() -> (Receive, Page) {
        let page = Page::for_test();
        let pages = PAGES.with(|pages| pages.iter().copied().zip(100..).collect());
        let ring = Ring::new(page, net::RECEIVE);
        let mut receive = Receive { ring, pages };
        receive.fill();
        (receive, page)
    }

    fn answer(page: Page, at: u32, response: Response) {
        let slot = ring::ENTRIES + net::RECEIVED * (at as usize % 256);
        page.write(slot, &response);
        page.u32(ring::RESPONSE_PRODUCER)
            .store(at + 1, Ordering::Relaxed);
    }

    fn part(at: u32, offset: u16, flags: u16, status: i16) -> Response {
        let fields = [(at % 256) as u16, offset, flags, status as u16];
        let mut response = [0; net::RECEIVED];
        for (to, field) in response.chunks_exact_mut(2).zip(fields) {
            to.copy_from_slice(&field.to_le_bytes());
        }
        response
    }

    #[test]
    fn frames_come_in_pieces_and_with_what_is_to_be_done() {
        let (mut receive, page) = receive();
        let mut to = vec![0; FRAME_MAX];
        assert_eq!(receive.take(&mut to), Ok(None));
        let segment = {
            let mut frame = vec![0; 9000];
            frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
            frame[20] = 6;
            frame[14 + 40 + 12] = 0x50;
            frame[5000] = 7;
            frame
        };
        let mut at = 0;
        for _ in 0..200 {
            let slot = |at: u32| receive.pages[at as usize % 256].0;
            // A short one, whose checksum was verified, and one with nothing said of it.
            slot(at).write(100, &[at as u8; 60]);
            answer(page, at, part(at, 100, net::RECEIVED_VALID, 60));
            slot(at + 1).write(0, &[3; 60]);
            answer(page, at + 1, part(at + 1, 0, 0, 60));
            // A segment in three parts, with what is said beside.
            let blank = net::RECEIVED_VALID | net::RECEIVED_BLANK;
            answer(
                page,
                at + 2,
                part(at + 2, 0, blank | net::EXTRA | net::MORE, 4096),
            );
            answer(page, at + 3, [net::EXTRA_HASH, 1, 0, 0, 0, 0, 0, 0]);
            answer(
                page,
                at + 4,
                [net::EXTRA_GSO, 0, 0xa0, 5, net::TCP6, 0, 0, 0],
            );
            for (part_at, bytes, flags) in [
                (at + 2, &segment[..4096], None),
                (at + 5, &segment[4096..8192], Some(net::MORE)),
                (at + 6, &segment[8192..], Some(0)),
            ] {
                slot(part_at).write(0, bytes);
                if let Some(flags) = flags {
                    answer(page, part_at, part(part_at, 0, flags, bytes.len() as i16));
                }
            }
            // One that was lost.
            answer(page, at + 7, part(at + 7, 0, 0, -1));

            let verified = Offload {
                flags: DATA_VALID,
                ..Offload::default()
            };
            assert_eq!(receive.take(&mut to), Ok(Some(Some((60, verified)))));
            assert_eq!(to[..60], [at as u8; 60]);
            assert_eq!(
                receive.take(&mut to),
                Ok(Some(Some((60, Offload::default()))))
            );
            let offload = Offload {
                flags: NEEDS_CSUM,
                gso_type: GSO_TCPV6,
                hdr_len: 74,
                gso_size: 1440,
                csum_start: 54,
                csum_offset: 16,
            };
            assert_eq!(receive.take(&mut to), Ok(Some(Some((9000, offload)))));
            assert_eq!(to[..9000], segment[..]);
            assert_eq!(receive.take(&mut to), Ok(Some(None)));
            assert_eq!(receive.take(&mut to), Ok(None));
            assert_eq!(receive.ring.room(), 8);
            receive.fill();
            at += 8;
        }
    }

    #[test]
    fn nonsense_is_told() {
        let cases: [&[Response]; 7] = [
            // Another's number.
            &[part(1, 0, 0, 60)],
            // Outside of its page.
            &[part(0, 4090, 0, 60)],
            // Something is missing.
            &[part(0, 0, net::MORE, 60)],
            &[part(0, 0, net::EXTRA, 60)],
            // Kinds that there are not.
            &[part(0, 0, net::EXTRA, 60), [0; net::RECEIVED]],
            &[part(0, 0, net::EXTRA, 60), [5, 0, 0, 0, 0, 0, 0, 0]],
            // Longer than any frame.
            &core::array::from_fn::<_, 20, _>(|at| part(at as u32, 0, net::MORE, 4096)),
        ];
        let mut to = vec![0; FRAME_MAX];
        for case in cases {
            let (mut receive, page) = receive();
            for (at, response) in case.iter().enumerate() {
                answer(page, at as u32, *response);
            }
            assert_eq!(receive.take(&mut to), Err(Nonsense), "{case:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// Whatever the other domain writes into the ring: a frame is inside the memory that it
        /// is for, and no more responses are taken than there are.
        #[test]
        fn responses_are_not_believed(
            responses in prop::collection::vec(any::<Response>(), 1..60),
            sane in 0_u8..4,
            claimed in 0_u32..300,
        ) {
            let (mut receive, page) = receive();
            for (at, response) in responses.iter().enumerate() {
                let mut response = *response;
                if sane > 0 {
                    response[..2].copy_from_slice(&(at as u16).to_le_bytes());
                    response[3] &= 7;
                    response[4] &= if sane == 1 { 3 } else { 15 };
                    response[5] = 0;
                    response[7] &= if sane == 3 { 7 } else { 0xff };
                }
                page.write(ring::ENTRIES + net::RECEIVED * at, &response);
            }
            page.u32(ring::RESPONSE_PRODUCER).store(claimed, Ordering::Relaxed);
            let mut to = vec![0; FRAME_MAX];
            let mut frames = 0;
            while let Ok(Some(frame)) = receive.take(&mut to) {
                frames += 1;
                if let Some((len, _)) = frame {
                    prop_assert!(len > 0 && len <= to.len());
                }
            }
            prop_assert!(frames <= receive.ring.room() && receive.ring.room() <= claimed.min(256));
        }
    }
}
