//! The program's address space: areas, and pages that come when they are touched.
//!
//! An *area* is a range of addresses with rights. A page of it has a frame once it was
//! touched; a fault finds the area and maps a page of zeros. Taking areas away gives the
//! frames back, after all CPUs have forgotten the mapping. The image's own parts are areas,
//! too, whose rights can be changed, but which stay.
//!
//! A page whose area allows nothing keeps its frame, marked [`KEPT`].
//!
//! Addresses are given out from the lowest gap that fits, so that page tables are used again.

use super::tables::{ADDRESS, Change, KEPT, NO_EXECUTE, PRESENT, TABLES, WRITE};
use super::{PAGE, PAGE64, frames};
use crate::cpu;
use crate::sync::{Guard, Lock};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

/// Where the program's mappings begin.
pub const START: u64 = 0x0000_1000_0000_0000;
/// Where they end.
pub const END: u64 = 0x0000_7000_0000_0000;

/// What may be done with an area.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// It can be read. On x86 also what can be written or executed can be read.
    pub read: bool,
    /// It can be written.
    pub write: bool,
    /// It can be executed.
    pub execute: bool,
}

impl Rights {
    /// Nothing: to reserve addresses, and for guard pages.
    pub const NONE: Self = Self {
        read: false,
        write: false,
        execute: false,
    };
    /// Reading and writing.
    pub const READ_WRITE: Self = Self {
        read: true,
        write: true,
        execute: false,
    };

    fn none(self) -> bool {
        self == Self::NONE
    }

    fn flags(self) -> u64 {
        let mut flags = if self.none() { KEPT } else { PRESENT };
        if self.write {
            flags |= WRITE;
        }
        if !self.execute {
            flags |= NO_EXECUTE;
        }
        flags
    }

    /// Whether a fault with this error code (Intel SDM volume 3, 4.7) is no fault of the
    /// program's.
    fn allow(self, error: u64) -> bool {
        !self.none() && (error & 2 == 0 || self.write) && (error & 16 == 0 || self.execute)
    }
}

/// Where a mapping is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Anywhere.
    Anywhere,
    /// There if nothing is there, else anywhere.
    Hint(u64),
    /// There, instead of what is there.
    Fixed(u64),
    /// There, and nowhere else.
    FixedFree(u64),
}

/// Why the address space is not as was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceError {
    /// No addresses, or no memory.
    NoMemory,
    /// The range is not one of pages, or not the program's.
    BadRange,
    /// Something is there.
    Exists,
    /// Part of the range has no area.
    NotMapped,
}

/// An area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// The first address.
    pub start: u64,
    /// The one behind the last.
    pub end: u64,
    /// What may be done.
    pub rights: Rights,
    /// It is a part of the image.
    pub image: bool,
}

/// The areas, by their first address.
#[derive(Debug)]
struct Space {
    areas: BTreeMap<u64, Area>,
}

static SPACE: Lock<Space> = Lock::new(Space::new());

impl Space {
    const fn new() -> Self {
        Self {
            areas: BTreeMap::new(),
        }
    }

    fn find(&self, address: u64) -> Option<Area> {
        let (_, area) = self.areas.range(..=address).next_back()?;
        (address < area.end).then_some(*area)
    }

    /// Those that have a part in the range, in order.
    fn within(&self, start: u64, end: u64) -> impl Iterator<Item = Area> {
        let first = self.find(start).map_or(start, |area| area.start);
        self.areas
            .range((Bound::Included(first), Bound::Excluded(end)))
            .map(|(_, area)| *area)
    }

    fn is_free(&self, start: u64, end: u64) -> bool {
        self.within(start, end).next().is_none()
    }

    /// The lowest gap of the program's window.
    fn gap(&self, len: u64) -> Option<u64> {
        let mut at = START;
        for area in self.areas.range(START..).map(|(_, area)| area) {
            if area.start - at >= len {
                return Some(at);
            }
            at = area.end;
        }
        (len <= END - at).then_some(at)
    }

