//! The program, with the kernel in its link.

use super::object::{DIRECT, ENTRY, objcopy};
use super::{TARGET, cargo, run, run_quietly};
use crate::error::{Error, IoContext, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which program of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// `--bin`; the only one there is if no name is given.
    Binary(Option<String>),
    /// `--example`.
    Example(String),
}

/// What is compiled, in cargo's own terms.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// `--manifest-path`.
    pub manifest: Option<PathBuf>,
    /// `--package`.
    pub package: Option<String>,
    /// Which of its programs.
    pub name: Name,
    /// `--features`.
    pub features: Vec<String>,
    /// `--no-default-features`.
    pub without_defaults: bool,
    /// `--profile`; `release` is usual.
    pub profile: String,
    /// Where in memory the image begins, in bytes, if not where the linker has it: below is room
    /// for a program that must lie there.
    pub base: Option<u64>,
    /// Where everything is kept.
    pub folder: PathBuf,
}

impl Recipe {
    /// Tells cargo which package it is, and its features.
    pub(super) fn choose(&self, command: &mut Command) {
        if let Some(manifest) = &self.manifest {
            command.arg("--manifest-path").arg(manifest);
        }
        if let Some(package) = &self.package {
            command.args(["--package", package]);
        }
        if !self.features.is_empty() {
            command.arg("--features").arg(self.features.join(","));
        }
        if self.without_defaults {
            command.arg("--no-default-features");
        }
    }

    /// Builds the program with this object in its link and returns the image.
    ///
    /// # Errors
    /// [`Error::Command`]; [`Error::Image`] if cargo made no program.
    pub fn make(&self, object: &Path) -> Result<PathBuf> {
        let mut command = cargo();
        command
            .args([
                "rustc",
                "--target",
                TARGET,
                "--message-format=json-render-diagnostics",
            ])
            .arg("--target-dir")
            .arg(self.folder.join("program"))
            .args(["--profile", &self.profile]);
        self.choose(&mut command);
        match &self.name {
            Name::Binary(Some(name)) => command.args(["--bin", name]),
            Name::Binary(None) => &mut command,
            Name::Example(name) => command.args(["--example", name]),
        };
        command
            // A program that has the crate `rump` in it finds the image's kernel.
            .env("RUMP_KERNEL", "image")
            .env_remove("NETBSD_SRC")
            .env_remove("RUMP_PREFIX")
            .env_remove("RUMP_DRIVERS")
            .env_remove("CARGO_BUILD_TARGET")
            .args([
                "--",
                "-Crelocation-model=static",
                "-Ctarget-feature=+crt-static",
            ])
            .arg(format!("-Clink-arg={}", object.display()))
            .arg(format!("-Clink-arg=-Wl,-e,{ENTRY}"))
            .args(DIRECT.map(|name| format!("-Clink-arg=-Wl,--wrap={name}")));
        if let Some(base) = self.base {
            command.arg(format!("-Clink-arg=-Wl,--image-base={base:#x}"));
        }
        let messages = run("compile the program", &mut command)?;
        let program = executable(&String::from_utf8_lossy(&messages)).ok_or_else(|| {
            Error::Image("cargo made no program; name one with --bin or --example".into())
        })?;
        let name = program
            .file_name()
            .ok_or_else(|| Error::Image("a program without a name".into()))?;
        let image = self.folder.join(name);
        let symbols = symbols(&image);
        std::fs::copy(&program, &symbols).context("writing", &symbols)?;
        // A debugger reads the one, the machine the other.
        let mut strip = objcopy();
        strip.arg("--strip-all").arg(&symbols).arg(&image);
        run_quietly("leave the image's symbols out", &mut strip)?;
        Ok(image)
    }
}

/// The file with an image's symbols, for debuggers and `addr2line(1)`: the same program, at the
/// same addresses.
pub fn symbols(image: &Path) -> PathBuf {
    let mut name = image.as_os_str().to_os_string();
    name.push(".symbols");
    name.into()
}

/// The program that cargo's messages tell of last (The Cargo Book, "External tools").
fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .next_back()
}

/// The folder that cargo builds into, for a package.
///
/// # Errors
/// [`Error::Command`] with cargo's words.
pub fn target_folder(manifest: Option<&Path>) -> Result<PathBuf> {
    let mut command = metadata();
    if let Some(manifest) = manifest {
        command.arg("--manifest-path").arg(manifest);
    }
    target_of(&run("find the package", &mut command)?)
}

/// The same, for the package that the current folder is in; `None` if it is in none.
pub fn target_folder_here() -> Option<PathBuf> {
    let text = run_quietly("find the package", &mut metadata()).ok()?;
    target_of(&text).ok()
}

fn metadata() -> Command {
    let mut command = cargo();
    command.args(["metadata", "--format-version", "1", "--no-deps"]);
    command
}

fn target_of(text: &[u8]) -> Result<PathBuf> {
    let metadata: serde_json::Value = serde_json::from_slice(text)
        .map_err(|error| Error::Image(format!("cargo metadata: {error}")))?;
    let folder = metadata
        .get("target_directory")
        .and_then(|folder| folder.as_str());
    folder
        .map(PathBuf::from)
        .ok_or_else(|| Error::Image("cargo metadata names no target folder".into()))
}

#[cfg(test)]
mod tests {
    use super::executable;

    #[test]
    fn the_last_program_is_the_one() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
not json
{"reason":"compiler-artifact","executable":"/t/build-script"}
{"reason":"compiler-artifact","executable":"/t/app"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some("/t/app".into()));
        assert_eq!(executable("{}\n[]\n1"), None);
    }
}
