//! What a user reads when something is wrong with the tree.

use crate::support::*;
use rumprun_build::Error;
use rumprun_build::tree::Tree;
use std::fs;
use std::path::Path;

/// The parts that a tree must have, and what stands in their place.
const PARTS: &[&str] = &[
    "sys/sys/param.h",
    "sys/kern",
    "sys/conf/files",
    "sys/lib/libkern",
    "sys/rump/Makefile.rump",
    "sys/rump/librump/rumpkern/Makefile",
    "sys/arch/amd64/include",
    "common/include",
    "common/lib/libc",
    "share/mk/bsd.own.mk",
];

#[test]
fn a_source_that_does_not_compile_is_shown_as_the_compiler_shows_it() {
    let mini = Mini::new();
    let error = mini.try_build(&["broken"]).expect_err("it is broken");
    let Error::Compile {
        source_file,
        component,
        message,
        command,
    } = &error
    else {
        panic!("{error}");
    };
    let source = mini.tree.canonicalize().expect("the tree");
    let source = source.join("sys/rump/kern/lib/libbroken/broken.c");
    assert_eq!(*source_file, source);
    assert_eq!(component, "rumpkern_broken");
    let text = fs::read_to_string(&source).expect("the source");
    let line = text
        .lines()
        .position(|line| line.contains("missing_type_t"))
        .expect("it")
        + 1;
    let first = message.lines().next().expect("a message");
    let place = format!("{}:{line}:", source.display());
    assert!(
        first.starts_with(&place) && first.contains("error: unknown type name"),
        "{first}"
    );
    assert!(
        command.contains("-ffreestanding") && command.contains("broken.c"),
        "{command}"
    );
    let shown = error.to_string();
    for part in [
        first,
        command.as_str(),
        "rumpkern_broken",
        "does not compile",
    ] {
        assert!(shown.contains(part), "{part} in: {shown}");
    }
}

/// The command in the message can be run as it is.
#[test]
fn the_command_that_is_shown_repeats_the_error() {
    let mini = Mini::new();
    let Err(Error::Compile {
        command, message, ..
    }) = mini.try_build(&["broken"])
    else {
        panic!("it is broken");
    };
    let output = std::process::Command::new("sh")
        .arg("-c")
        .arg(command)
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains(message.lines().next().expect("a line")),
        "{text}"
    );
}

/// Of two mistakes the first in the component's order is told, however many jobs run.
#[test]
fn a_header_that_does_not_compile_is_shown_with_its_own_place() {
    let mini = Mini::new();
    mini.edit("sys/net/packet.h", "int\t\tlength;", "integer\t\tlength;");
    let error = mini.error(&["net"]);
    assert!(
        error.contains("packet.h:") && error.contains("error:"),
        "{error}"
    );
}

#[test]
fn every_part_of_a_tree_is_missed_by_name() {
    for part in PARTS {
        let mini = Mini::new();
        let path = mini.tree.join(part);
        if path.is_dir() {
            fs::remove_dir_all(&path).expect("a folder");
        } else {
            fs::remove_file(&path).expect("a file");
        }
        let error = mini.error(&[]);
        for word in [*part, "missing", "Unpack"] {
            assert!(error.contains(word), "{word} in: {error}");
        }
        let others = PARTS.iter().filter(|other| error.contains(*other)).count();
        assert_eq!(others, 1, "{error}");
    }
}

#[test]
fn several_missing_parts_are_told_at_once() {
    let mini = Mini::new();
    fs::remove_dir_all(mini.tree.join("common")).expect("a folder");
    fs::remove_dir_all(mini.tree.join("share")).expect("a folder");
    let error = mini.error(&[]);
    for part in ["common/include", "common/lib/libc", "share/mk/bsd.own.mk"] {
        assert!(error.contains(part), "{part} in: {error}");
    }
}

