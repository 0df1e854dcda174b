//! The file system: a tree in memory, as tmpfs(5) is.
//!
//! What the archive beside the image had is in it from the start, and its files stay where
//! the loader put them until they are written to. With a disk at the root the tree is what is
//! known of it (`stored`). Nodes are named by number ([`Id`]); a node goes when it has no name
//! and nobody has it open.
//!
//! The program is the superuser: permissions are kept and told, and forbid nothing.

mod node;
mod start;
mod store;
mod stored;

pub use store::{Change, Entry, Found, Store};

pub use node::{Device, KIND, Kind, Names, Node, Told};

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rump_linux::Errno;

/// A node.
pub type Id = usize;

/// The node that all paths begin at.
pub const ROOT: Id = 0;

/// `NAME_MAX`, `PATH_MAX` and the most links in a path, of `<linux/limits.h>` and
/// path_resolution(7).
const NAME_MAX: usize = 255;
/// As above.
pub const PATH_MAX: usize = 4096;
const LINKS_MAX: usize = 40;
/// All nodes.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Option<Node>>,
    free: Vec<Id>,
    store: Option<Arc<dyn Store>>,
    /// The time that is now, in nanoseconds since 1970: set before each change.
    pub now: u64,
}
impl Tree {
    /// A node.
    ///
    /// # Panics
    /// If it has gone: whoever has an [`Id`] has it open, or the lock.
    pub fn get(&self, id: Id) -> &Node {
        self.nodes[id].as_ref().expect("a node that is there")
    }

