//! A disk of Xen's (io/blkif.h): the front end, behind a disk of the kernel's.
//!
//! One ring, one event channel, slots, and pages that are granted once and copied from and to, so
//! that the other domain never reaches memory of the kernel's or the program's, and what it does
//! to a page afterwards does not matter. What a back end of ours reads and writes for another domain
//! is in pages that are for that alone ([`memory`](super::blkback::memory)): they are granted as they
//! are, once, too. The other domain may keep all of them mapped (`feature-persistent`): to map
//! and unmap them for each request costs a back end more than what else it does.
//!
//! A slot has one request under way, with as many pages as that needs; a request of more than 11
//! has a page with the list of them (`feature-max-indirect-segments`). Pieces of transfers that
//! find no slot, or too few pages, wait in a queue.
//!
//! Responses are checked: a number that no slot has, or whose slot has nothing under way, ends
//! the disk ([`Desk`]): all that is under way, and all that comes, fails with `EIO`.
//!
//! A back end that announces no cache that can be flushed has none, so that a flush has
//! nothing to do there.

use super::abi::{disk, state};
use super::blkback::memory;
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
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use rump_hyper::errno::Errno;

/// Requests under way at most.
const SLOTS: u16 = 16;
/// Pages of a request at most, and of all that are under way: with a list of them, and without.
const LISTED: [usize; 2] = [64, 256];
const UNLISTED: [usize; 2] = [disk::SEGMENTS, 128];
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
    /// To read or write; if it is in pages that are granted as they are, their grants.
    Piece(Piece, Option<Vec<u32>>),
    /// Another operation, on so many units from one on.
    Order(u8, u64, u64, Arc<Answer>),
}

/// A page, with the number of its grant.
type Granted = (Page, u32);

/// Where a request is: a slot, and its pages.
#[derive(Debug)]
struct Room {
    slot: u16,
    pages: Vec<Granted>,
}

impl Work {
    /// How many pages it needs.
    fn pages(&self) -> usize {
        match self {
            Self::Piece(piece, None) => piece.len().div_ceil(PAGE),
            Self::Piece(_, Some(_)) | Self::Order(..) => 0,
        }
    }

