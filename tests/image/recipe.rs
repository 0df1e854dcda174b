//! How an image of a program is made with the kernel of this build: for the tests and the
//! benchmarks of images.

use rump_sys::kernel::{KIND, Kind};
use rumprun_build::image::Recipe;
use rumprun_build::image::object::Source;
use rumprun_build::image::program::{self, Name};
use std::path::{Path, PathBuf};
use std::process::Command;

/// That of a package's program, with these features of the package; everything is made in a
/// folder.
pub fn of(name: &str, manifest: PathBuf, features: &[&str], folder: &Path) -> Recipe {
    Recipe {
        source: Source::Checkout(env!("CARGO_MANIFEST_DIR").into()),
        // As this build chose it.
        kernel: (KIND == Kind::Lite).then(|| "lite".into()),
        drivers: Vec::new(),
        components: Vec::new(),
        program: program::Recipe {
            manifest: Some(manifest),
            package: None,
            name: Name::Binary(Some(name.into())),
            features: features.iter().map(|name| name.to_string()).collect(),
            without_defaults: false,
            profile: "release".into(),
            base: None,
            folder: folder.into(),
        },
    }
}

/// A program and the libraries that its loader says it wants, below a folder.
pub fn with_libraries(program: &str, folder: &Path) -> std::io::Result<()> {
    let said = Command::new("ldd").arg(program).output()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let libraries = said.split_whitespace().filter(|word| word.starts_with('/'));
    for path in libraries.chain([program]) {
        let to = folder.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().unwrap_or(folder))?;
        std::fs::copy(path, to)?;
    }
    Ok(())
}
