//! What is there when the machine starts: devices and proc(5), and what the archive has.

use super::node::{CHARACTER, DIRECTORY, Device, FILE, KIND, Kind, LINK, Node, Told};
use super::{Id, ROOT, Tree};
use crate::process::cpio::{Archive, Entry};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use rump_linux::Errno;

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

/// Folders that every tree has, and their permissions.
const FOLDERS: [(&str, u32); 8] = [
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/tmp", 0o1777),
    ("/var", 0o755),
    ("/var/tmp", 0o1777),
];

/// Devices that every tree has.
const DEVICES: [(&str, Device); 10] = [
    ("/dev/console", Device::Console),
    ("/dev/full", Device::Full),
    ("/dev/null", Device::Null),
    ("/dev/random", Device::Random),
    ("/dev/stderr", Device::Console),
    ("/dev/stdin", Device::Console),
    ("/dev/stdout", Device::Console),
    ("/dev/tty", Device::Console),
    ("/dev/urandom", Device::Random),
    ("/dev/zero", Device::Zero),
];

/// The files of proc(5).
const TOLD: [(&str, Told); 16] = [
    ("/proc/cmdline", Told::Boot),
    ("/proc/cpuinfo", Told::CpuInfo),
    ("/proc/loadavg", Told::LoadAverage),
    ("/proc/meminfo", Told::MemInfo),
    ("/proc/mounts", Told::Mounts),
    ("/proc/stat", Told::SystemStat),
    ("/proc/uptime", Told::UpTime),
    ("/proc/version", Told::Version),
    ("/proc/self/cmdline", Told::CommandLine),
    ("/proc/self/comm", Told::Name),
    ("/proc/self/environ", Told::Environment),
    ("/proc/self/limits", Told::Limits),
    ("/proc/self/maps", Told::Maps),
    ("/proc/self/stat", Told::Stat),
    ("/proc/self/statm", Told::Statm),
    ("/proc/self/status", Told::Status),
];

/// Files of proc(5) with a text that stays.
const FIXED: [(&str, &str); 5] = [
    ("/proc/sys/kernel/osrelease", "6.1.0\n"),
    ("/proc/sys/kernel/ostype", "Linux\n"),
    ("/proc/sys/net/core/somaxconn", "4096\n"),
    ("/proc/sys/vm/overcommit_memory", "1\n"),
    (
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "always madvise [never]\n",
    ),
];
impl Tree {
    /// A tree with devices and proc(5), and else empty.
    pub fn new() -> Self {
        let root = Node {
            kind: Kind::Directory {
                entries: BTreeMap::new(),
                parent: ROOT,
            },
            permissions: 0o755,
            owner: (0, 0),
            times: [0; 3],
            links: 2,
            opens: 0,
            stored: None,
        };
        let mut tree = Self {
            nodes: Vec::from([Some(root)]),
            free: Vec::new(),
            store: None,
            now: 0,
        };
        for (path, permissions) in FOLDERS {
            tree.folder(path, permissions);
        }
        for (path, device) in DEVICES {
            tree.place(path, Kind::Device(device), 0o666);
        }
        for (path, told) in TOLD {
            tree.place(path, Kind::Told(told), 0o444);
        }
        for (path, text) in FIXED {
            tree.place(path, Kind::File(Cow::Borrowed(text.as_bytes())), 0o444);
        }
        tree
    }

    /// Makes folders on the way, and a node there unless there is one; in memory also where the
    /// folder is on a disk.
    pub fn place(&mut self, path: &str, kind: Kind, permissions: u32) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.folder(folder, 0o755);
        if let Ok(folder) = self.find(ROOT, folder.as_bytes(), true) {
            // One that is there stays as the archive has it.
            let _ = self.insert(folder, name.as_bytes(), kind, permissions);
        }
    }

    fn folder(&mut self, path: &str, permissions: u32) {
        let mut at = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let folder = if at.is_empty() { "/" } else { &at };
            if let Ok(folder) = self.find(ROOT, folder.as_bytes(), true) {
                let kind = Self::directory(folder);
                let _ = self.insert(folder, name.as_bytes(), kind, permissions);
            }
            at.push('/');
            at.push_str(name);
        }
    }

    /// An empty folder.
    pub fn directory(parent: Id) -> Kind {
        Kind::Directory {
            entries: BTreeMap::new(),
            parent,
        }
    }

    /// Puts what an archive has into the tree. What is there by the same name is replaced,
    /// if it is no folder.
    ///
    /// # Errors
    /// What is wrong with the archive, and where.
    pub fn unpack(&mut self, archive: &'static [u8]) -> Result<usize, String> {
        let mut count = 0;
        let mut files = BTreeMap::new();
        for entry in Archive::new(archive) {
            let entry = entry?;
            let told = |problem: Errno| {
                let name = String::from_utf8_lossy(entry.name);
                alloc::format!("{name}: error {}", problem.0)
            };
            self.add(&entry, &mut files).map_err(told)?;
            count += 1;
        }
        Ok(count)
    }

    fn add(&mut self, entry: &Entry<'static>, files: &mut BTreeMap<u32, Id>) -> Result<(), Errno> {
        let path = entry.name.strip_prefix(b"./").unwrap_or(entry.name);
        let path = path.strip_prefix(b"/").unwrap_or(path);
        if path.is_empty() || path == b"." {
            return Ok(());
        }
        let text = String::from_utf8_lossy(path);
        if let Some((folder, _)) = text.rsplit_once('/') {
            self.folder(folder, 0o755);
        }
        let (folder, name) = self.parent(ROOT, path)?;
        let name = name.to_vec();
        if let Some(old) = self.entry(folder, &name)? {
            if self.get(old).is_directory() {
                if entry.mode & KIND == DIRECTORY {
                    self.get_mut(old).permissions = entry.mode & 0o7777;
                }
                return Ok(());
            }
            self.unlink(folder, &name)?;
        }
        let linked = entry.links > 1 && entry.mode & KIND == FILE;
        if linked && let Some(first) = files.get(&entry.number).copied() {
            self.link(first, folder, &name)?;
            if !entry.data.is_empty() {
                self.get_mut(first).kind = Kind::File(Cow::Borrowed(entry.data));
            }
            return Ok(());
        }
        let kind = match entry.mode & KIND {
            DIRECTORY => Self::directory(folder),
            FILE => Kind::File(Cow::Borrowed(entry.data)),
            LINK => Kind::Link(entry.data.into()),
            CHARACTER => match Device::with(entry.device) {
                Some(device) => Kind::Device(device),
                None => return Ok(()),
            },
            // Sockets, named pipes and disks are nobody's here.
            _ => return Ok(()),
        };
        let id = self.insert(folder, &name, kind, entry.mode & 0o7777)?;
        let node = self.get_mut(id);
        node.owner = (entry.uid, entry.gid);
        node.times = [u64::from(entry.time) * 1_000_000_000; 3];
        if linked {
            files.insert(entry.number, id);
        }
        Ok(())
    }
}
