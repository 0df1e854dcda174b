//! A ring of requests and responses (io/ring.h), from the back end's side.
//!
//! The front end's word is checked: it cannot ask for more than the ring has room for. A
//! request is copied out once, before anything in it is looked at. What is in it is for the
//! caller to check. Responses have places in the order of the requests, whichever they answer.
//! A ring may be in several pages, whose entries go on from one to the next.

use super::abi::ring::{
    ENTRIES, REQUEST_EVENT, REQUEST_PRODUCER, RESPONSE_EVENT, RESPONSE_PRODUCER,
};
use super::page::Page;
use super::ring::Broken;
use crate::memory::PAGE;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{Ordering, fence};

/// The ring.
#[derive(Debug)]
pub(super) struct BackRing {
    /// The first, with the indexes, and those behind it.
    page: Page,
    pages: Vec<Page>,
    /// Bytes of an entry, and how many there are.
    size: usize,
    slots: u32,
    /// Up to where requests were read, and up to where responses were written.
    taken: u32,
    answered: u32,
}

impl BackRing {
    /// The ring in a page of the front end's, for entries of so many bytes.
    pub(super) fn new(page: Page, size: usize) -> Self {
        Self::over(vec![page], size)
    }

    /// The same in several pages, one at least.
    pub(super) fn over(pages: Vec<Page>, size: usize) -> Self {
        let page = pages[0];
        let fit = (PAGE * pages.len() - ENTRIES) / size;
        // Where another back end has left it, if there was one.
        let answered = page.u32(RESPONSE_PRODUCER).load(Ordering::Acquire);
        Self {
            page,
            pages,
            size,
            slots: 1 << fit.ilog2(),
            taken: answered,
            answered,
        }
    }

    fn entry(&self, index: u32) -> usize {
        ENTRIES + self.size * (index & (self.slots - 1)) as usize
    }

    /// The pieces of pages that so many bytes at a place are in: page, offset, and which bytes.
    fn pieces(&self, at: usize, len: usize) -> impl Iterator<Item = (Page, usize, Range<usize>)> {
        let mut done = 0;
        core::iter::from_fn(move || {
            let place = at + done;
            let part = (PAGE - place % PAGE).min(len - done);
            let bytes = done..done + part;
            done += part;
            (part > 0).then(|| (self.pages[place / PAGE], place % PAGE, bytes))
        })
    }

    /// How many requests wait to be taken.
    pub(super) fn waiting(&self) -> Result<u32, Broken> {
        let producer = self.page.u32(REQUEST_PRODUCER).load(Ordering::Acquire);
        // None of those that were not answered may be written over.
        if producer.wrapping_sub(self.answered) > self.slots {
            return Err(Broken);
        }
        let waiting = producer.wrapping_sub(self.taken);
        // The front end has gone back behind what was taken.
        if waiting > self.slots {
            return Err(Broken);
        }
        Ok(waiting)
    }

    /// Takes a request.
    pub(super) fn take<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Broken> {
        if self.waiting()? == 0 {
            return Ok(None);
        }
        let mut request = [0; N];
        for (page, offset, bytes) in self.pieces(self.entry(self.taken), N.min(self.size)) {
            page.read(offset, &mut request[bytes]);
        }
        self.taken = self.taken.wrapping_add(1);
        Ok(Some(request))
    }

    /// Writes the response to the first request that has none. It was taken.
    pub(super) fn answer(&mut self, response: &[u8]) {
        assert!(self.answered != self.taken && response.len() <= self.size);
        for (page, offset, bytes) in self.pieces(self.entry(self.answered), response.len()) {
            page.write(offset, &response[bytes]);
        }
        self.answered = self.answered.wrapping_add(1);
    }

    /// Shows the front end what was written; whether it wants to be told.
    pub(super) fn publish(&self) -> bool {
        let producer = self.page.u32(RESPONSE_PRODUCER);
        let old = producer.swap(self.answered, Ordering::AcqRel);
        // It writes when it wants to be told, and then looks once more.
        fence(Ordering::SeqCst);
        let event = self.page.u32(RESPONSE_EVENT).load(Ordering::Relaxed);
        self.answered.wrapping_sub(event) < self.answered.wrapping_sub(old)
    }

