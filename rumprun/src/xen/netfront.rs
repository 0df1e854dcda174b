//! A network interface of Xen's (io/netif.h): the front end, as a back end of the kernel's
//! interface.
//!
//! One pair of rings, and one event channel for both. Pages for frames are granted once and
//! copied from and to: the sender has its own back at once, and what the other domain does to
//! a page afterwards does not matter. Frames are whole and have their checksums: neither
//! scattered frames nor offloads are asked for, so that a frame fits into a page.
//!
//! Responses are checked: a number that no page has, or that the other side does not have at
//! the time, or bytes outside of the page, end the interface's link ([`Buffers`]).

use super::abi::{ring, state};
use super::device::{Front, Place, Problem};
use super::event::Channel;
use super::grant;
use super::page::Page;
use super::ring::Ring;
use super::store::Store;
use crate::memory::PAGE;
use crate::net::counters::Counters;
use crate::sched;
use crate::sync::Lock;
use crate::time;
use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use rump_hyper::errno::Errno;
use rump_hyper::vif::abi::Offload;
use rump_hyper::vif::{Backend, Batch, Offloads, Statistics, Transmit};

/// Pages of a ring: half of what it has room for.
const BUFFERS: u16 = 128;
/// Bytes of an entry: requests are the larger ones.
const SENT: usize = 12;
const RECEIVED: usize = 8;
/// How long a sender waits for room, and how often it looks.
const PATIENCE_NS: u64 = 1_000_000_000;
const LOOK_NS: u64 = 500_000;

/// Something that the other domain says makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nonsense;

/// Pages by their numbers, and who has each.
#[derive(Debug)]
struct Buffers {
    /// With the number of the grant.
    pages: Vec<(Page, u32)>,
    free: Vec<u16>,
    given: Vec<bool>,
}

impl Buffers {
    fn new(pages: Vec<(Page, u32)>) -> Self {
        let count = pages.len() as u16;
        Self {
            free: (0..count).rev().collect(),
            given: pages.iter().map(|_| false).collect(),
            pages,
        }
    }

    /// A page to be given to the other domain.
    fn give(&mut self) -> Option<(u16, Page, u32)> {
        let number = self.free.pop()?;
        self.given[usize::from(number)] = true;
        let (page, grant) = self.pages[usize::from(number)];
        Some((number, page, grant))
    }

    /// One that came back, if it was given.
    fn take(&mut self, number: u16) -> Result<Page, Nonsense> {
        let given = self.given.get_mut(usize::from(number)).ok_or(Nonsense)?;
        if !core::mem::take(given) {
            return Err(Nonsense);
        }
        self.free.push(number);
        Ok(self.pages[usize::from(number)].0)
    }
}

/// Where a frame is in its page. Errors of the other side's are negative; they cost the frame.
fn frame_of(response: [u8; RECEIVED]) -> Result<Option<(usize, usize)>, Nonsense> {
    let field = |at: usize| u16::from_le_bytes([response[at], response[at + 1]]);
    let (offset, flags, status) = (field(2), field(4), field(6) as i16);
    /// A frame that goes on in the next response, or has more to be said of it: not asked for.
    const MORE: u16 = 1 << 2 | 1 << 3;
    if status <= 0 {
        return Ok(None);
    }
    let (start, len) = (usize::from(offset), usize::from(status.unsigned_abs()));
    if start + len > PAGE || flags & MORE != 0 {
        return Err(Nonsense);
    }
    Ok(Some((start, len)))
}

/// A ring with its pages.
#[derive(Debug)]
struct Half {
    ring: Ring,
    buffers: Buffers,
}

impl Half {
    /// Pages that the other domain may read, or also write.
    fn new(domain: u16, entry: usize, writable: bool) -> Result<(Self, u32), Problem> {
        let page = Page::allocate().ok_or(Problem::Memory)?;
        let number = grant::share(domain, page.address(), true)?;
        let mut pages = Vec::new();
        for _ in 0..BUFFERS {
            let page = Page::allocate().ok_or(Problem::Memory)?;
            pages.push((page, grant::share(domain, page.address(), writable)?));
        }
        let half = Self {
            ring: Ring::new(page, entry),
            buffers: Buffers::new(pages),
        };
        Ok((half, number))
    }

