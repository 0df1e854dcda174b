//! Other names for paths that make cannot take.
//!
//! Makefiles separate words by spaces and give paths to a shell unquoted, so a tree, a
//! component or an object folder whose path holds a space, a colon or a dollar cannot
//! be named to them. Such a folder gets a symbolic link with a plain name, in a
//! temporary folder that lives as long as the [`Aliases`]; in what make answers the
//! real path is put back, so that no alias outlives the question.

use crate::error::{Error, IoContext, Result};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The aliases in use.
#[derive(Debug, Default)]
pub(crate) struct Aliases(Mutex<Made>);

#[derive(Debug, Default)]
struct Made {
    folder: Option<tempfile::TempDir>,
    /// Real path and alias.
    links: Vec<(PathBuf, PathBuf)>,
}

impl Aliases {
    /// A name of `path` that make can take: its own, or an alias.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn name(&self, path: &Path) -> Result<PathBuf> {
        if is_plain(path) {
            return Ok(path.into());
        }
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (real, alias) in &made.links {
            if let Some(below) = path.strip_prefix(real).ok().filter(|below| is_plain(below)) {
                return Ok(alias.join(below));
            }
        }
        let folder = match made.folder.take() {
            Some(folder) => folder,
            None => temporary_folder()?,
        };
        // Fixed in width, so that none is the beginning of another.
        let alias = folder.path().join(format!("{:08}", made.links.len()));
        made.folder = Some(folder);
        std::os::unix::fs::symlink(path, &alias).context("linking", &alias)?;
        made.links.push((path.into(), alias.clone()));
        Ok(alias)
    }

    /// `text` with the real paths in place of aliases.
    pub(crate) fn real(&self, text: &str) -> String {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.links.iter().fold(text.into(), |text, (real, alias)| {
            text.replace(&*alias.to_string_lossy(), &real.to_string_lossy())
        })
    }
}

fn temporary_folder() -> Result<tempfile::TempDir> {
    let named = std::env::temp_dir();
    let place = if is_plain(&named) {
        named
    } else {
        "/tmp".into()
    };
    tempfile::Builder::new()
        .prefix("rump-")
        .tempdir_in(&place)
        .map_err(|source| Error::Io {
            action: "making a folder in",
            path: place,
            source,
        })
}

/// Whether make, and a shell that it calls, take `path` as one word.
fn is_plain(path: &Path) -> bool {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/._-+,@".contains(byte) || *byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_leads_to_the_path_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a $(b): 'c'");
        std::fs::create_dir_all(odd.join("below/odd one")).unwrap();
        let aliases = Aliases::default();
        let alias = aliases.name(&odd).unwrap();
        assert!(is_plain(&alias));
        assert_eq!(alias.canonicalize().unwrap(), odd.canonicalize().unwrap());
        assert_eq!(
            aliases.name(&odd.join("below")).unwrap(),
            alias.join("below")
        );
        let second = aliases.name(&odd.join("below/odd one")).unwrap();
        assert!(is_plain(&second));
        let text = format!("-I{}/x -I{}", alias.display(), second.display());
        assert_eq!(
            aliases.real(&text),
            format!("-I{0}/x -I{0}/below/odd one", odd.display())
        );
        drop(aliases);
        assert!(alias.symlink_metadata().is_err());
    }

    #[test]
    fn plain_paths_keep_their_names() {
        let aliases = Aliases::default();
        for path in ["/usr/src", "/home/jörg/net-bsd_10.1/src"] {
            assert_eq!(aliases.name(Path::new(path)).unwrap(), Path::new(path));
        }
    }
}
