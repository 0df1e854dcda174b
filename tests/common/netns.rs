//! A network namespace of the test process's own, and Linux's interfaces in it.

#![allow(dead_code)]

use nix::sched::{CloneFlags, unshare};
use std::io::Write as _;
use std::process::Command;

/// Moves this process into a network namespace of its own (and into a user namespace
/// too, where it is not root's). Call it before there are threads.
///
/// # Errors
/// Why that is not possible here, for people.
pub fn enter() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
            .map_err(|error| format!("no root, and no user namespace: {error}"))?;
        let write = |file: &str, text: String| {
            let mut file = std::fs::OpenOptions::new().write(true).open(file)?;
            file.write_all(text.as_bytes())
        };
        let mapped = write("/proc/self/setgroups", "deny".into())
            .and_then(|()| write("/proc/self/uid_map", format!("0 {user} 1")))
            .and_then(|()| write("/proc/self/gid_map", format!("0 {group} 1")));
        mapped.map_err(|error| format!("no root, and no user namespace: {error}"))?;
    } else {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|error| format!("no network namespace: {error}"))?;
    }
    if std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .is_err()
    {
        return Err("no access to /dev/net/tun".into());
    }
    ip("link set lo up")?;
    Ok(())
}

/// Runs ip(8).
///
/// # Errors
/// What it says.
pub fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {arguments}: {text}"))
}
