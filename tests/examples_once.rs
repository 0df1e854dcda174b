//! The examples that can be run to their end are, on whatever kernel is in this build.

mod common;

use common::Outcome;
use std::process::Command;

/// An example, what it says when all is well, and what it needs.
type Example = (&'static str, &'static str, fn() -> Need);

const EXAMPLES: &[Example] = &[
    ("http_hello", "were answered as they should be", || None),
    ("http_server", "were served as they should be", asynchronous),
    (
        "https_server",
        "the page was served as it should be",
        asynchronous,
    ),
    ("mount_disk", "which e2fsck found clean", file_systems),
];

/// What is missing, and why an example cannot run therefore.
type Need = Option<(&'static str, &'static str)>;

fn asynchronous() -> Need {
    (!cfg!(feature = "async")).then_some(("async", "without the feature async"))
}

fn file_systems() -> Need {
    let tools = ["/usr/sbin", "/sbin", "/usr/bin"];
    let there = |tool: &&str| std::path::Path::new(tool).join("mkfs.ext2").is_file();
    match () {
        () if !cfg!(feature = "fs") => Some(("fs", "without the feature fs")),
        () if common::kernel_name() != "NetBSD" => {
            Some(("netbsd", "rump-lite has no file systems"))
        }
        () if !tools.iter().any(there) => Some(("ext2", "no mkfs.ext2 (e2fsprogs)")),
        () => None,
    }
}

fn main() {
    let trial = |&(name, says, need): &(&'static str, &'static str, fn() -> Need)| {
        let (title, test) = (format!("once::{name}"), move || once(name, says));
        match need() {
            None => common::kernel_trial(title, test),
            Some((need, reason)) => common::trial_if(false, need, reason, title, test),
        }
    };
    common::run(EXAMPLES.iter().map(trial).collect());
}

fn once(name: &str, says: &str) -> Outcome {
    let output = Command::new(common::example(name)?)
        .arg("--once")
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let kernel = format!("kernel: {}", common::kernel_name());
    if output.status.success() && text.contains(says) && text.contains(&kernel) {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} --once: {}\n{text}{errors}", output.status).into())
}
