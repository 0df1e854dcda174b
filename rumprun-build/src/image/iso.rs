//! An ISO that a machine's BIOS boots, from a CD or, as it is, from a disk: GRUB with the image,
//! made by `grub-mkrescue(1)`. GRUB loads the image by Multiboot2.
//!
//! What GRUB says is on the screen and on the first serial port. A machine whose image it cannot
//! load is turned off.

use super::line::Line;
use super::run_quietly;
use crate::error::{Error, IoContext, Result};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Command;

/// Writes an ISO that boots an image, with an archive that is the root of its file system, and
/// what it is told.
///
/// # Errors
/// [`Error::Program`] for what has to be installed; [`Error::Command`] with the words of
/// grub-mkrescue; [`Error::Image`] for arguments that GRUB does not pass on as they are.
pub fn write(image: &Path, root: Option<&Path>, line: &Line, to: &Path) -> Result<()> {
    let text = configuration(line, root.is_some())?;
    let stage = tempfile::tempdir().context("creating", std::env::temp_dir())?;
    let boot = stage.path().join("boot");
    fs::create_dir_all(boot.join("grub")).context("creating", &boot)?;
    let mut data = fs::read(image).context("reading", image)?;
    without_sections(&mut data);
    let place = boot.join("image");
    fs::write(&place, data).context("writing", &place)?;
    if let Some(root) = root {
        fs::copy(root, boot.join("root.cpio")).context("copying", root)?;
    }
    let place = boot.join("grub/grub.cfg");
    fs::write(&place, text).context("writing", &place)?;
    needs("xorriso", "-version", "xorriso")?;
    needs("grub-mkrescue", "--version", "grub-common")?;
    let mut command = Command::new("grub-mkrescue");
    command.arg("-o").arg(to).arg(stage.path());
    run_quietly("make an ISO of the image", &mut command)?;
    if boots_by_bios(to)? {
        return Ok(());
    }
    Err(lacking(
        "grub-mkrescue",
        "the ISO does not boot by a BIOS, for GRUB's part for that is not installed".into(),
        "grub-pc-bin",
    ))
}

/// Takes the table of sections away from an ELF64 file (elf(5)): GRUB loads by program headers,
/// but refuses files in whose sections it finds relocations, which static programs of glibc have
/// and do themselves.
fn without_sections(data: &mut [u8]) {
    // e_shoff; e_shentsize, e_shnum and e_shstrndx.
    for range in [40..48, 58..64] {
        if let Some(field) = data.get_mut(range) {
            field.fill(0);
        }
    }
}

fn lacking(program: &'static str, problem: String, debian: &'static str) -> Error {
    Error::Program {
        program,
        purpose: "make an ISO of the image",
        problem,
        debian,
        fedora: if program == "xorriso" {
            "xorriso"
        } else {
            "grub2-tools-extra grub2-pc-modules"
        },
        pkgsrc: if program == "xorriso" {
            "xorriso"
        } else {
            "grub2"
        },
        variable: "PATH",
    }
}

fn needs(program: &'static str, version: &str, debian: &'static str) -> Result<()> {
    match Command::new(program).arg(version).output() {
        Ok(_) => Ok(()),
        Err(error) => {
            let problem = format!("it could not be started ({error})");
            Err(lacking(program, problem, debian))
        }
    }
}

/// What GRUB does.
fn configuration(line: &Line, root: bool) -> Result<String> {
    let mut text = String::from(
        "serial --unit=0 --speed=115200\n\
         terminal_output console serial\n\
         set timeout=0\n\
         multiboot2 /boot/image",
    );
    for word in line.words() {
        text.push(' ');
        text += &quote(&word)?;
    }
    text.push('\n');
    if root {
        text += "module2 /boot/root.cpio\n";
    }
    // After a mistake, which it has told, GRUB comes to the next line.
    text += "boot\nhalt\n";
    Ok(text)
}

/// A word as it stands in GRUB's configuration. It comes to the image as it was: GRUB puts `"`
/// around words with blanks and `\` before what would mean something.
fn quote(word: &str) -> Result<String> {
    let strange = |c: char| c != ' ' && (c.is_whitespace() || c.is_control());
    if word.is_empty() || word.contains(strange) || word.contains("\\x") {
        return Err(Error::Image(format!(
            "GRUB passes {word:?} not on as it is: an argument, variable or setting of an image \
             on an ISO is not empty, and has neither \\x nor other white space than blanks"
        )));
    }
    Ok(format!("'{}'", word.replace('\'', r"'\''")))
}

/// Whether an ISO says that a BIOS can boot it: the first entry of its boot catalog is for that
/// (El Torito, version 1.0, 2.0 and 2.1).
fn boots_by_bios(iso: &Path) -> Result<bool> {
    const SECTOR: u64 = 2048;
    const RECORD: u64 = 17;
    let mut file = File::open(iso).context("reading", iso)?;
    let mut read = |sector: u64| -> Result<[u8; 0x60]> {
        let mut bytes = [0; 0x60];
        file.seek(SeekFrom::Start(sector * SECTOR))
            .and_then(|_| file.read_exact(&mut bytes))
            .context("reading", iso)?;
        Ok(bytes)
    };
    let record = read(RECORD)?;
    let name = b"CD001\x01EL TORITO SPECIFICATION";
    if !record[1..].starts_with(name) {
        return Ok(false);
    }
    let catalog = u32::from_le_bytes([record[0x47], record[0x48], record[0x49], record[0x4a]]);
    let entry = read(catalog.into())?;
    // A header, of the platform 80x86, and an entry that boots.
    Ok(entry[0] == 1 && entry[1] == 0 && entry[0x20] == 0x88)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_has_each_word_quoted() {
        let line = Line {
            arguments: ["serve", "it's \"two\" words"].map(String::from).into(),
            ..Line::default()
        };
        let text = configuration(&line.with("env", "A=b"), true).unwrap();
        let expected = "multiboot2 /boot/image 'env=A=b' '--' 'serve' 'it'\\''s \"two\" words'\n\
            module2 /boot/root.cpio\nboot\nhalt\n";
        assert!(text.ends_with(expected), "{text}");
        for wrong in ["", "a\tb", "a\nb", "\\x41"] {
            assert!(quote(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn sections_are_taken_away_and_parts_stay() {
        use object::read::elf::FileHeader;
        let mut data = fs::read("/proc/self/exe").unwrap();
        without_sections(&mut data);
        let header = object::elf::FileHeader64::<object::Endianness>::parse(&*data).unwrap();
        let endian = header.endian().unwrap();
        assert!(header.sections(endian, &*data).unwrap().is_empty());
        assert!(!header.program_headers(endian, &*data).unwrap().is_empty());
        without_sections(&mut data[..50]);
    }

    #[test]
    fn what_is_no_iso_boots_nowhere() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(boots_by_bios(file.path()).is_err());
        file.as_file().set_len(100 << 10).unwrap();
        assert!(!boots_by_bios(file.path()).unwrap());
    }
}
