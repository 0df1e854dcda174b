//! What the firmware says of the machine: ACPI 6.5, chapter 5.
//!
//! Only tables that are data are read; nothing of AML is run but the name `_S5`, which tells
//! how to power off, and whose value is a constant.
//!
//! Firmware is input: each parser takes bytes, and checks before it reads. What is malformed
//! is left out, with a message. Lengths are bounded, so that nonsense costs no time.

mod fixed;
mod madt;
mod mcfg;
#[cfg(test)]
mod tests;

pub use fixed::{Fixed, Sleep, power_off_types};
pub use madt::{Io, Madt, Override, madt};
pub use mcfg::{Window, mcfg};

use alloc::vec::Vec;

/// Longest table that is looked at.
const LONGEST: usize = 4 << 20;
/// Most tables.
const MANY: usize = 256;
/// Bytes of a table's header.
const HEADER: usize = 36;

/// Physical memory, as far as it is there.
pub trait Memory {
    /// So many bytes from an address on, or `None` if they are not all there.
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]>;
}

/// A number of `N` bytes at an offset, the lowest byte first.
pub(crate) fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(N)?)?;
    Some(
        field
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte)),
    )
}

/// Whether all bytes add up to 0, as they do in each structure.
fn is_sound(bytes: &[u8]) -> bool {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == 0
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// CPUs and interrupt controllers.
    pub madt: Option<Madt>,
    /// Address of the high precision event timer.
    pub hpet: Option<u64>,
    /// Where configuration space lies in memory.
    pub mcfg: Vec<Window>,
    /// How to power off and to reset.
    pub fixed: Option<Fixed>,
    /// Signatures of tables that are malformed.
    pub malformed: Vec<[u8; 4]>,
}

/// Looks for the root pointer where firmware of PCs has it: in the last 128 KiB below 1 MiB.
pub fn search(memory: &impl Memory) -> Option<u64> {
    (0xe_0000..0x10_0000)
        .step_by(16)
        .find(|at| root(memory, *at).is_some())
}

/// Address of the table of tables, and how long an entry of it is.
fn root(memory: &impl Memory, at: u64) -> Option<(u64, usize)> {
    let short = memory.bytes(at, 20)?;
    if &short[..8] != b"RSD PTR " || !is_sound(short) {
        return None;
    }
    if short[15] >= 2 {
        let long = memory.bytes(at, HEADER)?;
        let table = number::<8>(long, 24)?;
        if is_sound(long) && table != 0 {
            return Some((table, 8));
        }
    }
    Some((number::<4>(short, 16)?, 4))
}

/// A table, if it is one.
fn table(memory: &impl Memory, at: u64) -> Result<&[u8], [u8; 4]> {
    let header = memory.bytes(at, HEADER).ok_or(*b"????")?;
    let signature = [header[0], header[1], header[2], header[3]];
    let len = number::<4>(header, 4).map_or(0, |len| len as usize);
    Some(len)
        .filter(|len| (HEADER..LONGEST).contains(len))
        .and_then(|len| memory.bytes(at, len))
        .filter(|table| is_sound(table))
        .ok_or(signature)
}

/// Reads all tables that the root pointer at an address leads to.
pub fn read(memory: &impl Memory, at: u64) -> Option<Machine> {
    let (tables, width) = root(memory, at)?;
    let mut machine = Machine::default();
    let list = match table(memory, tables) {
        Ok(list) => list,
        Err(signature) => {
            machine.malformed.push(signature);
            return Some(machine);
        }
    };
    for entry in list[HEADER..].chunks_exact(width).take(MANY) {
        let at = if width == 8 {
            number::<8>(entry, 0)
        } else {
            number::<4>(entry, 0)
        };
        let table = match table(memory, at.unwrap_or(0)) {
            Ok(table) => table,
            Err(signature) => {
                machine.malformed.push(signature);
                continue;
            }
        };
        let sound = match &table[..4] {
            b"APIC" => {
                machine.madt = madt(table);
                machine.madt.is_some()
            }
            b"HPET" => {
                machine.hpet = hpet(table);
                machine.hpet.is_some()
            }
            b"MCFG" => {
                machine.mcfg = mcfg(table);
                true
            }
            b"FACP" => {
                machine.fixed = fixed::fixed(table, memory);
                machine.fixed.is_some()
            }
            _ => true,
        };
        if !sound {
            machine
                .malformed
                .push([table[0], table[1], table[2], table[3]]);
        }
    }
    Some(machine)
}

/// Address of the timer (IA-PC HPET 1.0a, 3.2.4); one in memory.
fn hpet(table: &[u8]) -> Option<u64> {
    let space = number::<1>(table, 40)?;
    let address = number::<8>(table, 44)?;
    (space == 0 && address != 0).then_some(address)
}
