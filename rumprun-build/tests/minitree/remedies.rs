//! Sources with mistakes that have a remedy.

use crate::linkers::{BOTH, boot};
use crate::support::*;
use std::fs;

const QUIRK: &str = "sys/kern/quirk.c";

#[test]
fn mistakes_are_remedied_in_a_copy_and_once() {
    let mini = Mini::new();
    let before = fs::read(mini.tree.join(QUIRK)).expect("the source");
    let kernel = mini.build(&["quirk"]);
    assert_eq!(kernel.components, ["rump", "rumpkern_quirk"]);
    assert_eq!(fs::read(mini.tree.join(QUIRK)).expect("the source"), before);
    let again = mini.build(&["quirk"]);
    assert_eq!(again.report.compiled, 0);
    mini.touch("sys/kern/quirk.h");
    let made = mini.remade(&["quirk"]);
    assert_eq!(made, ["kern/lib/libquirk/quirk.o".to_string()].into());
    for linker in BOTH {
        assert!(boot(&mini.library(), linker)["rump_quirk(2, 3)"].ends_with("002"));
    }
}

#[test]
fn a_source_that_was_mended_needs_no_copy() {
    let mini = Mini::new();
    mini.build(&["quirk"]);
    let text = fs::read_to_string(mini.tree.join(QUIRK)).expect("the source");
    let mended: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with("# "))
        .collect();
    let mended = mended.join("\n").replace("min(a", "uimin(a") + "\n";
    fs::write(mini.tree.join(QUIRK), mended).expect("a source");
    assert_eq!(mini.build(&["quirk"]).report.compiled, 1);
    assert_eq!(mini.build(&["quirk"]).report.compiled, 0);
    let depends = mini.object("kern/lib/libquirk/quirk.o.d");
    let depends = fs::read_to_string(depends).expect("dependencies");
    assert!(!depends.contains("overlay"), "{depends}");
}

/// A remedy is for what it knows; the rest of the message is the user's. The path ends
/// up in the copy, in quotes.
#[test]
fn a_mistake_beside_them_is_reported_at_its_own_line() {
    let mini = Mini::at("a \"tree\" \\ here", "out");
    mini.build(&["quirk"]);
    assert_eq!(mini.build(&["quirk"]).report.compiled, 0);
    mini.edit(QUIRK, "return min", "return missing_variable + min");
    let text = fs::read_to_string(mini.tree.join(QUIRK)).expect("the source");
    let line = text
        .lines()
        .position(|l| l.contains("missing_variable"))
        .expect("it")
        + 1;
    let error = mini.error(&["quirk"]);
    let root = mini.tree.canonicalize().expect("the tree");
    let place = format!("{}:{line}:", root.join(QUIRK).display());
    assert!(error.contains(&place), "{place} in: {error}");
    assert!(error.contains("missing_variable"), "{error}");
    assert!(!error.contains("overlay-quirk.c:"), "{error}");
}

#[test]
fn a_function_without_a_successor_is_an_error() {
    let mini = Mini::new();
    mini.edit(QUIRK, "min(a, b)", "max(a, b)");
    let error = mini.error(&["quirk"]);
    assert!(
        error.contains("max") && error.contains("mplicit"),
        "{error}"
    );
}
