//! A NetBSD source tree: is it one, is it whole, which version is it.

use crate::error::{Error, IoContext, Result};
use std::fmt;
use std::path::{Path, PathBuf};

/// The parts of a tree that a rump kernel is made from, with what they are for.
const PARTS: &[(&str, &str)] = &[
    ("sys/sys/param.h", "the kernel's headers"),
    ("sys/kern", "the kernel proper"),
    ("sys/conf/files", "the list of devices"),
    ("sys/lib/libkern", "the kernel's C library"),
    ("sys/rump/Makefile.rump", "the rump kernel"),
    (
        "sys/rump/librump/rumpkern/Makefile",
        "the rump kernel's base",
    ),
    ("sys/arch/amd64/include", "the headers of the amd64 port"),
    ("common/include", "headers shared by kernel and userland"),
    ("common/lib/libc", "code shared by kernel and userland"),
    ("share/mk/bsd.own.mk", "the make rules"),
];

/// The version of a tree, as `__NetBSD_Version__` in `sys/sys/param.h` encodes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// Takes the number apart as `MMmmrrpp00`: major, minor, and the patch (or, for
    /// a minor of 99, the revision of the development branch).
    fn parts(self) -> (u64, u64, u64) {
        (
            self.0 / 100_000_000,
            self.0 / 1_000_000 % 100,
            self.0 / 100 % 10_000,
        )
    }

    /// Reads the define out of `param.h`.
    fn parse(param_h: &str) -> Option<Self> {
        param_h.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("#define") && words.next() == Some("__NetBSD_Version__"))
                .then(|| words.next()?.parse().ok())
                .flatten()
                .map(Self)
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.parts();
        match (minor, patch) {
            (99, _) => write!(f, "{major}.99.{patch}"),
            (_, 0) => write!(f, "{major}.{minor}"),
            _ => write!(f, "{major}.{minor}.{patch}"),
        }
    }
}

/// A complete NetBSD source tree.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
    version: Version,
}

impl Tree {
    /// Checks that `path` holds a whole tree and reads its version.
    ///
    /// # Errors
    /// [`Error::Tree`] names every part that is missing; a folder that is a part of
    /// a tree (`sys`, say) is recognised and its parent suggested.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |problem: String| {
            Err(Error::Tree {
                path: path.into(),
                problem,
            })
        };
        if !path.is_dir() {
            return fail("there is no such folder. Set NETBSD_SRC to an existing tree.".into());
        }
        let root = path.canonicalize().context("resolving", path)?;
        if root.to_str().is_none() {
            return fail("its path is not UTF-8, which makefiles cannot take.".into());
        }
        let missing: Vec<_> = PARTS
            .iter()
            .filter(|(part, _)| !root.join(part).exists())
            .collect();
        if missing.len() == PARTS.len() || root.join("rump/Makefile.rump").exists() {
            let hint = root
                .ancestors()
                .skip(1)
                .find(|above| above.join("sys/rump/Makefile.rump").exists())
                .map(|above| {
                    format!(
                        " It lies inside a tree: set NETBSD_SRC={}.",
                        above.display()
                    )
                })
                .unwrap_or_else(|| {
                    " A tree is the folder that holds sys/, common/ and share/mk/.".into()
                });
            return fail(format!("nothing of NetBSD is where it belongs.{hint}"));
        }
        if !missing.is_empty() {
            let list: Vec<_> = missing
                .iter()
                .map(|(part, what)| format!("\n  {part} ({what})"))
                .collect();
            return fail(format!(
                "these parts are missing:{}\nUnpack NetBSD's source sets again, all of them (syssrc and src).",
                list.concat()
            ));
        }
        let param = root.join("sys/sys/param.h");
        let text = std::fs::read_to_string(&param).context("reading", &param)?;
        match Version::parse(&text) {
            Some(version) => Ok(Self { root, version }),
            None => fail("sys/sys/param.h does not define __NetBSD_Version__.".into()),
        }
    }

    /// The tree's folder, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// `sys` within it.
    pub fn sys(&self) -> PathBuf {
        self.root.join("sys")
    }

    /// `sys/rump` within it.
    pub fn rump(&self) -> PathBuf {
        self.root.join("sys/rump")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_as_netbsd_writes_them() {
        for (number, text) in [
            (899_002_500, "8.99.25"),
            (799_003_400, "7.99.34"),
            (900_000_000, "9.0"),
            (1_000_000_300, "10.0.3"),
            (1_099_001_200, "10.99.12"),
        ] {
            assert_eq!(Version(number).to_string(), text);
        }
    }

    #[test]
    fn the_version_is_found_among_comments() {
        let text = " *\t#define __NetBSD_Version__ MMmmrrpp00\n#define\t__NetBSD_Version__\t901000000\t/* NetBSD 9.1 */\n";
        assert_eq!(Version::parse(text).unwrap().to_string(), "9.1");
        assert_eq!(Version::parse("nothing"), None);
    }

    #[test]
    fn a_folder_inside_a_tree_is_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let rump = dir.path().join("sys/rump");
        std::fs::create_dir_all(&rump).unwrap();
        std::fs::write(rump.join("Makefile.rump"), "").unwrap();
        let error = Tree::open(&dir.path().join("sys")).unwrap_err().to_string();
        assert!(error.contains("It lies inside a tree"), "{error}");
        let error = Tree::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("sys/sys/param.h"), "{error}");
        let error = Tree::open(&dir.path().join("gone"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("no such folder"), "{error}");
    }
}
