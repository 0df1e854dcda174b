//! A split virtqueue: virtio 1.1, 2.6.
//!
//! Memory that the device reads and writes: descriptors, which name buffers; a ring of those
//! that it may use; a ring of those that it has used. What it writes is checked: a number
//! that no buffer has, or one that it does not have at the time, counts for nothing.

use crate::memory::{PAGE, heap};
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

/// In the ring of those that it may use: do not interrupt.
const NO_INTERRUPT: u16 = 1;
/// In the other one: do not tell me.
const NO_NOTIFY: u16 = 1;
/// Of a descriptor: the device writes into it.
const WRITE: u16 = 2;

/// A queue of up to 32768 buffers, each of one piece.
#[derive(Debug)]
pub(crate) struct Queue {
    len: u16,
    /// The three parts, in one piece of memory.
    memory: NonNull<u8>,
    offsets: Offsets,
    /// Numbers of descriptors that name nothing.
    free: Vec<u16>,
    /// What the device has, by number: address and length; 0 if it has not.
    given: Vec<(u64, u32)>,
    next_available: u16,
    next_used: u16,
}

// SAFETY: its memory is its own and the device's.
unsafe impl Send for Queue {}

/// Where the parts begin, and how long all is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offsets {
    available: usize,
    used: usize,
    len: usize,
}

impl Offsets {
    fn of(len: u16) -> Self {
        let len = usize::from(len);
        let available = 16 * len;
        // Flags, index, ring, and a word for events.
        let used = (available + 2 * (3 + len)).next_multiple_of(4);
        Self {
            available,
            used,
            len: used + 2 * 3 + 8 * len,
        }
    }
}

impl Queue {
    /// An empty queue. `len` is a power of two.
    pub(crate) fn new(len: u16) -> Option<Self> {
        let offsets = Offsets::of(len);
        let memory = heap::allocate(offsets.len, PAGE);
        let queue = Self {
            len,
            memory: NonNull::new(memory)?,
            offsets,
            free: (0..len).rev().collect(),
            given: Vec::from_iter((0..len).map(|_| (0, 0))),
            next_available: 0,
            next_used: 0,
        };
        // SAFETY: just allocated.
        unsafe { memory.write_bytes(0, offsets.len) };
        Some(queue)
    }

    /// Where the device finds descriptors, available ring and used ring.
    pub(crate) fn addresses(&self) -> [u64; 3] {
        [0, self.offsets.available, self.offsets.used].map(|offset| self.at(offset).addr() as u64)
    }

    fn at(&self, offset: usize) -> *mut u8 {
        self.memory.as_ptr().wrapping_add(offset)
    }

    // SAFETY of the three: inside the queue's memory, at a multiple of its size, as the
    // callers see to; atomic, as the device reads and writes it, too.
    fn u16(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: as above.
        unsafe { &*self.at(offset).cast() }
    }

    fn u32(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { &*self.at(offset).cast() }
    }

    fn u64(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { &*self.at(offset).cast() }
    }

    /// How many buffers it has room for.
    pub(crate) fn room(&self) -> usize {
        self.free.len()
    }

    /// Gives the device a buffer, of which it is told by [`must_notify`](Self::must_notify).
    /// False if there is no room.
    ///
    /// # Safety
    /// The memory is nobody else's until [`take`](Self::take) brings it back.
    pub(crate) unsafe fn give(&mut self, address: u64, len: u32, write: bool) -> bool {
        let Some(number) = self.free.pop() else {
            return false;
        };
        let descriptor = 16 * usize::from(number);
        self.u64(descriptor).store(address, Ordering::Relaxed);
        self.u32(descriptor + 8).store(len, Ordering::Relaxed);
        let flags = if write { WRITE } else { 0 };
        self.u16(descriptor + 12).store(flags, Ordering::Relaxed);
        self.given[usize::from(number)] = (address, len);
        let slot = usize::from(self.next_available & (self.len - 1));
        self.u16(self.offsets.available + 4 + 2 * slot)
            .store(number, Ordering::Relaxed);
        self.next_available = self.next_available.wrapping_add(1);
        // The device sees all of the above before the index.
        self.u16(self.offsets.available + 2)
            .store(self.next_available, Ordering::Release);
        true
    }

