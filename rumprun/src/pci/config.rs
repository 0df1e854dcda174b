//! Configuration space: PCI 3.0, 3.2.2.3.2 by ports; PCI Express 5.0, 7.2.2 in memory.

use crate::acpi::Window;
use crate::boot::machine;
use crate::cpu::port;
use crate::memory::tables::map_device;
use crate::sync::Lock;
use core::fmt;

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

/// The two ports belong together.
static PORTS: Lock<()> = Lock::new(());

/// Where a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// Number of the bus.
    pub bus: u8,
    /// Number on the bus, below 32.
    pub device: u8,
    /// Number in the device, below 8.
    pub function: u8,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus, self.device, self.function)
    }
}

impl Location {
    /// Where its configuration space lies in memory, if it does.
    fn in_memory(self) -> Option<*mut u8> {
        let windows = &machine::get()?.mcfg;
        let has = |window: &&Window| {
            window.segment == 0 && (window.first..=window.last).contains(&self.bus)
        };
        let window = windows.iter().find(has)?;
        let address = window.address
            + (u64::from(self.bus) << 20
                | u64::from(self.device) << 15
                | u64::from(self.function) << 12);
        map_device(address, 4096).ok()
    }

    /// How long it is, in bytes.
    pub fn space(self) -> usize {
        if self.in_memory().is_some() {
            4096
        } else {
            256
        }
    }

    fn port(self, offset: usize) -> u32 {
        1 << 31
            | u32::from(self.bus) << 16
            | u32::from(self.device & 31) << 11
            | u32::from(self.function & 7) << 8
            | offset as u32
    }

    /// Reads the word at a multiple of 4; all ones where there is nothing.
    pub fn read(self, offset: usize) -> u32 {
        assert!(offset.is_multiple_of(4) && offset < 4096);
        if let Some(registers) = self.in_memory() {
            // SAFETY: the function's page of registers.
            return unsafe { registers.add(offset).cast::<u32>().read_volatile() };
        }
        if offset >= 256 {
            return u32::MAX;
        }
        let _held = PORTS.lock();
        // SAFETY: the two ports, under their lock; reading configuration space does nothing.
        unsafe {
            port::write_u32(ADDRESS, self.port(offset));
            port::read_u32(DATA)
        }
    }

    /// Writes the word at a multiple of 4.
    pub fn write(self, offset: usize, value: u32) {
        assert!(offset.is_multiple_of(4) && offset < 4096);
        if let Some(registers) = self.in_memory() {
            // SAFETY: as for `read`; whoever drives the device knows what it does.
            unsafe {
                registers.add(offset).cast::<u32>().write_volatile(value);
            }
        } else if offset < 256 {
            let _held = PORTS.lock();
            // SAFETY: as above.
            unsafe {
                port::write_u32(ADDRESS, self.port(offset));
                port::write_u32(DATA, value);
            }
        }
    }

    /// Reads the two bytes at a multiple of 2.
    pub fn read_u16(self, offset: usize) -> u16 {
        (self.read(offset & !3) >> (8 * (offset & 2))) as u16
    }

    /// Reads a byte.
    pub fn read_u8(self, offset: usize) -> u8 {
        (self.read(offset & !3) >> (8 * (offset & 3))) as u8
    }

    /// Writes the two bytes at a multiple of 2. The other half of the word is written as it
    /// was read, so that it must not be one whose bits are cleared by writing them.
    pub fn write_u16(self, offset: usize, value: u16) {
        let shift = 8 * (offset & 2);
        let kept = self.read(offset & !3) & !(0xffff << shift);
        self.write(offset & !3, kept | u32::from(value) << shift);
    }

    /// The register of commands. The status beside it is cleared by ones: it is written as
    /// zeros.
    pub fn command(self, set: u16, clear: u16) {
        const COMMAND: usize = 4;
        let command = self.read(COMMAND) as u16;
        self.write(COMMAND, u32::from(command & !clear | set));
    }
}

/// Bits of the register of commands: ports and memory answer, it may do DMA.
pub mod command {
    /// Ports answer.
    pub const IO: u16 = 1;
    /// Memory answers.
    pub const MEMORY: u16 = 2;
    /// It may read and write memory.
    pub const MASTER: u16 = 4;
    /// Its line is silent.
    pub const NO_INTX: u16 = 1 << 10;
}
