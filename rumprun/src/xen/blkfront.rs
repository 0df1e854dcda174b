//! A disk of Xen's (io/blkif.h): the front end, behind a disk of the kernel's.
//!
//! One ring, one event channel, and slots: each has pages that are granted once and copied
//! from and to, so that the other domain never reaches memory of the kernel's or the
//! program's, and what it does to a page afterwards does not matter. A slot has one request
//! under way; pieces of transfers that find none free wait in a queue.
//!
//! Responses are checked: a number that no slot has, or whose slot has nothing under way, ends
//! the disk ([`Desk`]): all that is under way, and all that comes, fails with `EIO`.
//!
//! A back end that announces no cache that can be flushed has none, so that a flush has
//! nothing to do there.

use super::abi::{disk, state};
use super::device::{Front, Place, Problem};
use super::event::Channel;
use super::grant;
use super::page::Page;
use super::ring::Ring;
use super::store::Store;
use crate::block::transfer::{Piece, Transfer};
use crate::block::{Backend, Shape};
use crate::memory::PAGE;
use crate::sched;
use crate::sync::Lock;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use rump_hyper::errno::Errno;

/// Requests under way at most, and the pages of each.
const SLOTS: u16 = 16;
const PAGES: usize = 8;
/// The largest sector: one that a page has room for.
const LARGEST: u32 = PAGE as u32;

/// Something that the other domain says makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nonsense;

/// What somebody waits for.
#[derive(Debug, Default)]
struct Answer(AtomicU32);

impl Answer {
    /// The number is one more than that of an error, or of none.
    fn give(&self, result: Result<(), Errno>) {
        let number = result.map_or_else(|errno| errno.0 as u32, |()| 0);
        self.0.store(number + 1, Ordering::Release);
        sched::unpark(self.0.as_ptr().addr() as u64, usize::MAX);
    }

    fn wait(&self) -> Result<(), Errno> {
        loop {
            match self.0.load(Ordering::Acquire) {
                0 => sched::park(&self.0, 0, None),
                1 => return Ok(()),
                number => return Err(Errno((number - 1) as i32)),
            };
        }
    }
}

/// What the disk is asked to do.
#[derive(Debug)]
enum Work {
    /// To read or write.
    Piece(Piece),
    /// Another operation, on so many units from one on.
    Order(u8, u64, u64, Arc<Answer>),
}

/// The pages of a slot, with the numbers of their grants.
type Pages = [(Page, u32); PAGES];

impl Work {
    /// The request for it, with a slot's number.
    fn request(&self, slot: u16, pages: &Pages) -> [u8; disk::REQUEST] {
        let mut request = [0; disk::REQUEST];
        request[8..10].copy_from_slice(&slot.to_le_bytes());
        let first = match self {
            Self::Piece(piece) => {
                let used = piece.len().div_ceil(PAGE);
                request[0] = if piece.is_write() {
                    disk::WRITE
                } else {
                    disk::READ
                };
                request[1] = used as u8;
                for (at, (_, grant)) in pages[..used].iter().enumerate() {
                    let bytes = (piece.len() - at * PAGE).min(PAGE);
                    let segment = &mut request[24 + 8 * at..][..8];
                    segment[..4].copy_from_slice(&grant.to_le_bytes());
                    // The first unit of the page, and the last.
                    segment[5] = (bytes / disk::UNIT - 1) as u8;
                }
                piece.offset() / disk::UNIT as u64
            }
            Self::Order(operation, first, count, _) => {
                request[0] = *operation;
                if *operation == disk::DISCARD {
                    request[24..32].copy_from_slice(&count.to_le_bytes());
                }
                *first
            }
        };
        request[16..24].copy_from_slice(&first.to_le_bytes());
        request
    }

    /// Puts what is to be written into the pages.
    fn fill(&self, pages: &Pages) {
        if let Self::Piece(piece) = self
            && piece.is_write()
        {
            for (bytes, (page, _)) in piece.bytes().chunks(PAGE).zip(pages) {
                page.write(0, bytes);
            }
        }
    }

    /// It is done: takes what was read from the pages.
    fn end(mut self, status: i16, pages: &Pages) {
        if status == disk::OKAY
            && let Self::Piece(piece) = &mut self
            && !piece.is_write()
        {
            for (bytes, (page, _)) in piece.room().chunks_mut(PAGE).zip(pages) {
                page.read(0, bytes);
            }
        }
        self.over(match status {
            disk::OKAY => Ok(()),
            disk::UNKNOWN => Err(Errno::OPNOTSUPP),
            _ => Err(Errno::IO),
        });
    }

