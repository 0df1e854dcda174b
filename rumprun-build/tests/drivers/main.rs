//! Drivers by name from each tree that `RUMP_TEST_TREES` names: they build, nothing is
//! missing but hypercalls, nothing is there twice.

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rumprun_build::kernel::{self, Kernel, Recipe};
use rumprun_build::make::Curlwp;
use rumprun_build::toolchain::Toolchain;
use rumprun_build::tree::Tree;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// What is asked for, and what must be in the kernel then.
const WANTED: &[(&str, &[&str], &[&str])] = &[
    ("wm", &["wm"], &["wm"]),
    ("nvme", &["nvme"], &["ld", "nvme"]),
    ("ixg", &["ixg"], &["ixg"]),
    ("pcn", &["pcn"], &["pcn"]),
    ("vioif", &["vioif"], &["vioif"]),
    ("virtio_ld", &["virtio", "ld"], &["ld", "virtio"]),
    ("virtio", &["virtio"], &["ld", "vioif", "virtio"]),
    (
        "many",
        &[
            "wm", "nvme", "ixg", "pcn", "virtio", "age", "alc", "bge", "fxp", "msk", "re", "rtk",
            "sip", "tlp",
        ],
        &[
            "age", "alc", "bge", "fxp", "ixg", "ld", "msk", "nvme", "pcn", "re", "rtk", "sip",
            "tlp", "vioif", "virtio", "wm",
        ],
    ),
];

/// Names that cannot be, and what is said of them.
const REFUSED: &[(&str, &[&str], &str)] = &[
    ("unknown", &["wmm"], "it has wm"),
    ("of_several", &["ld"], "name one of them, too"),
    ("a_bus", &["pci"], "comes by itself"),
    ("a_pseudo_device", &["vlan"], "pseudo-device"),
];

/// A tree, and the folder that its kernels are built in, one at a time.
struct Place {
    tree: Tree,
    out: Mutex<PathBuf>,
}

impl Place {
    fn build(
        &self,
        drivers: &[&str],
        check: impl FnOnce(Kernel) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let out = self.out.lock().unwrap_or_else(|poison| poison.into_inner());
        let words = |names: &[&str]| {
            names
                .iter()
                .map(|name| name.to_string())
                .collect::<Vec<_>>()
        };
        let recipe = Recipe {
            tree: &self.tree,
            beside: &[netbsd_src::kern().to_path_buf()],
            components: &words(&["net", "netinet", "netinet6", "local", "pcihost"]),
            drivers: &words(drivers),
            curlwp: Curlwp::Thread,
            toolchain: &Toolchain::find(TARGET, TARGET, &out)?,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
        };
        check(kernel::from_tree(&recipe, &out)?)
    }
}

fn builds(place: &Place, drivers: &[&str], expected: &[&str]) -> Result<(), Failed> {
    place.build(drivers, |kernel| {
        for name in expected {
            if !kernel.drivers.iter().any(|driver| driver == name) && !carried(&kernel, name) {
                return Err(format!("{name} is not among {:?}", kernel.drivers).into());
            }
        }
        links(&kernel)
    })
}

/// A tree may have a component for what a driver stands on.
fn carried(kernel: &Kernel, driver: &str) -> bool {
    let end = format!("_{driver}");
    kernel.components.iter().any(|name| name.ends_with(&end))
}

/// Links all of it into one object, which finds what is defined twice, and looks at what
/// that still needs.
fn links(kernel: &Kernel) -> Result<(), Failed> {
    let object = kernel.folder.join("whole.o");
    let library = kernel.folder.join(format!("lib{}.a", kernel::LIBRARY));
    run(Command::new("ld")
        .args(["-r", "-o"])
        .arg(&object)
        .arg("--whole-archive")
        .arg(library))?;
    let undefined = run(Command::new("nm").arg("-u").arg(&object))?;
    let names = undefined
        .lines()
        .filter_map(|line| line.trim().strip_prefix("U "));
    // Hypercalls; the ends of link sets; what the compiler calls by itself.
    let theirs = [
        "rumpuser_",
        "rumpcomp_",
        "__",
        "_GLOBAL_OFFSET_TABLE_",
        "mem",
    ];
    let missing: Vec<_> = names
        .filter(|name| !theirs.iter().any(|start| name.starts_with(start)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("nothing defines {}", missing.join(", ")).into())
}

fn run(command: &mut Command) -> Result<String, Failed> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

fn refused(place: &Place, drivers: &[&str], part: &str) -> Result<(), Failed> {
    match place.build(drivers, |kernel| {
        Err(format!("it built {:?}", kernel.drivers).into())
    }) {
        Err(error)
            if error
                .message()
                .is_some_and(|message| message.contains(part)) =>
        {
            Ok(())
        }
        other => Err(format!("{other:?} and not {part}").into()),
    }
}

/// The tests of one tree.
fn trials(place: Place, name: &str) -> Vec<Trial> {
    let place = Arc::new(place);
    let good = WANTED.iter().map(|(trial, drivers, expected)| {
        let place = place.clone();
        let title = format!("netbsd::{name}::{trial}");
        Trial::test(title, move || builds(&place, drivers, expected))
    });
    let bad = REFUSED.iter().map(|(trial, drivers, part)| {
        let place = place.clone();
        let title = format!("netbsd::{name}::refused::{trial}");
        Trial::test(title, move || refused(&place, drivers, part))
    });
    good.chain(bad).collect()
}

/// Skips, or fails if `RUMP_TEST_REQUIRE` says that a tree must be there.
fn skip() -> Result<Completion, Failed> {
    let reason = "RUMP_TEST_TREES names no NetBSD tree";
    let required = std::env::var("RUMP_TEST_REQUIRE").unwrap_or_default();
    if required.split(',').any(|name| name == "netbsd") {
        return Err(format!("required by RUMP_TEST_REQUIRE, but {reason}").into());
    }
    Ok(Completion::ignored_with(reason))
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments = Arguments::from_args();
    let folder = tempfile::tempdir()?;
    let trees = std::env::var("RUMP_TEST_TREES").unwrap_or_default();
    let mut all = Vec::new();
    for (index, path) in trees.split(':').filter(|tree| !tree.is_empty()).enumerate() {
        let out = folder.path().join(index.to_string());
        std::fs::create_dir(&out)?;
        let path = Path::new(path);
        let name = path.file_name().unwrap_or(path.as_os_str());
        let place = Place {
            tree: Tree::open(path)?,
            out: Mutex::new(out),
        };
        all.extend(trials(place, &name.to_string_lossy()));
    }
    if all.is_empty() {
        all.push(Trial::ignorable_test("netbsd::drivers_build", skip));
    }
    Ok(libtest_mimic::run(&arguments, all).exit_code())
}
