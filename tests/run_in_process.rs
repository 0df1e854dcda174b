//! `rump run --in-process`: the programs and the roles of `run_clients` that do not fork,
//! with the kernel in their own process.

mod common;
#[path = "clients/killed.rs"]
#[allow(dead_code)]
mod killed;
#[path = "preload/modes.rs"]
mod modes;
#[path = "preload/roles.rs"]
mod own;
#[path = "clients/programs.rs"]
#[allow(dead_code)]
mod programs;
#[path = "clients/roles.rs"]
mod roles;
#[path = "clients/runner.rs"]
#[allow(dead_code)]
mod runner;

use common::Outcome;
use libtest_mimic::Trial;
use modes::FILES;
use runner::Runner;
use std::process::Command;

/// Whether the kernel is a process of its own.
pub const ELSEWHERE: bool = false;

/// Of the runner.
pub const OPTIONS: &[&str] = &["--verbose", "--in-process"];

fn main() {
    modes::main("in_process", "", || {
        vec![
            runner::trial("in_process::no_such_program", no_such_program),
            python_trial("in_process::a_child_is_told", a_child_is_told),
            python_trial("in_process::a_wrong_setup_is_told", a_wrong_setup_is_told),
            static_programs(),
            runner::trial("in_process::functions_only", functions_only),
            runner::trial("in_process::nothing_boots_for_nothing", boots_nothing),
        ]
    });
}

fn no_such_program() -> Outcome {
    let told = Runner::new().arguments(["/nonexistent/program"]).output()?;
    assert_eq!(told.status, 127);
    let reason = "/nonexistent/program: No such file or directory";
    assert!(told.errors.contains(reason), "{told:?}");
    Ok(())
}

/// A trial whose program is a script.
fn python_trial(name: &str, test: fn() -> Outcome) -> Trial {
    let found = Command::new("python3").arg("-V").output().is_ok();
    if found {
        return runner::trial(name, test);
    }
    common::trial_if(false, "python3", "no python3", name, test)
}

fn python(script: &str) -> [&str; 3] {
    ["python3", "-c", script]
}

/// Its calls fail, and say why; its parent's go on.
fn a_child_is_told() -> Outcome {
    let script = "\
import os, socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(('127.0.0.1', 0))
if os.fork() == 0:
    try:
        one.send(b'x')
    except OSError as error:
        os._exit(error.errno)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.wait()[1]))
one.sendto(b'x', one.getsockname())
print(one.recv(1))
";
    let told = Runner::new().arguments(python(script)).output()?;
    assert_eq!(told.output, "5\nb'x'\n", "{told:?}");
    let reason = "a child cannot use its parent's sockets with --in-process";
    assert_eq!(told.errors.matches(reason).count(), 1, "{told:?}");
    Ok(())
}

/// Then the sockets that instructions make are Linux's, and the functions' are not.
fn functions_only() -> Outcome {
    let told = Runner::new()
        .more("--functions-only")
        .role("calls_by_instruction")
        .output()?;
    assert_ne!(told.status, 0, "{told:?}");
    assert!(told.errors.contains("ConnectionRefused"), "{told:?}");
    Ok(())
}

/// Not the host's network instead.
fn a_wrong_setup_is_told() -> Outcome {
    let told = Runner::new()
        .option("--tap", "a name that is too long")
        .option("--address", "10.0.0.2/24")
        .arguments(python("import socket; socket.socket(); print('went on')"))
        .output()?;
    assert_eq!((told.status, told.output.as_str()), (127, ""), "{told:?}");
    assert!(told.errors.contains("a name that is too long"), "{told:?}");
    Ok(())
}

/// They would use the host's network without a word.
fn static_programs() -> Trial {
    let name = "in_process::static_programs_are_refused";
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/static.c");
    let program = concat!(env!("CARGO_TARGET_TMPDIR"), "/run_in_process_static");
    let made = std::process::Command::new("cc")
        .args(["-static", "-O1", "-o", program, source])
        .output()
        .is_ok_and(|output| output.status.success());
    let reason = "no C compiler with a static C library";
    common::trial_if(made, "cc", reason, name, move || {
        let told = Runner::new().arguments([program]).output()?;
        assert_eq!(told.status, 127, "{told:?}");
        assert!(told.errors.contains("linked statically"), "{told:?}");
        Ok(())
    })
}

/// A program without internet sockets has no kernel, and may do what it likes.
fn boots_nothing() -> Outcome {
    let told = Runner::new()
        .option("--tap", "a name that is too long")
        .option("--address", "10.0.0.2/24")
        .arguments(["sh", "-c", "echo one | cat; exec echo two"])
        .output()?;
    assert_eq!((told.status, told.output.as_str()), (0, "one\ntwo\n"));
    Ok(())
}
