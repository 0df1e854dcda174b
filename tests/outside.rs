//! "Add it as a Cargo dependency": the crates are packaged, and a project outside of
//! the workspace (application, library between, plug-in) is built from the packages
//! with both linkers, as a binary, a test and a shared library. What comes out must
//! hold a complete kernel; in a build without one it must say so clearly.

use libtest_mimic::{Failed, Trial};
use rump_sys::kernel::{KIND, Kind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The crates that a user's build needs.
const FAMILY: [&str; 8] = [
    "netbsd-src",
    "rumprun-build",
    "rump-abi",
    "rump-ring",
    "rump-hyper",
    "rump-lite",
    "rump-sys",
    "rump",
];
/// The linkers of Debian and of rustc, as flags.
const LINKERS: [(&str, &str); 2] = [("gnu_ld", "-Clink-arg=-fuse-ld=bfd"), ("rust_lld", "")];

fn main() {
    let mut trials = Vec::new();
    for (linker, flags) in LINKERS {
        trials.push(Trial::test(
            format!("outside::binary::{linker}"),
            move || binary(flags),
        ));
        trials.push(Trial::test(format!("outside::test::{linker}"), move || {
            test(flags)
        }));
        trials.push(Trial::test(
            format!("outside::cdylib::{linker}"),
            move || cdylib(flags),
        ));
    }
    // They share one target folder, which cargo locks anyway.
    let mut arguments = libtest_mimic::Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit();
}

fn binary(flags: &str) -> Result<(), Failed> {
    let output = run(cargo(flags)?.args(["run", "--quiet", "--package", "app"]))?;
    check(&output)
}

fn test(flags: &str) -> Result<(), Failed> {
    let output = run(cargo(flags)?.args([
        "test",
        "--package",
        "app",
        "--test",
        "linked",
        "--",
        "--nocapture",
    ]))?;
    check(&output)
}

fn cdylib(flags: &str) -> Result<(), Failed> {
    run(cargo(flags)?.args(["build", "--package", "plugin"]))?;
    let loader = work().join("load");
    run(Command::new("cc")
        .arg("-o")
        .arg(&loader)
        .arg(project()?.join("load.c"))
        .arg("-ldl"))?;
    let output = run(Command::new(&loader).arg(work().join("target/debug/libplugin.so")))?;
    check(&output)
}

fn check(output: &str) -> Result<(), Failed> {
    let expected = match KIND {
        Kind::None => "failed: no kernel",
        Kind::Lite => "complete: rump-lite",
        _ => "complete: NetBSD",
    };
    if output.lines().any(|line| line.contains(expected)) {
        return Ok(());
    }
    Err(format!("expected `{expected}` in:\n{output}").into())
}

fn run(command: &mut Command) -> Result<String, Failed> {
    let output = command.output()?;
    let text = [output.stdout, output.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat();
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("{command:?}: {}\n{text}", output.status).into())
    }
}

/// Cargo in the outside project, with this build's choice of kernel.
fn cargo(flags: &str) -> Result<Command, Failed> {
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(project()?)
        .env("CARGO_TARGET_DIR", work().join("target"))
        .env("RUSTFLAGS", flags)
        .env(
            "RUMP_KERNEL",
            std::env::var("RUMP_KERNEL").unwrap_or_else(|_| match KIND {
                Kind::None => "none".into(),
                Kind::Lite => "lite".into(),
                _ => "netbsd".into(),
            }),
        );
    // What a test runner adds must not leak into the user's build.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "LD_LIBRARY_PATH"] {
        command.env_remove(name);
    }
    Ok(command)
}

fn work() -> &'static Path {
    Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/outside"))
}

/// Packages the family and lays out the project, once.
fn project() -> Result<&'static Path, Failed> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        lay_out().map_err(|failed| failed.message().unwrap_or("failed").to_string())
    });
    made.as_deref().map_err(|message| message.clone().into())
}

fn lay_out() -> Result<PathBuf, Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (project, packages) = (work().join("project"), work().join("packages"));
    for folder in [&project, &packages] {
        let _ = std::fs::remove_dir_all(folder);
    }
    std::fs::create_dir_all(&packages)?;
    let mut package = Command::new(env!("CARGO"));
    package
        .current_dir(root)
        .args([
            "package",
            "--no-verify",
            "--allow-dirty",
            "--quiet",
            "--target-dir",
        ])
        .arg(work().join("package-target"));
    run(package.args(FAMILY.iter().flat_map(|name| ["--package", *name])))?;
    run(Command::new("cp")
        .arg("-r")
        .arg(root.join("tests/fixtures/outside"))
        .arg(&project))?;
    let mut patch = String::from("\n[patch.crates-io]\n");
    for name in FAMILY {
        let archive = work().join(format!("package-target/package/{name}-0.1.0.crate"));
        // With times of now (-m): packages carry one fixed time, by which cargo would take
        // a changed one for what it has compiled already.
        run(Command::new("tar")
            .arg("-xzmf")
            .arg(archive)
            .arg("-C")
            .arg(&packages))?;
        let path = packages.join(format!("{name}-0.1.0"));
        patch.push_str(&format!(
            "{name} = {{ path = {:?} }}\n",
            path.display().to_string()
        ));
    }
    let manifest = project.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest)? + &patch;
    std::fs::write(manifest, text)?;
    Ok(project)
}
