//! What is in an image.

use super::object::ENTRY;
use crate::error::{Error, IoContext, Result};
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, elf};
use std::fmt::Write as _;
use std::path::Path;

/// The name and type of the note that says where the machine enters (Xen's
/// `public/elfnote.h`, `XEN_ELFNOTE_PHYS32_ENTRY`).
const NOTE: (&[u8], u32) = (b"Xen", 18);

/// A report for people: the sizes of file and memory, by what they are, and the entry.
///
/// # Errors
/// [`Error::Object`] for what is no image.
pub fn report(path: &Path) -> Result<String> {
    let data = std::fs::read(path).context("reading", path)?;
    let bad = |problem: String| Error::Object {
        path: path.into(),
        problem,
    };
    let image = Image::read(&data).map_err(|error| bad(error.to_string()))?;
    let entry = image.entry.ok_or_else(|| {
        bad(format!(
            "no image: it has no note that says where {ENTRY} is"
        ))
    })?;
    let mut text = String::new();
    let mut line = |name: &str, size: u64| {
        let _ = writeln!(text, "{name:<12} {:>9.1} KiB", size as f64 / 1024.0);
    };
    line("file", data.len() as u64);
    line("code", image.code);
    line("constants", image.constants);
    line("data", image.data);
    line("zeros", image.zeros);
    line(
        "memory",
        image.code + image.constants + image.data + image.zeros,
    );
    let _ = writeln!(text, "{:<12} {entry:#x}", "entry");
    Ok(text)
}

/// Sizes in bytes.
#[derive(Debug, Default)]
struct Image {
    code: u64,
    constants: u64,
    data: u64,
    zeros: u64,
    entry: Option<u32>,
}

impl Image {
    fn read(data: &[u8]) -> object::read::Result<Self> {
        let header = elf::FileHeader64::<Endianness>::parse(data)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, data)?;
        let mut image = Self::default();
        for section in sections.iter() {
            let (flags, size) = (section.sh_flags(endian), section.sh_size(endian));
            if flags & u64::from(elf::SHF_ALLOC) == 0 {
                continue;
            }
            let of = if flags & u64::from(elf::SHF_EXECINSTR) != 0 {
                &mut image.code
            } else if section.sh_type(endian) == elf::SHT_NOBITS {
                &mut image.zeros
            } else if flags & u64::from(elf::SHF_WRITE) != 0 {
                &mut image.data
            } else {
                &mut image.constants
            };
            *of += size;
            let Some(mut notes) = section.notes(endian, data)? else {
                continue;
            };
            while let Some(note) = notes.next()? {
                if note.name() == NOTE.0 && note.n_type(endian) == NOTE.1 {
                    let entry = note
                        .desc()
                        .first_chunk()
                        .map(|bytes| u32::from_le_bytes(*bytes));
                    image.entry = entry;
                }
            }
        }
        Ok(image)
    }
}