    /// Has areas begin and end at these addresses.
    fn cut(&mut self, start: u64, end: u64) {
        for at in [start, end] {
            if let Some(area) = self.find(at)
                && area.start < at
            {
                self.areas.insert(area.start, Area { end: at, ..area });
                self.areas.insert(at, Area { start: at, ..area });
            }
        }
    }

    /// Adds an area where there is none, as part of its neighbours if they are alike.
    /// Returns where it ends then.
    fn add(&mut self, mut area: Area) -> u64 {
        let (rights, image) = (area.rights, area.image);
        let alike = |other: &Area| other.rights == rights && other.image == image;
        if let Some(before) = area.start.checked_sub(1).and_then(|at| self.find(at))
            && alike(&before)
        {
            area.start = before.start;
        }
        // Two: one that `protect` has just cut off may follow the next.
        while let Some(after) = self.areas.get(&area.end).copied().filter(alike) {
            self.areas.remove(&after.start);
            area.end = after.end;
        }
        self.areas.insert(area.start, area);
        area.end
    }

    fn remove(&mut self, start: u64, end: u64) {
        self.cut(start, end);
        loop {
            let first = self.within(start, end).next();
            let Some(area) = first else {
                return;
            };
            self.areas.remove(&area.start);
        }
    }

    /// Gives areas other rights. The whole range has areas.
    fn protect(&mut self, start: u64, end: u64, rights: Rights) {
        self.cut(start, end);
        let mut at = start;
        while at < end {
            let Some(area) = self.areas.remove(&at) else {
                return;
            };
            // It may have grown by those behind it.
            at = self.add(Area { rights, ..area });
        }
    }

    fn covers(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        while at < end {
            match self.find(at) {
                Some(area) => at = area.end,
                None => return false,
            }
        }
        true
    }
}

/// Checks a range of the program's: whole pages.
fn range(start: u64, len: u64) -> Result<(u64, u64), SpaceError> {
    let len = len.checked_next_multiple_of(PAGE64);
    let end = len.and_then(|len| start.checked_add(len));
    let end = end.filter(|end| *end <= END && start < *end && start.is_multiple_of(PAGE64));
    Ok((start, end.ok_or(SpaceError::BadRange)?))
}

/// Adds an area of zeros, and returns where. `len` is in bytes.
///
/// # Errors
/// As [`SpaceError`] says. Memory is not looked for before it is touched.
pub fn map(place: Place, len: u64, rights: Rights) -> Result<u64, SpaceError> {
    let size = len
        .checked_next_multiple_of(PAGE64)
        .filter(|size| (1..=END - START).contains(size))
        .ok_or(SpaceError::NoMemory)?;
    let mut space = SPACE.lock();
    let start = match place {
        Place::Fixed(at) | Place::FixedFree(at) => {
            let (start, end) = range(at, size)?;
            if start < START {
                return Err(SpaceError::BadRange);
            }
            if !space.is_free(start, end) {
                if matches!(place, Place::FixedFree(_)) {
                    return Err(SpaceError::Exists);
                }
                space.remove(start, end);
                give_back(&mut space, start, end);
            }
            start
        }
        Place::Hint(at)
            if at >= START
                && range(at, size).is_ok_and(|(start, end)| space.is_free(start, end)) =>
        {
            at
        }
        Place::Hint(_) | Place::Anywhere => space.gap(size).ok_or(SpaceError::NoMemory)?,
    };
    space.add(Area {
        start,
        end: start + size,
        rights,
        image: false,
    });
    Ok(start)
}

/// Adds an area of zeros all of whose pages are there at once, wherever in memory, and returns
/// where it is and its frames. They stay until it is [unmapped](unmap).
///
/// # Errors
/// [`SpaceError::NoMemory`].
pub fn map_whole(pages: usize) -> Result<(u64, Vec<u64>), SpaceError> {
    let len = pages as u64 * PAGE64;
    let start = map(Place::Anywhere, len, Rights::READ_WRITE)?;
    let mut frames = Vec::with_capacity(pages);
    for page in (start..start + len).step_by(PAGE) {
        let frame = if fault(page, 2) {
            TABLES.lock().look(page)
        } else {
            None
        };
        let Some(frame) = frame else {
            unmap(start, len)?;
            return Err(SpaceError::NoMemory);
        };
        frames.push(frame & ADDRESS);
    }
    Ok((start, frames))
}

