//! The numbers of descriptors: which are taken, and what stands behind those of files.
//!
//! Numbers of sockets and the like are taken here, too, and say no more than that: what they
//! stand for is with `rump-linux`.

use super::File;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rump_linux::{Errno, Slot};

/// How many descriptors there may be (`RLIMIT_NOFILE`).
pub const LIMIT: usize = 65_536;

/// What has a number.
#[derive(Clone, Debug, Default)]
pub enum Entry {
    /// Nothing.
    #[default]
    Free,
    /// Something that is not in here.
    Elsewhere,
    /// A file.
    File {
        /// The open file.
        file: Arc<File>,
        /// `FD_CLOEXEC`.
        close_on_exec: bool,
    },
}

/// The table.
#[derive(Debug, Default)]
pub struct Table {
    entries: Vec<Entry>,
    /// None below this is free.
    first: usize,
}

impl Table {
    /// The file that a number stands for.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn file(&self, fd: i32) -> Result<Arc<File>, Errno> {
        match usize::try_from(fd).ok().and_then(|fd| self.entries.get(fd)) {
            Some(Entry::File { file, .. }) => Ok(file.clone()),
            _ => Err(Errno::EBADF),
        }
    }

    /// `FD_CLOEXEC` of a file's.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close_on_exec(&mut self, fd: i32) -> Result<&mut bool, Errno> {
        let fd = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        match self.entries.get_mut(fd) {
            Some(Entry::File { close_on_exec, .. }) => Ok(close_on_exec),
            _ => Err(Errno::EBADF),
        }
    }

    /// Gives a number to something. What had exactly this number is returned.
    ///
    /// # Errors
    /// `EMFILE`; `EBADF` for a number out of range.
    pub fn take(&mut self, slot: Slot, entry: Entry) -> Result<(i32, Entry), Errno> {
        let number = match slot {
            Slot::Exactly(number) => usize::try_from(number)
                .ok()
                .filter(|number| *number < LIMIT)
                .ok_or(Errno::EBADF)?,
            Slot::Lowest(least) => {
                let least = usize::try_from(least).map_err(|_| Errno::EINVAL)?;
                let from = least.max(self.first);
                let rest = self.entries.get(from..).unwrap_or_default();
                let free = rest.iter().position(|entry| matches!(entry, Entry::Free));
                let number = free.map_or(self.entries.len().max(from), |at| from + at);
                if number >= LIMIT {
                    return Err(Errno::EMFILE);
                }
                if least <= self.first {
                    self.first = number + 1;
                }
                number
            }
        };
        if number >= self.entries.len() {
            self.entries.resize_with(number + 1, Entry::default);
        }
        let old = core::mem::replace(&mut self.entries[number], entry);
        Ok((number as i32, old))
    }

    /// Takes a number away from what has it.
    pub fn free(&mut self, fd: i32) -> Entry {
        let Some(entry) = usize::try_from(fd)
            .ok()
            .and_then(|fd| self.entries.get_mut(fd))
        else {
            return Entry::Free;
        };
        let old = core::mem::take(entry);
        self.first = self.first.min(fd as usize);
        old
    }

    /// The numbers of files in a range.
    pub fn files(&self, first: u32, last: u32) -> Vec<i32> {
        let all = self.entries.iter().zip(0_u32..);
        let within = all.filter(|(_, fd)| (first..=last).contains(fd));
        let files = within.filter(|(entry, _)| matches!(entry, Entry::File { .. }));
        files.map(|(_, fd)| fd as i32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    proptest::proptest! {
        #[test]
        fn the_lowest_is_given(steps in proptest::collection::vec((0..3_u8, 0..12_i32), 0..80)) {
            let mut table = Table::default();
            let mut taken = BTreeSet::new();
            for (step, number) in steps {
                match step {
                    0 => {
                        let (fd, _) = table.take(Slot::Lowest(number), Entry::Elsewhere).unwrap();
                        let lowest = (number..).find(|at| !taken.contains(at)).unwrap();
                        proptest::prop_assert_eq!(fd, lowest);
                        taken.insert(fd);
                    }
                    1 => {
                        let (fd, old) = table.take(Slot::Exactly(number), Entry::Elsewhere).unwrap();
                        proptest::prop_assert_eq!(fd, number);
                        let free = matches!(old, Entry::Free);
                        proptest::prop_assert_eq!(free, taken.insert(number));
                    }
                    _ => {
                        let free = matches!(table.free(number), Entry::Free);
                        proptest::prop_assert_eq!(free, !taken.remove(&number));
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_have_an_end() {
        let mut table = Table::default();
        let mut at = |slot| table.take(slot, Entry::Elsewhere).map(|(fd, _)| fd);
        assert_eq!(at(Slot::Exactly(-1)), Err(Errno::EBADF));
        assert_eq!(at(Slot::Exactly(LIMIT as i32)), Err(Errno::EBADF));
        assert_eq!(at(Slot::Lowest(-1)), Err(Errno::EINVAL));
        assert_eq!(at(Slot::Exactly(LIMIT as i32 - 1)), Ok(LIMIT as i32 - 1));
        assert_eq!(at(Slot::Lowest(LIMIT as i32 - 1)), Err(Errno::EMFILE));
        assert_eq!(at(Slot::Lowest(0)), Ok(0));
        assert!(table.file(0).is_err() && table.file(-1).is_err() && table.file(9).is_err());
    }
}