    /// The same, to be changed.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    pub fn get_mut(&mut self, id: Id) -> &mut Node {
        self.nodes[id].as_mut().expect("a node that is there")
    }

    fn entries(&self, folder: Id) -> Result<(&Names, Id), Errno> {
        match &self.get(folder).kind {
            Kind::Directory { entries, parent } => Ok((entries, *parent)),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn entries_mut(&mut self, folder: Id) -> Result<&mut Names, Errno> {
        let now = self.now;
        let node = self.get_mut(folder);
        node.times[1] = now;
        node.times[2] = now;
        match &mut node.kind {
            Kind::Directory { entries, .. } => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn entry(&self, folder: Id, name: &[u8]) -> Result<Option<Id>, Errno> {
        let (entries, parent) = self.entries(folder)?;
        match name {
            b"." => Ok(Some(folder)),
            b".." => Ok(Some(parent)),
            name if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
            name => Ok(entries.get(name).copied()),
        }
    }

    /// What a path leads to from a folder. The last name is followed if it is a link and
    /// `follow` says so.
    ///
    /// # Errors
    /// As path_resolution(7).
    pub fn find(&self, from: Id, path: &[u8], follow: bool) -> Result<Id, Errno> {
        let (folder, name) = self.walk(from, path, follow, &mut 0)?;
        match name {
            None => Ok(folder),
            Some(name) => self.entry(folder, &name)?.ok_or(Errno::ENOENT),
        }
    }

    /// The folder that a path's last name is, or will be, in; and that name.
    ///
    /// # Errors
    /// As path_resolution(7); `EEXIST` for a path that ends in no name.
    pub fn parent<'a>(&self, from: Id, path: &'a [u8]) -> Result<(Id, &'a [u8]), Errno> {
        let trimmed = trim(path);
        let at = trimmed.iter().rposition(|byte| *byte == b'/');
        let (before, name) = match at {
            Some(at) => (&trimmed[..=at], &trimmed[at + 1..]),
            None => (&trimmed[..0], trimmed),
        };
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if name.is_empty() || name == b"." || name == b".." {
            return Err(Errno::EEXIST);
        }
        if name.len() > NAME_MAX || path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let folder = if before.is_empty() {
            from
        } else {
            self.find(from, before, true)?
        };
        self.entries(folder)?;
        Ok((folder, name))
    }

    /// Where creating a file by this path would put it: links of the last name are followed.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn place_of(&self, from: Id, path: &[u8]) -> Result<(Id, Option<Vec<u8>>), Errno> {
        self.walk(from, path, true, &mut 0)
    }

    /// Goes along a path up to its last name, which is not looked up if it may be absent:
    /// it is returned with its folder. Without one, the folder is what the path leads to.
    fn walk(
        &self,
        from: Id,
        path: &[u8],
        follow: bool,
        links: &mut usize,
    ) -> Result<(Id, Option<Vec<u8>>), Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut at = if path[0] == b'/' { ROOT } else { from };
        self.entries(at)?;
        let ends_in_folder = path.ends_with(b"/");
        let mut names = path.split(|byte| *byte == b'/');
        let mut names = names.by_ref().filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            let last = names.peek().is_none();
            let next = self.entry(at, name)?;
            let link = next.and_then(|next| match &self.get(next).kind {
                Kind::Link(target) => Some(target),
                _ => None,
            });
            if let Some(target) = link.filter(|_| !last || follow || ends_in_folder) {
                *links += 1;
                if *links > LINKS_MAX {
                    return Err(Errno::ELOOP);
                }
                let (folder, name) = self.walk(at, target, true, links)?;
                if last {
                    return Ok((folder, name));
                }
                at = match name {
                    None => folder,
                    Some(name) => self.entry(folder, &name)?.ok_or(Errno::ENOENT)?,
                };
                self.entries(at)?;
                continue;
            }
            if last {
                if let Some(next) = next.filter(|_| ends_in_folder) {
                    self.entries(next)?;
                }
                return Ok(match next {
                    // Where `.` and `..` lead is no name.
                    Some(next) if name == b"." || name == b".." => (next, None),
                    _ => (at, Some(name.to_vec())),
                });
            }
            at = next.ok_or(Errno::ENOENT)?;
            self.entries(at)?;
        }
        Ok((at, None))
    }

    /// Makes a node with a name; on the disk, if the folder is there.
    ///
    /// # Errors
    /// `EEXIST`; `ENOTDIR`; `ENOENT` in a folder that was removed; the disk's.
    pub fn create(
        &mut self,
        folder: Id,
        name: &[u8],
        kind: Kind,
        permissions: u32,
    ) -> Result<Id, Errno> {
        self.may_have(folder, name)?;
        let on_disk = self.name_on_disk(folder, name);
        if let Some((store, path)) = &on_disk {
            store.create(path, &kind, permissions)?;
        }
        let id = self.insert(folder, name, kind, permissions)?;
        if on_disk.is_some() {
            self.get_mut(id).stored = Some((folder, name.into()));
        }
        Ok(id)
    }

    /// Whether a name is free, in a folder that is there.
    fn may_have(&self, folder: Id, name: &[u8]) -> Result<(), Errno> {
        if self.entry(folder, name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        if self.get(folder).links == 0 {
            return Err(Errno::ENOENT);
        }
        Ok(())
    }

    /// The same in memory.
    fn insert(
        &mut self,
        folder: Id,
        name: &[u8],
        kind: Kind,
        permissions: u32,
    ) -> Result<Id, Errno> {
        self.may_have(folder, name)?;
        let is_directory = matches!(kind, Kind::Directory { .. });
        let node = Node {
            kind,
            permissions,
            owner: (0, 0),
            times: [self.now; 3],
            links: if is_directory { 2 } else { 1 },
            opens: 0,
            stored: None,
        };
        let id = self.free.pop().unwrap_or(self.nodes.len());
        if id == self.nodes.len() {
            self.nodes.push(Some(node));
        } else {
            self.nodes[id] = Some(node);
        }
        self.entries_mut(folder)?.insert(name.into(), id);
        if is_directory {
            self.get_mut(folder).links += 1;
        }
        Ok(id)
    }

    /// Gives a node another name.
    ///
    /// # Errors
    /// `EEXIST`; `EPERM` for a folder; `EXDEV` between the disk and memory; the disk's.
    pub fn link(&mut self, id: Id, folder: Id, name: &[u8]) -> Result<(), Errno> {
        if self.get(id).is_directory() {
            return Err(Errno::EPERM);
        }
        if self.get(id).links == 0 {
            return Err(Errno::ENOENT);
        }
        self.may_have(folder, name)?;
        match (self.on_disk(id), self.name_on_disk(folder, name)) {
            (Some((store, path)), Some((_, new))) => store.link(&path, &new)?,
            (None, None) => {}
            _ => return Err(Errno::EXDEV),
        }
        self.link_in_memory(id, folder, name)
    }

    fn link_in_memory(&mut self, id: Id, folder: Id, name: &[u8]) -> Result<(), Errno> {
        self.entries_mut(folder)?.insert(name.into(), id);
        self.get_mut(id).links += 1;
        Ok(())
    }

    /// Takes a name away from what is no folder.
    ///
    /// # Errors
    /// `ENOENT`; `EISDIR`; the disk's.
    pub fn unlink(&mut self, folder: Id, name: &[u8]) -> Result<(), Errno> {
        let id = self.entry(folder, name)?.ok_or(Errno::ENOENT)?;
        if self.get(id).is_directory() {
            return Err(Errno::EISDIR);
        }
        self.remove_on_disk(id, folder, name)?;
        self.unlink_in_memory(id, folder, name)
    }

    fn remove_on_disk(&self, id: Id, folder: Id, name: &[u8]) -> Result<(), Errno> {
        match self.name_on_disk(folder, name) {
            Some((store, path)) if self.is_stored(id) => {
                store.remove(&path, self.get(id).is_directory())
            }
            _ => Ok(()),
        }
    }

    fn unlink_in_memory(&mut self, id: Id, folder: Id, name: &[u8]) -> Result<(), Errno> {
        self.entries_mut(folder)?.remove(name);
        self.forget_name(id, folder, name);
        let now = self.now;
        let node = self.get_mut(id);
        node.links -= 1;
        node.times[2] = now;
        self.collect(id);
        Ok(())
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ENOTEMPTY`; `EINVAL` and `ENOTEMPTY` for `.` and `..`; the disk's.
    pub fn remove_directory(&mut self, folder: Id, name: &[u8]) -> Result<(), Errno> {
        let id = self.entry(folder, name)?.ok_or(Errno::ENOENT)?;
        if !self.entries(id)?.0.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.remove_on_disk(id, folder, name)?;
        self.remove_directory_in_memory(id, folder, name)
    }

    fn remove_directory_in_memory(&mut self, id: Id, folder: Id, name: &[u8]) -> Result<(), Errno> {
        self.entries_mut(folder)?.remove(name);
        self.get_mut(folder).links -= 1;
        let node = self.get_mut(id);
        node.links = 0;
        node.stored = None;
        self.collect(id);
        Ok(())
    }

    /// Moves a name. What has the new one is replaced, if `replace` says so.
    ///
    /// # Errors
    /// As rename(2); `EXDEV` between the disk and memory.
    pub fn rename(
        &mut self,
        from: (Id, &[u8]),
        to: (Id, &[u8]),
        replace: bool,
    ) -> Result<(), Errno> {
        let id = self.entry(from.0, from.1)?.ok_or(Errno::ENOENT)?;
        let old = self.entry(to.0, to.1)?;
        if old == Some(id) {
            return Ok(());
        }
        let moves_directory = self.get(id).is_directory();
        if moves_directory {
            // Not into itself.
            let mut above = to.0;
            while above != ROOT {
                if above == id {
                    return Err(Errno::EINVAL);
                }
                above = self.entries(above)?.1;
            }
        }
        if let Some(old) = old {
            if !replace {
                return Err(Errno::EEXIST);
            }
            match (moves_directory, self.get(old).is_directory()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) if !self.entries(old)?.0.is_empty() => return Err(Errno::ENOTEMPTY),
                _ => {}
            }
        }
        if self.is_stored(id) != self.is_stored(to.0) {
            return Err(Errno::EXDEV);
        }
        if let Some((store, path)) = self.name_on_disk(from.0, from.1)
            && let Some((_, new)) = self.name_on_disk(to.0, to.1)
            && self.is_stored(id)
        {
            store.rename(&path, &new)?;
        }
        match old {
            Some(old) if moves_directory => self.remove_directory_in_memory(old, to.0, to.1)?,
            Some(old) => self.unlink_in_memory(old, to.0, to.1)?,
            None => {}
        }
        self.entries_mut(from.0)?.remove(from.1);
        self.entries_mut(to.0)?.insert(to.1.into(), id);
        if self.is_stored(id) {
            self.get_mut(id).stored = Some((to.0, to.1.into()));
        }
        if moves_directory && from.0 != to.0 {
            self.get_mut(from.0).links -= 1;
            self.get_mut(to.0).links += 1;
            if let Kind::Directory { parent, .. } = &mut self.get_mut(id).kind {
                *parent = to.0;
            }
        }
        Ok(())
    }

    /// Somebody has a node open: the bytes of a file are here then.
    ///
    /// # Errors
    /// The disk's; `ENOMEM` if there is no memory for a file of it.
    pub fn open(&mut self, id: Id) -> Result<(), Errno> {
        self.load(id)?;
        self.get_mut(id).opens += 1;
        Ok(())
    }

    /// Somebody has it open no more.
    pub fn close(&mut self, id: Id) {
        self.get_mut(id).opens -= 1;
        self.unload(id);
        self.collect(id);
    }

    fn collect(&mut self, id: Id) {
        let node = self.get(id);
        if node.links == 0 && node.opens == 0 && id != ROOT {
            self.nodes[id] = None;
            self.free.push(id);
        }
    }

    /// The path of a folder.
    ///
    /// # Errors
    /// `ENOENT` if it was removed.
    pub fn path(&self, folder: Id) -> Result<Vec<u8>, Errno> {
        let mut names = Vec::new();
        let mut at = folder;
        while at != ROOT {
            let (_, parent) = self.entries(at)?;
            let (entries, _) = self.entries(parent)?;
            let name = entries.iter().find(|(_, id)| **id == at);
            names.push(name.ok_or(Errno::ENOENT)?.0.clone());
            at = parent;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Ok(path)
    }

    /// The names in a folder from a place on: the place behind each, name, node. `.` and
    /// `..` come first.
    ///
    /// # Errors
    /// `ENOTDIR`.
    pub fn names(&self, folder: Id, from: u64) -> Result<Vec<(u64, Vec<u8>, Id)>, Errno> {
        let (entries, parent) = self.entries(folder)?;
        let dots = [(b".".to_vec(), folder), (b"..".to_vec(), parent)];
        let names = entries.iter().map(|(name, id)| (name.to_vec(), *id));
        let all = dots.into_iter().chain(names).zip(1..);
        let rest = all.skip(usize::try_from(from).unwrap_or(usize::MAX));
        Ok(rest.map(|((name, id), next)| (next, name, id)).collect())
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// `EISDIR`; `EINVAL` for what has none, or is on the disk and not open.
    pub fn data(&self, id: Id) -> Result<&Cow<'static, [u8]>, Errno> {
        match &self.get(id).kind {
            Kind::File(data) => Ok(data),
            Kind::Directory { .. } => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Writes to a file that is open; `None` is at its end. Returns where.
    ///
    /// # Errors
    /// As [`data`](Self::data); `ENOSPC` if there is no memory; `EFBIG`; the disk's.
    pub fn write(&mut self, id: Id, at: Option<u64>, from: &[u8]) -> Result<u64, Errno> {
        let length = self.data(id)?.len();
        let start = at.map_or(Ok(length), usize::try_from);
        let start = start.map_err(|_| Errno::EFBIG)?;
        let end = start.checked_add(from.len()).ok_or(Errno::EFBIG)?;
        if end > length {
            self.resize_in_memory(id, end)?;
        }
        if let Some((store, path)) = self.on_disk(id)
            && let Err(errno) = store.write(&path, start as u64, from)
        {
            self.resize_in_memory(id, length)?;
            return Err(errno);
        }
        self.written(id);
        if let Kind::File(data) = &mut self.get_mut(id).kind {
            data.to_mut()[start..end].copy_from_slice(from);
        }
        Ok(start as u64)
    }

    /// Makes a file shorter, or longer with zeros.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn resize(&mut self, id: Id, length: usize) -> Result<(), Errno> {
        let on_disk = |store: (Arc<dyn Store>, Vec<u8>)| store.0.resize(&store.1, length as u64);
        if let Kind::Stored(_) = self.get(id).kind {
            self.on_disk(id).map_or(Err(Errno::EIO), on_disk)?;
            self.get_mut(id).kind = Kind::Stored(length as u64);
        } else {
            let before = self.data(id)?.len();
            if length > before {
                self.resize_in_memory(id, length)?;
            }
            if let Err(errno) = self.on_disk(id).map_or(Ok(()), on_disk) {
                self.resize_in_memory(id, before)?;
                return Err(errno);
            }
            self.resize_in_memory(id, length)?;
        }
        self.written(id);
        Ok(())
    }

    /// A file was written to.
    fn written(&mut self, id: Id) {
        let now = self.now;
        let node = self.get_mut(id);
        node.times[1] = now;
        node.times[2] = now;
    }

    fn resize_in_memory(&mut self, id: Id, length: usize) -> Result<(), Errno> {
        let Kind::File(data) = &mut self.get_mut(id).kind else {
            return Err(Errno::EINVAL);
        };
        if length < data.len()
            && let Cow::Borrowed(bytes) = data
        {
            *data = Cow::Borrowed(&bytes[..length]);
            return Ok(());
        }
        if let Cow::Borrowed(bytes) = data {
            let mut owned = Vec::new();
            owned
                .try_reserve(length.max(bytes.len()))
                .map_err(|_| Errno::ENOSPC)?;
            owned.extend_from_slice(bytes);
            *data = Cow::Owned(owned);
        }
        let bytes = data.to_mut();
        let more = length.saturating_sub(bytes.len());
        bytes.try_reserve(more).map_err(|_| Errno::ENOSPC)?;
        bytes.resize(length, 0);
        Ok(())
    }
}

fn trim(mut path: &[u8]) -> &[u8] {
    while path.len() > 1 && path.ends_with(b"/") {
        path = &path[..path.len() - 1];
    }
    path
}

#[cfg(test)]
mod tests;
