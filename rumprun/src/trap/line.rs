//! Interrupts of devices: a vector of the CPUs' for each, and who sleeps until it comes.
//!
//! The handler only counts and wakes; what is to be done is done by the thread that was
//! woken. Vectors and their counters are there for good, so that an interrupt that comes late
//! finds its counter, whoever has the vector by then: a wake-up too many is harmless.

use crate::cpu::ioapic::{self, Pin};
use crate::sched;
use crate::sync::Lock;
use crate::{cpu, time};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

/// The first vector of a device, and how many there are.
const FIRST: u8 = 0x30;
const MANY: usize = 0xb0;

/// Set in the counter: whoever waits shall stop.
const STOP: u32 = 1 << 31;

static COUNTERS: [AtomicU32; MANY] = [const { AtomicU32::new(0) }; MANY];
/// For lines of level-triggered interrupts: which pin to mask, by [`Pin::number`].
static PINS: [AtomicU32; MANY] = [const { AtomicU32::new(0) }; MANY];
static TAKEN: Lock<[bool; MANY]> = Lock::new([false; MANY]);

/// A vector that is somebody's, until it is dropped. The device has been silenced by then.
#[derive(Debug)]
pub struct Line {
    index: usize,
    /// The CPU that the interrupts go to.
    cpu: u32,
}

impl Line {
    /// A vector, on one CPU after the other; `None` if all are taken.
    pub fn new() -> Option<Self> {
        let mut taken = TAKEN.lock();
        let index = taken.iter().position(|taken| !taken)?;
        taken[index] = true;
        COUNTERS[index].store(0, Ordering::Relaxed);
        let cpu = cpu::data::all().nth(index % cpu::data::count())?;
        Some(Self {
            index,
            cpu: cpu.apic,
        })
    }

    /// Its number.
    pub fn vector(&self) -> u8 {
        FIRST + self.index as u8
    }

    /// Address and value of the message that signals it (Intel SDM volume 3, 11.11): fixed
    /// delivery to one CPU, edge-triggered.
    pub fn message(&self) -> (u64, u32) {
        (
            0xfee0_0000 | u64::from(self.cpu & 0xff) << 12,
            u32::from(self.vector()),
        )
    }

    /// Number of the local APIC that it goes to.
    pub fn apic(&self) -> u32 {
        self.cpu
    }

    fn counter(&self) -> &'static AtomicU32 {
        &COUNTERS[self.index]
    }

    /// Sleeps until there have been interrupts, and tells how many; 0 if there were none in so
    /// much time; `None` when [`stop`](Self::stop) was called.
    pub fn wait(&self, at_most: Option<Duration>) -> Option<u64> {
        let deadline = at_most.map(|time| {
            let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            time::monotonic_ns().saturating_add(ns)
        });
        loop {
            let count = self.counter().swap(0, Ordering::AcqRel);
            if count & STOP != 0 {
                return None;
            }
            if count != 0 {
                return Some(count.into());
            }
            if !sched::park(self.counter(), 0, deadline) {
                return Some(0);
            }
        }
    }

    /// Ends a wait, also one that begins only afterwards.
    pub fn stop(&self) {
        self.counter().fetch_or(STOP, Ordering::AcqRel);
        wake(self.counter());
    }

    /// As if it had come.
    pub fn fire(&self) {
        count(self.counter());
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        PINS[self.index].store(0, Ordering::Release);
        TAKEN.lock()[self.index] = false;
    }
}

fn wake(counter: &'static AtomicU32) {
    sched::unpark(counter.as_ptr().addr() as u64, usize::MAX);
}

fn count(counter: &'static AtomicU32) {
    // It stays below STOP, however long nobody looks.
    let more = |count: u32| {
        let full = count & !STOP == STOP - 1;
        (!full).then_some(count + 1)
    };
    let before = counter.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more);
    if before == Ok(0) {
        wake(counter);
    }
}

/// Has a line be one of a level-triggered pin, which is masked when it comes.
pub(crate) fn level(line: &Line, pin: Pin) {
    PINS[line.index].store(pin.number(), Ordering::Release);
}

/// An interrupt has come. On the stack of interrupts; it is ended afterwards.
pub(crate) fn came(vector: u8) {
    let Some(index) = vector.checked_sub(FIRST).map(usize::from) else {
        return;
    };
    if index < MANY {
        if let Some(pin) = Pin::of_number(PINS[index].load(Ordering::Acquire)) {
            ioapic::mask(pin, true);
        }
        count(&COUNTERS[index]);
    }
}
