//! A copy of the miniature tree, building it, and running what was built.

use rumprun_build::kernel::{self, Kernel, Recipe};
use rumprun_build::make::Curlwp;
use rumprun_build::toolchain::Toolchain;
use rumprun_build::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

pub const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The tree as it stands in the repository.
pub const MINITREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/minitree");

/// Components that between them use everything that the tree has to offer.
pub const ALL: &[&str] = &[
    "net",
    "route",
    "wire",
    "toydisk",
    "ticker",
    "rumpvfs_null",
    "rumpnet_null",
    "quirk",
    "account",
];

/// A copy of the tree that a test may change, and a folder to build it in.
pub struct Mini {
    pub dir: tempfile::TempDir,
    pub tree: PathBuf,
    pub out: PathBuf,
}

impl Mini {
    pub fn new() -> Self {
        Self::at("tree", "out")
    }

    /// With folders of these names.
    pub fn at(tree: &str, out: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (tree, out) = (dir.path().join(tree), dir.path().join(out));
        copy(Path::new(MINITREE), &tree);
        fs::create_dir_all(&out).expect("a folder to build in");
        Self { dir, tree, out }
    }

    pub fn try_build(&self, components: &[&str]) -> rumprun_build::Result<Kernel> {
        build(&self.tree, &[], components, &self.out)
    }

    pub fn build(&self, components: &[&str]) -> Kernel {
        self.try_build(components)
            .unwrap_or_else(|error| panic!("{components:?}: {error}"))
    }

    /// The text of the error that building must end with.
    pub fn error(&self, components: &[&str]) -> String {
        match self.try_build(components) {
            Ok(kernel) => panic!("{components:?} built {:?}", kernel.components),
            Err(error) => error.to_string(),
        }
    }

    /// Replaces `old`, which must be there, in a file of the tree.
    pub fn edit(&self, file: &str, old: &str, new: &str) {
        let path = self.tree.join(file);
        let text = fs::read_to_string(&path).expect("a file of the tree");
        assert!(text.contains(old), "{file} has no {old:?}");
        fs::write(path, text.replace(old, new)).expect("a file that can be changed");
    }

    pub fn touch(&self, file: &str) {
        self.date(file, SystemTime::now());
    }

    pub fn date(&self, file: &str, date: SystemTime) {
        let path = self.tree.join(file);
        let file = fs::File::options().append(true).open(path);
        file.and_then(|file| file.set_modified(date))
            .expect("a file of the tree");
    }

    /// Builds, and returns which objects were made by it.
    pub fn remade(&self, components: &[&str]) -> BTreeSet<String> {
        let before = self.objects();
        let kernel = self.build(components);
        let after = self.objects();
        let made: BTreeSet<_> = after
            .into_iter()
            .filter(|(name, time)| before.get(name) != Some(time))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(kernel.report.compiled, made.len(), "{made:?}");
        made
    }

    /// Every object by its path below the object folder, and its date.
    pub fn objects(&self) -> BTreeMap<String, SystemTime> {
        let root = self.out.join("objects");
        files(&root)
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "o"))
            .map(|path| {
                let date = path.metadata().and_then(|meta| meta.modified());
                let name = path.strip_prefix(&root).expect("a file below");
                (name.display().to_string(), date.expect("a date"))
            })
            .collect()
    }

    pub fn object(&self, name: &str) -> PathBuf {
        self.out.join("objects").join(name)
    }

    pub fn library(&self) -> PathBuf {
        self.out.join("librumpkernel.a")
    }
}

pub fn build(
    tree: &Path,
    beside: &[PathBuf],
    components: &[&str],
    out: &Path,
) -> rumprun_build::Result<Kernel> {
    build_with(tree, beside, components, &[], out)
}

pub fn build_with(
    tree: &Path,
    beside: &[PathBuf],
    components: &[&str],
    drivers: &[&str],
    out: &Path,
) -> rumprun_build::Result<Kernel> {
    let words = |names: &[&str]| {
        names
            .iter()
            .map(|name| name.to_string())
            .collect::<Vec<_>>()
    };
    let (components, drivers) = (words(components), words(drivers));
    let recipe = Recipe {
        tree: &Tree::open(tree)?,
        beside,
        components: &components,
        drivers: &drivers,
        curlwp: Curlwp::Thread,
        toolchain: &Toolchain::find(TARGET, TARGET, out)?,
        jobs: 2,
    };
    kernel::from_tree(&recipe, out)
}

/// The kernel with [`ALL`] components, built once, for tests that only look at it.
pub fn full() -> (&'static Mini, &'static Kernel) {
    static FULL: OnceLock<(Mini, Kernel)> = OnceLock::new();
    let (mini, kernel) = FULL.get_or_init(|| {
        let mini = Mini::new();
        let kernel = mini.build(ALL);
        (mini, kernel)
    });
    (mini, kernel)
}

/// Every file and link below `folder`, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

pub fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let place = to.join(file.strip_prefix(from).expect("a file below"));
        fs::create_dir_all(place.parent().expect("a parent")).expect("a folder");
        fs::copy(&file, &place).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}

/// Runs a command that must succeed and returns what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout, output.stderr].map(|t| String::from_utf8_lossy(&t).into_owned());
    assert!(output.status.success(), "{command:?}\n{}", text.concat());
    text.concat()
}

/// The members of an archive.
pub fn members(path: &Path) -> Vec<(String, Vec<u8>)> {
    let data = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let archive = object::read::archive::ArchiveFile::parse(&*data).expect("an archive");
    archive
        .members()
        .map(|member| {
            let member = member.expect("a member");
            let name = String::from_utf8_lossy(member.name()).into_owned();
            (name, member.data(&*data).expect("its data").to_vec())
        })
        .collect()
}

/// Archives `members` with `ar`.
pub fn archive(path: &Path, members: &[(String, Vec<u8>)]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new("ar");
    command.arg("-rcD").arg(path);
    for (name, data) in members {
        fs::write(dir.path().join(name), data).expect("a file");
        command.arg(dir.path().join(name));
    }
    run(&mut command);
}

/// What the booted kernel printed: names and values.
pub type Printed = BTreeMap<String, String>;

pub fn parse(text: &str) -> Printed {
    text.lines()
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// What is wrong with the counts of a booted kernel, by what the builder said of it.
pub fn check(kernel: &Kernel, printed: &Printed) -> Result<(), String> {
    let counted = |name: &str| -> usize { printed[name].parse().expect("a number") };
    let sets: BTreeMap<String, usize> = ["rump_components", "domains", "modules"]
        .iter()
        .map(|set| (set.to_string(), counted(set)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let types: BTreeMap<i32, u32> = (0..16)
        .map(|kind| (kind, counted(&format!("type {kind}")) as u32))
        .filter(|(_, count)| *count > 0)
        .collect();
    if sets != kernel.link_sets {
        return Err(format!("link sets {sets:?} and not {:?}", kernel.link_sets));
    }
    if types != kernel.component_types {
        let expected = &kernel.component_types;
        return Err(format!("components {types:?} and not {expected:?}"));
    }
    if counted("inits") != counted("rump_components") {
        return Err(format!("{} components initialised", counted("inits")));
    }
    Ok(())
}
