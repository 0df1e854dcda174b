//! From the components that were asked for to a kernel that links.
//!
//! Nobody keeps a list of what needs what. The components asked for are compiled, and
//! what their objects leave undefined is looked for in the rest of the tree: the text
//! of the sources says who probably defines it, that component is compiled, and its
//! objects prove it. This repeats until nothing is missing. Components that turn out
//! to be needless are dropped again, and one that was only guessed and does not compile
//! is left out.

use crate::compile::{Compiler, Report, Unit};
use crate::component::{self, Catalog, Component, Includes, Prepared};
use crate::error::{Error, IoContext, Result};
use crate::make::Bmake;
use crate::object_file::{self, Symbols};
use crate::symbol_index::{self, Hint};
use crate::tree::Tree;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// A component with its objects compiled and read.
#[derive(Debug)]
pub struct Built {
    /// Which one.
    pub component: Component,
    /// Its library name.
    pub lib: String,
    /// Objects with what they define and need.
    pub objects: Vec<(PathBuf, Symbols)>,
    /// The makefiles and descriptions it was made from.
    pub read: Vec<PathBuf>,
    /// It was named, not only needed.
    requested: bool,
}

impl Built {
    fn defined(&self) -> impl Iterator<Item = &str> {
        self.objects
            .iter()
            .flat_map(|(_, symbols)| symbols.strong.iter().chain(&symbols.weak))
            .map(String::as_str)
    }

    fn needed(&self) -> impl Iterator<Item = &str> {
        self.objects
            .iter()
            .flat_map(|(_, symbols)| &symbols.undefined)
            .map(String::as_str)
    }
}

/// Builds closures of one tree.
#[derive(Debug)]
pub struct Closure<'a> {
    /// The tree.
    pub tree: &'a Tree,
    /// Folders of further components.
    pub beside: &'a [PathBuf],
    /// Its make.
    pub bmake: &'a Bmake,
    /// The compiler.
    pub compiler: &'a Compiler<'a>,
    /// The folder for objects.
    pub objects: &'a Path,
    /// Links that stand in for installed headers.
    pub includes: &'a Includes,
    /// How many makefiles to evaluate at a time.
    pub jobs: usize,
}

