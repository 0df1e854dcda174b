//! Ordinary programs in an image: what the standard library does, and what a program that
//! does something wrong comes to.

mod image;

use image::{Outcome, check, machine, output};
use rumprun_build::image::program;
use rumprun_build::image::symbols::{Named, Symbols};
use std::io::Write;

fn main() {
    image::run(&[
        ("qemu::arguments_and_environment", arguments_and_environment),
        ("qemu::standard_library::one_cpu", || standard_library(1)),
        ("qemu::standard_library::two_cpus", || standard_library(2)),
        ("qemu::standard_library::four_cpus", || standard_library(4)),
        ("qemu::faults", faults),
        ("qemu::backtrace_has_names", backtrace_has_names),
        ("qemu::corrupt_root", corrupt_root),
        ("qemu::no_such_program", no_such_program),
    ]);
}

fn arguments_and_environment() -> Outcome {
    let mut machine = machine(&["you", "two words", "\"quoted\\"]);
    machine.line = machine.line.with("env", "STATUS=42");
    let (status, text) = output(&machine, "hello")?;
    check(
        text.contains("hello you, two words, \"quoted\\"),
        "no greeting",
        &text,
    )?;
    check(status == Some(42), &format!("{status:?}"), &text)
}

fn standard_library(cpus: u32) -> Outcome {
    let mut machine = machine(&["one", "two words", ""]);
    machine.cpus = cpus;
    machine.line = machine.line.with("env", "NAME=a value");
    let (status, text) = output(&machine, "std")?;
    check(text.contains("all passed"), "not all passed", &text)?;
    check(status == Some(0), &format!("{status:?}"), &text)
}

/// What goes wrong, what the console says, and the status: 128 and the signal's number, of
/// which seven bits arrive.
const FAULTS: [(&str, &str, u8); 10] = [
    ("null", "SIGSEGV: page fault at 0x0, a null pointer", 11),
    ("division", "SIGFPE: division by zero", 8),
    ("instruction", "SIGILL: invalid instruction", 4),
    ("code", "SIGSEGV: page fault at", 11),
    ("stack", "has overflowed its stack", 6),
    ("abort", "ended by SIGABRT", 6),
    ("alarm", "ended by SIGALRM", 14),
    ("panic", "this panic is meant", 101),
    ("call", "system call 9999 is not there", 0),
    (
        "memory",
        "no memory left for the program: the machine has",
        9,
    ),
];

fn faults() -> Outcome {
    for (what, said, expected) in FAULTS {
        let (status, text) = output(&machine(&[what]), "faults")?;
        check(text.contains(said), &format!("{what}: not `{said}`"), &text)?;
        check(
            status == Some(expected),
            &format!("{what}: {status:?}"),
            &text,
        )?;
    }
    Ok(())
}

/// As `cargo rumprun run` shows it.
fn backtrace_has_names() -> Outcome {
    let (_, text) = output(&machine(&["null"]), "faults")?;
    let symbols = Symbols::read(&program::symbols(&image::image("faults")?))?;
    let mut shown = Named::new(symbols, Vec::new());
    shown.write_all(text.as_bytes())?;
    let shown = String::from_utf8_lossy(shown.get_ref()).into_owned();
    let line = shown.lines().find(|line| line.starts_with("  at 0x"));
    check(
        line.is_some_and(|line| line.contains("faults::")),
        "no name",
        &shown,
    )
}

fn corrupt_root() -> Outcome {
    let place = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, bytes, said) in [
        (
            "nonsense",
            vec![b'x'; 5000],
            "the root file system: byte 0: no header",
        ),
        (
            "gzip",
            [&[0x1f, 0x8b][..], &[8; 200]].concat(),
            "it is compressed (gzip)",
        ),
        ("cut", b"070701".to_vec(), "ends in a header"),
    ] {
        let root = place.join(name);
        std::fs::write(&root, bytes)?;
        let mut machine = machine(&[]);
        machine.root = Some(root);
        let (status, text) = output(&machine, "hello")?;
        check(text.contains(said), &format!("{name}: not `{said}`"), &text)?;
        check(status == Some(6), &format!("{name}: {status:?}"), &text)?;
    }
    Ok(())
}

fn no_such_program() -> Outcome {
    let mut machine = machine(&[]);
    machine.line = machine.line.with("exec", "/bin/none");
    let (status, text) = output(&machine, "hello")?;
    check(
        text.contains("/bin/none: there is no such file"),
        "not said",
        &text,
    )?;
    check(status == Some(6), &format!("{status:?}"), &text)
}
