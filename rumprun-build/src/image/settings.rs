//! What a package says of its images: `[package.metadata.rumprun]` in its manifest.
//!
//! ```toml
//! [package.metadata.rumprun]
//! smp = 2                         # CPUs of the machine
//! mem = 256                       # its memory, in MiB
//! net = "user"                    # or "none", or "tap=NAME"
//! card = "e1000e"                 # its network card, in QEMU's words
//! address = "10.0.2.15/24,10.0.2.2"
//! publish = ["8080:80"]           # ports of the host that lead to one of the machine
//! args = ["serve"]                # what the program is given, unless the command line says
//! env = { RUST_LOG = "info" }
//! root = "root"                   # root of its file system: a folder, or a file with ext2 or ffs
//! disks = ["disk.img"]            # files that are disks of the machine
//! drivers = ["wm", "nvme"]        # NetBSD's drivers, unless RUMP_DRIVERS is set
//! features = ["tls"]              # of the package
//! set = { hostname = "here" }     # settings of the kernel, as of `--set`
//! ```
//!
//! Paths are relative to the package. What the command line says goes before.

use super::program::Name;
use super::{cargo, run};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The most CPUs that an image uses.
const MOST_CPUS: u32 = 64;

/// Settings of the kernel that an image takes, by name.
pub const OF_KERNEL: [&str; 4] = ["hostname", "interface", "memlimit", "verbose"];

/// What stands there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// CPUs of the machine.
    pub smp: Option<u32>,
    /// Its memory, in MiB.
    pub mem: Option<u32>,
    /// What its network card is connected to.
    pub net: Option<String>,
    /// Its network card.
    pub card: Option<String>,
    /// Addresses of its interface.
    pub address: Option<String>,
    /// Ports of the host that lead to one of the machine.
    pub publish: Vec<String>,
    /// Arguments of the program.
    pub args: Vec<String>,
    /// Variables of its environment.
    pub env: BTreeMap<String, String>,
    /// The root of its file system: a folder, or a file that is a disk.
    pub root: Option<PathBuf>,
    /// Disks of the machine.
    pub disks: Vec<PathBuf>,
    /// NetBSD's drivers in the kernel.
    pub drivers: Vec<String>,
    /// Features of the package.
    pub features: Vec<String>,
    /// Settings of the kernel.
    pub set: BTreeMap<String, String>,
}

/// Which program is asked about, as the command line has it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `--manifest-path`.
    pub manifest: Option<&'a Path>,
    /// `--package`.
    pub package: Option<&'a str>,
    /// `--bin` or `--example`.
    pub name: &'a Name,
}

