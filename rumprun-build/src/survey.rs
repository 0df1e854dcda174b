//! Every component of a tree with its makefile evaluated.

use crate::closure::in_parallel;
use crate::component::{Catalog, Component};
use crate::error::{IoContext, Result};
use crate::make::{Bmake, Makefile};
use std::path::{Path, PathBuf};

/// What the makefiles of a tree say, all of them.
#[derive(Debug)]
pub(crate) struct Survey {
    /// A component whose makefile cannot be evaluated has none.
    pub(crate) components: Vec<(Component, Option<Makefile>)>,
}

impl Survey {
    /// Evaluates, `jobs` makefiles at a time, with a folder below `objects`.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub(crate) fn read(
        catalog: &Catalog,
        bmake: &Bmake,
        objects: &Path,
        jobs: usize,
    ) -> Result<Self> {
        let scratch = objects.join("evaluate");
        std::fs::create_dir_all(&scratch).context("making", &scratch)?;
        let components = in_parallel(jobs, catalog.components(), |component| {
            let makefile = bmake.evaluate(&component.folder, &scratch).ok();
            Ok((component.clone(), makefile))
        })?;
        Ok(Self { components })
    }

    /// Components with where their sources are.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&Component, Vec<&PathBuf>)> {
        self.components.iter().map(|(component, makefile)| {
            let sources = makefile.iter().flat_map(|makefile| &makefile.sources);
            let paths = sources.filter_map(|source| source.path.as_ref()).collect();
            (component, paths)
        })
    }
}
