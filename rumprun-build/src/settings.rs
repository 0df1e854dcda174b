//! Which kernel to link: the choice that the environment makes.
//!
//! The variables usually stand in `[env]` of the user's `.cargo/config.toml`. A
//! setting that is wrong is an error and never a silent fall-back; only when nothing
//! is set and nothing is found does the choice fall to rump-lite, or to [`Choice::None`]
//! in a build without it.

use crate::error::{Error, Result};
use crate::tree::Tree;
use std::path::{Path, PathBuf};

/// The variables that decide; a build script should be run again when one changes.
pub const VARIABLES: &[&str] = &[
    "NETBSD_SRC",
    "RUMP_PREFIX",
    "RUMP_KERNEL",
    DRIVERS,
    "XDG_CACHE_HOME",
    "HOME",
    "DOCS_RS",
];

/// The variable that names drivers of NetBSD's, `wm,nvme`.
pub const DRIVERS: &str = "RUMP_DRIVERS";

/// What is linked.
#[derive(Debug, Clone)]
pub enum Choice {
    /// Components compiled from this tree.
    Tree(Tree),
    /// A rump kernel that upstream's build installed (`lib/` and `include/`).
    Prefix(PathBuf),
    /// rump-lite, the reference kernel.
    Lite {
        /// Nobody asked for this: say how to get NetBSD.
        warning: Option<String>,
    },
    /// The program runs inside an image, whose kernel is already there.
    Image,
    /// No kernel; everything compiles, nothing boots.
    None {
        /// Nobody asked for this: say how to get NetBSD.
        warning: Option<String>,
    },
}

/// Reads the environment through `variable` and decides.
///
/// `in_repository` is the place within this project's own checkout where a user may
/// put a tree; a packaged build script passes `None`. `lite` tells whether rump-lite is in
/// the build to be chosen.
///
/// # Errors
/// [`Error::Setting`], [`Error::NoTree`] and [`Error::Tree`].
pub fn choose(
    variable: impl Fn(&str) -> Option<String>,
    in_repository: Option<&Path>,
    lite: bool,
) -> Result<Choice> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let kernel = set("RUMP_KERNEL");
    let (source, prefix) = (set("NETBSD_SRC"), set("RUMP_PREFIX"));
    match kernel.as_deref() {
        None if set("DOCS_RS").is_some() => Ok(Choice::None { warning: None }),
        None => match (source, prefix) {
            (Some(source), None) => Tree::open(Path::new(&source)).map(Choice::Tree),
            (None, Some(prefix)) => open_prefix(prefix),
            (Some(_), Some(prefix)) => Err(Error::Setting {
                name: "RUMP_PREFIX",
                value: prefix,
                problem: "NETBSD_SRC is set as well; unset one of them, or say which with RUMP_KERNEL=netbsd or RUMP_KERNEL=prefix".into(),
            }),
            (None, None) => {
                let places = places(&set, in_repository);
                match places.iter().find(|(_, path)| path.exists()) {
                    Some((_, path)) => Tree::open(path).map(Choice::Tree),
                    None => {
                        let warning = Some(searched(&places));
                        Ok(if lite { Choice::Lite { warning } } else { Choice::None { warning } })
                    }
                }
            }
        },
        Some("netbsd") => match source {
            Some(source) => Tree::open(Path::new(&source)).map(Choice::Tree),
            None => {
                let places = places(&set, in_repository);
                match places.iter().find(|(_, path)| path.exists()) {
                    Some((_, path)) => Tree::open(path).map(Choice::Tree),
                    None => Err(Error::NoTree { searched: searched(&places) }),
                }
            }
        },
        Some("prefix") => match prefix {
            Some(prefix) => open_prefix(prefix),
            None => Err(Error::Setting {
                name: "RUMP_KERNEL",
                value: "prefix".into(),
                problem: "RUMP_PREFIX is not set; it names the folder with lib/ and include/ of an installed rump kernel".into(),
            }),
        },
        Some("lite") if lite => Ok(Choice::Lite { warning: None }),
        Some("lite") => Err(Error::Setting {
            name: "RUMP_KERNEL",
            value: "lite".into(),
            problem: "rump-lite is not in this build; switch on the feature `lite` of rump".into(),
        }),
        Some("image") => Ok(Choice::Image),
        Some("none") => Ok(Choice::None { warning: None }),
        Some(other) => Err(Error::Setting {
            name: "RUMP_KERNEL",
            value: other.into(),
            problem: "there is no such kernel; choose netbsd, prefix, lite, image or none".into(),
        }),
    }
}

