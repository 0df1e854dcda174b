//! Builds or finds the rump kernel and describes it to the crate.
//!
//! The work is done by `rumprun-build`; this is its table of contents.

mod generate;
mod proof;

use rumprun_build::kernel::{self, Kernel, Recipe};
use rumprun_build::libclang::Libclang;
use rumprun_build::make::Curlwp;
use rumprun_build::settings::{self, Choice};
use rumprun_build::toolchain::Toolchain;
use rumprun_build::tree::Tree;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Failure = Box<dyn std::error::Error>;

/// Cargo feature, and the components it asks for.
const FEATURES: &[(&str, &[&str])] = &[
    ("NET", &["net", "netinet", "netinet6", "local"]),
    ("VFS", &["rumpvfs"]),
    ("DEV", &["rumpdev"]),
    (
        "FS",
        &["rumpvfs", "ffs", "ext2fs", "msdos", "cd9660", "tmpfs"],
    ),
    ("NPF", &["npf"]),
    ("BPF", &["bpf"]),
    ("BRIDGE", &["bridge"]),
    ("VLAN", &["vlan"]),
    ("SHMIF", &["shmif"]),
];

/// Components of our own: of every kernel compiled from a tree, and of those with TCP.
const OWN: &[&str] = &["evuser", "kqueue", "pool", "sleepq", "softint"];
const OWN_NET: &[&str] = &["arrival", "claims", "ifaref", "nd6dad", "timewait", "vif"];
/// The same for those with file systems.
const OWN_FS: &[&str] = &["blkio", "fssync", "ufssize", "vbd", "wedges"];

/// The same for kernels with drivers: those of PCI devices get at the host's by it.
const OWN_PCI: &[&str] = &["pcihost"];
/// Its library.
const PCI: &str = "rumpdev_pcihost";

fn main() -> ExitCode {
    let Err(failure) = run() else {
        return ExitCode::SUCCESS;
    };
    for line in failure.to_string().lines() {
        println!("cargo::error={line}");
    }
    ExitCode::FAILURE
}

