//! Relocatable objects: reading their symbols, and moving them into the kernel's
//! namespace.
//!
//! A rump kernel must not collide with its host, so every global symbol of a kernel
//! object gets the prefix `rumpns_`, except those that already belong to the rump
//! namespace and those that the compiler owns (`sys/rump/Makefile.rump`), and except calls
//! of what moves memory about, which the host does. The names
//! are changed in place: a longer string table is appended to the file and the symbols
//! point into it, which leaves every other byte where the assembler put it.
//!
//! The same pass marks link sets (`link_set_*` sections) as retained, because a linker
//! that collects garbage would drop their entries without a word, and notes what is
//! in them, so that the running kernel can be counted against it.

use crate::error::{Error, Result};
use object::Endianness;
use object::elf::{self, FileHeader64, SectionHeader64, Sym64};
use object::pod;
use object::read::elf::{FileHeader, SectionHeader, Sym};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// `SHF_GNU_RETAIN`: the linker keeps the section (binutils, GNU gABI extension).
const SHF_GNU_RETAIN: u64 = 0x20_0000;
/// Where an ELF file says which ABI its extensions follow (gABI, `e_ident`).
const EI_OSABI: usize = 7;
/// What the names of the retained sections start with.
const LINK_SET: &[u8] = b"link_set_";
/// A component's own record is a local object of this name and its type.
const COMPONENT: &[u8] = b"rumpcomp";

/// What is appended to the name of a definition that another component stands in front of.
pub const WRAPPED: &str = "_tree";

/// What a compiler calls of its own accord (GCC's manual, "Language Standards Supported by
/// GCC"). The host has these, too, and has faster ones: calls of them go there. What the
/// tree defines under these names stays in the kernel's namespace.
const HOST: [&[u8]; 4] = [b"memcmp", b"memcpy", b"memmove", b"memset"];

/// How the symbols of one object are treated.
#[derive(Debug, Clone, Default)]
pub struct Naming {
    /// Leave all names alone (host side, and wrappers generated into the namespace).
    pub keep_all: bool,
    /// Further prefixes that stay, from `RUMP_SYM_NORENAME`.
    pub keep_prefixes: Vec<String>,
    /// Names whose definitions step back behind another component's (`RUMP_WRAP`):
    /// they get [`WRAPPED`] appended, which is how that component reaches them.
    pub wrapped: BTreeSet<String>,
}

impl Naming {
    fn renamed(&self, name: &[u8], defined: bool) -> Option<Vec<u8>> {
        let wrapped =
            defined && std::str::from_utf8(name).is_ok_and(|name| self.wrapped.contains(name));
        if wrapped {
            let name = [name, WRAPPED.as_bytes()].concat();
            return Some(self.renamed(&name, false).unwrap_or(name));
        }
        let kept = [&b"rump"[..], b"RUMP", b"__"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            || !defined && HOST.contains(&name)
            || name == b"_GLOBAL_OFFSET_TABLE_"
            || self
                .keep_prefixes
                .iter()
                .any(|prefix| name.starts_with(prefix.as_bytes()));
        (!self.keep_all && !kept).then(|| [b"rumpns_", name].concat())
    }
}

/// The symbols of an object after renaming, and what it adds to the link sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symbols {
    /// Global definitions that exclude a second one.
    pub strong: Vec<String>,
    /// Weak and common definitions.
    pub weak: Vec<String>,
    /// What must be defined elsewhere.
    pub undefined: Vec<String>,
    /// Entries by link set.
    pub link_sets: BTreeMap<String, usize>,
    /// Components by the number of their type.
    pub components: BTreeMap<i32, u32>,
}

/// Renames the object in `data` and returns its new bytes.
///
/// # Errors
/// [`Error::Object`] if it is not a relocatable ELF object of this machine.
pub fn rename(path: &Path, data: &[u8], naming: &Naming) -> Result<Vec<u8>> {
    let bad = |problem: String| Error::Object {
        path: path.into(),
        problem,
    };
    let view = View::parse(data).map_err(bad)?;
    let mut out = data.to_vec();
    let mut strings = view.strings.to_vec();
    for (index, symbol) in view.symbols.iter().enumerate() {
        if symbol.is_local() || symbol.st_type() == elf::STT_SECTION || index == 0 {
            continue;
        }
        let name = view.symbol_name(symbol).map_err(bad)?;
        if let Some(new) = naming.renamed(name, symbol.st_shndx(view.endian) != elf::SHN_UNDEF) {
            let offset = u32::try_from(strings.len())
                .map_err(|_| bad("its string table is too large".into()))?;
            strings.extend_from_slice(&new);
            strings.push(0);
            let at = view.symbols_at + index * size_of::<Sym64<Endianness>>();
            out[at..at + 4].copy_from_slice(&offset.to_le_bytes());
        }
    }
    for (index, section) in view.sections.iter().enumerate() {
        let at = view.sections_at + index * size_of::<SectionHeader64<Endianness>>();
        if view
            .section_name(section)
            .map_err(bad)?
            .starts_with(LINK_SET)
        {
            let flags = section.sh_flags(view.endian) | SHF_GNU_RETAIN;
            out[at + 8..at + 16].copy_from_slice(&flags.to_le_bytes());
        }
        if index == view.strings_index {
            out.resize(out.len().next_multiple_of(16), 0);
            let (offset, size) = (out.len() as u64, strings.len() as u64);
            out[at + 24..at + 32].copy_from_slice(&offset.to_le_bytes());
            out[at + 32..at + 40].copy_from_slice(&size.to_le_bytes());
            out.extend_from_slice(&strings);
        }
    }
    // The flag has a meaning only in objects of the GNU ABI.
    out[EI_OSABI] = elf::ELFOSABI_GNU;
    Ok(out)
}

