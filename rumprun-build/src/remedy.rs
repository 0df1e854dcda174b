//! What to do about a source that does not compile as it stands.
//!
//! Trees carry mistakes that NetBSD's own build never meets, because it builds with
//! another compiler or does not build that component. A remedy is chosen by what the
//! compiler says, never by the name of a file, and is applied to a copy or as a flag:
//! the user's tree is not touched.
//!
//! - A line that the preprocessor rejects as no directive (a shell-style comment left
//!   in a C file) is blanked in a copy of the source.
//! - A function that is not declared, whose name with a `u` or `ui` in front the tree
//!   does declare (the kernel's `min` became `uimin`), gets a macro of the old name.

use crate::compile::Unit;
use crate::error::{IoContext, Result};
use crate::tree::Tree;
use std::path::{Path, PathBuf};

/// A change to how one source is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Compile this copy instead; `line`s were blanked in it.
    Copy {
        path: PathBuf,
        beside: PathBuf,
        lines: Vec<usize>,
    },
    /// Define a macro.
    Define(String),
}

impl Remedy {
    /// The source to compile instead, if there is one.
    pub(crate) fn source(&self) -> Option<&PathBuf> {
        match self {
            Remedy::Copy { path, .. } => Some(path),
            Remedy::Define(_) => None,
        }
    }

    /// Flags to add.
    pub(crate) fn flags(&self) -> Vec<String> {
        match self {
            // Includes in quotes are still looked for beside the original.
            Remedy::Copy { beside, .. } => vec!["-iquote".into(), beside.display().to_string()],
            Remedy::Define(definition) => vec![format!("-D{definition}")],
        }
    }
}

/// Finds a remedy for `message`, one that is not among those already `tried`.
pub(crate) fn find(
    unit: &Unit,
    message: &str,
    tree: Option<&Tree>,
    tried: &[Remedy],
) -> Result<Option<Remedy>> {
    let lines = bad_directives(message, &unit.source);
    if !lines.is_empty() && !tried.iter().any(|remedy| remedy.source().is_some()) {
        return copy_without(unit, lines).map(Some);
    }
    let renamed = undeclared(message)
        .into_iter()
        .filter_map(|name| {
            Some(Remedy::Define(format!(
                "{name}={}",
                successor(tree?, &name)?
            )))
        })
        .find(|remedy| !tried.contains(remedy));
    Ok(renamed)
}

/// Line numbers in `source` where the preprocessor met a `#` followed by no directive.
fn bad_directives(message: &str, source: &Path) -> Vec<usize> {
    let start = format!("{}:", source.display());
    message
        .lines()
        .filter(|line| line.contains("invalid preprocessing directive"))
        .filter_map(|line| line.strip_prefix(&start)?.split(':').next()?.parse().ok())
        .collect()
}

fn copy_without(unit: &Unit, lines: Vec<usize>) -> Result<Remedy> {
    let text = std::fs::read(&unit.source).context("reading", &unit.source)?;
    let mut copy = Vec::with_capacity(text.len() + 256);
    // Keeps messages, __FILE__ and debug information true to the original.
    let shown = unit.source.display().to_string();
    let shown = shown.replace('\\', r"\\").replace('"', "\\\"");
    copy.extend_from_slice(format!("#line 1 \"{shown}\"\n").as_bytes());
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        copy.extend_from_slice(if lines.contains(&(index + 1)) {
            b"\n"
        } else {
            line
        });
    }
    let name = unit
        .source
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let path = unit.object.with_file_name(format!("overlay-{name}"));
    std::fs::write(&path, copy).context("writing", &path)?;
    // As old as what it was made from, so that it does not look like a change.
    let date = unit
        .source
        .metadata()
        .and_then(|meta| meta.modified())
        .context("dating", &unit.source)?;
    let file = std::fs::File::options()
        .write(true)
        .open(&path)
        .context("opening", &path)?;
    file.set_modified(date).context("dating", &path)?;
    let beside = unit.source.parent().unwrap_or(Path::new(".")).to_path_buf();
    Ok(Remedy::Copy {
        path,
        beside,
        lines,
    })
}

/// Functions that the compiler found used but not declared.
fn undeclared(message: &str) -> Vec<String> {
    message
        .lines()
        .filter(|line| {
            line.contains("mplicit declaration of function")
                || line.contains("call to undeclared function")
        })
        .filter_map(|line| {
            let rest = line.split_once("function")?.1;
            let name = rest.trim_start().trim_start_matches(['\'', '‘', '`']);
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
            Some(name[..end].to_string())
        })
        .collect()
}

/// The name under which the tree's kernel library now declares `name`.
fn successor(tree: &Tree, name: &str) -> Option<String> {
    let header = std::fs::read_to_string(tree.sys().join("lib/libkern/libkern.h")).ok()?;
    let declares = |candidate: &str| {
        header.match_indices(candidate).any(|(at, _)| {
            let before = header[..at].chars().next_back();
            let after = header[at + candidate.len()..].trim_start().chars().next();
            before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_') && after == Some('(')
        })
    };
    ["u", "ui"]
        .iter()
        .map(|prefix| format!("{prefix}{name}"))
        .find(|candidate| declares(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_both_compilers_are_understood() {
        let gcc = "/t/a.c:7:3: error: invalid preprocessing directive #hello\n/t/b.h:9:3: error: invalid preprocessing directive #x\n";
        assert_eq!(bad_directives(gcc, Path::new("/t/a.c")), [7]);
        for text in [
            "a.c:3:5: error: implicit declaration of function ‘min’; did you mean ‘main’? [-Werror=x]",
            "a.c:3:5: error: implicit declaration of function 'min' is invalid in C99",
            "a.c:3:5: error: call to undeclared function 'min'; ISO C99 and later",
        ] {
            assert_eq!(undeclared(text), ["min"], "{text}");
        }
    }
}
