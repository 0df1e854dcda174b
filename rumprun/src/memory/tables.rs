//! Page tables (Intel SDM volume 3, 4.5): four levels, one root for all CPUs.
//!
//! Tables are pages of [`frames`] at their own addresses. A table that was
//! made stays, so that a walk needs no lock against its end; what the program maps again
//! and again reuses them.

use super::{PAGE64, frames};
use crate::boot::info::Range;
use crate::cpu::{self, msr};
use crate::sync::Lock;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// The entry is valid.
pub const PRESENT: u64 = 1;
/// Writing is allowed.
pub const WRITE: u64 = 1 << 1;
/// Not cached: for devices.
pub const DEVICE: u64 = 1 << 3 | 1 << 4;
/// A large page instead of a table.
const LARGE: u64 = 1 << 7;
/// For us: not present, but the frame is the area's, to be made present again.
pub const KEPT: u64 = 1 << 9;
/// Not to be executed.
pub const NO_EXECUTE: u64 = 1 << 63;
/// Where the address is.
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Bytes of a large page.
const LARGE_PAGE: u64 = 2 << 20;

/// Which flags this CPU has.
static FLAGS: AtomicU64 = AtomicU64::new(!0);

/// There is no page for a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

/// The tables.
#[derive(Debug)]
pub(crate) struct Tables {
    /// Address of the root; 0 is what CR3 says.
    root: u64,
}

pub(crate) static TABLES: Lock<Tables> = Lock::new(Tables { root: 0 });

fn index(address: u64, level: u32) -> u64 {
    address >> (12 + 9 * level) & 511
}

/// Bytes that an entry of a level spans; level 0 is pages.
fn span(level: u32) -> u64 {
    PAGE64 << (9 * level)
}

impl Tables {
    fn root(&mut self) -> u64 {
        if self.root == 0 {
            // SAFETY: reads a register.
            unsafe { asm!("mov {}, cr3", out(reg) self.root, options(nomem, nostack)) };
            self.root &= ADDRESS;
        }
        self.root
    }

    /// The entry of an address in a table.
    ///
    /// # Safety
    /// `table` is the address of a table of that level.
    unsafe fn slot(table: u64, address: u64, level: u32) -> *mut AtomicU64 {
        (table + 8 * index(address, level)) as *mut AtomicU64
    }

    /// The entry of an address at a level, with tables made on the way, and large pages cut.
    fn entry(&mut self, address: u64, level: u32) -> Result<&AtomicU64, NoMemory> {
        let mut table = self.root();
        for above in (level + 1..4).rev() {
            // SAFETY: the root, or a table that an entry of the level above points to.
            let slot = unsafe { &*Self::slot(table, address, above) };
            let entry = slot.load(Ordering::Relaxed);
            table = if entry & PRESENT == 0 {
                let table = frames::take_zeroed().ok_or(NoMemory)?;
                slot.store(table | PRESENT | WRITE, Ordering::Release);
                table
            } else if entry & LARGE != 0 {
                let table = frames::take(1, 1).ok_or(NoMemory)?;
                let below = span(above - 1);
                let large = if above == 1 { 0 } else { LARGE };
                for at in 0..512 {
                    // SAFETY: a fresh page.
                    unsafe {
                        (table as *mut u64)
                            .add(at as usize)
                            .write((entry & !LARGE | large) + at * below);
                    }
                }
                slot.store(table | PRESENT | WRITE, Ordering::Release);
                table
            } else {
                entry & ADDRESS
            };
        }
        // SAFETY: as above.
        Ok(unsafe { &*Self::slot(table, address, level) })
    }

    /// The entry of a page, if there is a table for it.
    pub(crate) fn look(&mut self, address: u64) -> Option<u64> {
        let mut table = self.root();
        for level in (0..4).rev() {
            // SAFETY: as in `entry`.
            let entry = unsafe { &*Self::slot(table, address, level) }.load(Ordering::Relaxed);
            if level == 0 {
                return Some(entry);
            }
            if entry & PRESENT == 0 {
                return None;
            }
            if entry & LARGE != 0 {
                return Some(entry & !LARGE);
            }
            table = entry & ADDRESS;
        }
        None
    }

    /// Sets the entry of a page. The caller tells the CPUs if that takes something away.
    pub(crate) fn set(&mut self, address: u64, entry: u64) -> Result<(), NoMemory> {
        let entry = entry & FLAGS.load(Ordering::Relaxed);
        self.entry(address, 0)?.store(entry, Ordering::Release);
        Ok(())
    }

