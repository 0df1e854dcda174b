use super::super::Errno;
use super::*;
use std::format;
use std::string::{String, ToString};
use std::sync::Mutex;
use std::vec;

/// A disk in memory, that can be made to fail.
#[derive(Debug, Default)]
struct Fake(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By path. Of files with several names, the number stands for the data.
    nodes: BTreeMap<Vec<u8>, Entry>,
    data: BTreeMap<u64, Vec<u8>>,
    number: u64,
    fails: bool,
    reads: usize,
}

impl State {
    fn may(&self) -> Result<(), Errno> {
        if self.fails { Err(Errno::EIO) } else { Ok(()) }
    }

    fn put(&mut self, path: &[u8], found: Found, permissions: u32) {
        self.number += 1;
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap().to_vec();
        let entry = Entry {
            name,
            found,
            number: self.number,
            links: 1,
            permissions,
            owner: (0, 0),
            times: [7; 3],
        };
        self.nodes.insert(path.into(), entry);
    }

    fn number(&self, path: &[u8]) -> Result<u64, Errno> {
        Ok(self.nodes.get(path).ok_or(Errno::ENOENT)?.number)
    }

    fn below(&self, path: &[u8]) -> Vec<Vec<u8>> {
        let prefix = [path, b"/"].concat();
        let names = self.nodes.keys();
        names
            .filter(|name| name.starts_with(&prefix))
            .cloned()
            .collect()
    }
}

impl Store for Fake {
    fn list(&self, folder: &[u8]) -> Result<Vec<Entry>, Errno> {
        let state = self.0.lock().unwrap();
        state.may()?;
        let prefix = if folder == b"/" {
            Vec::from(folder)
        } else {
            [folder, b"/"].concat()
        };
        let mut found = Vec::new();
        for (path, entry) in &state.nodes {
            if let Some(name) = path.strip_prefix(&*prefix)
                && !name.contains(&b'/')
            {
                let mut entry = entry.clone();
                if let Found::File(length) = &mut entry.found {
                    *length = state
                        .data
                        .get(&entry.number)
                        .map_or(0, |data| data.len() as u64);
                }
                let same = |other: &&Entry| other.number == entry.number;
                entry.links = state.nodes.values().filter(same).count() as u32;
                found.push(entry);
            }
        }
        Ok(found)
    }
    fn read(&self, path: &[u8], _: u64) -> Result<Vec<u8>, Errno> {
        let mut state = self.0.lock().unwrap();
        state.may()?;
        state.reads += 1;
        let number = state.number(path)?;
        Ok(state.data.get(&number).cloned().unwrap_or_default())
    }
    fn create(&self, path: &[u8], kind: &Kind, permissions: u32) -> Result<(), Errno> {
        let mut state = self.0.lock().unwrap();
        state.may()?;
        let found = match kind {
            Kind::Directory { .. } => Found::Folder,
            Kind::Link(target) => Found::Link(target.to_vec()),
            _ => Found::File(0),
        };
        state.put(path, found, permissions);
        Ok(())
    }
    fn link(&self, path: &[u8], new: &[u8]) -> Result<(), Errno> {
        let mut state = self.0.lock().unwrap();
        state.may()?;
        let mut entry = state.nodes.get(path).ok_or(Errno::ENOENT)?.clone();
        entry.name = new.rsplit(|byte| *byte == b'/').next().unwrap().to_vec();
        state.nodes.insert(new.into(), entry);
        Ok(())
    }
    fn remove(&self, path: &[u8], _: bool) -> Result<(), Errno> {
        let mut state = self.0.lock().unwrap();
        state.may()?;
        if !state.below(path).is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        state.nodes.remove(path).map(drop).ok_or(Errno::ENOENT)
    }
    fn rename(&self, path: &[u8], new: &[u8]) -> Result<(), Errno> {
        let mut state = self.0.lock().unwrap();
        state.may()?;
        for old in state.below(path) {
            let entry = state.nodes.remove(&old).ok_or(Errno::ENOENT)?;
            state
                .nodes
                .insert([new, &old[path.len()..]].concat(), entry);
        }
        let mut entry = state.nodes.remove(path).ok_or(Errno::ENOENT)?;
        entry.name = new.rsplit(|byte| *byte == b'/').next().unwrap().to_vec();
        state.nodes.insert(new.into(), entry);
        Ok(())
    }
    fn write(&self, path: &[u8], at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut state = self.0.lock().unwrap();
        state.may()?;
        let number = state.number(path)?;
        let data = state.data.entry(number).or_default();
        let end = at as usize + bytes.len();
        data.resize(data.len().max(end), 0);
        data[at as usize..end].copy_from_slice(bytes);
        Ok(())
    }
    fn resize(&self, path: &[u8], length: u64) -> Result<(), Errno> {
        let mut state = self.0.lock().unwrap();
        state.may()?;
        let number = state.number(path)?;
        state
            .data
            .entry(number)
            .or_default()
            .resize(length as usize, 0);
        Ok(())
    }
    fn change(&self, path: &[u8], change: Change) -> Result<(), Errno> {
        let mut state = self.0.lock().unwrap();
        state.may()?;
        let number = state.number(path)?;
        for entry in state
            .nodes
            .values_mut()
            .filter(|entry| entry.number == number)
        {
            match change {
                Change::Permissions(permissions) => entry.permissions = permissions,
                Change::Owner(user, group) => entry.owner = (user, group),
                Change::Times([read, written]) => {
                    (entry.times[0], entry.times[1]) = (read, written);
                }
            }
        }
        Ok(())
    }
    fn sync(&self, _: Option<&[u8]>) -> Result<(), Errno> {
        self.0.lock().unwrap().may()
    }
}

