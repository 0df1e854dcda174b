//! Configuration space as the kernel may see it.
//!
//! Drivers and the bus follow two lists through it, of capabilities (PCI 3.0, 6.7) and
//! of extended ones (PCI Express 2.0, 7.9), and trust both: a loop would hold a virtual
//! CPU for good. So the lists are followed once, when a function is added; the kernel
//! sees them as far as they were sound then, whatever the device says later, and without
//! those of interrupts that the host does not give it. The function stands alone in its slot, so it is never one of several (header type, PCI
//! 3.0, 6.2.1).

use super::{Function, Kind};
use crate::errno::Errno;
use alloc::collections::{BTreeMap, BTreeSet};

/// Vendor and device (PCI 3.0, 6.2.1); these registers have the words' offsets.
pub const ID: usize = 0x00;
/// Command and status.
pub const COMMAND: usize = 0x04;
/// Class, subclass, interface, revision.
pub const CLASS: usize = 0x08;
/// BIST, header type, latency timer, cache line.
const HEADER_TYPE: usize = 0x0c;
/// The first of six base address registers.
const BARS: usize = 0x10;
/// Where the list of capabilities begins.
const CAPABILITIES: usize = 0x34;
/// The capabilities of messages as interrupts (PCI 3.0, appendix H).
const MSI: u32 = 0x05;
const MSIX: u32 = 0x11;
/// Where the extended ones do.
const EXTENDED: usize = 0x100;

/// In the command register: the device may be a bus master.
pub const BUS_MASTER: u32 = 1 << 2;
/// In the command register: regions of I/O ports, and of memory, answer.
pub const IO_AND_MEMORY: u32 = 3;
/// In the status register, which is the upper half.
const HAS_CAPABILITIES: u32 = 1 << (16 + 4);

/// Where lists go on, by the offset of the word that says so.
#[derive(Debug, Default)]
pub struct Header {
    first: u32,
    next: BTreeMap<usize, u32>,
}

/// One of the base address registers (PCI 3.0, 6.2.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Which.
    pub index: usize,
    /// It is of I/O ports, not of memory.
    pub io: bool,
    /// Where its region begins.
    pub base: u64,
}

/// Whether the kernel sees a capability: one of interrupts only if the host gives such.
fn is_shown(function: &dyn Function, id: u32) -> bool {
    match id {
        MSI => function.vectors(Kind::Msi) > 0,
        MSIX => function.vectors(Kind::Msix) > 0,
        _ => true,
    }
}

impl Header {
    /// Follows the lists of a function.
    ///
    /// # Errors
    /// `ENXIO` if it is not there, or not an ordinary function (a bridge).
    pub fn read(function: &dyn Function) -> Result<Self, Errno> {
        let id = function.config_read(ID)? & 0xffff;
        let kind = function.config_read(HEADER_TYPE)? >> 16 & 0x7f;
        if id == 0xffff || id == 0 || kind != 0 {
            return Err(Errno::NXIO);
        }
        let mut header = Self::default();
        if function.config_read(COMMAND)? & HAS_CAPABILITIES != 0 {
            header.first = header.follow(function)?;
        }
        if function.config_len() > EXTENDED {
            header.follow_extended(function)?;
        }
        Ok(header)
    }

    fn follow(&mut self, function: &dyn Function) -> Result<u32, Errno> {
        let sound = |at: u32| at >= 0x40 && at.is_multiple_of(4);
        let pointer = |word: u32, shift: u32| word >> shift & 0xff;
        let mut known = BTreeSet::new();
        let (mut first, mut last) = (0, None);
        let mut at = pointer(function.config_read(CAPABILITIES)?, 0);
        while sound(at) && known.insert(at) {
            let word = function.config_read(at as usize)?;
            if is_shown(function, word & 0xff) {
                match last {
                    None => first = at,
                    Some(last) => _ = self.next.insert(last, at),
                }
                last = Some(at as usize);
                self.next.insert(at as usize, 0);
            }
            at = pointer(word, 8);
        }
        Ok(first)
    }

    fn follow_extended(&mut self, function: &dyn Function) -> Result<(), Errno> {
        let mut at = EXTENDED;
        loop {
            let next = (function.config_read(at)? >> 20) as usize;
            let known = next == at || self.next.contains_key(&next);
            let inside = next >= EXTENDED && next + 4 <= function.config_len();
            let sound = inside && next.is_multiple_of(4) && !known;
            let next = if sound { next } else { 0 };
            self.next.insert(at, next as u32);
            if next == 0 {
                return Ok(());
            }
            at = next;
        }
    }

    /// What the kernel sees where the device says `word`.
    pub fn shown(&self, offset: usize, word: u32) -> u32 {
        match offset {
            HEADER_TYPE => word & !(0xff << 16),
            CAPABILITIES => word & !0xff | self.first,
            COMMAND if self.first == 0 => word & !HAS_CAPABILITIES,
            _ => match self.next.get(&offset) {
                Some(next) if offset < EXTENDED => word & !0xff00 | next << 8,
                Some(next) => word & 0xf_ffff | next << 20,
                None => word,
            },
        }
    }

    /// The base address registers as they are now, without those of no region.
    pub fn bars(function: &dyn Function) -> impl Iterator<Item = Bar> {
        let mut index = 0;
        core::iter::from_fn(move || {
            while index < 6 {
                let this = index;
                let word = function.config_read(BARS + 4 * this).ok()?;
                let io = word & 1 != 0;
                let wide = !io && word & 0b110 == 0b100 && this < 5;
                index += if wide { 2 } else { 1 };
                let high = if wide {
                    function.config_read(BARS + 4 * this + 4).ok()?
                } else {
                    0
                };
                if function.region_len(this) == 0 {
                    continue;
                }
                let low = word & if io { !0b11 } else { !0b1111 };
                return Some(Bar {
                    index: this,
                    io,
                    base: u64::from(high) << 32 | u64::from(low),
                });
            }
            None
        })
    }
}
