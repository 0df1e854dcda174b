//! Addresses for regions, where the firmware has given none.
//!
//! The usual firmware of virtual machines takes longer than an image to boot, most of it for
//! what an image does not want. That which is quick (qboot, SeaBIOS as made for QEMU's
//! microvm) leaves the regions of devices where reset has put them: at no address. Then, and
//! only then, they are placed here, below the last 20 MiB before 4 GiB, where every chip set
//! that QEMU has for PCs leaves room for them.

use super::bars::{self, Bar};
use super::{Found, Location};
use alloc::vec::Vec;

/// Where regions are placed. Above it are interrupt controllers and firmware.
const WINDOW: (u64, u64) = (0xe000_0000, 0xfeb0_0000);
/// No region that is smaller shares a page with another.
const LEAST: u64 = 4096;

/// Places the memory of all functions on the first bus, if none of it has a place. Nothing is
/// driven yet.
pub fn missing(functions: &[Found]) {
    let mut regions = Vec::new();
    let ordinary = functions.iter().filter(|function| function.header == 0);
    for function in ordinary {
        for bar in bars::all(function.location).filter(|bar| !bar.io) {
            if bar.address != 0 {
                return;
            }
            regions.push((function.location, bar));
        }
    }
    regions.sort_by_key(|(_, bar)| core::cmp::Reverse(bar.len));
    for ((location, bar), address) in regions.iter().zip(places(&regions)) {
        set(*location, bar, address);
    }
}

/// An address for each, as far as there is room: aligned to its size.
fn places(regions: &[(Location, Bar)]) -> impl Iterator<Item = u64> {
    let mut next = WINDOW.0;
    regions.iter().map_while(move |(_, bar)| {
        let len = bar.len.max(LEAST);
        let at = next.checked_next_multiple_of(len)?;
        next = at.checked_add(len).filter(|end| *end <= WINDOW.1)?;
        Some(at)
    })
}

fn set(location: Location, bar: &Bar, address: u64) {
    let at = bars::offset(bar.index);
    let kind = location.read(at) & 15;
    location.write(at, address as u32 | kind);
    if bars::is_wide(kind) {
        location.write(at + 4, (address >> 32) as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn regions_are_aligned_and_apart(sizes in proptest::collection::vec(4_u32..32, 0..40)) {
            let location = Location { bus: 0, device: 1, function: 0 };
            let bar = |size: u32| Bar { index: 0, io: false, address: 0, len: 1 << size };
            let mut regions: Vec<_> = sizes.iter().map(|size| (location, bar(*size))).collect();
            regions.sort_by_key(|(_, bar)| core::cmp::Reverse(bar.len));
            let mut end = WINDOW.0;
            for ((_, bar), at) in regions.iter().zip(places(&regions)) {
                proptest::prop_assert!(at >= end && at.is_multiple_of(bar.len));
                end = at + bar.len;
                proptest::prop_assert!(end <= WINDOW.1);
            }
        }
    }

    #[test]
    fn what_has_no_room_gets_none() {
        let location = Location {
            bus: 0,
            device: 1,
            function: 0,
        };
        let bar = |len| {
            (
                location,
                Bar {
                    index: 0,
                    io: false,
                    address: 0,
                    len,
                },
            )
        };
        assert_eq!(places(&[bar(1 << 29)]).count(), 0);
        assert_eq!(places(&[bar(1 << 28), bar(1 << 28)]).count(), 1);
        assert_eq!(places(&[bar(1 << 63), bar(16)]).count(), 0);
    }
}
