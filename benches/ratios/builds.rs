//! Building, in folders of its own below the target folder.

use crate::Outcome;
use crate::boot;
use crate::comparison::{Better, Harness, RUNS, Subject, seconds, target};
use rumprun_build::kernel::{self, Recipe};
use rumprun_build::make::Curlwp;
use rumprun_build::settings::{self, Choice};
use rumprun_build::toolchain::Toolchain;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The networking components; what they need besides is found by the builder, and ours
/// are added.
const NET: [&str; 4] = ["net", "netinet", "netinet6", "local"];
const JOBS: usize = 2;
/// Cold builds are long and vary little.
const COLD_RUNS: usize = 5;

/// From the first question to bmake to the finished archive.
pub fn cold_net(harness: &mut Harness) -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Choice::Tree(tree) = settings::choose(
        |name| std::env::var(name).ok(),
        Some(&root.join("netbsd-src/src")),
        true,
    )?
    else {
        return Err("needs a NetBSD tree: set NETBSD_SRC".into());
    };
    // The archive must be of the same tree as the kernel of this program, or the row would
    // not be about what runs.
    let (kernel, running) = (format!("NetBSD {}", tree.version()), boot::identity()?);
    if running != kernel {
        return Err(format!("this program runs {running}, but the tree is {kernel}").into());
    }
    let out = target().join("bench/cold-net");
    let kern = root.join("netbsd-src/kern");
    let mut components = NET.map(String::from).to_vec();
    for entry in std::fs::read_dir(&kern)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        components.extend(name.strip_prefix("lib").map(String::from));
    }
    let beside = [kern];
    let host = env!("BENCH_TARGET");
    let mut times = Vec::new();
    for _ in 0..=COLD_RUNS {
        if out.exists() {
            std::fs::remove_dir_all(&out)?;
        }
        std::fs::create_dir_all(&out)?;
        let toolchain = Toolchain::find(host, host, &out)?;
        let recipe = Recipe {
            tree: &tree,
            beside: &beside,
            components: &components,
            drivers: &[],
            curlwp: Curlwp::Thread,
            toolchain: &toolchain,
            jobs: JOBS,
        };
        let start = Instant::now();
        let made = kernel::from_tree(&recipe, &out)?;
        times.push(seconds(start.elapsed()));
        if made.report.current != 0 || made.report.compiled == 0 {
            return Err(format!(
                "not a cold build: {} objects were there",
                made.report.current
            )
            .into());
        }
    }
    let subject = Subject {
        note: Some(format!("{JOBS} jobs")),
        ..Subject::new("build/cold-net", "s", Better::Less)
    };
    harness.write(&subject, &running, None, &times[1..], None)
}

/// From an empty target folder to a tcp_echo that has run. What cargo downloads is there.
pub fn cold_cargo(harness: &mut Harness) -> Outcome {
    let folder = target().join("bench/cold-cargo");
    let (mut times, mut kernel) = (Vec::new(), String::new());
    for _ in 0..=COLD_RUNS {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        let start = Instant::now();
        let output = cargo(
            &folder,
            &["run", "--quiet", "--example", "tcp_echo", "--", "1"],
        )?;
        times.push(seconds(start.elapsed()));
        kernel = named(&output)?;
    }
    std::fs::remove_dir_all(&folder)?;
    let subject = Subject::new("build/cold-cargo", "s", Better::Less);
    harness.write(&subject, &kernel, None, &times[1..], None)
}

/// From nothing but what cargo downloads to a served HTTP request on rump-lite: the
/// repository is cloned, and its first command is run with an empty home.
pub fn fresh(harness: &mut Harness) -> Outcome {
    let folder = target().join("bench/fresh");
    let (clone, home) = (folder.join("clone"), folder.join("home"));
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .ok_or("neither CARGO_HOME nor HOME is set")?;
    let (mut times, mut kernel) = (Vec::new(), String::new());
    for _ in 0..=COLD_RUNS {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&home)?;
        let start = Instant::now();
        let cloned = Command::new("git")
            .args(["clone", "--quiet", env!("CARGO_MANIFEST_DIR")])
            .arg(&clone)
            .status()?;
        if !cloned.success() {
            return Err("git clone failed".into());
        }
        let mut first = command(&folder.join("target"));
        for name in settings::VARIABLES {
            first.env_remove(name);
        }
        first
            .current_dir(&clone)
            .args(["run", "--quiet", "--release", "--example", "http_hello"])
            .args(["--", "--once"])
            .env("RUSTUP_HOME", rustup_home(&cargo_home))
            .env("CARGO_HOME", &cargo_home)
            .env("HOME", &home);
        let output = finish(first)?;
        times.push(seconds(start.elapsed()));
        kernel = named(&output)?;
    }
    std::fs::remove_dir_all(&folder)?;
    let subject = Subject::new("fresh/first-request", "s", Better::Less);
    harness.write(&subject, &kernel, None, &times[1..], None)
}

/// rustup finds its toolchains by the home, which is empty here.
fn rustup_home(cargo_home: &Path) -> PathBuf {
    std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| cargo_home.with_file_name(".rustup"))
}

/// The kernel that an example says it runs on.
fn named(output: &str) -> Result<String, Box<dyn Error>> {
    let told = output
        .lines()
        .find_map(|line| line.strip_prefix("kernel: "));
    Ok(told.ok_or("the example named no kernel")?.to_string())
}

/// `cargo build` of the examples when everything is built.
pub fn noop(harness: &mut Harness) -> Outcome {
    let running = boot::identity()?;
    let folder = target().join("bench/noop");
    let build = || cargo(&folder, &["build", "--quiet", "--examples"]);
    build()?;
    let times = (0..=RUNS)
        .map(|_| {
            let start = Instant::now();
            build().map(|_| seconds(start.elapsed()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let subject = Subject::new("build/noop", "s", Better::Less);
    harness.write(&subject, &running, None, &times[1..], None)
}

/// Runs cargo as a user would, with a target folder of its own; returns what it printed.
fn cargo(folder: &Path, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
    let mut cargo = command(folder);
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments);
    finish(cargo)
}

fn command(folder: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    // What cargo sets for this benchmark is not there when a user builds.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_") && text != "CARGO_HOME" {
            cargo.env_remove(&name);
        }
    }
    cargo.env("CARGO_TARGET_DIR", folder);
    cargo
}

/// Waits, and returns what was printed.
fn finish(mut cargo: Command) -> Result<String, Box<dyn Error>> {
    let output = cargo.stdin(Stdio::null()).output()?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().into())
    }
}
