//! The archive in programs that GNU ld and rust-lld link, with `--gc-sections`, as
//! Rust's toolchains pass it: everything must still be there when the kernel boots.

use crate::support::*;
use object::elf::{FileHeader64, SHF_GNU_RETAIN};
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, Object, ObjectSection};
use rumprun_build::kernel::Kernel;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Clone, Copy)]
pub enum Linker {
    Gnu,
    Rust,
}

pub const BOTH: [Linker; 2] = [Linker::Gnu, Linker::Rust];

impl Linker {
    fn flags(self) -> Vec<String> {
        match self {
            Linker::Gnu => vec!["-fuse-ld=bfd".into()],
            Linker::Rust => vec![format!("-B{}", rust_lld().display()), "-fuse-ld=lld".into()],
        }
    }
}

/// The folder in which Rust's toolchain keeps its `ld.lld`.
fn rust_lld() -> PathBuf {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let sysroot = run(Command::new(rustc).args(["--print", "sysroot"]));
    let folder = Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(TARGET)
        .join("bin/gcc-ld");
    assert!(folder.join("ld.lld").exists(), "no {}", folder.display());
    folder
}

/// Links `library` whole into the program, and says if that fails.
fn link(library: &Path, linker: Linker, program: &Path) -> Result<(), String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/minitree/program.c");
    let output = Command::new("cc")
        .args(linker.flags())
        .args(["-O1", "-ffunction-sections", "-Wl,--gc-sections", "-o"])
        .arg(program)
        .arg(source)
        .arg("-Wl,--whole-archive")
        .arg(library)
        .arg("-Wl,--no-whole-archive")
        .output()
        .expect("cc is installed");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    // Each linker signs what it links.
    let data = fs::read(program).expect("the program");
    let file = object::File::parse(&*data).expect("an ELF file");
    let comment = file.section_by_name(".comment").expect("a comment section");
    let comment = String::from_utf8_lossy(comment.data().expect("data")).into_owned();
    assert_eq!(
        comment.contains("LLD"),
        matches!(linker, Linker::Rust),
        "{comment}"
    );
    Ok(())
}

/// Links `library`, boots it, and returns what it printed.
pub fn boot(library: &Path, linker: Linker) -> Printed {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let program = dir.path().join("program");
    if let Err(message) = link(library, linker, &program) {
        panic!("{linker:?} does not link {}:\n{message}", library.display());
    }
    parse(&run(&mut Command::new(program)))
}

#[test]
fn a_kernel_is_complete_with_both_linkers() {
    let (mini, kernel) = full();
    for linker in BOTH {
        let printed = boot(&mini.library(), linker);
        check(kernel, &printed).unwrap_or_else(|wrong| panic!("{linker:?}: {wrong}"));
        let quirk = fs::read_to_string(mini.tree.join("sys/kern/quirk.c"));
        let line = quirk
            .expect("quirk.c")
            .lines()
            .position(|line| line.contains("QUIRK_LINE"))
            .expect("its line")
            + 1;
        for (name, value) in [
            ("rump_init()", "0".into()),
            ("rump_release()", "10.99.7".into()),
            // The strong route_lookup was taken, and the sum needs three components.
            ("rump_route(5)", "1005".into()),
            ("rump_send(5, \"abc\", 3)", "591".into()),
            // Host-side source with flags of its own.
            ("rump_link_length()", "12".into()),
            // Host, bridge and three disks, attached by the generated tables.
            ("rump_device_count()", "5".into()),
            ("rump_toydisk_slots()", "123".into()),
            ("rump_toydisk_speeds()", "11".into()),
            ("rump_tickers()", "2".into()),
            ("rump_vfs_count()", "1".into()),
            // A copy of the source was compiled, and knows its lines.
            ("rump_quirk(2, 3)", (2 + line * 1000).to_string()),
            ("rump_account(5)", "12".into()),
        ] {
            assert_eq!(printed[name], value, "{linker:?}: {name}");
        }
    }
}

#[test]
fn the_weak_stub_serves_where_nothing_richer_is_asked_for() {
    let mini = Mini::new();
    let kernel = mini.build(&["net"]);
    let printed = boot(&mini.library(), Linker::Gnu);
    check(&kernel, &printed).expect("complete");
    assert_eq!(printed["rump_route(5)"], "-1");
    assert_eq!(printed["rump_send(5, \"abc\", 3)"], "-1");
}

