//! What components of the tree attach by themselves: buses and what stands on them.

use crate::component::Component;
use crate::config::{Model, Outline};
use crate::error::{Error, Result};
use crate::make::Makefile;
use crate::survey::Survey;
use std::collections::BTreeSet;

/// A component and the devices it attaches.
#[derive(Debug, Clone)]
pub(super) struct Carrier {
    pub component: Component,
    /// Device, and the device or interface it is at; `None` is the root.
    pub devices: Vec<(String, Option<String>)>,
    /// Names of the attachments that its sources define.
    defined: BTreeSet<String>,
}

#[cfg(test)]
impl Carrier {
    pub fn new(component: Component, devices: Vec<(String, Option<String>)>) -> Self {
        let defined = BTreeSet::new();
        Self {
            component,
            devices,
            defined,
        }
    }
}

/// All that have an `.ioconf`.
#[derive(Debug)]
pub(super) struct Carried {
    carriers: Vec<Carrier>,
    /// The descriptions that they include between them, each once.
    pub includes: Vec<String>,
}

impl Carried {
    pub fn read(survey: &Survey) -> Result<Self> {
        let mut made = Self {
            carriers: Vec::new(),
            includes: Vec::new(),
        };
        for (component, makefile) in &survey.components {
            let Some(makefile) = makefile else { continue };
            let Some(ioconf) = &makefile.ioconf else {
                continue;
            };
            let outline = Outline::read(ioconf).map_err(|error| Error::Config {
                component: component.name.clone(),
                message: error.to_string(),
            })?;
            for include in outline.includes {
                if !made.includes.contains(&include) {
                    made.includes.push(include);
                }
            }
            if !outline.devices.is_empty() {
                made.carriers.push(Carrier {
                    component: component.clone(),
                    devices: outline.devices,
                    defined: attachments(makefile),
                });
            }
        }
        Ok(made)
    }

    /// Those whose sources define every attachment that their description would use.
    /// Where a driver was taken apart, and its component forgotten, they do not.
    pub fn that_work(&self, model: &Model) -> Vec<Carrier> {
        let works = |carrier: &&Carrier| {
            carrier.devices.iter().all(|(device, at)| {
                let Some(driver) = model.driver(device) else {
                    return false;
                };
                let interfaces = match at {
                    None => vec!["root"],
                    Some(at) => match model.driver(at) {
                        Some(parent) => parent.offers,
                        None => vec![at.as_str()],
                    },
                };
                let used = driver.attachments.iter();
                let mut used = used
                    .filter(|place| place.at.iter().any(|at| interfaces.contains(at)))
                    .map(|place| carrier.defined.contains(place.attachment))
                    .peekable();
                used.peek().is_some() && used.all(|defined| defined)
            })
        };
        self.carriers.iter().filter(works).cloned().collect()
    }

    /// Those that attach one of `devices`.
    pub fn with(&self, devices: &BTreeSet<String>) -> BTreeSet<Component> {
        self.carriers
            .iter()
            .filter(|carrier| {
                carrier
                    .devices
                    .iter()
                    .any(|(name, _)| devices.contains(name))
            })
            .map(|carrier| carrier.component.clone())
            .collect()
    }
}

/// The attachments that a component's sources define by `CFATTACH_DECL` or one of its
/// variants, as driver(9) has it.
fn attachments(makefile: &Makefile) -> BTreeSet<String> {
    let paths = makefile
        .sources
        .iter()
        .filter_map(|source| source.path.as_ref());
    paths
        .filter_map(|path| std::fs::read(path).ok())
        .flat_map(|text| declared(&String::from_utf8_lossy(&text)))
        .collect()
}

/// The first arguments of `CFATTACH_DECL…(` in `text`.
fn declared(text: &str) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split("CFATTACH_DECL")
        .skip(1)
        .filter_map(|rest| {
            let argument = rest.trim_start_matches(is_word).trim_start();
            let argument = argument.strip_prefix('(')?.trim_start();
            let end = argument.find(|c| !is_word(c)).unwrap_or(argument.len());
            (end > 0).then(|| argument[..end].to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn attachments_are_found_in_any_form() {
        let text =
            "CFATTACH_DECL(a, 1);\nCFATTACH_DECL_NEW(b_pci,\n 2);\nCFATTACH_DECL3_NEW (\n c, 3);\n";
        assert_eq!(declared(text), ["a", "b_pci", "c"]);
        assert_eq!(declared("CFATTACH_DECL\nCFATTACH_DECL( ,"), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(CFATTACH_DECL|_NEW|\\(|[a-z ,é\n])*") {
            declared(&text);
        }
    }
}
