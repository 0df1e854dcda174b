//! A machine of scripts: nothing but them is in the path.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Says what the builder asks a compiler, with these definitions.
fn compiler(macros: &str) -> String {
    format!("case \"$*\" in *-dM*) printf '{macros}' ;; *) echo gcc ;; esac")
}

pub const GCC: &str =
    "#define __GNUC__ 12\\n#define __x86_64__ 1\\n#define __VERSION__ \"12.2.0\"\\n";
pub const OLD_CLANG: &str =
    "#define __GNUC__ 4\\n#define __clang_major__ 3\\n#define __x86_64__ 1\\n";

/// A Rust of this release that links everything.
pub fn rustc(release: &str, sysroot: &Path) -> String {
    let sysroot = sysroot.display();
    format!(
        "case \"$*\" in\n\
         *-vV*) printf 'rustc {release}\\nhost: x86_64-unknown-linux-gnu\\nrelease: {release}\\n' ;;\n\
         *sysroot*) echo '{sysroot}' ;;\n\
         esac"
    )
}

/// The machine's folder: `bin` is the path, `home` the user's, `work` where doctor runs.
pub struct Fake {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

impl Fake {
    /// Has all that levels 0 and 1 need, and nothing else.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let fake = Self {
            dir,
            variables: Vec::new(),
        };
        for folder in ["bin", "home", "tmp", "work", "empty"] {
            fs::create_dir(fake.path(folder)).expect("a folder");
        }
        let lld = "sysroot/lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld";
        fs::create_dir_all(fake.path(lld)).expect("a folder");
        fake.write(&format!("{lld}/ld.lld"), "echo LLD 20.1");
        fake.compiler(GCC)
            .script("cargo", "echo cargo 1.90.0")
            .script("ar", "echo GNU ar 2.40")
            .script("ld.bfd", "echo GNU ld 2.40")
            .script("bmake", "echo 20240101")
            .rust("1.90.0")
            .variable("LIBCLANG_PATH", "empty")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    /// A program in the path.
    pub fn script(self, name: &str, text: &str) -> Self {
        self.write(&format!("bin/{name}"), text);
        self
    }

    /// One that hangs without using the processor, and leaves its number in `run`.
    pub fn hanging(self, name: &str) -> Self {
        let text = format!("echo $$ >>'{}'; kill -STOP $$", self.path("run").display());
        self.script(name, &text)
    }

    pub fn compiler(self, macros: &str) -> Self {
        self.script("cc", &compiler(macros))
    }

    pub fn rust(self, release: &str) -> Self {
        let text = rustc(release, &self.path("sysroot"));
        self.script("rustc", &text)
    }

    pub fn without(self, name: &str) -> Self {
        fs::remove_file(self.path("bin").join(name)).expect("a script");
        self
    }

    /// A variable; a value that names something in the machine's folder becomes its path.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        let inside = self.path(value);
        let value = if inside.exists() {
            inside.display().to_string()
        } else {
            value.into()
        };
        self.variables.push((name.into(), value));
        self
    }

    /// `rump doctor` on this machine.
    pub fn doctor(&self, arguments: &[&str]) -> Answer {
        let output = Command::new(env!("CARGO_BIN_EXE_rump"))
            .arg("doctor")
            .args(arguments)
            .current_dir(self.path("work"))
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("rump");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Answer {
            status: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Its JSON.
    pub fn report(&self, arguments: &[&str]) -> Report {
        let answer = self.doctor(&[&["--json"], arguments].concat());
        assert!(answer.err.is_empty(), "{}", answer.err);
        Report {
            value: serde_json::from_str(&answer.out).expect("JSON"),
            status: answer.status,
        }
    }
}

pub struct Answer {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

pub struct Report {
    pub value: Value,
    pub status: Option<i32>,
}

impl Report {
    fn level(&self, level: &str) -> &Value {
        let levels = self.value["levels"].as_array().expect("levels");
        let found = levels.iter().find(|value| value["level"] == level);
        found.unwrap_or_else(|| panic!("no level {level}"))
    }

    pub fn lacks(&self, level: &str) -> Vec<&str> {
        let lacks = self.level(level)["lacks"].as_array().expect("a list");
        lacks
            .iter()
            .map(|name| name.as_str().expect("text"))
            .collect()
    }

    /// Status and detail of a thing in a level.
    pub fn thing(&self, level: &str, name: &str) -> (&str, &str) {
        let things = self.level(level)["things"].as_array().expect("a list");
        let thing = things.iter().find(|thing| thing["name"] == name);
        let thing = thing.unwrap_or_else(|| panic!("no {name} in {level}"));
        let text = |key: &str| thing[key].as_str().expect("text");
        (text("status"), text("detail"))
    }
}
