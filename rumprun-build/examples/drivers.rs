//! The drivers that a rump kernel of a tree can have by name, and which of them build:
//! `cargo run --release -p rumprun-build --example drivers -- TREE [OUT [CLASS]]`.
//!
//! Without a folder to build in, they are only listed. A class (`ifnet`, `disk`) builds
//! the PCI drivers of that class alone; without one, all PCI drivers are tried.

use rumprun_build::Error;
use rumprun_build::driver::{self, Listed};
use rumprun_build::kernel::{self, Recipe};
use rumprun_build::make::{Bmake, Curlwp};
use rumprun_build::toolchain::Toolchain;
use rumprun_build::tree::Tree;
use std::path::Path;

const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let Some(tree) = arguments.first() else {
        eprintln!("usage: drivers TREE [OUT [CLASS]]");
        std::process::exit(2)
    };
    let tree = Tree::open(tree.as_ref())?;
    let scratch = tempfile::tempdir()?;
    let drivers = driver::list(&tree, &Bmake::find(&tree)?, scratch.path(), jobs())?;
    println!("NetBSD {}: {} drivers", tree.version(), drivers.len());
    let Some(out) = arguments.get(1) else {
        for driver in &drivers {
            println!(
                "{:12} {:10} at {}",
                driver.name,
                class(driver),
                driver.at.join(", ")
            );
        }
        return Ok(());
    };
    let wanted = |driver: &&Listed| {
        driver.at.iter().any(|at| at == "pci")
            && arguments
                .get(2)
                .is_none_or(|wanted| class(driver) == wanted)
    };
    let (mut good, mut all) = (0, 0);
    for driver in drivers.iter().filter(wanted) {
        let state = match build(&tree, &driver.name, out.as_ref()) {
            Ok(kernel) => {
                good += 1;
                let with = kernel.drivers.join(" ");
                format!(
                    "builds: {with} ({} sources compiled)",
                    kernel.report.compiled
                )
            }
            Err(error) => first_lines(&error.to_string()),
        };
        all += 1;
        println!("{:12} {:10} {state}", driver.name, class(driver));
    }
    println!("{good} of {all} build");
    Ok(())
}

fn build(tree: &Tree, driver: &str, out: &Path) -> Result<kernel::Kernel, Error> {
    let components: Vec<String> = ["net", "netinet", "netinet6", "local", "pcihost"]
        .map(String::from)
        .into();
    let recipe = Recipe {
        tree,
        beside: &[netbsd_src::kern().to_path_buf()],
        components: &components,
        drivers: &[driver.into()],
        curlwp: Curlwp::Thread,
        toolchain: &Toolchain::find(TARGET, TARGET, out)?,
        jobs: jobs(),
    };
    kernel::from_tree(&recipe, out)
}

fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn class(driver: &Listed) -> &str {
    driver.class.as_deref().unwrap_or("-")
}

/// A compiler's message is long.
fn first_lines(text: &str) -> String {
    text.lines().take(3).collect::<Vec<_>>().join(" | ")
}
