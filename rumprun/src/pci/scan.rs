//! Which functions there are: those of bus 0, and of the buses behind bridges.

use super::Location;
use alloc::vec::Vec;
use core::fmt;

/// A function that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub location: Location,
    /// Who made it.
    pub vendor: u16,
    /// What it is, by its maker's numbers.
    pub device: u16,
    /// What it is: class and subclass.
    pub class: u16,
    /// Layout of its header, without the bit of several functions.
    pub header: u8,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:04x}:{:04x} class {:04x}",
            self.location, self.vendor, self.device, self.class
        )
    }
}

/// What is in a place.
fn look(location: Location) -> Option<Found> {
    let id = location.read(0);
    if id & 0xffff == 0xffff || id == 0 {
        return None;
    }
    Some(Found {
        location,
        vendor: id as u16,
        device: (id >> 16) as u16,
        class: (location.read(8) >> 16) as u16,
        header: location.read_u8(14) & 0x7f,
    })
}

/// All functions. Each bus is looked at once, whatever bridges say.
pub fn functions() -> Vec<Found> {
    const BRIDGE: u8 = 1;
    const SECONDARY: usize = 0x19;
    let mut found = Vec::new();
    let mut seen = [false; 256];
    let mut buses = Vec::from([0_u8]);
    while let Some(bus) = buses.pop() {
        if core::mem::replace(&mut seen[usize::from(bus)], true) {
            continue;
        }
        for device in 0..32 {
            let first = Location {
                bus,
                device,
                function: 0,
            };
            if look(first).is_none() {
                continue;
            }
            let several = first.read_u8(14) & 0x80 != 0;
            for function in 0..if several { 8 } else { 1 } {
                if let Some(function) = look(Location { function, ..first }) {
                    if function.header == BRIDGE {
                        buses.push(function.location.read_u8(SECONDARY));
                    }
                    found.push(function);
                }
            }
        }
    }
    found.sort_by_key(|function| function.location);
    found
}
