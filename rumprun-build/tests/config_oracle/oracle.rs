//! Builds the tree's own config(1) and runs it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The library that config(1) expects, in terms of what is here.
const COMPAT: &str = include_str!("compat.h");

/// Headers that the sources name and [`COMPAT`] stands for.
const EMPTY_HEADERS: &[&str] = &["nbtool_config.h", "util.h", "vis.h", "crc_extern.h"];

/// A config(1) that was built for the test.
pub struct Oracle {
    program: PathBuf,
}

/// What config(1) wrote.
pub struct Tables {
    pub ioconf_c: String,
    pub ioconf_h: String,
    pub locators_h: String,
    /// The file that each complaint is about.
    pub complaints: Vec<PathBuf>,
}

fn run(command: &mut Command) -> Result<Output, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let first = message
        .lines()
        .find(|line| line.contains("error"))
        .unwrap_or(message.trim());
    Err(format!("{name} failed ({}): {first}", output.status))
}

impl Oracle {
    /// Builds it in `folder`.
    ///
    /// # Errors
    /// A reason why there is no config(1) to compare with: a missing program, a tree
    /// without its source, or a source that does not compile here.
    pub fn build(tree: &Path, folder: &Path) -> Result<Self, String> {
        let source = tree.join("usr.bin/config");
        if !source.join("gram.y").exists() {
            return Err("the tree has no usr.bin/config".into());
        }
        let write = |name: &str, text: &str| {
            fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))
        };
        write("compat.h", COMPAT)?;
        for header in EMPTY_HEADERS {
            write(header, "")?;
        }
        let here = |program: &str| {
            let mut command = Command::new(program);
            command.current_dir(folder).env("LC_ALL", "C");
            command
        };
        run(here("flex")
            .arg("-o")
            .arg("scan.c")
            .arg(source.join("scan.l")))?;
        let grammar = source.join("gram.y");
        run(here("byacc").args(["-d", "-o", "gram.c"]).arg(&grammar)).or_else(|_| {
            run(here("bison")
                .args(["-y", "-d", "-o", "gram.c"])
                .arg(&grammar))
        })?;

        let program = folder.join("config");
        let mut compiler = here("cc");
        compiler.args([
            "-w",
            "-fcommon",
            "-DMAKE_BOOTSTRAP",
            "-include",
            "compat.h",
            "-I.",
        ]);
        compiler
            .arg("-I")
            .arg(&source)
            .arg("-o")
            .arg(&program)
            .args(["scan.c", "gram.c"]);
        let entries = fs::read_dir(&source).map_err(|error| format!("usr.bin/config: {error}"))?;
        for entry in entries {
            let path = entry
                .map_err(|error| format!("usr.bin/config: {error}"))?
                .path();
            if path.extension() == Some(OsStr::new("c")) {
                compiler.arg(path);
            }
        }
        run(&mut compiler)?;
        Ok(Self { program })
    }

    /// Runs it on a component's description.
    pub fn generate(&self, sys: &Path, ioconf: &Path) -> Result<Tables, String> {
        let out = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.program);
        let output = run(command
            .arg("-b")
            .arg(out.path())
            .arg("-s")
            .arg(sys)
            .arg(ioconf))?;
        let read = |name: &str| {
            fs::read_to_string(out.path().join(name)).map_err(|error| format!("{name}: {error}"))
        };
        let complaints = String::from_utf8_lossy(&output.stderr)
            .lines()
            // A second line that only explains the one before.
            .filter(|line| !line.ends_with("here is the original definition"))
            .filter_map(|line| line.split_once(':').map(|(file, _)| file.into()))
            .collect();
        Ok(Tables {
            ioconf_c: read("ioconf.c")?,
            ioconf_h: read("ioconf.h")?,
            locators_h: read("locators.h")?,
            complaints,
        })
    }
}
