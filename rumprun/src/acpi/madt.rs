//! The table of interrupt controllers: ACPI 6.5, 5.2.12.

use super::number;
use alloc::vec::Vec;

/// CPUs and interrupt controllers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Madt {
    /// Where the local APICs have their registers.
    pub local: u64,
    /// APIC numbers of the CPUs that can be used.
    pub cpus: Vec<u32>,
    /// Controllers of interrupt lines.
    pub io: Vec<Io>,
    /// Lines of the ISA bus that are not where they were.
    pub overrides: Vec<Override>,
}

/// A controller of interrupt lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Io {
    /// Where its registers are.
    pub address: u64,
    /// Number of its first line.
    pub first: u32,
}

/// A line of the ISA bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// Its number there.
    pub irq: u8,
    /// Its number among all lines.
    pub line: u32,
    /// Polarity in bits 0 and 1, trigger mode in bits 2 and 3.
    pub flags: u16,
}

/// Reads the table.
pub fn madt(table: &[u8]) -> Option<Madt> {
    let mut madt = Madt {
        local: number::<4>(table, 36)?,
        ..Madt::default()
    };
    let mut rest = table.get(44..)?;
    while let [kind, len, ..] = *rest {
        let len = usize::from(len);
        let entry = rest.get(..len).filter(|_| len >= 2)?;
        rest = &rest[len..];
        // An entry that is too short for its kind spoils the table.
        match kind {
            0 => {
                let (id, flags) = (number::<1>(entry, 3)?, number::<4>(entry, 4)?);
                madt.cpu(id as u32, flags);
            }
            1 => madt.io.push(Io {
                address: number::<4>(entry, 4)?,
                first: number::<4>(entry, 8)? as u32,
            }),
            2 => madt.overrides.push(Override {
                irq: number::<1>(entry, 3)? as u8,
                line: number::<4>(entry, 4)? as u32,
                flags: number::<2>(entry, 8)? as u16,
            }),
            5 => madt.local = number::<8>(entry, 4)?,
            9 => {
                let (id, flags) = (number::<4>(entry, 4)?, number::<4>(entry, 8)?);
                madt.cpu(id as u32, flags);
            }
            _ => {}
        }
    }
    Some(madt)
}

impl Madt {
    /// Adds a CPU that is enabled. One that only could be plugged in later is not there.
    fn cpu(&mut self, id: u32, flags: u64) {
        if flags & 1 != 0 && !self.cpus.contains(&id) {
            self.cpus.push(id);
        }
    }
}
