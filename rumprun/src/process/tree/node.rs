//! What is in the tree: files, folders, links, devices, and the texts of proc(5).

use super::Id;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;

/// Kinds, in `st_mode` (inode(7)).
pub const KIND: u32 = 0o170_000;
pub(super) const FILE: u32 = 0o100_000;
pub(super) const DIRECTORY: u32 = 0o040_000;
pub(super) const LINK: u32 = 0o120_000;
pub(super) const CHARACTER: u32 = 0o020_000;

/// What a device file stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The console of the machine.
    Console,
    /// null(4).
    Null,
    /// zero(4).
    Zero,
    /// full(4).
    Full,
    /// random(4), urandom(4).
    Random,
}

impl Device {
    /// Its numbers (Documentation/admin-guide/devices.txt).
    pub fn numbers(self) -> (u32, u32) {
        match self {
            Self::Console => (5, 1),
            Self::Null => (1, 3),
            Self::Zero => (1, 5),
            Self::Full => (1, 7),
            Self::Random => (1, 9),
        }
    }

    pub(super) fn with(numbers: (u32, u32)) -> Option<Self> {
        match numbers {
            (1, 8) => Some(Self::Random),
            // The terminal of the process.
            (5, 0) => Some(Self::Console),
            _ => [
                Self::Console,
                Self::Null,
                Self::Zero,
                Self::Full,
                Self::Random,
            ]
            .into_iter()
            .find(|device| device.numbers() == numbers),
        }
    }
}

/// What a file of proc(5) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Told {
    Maps,
    Status,
    Stat,
    Statm,
    CommandLine,
    Environment,
    Name,
    Limits,
    CpuInfo,
    MemInfo,
    SystemStat,
    UpTime,
    LoadAverage,
    Version,
    Mounts,
    Boot,
}

/// What is in a folder.
pub type Names = BTreeMap<Box<[u8]>, Id>;

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Names, and what they stand for.
    Directory {
        /// By name.
        entries: Names,
        /// `..`
        parent: Id,
    },
    /// Bytes.
    File(Cow<'static, [u8]>),
    /// So many bytes of a file that is on the disk, and not open.
    Stored(u64),
    /// A symbolic link, and where it leads.
    Link(Box<[u8]>),
    /// A device.
    Device(Device),
    /// Text that is made when it is opened.
    Told(Told),
}

/// A file, folder, link or device.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permissions.
    pub permissions: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// When it was last read, written and changed, in nanoseconds since 1970.
    pub times: [u64; 3],
    /// How many names it has; a folder as many as Linux's tmpfs says.
    pub links: u32,
    pub(super) opens: u32,
    /// The folder and the name by which the disk has it, if it does.
    pub(super) stored: Option<(Id, Box<[u8]>)>,
}

impl Node {
    /// `st_mode`.
    pub fn mode(&self) -> u32 {
        let kind = match &self.kind {
            Kind::Directory { .. } => DIRECTORY,
            Kind::File(_) | Kind::Stored(_) | Kind::Told(_) => FILE,
            Kind::Link(_) => LINK,
            Kind::Device(_) => CHARACTER,
        };
        kind | self.permissions
    }

    /// `st_size`.
    pub fn size(&self) -> u64 {
        match &self.kind {
            Kind::Directory { entries, .. } => 20 * (entries.len() as u64 + 2),
            Kind::File(data) => data.len() as u64,
            Kind::Stored(length) => *length,
            Kind::Link(target) => target.len() as u64,
            Kind::Device(_) | Kind::Told(_) => 0,
        }
    }

    /// Whether it is a folder.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory { .. })
    }
}
