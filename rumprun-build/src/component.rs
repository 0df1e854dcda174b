//! Components: what a tree has, and how one becomes a list of compilations.
//!
//! A component is a folder with a makefile below `sys/rump`: the base and the factions
//! in `librump/`, everything else in a `lib/` folder of its area (`net/lib/libnet`).
//! A user names it by the folder without `lib` ("net"), or by its library ("rumpnet_net").

use crate::compile::Unit;
use crate::config;
use crate::error::{Error, IoContext, Result};
use crate::make::{Bmake, Makefile, Source, make_link};
use crate::object_file::Naming;
use crate::tree::Tree;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A component of a tree, by its folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// The name users give: the folder without `lib`.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// Base and factions, on which the others stand.
    pub faction: bool,
}

/// Everything below `sys/rump` that is a component.
#[derive(Debug, Clone)]
pub struct Catalog {
    tree: Tree,
    components: Vec<Component>,
}

impl Catalog {
    /// Looks through the tree, and through folders of components that are not in it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(tree: &Tree, beside: &[PathBuf]) -> Result<Self> {
        let mut components = Vec::new();
        for area in subfolders(&tree.rump())? {
            let faction = area.ends_with("librump");
            let libraries = if faction { area } else { area.join("lib") };
            collect(&libraries, faction, &mut components)?;
        }
        for folder in beside {
            collect(folder, false, &mut components)?;
        }
        components.sort();
        Ok(Self {
            tree: tree.clone(),
            components,
        })
    }

    /// All of them, sorted by name.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Finds one by name or by library name.
    ///
    /// # Errors
    /// [`Error::UnknownComponent`], with names that are alike.
    pub fn find(&self, name: &str) -> Result<&Component> {
        // `rumpnet_tap` and `rumpdev_pci` name an area and a folder in it; the file
        // systems' area has two names.
        let (area, short) = match name
            .strip_prefix("rump")
            .and_then(|rest| rest.split_once('_'))
        {
            Some((area, short)) => (Some(if area == "vfs" { "fs" } else { area }), short),
            None => (None, name),
        };
        let mut matching = self.components.iter().filter(|component| {
            let in_area = |area| {
                component
                    .folder
                    .strip_prefix(self.tree.rump())
                    .is_ok_and(|path| path.starts_with(area))
            };
            component.name == name || (component.name == short && area.is_none_or(in_area))
        });
        match (matching.next(), matching.next()) {
            (Some(only), None) => Ok(only),
            (Some(first), Some(second)) => Err(Error::UnknownComponent {
                name: name.into(),
                tree: self.tree.root().into(),
                hint: format!(
                    " alone: {} and {} both match; write rumpAREA_NAME",
                    first.folder.display(),
                    second.folder.display()
                ),
            }),
            (None, _) => Err(Error::UnknownComponent {
                name: name.into(),
                tree: self.tree.root().into(),
                hint: self.alike(short),
            }),
        }
    }

    fn alike(&self, name: &str) -> String {
        let names: Vec<_> = self
            .components
            .iter()
            .map(|component| component.name.as_str())
            .filter(|other| {
                other.contains(name) || name.contains(*other) || distance(name, other) <= 2
            })
            .take(5)
            .collect();
        if names.is_empty() {
            String::new()
        } else {
            format!(" (it has {})", names.join(", "))
        }
    }
}

/// How many single-letter changes make one word the other (Levenshtein).
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Adds the components among the folders in `libraries`.
fn collect(libraries: &Path, faction: bool, components: &mut Vec<Component>) -> Result<()> {
    if !libraries.is_dir() {
        return Ok(());
    }
    for folder in subfolders(libraries)? {
        let base = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let name = if faction {
            Some(base.as_str())
        } else {
            base.strip_prefix("lib")
        };
        if let (Some(name), true) = (name, folder.join("Makefile").exists()) {
            components.push(Component {
                name: name.into(),
                folder,
                faction,
            });
        }
    }
    Ok(())
}

