//! Kernel stacks, each with pages below it that are not mapped.
//!
//! A stack that was used stays mapped for the next thread: taking it away would mean to tell
//! all CPUs.

use super::tables::{NO_EXECUTE, NoMemory, PRESENT, TABLES, WRITE};
use super::{PAGE64, frames};
use crate::sync::Lock;
use alloc::vec::Vec;
use core::ops::Range;

/// Bytes of a stack.
pub const SIZE: usize = 32 * 1024;
/// Addresses that a stack takes, with the guard below it.
const SLOT: u64 = 2 * SIZE as u64;
/// Where the stacks begin.
pub const START: u64 = 0xffff_9000_0000_0000;
/// How many there can be.
const MANY: u64 = 1 << 20;

struct Stacks {
    free: Vec<u64>,
    made: u64,
}

static STACKS: Lock<Stacks> = Lock::new(Stacks {
    free: Vec::new(),
    made: 0,
});

/// A stack that is in use.
#[derive(Debug)]
pub struct Stack {
    top: u64,
    /// It is one of ours, and not that of a CPU's first code.
    pooled: bool,
}

impl Stack {
    /// A stack.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new() -> Result<Self, NoMemory> {
        let mut stacks = STACKS.lock();
        if let Some(top) = stacks.free.pop() {
            return Ok(Self { top, pooled: true });
        }
        if stacks.made == MANY {
            return Err(NoMemory);
        }
        let top = START + SLOT * (stacks.made + 1);
        let mut tables = TABLES.lock();
        for page in pages(top) {
            // One that an earlier try has mapped stays.
            if tables.look(page).is_some_and(|entry| entry & PRESENT != 0) {
                continue;
            }
            let frame = frames::take(1, 1).ok_or(NoMemory)?;
            if let Err(error) = tables.set(page, frame | PRESENT | WRITE | NO_EXECUTE) {
                // SAFETY: just taken, and not mapped.
                unsafe { frames::release(frame, 1) };
                return Err(error);
            }
        }
        stacks.made += 1;
        Ok(Self { top, pooled: true })
    }

    /// The stack that a CPU runs on already.
    pub(crate) fn first(top: u64) -> Self {
        Self { top, pooled: false }
    }

    /// The address behind its last byte.
    pub fn top(&self) -> u64 {
        self.top
    }

    /// Its addresses.
    pub fn range(&self) -> Range<u64> {
        self.top - SIZE as u64..self.top
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.pooled {
            STACKS.lock().free.push(self.top);
        }
    }
}

fn pages(top: u64) -> impl Iterator<Item = u64> {
    (top - SIZE as u64..top).step_by(PAGE64 as usize)
}

/// Whether an address is below a stack, where nothing is mapped.
pub(crate) fn is_guard(address: u64) -> bool {
    (START..START + SLOT * MANY).contains(&address) && (address - START) % SLOT < SLOT - SIZE as u64
}
