//! Calls that are given a path.

use super::{Args, Files};
use crate::process::copy::{self, Result};
use crate::process::tree::{self, Change, Id, Kind, Tree};
use alloc::borrow::Cow;
use rump_linux::raw::general::*;
use rump_linux::{Errno, Slot};

/// `UTIME_NOW` and `UTIME_OMIT` of `<linux/stat.h>`.
const NOW: u64 = (1 << 30) - 1;
const OMIT: u64 = (1 << 30) - 2;

impl Files {
    /// A call about a name; `None` if it is about something else.
    pub(super) fn named(&self, number: u32, args: &Args) -> Option<Result<i64>> {
        let path = |at: usize| copy::copyinstr(args[at], tree::PATH_MAX);
        let here = AT_FDCWD as u64;
        let done = match number {
            __NR_chdir => path(0).and_then(|path| {
                let folder = self.tree.lock().find(self.folder(here)?, &path, true)?;
                self.enter(folder)
            }),
            __NR_fchdir => self.file(args[0]).and_then(|file| self.enter(file.node)),
            __NR_getcwd => self.getcwd(args),
            __NR_mkdir => path(0).and_then(|path| self.mkdir(here, &path, args[1])),
            __NR_mkdirat => path(1).and_then(|path| self.mkdir(args[0], &path, args[2])),
            __NR_rmdir => path(0).and_then(|path| self.remove(here, &path, true)),
            __NR_unlink => path(0).and_then(|path| self.remove(here, &path, false)),
            __NR_unlinkat => {
                let folder = args[2] as u32 & AT_REMOVEDIR != 0;
                path(1).and_then(|path| self.remove(args[0], &path, folder))
            }
            __NR_rename => self.rename((here, args[0]), (here, args[1]), 0),
            __NR_renameat => self.rename((args[0], args[1]), (args[2], args[3]), 0),
            __NR_renameat2 => self.rename((args[0], args[1]), (args[2], args[3]), args[4]),
            __NR_link => self.link((here, args[0]), (here, args[1]), 0),
            __NR_linkat => self.link((args[0], args[1]), (args[2], args[3]), args[4]),
            __NR_symlink => self.symlink(args[0], (here, args[1])),
            __NR_symlinkat => self.symlink(args[0], (args[1], args[2])),
            __NR_readlink => self.readlink((here, args[0]), args[1], args[2]),
            __NR_readlinkat => self.readlink((args[0], args[1]), args[2], args[3]),
            __NR_truncate => self.at((here, args[0]), true).and_then(|node| {
                self.tree().resize(node, super::data::length(args[1])?)?;
                Ok(0)
            }),
            __NR_chmod => self
                .at((here, args[0]), true)
                .and_then(|node| self.permit(node, args[1])),
            __NR_fchmodat => self
                .at((args[0], args[1]), true)
                .and_then(|node| self.permit(node, args[2])),
            __NR_fchmod => self
                .file(args[0])
                .and_then(|file| self.permit(file.node, args[1])),
            __NR_chown => self
                .at((here, args[0]), true)
                .and_then(|node| self.give(node, args[1], args[2])),
            __NR_lchown => self
                .at((here, args[0]), false)
                .and_then(|node| self.give(node, args[1], args[2])),
            __NR_fchown => self
                .file(args[0])
                .and_then(|file| self.give(file.node, args[1], args[2])),
            __NR_fchownat => {
                let follow = args[4] as u32 & AT_SYMLINK_NOFOLLOW == 0;
                let node = self.at((args[0], args[1]), follow);
                node.and_then(|node| self.give(node, args[2], args[3]))
            }
            __NR_utimensat => self.set_times(args),
            __NR_access => self.at((here, args[0]), true).map(|_| 0),
            __NR_faccessat | __NR_faccessat2 => self.at((args[0], args[1]), true).map(|_| 0),
            _ => return None,
        };
        Some(done)
    }

    /// The folder that a path which is given with this descriptor begins at.
    pub(super) fn folder(&self, fd: u64) -> Result<Id> {
        match fd as i32 {
            AT_FDCWD => Ok(*self.folder.lock()),
            _ => Ok(self.file(fd)?.node),
        }
    }

    /// The node that a path leads to.
    pub(super) fn at(&self, (fd, path): (u64, u64), follow: bool) -> Result<Id> {
        let path = copy::copyinstr(path, tree::PATH_MAX)?;
        let folder = if path.starts_with(b"/") {
            tree::ROOT
        } else {
            self.folder(fd)?
        };
        self.tree.lock().find(folder, &path, follow)
    }

