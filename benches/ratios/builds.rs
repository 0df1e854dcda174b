//! Building, in folders of its own below the target folder.

use crate::Outcome;
use crate::boot;
use crate::comparison::{Better, Harness, RUNS, Subject, seconds, target};
use rumprun_build::kernel::{self, Recipe};
use rumprun_build::settings::{self, Choice};
use rumprun_build::toolchain::Toolchain;
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The networking components; what they need besides is found by the builder.
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
    )?
    else {
        return Err("needs a NetBSD tree: set NETBSD_SRC".into());
    };
    let out = target().join("bench/cold-net");
    let components = NET.map(String::from);
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
            beside: &[],
            components: &components,
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
        name: "build/cold-net",
        unit: "s",
        better: Better::Less,
        rival_is: None,
        note: Some(format!("{JOBS} jobs")),
    };
    let kernel = format!("NetBSD {}", tree.version());
    // The archive is of the same tree as the kernel of this program, or the row is not
    // about what runs.
    let running = boot::identity()?;
    if running != kernel {
        return Err(format!("this program runs {running}, but the tree is {kernel}").into());
    }
    harness.write(&subject, &running, None, &times[1..], None)
}

/// `cargo build` of the examples when everything is built.
pub fn noop(harness: &mut Harness) -> Outcome {
    let folder = target().join("bench/noop");
    build(&folder)?;
    let times = (0..=RUNS)
        .map(|_| {
            let start = Instant::now();
            build(&folder).map(|()| seconds(start.elapsed()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let subject = Subject {
        name: "build/noop",
        unit: "s",
        better: Better::Less,
        rival_is: None,
        note: None,
    };
    harness.write(&subject, &boot::identity()?, None, &times[1..], None)
}

fn build(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--examples"])
        .arg("--target-dir")
        .arg(folder);
    // What cargo sets for this benchmark is not there when a user builds.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_") && text != "CARGO_HOME" {
            cargo.env_remove(&name);
        }
    }
    let output = cargo.stdin(Stdio::null()).output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().into())
    }
}