/// The names in a value of [`DRIVERS`], separated by commas or blanks, each once.
///
/// # Errors
/// [`Error::Setting`] for a word that cannot be the name of a driver.
pub fn drivers(value: &str) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    let words = value.split([',', ' ', '\t', '\n']);
    for word in words.filter(|word| !word.is_empty()) {
        let letters = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let problem = if !letters || !word.starts_with(|c: char| c.is_ascii_alphabetic()) {
            format!(
                "`{}` is not the name of a driver; write names as files.* has them, separated by commas: wm,nvme",
                word.escape_debug()
            )
        } else if word.ends_with(|c: char| c.is_ascii_digit()) {
            let driver = word.trim_end_matches(|c: char| c.is_ascii_digit());
            format!("`{word}` names a device; name the driver alone: {driver}")
        } else {
            if !names.iter().any(|known| known == word) {
                names.push(word.into());
            }
            continue;
        };
        return Err(Error::Setting {
            name: DRIVERS,
            value: value.into(),
            problem,
        });
    }
    Ok(names)
}

/// The drivers that the environment names, if the kernel that was chosen can have any.
///
/// # Errors
/// [`Error::Setting`].
pub fn chosen_drivers(
    variable: impl Fn(&str) -> Option<String>,
    choice: &Choice,
) -> Result<Vec<String>> {
    let value = variable(DRIVERS).unwrap_or_default();
    let names = drivers(&value)?;
    let problem = match choice {
        _ if names.is_empty() => return Ok(names),
        Choice::Tree(_) => return Ok(names),
        Choice::Prefix(_) => {
            "drivers are compiled from NetBSD's source, which an installed rump kernel (RUMP_PREFIX) is without; set NETBSD_SRC instead"
        }
        Choice::Lite { .. } => {
            "drivers are NetBSD's, and rump-lite, which was chosen, is not; set NETBSD_SRC to a tree, or unset RUMP_DRIVERS"
        }
        Choice::Image => {
            "the kernel of an image is there already, with the drivers of its own settings; unset RUMP_DRIVERS"
        }
        Choice::None { .. } => {
            "there is no kernel in this build that could have drivers; set NETBSD_SRC to a tree, or unset RUMP_DRIVERS"
        }
    };
    Err(Error::Setting {
        name: DRIVERS,
        value,
        problem: problem.into(),
    })
}

/// The place for a tree within a checkout of this project at `root`, if it is one.
pub fn repository_tree(root: &Path) -> Option<PathBuf> {
    let place = root.join("netbsd-src");
    place.join("kern").is_dir().then(|| place.join("src"))
}

fn open_prefix(prefix: String) -> Result<Choice> {
    let path = PathBuf::from(&prefix);
    for part in ["lib", "include/rump"] {
        if !path.join(part).is_dir() {
            return Err(Error::Setting {
                name: "RUMP_PREFIX",
                value: prefix,
                problem: format!(
                    "it has no {part}/; name the folder that a rump kernel was installed into"
                ),
            });
        }
    }
    Ok(Choice::Prefix(path))
}

/// Where a tree may lie when nothing names one, with a word for each place.
fn places(
    set: &dyn Fn(&str) -> Option<String>,
    in_repository: Option<&Path>,
) -> Vec<(&'static str, PathBuf)> {
    let cache = set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let repository = in_repository.map(|path| ("this repository", path.to_path_buf()));
    let cache = cache.map(|cache| ("the cache folder", cache.join("rump/netbsd-src")));
    repository.into_iter().chain(cache).collect()
}