    pub(super) fn open(&self, fd: u64, path: &[u8], flags: u64, mode: u64) -> Result<i64> {
        let flags = flags as u32;
        let from = if path.starts_with(b"/") {
            tree::ROOT
        } else {
            self.folder(fd)?
        };
        let create = flags & O_CREAT != 0;
        let exclusive = create && flags & O_EXCL != 0;
        let follow = flags & O_NOFOLLOW == 0 && !exclusive;
        let node = {
            let mut tree = self.tree();
            let found = tree.find(from, path, follow);
            let node = match found {
                Ok(_) if exclusive => return Err(Errno::EEXIST),
                Ok(node) => node,
                Err(Errno::ENOENT) if create => {
                    if path.ends_with(b"/") {
                        return Err(Errno::EISDIR);
                    }
                    let (folder, name) = tree.place_of(from, path)?;
                    let name = name.ok_or(Errno::EISDIR)?;
                    let kind = Kind::File(Cow::Borrowed(&[]));
                    tree.create(folder, &name, kind, self.masked(mode))?
                }
                Err(errno) => return Err(errno),
            };
            let writes = flags & O_ACCMODE != O_RDONLY;
            match &tree.get(node).kind {
                Kind::Directory { .. } if writes || create => return Err(Errno::EISDIR),
                Kind::Directory { .. } => {}
                _ if flags & O_DIRECTORY != 0 => return Err(Errno::ENOTDIR),
                Kind::Link(_) if flags & O_PATH == 0 => return Err(Errno::ELOOP),
                Kind::Told(_) if writes => return Err(Errno::EACCES),
                Kind::File(_) | Kind::Stored(_) if flags & O_TRUNC != 0 => tree.resize(node, 0)?,
                _ => {}
            }
            // So that it stays until it is open.
            tree.open(node)?;
            node
        };
        let kept = flags & !(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC | O_NOCTTY);
        let file = self.opened(node, kept);
        self.tree.lock().close(node);
        let fd = self.add(file?, Slot::Lowest(0), flags & O_CLOEXEC != 0)?;
        Ok(fd.into())
    }

    fn masked(&self, mode: u64) -> u32 {
        let mask = self.mask.load(core::sync::atomic::Ordering::Relaxed);
        mode as u32 & 0o7777 & !mask
    }

    fn enter(&self, folder: Id) -> Result<i64> {
        let mut here = self.folder.lock();
        let mut tree = self.tree.lock();
        if !tree.get(folder).is_directory() {
            return Err(Errno::ENOTDIR);
        }
        tree.open(folder)?;
        let before = core::mem::replace(&mut *here, folder);
        tree.close(before);
        Ok(0)
    }

    fn getcwd(&self, args: &Args) -> Result<i64> {
        let here = *self.folder.lock();
        let mut path = self.tree.lock().path(here)?;
        path.push(0);
        if (path.len() as u64) > args[1] {
            return Err(Errno::ERANGE);
        }
        copy::copyout(&path, args[0])?;
        Ok(path.len() as i64)
    }

    fn start(&self, fd: u64, path: &[u8]) -> Result<Id> {
        if path.starts_with(b"/") {
            Ok(tree::ROOT)
        } else {
            self.folder(fd)
        }
    }

    fn mkdir(&self, fd: u64, path: &[u8], mode: u64) -> Result<i64> {
        let from = self.start(fd, path)?;
        let mut tree = self.tree();
        let (folder, name) = tree.parent(from, path)?;
        let kind = Tree::directory(folder);
        tree.create(folder, name, kind, self.masked(mode))?;
        Ok(0)
    }

    fn remove(&self, fd: u64, path: &[u8], folder: bool) -> Result<i64> {
        let from = self.start(fd, path)?;
        let mut tree = self.tree();
        let (parent, name) = tree.parent(from, path).map_err(|errno| match errno {
            Errno::EEXIST if path.ends_with(b"..") => Errno::ENOTEMPTY,
            Errno::EEXIST if path.ends_with(b".") => Errno::EINVAL,
            Errno::EEXIST => Errno::EBUSY,
            errno => errno,
        })?;
        if folder {
            tree.remove_directory(parent, name)?;
        } else {
            if path.ends_with(b"/") {
                return Err(Errno::ENOTDIR);
            }
            tree.unlink(parent, name)?;
        }
        Ok(0)
    }

