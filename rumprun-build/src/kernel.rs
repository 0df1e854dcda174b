//! The end product: one static library that holds a rump kernel, and what is known
//! about it.

use crate::archive;
use crate::closure::{Closure, Whole};
use crate::compile::{Compiler, Report};
use crate::component::Includes;
use crate::error::{Error, IoContext, Result};
use crate::make::{Bmake, Curlwp};
use crate::object_file::{self, Naming, Symbols};
use crate::toolchain::Toolchain;
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// The name of the library that is made, as a linker wants it.
pub const LIBRARY: &str = "rumpkernel";

/// A rump kernel in a static library.
#[derive(Debug, Clone, Default)]
pub struct Kernel {
    /// The folder of `librumpkernel.a`.
    pub folder: PathBuf,
    /// The components in it, by library name.
    pub components: Vec<String>,
    /// The drivers in it that were asked for, and those that came with them.
    pub drivers: Vec<String>,
    /// How many entries each link set has.
    pub link_sets: BTreeMap<String, usize>,
    /// How many components there are of each type, by the type's number.
    pub component_types: BTreeMap<i32, u32>,
    /// The folder with the machine's headers (`machine/`), for tools that read the
    /// kernel's headers; `None` where the kernel came without its tree.
    pub machine_include: Option<PathBuf>,
    /// Every file that it was made from.
    pub dependencies: Vec<PathBuf>,
    /// What had to be compiled.
    pub report: Report,
}

impl Kernel {
    fn add(&mut self, symbols: &Symbols) {
        for (set, entries) in &symbols.link_sets {
            *self.link_sets.entry(set.clone()).or_default() += entries;
        }
        for (kind, count) in &symbols.components {
            *self.component_types.entry(*kind).or_default() += count;
        }
    }
}

/// What a kernel is compiled from, and with what.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// The tree.
    pub tree: &'a Tree,
    /// Folders of components that are not in the tree.
    pub beside: &'a [PathBuf],
    /// The components asked for.
    pub components: &'a [String],
    /// Drivers asked for that are no components of the tree: `wm`, `nvme`.
    pub drivers: &'a [String],
    /// Where it keeps its `curlwp`.
    pub curlwp: Curlwp,
    /// The compiler.
    pub toolchain: &'a Toolchain,
    /// How many processes may run at a time.
    pub jobs: usize,
}

/// Compiles the components of `recipe` and all that they need into `out`.
///
/// # Errors
/// Everything in [`Error`] that concerns a tree, its makefiles or its sources.
pub fn from_tree(recipe: &Recipe<'_>, out: &Path) -> Result<Kernel> {
    let &Recipe {
        tree,
        beside,
        components,
        drivers,
        ref curlwp,
        toolchain,
        jobs,
    } = recipe;
    let bmake = Bmake::find(tree)?.with_curlwp(curlwp.clone());
    let compiler = Compiler::new(toolchain, Some(tree), jobs);
    let objects = out.join("objects");
    prepare_folder(&objects, tree)?;
    let mut includes = Includes::make(tree, beside, &bmake, &objects)?;
    includes.first = curlwp.header().map(Path::to_path_buf);
    let closure = Closure {
        tree,
        beside,
        bmake: &bmake,
        compiler: &compiler,
        objects: &objects,
        includes: &includes,
        jobs,
    };
    let Whole {
        built,
        drivers,
        report,
    } = closure.build(components, drivers)?;
    let mut kernel = Kernel {
        folder: out.into(),
        drivers,
        report,
        machine_include: Some(includes.machine.clone()),
        ..Kernel::default()
    };
    let mut members = Vec::new();
    let mut dependencies: BTreeSet<PathBuf> = compiler.dependencies().into_iter().collect();
    for one in &built {
        kernel.components.push(one.lib.clone());
        dependencies.extend(one.read.iter().cloned());
        for (object, symbols) in &one.objects {
            kernel.add(symbols);
            members.push(member(&one.lib, object)?);
        }
    }
    kernel.components.sort();
    // Flags lead to one header by several ways, and to those of the machine through
    // links in `out`.
    let dependencies: BTreeSet<PathBuf> = dependencies
        .into_iter()
        .map(|path| path.canonicalize().unwrap_or(path))
        .collect();
    let own = out.canonicalize().context("resolving", out)?;
    kernel.dependencies = dependencies
        .into_iter()
        .filter(|path| !path.starts_with(&own))
        .collect();
    archive::write(&out.join(format!("lib{LIBRARY}.a")), &members)?;
    Ok(kernel)
}

/// Makes the folder for objects, and empties it if they are of another tree: sources
/// that bmake generated there would seem to be current.
fn prepare_folder(objects: &Path, tree: &Tree) -> Result<()> {
    let name = objects.join("tree");
    let text = format!("{} {}\n", tree.version(), tree.root().display());
    if std::fs::read_to_string(&name).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if objects.exists() {
        std::fs::remove_dir_all(objects).context("emptying", objects)?;
    }
    std::fs::create_dir_all(objects).context("making", objects)?;
    std::fs::write(&name, text).context("writing", &name)
}

fn member(lib: &str, object: &Path) -> Result<archive::Member> {
    let name = object.file_name().unwrap_or_default().to_string_lossy();
    Ok((
        format!("{lib}-{name}"),
        std::fs::read(object).context("reading", object)?,
    ))
}