fn searched(places: &[(&'static str, PathBuf)]) -> String {
    let mut lines = vec!["looked for a NetBSD source tree: NETBSD_SRC (not set)".to_string()];
    lines.extend(
        places
            .iter()
            .map(|(what, path)| format!("{what} ({}, absent)", path.display())),
    );
    lines.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose_with(pairs: &[(&str, &str)], lite: bool) -> Result<Choice> {
        choose(
            |name| {
                pairs
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| value.to_string())
            },
            None,
            lite,
        )
    }

    #[test]
    fn nothing_set_and_nothing_found_is_rump_lite_with_a_word_about_it() {
        for lite in [true, false] {
            let warning = match choose_with(&[("HOME", "/nonexistent")], lite).unwrap() {
                Choice::Lite {
                    warning: Some(warning),
                } if lite => warning,
                Choice::None {
                    warning: Some(warning),
                } if !lite => warning,
                other => panic!("{other:?}"),
            };
            assert!(
                warning.contains("NETBSD_SRC (not set)")
                    && warning.contains("/nonexistent/.cache/rump/netbsd-src")
            );
        }
    }

    #[test]
    fn rump_lite_is_chosen_by_name_where_it_is() {
        let pairs = [("RUMP_KERNEL", "lite"), ("NETBSD_SRC", "/nonexistent")];
        assert!(matches!(
            choose_with(&pairs, true),
            Ok(Choice::Lite { warning: None })
        ));
        let error = choose_with(&pairs, false).unwrap_err().to_string();
        assert!(error.contains("feature `lite`"), "{error}");
    }

    #[test]
    fn a_wrong_setting_is_an_error() {
        for (pairs, expected) in [
            (&[("RUMP_KERNEL", "linux")][..], "choose netbsd"),
            (&[("RUMP_KERNEL", "prefix")], "RUMP_PREFIX is not set"),
            (&[("RUMP_PREFIX", "/nonexistent")], "it has no lib/"),
            (&[("NETBSD_SRC", "/nonexistent")], "no such folder"),
            (
                &[("NETBSD_SRC", "/a"), ("RUMP_PREFIX", "/b")],
                "unset one of them",
            ),
            (
                &[("RUMP_KERNEL", "netbsd"), ("HOME", "/nonexistent")],
                "no NetBSD source tree found",
            ),
        ] {
            let error = choose_with(pairs, true).unwrap_err().to_string();
            assert!(error.contains(expected), "{pairs:?}: {error}");
        }
    }

    #[test]
    fn drivers_are_words() {
        assert_eq!(
            drivers(" wm, nvme\tvirtio,,wm ").unwrap(),
            ["wm", "nvme", "virtio"]
        );
        assert_eq!(drivers("").unwrap(), [""; 0]);
        for (value, problem) in [
            ("wm;nvme", "`wm;nvme` is not the name of a driver"),
            ("wm0", "name the driver alone: wm"),
            ("0wm", "is not the name"),
            ("wm*", "is not the name"),
        ] {
            let error = drivers(value).unwrap_err().to_string();
            assert!(error.contains(problem), "{value}: {error}");
        }
    }

    #[test]
    fn only_a_tree_has_drivers() {
        let none = || Choice::None { warning: None };
        for (choice, problem) in [
            (Choice::Prefix("/p".into()), "set NETBSD_SRC instead"),
            (
                Choice::Lite { warning: None },
                "rump-lite, which was chosen",
            ),
            (Choice::Image, "the kernel of an image"),
            (none(), "no kernel in this build"),
        ] {
            let named = chosen_drivers(|_| Some("wm".into()), &choice);
            let error = named.unwrap_err().to_string();
            assert!(error.starts_with("RUMP_DRIVERS=wm: "), "{error}");
            assert!(error.contains(problem), "{error}");
        }
        assert!(chosen_drivers(|_| None, &none()).unwrap().is_empty());
        assert!(
            chosen_drivers(|_| Some(" ,".into()), &none())
                .unwrap()
                .is_empty()
        );
    }

    proptest::proptest! {
        #[test]
        fn any_value_is_names_or_an_error(value in "([a-z]{1,3}[0-9*]?[, \t]?|é|\n)*") {
            match drivers(&value) {
                Ok(names) => for (index, name) in names.iter().enumerate() {
                    assert!(value.contains(name) && !names[..index].contains(name));
                },
                Err(error) => assert!(error.to_string().starts_with("RUMP_DRIVERS=")),
            }
        }
    }

    #[test]
    fn only_a_checkout_has_a_place_for_a_tree() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(repository_tree(dir.path()), None);
        std::fs::create_dir_all(dir.path().join("netbsd-src/kern")).unwrap();
        let place = dir.path().join("netbsd-src/src");
        assert_eq!(repository_tree(dir.path()), Some(place));
    }

    #[test]
    fn none_and_docs_rs_are_silent() {
        for pairs in [[("RUMP_KERNEL", "none")], [("DOCS_RS", "1")]] {
            assert!(matches!(
                choose_with(&pairs, true),
                Ok(Choice::None { warning: None })
            ));
        }
    }
}