    fn rename(&self, from: (u64, u64), to: (u64, u64), flags: u64) -> Result<i64> {
        if flags & !u64::from(RENAME_NOREPLACE) != 0 {
            return Err(Errno::EINVAL);
        }
        let paths = [from, to].map(|(_, path)| copy::copyinstr(path, tree::PATH_MAX));
        let [old, new] = paths;
        let (old, new) = (old?, new?);
        let starts = (self.start(from.0, &old)?, self.start(to.0, &new)?);
        let mut tree = self.tree();
        let busy = |errno| match errno {
            Errno::EEXIST => Errno::EBUSY,
            errno => errno,
        };
        let source = tree.parent(starts.0, &old).map_err(busy)?;
        let target = tree.parent(starts.1, &new).map_err(busy)?;
        tree.rename(source, target, flags == 0)?;
        Ok(0)
    }

    fn link(&self, from: (u64, u64), to: (u64, u64), flags: u64) -> Result<i64> {
        let follow = flags as u32 & AT_SYMLINK_FOLLOW != 0;
        let node = if flags as u32 & AT_EMPTY_PATH != 0 {
            self.file(from.0)?.node
        } else {
            self.at(from, follow)?
        };
        let path = copy::copyinstr(to.1, tree::PATH_MAX)?;
        let start = self.start(to.0, &path)?;
        let mut tree = self.tree();
        let (folder, name) = tree.parent(start, &path)?;
        tree.link(node, folder, name)?;
        Ok(0)
    }

    fn symlink(&self, target: u64, at: (u64, u64)) -> Result<i64> {
        let target = copy::copyinstr(target, tree::PATH_MAX)?;
        let path = copy::copyinstr(at.1, tree::PATH_MAX)?;
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        let start = self.start(at.0, &path)?;
        let mut tree = self.tree();
        let (folder, name) = tree.parent(start, &path)?;
        tree.create(folder, name, Kind::Link(target.into()), 0o777)?;
        Ok(0)
    }

    fn readlink(&self, at: (u64, u64), to: u64, room: u64) -> Result<i64> {
        if room == 0 {
            return Err(Errno::EINVAL);
        }
        let node = self.at(at, false)?;
        let target = match &self.tree.lock().get(node).kind {
            Kind::Link(target) => target.clone(),
            _ => return Err(Errno::EINVAL),
        };
        let length = target
            .len()
            .min(usize::try_from(room).unwrap_or(usize::MAX));
        copy::copyout(&target[..length], to)?;
        Ok(length as i64)
    }

    fn permit(&self, node: Id, mode: u64) -> Result<i64> {
        let change = Change::Permissions(mode as u32 & 0o7777);
        self.tree().change(node, change).map(|()| 0)
    }

    fn give(&self, node: Id, user: u64, group: u64) -> Result<i64> {
        let mut tree = self.tree();
        // -1 leaves it as it is (chown(2)).
        let new = |old: u32, id: u64| {
            if id as u32 == u32::MAX {
                old
            } else {
                id as u32
            }
        };
        let (old_user, old_group) = tree.get(node).owner;
        let change = Change::Owner(new(old_user, user), new(old_group, group));
        tree.change(node, change).map(|()| 0)
    }

    fn set_times(&self, args: &Args) -> Result<i64> {
        let follow = args[3] as u32 & AT_SYMLINK_NOFOLLOW == 0;
        let node = if args[1] == 0 || args[3] as u32 & AT_EMPTY_PATH != 0 {
            self.file(args[0])?.node
        } else {
            self.at((args[0], args[1]), follow)?
        };
        let times: [[u64; 2]; 2] = match args[2] {
            0 => [[0, NOW]; 2],
            at => copy::get(at)?,
        };
        let mut tree = self.tree();
        let now = tree.now;
        let [read, written, _] = tree.get(node).times;
        let mut new = [read, written];
        for (time, [seconds, nanos]) in new.iter_mut().zip(times) {
            *time = match nanos {
                NOW => now,
                OMIT => *time,
                nanos if nanos < 1_000_000_000 => {
                    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
                }
                _ => return Err(Errno::EINVAL),
            };
        }
        tree.change(node, Change::Times(new)).map(|()| 0)
    }
}
