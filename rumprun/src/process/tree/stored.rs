//! Files of a disk in the tree.
//!
//! The tree is the disk's only user, so that what it knows stays true: names, and what is told
//! of files, are read when the disk is mounted; the bytes of a file when it is opened, and
//! they go when it is closed. Every change is made on the disk first: where that fails, the
//! tree's call fails so and changes nothing.
//!
//! A node of the disk knows one of its names. Folders that are made anew with each start
//! ([`VOLATILE`]) stay in memory and hide those of the disk; nothing is moved or linked from
//! the one to the other (`EXDEV`), as between file systems.
//!
//! # What is known to be weak
//! - A file is in memory as a whole while it is open.
//! - Each write is a call with a path.

use super::node::{Device, Kind};
use super::store::{Change, Entry, Found, Store};
use super::{Id, NAME_MAX, PATH_MAX, ROOT, Tree};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rump_linux::Errno;

/// Folders at the root that are in memory (hier(7) has them so, or made by the system).
const VOLATILE: [&[u8]; 5] = [b"dev", b"proc", b"run", b"sys", b"tmp"];

/// Numbers that were seen: of files with several names, and of folders.
#[derive(Default)]
struct Seen {
    files: BTreeMap<u64, Id>,
    folders: BTreeSet<u64>,
}

impl Tree {
    /// Has a disk below the root. What is in memory already is not replaced.
    ///
    /// # Errors
    /// What is wrong with the file system, and where.
    pub fn mount(&mut self, store: Arc<dyn Store>) -> Result<(), String> {
        self.get_mut(ROOT).stored = Some((ROOT, Box::default()));
        self.store = Some(store.clone());
        let mut seen = Seen::default();
        let mut left = Vec::from([ROOT]);
        while let Some(folder) = left.pop() {
            let path = self.stored_path(folder).unwrap_or_default();
            let told = |name: &[u8], problem: &str| {
                let path = String::from_utf8_lossy(&path);
                let name = String::from_utf8_lossy(name);
                alloc::format!("{path}/{name}: {problem}")
            };
            let error = |errno: Errno| alloc::format!("error {}", errno.0);
            let here: &[u8] = if path.is_empty() { b"/" } else { &path };
            let entries = store.list(here).map_err(|errno| told(b"", &error(errno)))?;
            for entry in entries {
                let added = self.add_stored(folder, &entry, &mut seen);
                left.extend(added.map_err(|problem| told(&entry.name, problem))?);
            }
        }
        Ok(())
    }

