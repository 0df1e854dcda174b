//! What is in the archive: components, names, marks, counts.

use crate::support::*;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, Object, ObjectSection};
use rumprun_build::tree::Tree;
use rumprun_build::{object_file, syscalls};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_builder_knows_what_it_archived() {
    let (mini, kernel) = full();
    assert_eq!(
        kernel.components,
        [
            "rump",
            "rumpdev",
            "rumpdev_ticker",
            "rumpdev_toydisk",
            "rumpdev_toyhost",
            "rumpkern_account",
            "rumpkern_ledger",
            "rumpkern_quirk",
            "rumpkern_sum",
            "rumpnet",
            "rumpnet_net",
            "rumpnet_null",
            "rumpnet_route",
            "rumpnet_wire",
            "rumpvfs",
            "rumpvfs_null",
        ]
    );
    let sets = [("domains", 3), ("modules", 2), ("rump_components", 14)];
    assert_eq!(kernel.link_sets, sets.map(|(n, c)| (n.into(), c)).into());
    let types = [
        (0, 3),
        (1, 2),
        (2, 3),
        (3, 1),
        (4, 2),
        (5, 1),
        (6, 1),
        (7, 1),
    ];
    assert_eq!(kernel.component_types, types.into());
    assert_eq!(kernel.folder, mini.out);
    let machine = kernel.machine_include.as_ref().expect("headers");
    assert!(machine.join("machine/types.h").exists());
    assert!(machine.join("x86/width.h").exists());
    let names: BTreeSet<_> = members(&mini.library()).into_iter().map(|m| m.0).collect();
    for name in [
        "rump-vers.o",
        "rump-atomic_inc.o",
        "rumpnet_wire-wire_user.o",
    ] {
        assert!(names.contains(name), "{names:?}");
    }
    // All but the decoy, which turned out to be needless.
    let objects = kernel.report.compiled + kernel.report.current;
    assert_eq!(names.len(), objects - 1);
}

#[test]
fn everything_that_a_kernel_is_made_from_is_named() {
    let (mini, kernel) = full();
    let root = mini.tree.canonicalize().expect("the tree");
    let named: BTreeSet<_> = kernel.dependencies.iter().collect();
    for file in [
        "sys/sys/cdefs.h",
        "sys/arch/x86/include/width.h",
        "sys/net/packet.h",
        "sys/kern/kern_print.c",
        "sys/rump/net/lib/libwire/wire_user.c",
        "sys/rump/Makefile.rump",
        "sys/rump/net/lib/libnet/Makefile",
        "sys/rump/dev/config/DISK.ioconf",
        "sys/dev/toy/files.toy",
        "common/lib/libc/arch/x86_64/atomic_inc.S",
    ] {
        assert!(named.contains(&root.join(file)), "{file} in {named:?}");
    }
    for path in &kernel.dependencies {
        assert!(path.is_absolute() && path.exists(), "{}", path.display());
        assert!(!path.starts_with(&mini.out), "{}", path.display());
    }
}

/// What upstream's rule says of a global name, in other words than the builder's.
fn belongs(name: &str, kept: &[&str]) -> bool {
    let namespaces = ["rumpns_", "rump", "RUMP", "__", "_GLOBAL_OFFSET_TABLE_"];
    namespaces
        .iter()
        .chain(kept)
        .any(|own| name.starts_with(own))
}

#[test]
fn every_global_name_is_in_the_namespace() {
    let (mini, _) = full();
    let mut renamed = BTreeSet::new();
    for (member, data) in members(&mini.library()) {
        if member == "rumpnet_wire-wire_user.o" {
            continue;
        }
        for (name, _) in globals(&data) {
            assert!(belongs(&name, &["sumabi_", "sumtable"]), "{member}: {name}");
            assert!(!name.starts_with("rumpns_rump"), "{member}: {name}");
            renamed.extend(name.strip_prefix("rumpns_").map(String::from));
        }
    }
    // C, assembly, generated, a common variable, and a weak definition.
    for name in [
        "packet_sum",
        "atomic_inc",
        "osrelease",
        "boot_verbose",
        "route_lookup",
    ] {
        assert!(renamed.contains(name), "{renamed:?}");
    }
}

