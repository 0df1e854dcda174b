//! Which components make a kernel: what is needed, and nothing else.

use crate::linkers::{Linker, boot};
use crate::support::*;
use rumprun_build::component::Catalog;
use rumprun_build::tree::Tree;
use std::path::Path;

#[test]
fn what_is_needed_is_found_and_nothing_else() {
    let mini = Mini::new();
    for (asked, expected) in [
        (&[][..], &["rump"][..]),
        (&["rumpkern"], &["rump"]),
        (&["rumpvfs"], &["rump", "rumpvfs"]),
        // Queues of the faction, checksums of another area.
        (
            &["net"],
            &["rump", "rumpkern_sum", "rumpnet", "rumpnet_net"],
        ),
        // The faction's stub will do, although a component has more to offer.
        (&["ping"], &["rump", "rumpnet", "rumpnet_ping"]),
        (&["route"], &["rump", "rumpnet_route"]),
        (&["rumpvfs_null"], &["rump", "rumpvfs", "rumpvfs_null"]),
        (&["rumpnet_null"], &["rump", "rumpnet_null"]),
        (
            &["toydisk"],
            &["rump", "rumpdev", "rumpdev_toydisk", "rumpdev_toyhost"],
        ),
        // Named twice, and by both of its names.
        (&["sum", "sum", "rumpkern_sum"], &["rump", "rumpkern_sum"]),
    ] {
        assert_eq!(mini.build(asked).components, expected, "{asked:?}");
    }
}

/// One component seems to define `ledger_open` and does not, another seems to define
/// `ledger_close` and does not even compile; the third has both.
#[test]
fn a_wrong_guess_costs_time_and_nothing_else() {
    let mini = Mini::new();
    let kernel = mini.build(&["account"]);
    assert_eq!(
        kernel.components,
        ["rump", "rumpkern_account", "rumpkern_ledger"]
    );
    let decoy = mini.object("kern/lib/libdecoy/decoy.o");
    assert!(
        decoy.exists(),
        "the decoy was not tried, so this shows nothing"
    );
    // What failed is not to blame for what somebody else misses,
    let error = mini.error(&["account", "needy"]);
    assert!(error.contains("nowhere_to_be_found"), "{error}");
    assert!(!error.contains("broken.c"), "{error}");
    // but is the thing to tell where nothing better is left.
    std::fs::remove_dir_all(mini.tree.join("sys/rump/kern/lib/libledger")).expect("the ledger");
    let error = mini.error(&["account"]);
    assert!(
        error.contains("broken.c (component rumpkern_broken)"),
        "{error}"
    );
}

#[test]
fn components_that_exclude_each_other_are_named() {
    let error = Mini::new().error(&["pipe", "wire"]);
    for word in ["rumpnet_pipe", "rumpnet_wire", "link_attach", "choose one"] {
        assert!(error.contains(word), "{word} in: {error}");
    }
    assert!(!error.contains("rumpns_"), "{error}");
    // It is told before anything that may come of it.
    let error = Mini::new().error(&["pipe", "wire", "needy"]);
    assert!(error.contains("choose one"), "{error}");
}

#[test]
fn what_is_needed_may_exclude_what_was_asked_for() {
    let mini = Mini::new();
    let kernel = mini.build(&["meter"]);
    assert_eq!(kernel.components, ["rump", "rumpnet_meter", "rumpnet_wire"]);
    let error = mini.error(&["meter", "pipe"]);
    for word in ["rumpnet_pipe", "rumpnet_wire", "link_attach"] {
        assert!(error.contains(word), "{word} in: {error}");
    }
}

#[test]
fn symbols_that_nothing_defines_are_named() {
    let error = Mini::new().error(&["net", "needy"]);
    for word in ["rumpkern_needy", "nowhere_to_be_found", "no component"] {
        assert!(error.contains(word), "{word} in: {error}");
    }
    assert!(!error.contains("rumpns_"), "{error}");
}

#[test]
fn an_unknown_name_gets_a_hint() {
    let mini = Mini::new();
    for (name, words) in [
        ("toydsik", &["`toydsik`", "it has toydisk", "tree"][..]),
        ("rumpnet_rote", &["it has route"]),
        ("", &["no rump component"]),
        ("../net", &["no rump component"]),
        // Two areas have one.
        (
            "null",
            &["fs/lib/libnull", "net/lib/libnull", "write rumpAREA_NAME"],
        ),
        ("rumpdev_null", &["no rump component"]),
    ] {
        let error = mini.error(&[name]);
        for word in words {
            assert!(error.contains(word), "{word} in: {error}");
        }
    }
    let error = mini.error(&["nothing-like-it"]);
    assert!(!error.contains("it has"), "{error}");
}

#[test]
fn the_catalogue_lists_every_component() {
    let tree = Tree::open(Path::new(MINITREE)).expect("the tree");
    let catalog = Catalog::read(&tree, &[]).expect("a catalogue");
    let names: Vec<_> = catalog
        .components()
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(names.len(), 25, "{names:?}");
    let factions = catalog.components().iter().filter(|c| c.faction).count();
    assert_eq!(factions, 4);
    for name in ["rumpkern", "net", "ticker", "ledger"] {
        assert_eq!(catalog.find(name).expect("a component").name, name);
    }
}

/// A component from outside of the tree stands in front of one of its functions.
#[test]
fn a_component_beside_the_tree_wraps_a_function() {
    let mini = Mini::new();
    let beside = [mini.tree.join("beside")];
    let names = ["net", "route", "front"];
    let kernel = build(&mini.tree, &beside, &names, &mini.out).unwrap_or_else(|e| panic!("{e}"));
    assert!(kernel.components.contains(&"rumpkern_front".into()));
    let printed = boot(&mini.library(), Linker::Rust);
    check(&kernel, &printed).expect("complete");
    assert_eq!(printed["rump_send(5, \"abc\", 3)"], "1000591");
    // Without it the same folder makes a kernel without it.
    mini.build(&["net", "route"]);
    let printed = boot(&mini.library(), Linker::Gnu);
    assert_eq!(printed["rump_send(5, \"abc\", 3)"], "591");
}
