//! Where configuration space lies in memory: PCI Firmware Specification 3.3, 4.1.2.

use super::{HEADER, number};
use alloc::vec::Vec;

/// Configuration space of some buses: a MiB for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Where that of bus 0 would be.
    pub address: u64,
    /// Number of the segment group.
    pub segment: u16,
    /// First bus.
    pub first: u8,
    /// Last bus.
    pub last: u8,
}

/// Reads the table: whole entries that make sense.
pub fn mcfg(table: &[u8]) -> Vec<Window> {
    let entries = table.get(HEADER + 8..).unwrap_or_default();
    entries
        .chunks_exact(16)
        .filter_map(|entry| {
            let window = Window {
                address: number::<8>(entry, 0)?,
                segment: number::<2>(entry, 8)? as u16,
                first: entry[10],
                last: entry[11],
            };
            let end = window
                .address
                .checked_add((u64::from(window.last) + 1) << 20);
            (window.address != 0 && window.first <= window.last && end.is_some()).then_some(window)
        })
        .collect()
}
