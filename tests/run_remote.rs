//! `rump run --in-process --kernel`: the programs and roles of `run_in_process`, as clients of
//! a kernel in another process.

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
use modes::FILES;
use runner::Runner;

/// Of the runner.
pub const OPTIONS: &[&str] = &["--in-process"];

/// Whether the kernel is a process of its own.
pub const ELSEWHERE: bool = true;

fn main() {
    // Children are other clients here.
    modes::main("remote", "a_child_keeps_its_own", || {
        vec![
            runner::trial("remote::nobody_listens", nobody_listens),
            runner::trial("remote::children", children),
        ]
    });
}

/// Not the host's network instead.
fn nobody_listens() -> Outcome {
    let told = Runner::elsewhere("unix:/nonexistent/rump.sock")
        .arguments(["python3", "-c", "import socket; socket.socket()"])
        .output()?;
    assert_eq!(told.status, 127, "{told:?}");
    assert!(told.errors.contains("/nonexistent/rump.sock"), "{told:?}");
    Ok(())
}

/// They have their parent's sockets, and make their own.
fn children() -> Outcome {
    let script = "\
import os, socket
server = socket.create_server(('127.0.0.1', 0))
for number in range(3):
    if os.fork() == 0:
        connection, _ = server.accept()
        connection.sendall(b'child %d' % number)
        connection.close()
        os._exit(0)
    with socket.create_connection(server.getsockname()) as client:
        print(client.makefile().read())
    print(os.wait()[1])
";
    let told = Runner::new()
        .arguments(["python3", "-c", script])
        .output()?;
    let expected = "child 0\n0\nchild 1\n0\nchild 2\n0\n";
    assert_eq!(told.output, expected, "{told:?}");
    Ok(())
}