fn run() -> Result<(), Failure> {
    for name in settings::VARIABLES
        .iter()
        .chain(&["BMAKE", "CC", "LIBCLANG_PATH"])
    {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rustc-check-cfg=cfg(rump_drivers)");
    println!("cargo::rustc-check-cfg=cfg(rump_pci)");
    println!("cargo::rustc-check-cfg=cfg(rump_gates)");
    let has = |feature| std::env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    if has("IMAGE") && !has("STD") {
        println!("cargo::rustc-cfg=rump_gates");
    }
    println!(
        "cargo::rustc-check-cfg=cfg(rump_kernel, values(\"netbsd\", \"prefix\", \"lite\", \"none\", \"image\"))"
    );
    let out = PathBuf::from(variable("OUT_DIR")?);
    let choice = settings::choose(
        |name| std::env::var(name).ok(),
        repository_tree().as_deref(),
        std::env::var_os("CARGO_FEATURE_LITE").is_some(),
    )?;
    let drivers = settings::chosen_drivers(|name| std::env::var(name).ok(), &choice)?;
    let components: Vec<String> = FEATURES
        .iter()
        .filter(|(feature, _)| std::env::var_os(format!("CARGO_FEATURE_{feature}")).is_some())
        .flat_map(|(_, names)| *names)
        .map(|name| name.to_string())
        .collect();
    match choice {
        Choice::Tree(tree) => from_tree(&tree, &components, &drivers, &out),
        Choice::Prefix(prefix) => from_prefix(&prefix, &components, &out),
        Choice::Lite { warning } => {
            if let Some(warning) = warning {
                println!(
                    "cargo::warning=rump-lite, the reference kernel, is linked instead of NetBSD: {warning}. To get NetBSD, set NETBSD_SRC to its source tree; netbsd-src/README.md says where NetBSD publishes it. RUMP_KERNEL=lite chooses rump-lite without this warning."
                );
            }
            generate::lite_links(&out.join("links.rs"))?;
            describe("lite", "", &Kernel::default(), &out)
        }
        Choice::Image => {
            generate::image_links(&out.join("links.rs"))?;
            describe("image", "", &Kernel::default(), &out)
        }
        Choice::None { warning } => {
            if let Some(warning) = warning {
                println!(
                    "cargo::warning=no rump kernel in this build: {warning}. Sockets will answer `no kernel`. See netbsd-src/README.md for where NetBSD publishes its source."
                );
            }
            generate::fallbacks(&out.join("links.rs"))?;
            describe("none", "", &Kernel::default(), &out)
        }
    }
}

fn from_tree(
    tree: &Tree,
    components: &[String],
    drivers: &[String],
    out: &Path,
) -> Result<(), Failure> {
    // Before anything is compiled.
    Libclang::find()?;
    let toolchain = Toolchain::find(&variable("TARGET")?, &variable("HOST")?, out)?;
    let jobs = variable("NUM_JOBS")?.parse().unwrap_or(1);
    let beside = [netbsd_src::kern().to_path_buf()];
    if !beside[0].is_dir() {
        return Err(format!(
            "{} is gone, where the crate netbsd-src was compiled: if this folder has been moved, `cargo clean -p netbsd-src` mends it",
            beside[0].display()
        )
        .into());
    }
    let net = components.iter().any(|name| name == "net");
    let fs = components.iter().any(|name| name == "ffs");
    let own = OWN
        .iter()
        .chain(if net { OWN_NET } else { &[] })
        .chain(if fs { OWN_FS } else { &[] })
        .chain(if drivers.is_empty() { &[] } else { OWN_PCI });
    let components: Vec<String> = components
        .iter()
        .cloned()
        .chain(own.map(|name| name.to_string()))
        .collect();
    let recipe = Recipe {
        tree,
        beside: &beside,
        components: &components,
        drivers,
        curlwp: if std::env::var_os("CARGO_FEATURE_STD").is_some() {
            Curlwp::Thread
        } else {
            Curlwp::Host(netbsd_src::kern().join("include/rump_image_curlwp.h"))
        },
        toolchain: &toolchain,
        jobs,
    };
    let made = kernel::from_tree(&recipe, out)?;
    if let Some(machine) = &made.machine_include {
        proof::generate(tree.root(), machine, &components, &out.join("proof.rs"))?;
    }
    generate::links(
        &out.join("links.rs"),
        &rumprun_build::syscalls::names(&tree.rump().join("include/rump"))?,
    )?;
    link("netbsd", &tree.version().to_string(), &made, out)
}

fn from_prefix(prefix: &Path, components: &[String], out: &Path) -> Result<(), Failure> {
    let made = kernel::from_prefix(prefix, components, out)?;
    generate::links(
        &out.join("links.rs"),
        &rumprun_build::syscalls::names(&prefix.join("include/rump"))?,
    )?;
    link("prefix", "", &made, out)
}

fn link(kind: &str, release: &str, made: &Kernel, out: &Path) -> Result<(), Failure> {
    for path in &made.dependencies {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    println!("cargo::rustc-link-search=native={}", made.folder.display());
    println!(
        "cargo::rustc-link-lib=static:+whole-archive={}",
        kernel::LIBRARY
    );
    println!("cargo::metadata=release={release}");
    println!("cargo::metadata=components={}", made.components.join(","));
    if !made.drivers.is_empty() {
        println!("cargo::rustc-cfg=rump_drivers");
    }
    if made.components.iter().any(|name| name == PCI) {
        println!("cargo::rustc-cfg=rump_pci");
    }
    println!("cargo::metadata=drivers={}", made.drivers.join(","));
    println!(
        "cargo::metadata=link_set_entries={}",
        made.link_sets.values().sum::<usize>()
    );
    describe(kind, release, made, out)
}

fn describe(kind: &str, release: &str, made: &Kernel, out: &Path) -> Result<(), Failure> {
    println!("cargo::rustc-cfg=rump_kernel=\"{kind}\"");
    println!("cargo::metadata=kernel={kind}");
    generate::kernel(&out.join("kernel.rs"), kind, release, made)
}

/// The place for a tree within this project's own checkout; a packaged crate has none.
fn repository_tree() -> Option<PathBuf> {
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    settings::repository_tree(package.parent()?)
}

fn variable(name: &str) -> Result<String, Failure> {
    std::env::var(name)
        .map_err(|error| format!("{name}: {error}; this runs as a build script").into())
}
