//! A root for an image of a program that is installed here: the program, and the libraries that
//! its loader finds for it.

use super::{run_quietly, write};
use crate::error::{IoContext, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Puts a program and its libraries below a folder, each where it is here, with these files
/// beside, by their paths from the root; what was in the folder before is removed.
///
/// # Errors
/// [`Error::Command`](crate::Error::Command) with what ldd(1) said, [`Error::Io`](crate::Error::Io).
pub fn root(program: &Path, files: &[(&str, &str)], to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).context("removing", to)?;
    }
    let mut list = Command::new("ldd");
    list.arg(program).env("LC_ALL", "C");
    let said = run_quietly("find a program's libraries", &mut list)?;
    let libraries = libraries(&String::from_utf8_lossy(&said));
    for path in libraries.iter().map(PathBuf::as_path).chain([program]) {
        let place = below(to, path);
        let folder = place.parent().unwrap_or(to);
        fs::create_dir_all(folder).context("creating", folder)?;
        fs::copy(path, &place).context("copying", path)?;
    }
    for (path, text) in files {
        let place = below(to, Path::new(path));
        let folder = place.parent().unwrap_or(to);
        fs::create_dir_all(folder).context("creating", folder)?;
        write(&place, text)?;
    }
    Ok(())
}

fn below(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path.strip_prefix("/").unwrap_or(path))
}

/// The paths in what ldd(1) says: behind an arrow, or that of the loader alone.
fn libraries(said: &str) -> Vec<PathBuf> {
    let paths = said.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.find(|word| word.starts_with('/'))
    });
    paths.map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read() {
        let said = "\tlinux-vdso.so.1 (0x00007ffc)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fdb)\n\
                    \tlibnone.so => not found\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007fdb)\n";
        let found = libraries(said);
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn a_program_has_its_libraries_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("root");
        let program = fs::canonicalize("/bin/ls").unwrap();
        for _ in 0..2 {
            root(&program, &[("etc/passwd", "root:x:0:0::/:\n")], &to).unwrap();
        }
        assert!(below(&to, &program).is_file() && to.join("lib64").is_dir());
        assert_eq!(
            fs::read_to_string(to.join("etc/passwd"))
                .unwrap()
                .lines()
                .count(),
            1
        );
        assert!(root(Path::new("/nonexistent"), &[], &to).is_err());
    }
}
