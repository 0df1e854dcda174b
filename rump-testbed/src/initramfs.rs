//! The guest's file system: an archive in the form that Linux unpacks into its memory when
//! it starts (cpio, "newc"; Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! A program has the same path inside as outside, and so have its libraries: its loader
//! finds them by its own rules, and what it says about itself (`current_exe`) is the same.

use crate::modules::Module;
use crate::program;
use cpio::newc::{Builder, ModeFileType, trailer};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs with more than this are copied without what only a debugger reads, in bytes:
/// the archive is in the guest's memory twice while it starts.
const LARGE: u64 = 4 << 20;

/// An archive that is being written.
pub(crate) struct Initramfs<W: Write> {
    out: W,
    names: BTreeSet<PathBuf>,
    entries: u32,
}

impl<W: Write> Initramfs<W> {
    pub fn new(out: W) -> Self {
        Self {
            out,
            names: BTreeSet::new(),
            entries: 0,
        }
    }

    /// A file of this machine's, elsewhere in the guest.
    pub fn copy(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let data = std::fs::read(from)
            .map_err(|error| io::Error::other(format!("{}: {error}", from.display())))?;
        self.file(to, 0o755, &data)
    }

    /// A program and its libraries.
    pub fn program(&mut self, path: &Path) -> io::Result<()> {
        for library in program::libraries(path)? {
            self.copy(&library, &library)?;
        }
        match stripped(path)? {
            Some(data) => self.file(path, 0o755, &data),
            None => self.copy(path, path),
        }
    }

    /// The modules, below `/modules`, and the order to load them in.
    pub fn modules(&mut self, modules: &[Module]) -> io::Result<()> {
        let mut order = String::new();
        for (name, object) in modules {
            let path = format!("/modules/{name}.ko");
            self.file(Path::new(&path), 0o644, object)?;
            order += &path;
            order.push('\n');
        }
        self.file(Path::new("/modules/order"), 0o644, order.as_bytes())
    }

    /// A file; nothing happens if there is one of that name.
    pub fn file(&mut self, path: &Path, mode: u32, data: &[u8]) -> io::Result<()> {
        for folder in path.ancestors().skip(1).collect::<Vec<_>>().iter().rev() {
            self.entry(folder, ModeFileType::Directory, 0o755, &[])?;
        }
        self.entry(path, ModeFileType::Regular, mode, data)
    }

    /// The end of the archive.
    pub fn finish(self) -> io::Result<W> {
        trailer(self.out)
    }

    fn entry(&mut self, path: &Path, kind: ModeFileType, mode: u32, data: &[u8]) -> io::Result<()> {
        let name = path.strip_prefix("/").unwrap_or(path);
        if name.as_os_str().is_empty() || !self.names.insert(name.to_path_buf()) {
            return Ok(());
        }
        let invalid = |what: &str| io::Error::other(format!("{}: {what}", path.display()));
        let text = name.to_str().ok_or_else(|| invalid("not UTF-8"))?;
        let size = u32::try_from(data.len()).map_err(|_| invalid("4 GiB or more"))?;
        self.entries += 1;
        let mut writer = Builder::new(text)
            .ino(self.entries)
            .mode(mode)
            .set_mode_file_type(kind)
            .write(&mut self.out, size);
        writer.write_all(data)?;
        writer.finish()?;
        Ok(())
    }
}

/// A large program without what only a debugger reads, if strip(1) is here to do that.
fn stripped(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let size = std::fs::metadata(path)
        .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?
        .len();
    if size < LARGE {
        return Ok(None);
    }
    let output = tempfile::NamedTempFile::new()?;
    let status = Command::new("strip")
        .args(["--strip-debug", "-o"])
        .args([output.path(), path])
        .status();
    if status.is_ok_and(|status| status.success()) {
        return std::fs::read(output.path()).map(Some);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::newc::Reader;

    fn names(mut archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        loop {
            let mut reader = Reader::new(archive).unwrap();
            if reader.entry().is_trailer() {
                return found;
            }
            let (name, mode) = (reader.entry().name().to_string(), reader.entry().mode());
            let mut data = Vec::new();
            io::Read::read_to_end(&mut reader, &mut data).unwrap();
            found.push((name, mode, data));
            archive = reader.finish().unwrap();
        }
    }

    #[test]
    fn folders_come_first_and_once() {
        let mut archive = Initramfs::new(Vec::new());
        archive.file(Path::new("/a/b/one"), 0o644, b"1").unwrap();
        archive.file(Path::new("/a/two"), 0o755, b"22").unwrap();
        archive.file(Path::new("/a/two"), 0o755, b"again").unwrap();
        let found = names(&archive.finish().unwrap());
        let expected = [
            ("a", 0o040_755, &b""[..]),
            ("a/b", 0o040_755, b""),
            ("a/b/one", 0o100_644, b"1"),
            ("a/two", 0o100_755, b"22"),
        ];
        let expected = expected.map(|(name, mode, data)| (name.to_string(), mode, data.to_vec()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_program_brings_its_libraries_and_keeps_its_path() {
        let own = std::env::current_exe().unwrap();
        let mut archive = Initramfs::new(Vec::new());
        archive.program(&own).unwrap();
        let found = names(&archive.finish().unwrap());
        let has = |path: &Path| {
            let name = path.strip_prefix("/").unwrap().to_str().unwrap();
            found.iter().any(|(each, ..)| each == name)
        };
        assert!(has(&own));
        assert!(
            program::libraries(&own)
                .unwrap()
                .iter()
                .all(|each| has(each))
        );
        assert!(archive_error("/nowhere").contains("/nowhere"));
    }

    fn archive_error(path: &str) -> String {
        let mut archive = Initramfs::new(Vec::new());
        archive.program(Path::new(path)).unwrap_err().to_string()
    }
}
