//! Front ends without sense, and one with: the whole queue, over a ring in memory, pages in
//! memory and a disk in memory whose transfers end late and in any order.

use super::super::abi::disk;
use super::super::abi::ring::{ENTRIES, REQUEST_PRODUCER, RESPONSE_PRODUCER};
use super::super::back_ring::BackRing;
use super::super::foreign::Granted;
use super::super::page::Page;
use super::super::ring::Ring;
use super::desk::Desk;
use super::done::Done;
use super::errands::Errands;
use super::memory::Pool;
use super::pages::Pages;
use super::request::tests::{request, segment};
use crate::block::Shape;
use crate::block::medium::{Medium, Request};
use crate::memory::PAGE;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use rump_hyper::errno::Errno;
use std::sync::Mutex;

/// Pages that are granted: those of numbers below this.
const GRANTED: usize = PARTS * EACH;
/// Units of the disk.
const UNITS: usize = PARTS * 128;
/// Ranges of the disk, and pages of each.
const PARTS: usize = 24;
const EACH: usize = 11;

/// A front end's memory.
#[derive(Clone)]
struct Granting(Arc<Mutex<Vec<u8>>>);

impl Granting {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(vec![0; GRANTED * PAGE])))
    }

    /// Where a copy is, if there is such a grant. All are inside a page.
    fn at(at: Granted, len: usize) -> Option<core::ops::Range<usize>> {
        let (grant, offset) = (at.grant as usize, usize::from(at.offset));
        assert!(len > 0 && offset + len <= PAGE);
        let start = grant * PAGE + offset;
        (grant < GRANTED).then_some(start..start + len)
    }
}

impl Pages for Granting {
    fn take(&mut self, copies: Vec<(usize, Granted, &mut [u8])>, failed: &mut dyn FnMut(usize)) {
        let memory = self.0.lock().unwrap();
        for (number, from, to) in copies {
            match Self::at(from, to.len()) {
                Some(range) => to.copy_from_slice(&memory[range]),
                None => failed(number),
            }
        }
    }

    fn put(&mut self, copies: Vec<(usize, Granted, &[u8])>, failed: &mut dyn FnMut(usize)) {
        let mut memory = self.0.lock().unwrap();
        for (number, to, from) in copies {
            match Self::at(to, from.len()) {
                Some(range) => memory[range].copy_from_slice(from),
                None => failed(number),
            }
        }
    }
}

/// A disk whose transfers end when it is told so.
struct Slow {
    shape: Shape,
    bytes: Mutex<Vec<u8>>,
    waiting: Mutex<Vec<Box<dyn Request>>>,
    flushes: AtomicUsize,
}

impl Slow {
    fn new(sector_size: u32, read_only: bool) -> Arc<Self> {
        let bytes = (0..UNITS * disk::UNIT).map(|at| (at % 251) as u8);
        Arc::new(Self {
            shape: Shape {
                sector_size,
                sectors: (UNITS * disk::UNIT) as u64 / u64::from(sector_size),
                read_only,
            },
            bytes: Mutex::new(bytes.collect()),
            waiting: Mutex::default(),
            flushes: AtomicUsize::new(0),
        })
    }

    fn waits(&self) -> usize {
        self.waiting.lock().unwrap().len()
    }

    /// Ends one of those that wait.
    fn end(&self, which: usize, fails: bool) {
        let mut request = self.waiting.lock().unwrap().swap_remove(which);
        let start = request.offset() as usize;
        let write = request.is_write();
        let memory = request.memory();
        let mut bytes = self.bytes.lock().unwrap();
        // All are inside.
        let place = &mut bytes[start..start + memory.len()];
        if !fails && write {
            place.copy_from_slice(memory);
        } else if !fails {
            memory.copy_from_slice(place);
        }
        drop(bytes);
        request.done(if fails { Err(Errno::IO) } else { Ok(()) });
    }
}

impl Medium for Slow {
    fn shape(&self) -> Shape {
        self.shape
    }
    fn has_cache(&self) -> bool {
        true
    }
    fn enter(&self) {}
    fn leave(&self) {}

    fn start(&self, requests: Vec<Box<dyn Request>>) {
        let sector = self.shape.sector_size as usize;
        for mut request in requests {
            let offset = request.offset() as usize;
            let memory = request.memory();
            assert!(!memory.is_empty() && memory.len().is_multiple_of(sector));
            assert!(offset.is_multiple_of(sector));
            assert!(offset + memory.len() <= UNITS * disk::UNIT);
            assert!(!(request.is_write() && self.shape.read_only));
            self.waiting.lock().unwrap().push(request);
        }
    }

    fn flush(&self) -> Result<(), Errno> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn discard(&self, offset: u64, len: u64) -> Result<(), Errno> {
        assert!(!self.shape.read_only && len > 0);
        assert!(offset + len <= (UNITS * disk::UNIT) as u64);
        Err(Errno::OPNOTSUPP)
    }
}

/// A queue, and what is at its ends.
struct Bench {
    desk: Desk<Granting>,
    disk: Arc<Slow>,
    errands: Arc<Errands>,
    memory: Granting,
}