/// The way that users link: rustc, a `static:+whole-archive` library, its own linker.
#[test]
fn a_rust_program_holds_the_complete_kernel() {
    let (mini, kernel) = full();
    let source = "
        #[unsafe(no_mangle)] extern \"C\" fn rumpuser_init(_: i32) -> i32 { 0 }
        #[unsafe(no_mangle)] extern \"C\" fn rumpuser_putchar(_: i32) {}
        unsafe extern \"C\" {
            safe fn rump_init() -> i32;
            safe fn rump_component_count(kind: i32) -> i32;
            safe fn rump_component_inits() -> i32;
            safe fn rump_domain_count() -> i32;
            safe fn rump_module_count() -> i32;
        }
        fn main() {
            assert_eq!(rump_init(), 0);
            println!(\"rump_components {}\", rump_component_count(-1));
            println!(\"inits {}\", rump_component_inits());
            println!(\"domains {}\", rump_domain_count());
            println!(\"modules {}\", rump_module_count());
            for kind in 0..16 { println!(\"type {kind} {}\", rump_component_count(kind)); }
        }";
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (file, program) = (dir.path().join("main.rs"), dir.path().join("main"));
    fs::write(&file, source).expect("a file");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    run(Command::new(rustc)
        .args(["--edition=2024", "-lstatic:+whole-archive=rumpkernel", "-L"])
        .arg(&mini.out)
        .arg("-o")
        .arg(&program)
        .arg(file));
    let printed = parse(&run(&mut Command::new(program)));
    check(kernel, &printed).expect("complete");
}

/// The object without the marks on the sections that `chosen` names.
fn unretained(data: &[u8], chosen: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut out = data.to_vec();
    let header = FileHeader64::<Endianness>::parse(data).expect("ELF");
    let endian = header.endian().expect("an order");
    let sections = header.sections(endian, data).expect("sections");
    let size = header.e_shentsize(endian) as usize;
    for (index, section) in sections.iter().enumerate() {
        let name = sections.section_name(endian, section).expect("a name");
        if chosen(&String::from_utf8_lossy(name)) {
            let flags = section.sh_flags(endian) & !u64::from(SHF_GNU_RETAIN);
            let at = header.e_shoff(endian) as usize + index * size + 8;
            out[at..at + 8].copy_from_slice(&flags.to_le_bytes());
        }
    }
    out
}

/// A copy of the full kernel where `chosen` sections of `chosen` members lost their mark.
fn strip(dir: &Path, chosen: impl Fn(&str, &str) -> bool) -> (PathBuf, &'static Kernel) {
    let (mini, kernel) = full();
    let members: Vec<_> = members(&mini.library())
        .into_iter()
        .map(|(name, data)| {
            let data = unretained(&data, |section| chosen(&name, section));
            (name, data)
        })
        .collect();
    let path = dir.join("librumpkernel.a");
    archive(&path, &members);
    (path, kernel)
}

/// What happens without the mark: nobody says a word, and the count notices.
#[test]
fn rust_lld_drops_entries_that_are_not_marked_and_the_count_notices() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (library, kernel) = strip(dir.path(), |member, section| {
        member == "rumpnet_net-net_component.o" && section == "link_set_domains"
    });
    let printed = boot(&library, Linker::Rust);
    assert_eq!(printed["domains"], "0");
    let wrong = check(kernel, &printed).expect_err("domains are gone");
    assert!(wrong.contains("link sets"), "{wrong}");

    let dir = tempfile::tempdir().expect("a temporary folder");
    let (library, kernel) = strip(dir.path(), |member, section| {
        member.starts_with("rumpnet_null-") && section == "link_set_rump_components"
    });
    let printed = boot(&library, Linker::Rust);
    let counts: BTreeMap<_, _> = printed.iter().collect();
    assert_eq!(printed["rump_components"], "13", "{counts:?}");
    check(kernel, &printed).expect_err("a component is gone");
}

#[test]
fn the_control_itself_changes_nothing_else() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (library, kernel) = strip(dir.path(), |_, _| false);
    check(kernel, &boot(&library, Linker::Rust)).expect("complete");
}
