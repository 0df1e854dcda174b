//! What a PVH loader says: `hvm_start_info` of Xen's public header
//! arch-x86/hvm/start_info.h, version 1.
//!
//! Strings are cut at a page, tables at what fits in here: a loader that gives nonsense gets
//! a machine with less memory, not an overrun.

use super::{Module, Start};
use alloc::string::String;
use alloc::vec::Vec;
use core::slice;

/// `XEN_HVM_START_MAGIC_VALUE`.
const MAGIC: u32 = 0x336e_c578;
/// `XEN_HVM_MEMMAP_TYPE_RAM`, as in E820.
const RAM: u32 = 1;
/// Longest command line.
const TEXT: usize = 4096;
/// Most modules and most pieces of memory that are looked at.
const MANY: usize = 64;

/// A range of physical addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first address.
    pub start: u64,
    /// The one behind the last.
    pub end: u64,
}

/// A table of at most [`MANY`] ranges.
#[derive(Clone, Copy, Debug)]
pub struct Ranges {
    ranges: [Range; MANY],
    len: usize,
}

impl Default for Ranges {
    fn default() -> Self {
        Self {
            ranges: [Range::default(); MANY],
            len: 0,
        }
    }
}

impl Ranges {
    /// Adds one, unless it is empty or the table is full.
    pub fn push(&mut self, start: u64, end: u64) {
        if start < end && self.len < MANY {
            self.ranges[self.len] = Range { start, end };
            self.len += 1;
        }
    }

    /// Those that were added.
    pub fn as_slice(&self) -> &[Range] {
        &self.ranges[..self.len]
    }
}

/// The loader's words, before there is a heap.
#[derive(Debug)]
pub struct Info {
    /// Memory that is there.
    pub memory: Ranges,
    /// Memory that holds what the loader left: its structures and the modules.
    pub used: Ranges,
    command_line: u64,
    modules: (u64, usize),
    acpi: u64,
}

/// Reads a field at a physical address.
///
/// # Safety
/// The address is mapped and holds plain data.
unsafe fn read<T: Copy>(address: u64) -> T {
    // SAFETY: by contract.
    unsafe { (address as *const T).read_unaligned() }
}

/// A text at a physical address, without its NUL.
///
/// # Safety
/// As for [`read`], for as long as it is used.
unsafe fn text(address: u64) -> &'static [u8] {
    if address == 0 {
        return &[];
    }
    // SAFETY: by contract, up to the NUL.
    let len = (0..TEXT as u64)
        .position(|at| unsafe { read::<u8>(address + at) } == 0)
        .unwrap_or(TEXT);
    // SAFETY: as above.
    unsafe { slice::from_raw_parts(address as *const u8, len) }
}

impl Info {
    /// Reads the structure.
    ///
    /// # Safety
    /// The address came from a PVH loader, and nothing that it left was written over.
    ///
    /// # Panics
    /// If it is no such structure.
    pub unsafe fn read(at: u64) -> Self {
        // SAFETY: by contract, also all of the reads below; the first 4 GiB are mapped.
        unsafe {
            let magic = read::<u32>(at);
            assert!(
                magic == MAGIC,
                "the loader gave no PVH start info: {magic:#x} at {at:#x}"
            );
            let version = read::<u32>(at + 4);
            let mut info = Self {
                memory: Ranges::default(),
                used: Ranges::default(),
                command_line: read(at + 24),
                modules: (read(at + 16), (read::<u32>(at + 12) as usize).min(MANY)),
                acpi: read(at + 32),
            };
            if version >= 1 {
                let table: u64 = read(at + 40);
                for entry in 0..u64::from(read::<u32>(at + 48)).min(MANY as u64) {
                    let entry = table + 24 * entry;
                    let (start, size): (u64, u64) = (read(entry), read(entry + 8));
                    if read::<u32>(entry + 16) == RAM {
                        info.memory.push(start, start.saturating_add(size));
                    }
                }
            }
            for module in 0..info.modules.1 as u64 {
                let module = info.modules.0 + 32 * module;
                let (start, size): (u64, u64) = (read(module), read(module + 8));
                info.used.push(start, start.saturating_add(size));
                let line: u64 = read(module + 16);
                info.used.push(line, line + TEXT as u64);
            }
            info.used.push(at, at + 56);
            info.used
                .push(info.command_line, info.command_line + TEXT as u64);
            info.used
                .push(info.modules.0, info.modules.0 + 32 * info.modules.1 as u64);
            info
        }
    }

    /// What the program gets of it. Needs the heap.
    pub fn start(&self) -> Start {
        // SAFETY: as `read` was called; what is in `used` has not been given out.
        unsafe {
            let line = |address| String::from_utf8_lossy(text(address)).into_owned();
            // Xen's tools give an HVM guest its firmware so, in whose place the image is, and an
            // address of 0 if that was left out.
            let modules: Vec<_> = (0..self.modules.1 as u64)
                .filter(|module| {
                    let module = self.modules.0 + 32 * module;
                    read::<u64>(module) >= crate::memory::PAGE64
                        && text(read(module + 16)) != b"firmware"
                })
                .map(|module| {
                    let module = self.modules.0 + 32 * module;
                    Module {
                        bytes: slice::from_raw_parts(
                            read::<u64>(module) as *const u8,
                            read::<u64>(module + 8) as usize,
                        ),
                        command_line: line(read(module + 16)),
                    }
                })
                .collect();
            Start {
                command_line: line(self.command_line),
                modules,
                acpi: (self.acpi != 0).then_some(self.acpi),
            }
        }
    }
}
