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
use crate::driver::Drivers;
use crate::error::{Error, IoContext, Result};
use crate::make::Bmake;
use crate::object_file::{self, Symbols};
use crate::survey::Survey;
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

/// What a kernel consists of.
#[derive(Debug)]
pub struct Whole {
    /// The components.
    pub built: Vec<Built>,
    /// The drivers that were named, and those that came with them.
    pub drivers: Vec<String>,
    /// What had to be compiled.
    pub report: Report,
}

/// Work in progress.
#[derive(Default)]
struct Work {
    built: Vec<Built>,
    /// Components that were guessed and do not compile.
    refused: BTreeMap<Component, Error>,
    /// Components that stand in front of others are asked for by name, so all of
    /// them are known after the first round.
    wraps: BTreeSet<String>,
    report: Report,
}

impl Closure<'_> {
    /// Compiles the base, the components and drivers named, and everything that they
    /// need.
    ///
    /// # Errors
    /// [`Error::UnknownComponent`], [`Error::Driver`], [`Error::Compile`],
    /// [`Error::Undefined`], [`Error::Conflict`] and what preparing a component can
    /// report.
    pub fn build(&self, names: &[String], drivers: &[String]) -> Result<Whole> {
        let catalog = Catalog::read(self.tree, self.beside)?;
        let mut requested: BTreeSet<Component> =
            BTreeSet::from([catalog.find("rumpkern")?.clone()]);
        for name in names {
            requested.insert(catalog.find(name)?.clone());
        }
        let mut survey = None;
        let mut drivers = match drivers {
            [] => None,
            names => {
                let survey = survey.insert(self.survey(&catalog)?);
                Some(Drivers::make(self.tree, survey, names, self.objects)?)
            }
        };
        if let Some(made) = &drivers {
            requested.insert(made.component.clone());
            requested.extend(made.buses.iter().cloned());
        }
        let mut wanted = requested.clone();
        let mut work = Work::default();
        loop {
            self.make_all(&mut wanted, &requested, &mut work)?;
            if work.built.iter().all(|one| one.requested) {
                check_conflicts(&work.built)?;
            }
            let missing = self.missing(&work.built);
            if missing.is_empty() {
                break;
            }
            let survey = match &mut survey {
                Some(survey) => survey,
                None => survey.insert(self.survey(&catalog)?),
            };
            let names = sought(&missing, &work.wraps);
            let excluded = |c: &Component| drivers.iter().any(|d| d.excluded.contains(c));
            let known =
                |c: &Component| wanted.contains(c) || work.refused.contains_key(c) || excluded(c);
            let candidates = choose(survey, &names, known);
            if !candidates.is_empty() {
                wanted.extend(candidates);
                continue;
            }
            if let Some(drivers) = &mut drivers
                && drivers.add_sources(&names)?
            {
                work.built.retain(|one| one.component != drivers.component);
                continue;
            }
            // Perhaps one that does not compile would have it.
            let broken = choose(survey, &names, |c| !work.refused.contains_key(c));
            let error = broken.first().and_then(|c| work.refused.remove(c));
            return Err(error.unwrap_or_else(|| undefined(&work.built, &missing, drivers.as_ref())));
        }
        self.drop_needless(&mut work.built);
        check_conflicts(&work.built)?;
        Ok(Whole {
            built: work.built,
            drivers: drivers.map_or_else(Vec::new, |d| d.names().cloned().collect()),
            report: work.report,
        })
    }

    fn survey(&self, catalog: &Catalog) -> Result<Survey> {
        Survey::read(catalog, self.bmake, self.objects, self.jobs)
    }

    /// Compiles what is wanted and not built. What was only guessed may fail; it is not
    /// wanted any more then.
    fn make_all(
        &self,
        wanted: &mut BTreeSet<Component>,
        requested: &BTreeSet<Component>,
        work: &mut Work,
    ) -> Result<()> {
        let is_new = |c: &&Component| !work.built.iter().any(|b| b.component == **c);
        let new: Vec<_> = wanted.iter().filter(is_new).cloned().collect();
        match self.make(&new, requested, work) {
            Ok(made) => work.built.extend(made),
            Err(error) if new.iter().any(|component| requested.contains(component)) => {
                return Err(error);
            }
            // Only guesses, of which one at least was wrong.
            Err(_) => {
                for component in new {
                    match self.make(std::slice::from_ref(&component), requested, work) {
                        Ok(made) => work.built.extend(made),
                        Err(error) => drop(work.refused.insert(component, error)),
                    }
                }
                wanted.retain(|component| !work.refused.contains_key(component));
            }
        }
        Ok(())
    }

    /// Compiles components and reads their objects.
    fn make(
        &self,
        components: &[Component],
        requested: &BTreeSet<Component>,
        work: &mut Work,
    ) -> Result<Vec<Built>> {
        let mut prepared = self.prepare(components)?;
        let wraps = &mut work.wraps;
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
        work.report.compiled += run.compiled;
        work.report.current += run.current;
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

fn undefined(built: &[Built], missing: &BTreeSet<String>, drivers: Option<&Drivers>) -> Error {
    let mut objects = built
        .iter()
        .flat_map(|one| one.objects.iter().map(move |object| (one, object)));
    let needs = |symbols: &Symbols| symbols.undefined.iter().any(|name| missing.contains(name));
    let found = objects.find(|(_, (_, symbols))| needs(symbols));
    match (found, drivers) {
        (Some((one, (object, symbols))), Some(drivers)) if one.component == drivers.component => {
            // Others may be another driver's.
            let own: BTreeSet<&str> = symbols
                .undefined
                .iter()
                .filter(|name| missing.contains(*name))
                .map(|name| source_name(name))
                .collect();
            let names = own.iter().map(|name| name.as_bytes()).collect();
            drivers.lacking(object, &some_of(own.into_iter()), &names)
        }
        (found, _) => Error::Undefined {
            component: found.map(|(one, _)| one.lib.clone()).unwrap_or_default(),
            symbols: some_of(missing.iter().map(|symbol| source_name(symbol))),
        },
    }
}

/// The first ten names, and how many more there are.
fn some_of<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(10);
    let list: Vec<_> = names.take(10).collect();
    match more {
        0 => list.join(", "),
        more => format!("{}, and {more} more", list.join(", ")),
    }
}

/// Chooses the fewest components whose text seems to define what is missing.
fn choose(
    survey: &Survey,
    names: &HashSet<&[u8]>,
    known: impl Fn(&Component) -> bool,
) -> Vec<Component> {
    let mut offers: Vec<(&Component, BTreeMap<Vec<u8>, Hint>)> = Vec::new();
    for (component, paths) in survey.sources().filter(|(component, _)| !known(component)) {
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
        let Some((component, covered)) = best.map(|(component, offer)| (*component, offer.clone()))
        else {
            return chosen;
        };
        for (_, offer) in &mut offers {
            offer.retain(|name, _| !covered.contains_key(name));
        }
        chosen.push(component.clone());
    }
}

/// Maps `items` with up to `jobs` threads and keeps their order; the first error wins.
pub(crate) fn in_parallel<T: Sync, R: Send>(
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
