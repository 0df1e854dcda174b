//! Interrupts by messages: PCI 3.0, 6.8.

use super::bars::Bar;
use super::config::{Location, command};
use super::{bars, capability};
use crate::memory::tables::map_device;
use crate::trap::line::Line;
use core::ptr::NonNull;

/// In the control of MSI-X: it is on; all vectors are masked.
const ENABLE: u16 = 1 << 15;
const MASK_ALL: u16 = 1 << 14;
/// In that of MSI: it is on; addresses have 64 bits; how many vectors are on.
const ENABLE_MSI: u16 = 1;
const WIDE: u16 = 1 << 7;
const COUNT: u16 = 0b111 << 4;

/// A function's table of vectors.
#[derive(Debug)]
pub struct Table {
    location: Location,
    capability: usize,
    entries: NonNull<[u32; 4]>,
    len: usize,
}

// SAFETY: registers of a device, which are written one by one by whoever drives it.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    /// Finds it. Vectors are masked and off. `bars` are the regions of the function.
    pub fn find(location: Location, bars: &[Bar]) -> Option<Self> {
        let capability = capability::find(location, capability::MSIX).next()?;
        let len = usize::from(location.read_u16(capability + 2) & 0x7ff) + 1;
        let place = location.read(capability + 4);
        let bar = bars.iter().find(|bar| bar.index == place as usize & 7)?;
        let offset = u64::from(place & !7);
        if bar.io || offset + 16 * len as u64 > bar.len {
            return None;
        }
        let entries = map_device(bar.address + offset, 16 * len as u64).ok()?;
        Some(Self {
            location,
            capability,
            entries: NonNull::new(entries.cast())?,
            len,
        })
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none, which never is so.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Has a vector signal a line.
    pub fn set(&self, vector: usize, line: &Line) {
        assert!(vector < self.len);
        let (address, data) = line.message();
        self.write(vector, [address as u32, (address >> 32) as u32, data, 0]);
    }

    /// Silences a vector.
    pub fn mask(&self, vector: usize) {
        assert!(vector < self.len);
        // SAFETY: the entry is in the table.
        unsafe {
            let control = self.entries.as_ptr().add(vector).cast::<u32>().add(3);
            control.write_volatile(1);
        }
    }

    fn write(&self, vector: usize, entry: [u32; 4]) {
        self.mask(vector);
        // SAFETY: as above; the control word, which lets it through, last.
        unsafe {
            let to = self.entries.as_ptr().add(vector).cast::<u32>();
            for (at, value) in entry.into_iter().enumerate() {
                to.add(at).write_volatile(value);
            }
        }
    }

    /// Turns all vectors on that are not masked; the line of the function is silent.
    pub fn enable(&self) {
        let control = self.location.read_u16(self.capability + 2);
        self.location
            .write_u16(self.capability + 2, control & !MASK_ALL | ENABLE);
        self.location.command(command::NO_INTX, 0);
    }

    /// Turns them off.
    pub fn disable(&self) {
        let control = self.location.read_u16(self.capability + 2);
        self.location
            .write_u16(self.capability + 2, control & !ENABLE);
    }
}

/// The one message of a function without a table.
#[derive(Debug)]
pub struct Single {
    location: Location,
    capability: usize,
}

impl Single {
    /// Finds it.
    pub fn find(location: Location) -> Option<Self> {
        let capability = capability::find(location, capability::MSI).next()?;
        Some(Self {
            location,
            capability,
        })
    }

    /// Has it signal a line; the line of the function is silent.
    pub fn enable(&self, line: &Line) {
        let (address, data) = line.message();
        let control = self.location.read_u16(self.capability + 2);
        self.location.write(self.capability + 4, address as u32);
        let data_at = if control & WIDE != 0 {
            self.location
                .write(self.capability + 8, (address >> 32) as u32);
            self.capability + 12
        } else {
            self.capability + 8
        };
        self.location.write_u16(data_at, data as u16);
        self.location
            .write_u16(self.capability + 2, control & !COUNT | ENABLE_MSI);
        self.location.command(command::NO_INTX, 0);
    }

    /// Turns it off.
    pub fn disable(&self) {
        let control = self.location.read_u16(self.capability + 2);
        self.location
            .write_u16(self.capability + 2, control & !ENABLE_MSI);
    }
}

/// The regions of a function, as a list.
pub fn regions(location: Location) -> alloc::vec::Vec<Bar> {
    bars::read(location).collect()
}
