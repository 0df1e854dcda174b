//! Drivers by name: what no component of a tree is made for.
//!
//! A user names drivers (`RUMP_DRIVERS=wm,nvme`); one component, `rumpdev_drivers`, is
//! made of them, as upstream's are: a folder with a makefile, an `.ioconf` and some C.
//! One for all of them, because a driver that attaches in several places (`ld`) has one
//! `cfdriver`.
//!
//! ```text
//! carried ── what components of the tree attach already
//! plan ───── which drivers, and where they attach: up to a bus that a rump kernel has,
//!            down to the disks and interfaces behind a controller
//! files ──── their sources: what names one of them in files.*; and, once objects show
//!            that something is missing, the file of the description that has it
//! write ──── the folder
//! ```
//!
//! All of it comes from the tree's `files.*` by way of [`crate::config`]; there is no
//! list of drivers, buses or files here.
//!
//! Sources of a driver are compiled as part of a kernel, not of a module (a module's has
//! its tables in each source), with headers that are read as a module's: those of a
//! real machine's kernel take the CPU from a register that is Linux's here.

mod carried;
mod files;
mod plan;
mod write;

use crate::component::{Catalog, Component};
use crate::config;
use crate::error::{Error, IoContext, Result};
use crate::survey::Survey;
use crate::tree::Tree;
use carried::Carried;
use files::Files;
use plan::Plan;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// The component that is made, by the name users would give it.
pub(crate) const NAME: &str = "drivers";

/// The drivers that were asked for, as a component.
#[derive(Debug)]
pub(crate) struct Drivers {
    /// The component.
    pub(crate) component: Component,
    /// Components that bring the buses.
    pub(crate) buses: BTreeSet<Component>,
    /// Components that exclude it, because they have a driver that it has.
    pub(crate) excluded: BTreeSet<Component>,
    plan: Plan,
    files: Files,
    sys: PathBuf,
}

impl Drivers {
    /// Chooses for `names` and writes the component's folder below `objects`.
    ///
    /// # Errors
    /// [`Error::Driver`], [`Error::Config`], [`Error::Io`].
    pub(crate) fn make(
        tree: &Tree,
        survey: &Survey,
        names: &[String],
        objects: &Path,
    ) -> Result<Self> {
        let folder = objects.join("source").join(format!("lib{NAME}"));
        std::fs::create_dir_all(&folder).context("making", &folder)?;
        let carried = Carried::read(survey)?;
        let all = write::all(tree, &folder, &carried.includes)?;
        let plan = Plan::make(&all, &carried.that_work(&all), names)?;
        let excluded = carried.with(&plan.devices);
        let chosen = write::chosen(tree, &folder, &carried.includes, &plan, &all)?;
        let elsewhere: HashSet<PathBuf> = survey
            .sources()
            .filter(|(component, _)| !excluded.contains(component))
            .flat_map(|(_, sources)| sources.into_iter().cloned())
            .collect();
        let files = Files::choose(tree, &chosen, &plan, &elsewhere)?;
        write::headers(tree, &folder, &chosen)?;
        write::glue(&folder, &plan)?;
        write::makefile(&folder, &chosen, &files)?;
        Ok(Self {
            component: Component {
                name: NAME.into(),
                folder,
                faction: false,
            },
            buses: plan.carriers.clone(),
            excluded,
            plan,
            files,
            sys: tree.sys(),
        })
    }

    /// The drivers that are compiled, by name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.plan.devices.iter()
    }

    /// Adds sources that seem to define some of `names`, and returns whether there was
    /// one. The component must be made anew then.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn add_sources(&mut self, names: &HashSet<&[u8]>) -> Result<bool> {
        if !self.files.add(&self.sys, names) {
            return Ok(false);
        }
        write::makefile_again(&self.component.folder, &self.files)?;
        Ok(true)
    }

    /// What to say of symbols that nothing has: which driver, which of its sources.
    pub(crate) fn lacking(&self, object: &Path, symbols: &str, names: &HashSet<&[u8]>) -> Error {
        let file = self.files.of_object(object);
        let owner = file.and_then(|file| self.plan.owner(file));
        let place = file.map_or_else(|| "its sources".into(), |file| format!("sys/{}", file.path));
        let elsewhere = match self.files.only_in_a_whole_kernel(&self.sys, names) {
            Some(path) => format!("; sys/{path} has it, which is part of whole kernels only"),
            None => String::new(),
        };
        Error::Driver {
            name: owner.unwrap_or_else(|| self.names().cloned().collect::<Vec<_>>().join(", ")),
            problem: format!(
                "{place} needs {symbols}, which nothing in a rump kernel of this tree has{elsewhere}"
            ),
        }
    }
}

/// All drivers that a rump kernel of a tree could have by name, sorted. `objects` is a
/// folder to work in.
///
/// # Errors
/// Those of [`Catalog::read`], and [`Error::Config`].
pub fn list(
    tree: &Tree,
    bmake: &crate::make::Bmake,
    objects: &Path,
    jobs: usize,
) -> Result<Vec<Listed>> {
    let catalog = Catalog::read(tree, &[])?;
    let survey = Survey::read(&catalog, bmake, objects, jobs)?;
    let folder = objects.join("source/list");
    std::fs::create_dir_all(&folder).context("making", &folder)?;
    let carried = Carried::read(&survey)?;
    let model = write::all(tree, &folder, &carried.includes)?;
    let working = carried.that_work(&model);
    Ok(plan::reachable(&model, &working)
        .into_keys()
        .filter_map(|name| {
            let driver = model.driver(&name)?;
            Some(Listed {
                class: driver.class.map(String::from),
                at: places(&driver),
                name,
            })
        })
        .collect())
}

/// Where a driver attaches, for people.
fn places(driver: &config::Driver<'_>) -> Vec<String> {
    let all: BTreeSet<_> = driver
        .attachments
        .iter()
        .flat_map(|place| &place.at)
        .collect();
    all.into_iter().map(|at| at.to_string()).collect()
}

/// A driver that a rump kernel can have.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its device class: `ifnet`, `disk`.
    pub class: Option<String>,
    /// The interfaces it attaches to.
    pub at: Vec<String>,
}
