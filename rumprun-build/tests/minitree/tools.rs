//! The programs that the builder runs: absent, old, or something else by that name.
//!
//! They are named by the environment, which a test process must not change under its
//! own feet, so this program is run again with another one and builds a kernel there.

use crate::support::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kernel with whatever tools the environment names.
#[test]
fn a_kernel_is_built_with_the_tools_at_hand() {
    let mini = Mini::new();
    let kernel = mini.build(&["net", "quirk"]);
    check(
        &kernel,
        &crate::linkers::boot(&mini.library(), crate::linkers::Linker::Gnu),
    )
    .expect("complete");
}

/// Runs the test above with other variables; success, and what it printed.
fn rebuilt(variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([
        "--exact",
        "tools::a_kernel_is_built_with_the_tools_at_hand",
        "--nocapture",
    ]);
    for name in ["CC", "TARGET_CC", "BMAKE", "CFLAGS"] {
        command.env_remove(name);
    }
    command
        .envs(variables.iter().copied())
        .env("RUST_BACKTRACE", "0");
    let output = command.output().expect("this program");
    let text = [output.stdout, output.stderr]
        .map(|t| String::from_utf8_lossy(&t).into_owned())
        .concat();
    assert!(text.contains("running 1 test"), "{text}");
    (output.status.success(), text)
}

fn fails(variables: &[(&str, &str)], words: &[&str]) {
    let (success, text) = rebuilt(variables);
    assert!(!success, "{variables:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{variables:?}: {word} in: {text}");
    }
}

fn script(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    path
}

/// Where `program` is in the path.
fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("a path");
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.exists())
        .unwrap_or_else(|| panic!("{program} is not installed"))
}

#[test]
fn a_missing_bmake_is_told_with_where_to_get_it() {
    let words = [
        "bmake is needed",
        "apt install bmake",
        "dnf install bmake",
        "set BMAKE",
    ];
    fails(&[("BMAKE", "/nonexistent/bmake")], &words);
    fails(
        &[("BMAKE", "/nonexistent/bmake")],
        &["`/nonexistent/bmake` could not be started"],
    );
    // A path with a compiler and without bmake.
    let dir = tempfile::tempdir().expect("a temporary folder");
    let tools = dir.path().join("bin");
    fs::create_dir(&tools).expect("a folder");
    for tool in ["cc", "as", "ld"] {
        std::os::unix::fs::symlink(which(tool), tools.join(tool)).expect("a link");
    }
    fails(&[("PATH", &tools.display().to_string())], &words);
}

#[test]
fn another_make_is_told_apart() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for text in ["exit 0", "echo GNU Make 4.3 >&2; exit 2", "cat >/dev/null"] {
        let other = script(dir.path(), "make", text).display().to_string();
        fails(
            &[("BMAKE", &other)],
            &["is not NetBSD's make", "apt install bmake"],
        );
    }
    // Not executable, and a folder.
    let file = dir.path().join("text");
    fs::write(&file, "hello").expect("a file");
    for path in [file.as_path(), dir.path()] {
        fails(
            &[("BMAKE", &path.display().to_string())],
            &["could not be started"],
        );
    }
}

#[test]
fn bmake_by_another_name_will_do() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let text = format!("exec {} \"$@\"", which("bmake").display());
    let other = script(dir.path(), "my make", &text).display().to_string();
    let (success, text) = rebuilt(&[("BMAKE", &other)]);
    assert!(success, "{text}");
}

#[test]
fn a_missing_compiler_is_told() {
    let nowhere = "/nonexistent/cc";
    fails(&[("CC", nowhere)], &["C compiler", nowhere, "set CC"]);
}

/// A compiler that says of itself what `macros` says.
fn fails_with_macros(macros: &str, words: &[&str]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let compiler = script(dir.path(), "oldcc", &format!("cat <<'E'\n{macros}\nE"));
    fails(&[("CC", &compiler.display().to_string())], words);
}

#[test]
fn an_old_or_foreign_compiler_is_refused() {
    fails_with_macros(
        "#define __GNUC__ 4\n#define __x86_64__ 1\n#define __VERSION__ \"4.9\"",
        &["gcc 4", "gcc 8 or newer", "set CC", "oldcc"],
    );
    fails_with_macros(
        "#define __GNUC__ 4\n#define __clang_major__ 6\n#define __x86_64__ 1",
        &["clang 6", "clang 9 or newer"],
    );
    fails_with_macros("#define __GNUC__ 12\n#define __aarch64__ 1", &["x86_64"]);
    fails_with_macros("#define __TINYC__ 1", &["neither gcc nor clang"]);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let broken = script(dir.path(), "cc", "echo my license has expired >&2; exit 1");
    fails(
        &[("CC", &broken.display().to_string())],
        &["my license has expired"],
    );
}

#[test]
fn clang_builds_the_kernel_too() {
    let (success, text) = rebuilt(&[("CC", "clang")]);
    assert!(success, "{text}");
}

/// Messages are read, so the compiler must speak English to the builder.
#[test]
fn the_locale_does_not_matter() {
    let (success, text) = rebuilt(&[
        ("LC_ALL", "de_DE.UTF-8"),
        ("LANG", "de_DE.UTF-8"),
        ("LANGUAGE", "de"),
    ]);
    assert!(success, "{text}");
}

/// What users have in their environment for other makes.
#[test]
fn the_environment_does_not_reach_the_makefiles() {
    let variables = [
        ("MAKEFLAGS", "-n --jobserver-auth=3,4 -j8"),
        ("MAKEOBJDIRPREFIX", "/nonexistent"),
        ("MACHINE", "vax"),
        ("CPPFLAGS", "-DLINE_END=bad -include /nonexistent"),
        ("LIB", "wrong"),
        ("SRCS", "wrong.c"),
        ("MAKESYSPATH", "/nonexistent"),
    ];
    let (success, text) = rebuilt(&variables);
    assert!(success, "{text}");
}
