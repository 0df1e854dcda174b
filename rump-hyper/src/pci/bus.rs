//! The kernel's buses: which function is in which slot.
//!
//! The kernel looks at 32 devices of a bus, so further ones are on further buses. A slot
//! is taken from when a function is put into it until its [`Place`] is dropped; the
//! kernel must have let go of the device by then.

use super::header::{CLASS, Header};
use super::{Function, Region};
use crate::cold::Cold;
use crate::errno::Errno;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::ptr::NonNull;

/// How many devices there are on a bus.
const DEVICES: usize = 32;
/// How many regions a function has.
const BARS: usize = 6;
/// How many buses there may be: a bus has a number of 8 bits.
const BUSES: usize = 256;

static SLOTS: Cold<Vec<Option<Occupant>>> = Cold::new(Vec::new());

#[derive(Clone)]
struct Occupant {
    function: Arc<dyn Function>,
    header: Arc<Header>,
}

/// A function's place on the kernel's buses, until it is dropped.
pub struct Place {
    slot: usize,
}

impl core::fmt::Debug for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Place")
            .field("bus", &self.bus())
            .field("device", &self.device())
            .finish()
    }
}

impl Place {
    /// Puts a function into the first free slot.
    ///
    /// # Errors
    /// As [`Header::read`]; `ENOSPC` if all slots are taken.
    pub fn take(function: Arc<dyn Function>) -> Result<Self, Errno> {
        let header = Arc::new(Header::read(&*function)?);
        let occupant = Some(Occupant { function, header });
        SLOTS.with(|slots| {
            let free = slots.iter().position(Option::is_none);
            let slot = free.unwrap_or(slots.len());
            if slot == DEVICES * BUSES {
                return Err(Errno::NOSPC);
            }
            if slot == slots.len() {
                slots.push(occupant);
            } else {
                slots[slot] = occupant;
            }
            Ok(Self { slot })
        })
    }

    /// The number of the bus.
    pub fn bus(&self) -> u32 {
        (self.slot / DEVICES) as u32
    }

    /// The number of the device on it.
    pub fn device(&self) -> u32 {
        (self.slot % DEVICES) as u32
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let gone = SLOTS.with(|slots| slots[self.slot].take());
        drop(gone);
    }
}

fn occupant(bus: u32, device: u32, function: u32) -> Option<Occupant> {
    let (bus, device) = (bus as usize, device as usize);
    if function != 0 || device >= DEVICES || bus >= BUSES {
        return None;
    }
    SLOTS.with(|slots| slots.get(bus * DEVICES + device).cloned().flatten())
}

/// The function in a slot.
pub fn function(bus: u32, device: u32, function: u32) -> Option<Arc<dyn Function>> {
    occupant(bus, device, function).map(|found| found.function)
}

fn word(offset: i32, len: usize) -> Result<usize, Errno> {
    usize::try_from(offset)
        .ok()
        .filter(|at| at.is_multiple_of(4) && at + 4 <= len)
        .ok_or(Errno::INVAL)
}

/// Reads a word of configuration space.
///
/// # Errors
/// `ENXIO` if there is nothing in the slot, `EINVAL` if there is no such word.
pub fn config_read(bus: u32, device: u32, function: u32, offset: i32) -> Result<u32, Errno> {
    let found = occupant(bus, device, function).ok_or(Errno::NXIO)?;
    let offset = word(offset, found.function.config_len())?;
    let read = found.function.config_read(offset)?;
    Ok(found.header.shown(offset, read))
}

/// Writes a word of configuration space.
///
/// # Errors
/// As [`config_read`].
pub fn config_write(
    bus: u32,
    device: u32,
    function: u32,
    offset: i32,
    value: u32,
) -> Result<(), Errno> {
    let found = occupant(bus, device, function).ok_or(Errno::NXIO)?;
    let offset = word(offset, found.function.config_len())?;
    found.function.config_write(offset, value)
}

/// The slot and the region in which a range of addresses lies: of one function alone,
/// or what a device says of itself would give it another's region.
fn find(io: bool, address: u64, len: u64) -> Option<(usize, Arc<dyn Function>, Region)> {
    let slots = SLOTS.with(|slots| slots.clone());
    let mut found = None;
    for (slot, occupant) in slots.into_iter().enumerate() {
        let Some(Occupant { function, .. }) = occupant else {
            continue;
        };
        let region = Header::bars(&*function).find_map(|bar| {
            let offset = address.checked_sub(bar.base)?;
            let end = offset.checked_add(len)?;
            (bar.io == io && end <= function.region_len(bar.index)).then_some(Region {
                bar: bar.index,
                offset,
            })
        });
        if let Some(region) = region
            && found.replace((slot, function, region)).is_some()
        {
            return None;
        }
    }
    found
}