    /// Whether the device wants to be told that it was given something.
    pub(crate) fn must_notify(&self) -> bool {
        // It sets the flag and then looks at the index.
        fence(Ordering::SeqCst);
        self.u16(self.offsets.used).load(Ordering::Relaxed) & NO_NOTIFY == 0
    }

    /// Whether the device has given something back.
    pub(crate) fn is_waiting(&self) -> bool {
        self.u16(self.offsets.used + 2).load(Ordering::Acquire) != self.next_used
    }

    /// Takes a buffer back: its address, its length, and how many bytes the device says that
    /// it wrote, at most the length.
    pub(crate) fn take(&mut self) -> Option<(u64, u32, u32)> {
        while self.is_waiting() {
            let slot = usize::from(self.next_used & (self.len - 1));
            let element = self.offsets.used + 4 + 8 * slot;
            let number = self.u32(element).load(Ordering::Relaxed);
            let written = self.u32(element + 4).load(Ordering::Relaxed);
            self.next_used = self.next_used.wrapping_add(1);
            let Some(given) = self.given.get_mut(number as usize) else {
                continue;
            };
            let (address, len) = core::mem::take(given);
            if address != 0 {
                self.free.push(number as u16);
                return Some((address, len, written.min(len)));
            }
        }
        None
    }

    /// Says whether the device shall interrupt. What it gave back before may not have come
    /// with an interrupt: look again after turning it on.
    pub(crate) fn interrupts(&self, on: bool) {
        let flags = if on { 0 } else { NO_INTERRUPT };
        self.u16(self.offsets.available)
            .store(flags, Ordering::Relaxed);
        if on {
            // It sets the index and then looks at the flag.
            fence(Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays the device: what it writes into the used ring.
    fn used(queue: &Queue, at: u16, number: u32, written: u32) {
        let element = queue.offsets.used + 4 + 8 * usize::from(at & (queue.len - 1));
        queue.u32(element).store(number, Ordering::Relaxed);
        queue.u32(element + 4).store(written, Ordering::Relaxed);
        queue
            .u16(queue.offsets.used + 2)
            .store(at.wrapping_add(1), Ordering::Release);
    }

    #[test]
    fn buffers_come_back_once_and_numbers_are_checked() {
        let _memory = crate::memory::frames::set_up_for_tests(256);
        let mut queue = Queue::new(4).unwrap();
        for address in 1..=4 {
            // SAFETY: nothing touches it.
            assert!(unsafe { queue.give(address * 4096, 100, true) });
        }
        // SAFETY: as above.
        assert!(!unsafe { queue.give(9 * 4096, 1, true) });
        assert_eq!(queue.take(), None);
        let available = queue.offsets.available;
        assert_eq!(queue.u16(available + 2).load(Ordering::Relaxed), 4);
        used(&queue, 0, 2, 1000);
        used(&queue, 1, 77, 1);
        used(&queue, 2, 2, 1);
        used(&queue, 3, 0, 60);
        // The third was given first: numbers go from 0 on.
        assert_eq!(queue.take(), Some((3 * 4096, 100, 100)));
        assert_eq!(queue.take(), Some((4096, 100, 60)));
        assert_eq!(queue.take(), None);
        assert_eq!(queue.room(), 2);
        for turn in 4..70_000_u32 {
            // SAFETY: as above.
            assert!(unsafe { queue.give(4096, 100, false) });
            let slot = usize::from((turn as u16) & 3);
            let number = queue.u16(available + 4 + 2 * slot).load(Ordering::Relaxed);
            used(&queue, turn as u16, number.into(), 0);
            assert_eq!(queue.take(), Some((4096, 100, 0)), "{turn}");
        }
    }
}
