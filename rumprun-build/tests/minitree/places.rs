//! Trees and folders in odd places, that may not be written, and two at a time.

use crate::linkers::{Linker, boot};
use crate::support::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Names that makefiles, shells or dependency files could stumble over.
const ODD: &[&str] = &[
    "two  spaces and a tab\there",
    "$HOME ${LIB} $(id) `id` it's \"quoted\"",
    "colon:semi;colon#hash & co | <more>",
    "-back\\slash \\ and * ? [a-z] (!) {~%=^} größe 網 🦀",
];

#[test]
fn any_path_will_do_for_a_tree() {
    for name in ODD {
        let mini = Mini::at(name, "out");
        let kernel = mini.try_build(&["net", "wire", "ticker"]);
        let kernel = kernel.unwrap_or_else(|error| panic!("{name}: {error}"));
        check(&kernel, &boot(&mini.library(), Linker::Gnu)).expect(name);
        assert_eq!(
            mini.build(&["net", "wire", "ticker"]).report.compiled,
            0,
            "{name}"
        );
        mini.touch("sys/net/packet.h");
        assert_eq!(
            mini.build(&["net", "wire", "ticker"]).report.compiled,
            4,
            "{name}"
        );
        let root = mini.tree.canonicalize().expect("the tree");
        for path in &kernel.dependencies {
            assert!(
                path.starts_with(&root) || path.starts_with("/usr"),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn any_path_will_do_for_what_is_made() {
    for name in ODD {
        let mini = Mini::at("tree", name);
        let kernel = mini.try_build(&["wire", "ticker"]);
        let kernel = kernel.unwrap_or_else(|error| panic!("{name}: {error}"));
        check(&kernel, &boot(&mini.library(), Linker::Gnu)).expect(name);
        assert_eq!(mini.build(&["wire", "ticker"]).report.compiled, 0, "{name}");
    }
}

#[test]
fn both_and_a_component_beside_may_be_odd_at_once() {
    let mini = Mini::at("my tree: $1", "my 'out'");
    let beside = mini.dir.path().join("my own (components)");
    copy(&mini.tree.join("beside"), &beside);
    let names = ["net", "front", "quirk"];
    let all = || build(&mini.tree, std::slice::from_ref(&beside), &names, &mini.out);
    let kernel = all().unwrap_or_else(|error| panic!("{error}"));
    let machine = kernel.machine_include.expect("headers");
    assert!(
        machine.join("machine/types.h").exists(),
        "a link leads nowhere"
    );
    assert_eq!(all().expect("again").report.compiled, 0);
}

#[test]
fn an_error_shows_the_real_path() {
    let mini = Mini::at("my tree", "my out");
    mini.edit(
        "sys/rump/net/lib/libnet/Makefile",
        "LIB=\t",
        ".error this is the end\nLIB=\t",
    );
    let error = mini.error(&["net"]);
    assert!(error.contains("this is the end"), "{error}");
    assert!(
        error.contains("my tree/sys/rump/net/lib/libnet/Makefile"),
        "{error}"
    );
}

#[test]
fn a_tree_behind_a_link_is_found_at_its_real_place() {
    let mini = Mini::new();
    let link = mini.dir.path().join("link");
    std::os::unix::fs::symlink(&mini.tree, &link).expect("a link");
    build(&link, &[], &["net"], &mini.out).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(mini.build(&["net"]).report.compiled, 0);
}

/// Everything that writing to a tree would change: names, contents, dates, modes.
type State = BTreeMap<PathBuf, (Vec<u8>, SystemTime, SystemTime, u32)>;

fn state(folder: &Path) -> State {
    let mut state = State::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let meta = path.symlink_metadata().expect("a file");
        let parent = path
            .parent()
            .and_then(|p| p.metadata().ok())
            .expect("a folder");
        let data = if meta.is_dir() {
            state.extend(self::state(&path));
            Vec::new()
        } else {
            fs::read(&path).expect("a file")
        };
        let dates = [meta, parent].map(|m| m.modified().expect("a date"));
        let mode = path.symlink_metadata().expect("a file").mode();
        state.insert(path, (data, dates[0], dates[1], mode));
    }
    state
}

fn set_writable(folder: &Path, writable: bool) {
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    if writable {
        set(folder, 0o755);
    }
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            set_writable(&path, writable);
        } else {
            set(&path, if writable { 0o644 } else { 0o444 });
        }
    }
    if !writable {
        set(folder, 0o555);
    }
}

/// Modes do not stop root, so what counts is that nothing changed.
#[test]
fn a_tree_is_never_written() {
    let mini = Mini::new();
    set_writable(&mini.tree, false);
    let before = state(&mini.tree);
    assert!(before.len() > 60);
    mini.build(ALL);
    mini.build(ALL);
    mini.error(&["broken"]);
    mini.error(&["pipe", "wire"]);
    let after = state(&mini.tree);
    set_writable(&mini.tree, true);
    assert!(before == after);
}

#[test]
fn two_trees_are_built_at_once() {
    let minis = [Mini::new(), Mini::at("another tree", "out")];
    minis[1].edit("sys/sys/param.h", "1099000700", "1100000000");
    let kernels = std::thread::scope(|scope| {
        let threads = [0, 1].map(|which| {
            let mini = &minis[which];
            scope.spawn(move || mini.build(ALL))
        });
        threads.map(|thread| thread.join().expect("a kernel"))
    });
    for ((mini, kernel), release) in minis.iter().zip(&kernels).zip(["10.99.7", "11.0.0"]) {
        let printed = boot(&mini.library(), Linker::Rust);
        check(kernel, &printed).expect("complete");
        assert_eq!(printed["rump_release()"], release);
        assert_eq!(mini.build(ALL).report.compiled, 0);
    }
}

/// The same folder for another tree: nothing of the first may stay.
#[test]
fn a_folder_can_be_used_for_another_tree() {
    let (one, two) = (Mini::new(), Mini::new());
    two.edit("sys/sys/param.h", "1099000700", "1199000300");
    one.build(&["net", "toydisk"]);
    let kernel = build(&two.tree, &[], &["net", "toydisk"], &one.out);
    let kernel = kernel.unwrap_or_else(|error| panic!("{error}"));
    let printed = boot(&one.library(), Linker::Gnu);
    check(&kernel, &printed).expect("complete");
    assert_eq!(printed["rump_release()"], "11.99.3");
    let root = one.tree.canonicalize().expect("the tree");
    let foreign: Vec<_> = kernel
        .dependencies
        .iter()
        .filter(|p| p.starts_with(&root))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}