    /// Asks to be told of the next request; whether there is one already.
    pub(super) fn ask(&self) -> Result<bool, Broken> {
        let event = self.taken.wrapping_add(1);
        self.page.u32(REQUEST_EVENT).store(event, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Ok(self.waiting()? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ring::Ring;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_ends_understand_each_other() {
        let page = Page::for_test();
        let mut front = Ring::new(page, 12);
        let mut back = BackRing::new(page, 12);
        for turn in 0..1000_u32 {
            let (first, second) = (turn.to_le_bytes(), (turn ^ 9).to_le_bytes());
            front.push(&first);
            front.push(&second);
            assert!(front.publish());
            assert_eq!(back.waiting(), Ok(2));
            assert_eq!(back.take(), Ok(Some(first)));
            back.answer(&second);
            assert!(back.publish());
            assert_eq!(front.take(), Ok(Some(second)));
            assert_eq!(front.take::<4>(), Ok(None));
            assert!(!front.ask());
            assert_eq!(back.take(), Ok(Some(second)));
            assert_eq!(back.take::<4>(), Ok(None));
            assert_eq!(back.ask(), Ok(false));
            back.answer(&first);
            assert!(back.publish());
            assert_eq!(front.take(), Ok(Some(first)));
            assert!(!front.ask());
        }
        // One that goes on where another has stopped.
        let mut next = BackRing::new(page, 12);
        front.push(&[1, 2]);
        front.publish();
        assert_eq!(next.take(), Ok(Some([1, 2])));
    }

    #[test]
    fn entries_go_on_in_the_next_page() {
        let pages: Vec<_> = (0..4).map(|_| Page::for_test()).collect();
        let mut back = BackRing::over(pages.clone(), 112);
        assert_eq!(back.slots, 128);
        let mut all = vec![0; 4 * PAGE];
        for turn in 0..300_u32 {
            let at = 64 + 112 * (turn as usize % 128);
            let request: [u8; 112] = core::array::from_fn(|byte| (byte as u32 + turn) as u8);
            all[at..at + 112].copy_from_slice(&request);
            for (page, bytes) in pages.iter().zip(all.chunks(PAGE)) {
                page.write(64, &bytes[64..]);
                if page.address() != pages[0].address() {
                    page.write(0, &bytes[..64]);
                }
            }
            pages[0]
                .u32(REQUEST_PRODUCER)
                .store(turn + 1, Ordering::Relaxed);
            assert_eq!(back.take(), Ok(Some(request)));
            back.answer(&[turn as u8; 12]);
            for (page, bytes) in pages.iter().zip(all.chunks_mut(PAGE)) {
                page.read(0, bytes);
            }
            assert_eq!(all[at..at + 12], [turn as u8; 12]);
            assert_eq!(all[at + 12..at + 112], request[12..]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// Whatever the front end writes as its index, and whenever: never more is taken than
        /// the ring has room for beside what was not answered.
        #[test]
        fn no_more_is_taken_than_there_is_room_for(
            start: u32,
            steps in prop::collection::vec((any::<u32>(), 0_u32..300, 0_u32..300, any::<bool>()), 1..20),
        ) {
            let page = Page::for_test();
            page.u32(RESPONSE_PRODUCER).store(start, Ordering::Relaxed);
            let mut ring = BackRing::new(page, 12);
            for (claim, take, answer, near) in steps {
                let claim = if near { ring.taken.wrapping_add(claim % 400) } else { claim };
                page.u32(REQUEST_PRODUCER).store(claim, Ordering::Relaxed);
                for _ in 0..take {
                    if !matches!(ring.take::<12>(), Ok(Some(_))) {
                        break;
                    }
                }
                prop_assert!(ring.taken.wrapping_sub(ring.answered) <= ring.slots);
                for _ in 0..answer.min(ring.taken.wrapping_sub(ring.answered)) {
                    ring.answer(&[0; 8]);
                }
                ring.publish();
                let _ = ring.ask();
            }
        }
    }
}
