//! What a Linux guest is made of: a kernel with its modules, and an initramfs.

use super::here::Here;
use crate::doctor::finding::{Finding, first_line};
use object::Endianness;
use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Where a bzImage says that it is one (Linux, Documentation/arch/x86/boot.rst).
const MAGIC: (u64, &[u8; 4]) = (0x202, b"HdrS");
/// The largest list of modules and the largest program that are read, in bytes.
const LARGEST: u64 = 16 << 20;

/// Names a folder with a kernel for the guests, beside which no other counts.
pub const KERNEL: &str = "RUMP_GUEST_KERNEL";

/// The folders below which the tests look for a kernel, as they do it (`rump-testbed`).
pub fn roots(here: &Here) -> Vec<PathBuf> {
    let set = |name| here.variable(name).filter(|value| !value.is_empty());
    if let Some(folder) = set(KERNEL) {
        return vec![folder.into()];
    }
    let cache = set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| Path::new(&home).join(".cache")));
    let cache = cache.map(|cache| cache.join("rump/guest"));
    std::iter::once(PathBuf::from("/")).chain(cache).collect()
}

/// A kernel below one of these folders that can be read and has `module`.
pub fn kernel(roots: &[PathBuf], module: &str) -> Finding {
    let mut problems = Vec::new();
    for root in roots {
        for (image, version) in images(root) {
            match check(root, &image, &version, module) {
                Ok(()) => return Finding::found(image.display().to_string()),
                Err(problem) => problems.push(format!("{} {problem}", image.display())),
            }
        }
    }
    if problems.is_empty() {
        let folders: Vec<_> = roots
            .iter()
            .flat_map(|root| ["boot", "lib/modules"].map(|folder| root.join(folder)))
            .map(|folder| folder.display().to_string())
            .collect();
        problems.push(format!("no kernel in {}", folders.join(" or ")));
    }
    Finding::missing(problems.join("\n"))
}

/// Kernels and their versions: `/boot/vmlinuz-VERSION`, and `/lib/modules/VERSION/vmlinuz`
/// as Fedora has it.
fn images(root: &Path) -> Vec<(PathBuf, String)> {
    let names = |folder: &str| {
        let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten();
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect::<Vec<_>>()
    };
    let mut images: Vec<_> = names("boot")
        .into_iter()
        .filter_map(|name| {
            let version = name.strip_prefix("vmlinuz-")?.to_string();
            Some((root.join("boot").join(name), version))
        })
        .chain(names("lib/modules").into_iter().filter_map(|version| {
            let image = root.join("lib/modules").join(&version).join("vmlinuz");
            image.exists().then_some((image, version))
        }))
        .collect();
    images.sort();
    images
}

fn check(root: &Path, image: &Path, version: &str, module: &str) -> Result<(), String> {
    let mut magic = [0; 4];
    File::open(image)
        .and_then(|mut file| {
            file.seek(SeekFrom::Start(MAGIC.0))?;
            file.read_exact(&mut magic)
        })
        .map_err(|error| format!("cannot be read ({error})"))?;
    if &magic != MAGIC.1 {
        return Err("is not a bzImage".into());
    }
    let folder = root.join("lib/modules").join(version);
    let wanted = format!("/{module}.ko");
    let has = ["modules.order", "modules.dep", "modules.builtin"]
        .iter()
        .filter_map(|list| read(&folder.join(list)).ok())
        .any(|list| String::from_utf8_lossy(&list).contains(&wanted));
    if has {
        Ok(())
    } else {
        Err(format!("has no module {module}"))
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A busybox that runs where there are no libraries.
pub fn busybox(here: &Here) -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).map(|folder| folder.join("busybox"));
    let Some(program) = places.into_iter().find(|place| place.is_file()) else {
        return Finding::missing("`busybox` is not there");
    };
    let answer = match here.run(&mut here.command(&program)) {
        Ok(answer) => answer,
        Err(finding) => return finding,
    };
    let line = first_line(&answer.out);
    if !line.starts_with("BusyBox") {
        return Finding::wrong(format!("{} is something else: {line}", program.display()));
    }
    match read(&program).map(|data| is_static(&data)) {
        Ok(Some(true)) => Finding::found(line),
        Ok(Some(false)) => Finding::wrong(format!("{} needs libraries", program.display())),
        _ => Finding::wrong(format!("{} is not an ELF program", program.display())),
    }
}

/// Whether a program names no loader.
fn is_static(data: &[u8]) -> Option<bool> {
    let header = FileHeader64::<Endianness>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).ok()?;
    Some(
        segments
            .iter()
            .all(|segment| segment.p_type(endian) != PT_INTERP),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;
    use std::fs;

    #[test]
    fn a_kernel_is_a_bzimage_with_the_module() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let empty = tempfile::tempdir().unwrap();
        let roots = [empty.path().to_path_buf(), root.to_path_buf()];
        assert!(kernel(&roots, "vfio-pci").detail.starts_with("no kernel"));

        let image = root.join("boot/vmlinuz-6.1");
        fs::create_dir_all(root.join("boot")).unwrap();
        fs::write(&image, "short").unwrap();
        assert!(kernel(&roots, "vfio-pci").detail.contains("cannot be read"));
        let mut bytes = vec![0; 0x300];
        fs::write(&image, &bytes).unwrap();
        assert!(
            kernel(&roots, "vfio-pci")
                .detail
                .contains("is not a bzImage")
        );
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        fs::write(&image, &bytes).unwrap();
        assert!(
            kernel(&roots, "vfio-pci")
                .detail
                .contains("has no module vfio-pci")
        );

        let modules = root.join("lib/modules/6.1");
        fs::create_dir_all(&modules).unwrap();
        fs::write(
            modules.join("modules.dep"),
            "kernel/drivers/vfio/pci/vfio-pci.ko.xz:\n",
        )
        .unwrap();
        let found = kernel(&roots, "vfio-pci");
        assert_eq!(found, Finding::found(image.display().to_string()));
        assert_eq!(kernel(&roots, "xen-privcmd").status, Status::Missing);
    }

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        if cfg!(all(target_env = "gnu", target_pointer_width = "64")) {
            assert_eq!(is_static(&own), Some(false));
        }
        for odd in [&own[..100], b"#!/bin/sh\n", b""] {
            assert_eq!(is_static(odd), None);
        }
    }
}