/// What cargo tells of a workspace (`cargo metadata`), as far as it matters here.
#[derive(Deserialize)]
struct Workspace {
    packages: Vec<Package>,
    #[serde(default)]
    workspace_default_members: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
    metadata: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Settings {
    /// Reads those of a program's package; nothing is set if there are none.
    ///
    /// # Errors
    /// [`Error::Command`] with cargo's words; [`Error::Image`] for a setting that does not
    /// exist or cannot be so.
    pub fn read(asked: Asked<'_>) -> Result<Self> {
        let mut command = cargo();
        command.args(["metadata", "--format-version", "1", "--no-deps"]);
        if let Some(manifest) = asked.manifest {
            command.arg("--manifest-path").arg(manifest);
        }
        let text = run("read the package's settings", &mut command)?;
        let workspace = serde_json::from_slice(&text)
            .map_err(|error| Error::Image(format!("cargo metadata: {error}")))?;
        of_workspace(workspace, asked)
    }

    /// Checks what can be, and makes paths of those that are relative to the package.
    fn check(mut self, package: &Path) -> Result<Self, String> {
        if let Some(smp) = self.smp
            && !(1..=MOST_CPUS).contains(&smp)
        {
            return Err(format!("smp = {smp}: between 1 and {MOST_CPUS} CPUs"));
        }
        if self.mem == Some(0) {
            return Err("mem = 0: so many MiB, more than none".into());
        }
        for name in self.set.keys() {
            if !OF_KERNEL.contains(&name.as_str()) {
                let known = OF_KERNEL.join(", ");
                return Err(format!("set.{name}: there is no such setting, but {known}"));
            }
        }
        if let Some(name) = self.env.keys().find(|name| name.contains('=')) {
            return Err(format!("env.{name}: a name has no ="));
        }
        crate::settings::drivers(&self.drivers.join(",")).map_err(|error| error.to_string())?;
        self.root = self.root.map(|path| package.join(path));
        for path in &mut self.disks {
            *path = package.join(&*path);
        }
        if let Some(root) = self.root.as_ref().filter(|root| !root.exists()) {
            return Err(format!("root: {} is not there", root.display()));
        }
        Ok(self)
    }
}

fn of_workspace(workspace: Workspace, asked: Asked<'_>) -> Result<Settings> {
    let has = |package: &Package| {
        let (kind, name) = match asked.name {
            Name::Example(name) => ("example", Some(name)),
            Name::Binary(name) => ("bin", name.as_ref()),
        };
        let mut targets = package.targets.iter();
        targets.any(|target| {
            target.kind.iter().any(|other| other == kind)
                && name.is_none_or(|name| *name == target.name)
        })
    };
    let members = &workspace.workspace_default_members;
    let chosen = |package: &Package| match asked.package {
        Some(name) => package.name == name,
        None => members.is_empty() || members.contains(&package.id),
    };
    let mut found = workspace
        .packages
        .iter()
        .filter(|package| chosen(package) && has(package))
        .filter_map(|package| Some((package, package.metadata.as_ref()?.get("rumprun")?)));
    let Some((package, settings)) = found.next() else {
        return Ok(Settings::default());
    };
    if let Some((other, _)) = found.next() {
        return Err(Error::Image(format!(
            "{} and {} both have settings for images: say which with --package",
            package.name, other.name
        )));
    }
    let folder = package.manifest_path.parent().unwrap_or(Path::new("."));
    Settings::deserialize(settings)
        .map_err(|error| error.to_string())
        .and_then(|settings| settings.check(folder))
        .map_err(|problem| {
            let path = package.manifest_path.display();
            Error::Image(format!("[package.metadata.rumprun] in {path}: {problem}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(settings: serde_json::Value) -> Result<Settings, String> {
        let package = |name: &str, metadata| {
            json!({
                "id": name, "name": name, "manifest_path": format!("/at/{name}/Cargo.toml"),
                "targets": [{"name": name, "kind": ["bin"]}], "metadata": metadata,
            })
        };
        let workspace = json!({
            "packages": [package("app", json!({"rumprun": settings})), package("other", json!(null))],
            "workspace_default_members": ["app", "other"],
        });
        let name = Name::Binary(None);
        let asked = Asked {
            manifest: None,
            package: None,
            name: &name,
        };
        let workspace = serde_json::from_value(workspace).unwrap();
        of_workspace(workspace, asked).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_read() {
        let settings = read(json!({
            "smp": 2, "mem": 64, "args": ["a", "b c"], "env": {"A": "1"}, "disks": ["d.img", "/d"],
            "drivers": ["wm"], "set": {"hostname": "here"},
        }))
        .unwrap();
        assert_eq!((settings.smp, settings.mem), (Some(2), Some(64)));
        assert_eq!(settings.args, ["a", "b c"]);
        assert_eq!(
            settings.disks,
            [PathBuf::from("/at/app/d.img"), "/d".into()]
        );
        assert_eq!(read(json!({})), Ok(Settings::default()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (settings, says) in [
            (json!({"smpp": 2}), "unknown field `smpp`"),
            (json!({"smp": 0}), "smp = 0: between 1 and 64"),
            (json!({"smp": "two"}), "invalid type"),
            (json!({"mem": 0}), "mem = 0"),
            (json!({"env": {"A": 1}}), "invalid type"),
            (json!({"env": {"A=B": "1"}}), "env.A=B"),
            (
                json!({"set": {"colour": "red"}}),
                "set.colour: there is no such setting",
            ),
            (json!({"drivers": ["wm0"]}), "name the driver alone: wm"),
            (
                json!({"root": "/nonexistent"}),
                "root: /nonexistent is not there",
            ),
            (json!(7), "invalid type"),
        ] {
            let error = read(settings).unwrap_err();
            assert!(
                error.starts_with("[package.metadata.rumprun] in /at/app/Cargo.toml: "),
                "{error}"
            );
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}