impl Bench {
    fn new(pages: &[Page], disk: Arc<Slow>) -> Self {
        let (done, errands) = (Arc::new(Done::new(None)), Arc::new(Errands::new()));
        let memory = Granting::new();
        let ring = BackRing::over(pages.to_vec(), disk::REQUEST);
        let below = (disk.clone() as _, Pool::new("/dev/slow").unwrap());
        let desk = Desk::new(ring, memory.clone(), below, done, errands.clone());
        Self {
            desk,
            disk,
            errands,
            memory,
        }
    }

    /// Ends all that is under way.
    fn settle(&mut self) {
        loop {
            while self.disk.waits() > 0 {
                self.disk.end(0, false);
            }
            self.errands.run(&*self.disk);
            if !self.desk.finish() {
                break;
            }
        }
        assert!(self.desk.is_idle());
    }
}

/// Numbers at random, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % below as u64) as usize
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.roll(256) as u8);
    }
}

/// A request that is nearly right.
fn nearly(dice: &mut Dice, memory: &Granting) -> [u8; disk::REQUEST] {
    let unit = |dice: &mut Dice| {
        let (from, to) = (dice.roll(8) as u8, dice.roll(8) as u8);
        let (from, to) = [(from, to), (0, 7)][usize::from(dice.roll(4) > 0)];
        // Of those behind the last some are none.
        let to = if dice.roll(50) == 0 { to + 8 } else { to };
        ((dice.roll(GRANTED + 4)) as u32, from, to)
    };
    let count = [dice.roll(12), 1][usize::from(dice.roll(2) == 0)];
    let segments: Vec<_> = (0..count).map(|_| unit(dice)).collect();
    let operation = [0, 1, 0, 1, 6, 6, 5, 3, dice.roll(256) as u8][dice.roll(9)];
    let first = (dice.roll(UNITS + 16) & !7) as u64;
    let none = operation == disk::FLUSH && dice.roll(4) > 0;
    let segments = if none { &[][..] } else { &segments[..] };
    let mut bytes = request(operation, dice.0, first, segments);
    if operation == disk::INDIRECT {
        let (count, grant) = (dice.roll(70), dice.roll(GRANTED + 1));
        bytes[1] = dice.roll(3) as u8 & 1;
        bytes[2..4].copy_from_slice(&(count as u16).to_le_bytes());
        bytes[28..32].copy_from_slice(&(grant as u32).to_le_bytes());
        let page: Vec<u8> = (0..count).flat_map(|_| segment(&unit(dice))).collect();
        if grant < GRANTED && dice.roll(3) > 0 {
            memory.0.lock().unwrap()[grant * PAGE..][..page.len()].copy_from_slice(&page);
        }
    }
    if operation == disk::DISCARD && dice.roll(2) == 0 {
        bytes[1] = 0;
        let count = (dice.roll(UNITS) & !7) as u64;
        bytes[24..32].copy_from_slice(&count.to_le_bytes());
    }
    bytes
}

/// Writes bytes that may go on in the next page.
fn write(pages: &[Page], at: usize, bytes: &[u8]) {
    for (place, byte) in (at..).zip(bytes) {
        pages[place / PAGE].write(place % PAGE, &[*byte]);
    }
}

/// 100,000 requests that are nearly right or any bytes at all, in rings of one and more pages,
/// with indexes of any value: nothing outside of the disk, the pages and the memory for transfers
/// is asked for, each request is answered once, and a ring that makes no sense is left alone.
#[test]
fn front_ends_without_sense_do_no_harm() {
    let mut dice = Dice(1);
    let (mut requests, mut broken, mut transfers) = (0_usize, 0, 0);
    while requests < 100_000 {
        let sector = [512, 512, 4096][dice.roll(3)];
        let disk = Slow::new(sector, dice.roll(4) == 0);
        let pages: Vec<_> = (0..1 << dice.roll(3)).map(|_| Page::for_test()).collect();
        let slots = 32 * pages.len() as u32;
        let start = [0, u32::MAX - 5, dice.0 as u32][dice.roll(3)];
        pages[0]
            .u32(RESPONSE_PRODUCER)
            .store(start, Ordering::Relaxed);
        pages[0]
            .u32(REQUEST_PRODUCER)
            .store(start, Ordering::Relaxed);
        let mut bench = Bench::new(&pages, disk);
        let mut claimed = start;
        for _ in 0..40 {
            let wild = dice.roll(10) == 0;
            let count = dice.roll(slots as usize / 2) as u32;
            for at in 0..count {
                let mut request = [0; disk::REQUEST];
                if wild {
                    dice.fill(&mut request);
                } else {
                    request = nearly(&mut dice, &bench.memory);
                }
                let slot = (claimed.wrapping_add(at) & (slots - 1)) as usize;
                write(&pages, ENTRIES + slot * disk::REQUEST, &request);
            }
            claimed = match dice.roll(30) {
                0 => dice.0 as u32,
                _ => claimed.wrapping_add(count),
            };
            pages[0]
                .u32(REQUEST_PRODUCER)
                .store(claimed, Ordering::Relaxed);
            let before = pages[0].u32(RESPONSE_PRODUCER).load(Ordering::Relaxed);
            let taken = bench.desk.take();
            if taken.is_err() {
                broken += 1;
                break;
            }
            let _ = bench.desk.ask();
            while bench.disk.waits() > 0 && dice.roll(4) > 0 {
                let which = dice.roll(bench.disk.waits());
                bench.disk.end(which, dice.roll(20) == 0);
                transfers += 1;
            }
            bench.errands.run(&*bench.disk);
            bench.desk.finish();
            bench.desk.publish();
            let after = pages[0].u32(RESPONSE_PRODUCER).load(Ordering::Relaxed);
            requests += after.wrapping_sub(before) as usize;
        }
        bench.settle();
    }
    assert!(broken > 25, "{broken} rings that make no sense");
    assert!(transfers > 12_000, "{transfers} transfers");
}

