//! The modules of a guest's kernel, and what each needs loaded before it.
//!
//! `modules.order` says where they are and each of them says itself what it depends on
//! (`depends=` in its section `.modinfo`). depmod(8)'s `modules.dep` would say both, but a
//! kernel that was only unpacked does not have it.

use object::elf::FileHeader64;
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, ReadRef};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A module to be loaded: its name, and the object file itself.
pub(crate) type Module = (String, Vec<u8>);

/// What a kernel has.
#[derive(Debug, Clone)]
pub(crate) struct Modules {
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

impl Modules {
    /// Of the folder `lib/modules/VERSION`.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let order = std::fs::read_to_string(folder.join("modules.order"))?;
        let files = order
            .lines()
            .map(|line| (name(line), folder.join(line)))
            .collect();
        let built_in = std::fs::read_to_string(folder.join("modules.builtin"))?;
        let built_in = built_in.lines().map(name).collect();
        Ok(Self { files, built_in })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    pub fn has(&self, module: &str) -> bool {
        let module = name(module);
        self.files.contains_key(&module) || self.built_in.contains(&module)
    }

    /// These modules and all that they depend on, in the order in which they can be loaded;
    /// without those that are part of the kernel.
    pub fn in_order(&self, wanted: &[String]) -> io::Result<Vec<Module>> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for module in wanted {
            self.add(&name(module), &mut seen, &mut order)?;
        }
        Ok(order)
    }

    fn add(
        &self,
        module: &str,
        seen: &mut BTreeSet<String>,
        order: &mut Vec<Module>,
    ) -> io::Result<()> {
        if self.built_in.contains(module) || !seen.insert(module.to_string()) {
            return Ok(());
        }
        let Some(file) = self.files.get(module) else {
            let text = format!("the kernel has no module {module}");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        };
        let object = read(file)?;
        for needed in depends(&object)? {
            self.add(&name(&needed), seen, order)?;
        }
        order.push((module.to_string(), object));
        Ok(())
    }
}

/// `vfio_pci` of `kernel/drivers/vfio/pci/vfio-pci.ko.xz`: the kernel takes `-` and `_` for
/// the same.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.replace('-', "_")
}

/// A module's file, which may be compressed where the list does not say so.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let stem = file.to_string_lossy();
    let stem = stem.split_once(".ko").map_or(&*stem, |(stem, _)| stem);
    for (ending, program) in [(".xz", "xz"), (".zst", "zstd"), (".gz", "gzip")] {
        let compressed = PathBuf::from(format!("{stem}.ko{ending}"));
        if compressed.is_file() {
            let output = Command::new(program).arg("-dc").arg(&compressed).output();
            return match output {
                Ok(output) if output.status.success() => Ok(output.stdout),
                Ok(output) => Err(failed(&compressed, String::from_utf8_lossy(&output.stderr))),
                Err(error) => Err(failed(&compressed, format!("{program}: {error}"))),
            };
        }
    }
    let plain = PathBuf::from(format!("{stem}.ko"));
    std::fs::read(&plain).map_err(|error| failed(&plain, error))
}

fn failed(file: &Path, why: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {why}", file.display()))
}

/// What the object says it depends on.
fn depends(module: &[u8]) -> io::Result<Vec<String>> {
    let list = modinfo(module).map_err(|error| io::Error::other(format!("a module: {error}")))?;
    let depends = list
        .split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(b"depends="))
        .unwrap_or_default();
    let names = String::from_utf8_lossy(depends);
    let names = names.split(',').filter(|name| !name.is_empty());
    Ok(names.map(str::to_string).collect())
}

fn modinfo<'data, R: ReadRef<'data>>(module: R) -> object::Result<&'data [u8]> {
    let header = FileHeader64::<Endianness>::parse(module)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, module)?;
    match sections.section_by_name(endian, b".modinfo") {
        Some((_, section)) => section.data(endian, module),
        None => Ok(&[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels() {
        for (path, expected) in [
            ("kernel/drivers/vfio/pci/vfio-pci.ko", "vfio_pci"),
            ("kernel/a/b_c.ko.xz", "b_c"),
            ("vfio-pci", "vfio_pci"),
        ] {
            assert_eq!(name(path), expected);
        }
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        assert!(depends(b"#!/bin/sh\n").is_err());
        assert!(depends(b"").is_err());
    }

    #[test]
    fn built_in_modules_are_there_and_need_no_loading() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            std::fs::write(folder.path().join(file), text).unwrap();
        };
        write("modules.order", "kernel/drivers/a.ko\n");
        write("modules.builtin", "kernel/drivers/nvme-core.ko\n");
        let modules = Modules::read(folder.path()).unwrap();
        assert!(modules.has("nvme_core") && modules.has("a") && !modules.has("b"));
        assert!(modules.in_order(&["nvme-core".into()]).unwrap().is_empty());
        let missing = modules.in_order(&["b".into()]).unwrap_err();
        assert!(missing.to_string().contains("no module b"));
        assert!(modules.in_order(&["a".into()]).is_err());
    }
}
