//! The sources of the drivers.
//!
//! A file belongs to a driver if its condition names the driver or the attachment. What
//! a driver shares with others (`mii_bitbang`, `net`) is named by attributes, most of
//! which components of the tree implement; of the rest only those files are taken that
//! have a symbol which is missing otherwise: first of what the drivers' attributes
//! select, then of all that the description has a condition for.

use super::plan::Plan;
use crate::config::{Condition, File, Model};
use crate::error::Result;
use crate::symbol_index::{self, Hint};
use crate::tree::Tree;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Files {
    /// What is compiled.
    pub chosen: Vec<File>,
    /// What may be, by how near it is.
    spare: [Vec<File>; 2],
    /// Files without a condition: the kernel itself.
    unconditional: Vec<File>,
}

impl Files {
    /// `elsewhere` is what components of the tree compile.
    pub fn choose(
        tree: &Tree,
        model: &Model,
        plan: &Plan,
        elsewhere: &HashSet<PathBuf>,
    ) -> Result<Self> {
        let mut made = Self {
            chosen: Vec::new(),
            spare: [Vec::new(), Vec::new()],
            unconditional: Vec::new(),
        };
        for file in model.files().iter().filter(|file| !file.object) {
            let place = tree.sys().join(&file.path);
            // Descriptions name files of other ports, and some that are generated.
            let Ok(place) = place.canonicalize() else {
                continue;
            };
            if elsewhere.contains(&place) {
                continue;
            }
            let selected = |name: &str| model.selected().contains(name);
            let list = match &file.condition {
                None => &mut made.unconditional,
                Some(condition) if !condition.holds(&selected) => &mut made.spare[1],
                Some(condition) if names_one_of(condition, plan) => &mut made.chosen,
                Some(_) => &mut made.spare[0],
            };
            list.push(file.clone());
        }
        Ok(made)
    }

    /// Takes the files that seem to define `names`, the nearest, the fewest; false if
    /// there is none.
    pub fn add(&mut self, sys: &Path, names: &HashSet<&[u8]>) -> bool {
        for spare in &mut self.spare {
            let found: HashSet<usize> = best(sys, spare, names).into_values().collect();
            if found.is_empty() {
                continue;
            }
            let mut index = 0;
            spare.retain(|file| {
                let taken = found.contains(&index);
                if taken {
                    self.chosen.push(file.clone());
                }
                index += 1;
                !taken
            });
            return true;
        }
        false
    }

    /// The file that an object was made of.
    pub fn of_object(&self, object: &Path) -> Option<&File> {
        let stem = object.file_stem()?.to_string_lossy().into_owned();
        let below_sys = stem.strip_prefix("sys-").unwrap_or(&stem).to_owned();
        self.chosen.iter().find(|file| {
            let name = file.path.replace('/', "-");
            name.rsplit_once('.')
                .is_some_and(|(name, _)| name == below_sys)
        })
    }

    /// A file that defines one of `names`, but which every kernel has and rump kernels
    /// do not.
    pub fn only_in_a_whole_kernel(&self, sys: &Path, names: &HashSet<&[u8]>) -> Option<&str> {
        let found = best(sys, &self.unconditional, names);
        let first = found.into_values().min()?;
        Some(&self.unconditional[first].path)
    }
}

fn names_one_of(condition: &Condition, plan: &Plan) -> bool {
    let own = |name: &&str| plan.devices.contains(*name) || plan.attachments.contains(*name);
    condition.names().iter().any(own)
}

/// For each name that a file seems to define, the surest file.
fn best(sys: &Path, files: &[File], names: &HashSet<&[u8]>) -> HashMap<Vec<u8>, usize> {
    let mut found: HashMap<Vec<u8>, (Hint, usize)> = HashMap::new();
    for (index, file) in files.iter().enumerate() {
        let Ok(text) = std::fs::read(sys.join(&file.path)) else {
            continue;
        };
        symbol_index::scan(&text, names, |name, hint| {
            let known = found.get(name).map(|(known, _)| *known);
            if known.is_none_or(|known| hint > known) {
                found.insert(name.to_vec(), (hint, index));
            }
        });
    }
    let found = found.into_iter();
    found.map(|(name, (_, index))| (name, index)).collect()
}
