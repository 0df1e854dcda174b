//! Drivers by name: which are chosen, what they are made of, and that they attach.

use crate::linkers::{Linker, boot};
use crate::support::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn try_drivers(
    mini: &Mini,
    drivers: &[&str],
) -> rumprun_build::Result<rumprun_build::kernel::Kernel> {
    build_with(&mini.tree, &[], &[], drivers, &mini.out)
}

fn drivers(mini: &Mini, names: &[&str]) -> rumprun_build::kernel::Kernel {
    try_drivers(mini, names).unwrap_or_else(|error| panic!("{names:?}: {error}"))
}

fn refused(names: &[&str]) -> String {
    match try_drivers(&Mini::new(), names) {
        Ok(kernel) => panic!("{names:?} built {:?}", kernel.drivers),
        Err(error) => error.to_string(),
    }
}

/// The sources of the drivers' component, by their names.
fn sources(mini: &Mini) -> BTreeSet<String> {
    let list = mini.out.join("objects/source/libdrivers/sources.mk");
    let text = fs::read_to_string(list).expect("the list of sources");
    text.lines()
        .filter_map(|line| Some(line.rsplit_once('/')?.1.to_string()))
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn a_driver_comes_with_its_bus_and_what_it_shares_with_others() {
    let mini = Mini::new();
    let kernel = drivers(&mini, &["toynic"]);
    assert_eq!(kernel.drivers, ["toynic"]);
    assert_eq!(
        kernel.components,
        [
            "rump",
            "rumpdev",
            "rumpdev_drivers",
            "rumpdev_pci",
            "rumpvfs"
        ]
    );
    // pci.c is the bus's; toyphy.c is what the description forgot to ask for.
    let own = set(&["if_toynic.c", "toymath.c", "toyphy.c"]);
    assert_eq!(sources(&mini), own);
    let printed = boot(&mini.library(), Linker::Gnu);
    check(&kernel, &printed).expect("complete");
    for (name, value) in [
        ("rump_toynic_sum()", "1049"),
        ("rump_device_count()", "3"),
        ("rump_drivers_units(\"toynic\")", "1"),
        ("rump_drivers_units(\"toynvme\")", "-1"),
        ("rump_nodes()", "0"),
    ] {
        assert_eq!(printed[name], value, "{name}");
    }
}

#[test]
fn a_controller_comes_with_its_disks_and_their_nodes() {
    let mini = Mini::new();
    let kernel = drivers(&mini, &["toynvme"]);
    assert_eq!(kernel.drivers, ["toyld", "toynvme"]);
    let own = ["toynvme.c", "toynvme_pci.c", "toyld.c", "toyld_toynvme.c"];
    assert_eq!(sources(&mini), set(&own));
    let printed = boot(&mini.library(), Linker::Rust);
    check(&kernel, &printed).expect("complete");
    for (name, value) in [
        ("rump_drivers_units(\"toynvme\")", "1"),
        ("rump_drivers_units(\"toyld\")", "1"),
        ("rump_devsw_count()", "2"),
        // Four of each kind, none of another name, and none twice.
        ("rump_nodes()", "40400"),
        ("rump_drivers_makenodes()", "0"),
        ("nodes later", "40400"),
    ] {
        assert_eq!(printed[name], value, "{name}");
    }
}

#[test]
fn children_that_are_named_come_alone() {
    let mini = Mini::new();
    let kernel = drivers(&mini, &["toynvme", "toyrng"]);
    assert_eq!(kernel.drivers, ["toynvme", "toyrng"]);
    // A child brings its parent; a disk of two controllers goes to those that are named.
    assert_eq!(drivers(&mini, &["toyrng"]).drivers, ["toynvme", "toyrng"]);
    assert_eq!(drivers(&mini, &["toyvnet"]).drivers, ["toyvirt", "toyvnet"]);
    let both = drivers(&mini, &["toyld", "toyvirt", "toynvme"]);
    assert_eq!(both.drivers, ["toyld", "toynvme", "toyvirt"]);
    let ioconf = mini.out.join("objects/source/libdrivers/DRIVERS.ioconf");
    let text = fs::read_to_string(ioconf).expect("the description");
    for row in [
        "toyld* at toynvme? nsid ?",
        "toyld* at toyvirt?\n",
        "toyvirt* at pci?\n",
    ] {
        assert!(text.contains(row), "{row} in\n{text}");
    }
    let error = refused(&["toyld"]);
    assert!(
        error.contains("toynvme, toyvirt: name one of them"),
        "{error}"
    );
}

/// The component `toyvirt` has an attachment that its source does not define any more.
#[test]
fn a_component_that_was_forgotten_is_not_stood_on() {
    let mini = Mini::new();
    let kernel = drivers(&mini, &["toyvnet"]);
    assert!(
        !kernel
            .components
            .iter()
            .any(|name| name == "rumpdev_toyvirt")
    );
    let own = ["toyvirt.c", "toyvirt_pci.c", "if_toyvnet.c"];
    assert_eq!(sources(&mini), set(&own));
    // One that works is.
    let mini = Mini::new();
    mini.edit("sys/dev/pci/files.pci", "at pci with toyvirt_pci", "at pci");
    let declarations = "#include <sys/device.h>\nint pci_always(struct device *, const struct cfdata *);\nvoid pci_found(struct device *, struct device *);";
    mini.edit(
        "sys/dev/pci/toyvirt.c",
        "#include \"toyvar.h\"",
        declarations,
    );
    mini.edit(
        "sys/dev/pci/toyvirt.c",
        "int toyvirt_version = 1;",
        "CFATTACH_DECL(toyvirt, pci_always, pci_found);",
    );
    let kernel = drivers(&mini, &["toyvnet"]);
    assert_eq!(kernel.drivers, ["toyvnet"]);
    assert!(
        kernel
            .components
            .iter()
            .any(|name| name == "rumpdev_toyvirt")
    );
    let printed = boot(&mini.library(), Linker::Gnu);
    assert_eq!(printed["rump_device_count()"], "4");
}

#[test]
fn what_cannot_be_built_is_told() {
    for (names, parts) in [
        (
            &["toynik"][..],
            &["driver toynik", "no driver of that name", "toynic"][..],
        ),
        (&["ticker"], &["pseudo-device"]),
        (&["pci"], &["driver pci", "comes by itself"]),
        (&["toyisa"], &["attaches to isabus", "pcibus"]),
        (
            &["toylost"],
            &["driver toylost", "sys/dev/pci/toylost.c", "nowhere_at_all"],
        ),
        (
            &["toywhole"],
            &["driver toywhole", "of_a_whole_kernel", "sys/kern/whole.c"],
        ),
        (
            &["toynic", "toylost"],
            &["driver toylost", "nowhere_at_all"],
        ),
    ] {
        let error = refused(names);
        for part in parts {
            assert!(error.contains(part), "{names:?}: {part} in {error}");
        }
    }
}

#[test]
fn only_what_changed_is_made_again() {
    let mini = Mini::new();
    drivers(&mini, &["toynic"]);
    let again = drivers(&mini, &["toynic"]);
    assert_eq!(again.report.compiled, 0, "{:?}", again.report);
    mini.edit(
        "sys/dev/pci/if_toynic.c",
        "toymath_square(7)",
        "toymath_square(8)",
    );
    let third = drivers(&mini, &["toynic"]);
    assert_eq!(third.report.compiled, 1, "{:?}", third.report);
    let names: BTreeSet<_> = third.dependencies.iter().collect();
    let root = mini.tree.canonicalize().expect("the tree");
    for file in ["sys/dev/pci/files.pci", "sys/dev/pci/if_toynic.c"] {
        assert!(names.contains(&root.join(file)), "{file}");
    }
}

#[test]
fn the_drivers_of_a_tree_are_listed() {
    let mini = Mini::new();
    let tree = rumprun_build::tree::Tree::open(Path::new(&mini.tree)).expect("the tree");
    let bmake = rumprun_build::make::Bmake::find(&tree).expect("bmake");
    let list = rumprun_build::driver::list(&tree, &bmake, &mini.out, 2).expect("a list");
    let nic = list
        .iter()
        .find(|driver| driver.name == "toynic")
        .expect("toynic");
    assert_eq!(
        (nic.class.as_deref(), &*nic.at),
        (Some("ifnet"), &["pci".into()][..])
    );
    for (name, there) in [("toyrng", true), ("toyisa", false), ("ticker", false)] {
        assert_eq!(
            list.iter().any(|driver| driver.name == name),
            there,
            "{name}"
        );
    }
}
