//! Debian's packages, downloaded and unpacked below a folder: nothing is installed, and no
//! root is needed.
//!
//! apt-get(8) itself says which packages this machine lacks for those that are wanted, so
//! that what is installed already is taken from where it is ([`Packages::find`]).

use super::super::{run, run_quietly, words};
use crate::error::{Error, IoContext, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the testbed is made of. The first is a name for whatever version of Xen there is.
const WANTED: [&str; 4] = [
    "xen-system-amd64",
    "qemu-system-xen",
    "linux-image-amd64",
    "busybox-static",
];

/// What a package can be called (Debian's policy, 5.6.1), and so what is given to apt-get.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    name.len() > 1 && name.chars().all(plain) && !name.starts_with(['-', '+', '.'])
}

/// The packages that `apt-get install --simulate` would install: lines that begin with
/// `Inst NAME`.
fn lacking(simulated: &str) -> Vec<&str> {
    simulated
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
        .filter(|name| is_name(name))
        .collect()
}

/// Unpacked packages, and behind them what is installed.
#[derive(Clone, Debug)]
pub(super) struct Packages {
    roots: [PathBuf; 2],
}

impl Packages {
    /// Downloads and unpacks what is not there yet; what was unpacked before is used as it is.
    ///
    /// # Errors
    /// [`Error::Program`] without apt-get or dpkg; [`Error::Command`] with what they said, as
    /// without a network.
    pub(super) fn get(folder: &Path) -> Result<Self> {
        let unpacked = folder.join("unpacked");
        if !unpacked.is_dir() {
            needs("apt-get", "find and download Xen's packages", "apt")?;
            needs("dpkg", "unpack Xen's packages", "dpkg")?;
            let new = folder.join("new");
            let _ = std::fs::remove_dir_all(&new);
            std::fs::create_dir_all(&new).context("creating", &new)?;
            let mut simulate = Command::new("apt-get");
            simulate
                .args(["install", "--simulate", "--no-install-recommends"])
                .args(WANTED)
                .env("LC_ALL", "C");
            let said = run_quietly("ask which packages the testbed lacks", &mut simulate)?;
            let said = String::from_utf8_lossy(&said);
            let mut download = Command::new("apt-get");
            download
                .args(["download", "--quiet"])
                .args(lacking(&said))
                .current_dir(&new);
            run_quietly("download the testbed's packages", &mut download)?;
            for entry in std::fs::read_dir(&new).context("reading", &new)? {
                let package = entry.context("reading", &new)?.path();
                if package.extension().is_some_and(|ending| ending == "deb") {
                    let mut unpack = Command::new("dpkg");
                    unpack.arg("-x").arg(&package).arg(new.join("root"));
                    run("unpack a package", &mut unpack)?;
                    std::fs::remove_file(&package).context("removing", &package)?;
                }
            }
            std::fs::rename(new.join("root"), &unpacked).context("creating", &unpacked)?;
        }
        Ok(Self {
            roots: [unpacked, "/".into()],
        })
    }

    /// Where a file of theirs is; the path is from the root. A part of it may end in `*`.
    pub(super) fn find(&self, path: &str) -> Result<PathBuf> {
        let found = self.roots.iter().find_map(|root| expand(root, path));
        found.ok_or_else(|| {
            Error::Image(format!(
                "the testbed's packages ({}) have no /{path}; they are unpacked in {}, and \
                 looked for anew when that folder is removed",
                WANTED.join(", "),
                self.roots[0].display()
            ))
        })
    }
}

impl Packages {
    /// The path from the root of a file that was found.
    pub(super) fn path_of<'a>(&self, found: &'a Path) -> &'a Path {
        let stripped = self
            .roots
            .iter()
            .find_map(|root| found.strip_prefix(root).ok());
        stripped.unwrap_or(found)
    }
}

/// The last, by name, of the paths that this stands for.
fn expand(root: &Path, path: &str) -> Option<PathBuf> {
    let (part, rest) = path
        .split_once('/')
        .map_or((path, None), |(part, rest)| (part, Some(rest)));
    let mut places = match part.split_once('*') {
        None => vec![root.join(part)],
        Some((start, end)) => {
            let entries = std::fs::read_dir(root).ok()?.filter_map(|entry| entry.ok());
            let fits = |name: &str| {
                name.len() >= start.len() + end.len()
                    && name.starts_with(start)
                    && name.ends_with(end)
            };
            entries
                .filter(|entry| entry.file_name().to_str().is_some_and(fits))
                .map(|entry| entry.path())
                .collect()
        }
    };
    places.sort();
    places.into_iter().rev().find_map(|place| match rest {
        Some(rest) => expand(&place, rest),
        None => place.exists().then_some(place),
    })
}

fn needs(program: &'static str, purpose: &'static str, package: &'static str) -> Result<()> {
    let mut command = Command::new(program);
    command.arg("--version");
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        other => Err(Error::Image(format!(
            "{program} is needed to {purpose}, and `{}` {}: the testbed is made of Debian's \
             packages, on Debian, Ubuntu or where their {package} is installed",
            words(&command),
            match other {
                Ok(output) => format!("failed ({})", output.status),
                Err(error) => format!("could not be started ({error})"),
            }
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_would_install_is_read() {
        let said = "Reading package lists...\n\
                    Inst libxencall1 (4.17 Debian:12/stable [amd64])\n\
                    Inst linux-image-amd64 [1] (2 Debian:12/stable [amd64])\n\
                    Remv busybox [1]\nInst --option (1)\n\
                    Conf libxencall1 (4.17 Debian:12/stable [amd64])\n";
        assert_eq!(lacking(said), ["libxencall1", "linux-image-amd64"]);
        assert!(lacking("").is_empty());
    }

    #[test]
    fn files_are_found_by_patterns_and_the_newest_is_taken() {
        let place = tempfile::tempdir().unwrap();
        let at = |path: &str| place.path().join(path);
        for folder in ["usr/lib/xen-1/bin", "usr/lib/xen-2/bin", "usr/lib/xen-3"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["usr/lib/xen-1/bin/xl", "usr/lib/xen-2/bin/xl"] {
            std::fs::write(at(file), "").unwrap();
        }
        let found = |path| expand(place.path(), path);
        assert_eq!(
            found("usr/lib/xen-*/bin/xl"),
            Some(at("usr/lib/xen-2/bin/xl"))
        );
        assert_eq!(
            found("usr/lib/xen-1/bin/xl"),
            Some(at("usr/lib/xen-1/bin/xl"))
        );
        assert_eq!(found("usr/lib/*/bin/xm"), None);
        assert_eq!(found("none/*"), None);
    }
}
