//! `rump run`: programs that know nothing of it, as clients of a kernel in the runner.
//!
//! What a Linux program can do with a socket and its descriptor is done by roles of this
//! very program, over lo0 of the kernel; programs of Debian's talk to Linux over a TAP
//! interface.

mod common;
#[path = "clients/killed.rs"]
mod killed;
#[path = "clients/programs.rs"]
mod programs;
#[path = "clients/roles.rs"]
mod roles;
#[path = "clients/runner.rs"]
mod runner;

use common::{Outcome, netns};
use libtest_mimic::Trial;
use runner::Runner;
use std::process::Command;

/// What has to be built beside this test.
pub const FILES: &[&str] = &["rump"];

/// Whether the kernel is a process of its own.
pub const ELSEWHERE: bool = false;

/// Of the runner.
pub const OPTIONS: &[&str] = &["--verbose"];

fn main() {
    if let Some(role) = std::env::var_os("RUMP_TEST_ROLE") {
        return roles::play(&role.to_string_lossy());
    }
    // Before there are threads.
    let namespace = netns::enter().map_err(|reason| &*reason.leak());
    let mut trials = vec![
        runner::trial("clients::status", status),
        runner::trial("clients::signals_are_passed_on", passed_on),
        runner::trial("clients::killed_in_a_call", killed::test),
        runner::trial("clients::of_a_kernel_elsewhere", elsewhere),
    ];
    for role in roles::ROLES {
        trials.push(runner::trial(format!("clients::{}", role.0), move || {
            play(role.0)
        }));
    }
    trials.push(static_program("cc", "a static C library"));
    trials.push(static_program("musl-gcc", "musl-tools"));
    for (name, test) in programs::TESTS {
        trials.push(runner::program(namespace, name, *test));
    }
    runner::run(trials)
}

/// A role has a runner of its own and is its first program.
fn play(role: &str) -> Outcome {
    let told = Runner::new().role(role).output()?;
    assert_eq!(told.status, 0, "{told:?}");
    assert!(
        told.errors.contains("0 sockets are left"),
        "what the program has not closed: {told:?}"
    );
    Ok(())
}

fn status() -> Outcome {
    let of = |script: &str| {
        let told = Runner::new().arguments(["sh", "-c", script]).output();
        told.map(|told| told.status)
    };
    assert_eq!(of("exit 0")?, 0);
    assert_eq!(of("exit 77")?, 77);
    assert_eq!(of("kill -KILL $$")?, 128 + 9);
    // A daemon of its own session goes on when the first program has ended.
    let told = Runner::new()
        .arguments(["sh", "-c", "setsid sh -c 'sleep 0.3; echo done' & exit 3"])
        .output()?;
    assert_eq!((told.status, told.output.trim()), (3, "done"));
    // There is no runner in a runner.
    let told = Runner::new()
        .arguments([Runner::path()])
        .more("run")
        .more("true")
        .output()?;
    assert_eq!(told.status, 127);
    assert!(told.errors.contains("itself run by one"), "{told:?}");
    let told = Runner::new().arguments(["/nonexistent/program"]).output()?;
    assert_eq!(told.status, 127);
    assert!(
        told.errors
            .contains("/nonexistent/program: No such file or directory"),
        "{told:?}"
    );
    Ok(())
}

fn passed_on() -> Outcome {
    let script = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut running = Runner::new().arguments(["sh", "-c", script]).start()?;
    running.expect("ready")?;
    running.signal(nix::sys::signal::Signal::SIGTERM)?;
    assert_eq!(running.end()?.status, 5);
    Ok(())
}

/// Runners share the kernel of another process, and go on without it.
fn elsewhere() -> Outcome {
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/run_clients.sock");
    let place = format!("unix:{path}");
    let run = || Runner::elsewhere(&place);
    let told = run().arguments(["true"]).output()?;
    assert_eq!(told.status, 127, "nobody listens: {told:?}");
    let mut kernel = Runner::kernel(&place).start()?;
    kernel.expect(&place)?;
    let server = "import socket; l = socket.create_server(('127.0.0.1', 4242)); \
                  print('ready', flush=True); s = l.accept()[0]; s.sendall(s.recv(9)); s.recv(9)";
    let mut running = run().arguments(["python3", "-c", server]).start()?;
    running.expect("ready")?;
    let client = "import socket; s = socket.create_connection(('127.0.0.1', 4242)); \
                  s.sendall(b'across'); print(s.recv(9).decode())";
    let told = run().arguments(["python3", "-c", client]).output()?;
    assert_eq!((told.status, told.output.trim()), (0, "across"), "{told:?}");
    assert_eq!(running.end()?.status, 0);
    // A role as with a kernel of its own.
    let told = run().role("fork_shares_sockets").output()?;
    assert_eq!(told.status, 0, "{told:?}");
    let waits = "import socket; l = socket.create_server(('127.0.0.1', 4243)); \
                 print('ready', flush=True); l.accept()";
    let script = "python3 -c \"$0\"; echo ready; while :; do sleep 0.1; done";
    let mut running = run().arguments(["sh", "-c", script, waits]).start()?;
    running.expect("ready")?;
    kernel.signal(nix::sys::signal::Signal::SIGTERM)?;
    assert_eq!(kernel.end()?.status, 0);
    let told = running.end()?;
    assert_eq!(told.status, 128 + 9, "{told:?}");
    assert!(told.errors.contains("the kernel is gone"), "{told:?}");
    assert!(!std::path::Path::new(path).exists());
    Ok(())
}

/// No library of the program's takes part.
fn static_program(compiler: &'static str, needs: &str) -> Trial {
    let name = format!("clients::static_program_of_{}", compiler.replace('-', "_"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/static.c");
    let folder = env!("CARGO_TARGET_TMPDIR");
    let program = format!("{folder}/run_clients_static_{compiler}");
    let compiled = Command::new(compiler)
        .args(["-static", "-O1", "-o", &program, source])
        .output();
    let possible = compiled.is_ok_and(|output| output.status.success());
    if !possible {
        let reason = format!("no {compiler} with {needs}").leak();
        return common::trial_if(false, "cc", reason, name, || Ok(()));
    }
    runner::trial(name, move || {
        let told = Runner::new().arguments([program]).output()?;
        assert_eq!(told.status, 0, "{told:?}");
        assert_eq!(told.output.trim(), "hello, and the end");
        Ok(())
    })
}