impl Closure<'_> {
    /// Compiles the base, the components named, and everything that they need.
    ///
    /// # Errors
    /// [`Error::UnknownComponent`], [`Error::Compile`], [`Error::Undefined`],
    /// [`Error::Conflict`] and what preparing a component can report.
    pub fn build(&self, names: &[String]) -> Result<(Vec<Built>, Report)> {
        let catalog = Catalog::read(self.tree, self.beside)?;
        let mut report = Report::default();
        let mut wanted: BTreeSet<Component> = BTreeSet::from([catalog.find("rumpkern")?.clone()]);
        for name in names {
            wanted.insert(catalog.find(name)?.clone());
        }
        let requested = wanted.clone();
        let mut built: Vec<Built> = Vec::new();
        let mut refused = BTreeMap::new();
        let mut others = None;
        // Components that stand in front of others are asked for by name, so all of
        // them are known after the first round.
        let mut wraps = BTreeSet::new();
        loop {
            let new: Vec<_> = wanted
                .iter()
                .filter(|c| !built.iter().any(|b| b.component == **c))
                .cloned()
                .collect();
            match self.make(&new, &requested, &mut wraps, &mut report) {
                Ok(made) => built.extend(made),
                Err(error) if built.is_empty() => return Err(error),
                // Only guesses, of which one at least was wrong.
                Err(_) => {
                    for component in new {
                        let one = std::slice::from_ref(&component);
                        match self.make(one, &requested, &mut wraps, &mut report) {
                            Ok(made) => built.extend(made),
                            Err(error) => {
                                refused.insert(component, error);
                            }
                        }
                    }
                    wanted.retain(|component| !refused.contains_key(component));
                }
            }
            if built.iter().all(|one| one.requested) {
                check_conflicts(&built)?;
            }
            let missing = self.missing(&built);
            if missing.is_empty() {
                break;
            }
            if others.is_none() {
                others = Some(Candidates::read(self, &catalog, &wanted)?);
            }
            let names = sought(&missing, &wraps);
            let choose = |known: &dyn Fn(&Component) -> bool| -> Vec<Component> {
                let others = others.iter();
                others.flat_map(|c| c.choose(&names, known)).collect()
            };
            let candidates = choose(&|c| wanted.contains(c) || refused.contains_key(c));
            if candidates.is_empty() {
                // Perhaps one that does not compile would have it.
                let broken = choose(&|c| !refused.contains_key(c)).into_iter().next();
                let error = broken.and_then(|component| refused.remove(&component));
                return Err(error.unwrap_or_else(|| undefined(&built, &missing)));
            }
            wanted.extend(candidates);
        }
        self.drop_needless(&mut built);
        check_conflicts(&built)?;
        Ok((built, report))
    }

    /// Compiles components and reads their objects.
    fn make(
        &self,
        components: &[Component],
        requested: &BTreeSet<Component>,
        wraps: &mut BTreeSet<String>,
        report: &mut Report,
    ) -> Result<Vec<Built>> {
        let mut prepared = self.prepare(components)?;
        wraps.extend(prepared.iter().flat_map(|p| p.wraps.iter().cloned()));
        for unit in prepared
            .iter_mut()
            .filter(|p| p.wraps.is_empty())
            .flat_map(|p| &mut p.units)
        {
            unit.naming.wrapped.clone_from(wraps);
        }
        let units: Vec<Unit> = prepared.iter().flat_map(|p| p.units.clone()).collect();
        let run = self.compiler.run(&units)?;
        report.compiled += run.compiled;
        report.current += run.current;
        components
            .iter()
            .zip(prepared)
            .map(|(component, prepared)| {
                load(component.clone(), prepared, requested.contains(component))
            })
            .collect()
    }

    /// Evaluates makefiles, several at a time, in the order given.
    fn prepare(&self, components: &[Component]) -> Result<Vec<Prepared>> {
        in_parallel(self.jobs, components, |component| {
            component::prepare(
                self.tree,
                self.bmake,
                component,
                self.objects,
                self.includes,
            )
        })
    }

    /// Kernel symbols that are needed and not defined by anything built.
    fn missing(&self, built: &[Built]) -> BTreeSet<String> {
        let defined: HashSet<&str> = built.iter().flat_map(Built::defined).collect();
        built
            .iter()
            .flat_map(Built::needed)
            .filter(|name| is_kernel_symbol(name) && !defined.contains(name))
            .map(String::from)
            .collect()
    }

    /// Removes components that were chosen by a hint and that nothing needs after all.
    fn drop_needless(&self, built: &mut Vec<Built>) {
        let mut index = built.len();
        while index > 0 {
            index -= 1;
            if built[index].requested {
                continue;
            }
            let candidate = built.remove(index);
            if !self.missing(built).is_empty() {
                built.insert(index, candidate);
            }
        }
    }
}

/// Symbols that a component of the tree must define. The hypercalls (`rumpuser_`,
/// `rumpcomp_`) are the host's, and what begins with two underscores the compiler's
/// or the linker's.
pub(crate) fn is_kernel_symbol(name: &str) -> bool {
    !["__", "rumpuser_", "rumpcomp_", "_GLOBAL_OFFSET_TABLE_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        && (name.starts_with("rump") || name.starts_with("RUMP"))
}

/// The name that the source text has for a symbol.
fn source_name(symbol: &str) -> &str {
    symbol.strip_prefix("rumpns_").unwrap_or(symbol)
}

/// The names under which the sources define what is missing.
fn sought<'a>(missing: &'a BTreeSet<String>, wraps: &BTreeSet<String>) -> HashSet<&'a [u8]> {
    missing
        .iter()
        .map(|symbol| source_name(symbol))
        .map(|name| match name.strip_suffix(object_file::WRAPPED) {
            Some(wrapped) if wraps.contains(wrapped) => wrapped.as_bytes(),
            _ => name.as_bytes(),
        })
        .collect()
}

fn load(component: Component, prepared: Prepared, requested: bool) -> Result<Built> {
    let objects = prepared
        .units
        .into_iter()
        .map(|unit| {
            let data = std::fs::read(&unit.object).context("reading", &unit.object)?;
            let symbols = object_file::symbols(&unit.object, &data)?;
            Ok((unit.object, symbols))
        })
        .collect::<Result<_>>()?;
    Ok(Built {
        component,
        lib: prepared.lib,
        objects,
        read: prepared.read,
        requested,
    })
}

fn check_conflicts(built: &[Built]) -> Result<()> {
    let mut owners: HashMap<&str, &str> = HashMap::new();
    for one in built {
        for symbol in one.objects.iter().flat_map(|(_, symbols)| &symbols.strong) {
            if let Some(first) = owners
                .insert(symbol, &one.lib)
                .filter(|first| *first != one.lib)
            {
                return Err(Error::Conflict {
                    first: first.into(),
                    second: one.lib.clone(),
                    symbol: source_name(symbol).into(),
                });
            }
        }
    }
    Ok(())
}