#[test]
fn the_host_side_and_kept_names_stay() {
    let (mini, _) = full();
    let members: BTreeMap<_, _> = members(&mini.library()).into_iter().collect();
    let user: BTreeSet<_> = globals(&members["rumpnet_wire-wire_user.o"])
        .into_iter()
        .collect();
    assert!(user.contains(&("wire_host_name".into(), true)), "{user:?}");
    assert!(
        user.contains(&("rumpcomp_wire_length".into(), true)),
        "{user:?}"
    );
    let sum: BTreeSet<_> = globals(&members["rumpkern_sum-sum.o"])
        .into_iter()
        .collect();
    for kept in ["sumtable", "sumabi_version"] {
        assert!(sum.contains(&(kept.into(), false)), "{sum:?}");
    }
    assert!(sum.contains(&("rumpns_sum_words".into(), true)), "{sum:?}");
}

/// Global names in an object, and whether it defines them.
fn globals(data: &[u8]) -> Vec<(String, bool)> {
    let header = FileHeader64::<Endianness>::parse(data).expect("ELF");
    let endian = header.endian().expect("an order");
    let sections = header.sections(endian, data).expect("sections");
    let symbols = sections
        .symbols(endian, data, elf::SHT_SYMTAB)
        .expect("symbols");
    symbols
        .iter()
        .filter(|symbol| !symbol.is_local())
        .map(|symbol| {
            let name = symbol.name(endian, symbols.strings()).expect("a name");
            let defined = symbol.st_shndx(endian) != elf::SHN_UNDEF;
            (String::from_utf8_lossy(name).into_owned(), defined)
        })
        .collect()
}

/// The tree's own makefiles rename with nm, awk and objcopy; both ways must agree.
#[test]
fn objcopy_renames_to_the_same_names() {
    let (mini, _) = full();
    let ours: BTreeMap<_, _> = members(&mini.library()).into_iter().collect();
    let place = tempfile::tempdir().expect("a temporary folder");
    let mut compared = 0;
    for (folder, lib) in [
        ("librump/rumpkern", "rump"),
        ("librump/rumpnet", "rumpnet"),
        ("net/lib/libnet", "rumpnet_net"),
        ("net/lib/libwire", "rumpnet_wire"),
        ("kern/lib/libsum", "rumpkern_sum"),
    ] {
        let theirs = make_library(&mini.tree, folder, lib, place.path());
        for (name, data) in members(&theirs) {
            let sorted = |data| globals(data).into_iter().collect::<BTreeSet<_>>();
            let ours = sorted(&ours[&format!("{lib}-{name}")]);
            assert_eq!(ours, sorted(&data), "{lib} {name}");
            compared += ours.len();
        }
    }
    assert!(compared > 40, "{compared} names");
}

/// Builds a component as its makefile says, without the builder.
pub fn make_library(tree: &Path, folder: &str, lib: &str, place: &Path) -> std::path::PathBuf {
    let objects = place.join(lib);
    fs::create_dir_all(&objects).expect("a folder");
    run(Command::new("bmake")
        .env("MAKEOBJDIR", &objects)
        .arg("-m")
        .arg(tree.join("share/mk"))
        .arg("-C")
        .arg(tree.join("sys/rump").join(folder))
        .args([
            "MACHINE=amd64",
            "MACHINE_ARCH=x86_64",
            "EXTERNAL_TOOLCHAIN=no",
        ])
        .args([
            "RUMP_CURLWP=__thread",
            "CC=cc -fPIC -fcommon -ftls-model=initial-exec",
        ])
        .arg("RUMPKERN_UNDEF=-Ulinux -U__linux -U__linux__ -U__gnu_linux__")
        .arg(format!("NETBSDSRCDIR={}", tree.display()))
        .arg(format!("TOPRUMP={}/sys/rump", tree.display())));
    objects.join(format!("lib{lib}.a"))
}

#[test]
fn link_sets_are_marked_and_nothing_else_is() {
    let (mini, _) = full();
    let mut marked = 0;
    for (member, data) in members(&mini.library()) {
        let header = FileHeader64::<Endianness>::parse(&*data).expect("ELF");
        let endian = header.endian().expect("an order");
        assert_eq!(header.e_ident.os_abi, elf::ELFOSABI_GNU, "{member}");
        let sections = header.sections(endian, &*data).expect("sections");
        for section in sections.iter() {
            let name = sections.section_name(endian, section).expect("a name");
            let retained = section.sh_flags(endian) & u64::from(elf::SHF_GNU_RETAIN) != 0;
            let name = String::from_utf8_lossy(name);
            assert_eq!(retained, name.starts_with("link_set_"), "{member} {name}");
            marked += usize::from(retained);
        }
    }
    assert!(marked >= 16, "{marked}");
}

