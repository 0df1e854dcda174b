//! The examples that can be run to their end are, on whatever kernel is in this build.

mod common;

use common::Outcome;
use std::process::Command;

/// Example, what it says when all is well, and whether Cargo built it.
const EXAMPLES: &[(&str, &str, bool)] = &[
    ("http_hello", "were answered as they should be", true),
    ("http_server", "were served as they should be", ASYNC),
    ("https_server", "the page was served as it should be", ASYNC),
];

const ASYNC: bool = cfg!(feature = "async");

fn main() {
    let trial = |&(name, says, built): &(&'static str, &'static str, bool)| {
        let (title, test) = (format!("once::{name}"), move || once(name, says));
        match built {
            true => common::kernel_trial(title, test),
            false => common::trial_if(false, "async", "without the feature async", title, test),
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
