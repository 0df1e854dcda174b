//! Addresses behind all memory, at which there is nothing: for pages of other machines that are to
//! be seen here. They are in the page tables from when they are taken first.
//!
//! Nothing is taken from this machine's memory for that, and nothing that a device may be writing
//! to is touched.

use super::tables::{NO_EXECUTE, PRESENT, TABLES, WRITE};
use super::{PAGE64, frames};
use crate::sync::Lock;
use alloc::vec::Vec;
use core::arch::x86_64::__cpuid;

/// They begin here, or behind the memory: below are devices.
const START: u64 = 4 << 30;

struct Vacant {
    next: u64,
    /// Runs that were given back, and how many pages each has.
    free: Vec<(u64, usize)>,
}

static VACANT: Lock<Vacant> = Lock::new(Vacant {
    next: START,
    free: Vec::new(),
});

/// The address behind the last that there is.
fn end() -> u64 {
    let bits = __cpuid(0x8000_0008).eax & 0xff;
    1_u64.checked_shl(bits).unwrap_or(u64::MAX)
}

/// So many pages that follow each other; `None` if there are no addresses, or no page tables.
pub(crate) fn take(pages: usize) -> Option<u64> {
    let mut vacant = VACANT.lock();
    let found = vacant.free.iter().position(|(_, other)| *other == pages);
    if let Some(at) = found {
        return Some(vacant.free.swap_remove(at).0);
    }
    let start = vacant.next.max(frames::end());
    let end = start
        .checked_add(pages as u64 * PAGE64)
        .filter(|address| *address <= end())?;
    let mut tables = TABLES.lock();
    for page in (start..end).step_by(PAGE64 as usize) {
        tables.set(page, page | PRESENT | WRITE | NO_EXECUTE).ok()?;
    }
    vacant.next = end;
    Some(start)
}

/// Gives back what was taken: nothing is there any more.
pub(crate) fn give(start: u64, pages: usize) {
    VACANT.lock().free.push((start, pages));
}