/// Renaming changes names and marks; code and data stay as the compiler left them.
#[test]
fn renaming_leaves_the_contents_alone() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (source, object) = (dir.path().join("a.c"), dir.path().join("a.o"));
    let text = "extern int other(int); static int v = 7; int w = 9; __attribute__((weak)) int f(int a) { return other(a) + v++; }\n\
                static const void *const e __attribute__((section(\"link_set_s\"), used)) = &w;\n";
    fs::write(&source, text).expect("a file");
    for flags in [&["-g"][..], &["-O2", "-fPIC", "-ffunction-sections"]] {
        for compiler in ["cc", "clang"] {
            run(Command::new(compiler)
                .args(flags)
                .arg("-c")
                .arg("-o")
                .arg(&object)
                .arg(&source));
            let before = fs::read(&object).expect("the object");
            let after = object_file::rename(&object, &before, &Default::default());
            let after = after.unwrap_or_else(|error| panic!("{error}"));
            let contents = |data: &[u8]| -> Vec<(String, Vec<u8>)> {
                let file = object::File::parse(data).expect("ELF");
                file.sections()
                    .map(|s| {
                        (
                            s.name().expect("a name").into(),
                            s.data().expect("data").to_vec(),
                        )
                    })
                    .filter(|(name, _): &(String, _)| ![".symtab", ".strtab"].contains(&&**name))
                    .collect()
            };
            assert_eq!(contents(&before), contents(&after));
            let symbols = object_file::symbols(&object, &after).expect("symbols");
            assert_eq!(symbols.strong, ["rumpns_w"]);
            assert_eq!(symbols.weak, ["rumpns_f"]);
            assert!(symbols.undefined.contains(&"rumpns_other".into()));
            assert_eq!(symbols.link_sets, [("s".into(), 1)].into());
            // A second renaming finds nothing to do.
            let again = object_file::rename(&object, &after, &Default::default()).expect("again");
            let symbols_again = object_file::symbols(&object, &again).expect("symbols");
            assert_eq!(symbols, symbols_again);
        }
    }
}

#[test]
fn the_same_sources_make_the_same_archive() {
    let mini = Mini::new();
    mini.build(&["net", "wire"]);
    let first = fs::read(mini.library()).expect("the archive");
    fs::remove_dir_all(&mini.out).expect("the folder is there");
    mini.build(&["net", "wire"]);
    assert!(fs::read(mini.library()).expect("the archive") == first);
}

#[test]
fn makefiles_say_how_each_source_is_compiled() {
    let (mini, _) = full();
    let command = |object: &str| {
        fs::read_to_string(mini.object(object).with_extension("o.cmd")).expect("a record")
    };
    let rump = command("librump/rumpkern/rump.o");
    for flag in [
        "-fno-unroll-loops",
        "-Ulinux",
        "-DRUMP_CURLWP=__thread",
        "-fcommon",
    ] {
        assert!(rump.lines().any(|line| line == flag), "{flag} in {rump}");
    }
    for (flag, why) in [
        ("--sysroot", "a foreign root"),
        ("-Wall", "warnings"),
        ("-DDIAGNOSTIC", "RUMP_DIAGNOSTIC=no"),
        ("-DCOMPAT_", "RUMP_NBCOMPAT=none"),
    ] {
        assert!(!rump.contains(flag), "{why}: {rump}");
    }
    assert!(!command("librump/rumpkern/same.o").contains("-fno-unroll-loops"));
    assert!(command("librump/rumpkern/kern_print.o").contains("LINE_END"));
    let user = command("net/lib/libwire/wire_user.o");
    assert!(user.contains("-DWIRE_NAME=\"wire on host\""), "{user}");
    assert!(!user.contains("-nostdinc"), "{user}");
}

#[test]
fn the_version_and_the_system_calls_are_read() {
    let tree = Tree::open(Path::new(MINITREE)).expect("the tree");
    assert_eq!(tree.version().to_string(), "10.99.7");
    let names = syscalls::names(&tree.rump().join("include/rump")).expect("names");
    assert_eq!(names["getrelease"], "rump___sysimpl_getrelease2");
}