    /// Gives the other side all pages for frames that come; whether it wants to be told.
    fn fill(&mut self) -> bool {
        while self.ring.room() > 0 {
            let Some((number, _, grant)) = self.buffers.give() else {
                break;
            };
            let mut request = [0; RECEIVED];
            request[..2].copy_from_slice(&number.to_le_bytes());
            request[4..].copy_from_slice(&grant.to_le_bytes());
            self.ring.push(&request);
        }
        self.ring.publish()
    }

    /// Takes a frame that has come: its page, where it is there, and how long it is; `None`
    /// in that place if it was lost.
    #[allow(clippy::type_complexity)]
    fn received(&mut self) -> Result<Option<Option<(Page, usize, usize)>>, Nonsense> {
        let Some(response) = self.ring.take::<RECEIVED>().map_err(|_| Nonsense)? else {
            return Ok(None);
        };
        let page = self
            .buffers
            .take(u16::from_le_bytes([response[0], response[1]]))?;
        Ok(Some(
            frame_of(response)?.map(|(start, len)| (page, start, len)),
        ))
    }

    /// Takes the pages of frames back that were sent.
    fn reclaim(&mut self) -> Result<(), Nonsense> {
        // The response is a number and a status, which only says that a frame was dropped.
        while let Some([low, high, _, _]) = self.ring.take().map_err(|_| Nonsense)? {
            self.buffers.take(u16::from_le_bytes([low, high]))?;
        }
        Ok(())
    }

    /// Puts a frame into the ring; false if there is no room.
    fn send(&mut self, frame: &Transmit<'_>) -> bool {
        self.send_with(frame.len(), |bytes| {
            frame.copy_to(bytes);
        })
    }

    fn send_with(&mut self, len: usize, copy: impl FnOnce(&mut [u8])) -> bool {
        if self.ring.room() == 0 {
            return false;
        }
        let Some((number, page, grant)) = self.buffers.give() else {
            return false;
        };
        let mut bytes = [0; LONGEST];
        copy(&mut bytes[..len]);
        page.write(0, &bytes[..len]);
        let mut request = [0; SENT];
        request[..4].copy_from_slice(&grant.to_le_bytes());
        request[8..10].copy_from_slice(&number.to_le_bytes());
        request[10..].copy_from_slice(&(len as u16).to_le_bytes());
        self.ring.push(&request);
        true
    }
}

/// The longest frame: what fits with room on the stack to spare.
const LONGEST: usize = 2048;

/// The interface.
#[derive(Debug)]
pub(crate) struct Netfront {
    place: Place,
    receive: Lock<Half>,
    transmit: Lock<Half>,
    channel: Channel,
    address: [u8; 6],
    link: AtomicBool,
    woken: AtomicBool,
    counters: Counters,
}

