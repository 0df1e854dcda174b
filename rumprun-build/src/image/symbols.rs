//! Names for the addresses of a backtrace: what an image says on its console passes through
//! here, and where a line tells an address of code, the function is added.
//!
//! ```text
//!   at 0x4612f0                      as the image's kernel says it
//!    3: 0x25a6f0 - <unknown>         as std does, with RUST_BACKTRACE=full
//! ```
//!
//! The image itself has no symbols, to be small; they are in the file beside it.

use crate::error::{Error, IoContext, Result};
use object::read::elf::{FileHeader, Sym};
use object::{Endianness, elf};
use std::io::{self, Write};
use std::path::Path;

/// Of a line, so much is looked at.
const LONGEST: usize = 200;

/// The functions of a program.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// Addresses, sizes (0 if nobody says) and names, by address.
    functions: Vec<(u64, u64, String)>,
}

impl Symbols {
    /// Reads those of a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Object`] for what is no program.
    pub fn read(path: &Path) -> Result<Self> {
        let data = std::fs::read(path).context("reading", path)?;
        let functions = functions(&data).map_err(|error| Error::Object {
            path: path.into(),
            problem: error.to_string(),
        })?;
        Ok(Self { functions })
    }

    /// The function that has an address, and how far it is from its beginning.
    pub fn find(&self, address: u64) -> Option<String> {
        let after = self.functions.partition_point(|(at, ..)| *at <= address);
        let (at, size, name) = self.functions.get(after.checked_sub(1)?)?;
        let offset = address - at;
        // What assembly does not measure ends where the next begins, or nowhere.
        if *size != 0 && offset > *size {
            return None;
        }
        let name = rustc_demangle::demangle(name);
        Some(format!("{name:#} + {offset:#x}"))
    }
}

fn functions(data: &[u8]) -> object::read::Result<Vec<(u64, u64, String)>> {
    let header = elf::FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, data)?;
    let symbols = sections.symbols(endian, data, elf::SHT_SYMTAB)?;
    let mut functions = Vec::new();
    for symbol in symbols.iter() {
        if symbol.st_type() == elf::STT_FUNC && symbol.st_shndx(endian) != elf::SHN_UNDEF {
            let name = String::from_utf8_lossy(symbol.name(endian, symbols.strings())?);
            let (at, size) = (symbol.st_value(endian), symbol.st_size(endian));
            functions.push((at, size, name.into_owned()));
        }
    }
    functions.sort();
    functions.dedup_by_key(|(at, ..)| *at);
    Ok(functions)
}

/// The address that a line of a backtrace tells.
fn address(line: &str) -> Option<u64> {
    let line = line.trim();
    let text = match line.strip_prefix("at 0x") {
        Some(rest) => rest,
        None => line.strip_suffix(" - <unknown>")?.split_once("0x")?.1,
    };
    u64::from_str_radix(text, 16).ok()
}

/// Passes on what it is written, at once, and adds names at the ends of lines.
#[derive(Debug)]
pub struct Named<W> {
    symbols: Symbols,
    line: Vec<u8>,
    /// A carriage return that may belong to the end of a line.
    held: bool,
    to: W,
}

impl<W: Write> Named<W> {
    /// To be passed on to there.
    pub fn new(symbols: Symbols, to: W) -> Self {
        Self {
            symbols,
            line: Vec::new(),
            held: false,
            to,
        }
    }

    /// Where it is passed on to.
    pub fn get_ref(&self) -> &W {
        &self.to
    }

    fn end_line(&mut self) -> io::Result<()> {
        let name = std::str::from_utf8(&self.line).ok().and_then(address);
        if let Some(name) = name.and_then(|address| self.symbols.find(address)) {
            write!(self.to, "  {name}")?;
        }
        self.line.clear();
        let end: &[u8] = if self.held { b"\r\n" } else { b"\n" };
        self.held = false;
        self.to.write_all(end)
    }

    fn release(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.held) {
            self.to.write_all(b"\r")?;
        }
        Ok(())
    }

    /// Writes bytes of one line.
    fn part(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some((last, before)) = bytes.split_last() else {
            return Ok(());
        };
        self.release()?;
        let bytes = match last {
            b'\r' => {
                self.held = true;
                before
            }
            _ => bytes,
        };
        let room = LONGEST.saturating_sub(self.line.len());
        self.line.extend(bytes.iter().take(room));
        self.to.write_all(bytes)
    }
}

impl<W: Write> Write for Named<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        self.part(lines.next().unwrap_or_default())?;
        for line in lines {
            self.end_line()?;
            self.part(line)?;
        }
        self.to.flush()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols() -> Symbols {
        let of = |at, size, name: &str| (at, size, name.to_string());
        Symbols {
            functions: vec![
                of(0x1000, 0x10, "_ZN7rumprun5sched4idle17h2cbcd8d3f20efa9dE"),
                of(0x2000, 0, "pvh_start"),
            ],
        }
    }

    fn passed(parts: &[&str]) -> String {
        let mut named = Named::new(symbols(), Vec::new());
        for part in parts {
            named.write_all(part.as_bytes()).unwrap();
        }
        String::from_utf8(named.to).unwrap()
    }

    #[test]
    fn addresses_of_a_backtrace_get_names() {
        assert_eq!(
            passed(&["  at 0x1004\r\n"]),
            "  at 0x1004  rumprun::sched::idle + 0x4\r\n"
        );
        assert_eq!(
            passed(&["  at 0", "x2", "010", "\n"]),
            "  at 0x2010  pvh_start + 0x10\n"
        );
        let std = "   3:           0x1000 - <unknown>\r\n";
        assert!(passed(&[std]).ends_with("<unknown>  rumprun::sched::idle + 0x0\r\n"));
    }

    #[test]
    fn what_is_no_address_stays() {
        for text in [
            "  at 0x1011\r\n",
            "  at 0x1\n",
            "at 0xzz\n",
            "0x1004\n",
            "\r\n\r\r\n",
            "no end",
            "\n\n",
            "  at 0x11111111111111111\n",
            "\u{e9}\r",
        ] {
            let expected = text.strip_suffix('\r').unwrap_or(text);
            assert_eq!(passed(&[text]), expected, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost(parts in proptest::collection::vec("[a-z\r\n 0x]{0,6}", 0..12)) {
            let mut parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            parts.push(".");
            proptest::prop_assert_eq!(passed(&parts), parts.concat());
        }
    }

    #[test]
    fn only_programs_have_symbols() {
        assert!(functions(b"nothing").is_err());
        let own = std::env::current_exe().unwrap();
        assert!(!Symbols::read(&own).unwrap().functions.is_empty());
    }
}
