//! What the rings of a cable are in: a file without a name, which is as long as it was for ever,
//! or memory that is shared otherwise.

use super::{Medium, futex};
use crate::linux::mapping::Mapping;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rump_ring::Shared;
use std::boxed::Box;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU32;

/// What it must be sealed by.
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW);
/// The size of a huge page.
const HUGE: usize = 2 << 20;

#[derive(Debug)]
pub(super) struct Memory {
    pub(super) shared: Shared,
    pub(super) huge: bool,
    // What `shared` is in.
    place: Place,
}

#[derive(Debug)]
enum Place {
    File { file: File, _mapping: Mapping },
    Other(Box<dyn Medium>),
}

pub(super) fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

impl Memory {
    /// New memory, which is zero.
    pub(super) fn make(len: usize) -> Result<Self> {
        Self::with(MFdFlags::empty(), len, len)
    }

    /// The same in huge pages, which are set aside for it.
    pub(super) fn make_huge(len: usize) -> Result<Self> {
        let flags = MFdFlags::MFD_HUGETLB | MFdFlags::MFD_HUGE_2MB;
        Self::with(flags, len, len.next_multiple_of(HUGE))
    }

    fn with(flags: MFdFlags, len: usize, file_len: usize) -> Result<Self> {
        let flags = flags | MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create(c"rump cable", flags)?);
        file.set_len(file_len as u64)?;
        let seals = SEALS | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        Self::map(file, len, file_len)
    }

    /// That of another process.
    pub(super) fn open(file: OwnedFd, len: usize) -> Result<Self> {
        let file = File::from(file);
        let seals = fcntl(&file, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_truncate);
        let file_len = file.metadata()?.len();
        let fits = [len, len.next_multiple_of(HUGE)].map(|len| len as u64);
        if !seals.is_ok_and(|seals| seals.contains(SEALS)) || !fits.contains(&file_len) {
            return Err(wrong(
                "the other side's memory is not sealed, or not as long as it says",
            ));
        }
        Self::map(file, len, file_len as usize)
    }

    fn map(file: File, len: usize, file_len: usize) -> Result<Self> {
        let mapping = Mapping::new(file.as_fd(), file_len)?;
        // SAFETY: mapped as long as this, and nobody has a reference to it.
        let shared = unsafe { Shared::new(mapping.start(), len) };
        Ok(Self {
            shared,
            huge: file_len != len,
            place: Place::File {
                file,
                _mapping: mapping,
            },
        })
    }

    /// Memory that is shared otherwise.
    pub(super) fn other(medium: Box<dyn Medium>) -> Self {
        Self {
            shared: medium.memory(),
            huge: false,
            place: Place::Other(medium),
        }
    }

    /// The file, if it is in one.
    pub(super) fn file(&self) -> Option<&File> {
        match &self.place {
            Place::File { file, .. } => Some(file),
            Place::Other(_) => None,
        }
    }

    /// Wakes the other side, if it sleeps on this word.
    pub(super) fn wake_other(&self, word: &AtomicU32) {
        match &self.place {
            Place::File { .. } => futex::unpark_shared(word),
            Place::Other(medium) => medium.ring(),
        }
    }
}