    fn over(self, result: Result<(), Errno>) {
        match (self, result) {
            (Self::Order(.., answer), result) => answer.give(result),
            (Self::Piece(piece), Err(errno)) => piece.fail(errno),
            (Self::Piece(_), Ok(())) => {}
        }
    }
}

/// The ring, and what each slot has under way.
#[derive(Debug)]
struct Desk {
    ring: Ring,
    free: Vec<u16>,
    given: Vec<Option<Work>>,
    waiting: VecDeque<Work>,
    /// There is no other end any more, or none that is believed.
    over: bool,
}

impl Desk {
    fn new(ring: Ring) -> Self {
        Self {
            ring,
            free: (0..SLOTS).rev().collect(),
            given: (0..SLOTS).map(|_| None).collect(),
            waiting: VecDeque::new(),
            over: false,
        }
    }

    /// A slot for it, or it waits; `Err` if nothing is done any more.
    fn place(&mut self, work: Work) -> Result<Option<(u16, Work)>, Work> {
        if self.over {
            return Err(work);
        }
        match self.free.pop() {
            Some(slot) => Ok(Some((slot, work))),
            None => {
                self.waiting.push_back(work);
                Ok(None)
            }
        }
    }

    /// Hands a request over; whether the other side wants to be told. `Err` if nothing is done
    /// any more.
    fn give(&mut self, slot: u16, work: Work, request: &[u8]) -> Result<bool, Work> {
        if self.over {
            return Err(work);
        }
        self.given[usize::from(slot)] = Some(work);
        // Each slot has one request under way, and there are fewer than entries.
        self.ring.push(request);
        Ok(self.ring.publish())
    }

    /// Takes what is done.
    fn take(&mut self) -> Result<Option<(u16, Work, i16)>, Nonsense> {
        if self.over {
            return Ok(None);
        }
        let response = self.ring.take::<{ disk::RESPONSE }>();
        let Some(response) = response.map_err(|_| Nonsense)? else {
            return Ok(None);
        };
        let number = u64::from_le_bytes(*response.first_chunk().ok_or(Nonsense)?);
        let slot = u16::try_from(number).map_err(|_| Nonsense)?;
        let given = self.given.get_mut(usize::from(slot)).ok_or(Nonsense)?;
        let work = given.take().ok_or(Nonsense)?;
        let status = i16::from_le_bytes([response[10], response[11]]);
        Ok(Some((slot, work, status)))
    }

    /// What has a free slot next; the slot is free if there is nothing.
    fn next(&mut self, slot: u16) -> Option<Work> {
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.free.push(slot);
        }
        next
    }

    /// All that is under way or waits.
    fn drain(&mut self) -> Vec<Work> {
        let given = self.given.iter_mut().filter_map(Option::take);
        given.chain(self.waiting.drain(..)).collect()
    }
}

/// The disk.
#[derive(Debug)]
pub(crate) struct Blkfront {
    place: Place,
    channel: Channel,
    desk: Lock<Desk>,
    slots: Vec<Pages>,
    shape: Shape,
    flushes: bool,
    discards: bool,
}

/// What the disk is, of what the back end says: sectors are counted in units.
fn shape_of(units: u64, sector_size: u32, info: u32) -> Option<Shape> {
    let possible =
        sector_size.is_power_of_two() && (disk::UNIT as u32..=LARGEST).contains(&sector_size);
    let bytes = units.checked_mul(disk::UNIT as u64)?;
    let sectors = bytes.checked_div(sector_size.into())?;
    (possible && sectors > 0).then_some(Shape {
        sector_size,
        sectors,
        read_only: info & disk::READ_ONLY != 0,
    })
}

impl Blkfront {
    /// Connects to the other end.
    pub(super) fn new(store: &mut Store, place: Place) -> Result<Self, Problem> {
        let page = Page::allocate().ok_or(Problem::Memory)?;
        let ring = grant::share(place.domain, page.address(), true)?;
        let mut slots = Vec::new();
        for _ in 0..SLOTS {
            let mut pages = [(page, 0); PAGES];
            for slot in &mut pages {
                let page = Page::allocate().ok_or(Problem::Memory)?;
                *slot = (page, grant::share(place.domain, page.address(), true)?);
            }
            slots.push(pages);
        }
        let channel = Channel::new(place.domain)?;
        let port = channel.port();
        place.connect(store, state::INITIALISED, |store| {
            place.tell(store, "ring-ref", &format!("{ring}"))?;
            place.tell(store, "event-channel", &format!("{port}"))?;
            place.tell(store, "protocol", disk::PROTOCOL)
        })?;
        let back = |name: &str| format!("{}/{name}", place.backend);
        let units = store.number(&back("sectors"))?;
        let sector_size = store.number(&back("sector-size"))?;
        let info = store.number(&back("info"))?;
        let has = |store: &mut Store, name| store.number(&back(name)) == Ok(1_u32);
        let flushes = has(store, "feature-flush-cache");
        let discards = has(store, "feature-discard");
        let shape = shape_of(units, sector_size, info).ok_or_else(|| {
            let said = format!("{units}, and sector-size {sector_size}");
            Problem::Value("sectors", said)
        })?;
        place.enter(store, state::CONNECTED)?;
        Ok(Self {
            place,
            channel,
            desk: Lock::new(Desk::new(Ring::new(page, disk::REQUEST))),
            slots,
            shape,
            flushes,
            discards,
        })
    }