fn subfolders(path: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(path).context("reading", path)? {
        let path = entry.context("reading", path)?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// A component that is ready to compile.
#[derive(Debug)]
pub struct Prepared {
    /// Its library name, `rumpnet_net`.
    pub lib: String,
    /// What to compile.
    pub units: Vec<Unit>,
    /// Names whose definitions in the tree it stands in front of.
    pub wraps: Vec<String>,
    /// Files that its description was read from.
    pub read: Vec<PathBuf>,
}

/// Flags that the kernel's C needs of a Linux compiler, beyond what the makefiles say.
const KERNEL_FLAGS: &[&str] = &[
    // Without a declaration a pointer is cut to an int. (`-w` would silence this too;
    // what is only a warning is not shown.)
    "-Werror=implicit-function-declaration",
    // Newer compilers take these for errors.
    "-Wno-int-conversion",
    "-Wno-incompatible-pointer-types",
    "-Wno-implicit-int",
    // Headers define variables; one definition must serve all files.
    "-fcommon",
    "-fPIC",
    // The kernel's own lwp is asked for everywhere; in a shared object that would be a call
    // of the dynamic linker's each time.
    "-ftls-model=initial-exec",
    "-U_FORTIFY_SOURCE",
    "-fno-stack-protector",
    // What this kernel is (NetBSD's own ABI, on virtual CPUs). Sources ask for it, to
    // take packets in on the CPU that they are on; no makefile says it.
    "-D_RUMP_NATIVE_ABI",
];
const ASSEMBLY_FLAGS: &[&str] = &["-w", "-fPIC", "-D_KERNEL", "-D_LOCORE", "-Wa,--noexecstack"];
const USER_FLAGS: &[&str] = &["-w", "-O2", "-fPIC", "-DLIBRUMPUSER"];

/// What config(1) makes.
const TABLES: [&str; 3] = ["ioconf.c", "ioconf.h", "locators.h"];

/// Evaluates a component and makes everything that it expects to find generated.
///
/// # Errors
/// [`Error::Make`], [`Error::Config`], [`Error::Io`].
pub fn prepare(
    tree: &Tree,
    bmake: &Bmake,
    component: &Component,
    objects: &Path,
    includes: &Includes,
) -> Result<Prepared> {
    let folder = match component.folder.strip_prefix(tree.rump()) {
        Ok(place) => objects.join(place),
        Err(_) => objects.join("beside").join(&component.name),
    };
    std::fs::create_dir_all(&folder).context("making", &folder)?;
    let makefile = bmake.evaluate(&component.folder, &folder)?;
    let mut read = makefile.read.clone();
    if let Some(ioconf) = &makefile.ioconf {
        let generated = config::generate(&tree.sys(), ioconf).map_err(|error| Error::Config {
            component: component.name.clone(),
            message: error.to_string(),
        })?;
        for (name, text) in TABLES.iter().zip([
            &generated.ioconf_c,
            &generated.ioconf_h,
            &generated.locators_h,
        ]) {
            write_if_changed(&folder.join(name), text)?;
        }
        read.extend(generated.read);
    }
    let units = makefile
        .sources
        .iter()
        .map(|source| unit(tree, bmake, &makefile, source, &folder, includes))
        .collect::<Result<_>>()?;
    Ok(Prepared {
        lib: makefile.lib,
        units,
        wraps: makefile.wraps,
        read,
    })
}

fn unit(
    tree: &Tree,
    bmake: &Bmake,
    makefile: &Makefile,
    source: &Source,
    folder: &Path,
    includes: &Includes,
) -> Result<Unit> {
    let path = match &source.path {
        Some(path) => path.clone(),
        None => {
            let table = makefile.ioconf.is_some() && TABLES.contains(&source.name.as_str());
            if !table {
                bmake.generate(&makefile.folder, folder, &source.name)?;
            }
            folder.join(&source.name)
        }
    };
    let object = object_name(tree, source);
    let user = makefile
        .user_sources
        .iter()
        .any(|name| Path::new(name).file_stem() == object.file_stem());
    let assembly = matches!(path.extension().and_then(|e| e.to_str()), Some("S" | "s"));
    let words = |list: &[&str]| list.iter().map(|word| word.to_string()).collect::<Vec<_>>();
    let include = |folder: &Path| vec![format!("-I{}", folder.display())];
    let machine = include(&includes.machine);
    let own = usable(&source.flags);
    let flags = if user {
        [
            words(USER_FLAGS),
            include(&includes.user),
            usable(&makefile.user_cppflags),
        ]
        .concat()
    } else if assembly {
        [
            words(ASSEMBLY_FLAGS),
            machine,
            usable(&makefile.cppflags),
            usable(&makefile.aflags),
            own,
        ]
        .concat()
    } else {
        [
            words(KERNEL_FLAGS),
            usable(&makefile.cflags),
            machine,
            usable(&makefile.cppflags),
            own,
            includes
                .host
                .iter()
                .flat_map(|host| include(host))
                .collect(),
            includes
                .first
                .iter()
                .flat_map(|header| ["-include".into(), header.display().to_string()])
                .collect(),
        ]
        .concat()
    };
    let object_name = object.display().to_string();
    Ok(Unit {
        component: makefile.lib.clone(),
        source: path,
        object: folder.join(&object),
        folder: folder.into(),
        flags,
        naming: Naming {
            keep_all: user || makefile.keep_names.contains(&object_name),
            keep_prefixes: makefile.keep_symbols.clone(),
            wrapped: BTreeSet::new(),
        },
    })
}

/// The object of a source. One that is named by its path, rather than looked for, is named
/// by the path within the tree: there may be others of its name.
fn object_name(tree: &Tree, source: &Source) -> PathBuf {
    let name = match &source.path {
        Some(path) if source.name.contains('/') => {
            let path = path.strip_prefix(tree.root()).unwrap_or(path);
            let parts = path.iter().map(|part| part.to_string_lossy());
            parts.collect::<Vec<_>>().join("-")
        }
        _ => source.name.clone(),
    };
    Path::new(&name).with_extension("o")
}

/// Flags without the warnings (they are NetBSD's business, and differ by compiler) and
/// without a foreign root.
fn usable(flags: &[String]) -> Vec<String> {
    let passed_on = |flag: &str| {
        ["-Wa,", "-Wp,", "-Wl,"]
            .iter()
            .any(|prefix| flag.starts_with(prefix))
    };
    flags
        .iter()
        .filter(|flag| {
            (!flag.starts_with("-W") || passed_on(flag)) && !flag.starts_with("--sysroot")
        })
        .cloned()
        .collect()
}

/// Folders of links that stand in for headers which NetBSD's build installs or links
/// before it compiles.
#[derive(Debug, Clone)]
pub struct Includes {
    /// `machine/` and the folders of the machine's relatives (`amd64/`, `x86/`, ...).
    pub machine: PathBuf,
    /// `rump/`, as an installed rump kernel offers it to host-side sources.
    pub user: PathBuf,
    /// Folders with headers of the host, which say what its hypercalls can do.
    pub host: Vec<PathBuf>,
    /// A header that comes before each C source of the kernel.
    pub first: Option<PathBuf>,
}

impl Includes {
    /// Makes the first two below `objects`. The host's headers are in `include/` of the
    /// folders `beside` the tree.
    ///
    /// # Errors
    /// [`Error::Make`], [`Error::Io`].
    pub fn make(tree: &Tree, beside: &[PathBuf], bmake: &Bmake, objects: &Path) -> Result<Self> {
        let made = Self {
            machine: objects.join("include/machine"),
            user: objects.join("include/user"),
            host: beside
                .iter()
                .map(|folder| folder.join("include"))
                .filter(|folder| folder.is_dir())
                .collect(),
            first: None,
        };
        std::fs::create_dir_all(&made.machine).context("making", &made.machine)?;
        bmake.make_links(&made.machine)?;
        let rump = made.user.join("rump");
        std::fs::create_dir_all(&rump).context("making", &rump)?;
        for folder in [
            tree.rump().join("include/rump"),
            tree.root().join("lib/librumpuser"),
        ] {
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            for path in entries.flatten().map(|entry| entry.path()) {
                let name = path.file_name().unwrap_or_default();
                if name.to_string_lossy().starts_with("rump")
                    && path.extension().is_some_and(|e| e == "h")
                {
                    make_link(&rump.join(name), &path)?;
                }
            }
        }
        Ok(made)
    }
}

/// Writes a generated file, leaving the old one (and its date) alone if it is the same.
pub(crate) fn write_if_changed(path: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    std::fs::write(path, text).context("writing", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_dropped_and_what_goes_to_the_assembler_is_kept() {
        let flags = [
            "-Wall",
            "-Wa,--fatal-warnings",
            "--sysroot=/",
            "-DX",
            "-Werror",
        ]
        .map(String::from);
        assert_eq!(usable(&flags), ["-Wa,--fatal-warnings", "-DX"]);
    }

    #[test]
    fn names_that_are_alike_are_near() {
        assert_eq!(distance("netinet", "netinet6"), 1);
        assert_eq!(distance("bfp", "bpf"), 2);
        assert_eq!(distance("", "abc"), 3);
    }
}
