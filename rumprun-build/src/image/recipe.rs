//! An image as a whole: the kernel that fits a program, and the program with it.

use super::object::{self, Source};
use super::{TARGET, cargo, program, run};
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// How an image is made.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Where the kernel's crates are from.
    pub source: Source,
    /// The value of `RUMP_KERNEL` for it, if it is not the environment's.
    pub kernel: Option<String>,
    /// NetBSD's drivers in it, where the environment has no `RUMP_DRIVERS`.
    pub drivers: Vec<String>,
    /// Components in it beside those that the program's crates ask for, by the features of
    /// `rump-sys`.
    pub components: Vec<String>,
    /// Its program.
    pub program: program::Recipe,
}

impl Recipe {
    /// Makes the kernel, with the components that the program's crates ask for, and the program
    /// with it, and returns the image.
    ///
    /// # Errors
    /// Those of [`object::Recipe::make`] and [`program::Recipe::make`]; [`Error::Image`] if the
    /// program has another version of the crate `rump-sys`, which calls the kernel.
    pub fn make(&self) -> Result<PathBuf> {
        let mut features = self.components()?;
        features.extend(self.components.iter().cloned());
        // One folder for each choice: cargo compiles little anew then.
        let name = features
            .iter()
            .chain(&self.drivers)
            .fold(String::from("kernel"), |name, feature| {
                format!("{name}-{feature}")
            });
        let object = object::Recipe {
            source: self.source.clone(),
            folder: self.program.folder.join(name),
            features,
            kernel: self.kernel.clone(),
            drivers: self.drivers.clone(),
        };
        self.program.make(&object.make()?)
    }

    /// The features of `rump-sys` that name components, in this program; none if it does not
    /// have that crate.
    fn components(&self) -> Result<BTreeSet<String>> {
        let mut command = cargo();
        command
            .args(["tree", "--quiet", "--target", TARGET, "--prefix", "none"])
            .args(["--format", "{p} {f}"]);
        let examples = matches!(self.program.name, program::Name::Example(_));
        command.args(["--edges", if examples { "normal,dev" } else { "normal" }]);
        self.program.choose(&mut command);
        let text = run("find what the program needs of the kernel", &mut command)?;
        components(&String::from_utf8_lossy(&text), env!("CARGO_PKG_VERSION"))
    }
}

/// Features that are no components, or are there always.
const OTHERS: [&str; 5] = ["default", "image", "lite", "net", "std"];

/// What cargo's tree says of `rump-sys`, as in `rump-sys v0.1.0 (/folder) default,net`.
fn components(tree: &str, version: &str) -> Result<BTreeSet<String>> {
    let mut components = BTreeSet::new();
    for line in tree.lines() {
        let Some(rest) = line.strip_prefix("rump-sys v") else {
            continue;
        };
        let rest = rest.strip_suffix(" (*)").unwrap_or(rest);
        let found = rest.split(' ').next().unwrap_or_default();
        if found != version {
            return Err(Error::Image(format!(
                "the program has rump {found}, and this is cargo rumprun {version}, whose kernel does not fit: cargo install rumprun-build --features cargo --version {found}"
            )));
        }
        let features = rest.rsplit(' ').next().unwrap_or_default();
        let named = features
            .split(',')
            .filter(|name| !name.is_empty() && !OTHERS.contains(name));
        // Neither the version nor the folder, where there are no features.
        let named = named.filter(|name| name.bytes().all(|b| b.is_ascii_lowercase()));
        components.extend(named.map(String::from));
    }
    Ok(components)
}

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn components_are_what_cargo_says() {
        let tree = "app v1.0.0 (/app) fs,extra\n\
                    rump v0.1.0 (/here/rump) default,fs\n\
                    rump-sys v0.1.0 (/here/rump-sys) default,dev,fs,lite,net,std,vfs\n\
                    rump-sys v0.1.0 (/here/rump-sys) default,dev,fs,lite,net,std,vfs (*)\n";
        let found = components(tree, "0.1.0").unwrap();
        assert_eq!(Vec::from_iter(found), ["dev", "fs", "vfs"]);
        for none in [
            "",
            "app v1.0.0 fs\n",
            "rump-sys v0.1.0 \n",
            "rump-sys v0.1.0",
        ] {
            assert!(components(none, "0.1.0").unwrap().is_empty(), "{none}");
        }
        let error = components(tree, "0.2.0").unwrap_err().to_string();
        assert!(error.contains("rump 0.1.0"), "{error}");
    }
}
