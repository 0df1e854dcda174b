//! The environment as cargo would give it to a build: `[env]` of the configuration files
//! (The Cargo Book, "Configuration") over the variables that are set here.
//!
//! That is where `NETBSD_SRC` usually stands, and a doctor that is not started by cargo
//! would miss it.

use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The variables of this project's builder and of what it runs.
const SHOWN: &[&str] = &[
    "NETBSD_SRC",
    "RUMP_PREFIX",
    "RUMP_KERNEL",
    "RUMP_DRIVERS",
    "RUMP_GUEST_KERNEL",
    "BMAKE",
    "CC",
    "AR",
    "LIBCLANG_PATH",
    "RUSTC",
];
/// The largest configuration file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// A variable that is set, for the report.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    pub name: &'static str,
    pub value: String,
    /// The configuration file, if it does not come from the environment.
    pub from: Option<String>,
}

/// What `[env]` adds to the environment, and from where.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    added: BTreeMap<String, (String, PathBuf)>,
    problem: Option<String>,
}

impl Variables {
    /// For a build that is started here.
    pub fn here() -> Self {
        let folder = std::env::current_dir().unwrap_or_default();
        let home = std::env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
        Self::read(&folder, home.as_deref(), |name| {
            std::env::var_os(name).is_some()
        })
    }

    fn read(folder: &Path, home: Option<&Path>, is_set: impl Fn(&str) -> bool) -> Self {
        let mut variables = Self::default();
        let folders = folder.ancestors().map(|folder| folder.join(".cargo"));
        // The nearest file wins; cargo's home comes last, wherever it lies.
        for folder in folders.chain(home.map(Path::to_path_buf)) {
            let names = ["config", "config.toml"];
            let Some(file) = names
                .map(|n| folder.join(n))
                .into_iter()
                .find(|f| f.is_file())
            else {
                continue;
            };
            if let Err(problem) = variables.add(&file, &is_set) {
                let problem = format!("{}: {problem}", file.display());
                variables.problem.get_or_insert(problem);
            }
        }
        variables
    }

    fn add(&mut self, file: &Path, is_set: &impl Fn(&str) -> bool) -> Result<(), String> {
        let size = file.metadata().map_err(|error| error.to_string())?.len();
        if size > LARGEST {
            return Err(format!("it has {size} bytes and was not read"));
        }
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        let table: Table = text
            .parse()
            .map_err(|error: toml::de::Error| error.message().to_string())?;
        let Some(Value::Table(env)) = table.get("env") else {
            return Ok(());
        };
        for (name, entry) in env {
            let flag = |key: &str| entry.get(key).and_then(Value::as_bool).unwrap_or(false);
            let Some(value) = entry.as_str().or_else(|| entry.get("value")?.as_str()) else {
                return Err(format!(
                    "env.{name} is neither a string nor a table with a value"
                ));
            };
            if is_set(name) && !flag("force") || self.added.contains_key(name) {
                continue;
            }
            let value = if flag("relative") {
                let root = file.parent().and_then(Path::parent).unwrap_or(file);
                root.join(value).display().to_string()
            } else {
                value.to_string()
            };
            self.added.insert(name.clone(), (value, file.into()));
        }
        Ok(())
    }

    /// What to add to the environment of everything that is run.
    pub fn added(&self) -> impl Iterator<Item = (&str, &str)> {
        self.added
            .iter()
            .map(|(name, (value, _))| (name.as_str(), value.as_str()))
    }

    /// A variable's value; `None` also if it is empty.
    pub fn get(&self, name: &str) -> Option<String> {
        let added = self.added.get(name).map(|(value, _)| value.clone());
        added
            .or_else(|| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
            .filter(|value| !value.is_empty())
    }

    /// A configuration file that cargo would not take.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Those that decide what is built.
    pub fn shown(&self) -> Vec<Setting> {
        let setting = |name: &&'static str| {
            Some(Setting {
                name,
                value: super::finding::first_line(self.get(name)?.as_bytes()),
                from: self
                    .added
                    .get(*name)
                    .map(|(_, file)| file.display().to_string()),
            })
        };
        SHOWN.iter().filter_map(setting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn write(root: &Path, folder: &str, text: &str) -> PathBuf {
        let folder = root.join(folder);
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("config.toml");
        fs::write(&file, text).unwrap();
        file
    }

    #[test]
    fn configuration_is_read_as_cargo_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(
            root,
            "home",
            "[env]\nHOME_ONLY = 'h'\nNEAR = 'far'\nFORCED = { value = 'f', force = true }\nKEPT = 'k'\n",
        );
        write(root, "a/.cargo", "[env]\nNEAR = 'farther'\n");
        let near = write(
            root,
            "a/b/.cargo",
            "[build]\njobs = 1\n[env]\nNEAR = 'near'\nTREE = { value = '../src', relative = true }\n",
        );
        let folder = root.join("a/b/c");
        let variables = Variables::read(&folder, Some(&root.join("home")), |name| {
            ["FORCED", "KEPT"].contains(&name)
        });
        assert_eq!(variables.problem(), None);
        let added: Vec<_> = variables.added().collect();
        let tree = root.join("a/b/../src").display().to_string();
        assert_eq!(
            added,
            [
                ("FORCED", "f"),
                ("HOME_ONLY", "h"),
                ("NEAR", "near"),
                ("TREE", tree.as_str())
            ]
        );
        assert_eq!(variables.added["NEAR"].1, near);
    }

    #[test]
    fn a_file_that_cargo_would_refuse_is_a_problem() {
        for (text, expected) in [
            ("[env\n", "config.toml: "),
            ("[env]\nX = 1\n", "env.X is neither a string"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), ".cargo", text);
            let variables = Variables::read(dir.path(), None, |_| false);
            let problem = variables.problem().unwrap();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
