//! Compiles components, and the drivers that `RUMP_DRIVERS` names, with what they need:
//! `cargo run --release -p rumprun-build --example kernel -- TREE OUT COMPONENT...`.

use rumprun_build::Error;
use rumprun_build::kernel::{self, Recipe};
use rumprun_build::make::Curlwp;
use rumprun_build::settings;
use rumprun_build::toolchain::Toolchain;
use rumprun_build::tree::Tree;
use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args();
    let (Some(tree), Some(out)) = (arguments.nth(1), arguments.next().map(PathBuf::from)) else {
        eprintln!("usage: kernel TREE OUT COMPONENT...");
        std::process::exit(2)
    };
    let start = Instant::now();
    let tree = Tree::open(tree.as_ref())?;
    let target = "x86_64-unknown-linux-gnu";
    let toolchain = Toolchain::find(target, target, &out)?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let components: Vec<_> = arguments.collect();
    let drivers = settings::drivers(&std::env::var(settings::DRIVERS).unwrap_or_default())?;
    let beside = [netbsd_src::kern().to_path_buf()];
    let recipe = Recipe {
        tree: &tree,
        beside: &beside,
        components: &components,
        drivers: &drivers,
        curlwp: Curlwp::Thread,
        toolchain: &toolchain,
        jobs,
    };
    let kernel = kernel::from_tree(&recipe, &out)?;
    println!("NetBSD {}: {}", tree.version(), kernel.components.join(" "));
    println!("drivers {}", kernel.drivers.join(" "));
    println!("link sets {:?}", kernel.link_sets);
    println!(
        "{} compiled, {} current, in {:.1?}",
        kernel.report.compiled,
        kernel.report.current,
        start.elapsed()
    );
    Ok(())
}