/// Where a range of memory addresses of a device is mapped.
///
/// # Errors
/// `ENXIO` if no device has it, or two say that they do; the error of
/// [`Function::region`].
pub fn map(address: u64, len: u64) -> Result<NonNull<u8>, Errno> {
    let (_, function, region) = find(false, address, len).ok_or(Errno::NXIO)?;
    let start = function.region(region.bar)?;
    let offset = usize::try_from(region.offset).map_err(|_| Errno::NXIO)?;
    // It lies in the region, which is mapped as a whole.
    NonNull::new(start.as_ptr().wrapping_add(offset)).ok_or(Errno::NXIO)
}

/// Says that a handle is of a region that is read and written by calls. The addresses
/// above are the kernel's of Linux, so no mapping has them.
const BY_CALL: u64 = 1 << 63;
/// Where in a handle the slot, the register and the offset are.
const SLOT: (u32, u64) = (45, (DEVICES * BUSES) as u64 - 1);
const BAR: (u32, u64) = (42, 7);
const OFFSET: u64 = (1 << 42) - 1;

/// A handle of a range of ports, or of memory that cannot be mapped. What is added to it
/// is added to the address.
///
/// # Errors
/// As [`map`].
pub fn by_call(io: bool, address: u64, len: u64) -> Result<u64, Errno> {
    let (slot, _, Region { bar, offset }) = find(io, address, len).ok_or(Errno::NXIO)?;
    if offset.saturating_add(len) > OFFSET {
        return Err(Errno::NXIO);
    }
    Ok(BY_CALL | (slot as u64) << SLOT.0 | (bar as u64) << BAR.0 | offset)
}

fn called(handle: u64, width: usize) -> Option<(Arc<dyn Function>, Region)> {
    let slot = (handle >> SLOT.0 & SLOT.1) as usize;
    let bar = (handle >> BAR.0 & BAR.1) as usize;
    let offset = handle & OFFSET;
    let found = SLOTS.with(|slots| slots.get(slot).cloned().flatten())?;
    let inside = bar < BARS && offset + width as u64 <= found.function.region_len(bar);
    inside.then_some((found.function, Region { bar, offset }))
}

/// Reads by a handle; all ones where there is nothing, as on a bus.
pub fn read(handle: u64, width: usize) -> u32 {
    called(handle, width)
        .and_then(|(function, at)| function.region_read(at, width).ok())
        .unwrap_or(u32::MAX)
}

/// Writes by a handle; nothing happens where there is nothing.
pub fn write(handle: u64, width: usize, value: u32) {
    if let Some((function, at)) = called(handle, width) {
        let _ = function.region_write(at, width, value);
    }
}

/// Whether a function is still there: its identity may be what the host remembers; its class is
/// not.
pub(super) fn is_there(function: &dyn Function) -> bool {
    let class = function.config_read(CLASS);
    class.is_ok_and(|class| class != u32::MAX)
}

/// The function that has an address, and where the region is mapped.
fn mapped(address: u64) -> Option<(Arc<dyn Function>, Range<u64>)> {
    let slots = SLOTS.with(|slots| slots.clone());
    slots
        .into_iter()
        .flatten()
        .find_map(|Occupant { function, .. }| {
            let regions = (0..BARS).filter_map(|bar| {
                let len = function.region_len(bar);
                let start = (len > 0).then(|| function.region(bar).ok()).flatten()?;
                let start = start.as_ptr().addr() as u64;
                Some(start..start.checked_add(len)?)
            });
            let region = { regions }.find(|region| region.contains(&address))?;
            Some((function, region))
        })
}

/// The handles of the region that has a register, by its handle or by its address, if its
/// function does not answer any more. Of one that is in no slot nothing is known.
pub fn gone(handle: u64) -> Option<Range<u64>> {
    let (function, region) = if handle & BY_CALL == 0 {
        mapped(handle)?
    } else {
        let (function, region) = called(handle, 0)?;
        let start = handle & !OFFSET;
        let len = function.region_len(region.bar).min(OFFSET);
        (function, start..start + len)
    };
    (!is_there(&*function)).then_some(region)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