/// Takes the named components and all that they need out of the static libraries that
/// upstream's build installed in `prefix/lib`, and archives them again with link sets
/// that linkers keep. Upstream's own hypercalls (`librumpuser`) stay out.
///
/// # Errors
/// [`Error::UnknownComponent`], [`Error::Undefined`], [`Error::Object`], [`Error::Io`].
pub fn from_prefix(prefix: &Path, names: &[String], out: &Path) -> Result<Kernel> {
    let libraries = Installed::read(prefix)?;
    std::fs::create_dir_all(out).context("making", out)?;
    let mut chosen: BTreeSet<&str> = BTreeSet::from([libraries.find("rump")?]);
    for name in names {
        chosen.insert(libraries.find(name)?);
    }
    loop {
        let missing = libraries.missing(&chosen);
        if missing.is_empty() {
            break;
        }
        match libraries.provider(&missing, &chosen) {
            Some(name) => chosen.insert(name),
            None => {
                let list: Vec<_> = missing.iter().take(10).copied().collect();
                return Err(Error::Undefined {
                    component: names.join(", "),
                    symbols: list.join(", "),
                });
            }
        };
    }
    let mut kernel = Kernel {
        folder: out.into(),
        ..Kernel::default()
    };
    let mut members = Vec::new();
    for (name, library) in libraries
        .0
        .iter()
        .filter(|(name, _)| chosen.contains(name.as_str()))
    {
        kernel.components.push(name.clone());
        kernel.dependencies.push(library.path.clone());
        for (object, data, symbols) in &library.objects {
            kernel.add(symbols);
            members.push((format!("{name}-{object}"), data.clone()));
        }
    }
    archive::write(&out.join(format!("lib{LIBRARY}.a")), &members)?;
    Ok(kernel)
}

struct Library {
    path: PathBuf,
    objects: Vec<(String, Vec<u8>, Symbols)>,
}

/// The rump libraries of a prefix, by name (`rump`, `rumpnet_net`).
struct Installed(BTreeMap<String, Library>);

impl Installed {
    fn read(prefix: &Path) -> Result<Self> {
        let folder = prefix.join("lib");
        let mut libraries = BTreeMap::new();
        for entry in std::fs::read_dir(&folder).context("reading", &folder)? {
            let path = entry.context("reading", &folder)?.path();
            let file = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let name = file
                .strip_prefix("lib")
                .and_then(|rest| rest.strip_suffix(".a"));
            let Some(name) = name.filter(|name| name.starts_with("rump") && *name != "rumpuser")
            else {
                continue;
            };
            // Members are linked once; variants for profiling (`_p`) and PIC repeat them.
            if name.ends_with("_p") || name.ends_with("_pic") {
                continue;
            }
            let mut objects = Vec::new();
            for (object, data) in archive::read(&path)? {
                let data = object_file::rename(
                    &path,
                    &data,
                    &Naming {
                        keep_all: true,
                        ..Naming::default()
                    },
                )?;
                let symbols = object_file::symbols(&path, &data)?;
                objects.push((object, data, symbols));
            }
            libraries.insert(name.to_string(), Library { path, objects });
        }
        if libraries.contains_key("rump") {
            return Ok(Self(libraries));
        }
        Err(Error::Setting {
            name: "RUMP_PREFIX",
            value: prefix.display().to_string(),
            problem: "lib/librump.a is not there; the static libraries are needed, build and install them too".into(),
        })
    }

    fn find(&self, name: &str) -> Result<&str> {
        let suffix = format!("_{name}");
        let known = self
            .0
            .keys()
            .find(|lib| *lib == name || (name == "rumpkern" && *lib == "rump"));
        known
            .or_else(|| self.0.keys().find(|lib| lib.ends_with(&suffix)))
            .map(String::as_str)
            .ok_or_else(|| {
                let all: Vec<_> = self.0.keys().map(String::as_str).collect();
                Error::UnknownComponent {
                    name: name.into(),
                    tree: PathBuf::from("RUMP_PREFIX"),
                    hint: format!(" (it has {})", all.join(", ")),
                }
            })
    }

    fn objects<'a>(&'a self, chosen: &'a BTreeSet<&str>) -> impl Iterator<Item = &'a Symbols> {
        self.0
            .iter()
            .filter(|(name, _)| chosen.contains(name.as_str()))
            .flat_map(|(_, library)| library.objects.iter().map(|(_, _, symbols)| symbols))
    }

    fn missing<'a>(&'a self, chosen: &'a BTreeSet<&str>) -> BTreeSet<&'a str> {
        let defined: HashSet<&str> = self
            .objects(chosen)
            .flat_map(|s| s.strong.iter().chain(&s.weak))
            .map(String::as_str)
            .collect();
        self.objects(chosen)
            .flat_map(|symbols| &symbols.undefined)
            .map(String::as_str)
            .filter(|name| crate::closure::is_kernel_symbol(name) && !defined.contains(name))
            .collect()
    }

    /// The library that defines most of what is missing; a faction before a component.
    fn provider(&self, missing: &BTreeSet<&str>, chosen: &BTreeSet<&str>) -> Option<&str> {
        self.0
            .iter()
            .filter(|(name, _)| !chosen.contains(name.as_str()))
            .map(|(name, library)| {
                let defined = library
                    .objects
                    .iter()
                    .flat_map(|(_, _, s)| s.strong.iter().chain(&s.weak));
                (
                    name,
                    defined
                        .filter(|symbol| missing.contains(symbol.as_str()))
                        .count(),
                )
            })
            .filter(|(_, count)| *count > 0)
            .max_by_key(|(name, count)| (!name.contains('_'), *count))
            .map(|(name, _)| name.as_str())
    }
}
