//! `rump doctor` on machines made of scripts. What this machine has does not matter.

mod fake;

use fake::{Fake, OLD_CLANG, Report};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

#[track_caller]
fn told(report: &Report, level: &str, name: &str, status: &str, words: &[&str]) {
    let (found, detail) = report.thing(level, name);
    assert_eq!(found, status, "{name}: {detail}");
    for word in words {
        assert!(detail.contains(word), "{name}: {word} in: {detail}");
    }
}

#[test]
fn a_machine_with_rust_and_a_compiler_is_ready_for_rump_lite() {
    let fake = Fake::new();
    let report = fake.report(&[]);
    assert_eq!(report.status, Some(0));
    assert!(report.lacks("0").is_empty(), "{:?}", report.lacks("0"));
    assert!(report.lacks("1").is_empty(), "{:?}", report.lacks("1"));
    assert_eq!(report.lacks("1-netbsd"), ["NetBSD tree", "libclang"]);
    told(&report, "0", "C compiler", "found", &["12.2.0", "cc"]);
    told(&report, "0", "bmake", "found", &["20240101"]);
    told(&report, "0", "rust-lld", "found", &["LLD 20.1"]);
    told(&report, "0", "rustc", "found", &["1.90.0"]);
    told(&report, "1-root", "ip", "missing", &["`ip` is not there"]);
    let cache = fake.path("home/.cache/rump/netbsd-src");
    let searched = ["NETBSD_SRC (not set)", cache.to_str().unwrap()];
    told(&report, "1-netbsd", "NetBSD tree", "missing", &searched);
}

#[test]
fn the_exit_status_depends_on_what_is_required() {
    let fake = Fake::new().without("bmake");
    for (arguments, status) in [
        (&[][..], 0),
        (&["--require", "1"], 0),
        (&["--require", "0"], 1),
        (&["--require", "1,1-netbsd"], 1),
        (&["--require", "7"], 2),
        (&["--time-limit", "0"], 2),
    ] {
        let answer = fake.doctor(arguments);
        assert_eq!(answer.status, Some(status), "{arguments:?}: {}", answer.out);
    }
}