fn mounted(disk: &Arc<Fake>) -> Tree {
    let mut tree = Tree::new();
    tree.mount(disk.clone()).unwrap();
    tree
}

fn folder(tree: &Tree, path: &str) -> Id {
    tree.find(ROOT, path.as_bytes(), true).unwrap()
}

fn make(tree: &mut Tree, path: &str, kind: Kind) -> Id {
    let (at, name) = tree.parent(ROOT, path.as_bytes()).unwrap();
    let kind = match kind {
        Kind::Directory { .. } => Tree::directory(at),
        kind => kind,
    };
    tree.create(at, name, kind, 0o640).unwrap()
}

fn file() -> Kind {
    Kind::File(Cow::Borrowed(&[]))
}

fn write(tree: &mut Tree, id: Id, text: &str) -> Result<u64, Errno> {
    tree.open(id)?;
    let done = tree.write(id, None, text.as_bytes());
    tree.close(id);
    done
}

fn text(tree: &mut Tree, path: &str) -> Result<String, Errno> {
    let id = tree.find(ROOT, path.as_bytes(), true)?;
    tree.open(id)?;
    let text = String::from_utf8_lossy(tree.data(id)?).to_string();
    tree.close(id);
    Ok(text)
}

/// Every path of the disk's part of a tree, and what is there.
fn all(tree: &mut Tree) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![(ROOT, String::new())];
    while let Some((at, path)) = left.pop() {
        for (_, name, id) in tree.names(at, 2).unwrap() {
            if !tree.is_stored(id) {
                continue;
            }
            let path = format!("{path}/{}", String::from_utf8_lossy(&name));
            let node = tree.get(id);
            let (mode, links) = (node.mode(), node.links);
            let what = match node.kind.clone() {
                Kind::Directory { .. } => {
                    left.push((id, path.clone()));
                    "".into()
                }
                Kind::Link(target) => String::from_utf8_lossy(&target).to_string(),
                _ => text(tree, &path).unwrap(),
            };
            found.push(format!("{path} {mode:o} {links} {what}"));
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_changed_is_there_next_time() {
    let disk = Arc::new(Fake::default());
    let mut tree = mounted(&disk);
    let top = make(&mut tree, "/data", Tree::directory(ROOT));
    let one = make(&mut tree, "/data/one", file());
    write(&mut tree, one, "text").unwrap();
    tree.resize(one, 3).unwrap();
    make(&mut tree, "/data/link", Kind::Link((*b"one").into()));
    tree.link(one, top, b"two").unwrap();
    make(&mut tree, "/data/sub", Tree::directory(ROOT));
    make(&mut tree, "/data/sub/gone", file());
    let sub = folder(&tree, "/data/sub");
    tree.unlink(sub, b"gone").unwrap();
    tree.change(one, Change::Permissions(0o600)).unwrap();
    // The file is known by another name then; folders take along what is in them.
    tree.unlink(top, b"one").unwrap();
    tree.rename((top, b"sub"), (ROOT, b"moved"), true).unwrap();
    make(&mut tree, "/moved/deep", file());
    tree.sync(None).unwrap();
    let before = all(&mut tree);
    assert_eq!(
        before,
        [
            "/data 40640 2 ",
            "/data/link 120777 1 one",
            "/data/two 100600 1 tex",
            "/moved 40640 2 ",
            "/moved/deep 100640 1 ",
        ]
        .map(|line| line.replace("120777", "120640"))
    );
    assert_eq!(all(&mut mounted(&disk)), before);
}

#[test]
fn bytes_are_read_when_a_file_is_opened() {
    let disk = Arc::new(Fake::default());
    let mut tree = mounted(&disk);
    let id = make(&mut tree, "/f", file());
    write(&mut tree, id, "abc").unwrap();
    let reads = disk.0.lock().unwrap().reads;
    let mut tree = mounted(&disk);
    let id = folder(&tree, "/f");
    assert_eq!(tree.get(id).size(), 3);
    assert_eq!(tree.data(id).unwrap_err(), Errno::EINVAL);
    assert_eq!(disk.0.lock().unwrap().reads, reads);
    assert_eq!(text(&mut tree, "/f").unwrap(), "abc");
    assert!(matches!(tree.get(id).kind, Kind::Stored(3)));
    // What is open stays without a name.
    tree.open(id).unwrap();
    tree.unlink(ROOT, b"f").unwrap();
    assert_eq!(&**tree.data(id).unwrap(), b"abc");
    tree.write(id, None, b"d").unwrap();
    assert_eq!(&**tree.data(id).unwrap(), b"abcd");
    tree.close(id);
    assert!(all(&mut mounted(&disk)).is_empty());
}

#[test]
fn what_the_disk_refuses_is_not_done() {
    let disk = Arc::new(Fake::default());
    let mut tree = mounted(&disk);
    let id = make(&mut tree, "/f", file());
    make(&mut tree, "/d", Tree::directory(ROOT));
    write(&mut tree, id, "abc").unwrap();
    tree.open(id).unwrap();
    let before = all(&mut tree);
    disk.0.lock().unwrap().fails = true;
    let denied = Err(Errno::EIO);
    assert_eq!(tree.write(id, None, b"x").map(drop), denied);
    assert_eq!(tree.resize(id, 100), denied);
    assert_eq!(tree.resize(id, 1), denied);
    assert_eq!(tree.create(ROOT, b"g", file(), 0).map(drop), denied);
    assert_eq!(tree.unlink(ROOT, b"f"), denied);
    assert_eq!(tree.link(id, ROOT, b"g"), denied);
    assert_eq!(tree.rename((ROOT, b"f"), (ROOT, b"g"), true), denied);
    assert_eq!(tree.remove_directory(ROOT, b"d"), denied);
    assert_eq!(tree.change(id, Change::Permissions(0)), denied);
    assert_eq!(tree.sync(Some(id)), denied);
    disk.0.lock().unwrap().fails = false;
    assert_eq!(all(&mut tree), before);
    tree.close(id);
    assert_eq!(all(&mut mounted(&disk)), before);
}

#[test]
fn memory_and_disk_are_two() {
    let disk = Arc::new(Fake::default());
    disk.0.lock().unwrap().put(b"/tmp", Found::Folder, 0o755);
    disk.0
        .lock()
        .unwrap()
        .put(b"/tmp/hidden", Found::File(0), 0o644);
    disk.0.lock().unwrap().put(b"/etc", Found::Folder, 0o700);
    let mut tree = mounted(&disk);
    tree.place("/etc/hosts", Kind::File(Cow::Borrowed(b"here")), 0o644);
    assert_eq!(tree.find(ROOT, b"/tmp/hidden", true), Err(Errno::ENOENT));
    assert_eq!(tree.get(folder(&tree, "/etc")).permissions, 0o700);
    let (tmp, etc) = (folder(&tree, "/tmp"), folder(&tree, "/etc"));
    let one = make(&mut tree, "/tmp/one", file());
    let two = make(&mut tree, "/etc/two", file());
    let across = Err(Errno::EXDEV);
    assert_eq!(tree.rename((tmp, b"one"), (etc, b"one"), true), across);
    assert_eq!(tree.rename((etc, b"two"), (tmp, b"two"), true), across);
    assert_eq!(tree.link(one, etc, b"one"), across);
    assert_eq!(tree.link(two, tmp, b"two"), across);
    // What was in memory is replaced by what is on the disk.
    tree.rename((etc, b"two"), (etc, b"hosts"), true).unwrap();
    assert_eq!(text(&mut tree, "/etc/hosts").unwrap(), "");
    assert!(
        disk.0
            .lock()
            .unwrap()
            .nodes
            .contains_key(&b"/etc/hosts"[..])
    );
    assert!(!disk.0.lock().unwrap().nodes.contains_key(&b"/tmp/one"[..]));
}

#[test]
fn a_disk_without_sense_is_refused() {
    let said = |change: fn(&mut State)| {
        let disk = Arc::new(Fake::default());
        change(&mut disk.0.lock().unwrap());
        Tree::new().mount(disk).unwrap_err()
    };
    let twice = said(|state| {
        state.put(b"/a", Found::Folder, 0);
        state.put(b"/b", Found::Folder, 0);
        state.number = 0;
        state.put(b"/a/c", Found::Folder, 0);
    });
    assert!(twice.contains("in another one as well"), "{twice}");
    let name = said(|state| {
        state.put(b"/a", Found::File(0), 0);
        let entry = state.nodes.get_mut(&b"/a"[..]).unwrap();
        entry.name = b"..".to_vec();
    });
    assert!(name.contains("no name"), "{name}");
    let error = said(|state| state.fails = true);
    assert!(error.contains("error 5"), "{error}");
}

proptest::proptest! {
    /// Whatever is done, in whatever order, the disk has what the tree has.
    #[test]
    fn the_disk_follows(steps in proptest::collection::vec((0..9_u8, 0..8_usize, 0..8_usize), 0..60)) {
        const PATHS: [&[u8]; 8] = [b"/a", b"/b", b"/a/x", b"/a/y", b"/b/x", b"/a/x/z", b"/c", b"/b/x/z"];
        let disk = Arc::new(Fake::default());
        let mut tree = mounted(&disk);
        let mut open = Vec::new();
        for (step, one, two) in steps {
            let (one, two) = (PATHS[one], PATHS[two]);
            let node = tree.find(ROOT, one, true);
            let place = tree.parent(ROOT, one);
            let other = tree.parent(ROOT, two);
            let Ok((folder, name)) = place else { continue };
            // What fails, fails; that changes nothing.
            let _ = match (step, node) {
                (0, _) => tree.create(folder, name, Tree::directory(folder), 0o755).map(drop),
                (1 | 2, _) => tree.create(folder, name, file(), 0o644).map(drop),
                (3, _) => tree.unlink(folder, name),
                (4, _) => tree.remove_directory(folder, name),
                (5, _) => other.and_then(|other| tree.rename((folder, name), other, true)),
                (6, Ok(node)) => other.and_then(|(folder, name)| tree.link(node, folder, name)),
                (7, Ok(node)) => write(&mut tree, node, "more").map(drop),
                (8, Ok(node)) => tree.open(node).map(|()| open.push(node)),
                _ => Ok(()),
            };
        }
        for node in open {
            tree.close(node);
        }
        let now = all(&mut tree);
        proptest::prop_assert_eq!(all(&mut mounted(&disk)), now);
    }
}