#[test]
fn a_folder_that_is_no_tree_is_refused_with_advice() {
    let mini = Mini::new();
    let refused = |path: &Path| Tree::open(path).expect_err("no tree").to_string();
    let inside = refused(&mini.tree.join("sys"));
    let root = mini.tree.canonicalize().expect("the tree");
    assert!(
        inside.contains(&format!("NETBSD_SRC={}.", root.display())),
        "{inside}"
    );
    assert!(refused(mini.dir.path()).contains("sys/, common/ and share/mk/"));
    assert!(refused(&mini.tree.join("gone")).contains("no such folder"));
    assert!(refused(&mini.tree.join("README.md")).contains("no such folder"));
    assert!(refused(Path::new("")).contains("no such folder"));
}

#[test]
fn a_tree_without_a_version_is_refused() {
    let mini = Mini::new();
    for version in ["0x1", "", "99999999999999999999999", "-3"] {
        let define = format!("#define\t__NetBSD_Version__\t{version}\n");
        fs::write(mini.tree.join("sys/sys/param.h"), define).expect("a header");
        let error = mini.error(&[]);
        assert!(
            error.contains("does not define __NetBSD_Version__"),
            "{version}: {error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let mini = Mini::new();
    let odd = mini
        .dir
        .path()
        .join(std::ffi::OsStr::from_bytes(b"tree-\xff"));
    fs::rename(&mini.tree, &odd).expect("a rename");
    let error = Tree::open(&odd).expect_err("refused").to_string();
    assert!(error.contains("not UTF-8"), "{error}");
}

#[test]
fn a_makefile_that_bmake_refuses_is_named_with_its_words() {
    let mini = Mini::new();
    mini.edit(
        "sys/rump/net/lib/libnet/Makefile",
        "LIB=\t",
        ".if missing_operand ==\n.endif\nLIB=\t",
    );
    let error = mini.error(&["net"]);
    for word in [
        "bmake could not evaluate",
        "sys/rump/net/lib/libnet",
        "missing_operand",
    ] {
        assert!(error.contains(word), "{word} in: {error}");
    }
    // It is nobody else's business.
    mini.build(&["route"]);
}

#[test]
fn a_rule_that_fails_is_shown_with_its_words() {
    let mini = Mini::new();
    mini.edit("sys/conf/newvers.sh", "exit 1", "exit 1 # never");
    let script = mini.tree.join("sys/conf/newvers.sh");
    fs::write(script, "echo the disk is made of cheese >&2; exit 3\n").expect("a script");
    let error = mini.error(&[]);
    assert!(error.contains("made of cheese"), "{error}");
}

#[test]
fn a_rule_that_makes_nothing_is_noticed() {
    let mini = Mini::new();
    fs::write(mini.tree.join("sys/conf/newvers.sh"), "true\n").expect("a script");
    let error = mini.error(&[]);
    assert!(error.contains("vers.c is not there"), "{error}");
}

#[test]
fn a_source_that_is_missing_is_named() {
    let mini = Mini::new();
    fs::remove_file(mini.tree.join("sys/rump/net/lib/libnet/net_sum.c")).expect("a file");
    let error = mini.error(&["net"]);
    assert!(error.contains("net_sum.c"), "{error}");
}

#[test]
fn a_description_of_devices_is_refused_at_its_line() {
    let mini = Mini::new();
    let file = "sys/rump/dev/config/DISK.ioconf";
    mini.edit(file, "toydisk0 at toyhost?", "toydisk0 at at toyhost?");
    let text = fs::read_to_string(mini.tree.join(file)).expect("a description");
    let line = text
        .lines()
        .position(|line| line.contains("at at"))
        .expect("it")
        + 1;
    let error = mini.error(&["toydisk"]);
    assert!(error.contains(&format!("DISK.ioconf:{line}")), "{error}");
    assert!(error.contains("toydisk"), "{error}");
    fs::remove_file(mini.tree.join("sys/dev/toy/files.toy")).expect("a file");
    let error = mini.error(&["toyhost"]);
    assert!(error.contains("files.toy"), "{error}");
}
