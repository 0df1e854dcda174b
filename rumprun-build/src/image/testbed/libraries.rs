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

/// Names of the libraries that a file needs, and the path of its loader.
fn needed(data: &[u8]) -> object::read::Result<(Vec<String>, Option<String>)> {
    let header = elf::FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let (mut names, mut loader) = (Vec::new(), None);
    for segment in header.program_headers(endian, data)? {
        if let Some(path) = segment.interpreter(endian, data)? {
            loader = Some(String::from_utf8_lossy(path).into_owned());
        }
    }
    let sections = header.sections(endian, data)?;
    if let Some((entries, link)) = sections.dynamic(endian, data)? {
        let strings = sections.strings(endian, data, link)?;
        for entry in entries {
            if entry.tag32(endian).map(i64::from) == Some(elf::DT_NEEDED) {
                names.push(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned());
            }
        }
    }
    Ok((names, loader))
}

/// All libraries that programs need, and those that these need: where they are here, by
/// where they are to be.
pub(super) fn of(programs: &[PathBuf], packages: &Packages) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut open: Vec<PathBuf> = programs.to_vec();
    while let Some(path) = open.pop() {
        let data = std::fs::read(&path).context("reading", &path)?;
        let (names, loader) = needed(&data).map_err(|error| Error::Object {
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
            let here = PLACES
                .iter()
                .find_map(|place| packages.find(&format!("{place}/{name}")).ok())
                .ok_or_else(|| {
                    Error::Image(format!(
                        "{} needs the library {name}, which is neither among the testbed's \
                         packages nor installed",
                        path.display()
                    ))
                })?;
            found.insert(to, here.clone());
            open.push(here);
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
        let (names, loader) = needed(&data).unwrap();
        assert!(
            names.iter().any(|name| name.starts_with("libc.so")),
            "{names:?}"
        );
        assert!(loader.is_some_and(|loader| loader.contains("ld-linux")));
        assert!(needed(b"#!/bin/sh\n").is_err());
    }
}