fn undefined(built: &[Built], missing: &BTreeSet<String>) -> Error {
    let component = built
        .iter()
        .find(|one| one.needed().any(|name| missing.contains(name)))
        .map(|one| one.lib.clone())
        .unwrap_or_default();
    let mut list: Vec<_> = missing
        .iter()
        .take(10)
        .map(|symbol| source_name(symbol))
        .collect();
    let more = format!("and {} more", missing.len().saturating_sub(10));
    if missing.len() > 10 {
        list.push(&more);
    }
    Error::Undefined {
        component,
        symbols: list.join(", "),
    }
}

/// The components that were not asked for, with the files of their sources.
struct Candidates {
    sources: Vec<(Component, Vec<PathBuf>)>,
}

impl Candidates {
    /// Evaluates all makefiles that were not needed so far. A component whose makefile
    /// cannot be evaluated is no candidate.
    fn read(
        closure: &Closure<'_>,
        catalog: &Catalog,
        wanted: &BTreeSet<Component>,
    ) -> Result<Self> {
        let scratch = closure.objects.join("evaluate");
        std::fs::create_dir_all(&scratch).context("making", &scratch)?;
        let rest: Vec<_> = catalog
            .components()
            .iter()
            .filter(|c| !wanted.contains(c))
            .cloned()
            .collect();
        let sources = in_parallel(closure.jobs, &rest, |component| {
            let makefile = closure.bmake.evaluate(&component.folder, &scratch);
            let paths = makefile.map(|m| {
                m.sources
                    .into_iter()
                    .filter_map(|source| source.path)
                    .collect()
            });
            Ok((component.clone(), paths.unwrap_or_default()))
        })?;
        Ok(Self { sources })
    }

    /// Chooses the fewest components whose text seems to define what is missing.
    fn choose(&self, names: &HashSet<&[u8]>, known: impl Fn(&Component) -> bool) -> Vec<Component> {
        let mut offers: Vec<(&Component, BTreeMap<Vec<u8>, Hint>)> = Vec::new();
        for (component, paths) in self
            .sources
            .iter()
            .filter(|(component, _)| !known(component))
        {
            let mut offer = BTreeMap::new();
            for text in paths.iter().filter_map(|path| std::fs::read(path).ok()) {
                symbol_index::scan(&text, names, |name, hint| {
                    let best = offer.entry(name.to_vec()).or_insert(hint);
                    *best = hint.max(*best);
                });
            }
            offers.push((component, offer));
        }
        // The factions first and alone: they bring stubs for components that a kernel
        // may do without, which a richer definition elsewhere must not replace.
        let factions: Vec<_> = offers
            .iter()
            .filter(|(c, offer)| c.faction && !offer.is_empty())
            .map(|(c, _)| (*c).clone())
            .collect();
        if !factions.is_empty() {
            return factions;
        }
        // A mention counts only where no component has a definition.
        let certain: HashSet<Vec<u8>> = offers
            .iter()
            .flat_map(|(_, offer)| offer.iter().filter(|(_, hint)| **hint == Hint::Defined))
            .map(|(name, _)| name.clone())
            .collect();
        for (_, offer) in &mut offers {
            offer.retain(|name, hint| *hint == Hint::Defined || !certain.contains(name));
        }
        let mut chosen = Vec::new();
        loop {
            let best = offers
                .iter()
                .filter(|(_, offer)| !offer.is_empty())
                .max_by_key(|(component, offer)| (offer.len(), std::cmp::Reverse(&component.name)));
            let Some((component, covered)) =
                best.map(|(component, offer)| (*component, offer.clone()))
            else {
                return chosen;
            };
            for (_, offer) in &mut offers {
                offer.retain(|name, _| !covered.contains_key(name));
            }
            chosen.push(component.clone());
        }
    }
}

/// Maps `items` with up to `jobs` threads and keeps their order; the first error wins.
fn in_parallel<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let size = items.len().div_ceil(jobs.max(1)).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(size)
            .map(|chunk| scope.spawn(|| chunk.iter().map(&work).collect::<Result<Vec<_>>>()))
            .collect();
        let mut all = Vec::with_capacity(items.len());
        for thread in threads {
            match thread.join() {
                Ok(part) => all.extend(part?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}