    /// Calls `change` for the entry of each page in a range that is present or kept, until
    /// it says that it is enough. Returns where it stopped, `end` if it came to the end.
    pub(crate) fn for_each(
        &mut self,
        start: u64,
        end: u64,
        mut change: impl FnMut(u64, u64) -> Change,
    ) -> u64 {
        let mut at = start;
        while at < end {
            let mut table = self.root();
            let mut level = 3;
            while level > 0 {
                // SAFETY: as in `entry`.
                let slot = unsafe { &*Self::slot(table, at, level) };
                let entry = slot.load(Ordering::Relaxed);
                if entry & PRESENT == 0 {
                    break;
                }
                if entry & LARGE != 0 {
                    match self.entry(at, level - 1) {
                        Ok(_) => continue,
                        // It stays as it is.
                        Err(NoMemory) => break,
                    }
                }
                table = entry & ADDRESS;
                level -= 1;
            }
            // All of a table of pages, or nothing at all.
            let next = (at & !(span(level.max(1)) - 1)).saturating_add(span(level.max(1)));
            if level > 0 {
                at = next;
                continue;
            }
            while at < next.min(end) {
                // SAFETY: as in `entry`; all of these are in this table.
                let slot = unsafe { &*Self::slot(table, at, 0) };
                let entry = slot.load(Ordering::Relaxed);
                if entry & (PRESENT | KEPT) != 0 {
                    match change(at, entry) {
                        Change::To(new) => {
                            slot.store(new & FLAGS.load(Ordering::Relaxed), Ordering::Release);
                        }
                        Change::Stop => return at,
                    }
                }
                at += PAGE64;
            }
        }
        end
    }

    /// Maps addresses to themselves, in large pages.
    fn map_same(&mut self, start: u64, end: u64, flags: u64) -> Result<(), NoMemory> {
        let mut at = start & !(LARGE_PAGE - 1);
        while at < end {
            let entry = self.entry(at, 1)?;
            if entry.load(Ordering::Relaxed) & PRESENT == 0 {
                let flags = flags & FLAGS.load(Ordering::Relaxed);
                entry.store(at | PRESENT | LARGE | flags, Ordering::Release);
            }
            at += LARGE_PAGE;
        }
        Ok(())
    }
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// This.
    To(u64),
    /// It stays, and so do those behind it.
    Stop,
}

/// Maps all memory, takes page 0 away, and gives the image's parts the rights that its
/// program headers say.
#[cfg(feature = "image")]
pub(crate) fn set_up(memory: &[Range]) {
    const EFER: u32 = 0xc000_0080;
    // SAFETY: a register of every 64-bit CPU; NXE is on if the CPU has it.
    if unsafe { msr::read(EFER) } & 1 << 11 == 0 {
        FLAGS.store(!NO_EXECUTE, Ordering::Relaxed);
    }
    let mut tables = TABLES.lock();
    let done = memory
        .iter()
        .try_for_each(|range| tables.map_same(range.start, range.end, WRITE | NO_EXECUTE))
        .and_then(|()| tables.set(0, 0));
    done.expect("memory for page tables");
    // What the entry has mapped is executable so far.
    let image: (u64, u64) = crate::boot::segments().fold((u64::MAX, 0), |(start, end), segment| {
        (
            start.min(segment.start & !(PAGE64 - 1)),
            end.max(segment.end.next_multiple_of(PAGE64)),
        )
    });
    for at in (0..4_u64 << 30).step_by(LARGE_PAGE as usize) {
        let touches = at < image.1 && image.0 < at + LARGE_PAGE;
        if at > 0 && !touches {
            let entry = tables.entry(at, 1).expect("a table that is there");
            entry.fetch_or(
                NO_EXECUTE & FLAGS.load(Ordering::Relaxed),
                Ordering::Relaxed,
            );
        }
    }
    for segment in crate::boot::segments() {
        let mut rights = 0;
        if segment.writable {
            rights |= WRITE;
        }
        if !segment.executable {
            rights |= NO_EXECUTE;
        }
        let start = segment.start & !(PAGE64 - 1);
        let end = segment.end.next_multiple_of(PAGE64);
        tables.for_each(start, end, |at, _| Change::To(at | PRESENT | rights));
    }
    drop(tables);
    cpu::forget_pages();
}

/// Maps the registers of a device at their own address, not cached.
///
/// # Errors
/// There is no memory for tables.
pub fn map_device(start: u64, len: u64) -> Result<*mut u8, NoMemory> {
    let mut tables = TABLES.lock();
    let mut at = start & !(PAGE64 - 1);
    while at < start + len {
        tables.set(at, at | PRESENT | WRITE | DEVICE | NO_EXECUTE)?;
        cpu::forget_page(at);
        at += PAGE64;
    }
    Ok(start as *mut u8)
}

/// Allows, or forbids, to execute pages of the kernel's memory.
///
/// # Errors
/// There is no memory for tables; some pages may have changed.
pub(crate) fn set_executable(start: u64, end: u64, executable: bool) -> Result<(), NoMemory> {
    {
        let mut tables = TABLES.lock();
        for at in (start..end).step_by(PAGE64 as usize) {
            let rights = if executable { 0 } else { NO_EXECUTE };
            tables.set(at, at | PRESENT | WRITE | rights)?;
        }
    }
    cpu::forget_everywhere(start, end);
    Ok(())
}

/// Whether a page of the kernel's memory was made executable.
pub(crate) fn is_executable(address: u64) -> bool {
    let entry = TABLES.lock().look(address).unwrap_or(0);
    FLAGS.load(Ordering::Relaxed) & NO_EXECUTE != 0 && entry & NO_EXECUTE == 0
}
