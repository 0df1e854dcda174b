//! Which shared libraries a program needs: `DT_NEEDED` of ELF, and the program that loads it.

use super::packages::Packages;
use crate::error::{Error, IoContext, Result};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, elf};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where Debian has them, from the root.
const PLACES: [&str; 4] = [
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/xen-*/lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/pulseaudio",
];

/// What a file says of libraries.
#[derive(Debug, Default)]
struct Needed {
    /// Their names.
    names: Vec<String>,
    /// Folders of its own to look for them in, apart from those of all.
    folders: Vec<String>,
    /// The path of its loader.
    loader: Option<String>,
}

fn needed(data: &[u8]) -> object::read::Result<Needed> {
    let header = elf::FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let mut all = Needed::default();
    for segment in header.program_headers(endian, data)? {
        if let Some(path) = segment.interpreter(endian, data)? {
            all.loader = Some(String::from_utf8_lossy(path).into_owned());
        }
    }
    let sections = header.sections(endian, data)?;
    if let Some((entries, link)) = sections.dynamic(endian, data)? {
        let strings = sections.strings(endian, data, link)?;
        for entry in entries {
            let text = || entry.string(endian, strings).map(String::from_utf8_lossy);
            match entry.tag32(endian).map(i64::from) {
                Some(elf::DT_NEEDED) => all.names.push(text()?.into_owned()),
                Some(elf::DT_RUNPATH) => {
                    let absolute = |path: &&str| path.starts_with('/');
                    let paths = text()?;
                    let paths = paths.split(':').filter(absolute).map(String::from);
                    all.folders.extend(paths);
                }
                _ => {}
            }
        }
    }
    Ok(all)
}

/// All libraries that programs need, and those that these need: where they are here, by
/// where they are to be.
pub(super) fn of(programs: &[PathBuf], packages: &Packages) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut open: Vec<PathBuf> = programs.to_vec();
    while let Some(path) = open.pop() {
        let data = std::fs::read(&path).context("reading", &path)?;
        let Needed {
            names,
            folders,
            loader,
        } = needed(&data).map_err(|error| Error::Object {
            path: path.clone(),
            problem: error.to_string(),
        })?;
        if let Some(loader) = loader {
            let here = packages.find(loader.trim_start_matches('/'))?;
            found.insert(PathBuf::from(loader), here);
        }
        for name in names {
            let to = Path::new("/lib/x86_64-linux-gnu").join(&name);
            if found.contains_key(&to) {
                continue;
            }
            let find = |place: &str| packages.find(&format!("{place}/{name}")).ok();
            let own = |folder: &String| {
                let here = find(folder.trim_start_matches('/'))?;
                Some((Path::new(folder).join(&name), here))
            };
            let (to, here) = PLACES
                .iter()
                .find_map(|place| Some((to.clone(), find(place)?)))
                .or_else(|| folders.iter().find_map(own))
                .ok_or_else(|| {
                    Error::Image(format!(
                        "{} needs the library {name}, which is neither among the testbed's \
                         packages nor installed",
                        path.display()
                    ))
                })?;
            if found.insert(to, here.clone()).is_none() {
                open.push(here);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::needed;

    #[test]
    fn this_program_needs_its_c_library() {
        let data = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let all = needed(&data).unwrap();
        let libc = |name: &String| name.starts_with("libc.so");
        assert!(all.names.iter().any(libc), "{all:?}");
        assert!(all.loader.is_some_and(|path| path.contains("ld-linux")));
        assert!(needed(b"#!/bin/sh\n").is_err());
    }
}
