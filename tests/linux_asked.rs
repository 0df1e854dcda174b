//! What Debian's programs ask Linux of networks beside sockets: files below /proc and /sys, and
//! families of netlink(7). All of it is seen to, or written down in `rump_linux::differences`.

mod common;

use common::Outcome;
use libtest_mimic::{Arguments, Trial};
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;

/// Stands for a port that nobody has.
const PORT: &str = "PORT";

/// A program, and all that it asks.
const ASKED: &[(&[&str], &[&str])] = &[
    (
        &["redis-server", "--port", PORT, "--save", ""],
        &["/proc/sys/net/core/somaxconn"],
    ),
    (&["nginx", "-e", "stderr", "-t"], &[]),
    (&["iperf3", "-s", "-1", "-p", PORT], &[]),
    (&["curl", "-m", "1", "http://127.0.0.1:1/"], &[]),
    (&["wget", "-T", "1", "-t", "1", "http://127.0.0.1:1/"], &[]),
    (
        &["python3", "-c", "import socket; socket.if_nameindex()"],
        &["NETLINK_ROUTE"],
    ),
    (&["nc", "-w", "1", "127.0.0.1", "1"], &[]),
    (&["socat", "-T", "1", "TCP:127.0.0.1:1", "-"], &[]),
    (&["ip", "address"], &["NETLINK_ROUTE"]),
];

fn main() {
    let trials = ASKED.iter().map(|(program, asked)| {
        let found = |name: &str| Command::new(name).arg("-h").output().is_ok();
        let possible = found("strace") && found(program[0]);
        let reason = format!("no strace, or no {}", program[0]).leak();
        common::trial_if(possible, "strace", reason, program[0], || {
            asks(program, asked)
        })
    });
    let trials: Vec<Trial> = trials.collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// It asks these, and nothing else.
fn asks(program: &[&str], wanted: &[&str]) -> Outcome {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let port = port.to_string();
    // Servers have to be ended.
    let time = if program.contains(&PORT) { "8" } else { "60" };
    let program = program.iter().map(|word| match *word {
        PORT => &port[..],
        word => word,
    });
    let traced = Command::new("timeout")
        .args([
            time,
            "strace",
            "-f",
            "-qq",
            "-e",
            "trace=open,openat,socket",
        ])
        .args(["-e", "signal=none", "-o", "/dev/stdout"])
        .args(program)
        .stdin(std::process::Stdio::null())
        .output()?;
    let told = String::from_utf8_lossy(&traced.stdout);
    let files = told.split('"').filter(|part| {
        ["/proc/net", "/proc/sys/net", "/sys/class/net"]
            .iter()
            .any(|folder| part.starts_with(folder))
    });
    let families = told.lines().filter(|line| line.contains("AF_NETLINK"));
    let families = families.filter_map(|line| {
        let start = line.rfind("NETLINK_")?;
        line[start..].split(')').next()
    });
    let asked: BTreeSet<_> = files.chain(families).collect();
    if !told.contains("open") {
        return Err(format!("strace told nothing: {traced:?}").into());
    }
    assert_eq!(asked, wanted.iter().copied().collect());
    Ok(())
}
