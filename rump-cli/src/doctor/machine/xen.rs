//! Xen for the dom0 that the tests boot in QEMU; this machine need not run it.

use super::here::Here;
use crate::doctor::finding::{Finding, Status, first_line, telling_line};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What is in `folder` and has a name that begins so, in order.
fn named(folder: &Path, start: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// A hypervisor in `/boot`: gzip's or ELF's magic number.
pub fn hypervisor(root: &Path) -> Finding {
    let files = named(&root.join("boot"), "xen");
    for file in &files {
        let mut magic = [0; 4];
        let read = File::open(file).and_then(|mut file| file.read_exact(&mut magic));
        if read.is_ok() && (magic == *b"\x7fELF" || magic[..2] == [0x1f, 0x8b]) {
            return Finding::found(file.display().to_string());
        }
    }
    match files.first() {
        Some(file) => Finding::wrong(format!("{} is not a hypervisor", file.display())),
        None => Finding::missing("no hypervisor in /boot"),
    }
}

/// xl, in the path or where Debian keeps that of each version. Without a running Xen it
/// starts and says so, which is as much as can be asked of it here.
pub fn xl(here: &Here, root: &Path) -> Finding {
    let versions = named(&root.join("usr/lib"), "xen-");
    let versions = versions.iter().map(|folder| folder.join("bin/xl"));
    let mut first = None;
    for program in std::iter::once(PathBuf::from("xl")).chain(versions) {
        let finding = match here.run(here.command(&program).arg("help")) {
            Ok(answer) => {
                let said = [answer.out, answer.err].concat();
                if is_xl(&String::from_utf8_lossy(&said)) {
                    return Finding::found(format!("`{}` starts", program.display()));
                }
                let words = if answer.status.success() {
                    first_line(&said)
                } else {
                    telling_line(&said)
                };
                Finding::wrong(format!("`{}` says: {words}", program.display()))
            }
            Err(finding) => finding,
        };
        if first
            .as_ref()
            .is_none_or(|f: &Finding| f.status == Status::Missing)
        {
            first = Some(finding);
        }
    }
    first.unwrap_or_else(|| Finding::missing("`xl` is not there"))
}

/// Its usage, or its complaint that no Xen runs.
fn is_xl(said: &str) -> bool {
    ["Usage xl", "xl context", "privileged command interface"]
        .iter()
        .any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hypervisor_is_an_elf_or_compressed() {
        let dir = tempfile::tempdir().unwrap();
        let boot = dir.path().join("boot");
        std::fs::create_dir(&boot).unwrap();
        assert_eq!(hypervisor(dir.path()).status, Status::Missing);
        std::fs::write(boot.join("xen-4.17.config"), "CONFIG").unwrap();
        assert_eq!(hypervisor(dir.path()).status, Status::Wrong);
        let image = boot.join("xen-4.17.gz");
        std::fs::write(&image, b"\x1f\x8b\x08\x00").unwrap();
        let expected = Finding::found(image.display().to_string());
        assert_eq!(hypervisor(dir.path()), expected);
    }
}
