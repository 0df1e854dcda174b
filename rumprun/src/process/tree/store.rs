//! What files can be kept in: a file system that outlives the machine.
//!
//! Paths begin with `/` and have no links in them but at their end, which are not followed.

use super::Kind;
use alloc::vec::Vec;
use core::fmt::Debug;
use rump_linux::Errno;

/// A file system, of which the tree is the only user.
pub trait Store: Debug + Send + Sync {
    /// What is in a folder, without `.` and `..`.
    ///
    /// # Errors
    /// The file system's, here and below.
    fn list(&self, folder: &[u8]) -> Result<Vec<Entry>, Errno>;
    /// The bytes of a file, which is so long.
    fn read(&self, path: &[u8], length: u64) -> Result<Vec<u8>, Errno>;
    /// Makes an empty file, a folder or a link.
    fn create(&self, path: &[u8], kind: &Kind, permissions: u32) -> Result<(), Errno>;
    /// Gives what is no folder another name.
    fn link(&self, path: &[u8], new: &[u8]) -> Result<(), Errno>;
    /// Takes a name away.
    fn remove(&self, path: &[u8], folder: bool) -> Result<(), Errno>;
    /// Moves a name; what has the new one is replaced.
    fn rename(&self, path: &[u8], new: &[u8]) -> Result<(), Errno>;
    /// Writes to a file.
    fn write(&self, path: &[u8], at: u64, bytes: &[u8]) -> Result<(), Errno>;
    /// Makes a file so long.
    fn resize(&self, path: &[u8], length: u64) -> Result<(), Errno>;
    /// Changes what is told of a file.
    fn change(&self, path: &[u8], change: Change) -> Result<(), Errno>;
    /// Has the disk keep a file, or without one all of them.
    fn sync(&self, path: Option<&[u8]>) -> Result<(), Errno>;
}

/// What is in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: Vec<u8>,
    /// What it is.
    pub found: Found,
    /// Its number, which its other names have, too.
    pub number: u64,
    /// How many names it has.
    pub links: u32,
    /// Permissions.
    pub permissions: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// As in [`Node`](super::Node).
    pub times: [u64; 3],
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A folder.
    Folder,
    /// A file, and how long it is.
    File(u64),
    /// A symbolic link, and where it leads.
    Link(Vec<u8>),
    /// A device of characters, by its numbers.
    Device((u32, u32)),
    /// What there is nothing like here.
    Other,
}

/// A change of what is told of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Permissions.
    Permissions(u32),
    /// Owner and group.
    Owner(u32, u32),
    /// When it was last read and written, in nanoseconds since 1970.
    Times([u64; 2]),
}
