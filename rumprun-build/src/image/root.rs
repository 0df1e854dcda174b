//! The root of an image's file system: a folder, which becomes an archive beside the image
//! (cpio, "newc"), or a disk.

use crate::error::{Error, IoContext, Result};
use cpio::newc::{Builder, trailer};
use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader, ProgramHeader};
use std::fs::{File, Metadata};
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `S_IFMT` and its values for what is archived (inode(7)).
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;
const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

/// What `--root` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// A folder.
    Folder(PathBuf),
    /// A file that is a disk with a file system on it.
    Disk(PathBuf),
}

/// Components that the kernel needs for a disk.
pub const OF_DISKS: [&str; 3] = ["dev", "fs", "vfs"];

impl Root {
    /// Looks what a path is.
    ///
    /// # Errors
    /// [`Error::Image`] if there is nothing.
    pub fn of(path: &Path) -> Result<Self> {
        match path.metadata() {
            Ok(about) if about.is_dir() => Ok(Self::Folder(path.into())),
            Ok(_) => Ok(Self::Disk(path.into())),
            Err(error) => Err(Error::Image(format!("--root {}: {error}", path.display()))),
        }
    }
}

/// Where an image may begin, in bytes, that runs a program which must lie where it was linked to;
/// `None` for one that may lie anywhere, or is none.
pub fn base_for(program: &Path) -> Option<u64> {
    const EXECUTABLE: u16 = 2;
    const LOADED: u32 = 1;
    const STEP: u64 = 2 << 20;
    let data = std::fs::read(program).ok()?;
    let header = FileHeader64::<Endianness>::parse(&*data).ok()?;
    let endian = header.endian().ok()?;
    if header.e_type(endian) != EXECUTABLE {
        return None;
    }
    let parts = header.program_headers(endian, &*data).ok()?.iter();
    let parts = parts.filter(|part| part.p_type(endian) == LOADED);
    let end = parts.map(|part| part.p_vaddr(endian).saturating_add(part.p_memsz(endian)));
    end.max()?.checked_next_multiple_of(STEP)
}

/// Writes everything below `folder` to an archive. What is neither a file, a folder nor a
/// symbolic link is left out.
///
/// # Errors
/// [`Error::Io`]; [`Error::Image`] for a file of 4 GiB or more, or a name that is not UTF-8.
pub fn archive(folder: &Path, to: &Path) -> Result<()> {
    let out = File::create(to).context("creating", to)?;
    let mut archive = Archive {
        out: BufWriter::new(out),
        entries: 0,
    };
    archive.folder(folder, &PathBuf::new())?;
    let mut out = trailer(archive.out).context("writing", to)?;
    out.flush().context("writing", to)
}

struct Archive<W: Write> {
    out: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    /// What is in a folder, in order of names, each folder before what is in it.
    fn folder(&mut self, path: &Path, name: &Path) -> Result<()> {
        let entries = std::fs::read_dir(path).context("reading", path)?;
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.context("reading", path)?.file_name());
        }
        names.sort();
        for entry in names {
            let (path, name) = (path.join(&entry), name.join(&entry));
            let about = path.symlink_metadata().context("reading", &path)?;
            let data = match about.mode() & KIND {
                FOLDER => Vec::new(),
                FILE => std::fs::read(&path).context("reading", &path)?,
                LINK => {
                    let target = std::fs::read_link(&path).context("reading", &path)?;
                    target.as_os_str().as_bytes().to_vec()
                }
                _ => continue,
            };
            self.entry(&name, &about, &data)?;
            if about.is_dir() {
                self.folder(&path, &name)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &Path, about: &Metadata, data: &[u8]) -> Result<()> {
        let refused = |problem: &str| Error::Image(format!("{}: {problem}", name.display()));
        let text = name
            .to_str()
            .ok_or_else(|| refused("a name that is not UTF-8"))?;
        let size = u32::try_from(data.len())
            .map_err(|_| refused("4 GiB or more, which the archive has no room for"))?;
        self.entries += 1;
        let time = u32::try_from(about.mtime()).unwrap_or(0);
        let mut writer = Builder::new(text)
            .ino(self.entries)
            .mode(about.mode())
            .mtime(time)
            .write(&mut self.out, size);
        writer.write_all(data).context("writing", name)?;
        writer.finish().context("writing", name)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Root, archive, base_for};
    use cpio::newc::Reader;
    use std::io::Read;

    #[test]
    fn a_root_is_a_folder_or_a_disk() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("disk");
        std::fs::write(&file, "").unwrap();
        assert_eq!(
            Root::of(folder.path()).unwrap(),
            Root::Folder(folder.path().into())
        );
        assert_eq!(Root::of(&file).unwrap(), Root::Disk(file));
        let none = Root::of(&folder.path().join("none"))
            .unwrap_err()
            .to_string();
        assert!(none.contains("none"), "{none}");
    }

    #[test]
    fn room_is_made_for_what_cannot_be_moved() {
        let elf = |kind: u16, end: u64| {
            let mut bytes = vec![0; 120];
            let mut put =
                |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
            put(0, b"\x7fELF\x02\x01\x01");
            put(16, &kind.to_le_bytes());
            put(18, &62_u16.to_le_bytes());
            put(20, &1_u32.to_le_bytes());
            // One program header behind this one, of a part that is loaded.
            put(32, &64_u64.to_le_bytes());
            put(52, &[64, 0, 56, 0, 1, 0]);
            put(64, &1_u32.to_le_bytes());
            put(80, &0x40_0000_u64.to_le_bytes());
            put(104, &(end - 0x40_0000).to_le_bytes());
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            base_for(file.path())
        };
        assert_eq!(elf(2, 0x61_2345), Some(0x80_0000));
        assert_eq!(elf(2, 0x60_0000), Some(0x60_0000));
        assert_eq!(elf(3, 0x61_2345), None);
        assert_eq!(base_for("/proc/self/status".as_ref()), None);
        assert_eq!(base_for("/nonexistent".as_ref()), None);
    }

    #[test]
    fn files_folders_and_links_are_kept() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/hosts"), "127.0.0.1 here\n").unwrap();
        std::os::unix::fs::symlink("etc/hosts", root.join("link")).unwrap();
        let to = place.path().join("root.cpio");
        archive(&root, &to).unwrap();
        let data = std::fs::read(&to).unwrap();
        let (mut rest, mut found) = (&data[..], Vec::new());
        loop {
            let mut reader = Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let (name, kind) = (
                reader.entry().name().to_string(),
                reader.entry().mode() >> 12,
            );
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            found.push((name, kind, text));
            rest = reader.finish().unwrap();
        }
        let expected = [
            ("etc", 0o4, ""),
            ("etc/hosts", 0o10, "127.0.0.1 here\n"),
            ("link", 0o12, "etc/hosts"),
        ];
        let expected = expected.map(|(name, kind, text)| (name.into(), kind, text.into()));
        assert_eq!(found, expected);
        assert!(archive(&root.join("none"), &to).is_err());
    }
}