    fn ask(&self, work: Work) {
        let placed = self.desk.lock().place(work);
        match placed {
            Ok(Some((slot, work))) => self.give(slot, work),
            Ok(None) => {}
            Err(work) => work.over(Err(Errno::IO)),
        }
    }

    /// Hands a request over. Bytes are copied without the lock.
    fn give(&self, slot: u16, work: Work) {
        let pages = &self.slots[usize::from(slot)];
        work.fill(pages);
        let request = work.request(slot, pages);
        let given = self.desk.lock().give(slot, work, &request);
        match given {
            Ok(true) => self.channel.notify(),
            Ok(false) => {}
            Err(work) => work.over(Err(Errno::IO)),
        }
    }

    fn order(&self, operation: u8, first: u64, count: u64) -> Result<(), Errno> {
        let answer = Arc::new(Answer::default());
        self.ask(Work::Order(operation, first, count, answer.clone()));
        answer.wait()
    }

    /// Ends what the other side has done; false when nothing is done any more.
    fn end_done(&self) -> bool {
        loop {
            let taken = self.desk.lock().take();
            match taken {
                Ok(Some((slot, work, status))) => {
                    work.end(status, &self.slots[usize::from(slot)]);
                    let next = self.desk.lock().next(slot);
                    if let Some(next) = next {
                        self.give(slot, next);
                    }
                }
                Ok(None) => break,
                Err(Nonsense) => {
                    let path = &self.place.path;
                    crate::say!(
                        "rumprun: {path}: its back end answers what was not asked; the disk is \
                         not used any more"
                    );
                    self.desk.lock().over = true;
                }
            }
        }
        let over = self.desk.lock().over;
        if over {
            let rest = self.desk.lock().drain();
            rest.into_iter().for_each(|work| work.over(Err(Errno::IO)));
        }
        !over
    }
}

impl Front for Blkfront {
    fn place(&self) -> &Place {
        &self.place
    }

    fn gone(&self) {
        self.desk.lock().over = true;
        self.channel.line().fire();
    }
}

impl Backend for Blkfront {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn start(&self, transfer: Transfer) {
        for piece in transfer.pieces(PAGES * PAGE) {
            self.ask(Work::Piece(piece));
        }
    }

    fn flush(&self) -> Result<(), Errno> {
        if !self.flushes {
            return Ok(());
        }
        self.order(disk::FLUSH, 0, 0)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<(), Errno> {
        if !self.discards {
            return Err(Errno::OPNOTSUPP);
        }
        let unit = disk::UNIT as u64;
        self.order(disk::DISCARD, offset / unit, len / unit)
    }

    fn serve(&self) {
        while self.end_done() {
            let waiting = self.desk.lock().ring.ask();
            if !waiting {
                self.channel.line().wait(None);
            }
        }
    }
}

// A slot's pages are those of a request, and each slot has an entry of the ring.
const _: () = assert!(PAGES <= disk::SEGMENTS && SLOTS <= 32);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::transfer::tests::{TOLD, transfer};
    use crate::xen::abi::ring::{ENTRIES, RESPONSE_PRODUCER};
    use proptest::prelude::*;
    use std::vec;

    fn pages() -> Pages {
        core::array::from_fn(|at| (Page::for_test(), 100 + at as u32))
    }

    fn pieces(write: bool, data: &mut [u8], offset: u64, number: usize) -> Vec<Work> {
        let pieces = transfer(write, data, offset, number).pieces(PAGES * PAGE);
        pieces.map(Work::Piece).collect()
    }

