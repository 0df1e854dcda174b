//! Directories.

use super::{File, FileType, Metadata, OpenOptions, symlink_metadata};
use crate::sys::file as sys;
use rump_sys::abi::fs;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Makes a directory (`mkdir(2)`).
///
/// # Errors
/// [`AlreadyExists`](ErrorKind::AlreadyExists); [`NotFound`](ErrorKind::NotFound) if what it
/// is to be in is not there.
#[doc(alias = "mkdir")]
pub fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    sys::make_directory(path.as_ref(), 0o777)
}

/// Makes a directory and all that it is in; none of them need be missing.
///
/// # Errors
/// [`AlreadyExists`](ErrorKind::AlreadyExists) if one is something else.
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    match create_dir(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(_) if is_dir(path) => return Ok(()),
        Err(error) => return Err(error),
    }
    match path.parent() {
        Some(parent) => create_dir_all(parent)?,
        None => return Err(ErrorKind::NotFound.into()),
    }
    match create_dir(path) {
        // Somebody else was faster.
        Err(_) if is_dir(path) => Ok(()),
        made => made,
    }
}

fn is_dir(path: &Path) -> bool {
    super::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Removes an empty directory (`rmdir(2)`).
///
/// # Errors
/// [`DirectoryNotEmpty`](ErrorKind::DirectoryNotEmpty);
/// [`NotADirectory`](ErrorKind::NotADirectory).
#[doc(alias = "rmdir")]
pub fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    sys::remove_directory(path.as_ref())
}

/// Removes a directory with all that is in it, and follows no links; a link in its place is
/// removed itself.
///
/// Nobody else should change it meanwhile: unlike std's, it goes by names.
///
/// # Errors
/// Those of the first that could not be removed.
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let kind = symlink_metadata(path)?.file_type();
    if kind.is_symlink() {
        return super::remove_file(path);
    }
    if !kind.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    remove_contents(path)?;
    remove_dir(path)
}

fn remove_contents(path: &Path) -> io::Result<()> {
    // What is removed while a directory is read may hide others from the reader.
    let entries = read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            remove_contents(&path)?;
            remove_dir(&path)?;
        } else {
            super::remove_file(&path)?;
        }
    }
    Ok(())
}

/// What is in a directory, without "." and "..".
///
/// # Errors
/// [`NotADirectory`](ErrorKind::NotADirectory), [`NotFound`](ErrorKind::NotFound).
#[doc(alias("opendir", "getdents"))]
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref();
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(fs::O_DIRECTORY)
        .open(path)?;
    Ok(ReadDir {
        directory,
        path: path.into(),
        entries: Vec::new().into_iter(),
        ended: false,
    })
}

/// The entries of a directory, as they are read.
pub struct ReadDir {
    directory: File,
    path: Arc<Path>,
    entries: std::vec::IntoIter<sys::Entry>,
    ended: bool,
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadDir({:?})", self.path)
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let parent = &self.path;
            let next = self
                .entries
                .find(|entry| entry.name != b"." && entry.name != b"..");
            if let Some(entry) = next {
                return Some(Ok(DirEntry {
                    parent: parent.clone(),
                    entry,
                }));
            }
            if self.ended {
                return None;
            }
            match sys::entries(&self.directory.0) {
                Ok(entries) if entries.is_empty() => self.ended = true,
                Ok(entries) => self.entries = entries.into_iter(),
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// An entry of a directory.
#[derive(Clone)]
pub struct DirEntry {
    parent: Arc<Path>,
    entry: sys::Entry,
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirEntry({:?})", self.path())
    }
}

impl DirEntry {
    /// Its path: the directory's, as it was given, and the name.
    pub fn path(&self) -> PathBuf {
        self.parent.join(OsStr::from_bytes(&self.entry.name))
    }

    /// Its name.
    pub fn file_name(&self) -> OsString {
        OsString::from_vec(self.entry.name.clone())
    }

    /// Which file it is on its file system.
    pub fn ino(&self) -> u64 {
        self.entry.number
    }

    /// What kind of file it is; symbolic links are not followed.
    ///
    /// # Errors
    /// As [`metadata`](Self::metadata), where the directory does not say.
    pub fn file_type(&self) -> io::Result<FileType> {
        match FileType::of_entry(self.entry.kind) {
            Some(kind) => Ok(kind),
            None => self.metadata().map(|metadata| metadata.file_type()),
        }
    }

    /// What is known of it; symbolic links are not followed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it was removed meanwhile.
    pub fn metadata(&self) -> io::Result<Metadata> {
        symlink_metadata(self.path())
    }
}
