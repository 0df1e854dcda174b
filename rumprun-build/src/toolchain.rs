//! The host's C compiler, found the way the `cc` crate finds it.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest compilers that the kernel's C is known to need (`-fno-delete-null-pointer-checks`
/// with atomics as builtins and `_Static_assert` in C99 mode).
const OLDEST_GCC: u32 = 8;
const OLDEST_CLANG: u32 = 9;

/// A C compiler that was found fit.
#[derive(Debug, Clone)]
pub struct Toolchain {
    tool: cc::Tool,
    version: String,
    identity: String,
}

impl Toolchain {
    /// Finds the compiler (`CC`, `TARGET_CC` and so on, as `cc` reads them) and checks
    /// its family, version and target.
    ///
    /// # Errors
    /// [`Error::Compiler`].
    pub fn find(target: &str, host: &str, scratch: &Path) -> Result<Self> {
        let mut build = cc::Build::new();
        build
            .target(target)
            .host(host)
            .opt_level(2)
            .out_dir(scratch)
            .cargo_metadata(false)
            .warnings(false);
        let fail = |compiler: String, problem: String| Err(Error::Compiler { compiler, problem });
        if !target.starts_with("x86_64-") || !target.contains("linux") {
            return fail(target.into(), "rump kernels are built for x86_64 Linux targets only; set RUMP_KERNEL=none to compile without a kernel".into());
        }
        let tool = match build.try_get_compiler() {
            Ok(tool) => tool,
            Err(error) => {
                return fail(
                    "cc".into(),
                    format!(
                        "{error}. Install one (Debian `apt install gcc`, Fedora `dnf install gcc`) or set CC."
                    ),
                );
            }
        };
        let name = tool.path().display().to_string();
        let macros = Command::new(tool.path())
            .args(["-dM", "-E", "-x", "c", "/dev/null"])
            .output();
        let macros = match macros {
            Ok(output) if output.status.success() => {
                String::from_utf8_lossy(&output.stdout).into_owned()
            }
            Ok(output) => return fail(name, String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => {
                return fail(
                    name,
                    format!("could not be started ({error}). Install gcc, or set CC."),
                );
            }
        };
        if let Err(problem) = check(&macros) {
            return fail(name, problem);
        }
        let version = define(&macros, "__VERSION__").unwrap_or_default();
        Ok(Self {
            identity: format!("{name} {version}"),
            version: version.trim_matches('"').into(),
            tool,
        })
    }

    /// A command that compiles for the target, with no flags yet.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.tool.path());
        for (name, value) in self.tool.get_envs() {
            command.env(name, value);
        }
        command
    }

    /// The compiler.
    pub fn path(&self) -> &Path {
        self.tool.path()
    }

    /// Its version in its own words (`__VERSION__`).
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Path and version in one line; part of what decides whether an object is current.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The folder of the compiler's own headers, for tools that parse C themselves.
    pub fn headers(&self) -> Option<PathBuf> {
        let output = self
            .command()
            .arg("-print-file-name=include")
            .output()
            .ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    }
}

fn define<'a>(macros: &'a str, name: &str) -> Option<&'a str> {
    macros.lines().find_map(|line| {
        line.strip_prefix("#define ")?
            .strip_prefix(name)?
            .strip_prefix(' ')
    })
}

fn check(macros: &str) -> Result<(), String> {
    let number = |name| define(macros, name).and_then(|value| value.parse::<u32>().ok());
    let too_old = |family, found, oldest| {
        Err(format!(
            "it is {family} {found}; {family} {oldest} or newer is needed. Install a newer one and set CC."
        ))
    };
    match (number("__clang_major__"), number("__GNUC__")) {
        (Some(clang), _) if clang < OLDEST_CLANG => too_old("clang", clang, OLDEST_CLANG),
        (None, Some(gcc)) if gcc < OLDEST_GCC => too_old("gcc", gcc, OLDEST_GCC),
        (None, None) => Err("it is neither gcc nor clang. Install gcc, or set CC.".into()),
        _ if define(macros, "__x86_64__").is_none() => {
            Err("it does not compile for x86_64. Set CC to a compiler that does.".into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_foreign_compilers_are_refused() {
        assert!(check("#define __GNUC__ 12\n#define __x86_64__ 1\n").is_ok());
        assert!(
            check("#define __GNUC__ 4\n#define __clang_major__ 14\n#define __x86_64__ 1\n").is_ok()
        );
        for (macros, expected) in [
            (
                "#define __GNUC__ 4\n#define __x86_64__ 1\n",
                "gcc 8 or newer",
            ),
            (
                "#define __GNUC__ 4\n#define __clang_major__ 3\n",
                "clang 9 or newer",
            ),
            (
                "#define __GNUC__ 12\n#define __aarch64__ 1\n",
                "does not compile for x86_64",
            ),
            ("#define __TINYC__ 1\n", "neither gcc nor clang"),
        ] {
            assert!(check(macros).unwrap_err().contains(expected), "{macros}");
        }
    }
}