/// A front end that keeps to the protocol, with more requests than there is memory for: what it
/// has written it reads, each request is answered once and with its number, a flush is answered
/// after the disk has flushed, and what failed is said of that request alone.
#[test]
fn what_is_written_is_read_again() {
    let mut dice = Dice(7);
    let page = Page::for_test();
    let mut front = Ring::new(page, disk::REQUEST);
    let disk = Slow::new(512, false);
    let mut bench = Bench::new(&[page], disk);
    let mut model: Vec<u8> = bench.disk.bytes.lock().unwrap().clone();
    for turn in 0..400_u64 {
        // Ranges of the disk that do not overlap, as the order of requests is free: each has
        // 64 KiB, and pages of its own.
        let mut asked = Vec::new();
        let writes = turn % 2 == 0;
        if writes {
            dice.fill(&mut bench.memory.0.lock().unwrap()[..]);
        }
        for part in 0..PARTS as u64 {
            let count = [EACH, 1 + dice.roll(EACH)][dice.roll(2)];
            let (first, last) = (dice.roll(4) as u8, 4 + dice.roll(4) as u8);
            let segments: Vec<_> = (0..count)
                .map(|at| ((part as usize * EACH + at) as u32, first, last))
                .collect();
            let operation = u8::from(writes);
            let place = part * 128 + dice.roll(41) as u64;
            let len = count * usize::from(last - first + 1) * disk::UNIT;
            front.push(&request(operation, turn << 8 | part, place, &segments));
            asked.push((place as usize * disk::UNIT, len, segments));
        }
        front.push(&request(disk::FLUSH, turn << 8 | 99, 0, &[]));
        front.publish();
        let (mut answers, flushed) = (Vec::new(), bench.disk.flushes.load(Ordering::Relaxed));
        let fails = dice.roll(3 * PARTS);
        while answers.len() <= PARTS {
            bench.desk.take().unwrap();
            if bench.disk.waits() > 0 && dice.roll(3) > 0 {
                let which = dice.roll(bench.disk.waits());
                bench.disk.end(which, answers.len() == fails);
            } else if dice.roll(8) == 0 {
                bench.errands.run(&*bench.disk);
            }
            bench.desk.finish();
            bench.desk.publish();
            while let Ok(Some(answer)) = front.take::<{ disk::RESPONSE }>() {
                let id = u64::from_le_bytes(*answer.first_chunk().unwrap());
                let status = i16::from_le_bytes([answer[10], answer[11]]);
                assert_eq!(id >> 8, turn);
                let operation = if id & 0xff == 99 { 3 } else { u8::from(writes) };
                assert_eq!(answer[8], operation);
                answers.push((id & 0xff, status));
            }
        }
        assert!(bench.desk.is_idle());
        let memory = bench.memory.0.lock().unwrap();
        for (part, (place, len, segments)) in asked.into_iter().enumerate() {
            let found: Vec<_> = answers
                .iter()
                .filter(|(id, _)| *id == part as u64)
                .collect();
            assert_eq!(found.len(), 1);
            if found[0].1 != disk::OKAY {
                assert_eq!(found[0].1, disk::ERROR);
                continue;
            }
            let mut at = place;
            for (grant, first, last) in segments {
                let start = grant as usize * PAGE + usize::from(first) * disk::UNIT;
                let bytes = &memory[start..grant as usize * PAGE + (usize::from(last) + 1) * 512];
                if writes {
                    model[at..at + bytes.len()].copy_from_slice(bytes);
                } else {
                    assert!(
                        model[at..at + bytes.len()] == *bytes,
                        "turn {turn}, part {part}"
                    );
                }
                at += bytes.len();
            }
            assert_eq!(at, place + len);
        }
        assert_eq!(
            answers
                .iter()
                .filter(|(id, status)| *id == 99 && *status == 0)
                .count(),
            1
        );
        assert!(bench.disk.flushes.load(Ordering::Relaxed) > flushed);
        assert!(answers.iter().filter(|(_, status)| *status != 0).count() <= 1);
        drop(memory);
        assert!(*bench.disk.bytes.lock().unwrap() == model, "turn {turn}");
    }
}
