//! What a PVH loader says: `hvm_start_info` of Xen's public header
//! arch-x86/hvm/start_info.h, version 1. What others say is read in
//! [`multiboot`].
//!
//! Strings are cut at a page, tables at what fits in here: a loader that gives nonsense gets
//! a machine with less memory, not an overrun.

use super::{Module, Start, multiboot};
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
    /// With the addresses of what is said of them.
    modules: [(Range, u64); MANY],
    module_count: usize,
    acpi: u64,
}

impl Default for Info {
    fn default() -> Self {
        Self {
            memory: Ranges::default(),
            used: Ranges::default(),
            command_line: 0,
            modules: [(Range::default(), 0); MANY],
            module_count: 0,
            acpi: 0,
        }
    }
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
    /// Reads what the loader says.
    ///
    /// # Safety
    /// The address came from the loader, and nothing that it left was written over.
    ///
    /// # Panics
    /// If it is nothing that is known.
    pub unsafe fn read(at: u64) -> Self {
        // SAFETY: by contract; the first 4 GiB are mapped.
        unsafe {
            let magic = read::<u32>(at);
            if magic == MAGIC {
                return Self::of_pvh(at);
            }
            let len = (magic as usize).min(multiboot::LONGEST);
            let list = slice::from_raw_parts(at as *const u8, len);
            multiboot::read(list, at).unwrap_or_else(|| {
                panic!("the loader is neither of PVH nor of Multiboot2: {magic:#x} at {at:#x}")
            })
        }
    }

    /// # Safety
    /// As for [`read`](Self::read).
    unsafe fn of_pvh(at: u64) -> Self {
        // SAFETY: by contract.
        unsafe {
            let mut info = Self::default();
            let (count, modules) = (read::<u32>(at + 12), read::<u64>(at + 16));
            if read::<u32>(at + 4) >= 1 {
                let table: u64 = read(at + 40);
                for entry in 0..u64::from(read::<u32>(at + 48)).min(MANY as u64) {
                    let entry = table + 24 * entry;
                    info.memory(read(entry), read(entry + 8), read(entry + 16));
                }
            }
            for module in 0..u64::from(count).min(MANY as u64) {
                let module = modules + 32 * module;
                info.module(read(module), read(module + 8), read(module + 16));
            }
            info.line(read(at + 24));
            info.acpi(read(at + 32));
            info.used.push(at, at + 56);
            info.used
                .push(modules, modules + 32 * info.module_count as u64);
            info
        }
    }

    /// Adds a piece of memory of a type of E820's.
    pub(super) fn memory(&mut self, start: u64, size: u64, kind: u32) {
        if kind == RAM {
            self.memory.push(start, start.saturating_add(size));
        }
    }

    /// Adds a module, and the address of what is said of it.
    pub(super) fn module(&mut self, start: u64, size: u64, line: u64) {
        let end = start.saturating_add(size);
        if self.module_count < MANY {
            self.modules[self.module_count] = (Range { start, end }, line);
            self.module_count += 1;
        }
        self.used.push(start, end);
        self.used.push(line, line.saturating_add(TEXT as u64));
    }

    /// Says where the command line is.
    pub(super) fn line(&mut self, at: u64) {
        self.command_line = at;
        self.used.push(at, at.saturating_add(TEXT as u64));
    }

    /// Says where ACPI's root pointer is.
    pub(super) fn acpi(&mut self, at: u64) {
        self.acpi = at;
    }

    /// What the program gets of it. Needs the heap.
    pub fn start(&self) -> Start {
        // SAFETY: as `read` was called; what is in `used` has not been given out.
        unsafe {
            let line = |address| String::from_utf8_lossy(text(address)).into_owned();
            // Xen's tools give an HVM guest its firmware so, in whose place the image is, and an
            // address of 0 if that was left out.
            let modules: Vec<_> = self.modules[..self.module_count]
                .iter()
                .filter(|(range, line)| {
                    range.start >= crate::memory::PAGE64 && text(*line) != b"firmware"
                })
                .map(|(range, about)| Module {
                    bytes: slice::from_raw_parts(
                        range.start as *const u8,
                        (range.end - range.start) as usize,
                    ),
                    command_line: line(*about),
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

#[cfg(test)]
impl Info {
    /// The modules, with where is what is said of them; where the command line is, and ACPI's
    /// root pointer.
    #[allow(clippy::type_complexity)]
    pub(super) fn places(&self) -> (&[(Range, u64)], u64, u64) {
        let modules = &self.modules[..self.module_count];
        (modules, self.command_line, self.acpi)
    }
}