/// Adds an area of zeros below the image, which stays ([`low`](super::low)).
///
/// # Errors
/// [`SpaceError::Exists`] if there is no room.
pub fn claim(start: u64, len: u64) -> Result<(), SpaceError> {
    let (start, end) = range(start, len)?;
    if !super::low::claim(start, end) {
        return Err(SpaceError::Exists);
    }
    // SAFETY: memory at its own address, which nobody else has.
    unsafe { (start as *mut u8).write_bytes(0, (end - start) as usize) };
    SPACE.lock().add(Area {
        start,
        end,
        rights: Rights::READ_WRITE,
        image: true,
    });
    Ok(())
}

/// Takes a range away, whatever part of it was mapped.
///
/// # Errors
/// The range is not the program's, or is a part of the image.
pub fn unmap(start: u64, len: u64) -> Result<(), SpaceError> {
    let (start, end) = range(start, len)?;
    let mut space = SPACE.lock();
    if space.within(start, end).any(|area| area.image) {
        return Err(SpaceError::BadRange);
    }
    space.remove(start, end);
    give_back(&mut space, start, end);
    Ok(())
}

/// Gives the frames of a range back; what is there reads as zeros from now on.
///
/// # Errors
/// As for [`unmap`].
pub fn discard(start: u64, len: u64) -> Result<(), SpaceError> {
    let (start, end) = range(start, len)?;
    let mut space = SPACE.lock();
    if space.within(start, end).any(|area| area.image) {
        return Err(SpaceError::BadRange);
    }
    give_back(&mut space, start, end);
    Ok(())
}

/// Changes the rights of a range.
///
/// # Errors
/// Part of it is not mapped.
pub fn protect(start: u64, len: u64, rights: Rights) -> Result<(), SpaceError> {
    let (start, end) = range(start, len)?;
    let mut space = SPACE.lock();
    if !space.covers(start, end) {
        return Err(SpaceError::NotMapped);
    }
    space.protect(start, end, rights);
    // A CPU knows only of what was present.
    let mut known = false;
    TABLES.lock().for_each(start, end, |_, entry| {
        known |= entry & PRESENT != 0;
        Change::To(entry & ADDRESS | rights.flags())
    });
    if known {
        cpu::forget_everywhere(start, end);
    }
    Ok(())
}

/// Takes the frames of a range away, whose mapping nobody may use any more.
///
/// The lock is held until all CPUs know of it: a new mapping at the same place, or a page
/// that comes by a fault, would else be seen by some and not by others.
fn give_back(_held: &mut Guard<'_, Space>, start: u64, end: u64) {
    const BATCH: usize = 256;
    let mut at = start;
    while at < end {
        let mut batch = [0; BATCH];
        let mut len = 0;
        let first = at;
        at = TABLES.lock().for_each(at, end, |_, entry| {
            if len == BATCH {
                return Change::Stop;
            }
            batch[len] = entry & ADDRESS;
            len += 1;
            Change::To(0)
        });
        if len > 0 {
            cpu::forget_everywhere(first, at);
        }
        for frame in &batch[..len] {
            // SAFETY: it was an area's, which has mapped it once; no CPU knows it any more.
            unsafe { frames::release(*frame, 1) };
        }
    }
}

