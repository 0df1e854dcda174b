//! `rump run --in-process --kernel`: the programs and roles of `run_in_process`, as clients of
//! a kernel in another process.

mod common;
#[path = "clients/killed.rs"]
#[allow(dead_code)]
mod killed;
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

use common::{Outcome, netns};
use runner::Runner;

/// What has to be built beside this test.
pub const FILES: &[&str] = &["rump", "librump_preload.so"];

/// Of the runner.
pub const OPTIONS: &[&str] = &["--in-process"];

/// Whether the kernel is a process of its own.
pub const ELSEWHERE: bool = true;

/// What does not pass descriptors on, nor executes other programs.
const ROLES: &[&str] = &[
    "signals_interrupt",
    "threads_wait_apart",
    "poll_and_select",
    "epoll_with_edges",
    "full_buffers",
    "connecting_without_waiting",
    "what_is_closed_is_closed_at_once",
    "datagrams",
    "pointers_to_nowhere",
    "descriptors_2000",
];

const PROGRAMS: &[&str] = &[
    "curl::gets_a_page",
    "wget::gets_a_page",
    "python3::is_a_client",
    "python3::is_a_server",
    "redis-server::answers",
    "iperf3::client_and_server",
];

fn main() {
    if let Some(role) = std::env::var_os("RUMP_TEST_ROLE") {
        let role = role.to_string_lossy();
        return match own::ROLES.iter().find(|(name, _)| *name == role) {
            Some((_, play)) => play(),
            None => roles::play(&role),
        };
    }
    // Before there are threads.
    let namespace = netns::enter().map_err(|reason| &*reason.leak());
    let mut trials = vec![
        runner::trial("remote::nobody_listens", nobody_listens),
        runner::trial("remote::children", children),
    ];
    let own = own::ROLES.iter().map(|(name, _)| name);
    // Children are other clients here.
    let own = own.filter(|name| **name != "a_child_keeps_its_own");
    for role in own.chain(ROLES) {
        trials.push(runner::trial(format!("remote::{role}"), move || {
            let told = Runner::new().role(role).output()?;
            assert_eq!(told.status, 0, "{told:?}");
            Ok(())
        }));
    }
    for (name, test) in programs::TESTS {
        if PROGRAMS.contains(name) {
            trials.push(programs::trial(namespace, name, *test));
        }
    }
    runner::run(trials)
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