/// The address that is written as `00:16:3e:01:02:03`.
pub(super) fn ethernet(text: &str) -> Option<[u8; 6]> {
    let mut address = [0; 6];
    let mut parts = text.trim().split(':');
    for byte in &mut address {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(address)
}

impl Netfront {
    /// Connects to the other end.
    pub(super) fn new(store: &mut Store, place: Place) -> Result<Self, Problem> {
        let text = store.read(&format!("{}/mac", place.path))?;
        let address = ethernet(&text).ok_or(Problem::Value("mac", text))?;
        let (transmit, transmit_grant) = Half::new(place.domain, SENT, false)?;
        let (mut receive, receive_grant) = Half::new(place.domain, RECEIVED, true)?;
        receive.fill();
        let channel = Channel::new(place.domain)?;
        let port = channel.port();
        place.connect(store, state::CONNECTED, |store| {
            for (name, value) in [
                ("tx-ring-ref", transmit_grant),
                ("rx-ring-ref", receive_grant),
                ("event-channel", port),
                // It copies into our pages, tells us of frames, and completes checksums.
                ("request-rx-copy", 1),
                ("feature-rx-notify", 1),
                ("feature-no-csum-offload", 1),
                ("feature-ipv6-csum-offload", 0),
            ] {
                place.tell(store, name, &format!("{value}"))?;
            }
            Ok(())
        })?;
        let card = Self {
            place,
            receive: Lock::new(receive),
            transmit: Lock::new(transmit),
            channel,
            address,
            link: AtomicBool::new(true),
            woken: AtomicBool::new(false),
            counters: Counters::default(),
        };
        card.channel.notify();
        Ok(card)
    }

    /// Its Ethernet address.
    pub(super) fn address(&self) -> [u8; 6] {
        self.address
    }

    /// Nothing that comes from there is believed any more.
    fn distrust<T>(&self, result: Result<T, Nonsense>) -> Option<T> {
        if result.is_err() && self.link.swap(false, Ordering::AcqRel) {
            let path = &self.place.path;
            crate::say!(
                "rumprun: {path}: its back end answers what was not asked; it is not used any more"
            );
        }
        result.ok()
    }

    /// Takes frames that have come, up to a full batch.
    fn take(&self, batch: &mut Batch) {
        let mut given = false;
        while !batch.is_full() && self.link() {
            // What was taken is free, and only given again below.
            let taken = self.receive.lock().received();
            match self.distrust(taken).flatten() {
                Some(Some((page, start, len))) => {
                    let mut to = batch.buffer();
                    let len = len.min(to.len());
                    page.read(start, &mut to[..len]);
                    batch.push(to, len, Offload::default());
                    self.counters.received.fetch_add(1, Ordering::Relaxed);
                }
                Some(None) => {
                    self.counters.receive_drops.fetch_add(1, Ordering::Relaxed);
                }
                None => break,
            }
            given = true;
        }
        if given && self.link() && self.receive.lock().fill() {
            self.channel.notify();
        }
    }
}

impl Front for Netfront {
    fn place(&self) -> &Place {
        &self.place
    }

    fn gone(&self) {
        self.link.store(false, Ordering::Release);
        self.wake();
    }
}

impl Backend for Netfront {
    fn offers(&self) -> Offloads {
        Offloads::NONE
    }

    fn link(&self) -> bool {
        self.link.load(Ordering::Acquire)
    }

    fn receive(&self, _queue: usize, batch: &mut Batch) -> Result<(), Errno> {
        loop {
            if self.woken.swap(false, Ordering::AcqRel) {
                return Ok(());
            }
            self.take(batch);
            if !batch.is_empty() {
                return Ok(());
            }
            let waiting = self.link() && self.receive.lock().ring.ask();
            if !waiting && self.channel.line().wait(None).is_none() {
                return Ok(());
            }
        }
    }

    fn send(&self, _queue: usize, frames: &[Transmit<'_>]) -> Result<usize, Errno> {
        let mut sent = 0;
        for frame in frames {
            let mut until = None;
            loop {
                if !self.link() || frame.len() > LONGEST {
                    break;
                }
                let mut half = self.transmit.lock();
                let reclaimed = half.reclaim();
                if reclaimed.is_ok() && half.send(frame) {
                    sent += 1;
                    break;
                }
                // It has to know of those that it has.
                let tell = half.ring.publish();
                drop(half);
                self.distrust(reclaimed);
                if tell {
                    self.channel.notify();
                }
                let now = time::monotonic_ns();
                if now > *until.get_or_insert(now + PATIENCE_NS) {
                    break;
                }
                sched::sleep_until(now + LOOK_NS);
            }
        }
        if self.transmit.lock().ring.publish() {
            self.channel.notify();
        }
        self.counters.sent_of(sent, frames.len());
        Ok(sent)
    }

    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.channel.line().fire();
    }

    fn statistics(&self) -> Statistics {
        self.counters.statistics()
    }
}

// The indexes of a ring lie before its entries.
const _: () = assert!(ring::RESPONSE_EVENT < ring::ENTRIES && LONGEST <= PAGE);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    std::thread_local! {
        /// The buffers of a test, which all of its cases have: pages stay for good.
        static PAGES: std::vec::Vec<Page> = (0..BUFFERS).map(|_| Page::for_test()).collect();
    }

    fn half(entry: usize) -> (Half, Page) {
        let page = Page::for_test();
        let pages = PAGES.with(|pages| pages.iter().copied().zip(100..).collect());
        let half = Half {
            ring: Ring::new(page, entry),
            buffers: Buffers::new(pages),
        };
        (half, page)
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(ethernet("00:16:3e:0a:FF:3\n"), None);
        assert_eq!(
            ethernet("00:16:3e:0a:FF:03\n"),
            Some([0, 0x16, 0x3e, 0xa, 0xff, 3])
        );
        for wrong in [
            "",
            "00:16:3e:0a:ff",
            "00:16:3e:0a:ff:03:04",
            "0g:16:3e:0a:ff:03",
        ] {
            assert_eq!(ethernet(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn frames_go_out_and_their_pages_come_back() {
        let (mut half, page) = half(SENT);
        for turn in 0..1000_u32 {
            assert!(half.send_with(60, |bytes| bytes.fill(turn as u8)));
            half.ring.publish();
            // The other domain reads the request, and the frame by its grant.
            let slot = ring::ENTRIES + SENT * (turn as usize % 256);
            let mut request = [0; SENT];
            page.read(slot, &mut request);
            let grant = u32::from_le_bytes(*request.first_chunk().unwrap());
            let number = u16::from_le_bytes([request[8], request[9]]);
            assert_eq!(grant, 100 + u32::from(number));
            assert_eq!(request[10], 60);
            let mut frame = [0; 60];
            half.buffers.pages[usize::from(number)]
                .0
                .read(0, &mut frame);
            assert_eq!(frame, [turn as u8; 60]);
            page.write(slot, &[request[8], request[9], 0, 0]);
            page.u32(ring::RESPONSE_PRODUCER)
                .store(turn + 1, Ordering::Relaxed);
            half.reclaim().unwrap();
            assert_eq!(half.buffers.free.len(), usize::from(BUFFERS));
        }
    }

    #[test]
    fn there_is_room_for_so_many() {
        let (mut half, _) = half(SENT);
        let sent = (0..1000).take_while(|_| half.send_with(60, |_| {})).count();
        assert_eq!(sent, usize::from(BUFFERS));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// Whatever the other domain writes into the ring: no page is taken that it does not
        /// have, none twice, and no byte outside of a page.
        #[test]
        fn responses_are_not_believed(
            responses in prop::collection::vec(any::<[u8; RECEIVED]>(), 1..40),
            ids in prop::collection::vec(0_u16..200, 40),
            sane: bool,
            claimed in 0_u32..300,
        ) {
            let (mut half, page) = half(RECEIVED);
            half.fill();
            for (at, response) in responses.iter().enumerate() {
                let mut response = *response;
                if sane {
                    response[..2].copy_from_slice(&ids[at].to_le_bytes());
                    response[3] &= 7;
                    response[5] = 0;
                    response[4] = 0;
                }
                page.write(ring::ENTRIES + RECEIVED * at, &response);
            }
            page.u32(ring::RESPONSE_PRODUCER).store(claimed, Ordering::Relaxed);
            let mut taken = 0;
            while let Ok(Some(frame)) = half.received() {
                taken += 1;
                if let Some((_, start, len)) = frame {
                    prop_assert!(start + len <= PAGE && len > 0);
                }
                prop_assert_eq!(half.buffers.free.len(), taken);
            }
            prop_assert!(taken <= claimed as usize);
            let given = half.buffers.given.iter().filter(|given| **given).count();
            prop_assert_eq!(given + half.buffers.free.len(), usize::from(BUFFERS));
        }
    }
}