    /// The request for it. `lists` has a page for each slot, if the back end reads such.
    fn request(&self, room: &Room, lists: &[Granted]) -> [u8; disk::REQUEST] {
        let mut request = [0; disk::REQUEST];
        request[8..10].copy_from_slice(&room.slot.to_le_bytes());
        let first = match self {
            Self::Piece(piece, lent) => {
                let operation = if piece.is_write() {
                    disk::WRITE
                } else {
                    disk::READ
                };
                let granted = || room.pages.iter().map(|(_, grant)| *grant).collect();
                let grants = lent.clone().unwrap_or_else(granted);
                let used = grants.len();
                let segments = grants.into_iter().enumerate().map(|(at, grant)| {
                    let bytes = (piece.len() - at * PAGE).min(PAGE);
                    let mut segment = [0; disk::SEGMENT];
                    segment[..4].copy_from_slice(&grant.to_le_bytes());
                    // The first unit of the page, and the last.
                    segment[5] = (bytes / disk::UNIT - 1) as u8;
                    (disk::SEGMENT * at, segment)
                });
                if used <= disk::SEGMENTS {
                    (request[0], request[1]) = (operation, used as u8);
                    for (at, segment) in segments {
                        request[24 + at..][..disk::SEGMENT].copy_from_slice(&segment);
                    }
                } else {
                    let (list, grant) = lists[usize::from(room.slot)];
                    segments.for_each(|(at, segment)| list.write(at, &segment));
                    (request[0], request[1]) = (disk::INDIRECT, operation);
                    request[2..4].copy_from_slice(&(used as u16).to_le_bytes());
                    request[28..32].copy_from_slice(&grant.to_le_bytes());
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
    fn fill(&self, pages: &[Granted]) {
        if let Self::Piece(piece, None) = self
            && piece.is_write()
        {
            for (bytes, (page, _)) in piece.bytes().chunks(PAGE).zip(pages) {
                page.write(0, bytes);
            }
        }
    }

    /// It is done: takes what was read from the pages.
    fn end(mut self, status: i16, pages: &[Granted]) {
        if status == disk::OKAY
            && let Self::Piece(piece, None) = &mut self
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
            (Self::Piece(piece, _), Err(errno)) => piece.fail(errno),
            (Self::Piece(..), Ok(())) => {}
        }
    }
}

/// The ring, and what each slot has under way.
#[derive(Debug)]
struct Desk {
    ring: Ring,
    free: Vec<u16>,
    pages: Vec<Granted>,
    given: Vec<Option<(Room, Work)>>,
    waiting: VecDeque<Work>,
    /// There is no other end any more, or none that is believed.
    over: bool,
}

impl Desk {
    /// One whose requests have these pages.
    fn new(ring: Ring, pages: Vec<Granted>) -> Self {
        Self {
            ring,
            free: (0..SLOTS).rev().collect(),
            pages,
            given: (0..SLOTS).map(|_| None).collect(),
            waiting: VecDeque::new(),
            over: false,
        }
    }

    /// Takes something to do; `Err` if nothing is done any more. What [`next`](Self::next) has
    /// is to be handed over.
    fn place(&mut self, work: Work) -> Result<(), Work> {
        if self.over {
            return Err(work);
        }
        self.waiting.push_back(work);
        Ok(())
    }

    /// What is to be handed over next, in the order in which it came, and the room for it;
    /// `None` if there is nothing, or no room.
    fn next(&mut self) -> Option<(Room, Work)> {
        let left = self
            .pages
            .len()
            .checked_sub(self.waiting.front()?.pages())?;
        let slot = self.free.pop()?;
        let pages = self.pages.split_off(left);
        let work = self.waiting.pop_front()?;
        Some((Room { slot, pages }, work))
    }

    /// Hands a request over; whether the other side wants to be told. `Err` if nothing is done
    /// any more.
    fn give(&mut self, room: Room, work: Work, request: &[u8]) -> Result<bool, Work> {
        if self.over {
            return Err(work);
        }
        let slot = usize::from(room.slot);
        self.given[slot] = Some((room, work));
        // Each slot has one request under way, and there are fewer than entries.
        self.ring.push(request);
        Ok(self.ring.publish())
    }

    /// Takes what is done.
    fn take(&mut self) -> Result<Option<(Room, Work, i16)>, Nonsense> {
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
        let (room, work) = given.take().ok_or(Nonsense)?;
        let status = i16::from_le_bytes([response[10], response[11]]);
        Ok(Some((room, work, status)))
    }

    /// Takes room back.
    fn put(&mut self, room: Room) {
        self.free.push(room.slot);
        self.pages.extend(room.pages);
    }

    /// All that is under way or waits.
    fn drain(&mut self) -> Vec<Work> {
        let given = self.given.iter_mut().filter_map(Option::take);
        let given = given.map(|(_, work)| work);
        given.chain(self.waiting.drain(..)).collect()
    }
}

/// The disk.
#[derive(Debug)]
pub(crate) struct Blkfront {
    place: Place,
    channel: Channel,
    desk: Lock<Desk>,
    /// Grants of what is granted as it is, by its address.
    lent: Lock<BTreeMap<usize, u32>>,
    /// A page for the list of each slot, or none.
    lists: Vec<Granted>,
    /// Bytes of a request at most.
    most: usize,
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
        let channel = Channel::new(place.domain)?;
        let port = channel.port();
        place.connect(store, state::INITIALISED, |store| {
            place.tell(store, "ring-ref", &format!("{ring}"))?;
            place.tell(store, "event-channel", &format!("{port}"))?;
            place.tell(store, "feature-persistent", "1")?;
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
        let listed = store.number(&back("feature-max-indirect-segments"));
        let listed = listed.map_or(0, |most: u32| most as usize);
        let [most, all] = if listed > disk::SEGMENTS {
            [listed.min(LISTED[0]), LISTED[1]]
        } else {
            UNLISTED
        };
        let grant = || -> Result<Granted, Problem> {
            let page = Page::allocate().ok_or(Problem::Memory)?;
            Ok((page, grant::share(place.domain, page.address(), true)?))
        };
        let pages = (0..all).map(|_| grant()).collect::<Result<_, _>>()?;
        let lists = if most > disk::SEGMENTS { SLOTS } else { 0 };
        let lists = (0..lists).map(|_| grant()).collect::<Result<_, _>>()?;
        place.enter(store, state::CONNECTED)?;
        Ok(Self {
            place,
            channel,
            desk: Lock::new(Desk::new(Ring::new(page, disk::REQUEST), pages)),
            lent: Lock::new(BTreeMap::new()),
            lists,
            most: most * PAGE,
            shape,
            flushes,
            discards,
        })
    }

    fn ask(&self, work: Work) {
        let placed = self.desk.lock().place(work);
        match placed {
            Ok(()) => self.give(),
            Err(work) => work.over(Err(Errno::IO)),
        }
    }

    /// The pages of a piece, if they may be granted as they are.
    fn lend(&self, piece: &Piece) -> Option<Vec<u32>> {
        let (start, len) = (piece.address(), piece.len());
        if !start.is_multiple_of(PAGE) || !memory::lasts(start, len) {
            return None;
        }
        let pages = (start..start + len).step_by(PAGE);
        pages.map(|address| self.lend_page(address)).collect()
    }

    fn lend_page(&self, address: usize) -> Option<u32> {
        let lent = self.lent.lock().get(&address).copied();
        lent.or_else(|| {
            let grant = grant::share(self.place.domain, address as u64, true).ok()?;
            self.lent.lock().insert(address, grant);
            Some(grant)
        })
    }

    /// Hands over what there is room for. Bytes are copied without the lock.
    fn give(&self) {
        let next = || self.desk.lock().next();
        while let Some((room, work)) = next() {
            work.fill(&room.pages);
            let request = work.request(&room, &self.lists);
            let given = self.desk.lock().give(room, work, &request);
            match given {
                Ok(true) => self.channel.notify(),
                Ok(false) => {}
                Err(work) => work.over(Err(Errno::IO)),
            }
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
                Ok(Some((room, work, status))) => {
                    work.end(status, &room.pages);
                    self.desk.lock().put(room);
                    self.give();
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
        for piece in transfer.pieces(self.most) {
            let lent = self.lend(&piece);
            self.ask(Work::Piece(piece, lent));
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

// A list is in a page, a request finds its pages when all are free, and each slot has an entry of
// the ring.
const _: () = assert!(LISTED[0] * disk::SEGMENT <= PAGE && LISTED[0] <= LISTED[1]);
const _: () = assert!(UNLISTED[0] <= UNLISTED[1] && SLOTS <= 32);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::transfer::tests::{TOLD, transfer};
    use crate::xen::abi::ring::{ENTRIES, RESPONSE_PRODUCER};
    use proptest::prelude::*;
    use std::vec;

    fn granted(first: u32, count: u32) -> Vec<Granted> {
        let page = |number| (Page::for_test(), number);
        (first..first + count).map(page).collect()
    }

    fn desk(page: Page, pages: &[Granted]) -> Desk {
        Desk::new(Ring::new(page, disk::REQUEST), pages.to_vec())
    }

    /// As many slots as there are, each with so many pages.
    const EACH: usize = 8;

    fn pieces(write: bool, data: &mut [u8], offset: u64, number: usize) -> Vec<Work> {
        let pieces = transfer(write, data, offset, number).pieces(EACH * PAGE);
        pieces.map(|piece| Work::Piece(piece, None)).collect()
    }

    #[test]
    fn requests_are_as_the_header_says() {
        let mut data = vec![7; 9216];
        let pages = granted(100, 3);
        let works = pieces(true, &mut data, 1 << 20, 1);
        assert_eq!(works.len(), 1);
        works[0].fill(&pages);
        let room = Room { slot: 5, pages };
        let request = works[0].request(&room, &[]);
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
        room.pages[2].0.read(1023, &mut byte);
        assert_eq!(byte, [7, 0]);
        let order = Work::Order(disk::DISCARD, 8, 16, Arc::default());
        let none = Room {
            slot: 1,
            pages: Vec::new(),
        };
        let request = order.request(&none, &[]);
        assert_eq!(
            (request[0], request[1], request[16], request[24]),
            (5, 0, 8, 16)
        );
    }

    #[test]
    fn a_long_request_has_a_page_with_the_list_of_its_pages() {
        let mut data = vec![7; 64 * PAGE - 512];
        let work = transfer(true, &mut data, 1 << 20, 1).pieces(LISTED[0] * PAGE);
        let works: Vec<_> = work.map(|piece| Work::Piece(piece, None)).collect();
        assert_eq!((works.len(), works[0].pages()), (1, 64));
        let (pages, lists) = (granted(100, 64), granted(7, 2));
        let request = works[0].request(&Room { slot: 1, pages }, &lists);
        // A list, write, 64 segments, number 1, unit 2048; the grant of the list.
        assert_eq!(
            request[..16],
            [6, 1, 64, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(request[16..24], 2048_u64.to_le_bytes());
        assert_eq!(request[24..32], [0, 0, 0, 0, 8, 0, 0, 0]);
        assert_eq!(request[32..], [0; 80]);
        let mut list = [0; PAGE];
        lists[1].0.read(0, &mut list);
        assert_eq!(
            list[..16],
            [100, 0, 0, 0, 0, 7, 0, 0, 101, 0, 0, 0, 0, 7, 0, 0]
        );
        assert_eq!(
            list[63 * 8..][..16],
            [163, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        works.into_iter().for_each(|work| work.over(Ok(())));
        TOLD.take();
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
        let pages = granted(100, 16 * EACH as u32);
        let mut desk = desk(page, &pages);
        let mut data = vec![0; 20 * EACH * PAGE];
        for work in pieces(false, &mut data, 0, 9) {
            desk.place(work).unwrap();
        }
        let mut given = 0;
        let mut answered = 0;
        while TOLD.with_borrow(Vec::is_empty) {
            while let Some((room, work)) = desk.next() {
                let request = work.request(&room, &[]);
                assert!(desk.give(room, work, &request).is_ok());
                given += 1;
            }
            assert_eq!((given, desk.waiting.len()), {
                let given = (16 + answered as usize).min(20);
                (given, 20 - given)
            });
            // The other side answers the request that it sees there.
            let entry = ENTRIES + disk::REQUEST * (answered as usize % 32);
            let mut request = [0; disk::REQUEST];
            page.read(entry, &mut request);
            let grant = u32::from_le_bytes(*request[24 + 3 * 8..].first_chunk().unwrap());
            pages[grant as usize - 100]
                .0
                .write(8, &[answered as u8 + 1]);
            page.write(entry, &{
                let mut response = [0; 12];
                response[..8].copy_from_slice(&request[8..16]);
                response
            });
            answered += 1;
            page.u32(RESPONSE_PRODUCER)
                .store(answered, Ordering::Relaxed);
            let (room, work, status) = desk.take().unwrap().unwrap();
            work.end(status, &room.pages);
            desk.put(room);
        }
        assert_eq!((answered, TOLD.take()), (20, vec![(9, 0)]));
        assert_eq!((desk.free.len(), desk.pages.len()), (16, pages.len()));
        for turn in 0..20 {
            assert_eq!(data[turn * EACH * PAGE + 3 * PAGE + 8], turn as u8 + 1);
        }
    }

    #[test]
    fn what_finds_too_few_pages_waits_and_nothing_goes_past_it() {
        let mut desk = desk(Page::for_test(), &granted(100, 10));
        let mut data = vec![0; 20 * PAGE];
        let (first, rest) = data.split_at_mut(8 * PAGE);
        let (second, third) = rest.split_at_mut(3 * PAGE);
        for (number, data) in [first, second, third].into_iter().enumerate() {
            let all = pieces(false, data, 0, number);
            all.into_iter().for_each(|work| desk.place(work).unwrap());
        }
        // A flush needs a slot alone, but has its turn.
        let order = Work::Order(disk::FLUSH, 0, 0, Arc::default());
        desk.place(order).unwrap();
        let (room, work) = desk.next().unwrap();
        assert_eq!((room.pages.len(), desk.pages.len()), (8, 2));
        assert!(desk.next().is_none());
        work.end(disk::OKAY, &room.pages);
        desk.put(room);
        assert_eq!(TOLD.take(), [(0, 0)]);
        let (second, _) = desk.next().unwrap();
        assert!(desk.next().is_none());
        desk.put(second);
        let counts: Vec<_> = core::iter::from_fn(|| desk.next())
            .map(|(room, _)| room.pages.len())
            .collect();
        assert_eq!(counts, [8, 1, 0]);
        TOLD.take();
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
            let mut desk = desk(page, &granted(100, 16));
            let mut data = vec![0; 16 * 512];
            for (number, data) in data.chunks_mut(512).enumerate() {
                for work in pieces(false, data, 0, number) {
                    prop_assert!(desk.place(work).is_ok());
                    let (room, work) = desk.next().unwrap();
                    let request = work.request(&room, &[]);
                    prop_assert!(desk.give(room, work, &request).is_ok());
                }
            }
            for (at, (number, rest)) in responses.iter().enumerate() {
                page.write(ENTRIES + disk::REQUEST * at, &number.to_le_bytes());
                page.write(ENTRIES + disk::REQUEST * at + 8, rest);
            }
            page.u32(RESPONSE_PRODUCER).store(claimed, Ordering::Relaxed);
            let mut taken = 0;
            while let Ok(Some((room, work, status))) = desk.take() {
                work.end(status, &room.pages);
                desk.put(room);
                prop_assert!(desk.next().is_none());
                taken += 1;
            }
            prop_assert_eq!((desk.free.len(), desk.pages.len()), (taken, taken));
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
