//! Base address registers: PCI 3.0, 6.2.5.1.

use super::Location;
use super::config::command;

/// A region of a function's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Which register, of six.
    pub index: usize,
    /// It is of ports.
    pub io: bool,
    /// Where it begins.
    pub address: u64,
    /// Bytes.
    pub len: u64,
}

/// Offset of the first register.
const FIRST: usize = 0x10;

/// Where a register is.
pub(super) fn offset(index: usize) -> usize {
    FIRST + 4 * index
}

/// Whether the low bits of a register say that the next one has the upper half.
pub(super) fn is_wide(low: u32) -> bool {
    low & 0b111 == 0b100
}

/// The regions of a function with an ordinary header that have a place.
pub fn read(location: Location) -> impl Iterator<Item = Bar> {
    all(location).filter(|bar| bar.io || bar.address != 0)
}

/// The same, with those that have none. Their sizes are found by writing ones,
/// so the function answers nothing meanwhile: for use before it is driven.
pub(super) fn all(location: Location) -> impl Iterator<Item = Bar> {
    let mut index = 0;
    core::iter::from_fn(move || {
        while index < 6 {
            let (bar, registers) = one(location, index);
            index += registers;
            if bar.is_some() {
                return bar;
            }
        }
        None
    })
}

/// The region of a register, and how many registers it takes.
fn one(location: Location, index: usize) -> (Option<Bar>, usize) {
    let at = offset(index);
    let value = location.read(at);
    let io = value & 1 != 0;
    let wide = is_wide(value) && index < 5;
    let answering = location.read_u16(4) & (command::IO | command::MEMORY);
    location.command(0, answering);
    let mask_of = |at| {
        let kept = location.read(at);
        location.write(at, u32::MAX);
        let mask = location.read(at);
        location.write(at, kept);
        mask
    };
    let low_bits = if io { 3 } else { 15 };
    let mut mask = u64::from(mask_of(at) & !low_bits);
    let mut address = u64::from(value & !low_bits);
    if wide {
        mask |= u64::from(mask_of(at + 4)) << 32;
        address |= u64::from(location.read(at + 4)) << 32;
    } else {
        // The upper half of ports may be fixed at 0.
        mask |= if io && mask & 0xffff_0000 == 0 {
            !0xffff
        } else {
            !0xffff_ffff
        };
    }
    location.command(answering, 0);
    let registers = if wide { 2 } else { 1 };
    let len = (!mask).wrapping_add(1);
    // A size that is no power of two is no size.
    let there = mask as u32 | (mask >> 32) as u32 != 0 && len.is_power_of_two();
    let none = mask & 0xffff_ffff == 0 && !wide;
    let bar = Bar {
        index,
        io,
        address,
        len,
    };
    ((there && !none).then_some(bar), registers)
}
