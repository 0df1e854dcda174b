//! How files are opened.

use super::File;
use crate::error::Errno;
use crate::sys::file as sys;
use rump_sys::abi::{self, fs};
use std::io;
use std::path::Path;

/// How a file is to be opened, as [`std::fs::OpenOptions`].
#[derive(Debug, Clone)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    flags: i32,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! switches {
    ($($(#[$meta:meta])* $name:ident)*) => {
        $(
            $(#[$meta])*
            pub fn $name(&mut self, $name: bool) -> &mut Self {
                self.$name = $name;
                self
            }
        )*
    };
}

impl OpenOptions {
    /// Nothing is set; at least one of `read`, `write` and `append` must be.
    pub fn new() -> Self {
        Self {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            mode: 0o666,
            flags: 0,
        }
    }

    switches! {
        /// Whether it can be read.
        read
        /// Whether it can be written.
        write
        /// Whether all writes go to its end.
        append
        /// Whether what is in it goes.
        truncate
        /// Whether it is made if there is none.
        create
        /// Whether it is made, and must not be there before.
        create_new
    }

    /// The permissions of a file that is made, without those that the process's mask has
    /// (0666 by default).
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// Further flags of `open(2)`, by NetBSD's numbers.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.flags = flags;
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the options contradict each other, by
    /// the rules of std; those of `open(2)`.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let access = match (self.read, self.write, self.append) {
            (true, false, false) => abi::O_RDONLY,
            (false, true, false) => abi::O_WRONLY,
            (true, true, false) => abi::O_RDWR,
            (false, _, true) => abi::O_WRONLY | fs::O_APPEND,
            (true, _, true) => abi::O_RDWR | fs::O_APPEND,
            (false, false, false) => return Err(Errno::EINVAL.into()),
        };
        let writes = self.write || self.append;
        if (self.truncate || self.create || self.create_new) && !writes {
            return Err(Errno::EINVAL.into());
        }
        if self.append && self.truncate && !self.create_new {
            return Err(Errno::EINVAL.into());
        }
        let creation = match (self.create, self.truncate, self.create_new) {
            (_, _, true) => abi::O_CREAT | abi::O_EXCL,
            (create, truncate, false) => {
                (if create { abi::O_CREAT } else { 0 }) | (if truncate { abi::O_TRUNC } else { 0 })
            }
        };
        let flags = access | creation | (self.flags & !abi::O_ACCMODE);
        sys::open(path.as_ref(), flags, self.mode).map(File)
    }
}
