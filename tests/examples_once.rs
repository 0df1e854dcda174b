//! The examples that can be run to their end are, on whatever kernel is in this build.

mod common;

use common::Outcome;
use std::process::Command;

/// Example, and what it says when all is well.
const EXAMPLES: &[(&str, &str)] = &[
    ("http_hello", "were answered as they should be"),
    ("http_server", "were served as they should be"),
    ("https_server", "the page was served as it should be"),
];

fn main() {
    let trial = |(name, says): &(&'static str, &'static str)| {
        let (name, says) = (*name, *says);
        common::kernel_trial(format!("once::{name}"), move || once(name, says))
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