#[test]
fn a_missing_bmake_is_told_where_it_is_needed() {
    let fake = Fake::new().without("bmake");
    let report = fake.report(&[]);
    assert_eq!(report.lacks("0"), ["bmake"]);
    assert!(report.lacks("1").is_empty());
    let words = [
        "`bmake` could not be started",
        "evaluate NetBSD's makefiles",
    ];
    told(&report, "0", "bmake", "missing", &words);
    let text = fake.doctor(&["--all-systems"]).out;
    for line in ["-> Debian: apt install bmake", "-> OpenBSD: pkg_add bmake"] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn a_bmake_that_fails_is_told_with_its_own_words() {
    let fake = Fake::new().script("bmake", "echo 'bmake: no memory' >&2; exit 7");
    let words = ["does not work", "exit status: 7", "bmake: no memory"];
    told(&fake.report(&[]), "0", "bmake", "missing", &words);
}

#[test]
fn an_old_compiler_is_told_by_its_version() {
    let report = Fake::new().compiler(OLD_CLANG).report(&[]);
    assert_eq!(report.status, Some(1));
    assert_eq!(report.lacks("1"), ["C compiler"]);
    let words = ["it is clang 3", "clang 9 or newer is needed"];
    told(&report, "1", "C compiler", "missing", &words);
}

#[test]
fn an_old_rust_and_one_that_cannot_link_are_told() {
    let report = Fake::new().rust("1.63.0").report(&[]);
    told(
        &report,
        "1",
        "rustc",
        "wrong",
        &["1.63.0", "or newer is needed"],
    );
    let text = "case \"$*\" in *-vV*) printf 'host: x\\nrelease: 1.90.0\\n' ;;\n\
                *) echo 'warning: hm' >&2; echo 'error: linker `cc` not found' >&2; exit 1 ;; esac";
    let report = Fake::new().script("rustc", text).report(&[]);
    let words = ["exit status: 1", "error: linker `cc` not found"];
    told(&report, "1", "Rust can link", "wrong", &words);
}

#[test]
fn programs_that_hang_are_ended_and_told() {
    let fake = Fake::new().hanging("cargo").hanging("bmake").hanging("cc");
    let start = Instant::now();
    let report = fake.report(&["--time-limit", "2"]);
    assert!(start.elapsed() < Duration::from_secs(60));
    assert_eq!(report.status, Some(1));
    let words = ["did not end within 2 s"];
    told(&report, "0", "cargo", "wrong", &words);
    told(&report, "0", "bmake", "wrong", &words);
    told(&report, "0", "C compiler", "wrong", &words);
    let begun = fs::read_to_string(fake.path("run")).expect("they ran");
    assert_eq!(begun.lines().count(), 3, "{begun}");
    for process in begun.lines() {
        let gone = || !Path::new("/proc").join(process).join("exe").exists();
        while !gone() {
            assert!(start.elapsed() < Duration::from_secs(60), "{process} runs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let left: Vec<_> = fs::read_dir(fake.path("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn odd_output_is_bounded_and_made_plain() {
    let line = "x".repeat(10_000);
    let fake = Fake::new()
        .script("cargo", "printf '\\033[2J\\377\\376cargo\\n'")
        .script("ar", &format!("while :; do echo {line}; done"))
        .script("ld.bfd", "printf '\\n \\n'")
        .script("iperf3", &format!("echo {line}"))
        .script("tshark", "kill -SEGV $$")
        .script("bmake", &format!("echo {line}{line}; exit 0"));
    let report = fake.report(&[]);
    let plain = "\u{fffd}[2J\u{fffd}\u{fffd}cargo";
    assert_eq!(report.thing("0", "cargo"), ("found", plain));
    told(&report, "0", "ar", "wrong", &["wrote more than"]);
    told(&report, "0", "GNU ld", "wrong", &["says nothing"]);
    assert!(report.thing("1-root", "iperf3").1.len() < 200);
    told(&report, "1-root", "tshark", "wrong", &["signal: 11"]);
    assert!(report.thing("0", "bmake").1.len() < 2100);
    let text = fake.doctor(&[]).out;
    assert!(!text.contains('\x1b'), "{text}");
}

/// The process that asks the builder is not trusted either.
#[test]
fn a_compiler_that_writes_without_end_does_not_take_the_report_along() {
    let line = "x".repeat(10_000);
    let fake = Fake::new().script("cc", &format!("while :; do echo {line}; done"));
    let report = fake.report(&["--time-limit", "2"]);
    assert_eq!(report.lacks("1"), ["C compiler"]);
}

#[test]
fn variables_that_are_wrong_are_errors_in_the_builders_words() {
    for (name, value, thing, words) in [
        (
            "NETBSD_SRC",
            "/nonexistent",
            "NetBSD tree",
            &["no such folder"][..],
        ),
        ("RUMP_PREFIX", "empty", "RUMP_PREFIX", &["it has no lib/"]),
        (
            "BMAKE",
            "/nonexistent/bmake",
            "bmake",
            &["bmake is needed", "set BMAKE"],
        ),
        (
            "LIBCLANG_PATH",
            "empty",
            "libclang",
            &["libclang is needed", "set LIBCLANG_PATH"],
        ),
    ] {
        let report = Fake::new().variable(name, value).report(&[]);
        told(&report, "1-netbsd", thing, "wrong", words);
        let shown = report.value["settings"].to_string();
        assert!(shown.contains(name), "{shown}");
    }
    for (variables, words) in [
        (&[("NETBSD_SRC", "/nonexistent")][..], "no such folder"),
        (&[("RUMP_KERNEL", "linux")], "there is no such kernel"),
        (
            &[("NETBSD_SRC", "home"), ("RUMP_PREFIX", "home")],
            "unset one of them",
        ),
        (&[("NETBSD_SRC", "home")], "nothing of NetBSD"),
    ] {
        let fake = variables.iter().fold(Fake::new(), |fake, (name, value)| {
            fake.variable(name, value)
        });
        let report = fake.report(&[]);
        assert_eq!(report.status, Some(1), "{variables:?}");
        assert_eq!(report.lacks("1"), ["settings"]);
        told(&report, "1", "settings", "wrong", &[words]);
    }
    let report = Fake::new().variable("CC", "/nonexistent/cc").report(&[]);
    told(&report, "1", "C compiler", "wrong", &["/nonexistent/cc"]);
    let report = Fake::new()
        .variable("RUSTC", "/nonexistent/rustc")
        .report(&[]);
    told(&report, "1", "rustc", "missing", &["/nonexistent/rustc"]);
}

#[test]
fn something_else_by_the_name_of_libclang_is_told() {
    let fake = Fake::new();
    fs::write(fake.path("empty/libclang.so"), "text").unwrap();
    let words = ["could not be loaded", "empty/libclang.so"];
    told(&fake.report(&[]), "1-netbsd", "libclang", "wrong", &words);
}

#[test]
fn a_tree_is_found_where_the_builder_looks() {
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/minitree");
    let mini = mini.canonicalize().expect("the miniature tree");
    let found = mini.to_str().expect("UTF-8");
    let named = Fake::new().variable("NETBSD_SRC", found);
    let cached = Fake::new();
    let place = cached.path("home/.cache/rump");
    fs::create_dir_all(&place).unwrap();
    std::os::unix::fs::symlink(&mini, place.join("netbsd-src")).unwrap();
    let checkout = Fake::new();
    fs::create_dir_all(checkout.path("work/netbsd-src/kern")).unwrap();
    std::os::unix::fs::symlink(&mini, checkout.path("work/netbsd-src/src")).unwrap();
    let configured = Fake::new();
    fs::create_dir(configured.path("work/.cargo")).unwrap();
    let text = format!("[env]\nNETBSD_SRC = '{found}'\n");
    fs::write(configured.path("work/.cargo/config.toml"), text).unwrap();
    for fake in [named, cached, checkout, configured] {
        let report = fake.report(&[]);
        told(
            &report,
            "1-netbsd",
            "NetBSD tree",
            "found",
            &["NetBSD ", found],
        );
        told(&report, "1", "settings", "found", &["NetBSD ", found]);
        assert_eq!(report.lacks("1-netbsd"), ["libclang"]);
    }
}

#[test]
fn qemu_is_asked_for_its_devices_and_for_kvm() {
    let devices =
        "case \"$*\" in *help*) echo 'name \"nvme\", bus PCI'; echo 'name \"intel-iommu\"' ;;";
    let old = format!("{devices} *kvm*) echo 'qemu: no KVM' >&2; exit 1 ;; *) echo QEMU 5 ;; esac");
    let report = Fake::new().script("qemu-system-x86_64", &old).report(&[]);
    told(&report, "2", "QEMU", "found", &["QEMU 5"]);
    told(
        &report,
        "2",
        "QEMU's devices",
        "wrong",
        &["has no e1000e, e1000, pcnet, edu, virtio-serial-pci, isa-debug-exit"],
    );
    told(
        &report,
        "3",
        "KVM",
        "missing",
        &["only TCG", "qemu: no KVM"],
    );
    assert_eq!(report.lacks("3"), Vec::<&str>::new());
    let new = format!("{devices} *kvm*) exit 33 ;; *) echo QEMU 10 ;; esac");
    let report = Fake::new().script("qemu-system-x86_64", &new).report(&[]);
    told(&report, "3", "KVM", "found", &["a processor runs"]);
    let report = Fake::new().report(&[]);
    told(
        &report,
        "3",
        "KVM",
        "missing",
        &["QEMU is not there to ask"],
    );
    assert_eq!(report.lacks("3"), ["QEMU"]);
}

#[test]
fn a_guest_kernel_is_where_the_tests_look_for_it() {
    let kernel = |fake: &Fake, folder: &str, module: &str| {
        let folder = fake.path(folder);
        let modules = folder.join("lib/modules/6.1");
        fs::create_dir_all(&modules).unwrap();
        fs::create_dir_all(folder.join("boot")).unwrap();
        let mut image = vec![0; 0x300];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        fs::write(folder.join("boot/vmlinuz-6.1"), image).unwrap();
        fs::write(
            modules.join("modules.order"),
            format!("kernel/{module}.ko\n"),
        )
        .unwrap();
    };
    let fake = Fake::new();
    kernel(&fake, "home/.cache/rump/guest", "vfio-pci");
    let report = fake.report(&[]);
    told(&report, "2", "guest kernel", "found", &["vmlinuz-"]);
    kernel(&fake, "own", "e1000e");
    let fake = fake.variable("RUMP_GUEST_KERNEL", "own");
    let report = fake.report(&[]);
    let words = ["own/boot/vmlinuz-6.1", "has no module vfio-pci"];
    told(&report, "2", "guest kernel", "missing", &words);
    let name = "NIC drivers in a guest kernel";
    told(&report, "2", name, "found", &["own/boot/vmlinuz-6.1"]);
}

#[test]
fn a_configuration_that_cargo_refuses_is_told() {
    let fake = Fake::new();
    fs::create_dir(fake.path("work/.cargo")).unwrap();
    fs::write(fake.path("work/.cargo/config.toml"), "[env\n").unwrap();
    let words = ["cargo cannot read its configuration", "config.toml"];
    told(&fake.report(&[]), "1", "settings", "wrong", &words);
}

#[test]
fn an_installed_kernel_needs_no_tree() {
    let fake = Fake::new().without("bmake").variable("RUMP_PREFIX", "home");
    for folder in ["home/lib", "home/include/rump"] {
        fs::create_dir_all(fake.path(folder)).unwrap();
    }
    let report = fake.report(&["--require", "1-netbsd"]);
    assert_eq!(report.status, Some(0), "{}", report.value);
}
