//! Libraries that another build installed: the tree's own makefiles here, which mark
//! nothing and rename with objcopy.

use crate::kernel::make_library;
use crate::linkers::{BOTH, boot};
use crate::support::*;
use rumprun_build::kernel::{Kernel, from_prefix};
use rumprun_build::settings::{Choice, choose};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// An installed rump kernel, made once.
fn installed() -> &'static Path {
    static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
    MADE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let lib = dir.path().join("prefix/lib");
        fs::create_dir_all(&lib).expect("a folder");
        let tree = Path::new(MINITREE).canonicalize().expect("the tree");
        for (folder, name) in [
            ("librump/rumpkern", "rump"),
            ("librump/rumpnet", "rumpnet"),
            ("librump/rumpvfs", "rumpvfs"),
            ("net/lib/libnet", "rumpnet_net"),
            ("net/lib/libroute", "rumpnet_route"),
            ("net/lib/libwire", "rumpnet_wire"),
            ("kern/lib/libsum", "rumpkern_sum"),
            ("kern/lib/libneedy", "rumpkern_needy"),
        ] {
            let made = make_library(&tree, folder, name, &dir.path().join("objects"));
            fs::copy(made, lib.join(format!("lib{name}.a"))).expect("a library");
        }
        // What lies beside them in a real prefix.
        let copy = |from: &str, to: &str| {
            fs::copy(lib.join(from), lib.join(to)).expect("a library");
        };
        copy("librump.a", "librump_p.a");
        copy("librumpnet_net.a", "librumpnet_net_pic.a");
        archive(
            &lib.join("librumpuser.a"),
            &[("user.o".into(), b"not looked at".into())],
        );
        fs::write(lib.join("librump.so.0"), "a shared library").expect("a file");
        fs::write(lib.join("libc.a"), "nothing of ours").expect("a file");
        crate::support::copy(
            &tree.join("sys/rump/include/rump"),
            &dir.path().join("prefix/include/rump"),
        );
        dir
    })
    .path()
}

fn kernel(names: &[&str], out: &Path) -> rumprun_build::Result<Kernel> {
    let names: Vec<_> = names.iter().map(|name| name.to_string()).collect();
    from_prefix(&installed().join("prefix"), &names, out)
}

fn out() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Not made yet, and not easy.
    let out = dir.path().join("to be/made");
    (dir, out)
}

#[test]
fn a_prefix_is_archived_again_linked_and_run() {
    let (_dir, out) = out();
    let kernel = kernel(&["net", "rumpnet_route", "wire"], &out).unwrap_or_else(|e| panic!("{e}"));
    let expected = [
        "rump",
        "rumpkern_sum",
        "rumpnet",
        "rumpnet_net",
        "rumpnet_route",
        "rumpnet_wire",
    ];
    assert_eq!(kernel.components, expected);
    for linker in BOTH {
        let printed = boot(&out.join("librumpkernel.a"), linker);
        check(&kernel, &printed).unwrap_or_else(|wrong| panic!("{linker:?}: {wrong}"));
        assert_eq!(printed["rump_components"], "5");
        assert_eq!(printed["rump_send(5, \"abc\", 3)"], "591");
        assert_eq!(printed["rump_link_length()"], "12");
    }
    for path in &kernel.dependencies {
        assert!(
            path.starts_with(installed()) && path.exists(),
            "{}",
            path.display()
        );
    }
}

/// What the builder makes of a tree and of an installed kernel counts the same.
#[test]
fn a_prefix_and_a_tree_agree() {
    let (_dir, out) = out();
    let names = ["net", "route", "wire"];
    let from_prefix = kernel(&names, &out).unwrap_or_else(|e| panic!("{e}"));
    let from_tree = Mini::new().build(&names);
    assert_eq!(from_prefix.components, from_tree.components);
    assert_eq!(from_prefix.link_sets, from_tree.link_sets);
    assert_eq!(from_prefix.component_types, from_tree.component_types);
}

#[test]
fn the_prefix_is_chosen_by_the_environment() {
    let prefix = installed().join("prefix");
    let chosen = choose(
        |name| (name == "RUMP_PREFIX").then(|| prefix.display().to_string()),
        None,
        true,
    );
    assert!(matches!(chosen, Ok(Choice::Prefix(path)) if path == prefix));
}

#[test]
fn what_a_prefix_lacks_is_named() {
    let (dir, out) = out();
    let error = kernel(&["npf"], &out).expect_err("not there").to_string();
    assert!(
        error.contains("`npf`") && error.contains("rumpnet_net"),
        "{error}"
    );
    let error = kernel(&["needy"], &out).expect_err("undefined").to_string();
    assert!(error.contains("nowhere_to_be_found"), "{error}");
    fs::create_dir_all(dir.path().join("empty/lib")).expect("a folder");
    let error = from_prefix(&dir.path().join("empty"), &[], &out).expect_err("empty");
    assert!(
        error.to_string().contains("lib/librump.a is not there"),
        "{error}"
    );
    let error = from_prefix(&dir.path().join("gone"), &[], &out).expect_err("gone");
    assert!(error.to_string().contains("gone/lib"), "{error}");
}

#[test]
fn libraries_that_are_none_are_named() {
    let whole = fs::read(installed().join("prefix/lib/librump.a")).expect("a library");
    for (what, data) in [
        ("nothing", Vec::new()),
        ("a text", b"INPUT(librump.so)\n".to_vec()),
        ("half a library", whole[..whole.len() / 2].to_vec()),
        ("an object of another machine", other_machine(&whole)),
    ] {
        let (dir, out) = out();
        fs::create_dir_all(dir.path().join("lib")).expect("a folder");
        let path = dir.path().join("lib/librump.a");
        fs::write(&path, data).expect("a file");
        let error = from_prefix(dir.path(), &[], &out)
            .expect_err(what)
            .to_string();
        assert!(error.contains("librump.a"), "{what}: {error}");
    }
}

/// The archive with all objects said to be for AArch64.
fn other_machine(archive: &[u8]) -> Vec<u8> {
    let mut data = archive.to_vec();
    let starts: Vec<_> = (0..data.len().saturating_sub(20))
        .filter(|at| data[*at..].starts_with(b"\x7fELF"))
        .collect();
    for at in starts {
        data[at + 18] = 183;
    }
    data
}