/// A page fault: maps the page if an area allows the access. Returns whether to try again.
///
/// Runs on the stack of exceptions, with interrupts off.
pub(crate) fn fault(address: u64, error: u64) -> bool {
    let space = SPACE.lock();
    let Some(area) = space.find(address) else {
        return false;
    };
    if !area.rights.allow(error) {
        return false;
    }
    let page = address & !(PAGE64 - 1);
    let known = TABLES.lock().look(page).unwrap_or(0);
    if known & PRESENT != 0 {
        // Another CPU was first, or this one knew less than the table says.
        cpu::forget_page(page);
        let writes = error & 2 != 0;
        return !writes || known & WRITE != 0;
    }
    let frame = match known & KEPT {
        0 => frames::take_zeroed(),
        _ => Some(known & ADDRESS),
    };
    let Some(frame) = frame else {
        return false;
    };
    let set = TABLES.lock().set(page, frame | area.rights.flags());
    if set.is_err() && known & KEPT == 0 {
        // SAFETY: just taken, and not mapped.
        unsafe { frames::release(frame, 1) };
    }
    set.is_ok()
}

/// Whether all of a range can be read, or written.
pub fn is_mapped(start: u64, len: u64, write: bool) -> bool {
    let Some(end) = start.checked_add(len) else {
        return false;
    };
    let space = SPACE.lock();
    let mut at = start;
    while at < end {
        match space.find(at) {
            Some(area) if area.rights.allow(if write { 2 } else { 0 }) => at = area.end,
            _ => return false,
        }
    }
    true
}

/// The area that an address is in, or the next behind it.
pub fn area_from(address: u64) -> Option<Area> {
    let space = SPACE.lock();
    space
        .find(address)
        .or_else(|| space.areas.range(address..).next().map(|(_, area)| *area))
}

/// Makes the image's parts areas.
#[cfg(feature = "image")]
pub(crate) fn add_image() {
    let mut space = SPACE.lock();
    for segment in crate::boot::segments() {
        space.add(Area {
            start: segment.start & !(PAGE64 - 1),
            end: segment.end.next_multiple_of(PAGE64),
            rights: Rights {
                read: true,
                write: segment.writable,
                execute: segment.executable,
            },
            image: true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(start: u64, end: u64, rights: Rights) -> Area {
        Area {
            start: START + start * PAGE64,
            end: START + end * PAGE64,
            rights,
            image: false,
        }
    }

    /// Against a table of pages.
    #[test]
    fn areas_are_as_a_table_of_pages_says() {
        const PAGES: u64 = 40;
        let rights = [Rights::NONE, Rights::READ_WRITE];
        let mut space = Space::new();
        let mut model = [None; PAGES as usize];
        let mut random = 7_u64;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        for _ in 0..20_000 {
            let start = next(PAGES);
            let end = start + 1 + next(PAGES - start);
            let which = rights[next(2) as usize];
            let (from, to) = (START + start * PAGE64, START + end * PAGE64);
            let part = &mut model[start as usize..end as usize];
            match next(3) {
                0 => {
                    space.remove(from, to);
                    space.add(area(start, end, which));
                    part.fill(Some(which));
                }
                1 => {
                    space.remove(from, to);
                    part.fill(None);
                }
                _ => {
                    assert_eq!(space.covers(from, to), part.iter().all(Option::is_some));
                    if space.covers(from, to) {
                        space.protect(from, to, which);
                        part.fill(Some(which));
                    }
                }
            }
            for (page, expected) in (0..).zip(model) {
                let found = space.find(START + page * PAGE64).map(|area| area.rights);
                assert_eq!(found, expected, "page {page}");
            }
            let mut last: Option<Area> = None;
            for area in space.areas.values() {
                if let Some(last) = last {
                    assert!(
                        last.end < area.start
                            || last.end == area.start && last.rights != area.rights
                    );
                }
                last = Some(*area);
            }
            let gap = space.gap(3 * PAGE64).unwrap();
            assert!(space.is_free(gap, gap + 3 * PAGE64));
        }
    }

    #[test]
    fn ranges_are_checked() {
        assert_eq!(range(START, 1), Ok((START, START + PAGE64)));
        for (start, len) in [
            (START + 1, 1),
            (START, 0),
            (END, 1),
            (!0 << 12, 8192),
            (START, !0),
        ] {
            assert_eq!(
                range(start, len),
                Err(SpaceError::BadRange),
                "{start:#x} {len:#x}"
            );
        }
    }
}
