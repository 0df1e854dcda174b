//! Lists the components of a NetBSD tree: `cargo run -p rumprun-build --example components -- TREE`.

use rumprun_build::component::Catalog;
use rumprun_build::tree::Tree;

fn main() -> Result<(), rumprun_build::Error> {
    let named = std::env::args_os()
        .nth(1)
        .or_else(|| std::env::var_os("NETBSD_SRC"));
    let path = named.unwrap_or_else(|| {
        eprintln!("usage: components TREE (or set NETBSD_SRC)");
        std::process::exit(2)
    });
    let tree = Tree::open(path.as_ref())?;
    println!("NetBSD {} in {}", tree.version(), tree.root().display());
    for component in Catalog::read(&tree, &[])?.components() {
        let place = component
            .folder
            .strip_prefix(tree.rump())
            .unwrap_or(&component.folder);
        println!("  {:24} sys/rump/{}", component.name, place.display());
    }
    Ok(())
}
