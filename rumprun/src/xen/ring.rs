//! A ring of requests and responses of one size (io/ring.h), from the front end's side.
//!
//! The back end's word is checked: it cannot answer more than was asked. What is in a
//! response is for the caller to check.

use super::abi::ring::{
    ENTRIES, REQUEST_EVENT, REQUEST_PRODUCER, RESPONSE_EVENT, RESPONSE_PRODUCER,
};
use super::page::Page;
use crate::memory::PAGE;
use core::sync::atomic::{Ordering, fence};

/// The back end has answered what was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The ring.
#[derive(Debug)]
pub(super) struct Ring {
    page: Page,
    /// Bytes of an entry, and how many there are.
    size: usize,
    slots: u32,
    /// Up to where requests were written, and up to where responses were read.
    requested: u32,
    answered: u32,
}

impl Ring {
    /// An empty ring in a page of zeros, for entries of so many bytes.
    pub(super) fn new(page: Page, size: usize) -> Self {
        let fit = (PAGE - ENTRIES) / size;
        let ring = Self {
            page,
            size,
            slots: 1 << fit.ilog2(),
            requested: 0,
            answered: 0,
        };
        ring.page.u32(REQUEST_EVENT).store(1, Ordering::Relaxed);
        ring.page.u32(RESPONSE_EVENT).store(1, Ordering::Relaxed);
        ring
    }

    fn entry(&self, index: u32) -> usize {
        ENTRIES + self.size * (index & (self.slots - 1)) as usize
    }

    /// Where the next request goes, and where the next response is taken from, by number.
    pub(super) fn next_request(&self) -> usize {
        (self.requested & (self.slots - 1)) as usize
    }

    pub(super) fn next_response(&self) -> usize {
        (self.answered & (self.slots - 1)) as usize
    }

    /// How many requests there is room for.
    pub(super) fn room(&self) -> u32 {
        self.slots - self.requested.wrapping_sub(self.answered)
    }

    /// Writes a request, which the back end sees after [`publish`](Self::publish). There is
    /// room.
    pub(super) fn push(&mut self, request: &[u8]) {
        assert!(self.room() > 0 && request.len() <= self.size);
        self.page.write(self.entry(self.requested), request);
        self.requested = self.requested.wrapping_add(1);
    }

    /// Shows the back end what was written; whether it wants to be told.
    pub(super) fn publish(&self) -> bool {
        let producer = self.page.u32(REQUEST_PRODUCER);
        let old = producer.load(Ordering::Relaxed);
        producer.store(self.requested, Ordering::Release);
        // It writes when it wants to be told, and then looks once more.
        fence(Ordering::SeqCst);
        let event = self.page.u32(REQUEST_EVENT).load(Ordering::Relaxed);
        self.requested.wrapping_sub(event) < self.requested.wrapping_sub(old)
    }

    /// Whether there is a response.
    pub(super) fn is_waiting(&self) -> bool {
        self.page.u32(RESPONSE_PRODUCER).load(Ordering::Acquire) != self.answered
    }

    /// Takes a response.
    pub(super) fn take<const N: usize>(&mut self) -> Result<Option<[u8; N]>, Broken> {
        let producer = self.page.u32(RESPONSE_PRODUCER).load(Ordering::Acquire);
        let waiting = producer.wrapping_sub(self.answered);
        if waiting > self.requested.wrapping_sub(self.answered) {
            return Err(Broken);
        }
        if waiting == 0 {
            return Ok(None);
        }
        let mut response = [0; N];
        self.page.read(self.entry(self.answered), &mut response);
        self.answered = self.answered.wrapping_add(1);
        Ok(Some(response))
    }

    /// Asks to be told of the next response; whether there is one already.
    pub(super) fn ask(&self) -> bool {
        let event = self.answered.wrapping_add(1);
        self.page
            .u32(RESPONSE_EVENT)
            .store(event, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.is_waiting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_ring_is_as_large_as_its_entries_allow() {
        assert_eq!(Ring::new(Page::for_test(), 12).room(), 256);
        assert_eq!(Ring::new(Page::for_test(), 8).room(), 256);
        assert_eq!(Ring::new(Page::for_test(), 112).room(), 32);
    }

    #[test]
    fn requests_arrive_and_responses_come_back() {
        let page = Page::for_test();
        let mut ring = Ring::new(page, 8);
        for turn in 0..1000_u32 {
            ring.push(&turn.to_le_bytes());
            // The back end asked to be told of this one.
            assert!(ring.publish());
            assert_eq!(page.u32(REQUEST_PRODUCER).load(Ordering::Relaxed), turn + 1);
            let slot = 64 + 8 * (turn as usize % 256);
            assert_eq!(page.u32(slot).load(Ordering::Relaxed), turn);
            assert_eq!(ring.take::<4>(), Ok(None));
            assert!(!ring.ask());
            page.u32(slot).store(turn ^ 7, Ordering::Relaxed);
            page.u32(RESPONSE_PRODUCER)
                .store(turn + 1, Ordering::Relaxed);
            page.u32(REQUEST_EVENT).store(turn + 2, Ordering::Relaxed);
            assert_eq!(ring.take(), Ok(Some((turn ^ 7).to_le_bytes())));
        }
        page.u32(REQUEST_EVENT).store(5, Ordering::Relaxed);
        ring.push(&[0; 8]);
        assert!(!ring.publish());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn no_more_is_taken_than_was_asked(asked in 0_u32..=256, claimed: u32) {
            let page = Page::for_test();
            let mut ring = Ring::new(page, 12);
            (0..asked).for_each(|_| ring.push(&[1; 12]));
            ring.publish();
            page.u32(RESPONSE_PRODUCER).store(claimed, Ordering::Relaxed);
            let mut taken = 0;
            let last = loop {
                match ring.take::<4>() {
                    Ok(Some(_)) => taken += 1,
                    other => break other,
                }
            };
            if claimed <= asked {
                prop_assert_eq!((taken, last), (claimed, Ok(None)));
            } else {
                prop_assert_eq!((taken, last), (0, Err(Broken)));
            }
        }
    }
}
