//! The list of what a function can do: PCI 3.0, 6.7.

use super::Location;

/// Message-signalled interrupts.
pub const MSI: u8 = 0x05;
/// What its maker says.
pub const VENDOR: u8 = 0x09;
/// Message-signalled interrupts by a table.
pub const MSIX: u8 = 0x11;

/// Where capabilities of a kind are in configuration space. A list that leads astray, or in a
/// circle, ends.
pub fn find(location: Location, kind: u8) -> impl Iterator<Item = usize> {
    const STATUS: usize = 6;
    const LIST: u16 = 1 << 4;
    let has_list = location.read_u16(STATUS) & LIST != 0;
    let mut at = if has_list { location.read_u8(0x34) } else { 0 };
    // As many as fit behind the header.
    let mut left = (256 - 64) / 4;
    core::iter::from_fn(move || {
        while left > 0 && at >= 64 {
            left -= 1;
            let here = usize::from(at & !3);
            let header = location.read_u16(here);
            at = (header >> 8) as u8;
            if header as u8 == kind {
                return Some(here);
            }
        }
        None
    })
}