    #[test]
    fn requests_are_as_the_header_says() {
        let mut data = vec![7; 9216];
        let pages = pages();
        let works = pieces(true, &mut data, 1 << 20, 1);
        assert_eq!(works.len(), 1);
        works[0].fill(&pages);
        let request = works[0].request(5, &pages);
        // Write, three segments, number 5, unit 2048.
        assert_eq!(
            request[..16],
            [1, 3, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(request[16..24], 2048_u64.to_le_bytes());
        assert_eq!(request[24..32], [100, 0, 0, 0, 0, 7, 0, 0]);
        assert_eq!(request[40..48], [102, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(request[48..], [0; 64]);
        let mut byte = [0; 2];
        pages[2].0.read(1023, &mut byte);
        assert_eq!(byte, [7, 0]);
        let order = Work::Order(disk::DISCARD, 8, 16, Arc::default());
        let request = order.request(1, &pages);
        assert_eq!(
            (request[0], request[1], request[16], request[24]),
            (5, 0, 8, 16)
        );
    }

    #[test]
    fn disks_that_cannot_be_are_refused() {
        let shape = shape_of(4096, 4096, 4).unwrap();
        assert_eq!((shape.sectors, shape.read_only), (512, true));
        for (units, size) in [
            (0, 512),
            (7, 4096),
            (8, 0),
            (8, 256),
            (8, 513),
            (64, 8192),
            (u64::MAX, 512),
        ] {
            assert_eq!(shape_of(units, size, 0), None, "{units} {size}");
        }
    }

    #[test]
    fn what_is_read_arrives_and_what_finds_no_slot_waits() {
        let page = Page::for_test();
        let mut desk = Desk::new(Ring::new(page, disk::REQUEST));
        let pages = pages();
        let mut data = vec![0; 20 * PAGES * PAGE];
        let mut given = 0;
        for work in pieces(false, &mut data, 0, 9) {
            if let Some((slot, work)) = desk.place(work).unwrap() {
                let request = work.request(slot, &pages);
                assert!(desk.give(slot, work, &request).is_ok());
                given += 1;
            }
        }
        assert_eq!((given, desk.waiting.len()), (16, 4));
        let mut answered = 0;
        while TOLD.with_borrow(Vec::is_empty) {
            // The other side answers the request that it sees there.
            let entry = ENTRIES + disk::REQUEST * (answered as usize % 32);
            pages[3].0.write(8, &[answered as u8 + 1]);
            page.write(entry, &{
                let mut request = [0; 16];
                page.read(entry, &mut request);
                let mut response = [0; 12];
                response[..8].copy_from_slice(&request[8..]);
                response
            });
            answered += 1;
            page.u32(RESPONSE_PRODUCER)
                .store(answered, Ordering::Relaxed);
            let (slot, work, status) = desk.take().unwrap().unwrap();
            work.end(status, &pages);
            if let Some(next) = desk.next(slot) {
                let request = next.request(slot, &pages);
                assert!(desk.give(slot, next, &request).is_ok());
            }
        }
        assert_eq!((answered, TOLD.take()), (20, vec![(9, 0)]));
        assert_eq!(desk.free.len(), 16);
        for turn in 0..20 {
            assert_eq!(data[turn * PAGES * PAGE + 3 * PAGE + 8], turn as u8 + 1);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever the other domain answers, each transfer is told once.
        #[test]
        fn responses_do_no_harm(
            responses in prop::collection::vec((0_u64..20, any::<[u8; 4]>()), 32),
            claimed in 0_u32..40,
        ) {
            TOLD.take();
            let page = Page::for_test();
            let mut desk = Desk::new(Ring::new(page, disk::REQUEST));
            let (pages, mut data) = (pages(), vec![0; 16 * 512]);
            for (number, data) in data.chunks_mut(512).enumerate() {
                for work in pieces(false, data, 0, number) {
                    let (slot, work) = desk.place(work).unwrap().unwrap();
                    let request = work.request(slot, &pages);
                    prop_assert!(desk.give(slot, work, &request).is_ok());
                }
            }
            for (at, (number, rest)) in responses.iter().enumerate() {
                page.write(ENTRIES + disk::REQUEST * at, &number.to_le_bytes());
                page.write(ENTRIES + disk::REQUEST * at + 8, rest);
            }
            page.u32(RESPONSE_PRODUCER).store(claimed, Ordering::Relaxed);
            let mut taken = 0;
            while let Ok(Some((slot, work, status))) = desk.take() {
                work.end(status, &pages);
                prop_assert!(desk.next(slot).is_none());
                taken += 1;
            }
            prop_assert!(taken <= claimed as usize);
            prop_assert_eq!(TOLD.with_borrow(Vec::len), taken);
            desk.over = true;
            desk.drain().into_iter().for_each(|work| work.over(Err(Errno::IO)));
            let mut told: Vec<_> = TOLD.take().into_iter().map(|(number, _)| number).collect();
            told.sort_unstable();
            prop_assert_eq!(told, (0..16).collect::<Vec<_>>());
        }
    }
}