    /// Adds what the disk has in a folder: the node if it is a folder itself.
    fn add_stored(
        &mut self,
        folder: Id,
        entry: &Entry,
        seen: &mut Seen,
    ) -> Result<Option<Id>, &'static str> {
        let name = &*entry.name;
        let odd = name.is_empty() || name.len() > NAME_MAX || name == b"." || name == b"..";
        if odd || name.contains(&0) || name.contains(&b'/') {
            return Err("this is no name");
        }
        if folder == ROOT && VOLATILE.contains(&name) {
            return Ok(None);
        }
        let is_folder = entry.found == Found::Folder;
        if is_folder && !seen.folders.insert(entry.number) {
            return Err("this folder is in another one as well");
        }
        let old = self.entry(folder, name).map_err(|_| "it is in no folder")?;
        let id = match (old, &entry.found) {
            (Some(old), Found::Folder) if self.get(old).is_directory() => old,
            (Some(_), _) | (None, Found::Other) => return Ok(None),
            (None, found) => {
                let first = seen.files.get(&entry.number).copied();
                if let Some(first) = first.filter(|_| !is_folder) {
                    let linked = self.link_in_memory(first, folder, name);
                    return linked
                        .map(|()| None)
                        .map_err(|_| "it cannot have this name");
                }
                let kind = match found {
                    Found::Folder => Self::directory(folder),
                    Found::File(length) => Kind::Stored(*length),
                    Found::Link(target) => Kind::Link(target.as_slice().into()),
                    Found::Device(numbers) => match Device::with(*numbers) {
                        Some(device) => Kind::Device(device),
                        None => return Ok(None),
                    },
                    Found::Other => return Ok(None),
                };
                let made = self.insert(folder, name, kind, 0);
                made.map_err(|_| "it cannot be here")?
            }
        };
        if !is_folder && entry.links > 1 {
            seen.files.insert(entry.number, id);
        }
        let node = self.get_mut(id);
        node.permissions = entry.permissions & 0o7777;
        node.owner = entry.owner;
        node.times = entry.times;
        node.stored = Some((folder, name.into()));
        if !is_folder {
            return Ok(None);
        }
        let path = self.stored_path(id);
        if path.is_none_or(|path| path.len() >= PATH_MAX) {
            return Err("this folder is too deep");
        }
        Ok(Some(id))
    }

    /// The path of a node on the disk; that of the root is empty.
    fn stored_path(&self, id: Id) -> Option<Vec<u8>> {
        let mut names = Vec::new();
        let mut at = id;
        while at != ROOT {
            let (folder, name) = self.get(at).stored.as_ref()?;
            names.push(&**name);
            at = *folder;
        }
        self.get(ROOT).stored.as_ref()?;
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        Some(path)
    }

    /// The disk and the path there, of a node that is on it.
    pub(super) fn on_disk(&self, id: Id) -> Option<(Arc<dyn Store>, Vec<u8>)> {
        let path = self.stored_path(id)?;
        Some((self.store.clone()?, path))
    }

    /// The same of a name in a folder that is on it.
    pub(super) fn name_on_disk(
        &self,
        folder: Id,
        name: &[u8],
    ) -> Option<(Arc<dyn Store>, Vec<u8>)> {
        let (store, mut path) = self.on_disk(folder)?;
        path.push(b'/');
        path.extend_from_slice(name);
        Some((store, path))
    }

    pub(super) fn is_stored(&self, id: Id) -> bool {
        self.get(id).stored.is_some()
    }

    /// Reads the bytes of a file, if they are not there.
    pub(super) fn load(&mut self, id: Id) -> Result<(), Errno> {
        let Kind::Stored(length) = self.get(id).kind else {
            return Ok(());
        };
        let (store, path) = self.on_disk(id).ok_or(Errno::EIO)?;
        let data = store.read(&path, length)?;
        self.get_mut(id).kind = Kind::File(Cow::Owned(data));
        Ok(())
    }

    /// Lets go of the bytes of a file that nobody has open, and that the disk has.
    pub(super) fn unload(&mut self, id: Id) {
        let node = self.get_mut(id);
        if let Kind::File(data) = &node.kind
            && node.opens == 0
            && node.stored.is_some()
        {
            node.kind = Kind::Stored(data.len() as u64);
        }
    }

    /// A node has lost a name: it is known by another, if it has one.
    pub(super) fn forget_name(&mut self, id: Id, folder: Id, name: &[u8]) {
        let is = |(of, old): &(Id, Box<[u8]>)| *of == folder && **old == *name;
        if !self.get(id).stored.as_ref().is_some_and(is) {
            return;
        }
        let folders = self.nodes.iter().enumerate();
        let other = folders.filter_map(|(folder, node)| match &node.as_ref()?.kind {
            Kind::Directory { entries, .. } => {
                let name = entries.iter().find(|(_, node)| **node == id)?.0;
                Some((folder, name.clone()))
            }
            _ => None,
        });
        let other = other.into_iter().next();
        self.get_mut(id).stored = other;
    }

    /// Changes what is told of a node.
    ///
    /// # Errors
    /// The disk's.
    pub fn change(&mut self, id: Id, change: Change) -> Result<(), Errno> {
        if let Some((store, path)) = self.on_disk(id) {
            store.change(&path, change)?;
        }
        let now = self.now;
        let node = self.get_mut(id);
        node.times[2] = now;
        match change {
            Change::Permissions(permissions) => node.permissions = permissions & 0o7777,
            Change::Owner(user, group) => node.owner = (user, group),
            Change::Times([read, written]) => {
                node.times[0] = read;
                node.times[1] = written;
            }
        }
        Ok(())
    }

    /// Has the disk keep a node, or without one all that is on it.
    ///
    /// # Errors
    /// The disk's.
    pub fn sync(&self, id: Option<Id>) -> Result<(), Errno> {
        match (id, &self.store) {
            (Some(id), _) => match self.on_disk(id) {
                Some((store, path)) if path.is_empty() => store.sync(Some(b"/")),
                Some((store, path)) => store.sync(Some(&path)),
                None => Ok(()),
            },
            (None, Some(store)) => store.sync(None),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "stored_tests.rs"]
mod tests;