/// Reads the symbols and link sets of a (renamed) object.
///
/// # Errors
/// [`Error::Object`].
pub fn symbols(path: &Path, data: &[u8]) -> Result<Symbols> {
    let bad = |problem: String| Error::Object {
        path: path.into(),
        problem,
    };
    let view = View::parse(data).map_err(bad)?;
    let mut found = Symbols::default();
    for symbol in view.symbols.iter().skip(1) {
        let name = view.symbol_name(symbol).map_err(bad)?;
        if symbol.is_local() {
            if let Some(kind) = view.component_type(symbol, name) {
                *found.components.entry(kind).or_default() += 1;
            }
            continue;
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let weak = symbol.is_weak();
        match symbol.st_shndx(view.endian) {
            elf::SHN_UNDEF if weak => {}
            elf::SHN_UNDEF => found.undefined.push(name),
            elf::SHN_COMMON => found.weak.push(name),
            _ if weak => found.weak.push(name),
            _ => found.strong.push(name),
        }
    }
    for section in view.sections {
        let name = view.section_name(section).map_err(bad)?;
        let entries = section.sh_size(view.endian) as usize / size_of::<u64>();
        if let Some(set) = name.strip_prefix(LINK_SET).filter(|_| entries > 0) {
            *found
                .link_sets
                .entry(String::from_utf8_lossy(set).into_owned())
                .or_default() += entries;
        }
    }
    Ok(found)
}

/// A parsed object: the few tables that are needed, and where they lie in the file.
struct View<'a> {
    data: &'a [u8],
    endian: Endianness,
    sections: &'a [SectionHeader64<Endianness>],
    sections_at: usize,
    section_names: &'a [u8],
    symbols: &'a [Sym64<Endianness>],
    symbols_at: usize,
    strings: &'a [u8],
    strings_index: usize,
}

impl<'a> View<'a> {
    fn parse(data: &'a [u8]) -> Result<Self, String> {
        let text = |error: object::Error| error.to_string();
        let header = FileHeader64::<Endianness>::parse(data).map_err(text)?;
        let endian = header.endian().map_err(text)?;
        if header.e_type(endian) != elf::ET_REL || header.e_machine(endian) != elf::EM_X86_64 {
            return Err("it is not a relocatable x86_64 object".into());
        }
        let sections = header.section_headers(endian, data).map_err(text)?;
        let names = sections
            .get(header.shstrndx(endian, data).map_err(text)? as usize)
            .ok_or("it has no section names")?;
        let table = sections
            .iter()
            .find(|section| section.sh_type(endian) == elf::SHT_SYMTAB)
            .ok_or("it has no symbol table")?;
        let bytes = table.data(endian, data).map_err(text)?;
        let symbols =
            pod::slice_from_all_bytes(bytes).map_err(|()| "its symbol table is malformed")?;
        let strings_index = table.sh_link(endian) as usize;
        let strings = sections
            .get(strings_index)
            .ok_or("its symbol table has no strings")?
            .data(endian, data)
            .map_err(text)?;
        Ok(Self {
            data,
            endian,
            sections,
            sections_at: header.e_shoff(endian) as usize,
            section_names: names.data(endian, data).map_err(text)?,
            symbols,
            symbols_at: table.sh_offset(endian) as usize,
            strings,
            strings_index,
        })
    }

    fn symbol_name(&self, symbol: &Sym64<Endianness>) -> Result<&'a [u8], String> {
        string_at(self.strings, symbol.st_name(self.endian))
    }

    fn section_name(&self, section: &SectionHeader64<Endianness>) -> Result<&'a [u8], String> {
        string_at(self.section_names, section.sh_name(self.endian))
    }

    /// A component's record starts with the number of its type.
    fn component_type(&self, symbol: &Sym64<Endianness>, name: &[u8]) -> Option<i32> {
        let kind = name.strip_prefix(COMPONENT)?;
        let is_record = symbol.st_type() == elf::STT_OBJECT
            && (kind.starts_with(b"RUMP_COMPONENT_") || kind.starts_with(b"RUMP__FACTION_"));
        let section = self
            .sections
            .get(symbol.st_shndx(self.endian) as usize)
            .filter(|_| is_record)?;
        let start = symbol.st_value(self.endian) as usize;
        let bytes = section
            .data(self.endian, self.data)
            .ok()?
            .get(start..start.checked_add(4)?)?;
        Some(i32::from_le_bytes(bytes.try_into().ok()?))
    }
}

fn string_at(table: &[u8], offset: u32) -> Result<&[u8], String> {
    let rest = table
        .get(offset as usize..)
        .ok_or("a name lies outside of its string table")?;
    let end = rest
        .iter()
        .position(|byte| *byte == 0)
        .ok_or("a name has no end")?;
    Ok(&rest[..end])
}
