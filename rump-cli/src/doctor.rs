//! `rump doctor`: what this machine has and lacks for each level of the test ladder.
//!
//! ```text
//! ladder ── the levels and what each needs      (data)
//! item ──── the things, and who installs them   (data)
//! machine ─ asks for one thing: Here, or a fake
//! report ── findings by level, with a verdict   (text, JSON)
//! ```
//!
//! The real thing is asked: a program is run, a device opened, a program compiled and
//! linked, and what the builder needs is asked of the builder itself, so that doctor and
//! `cargo build` cannot disagree. Nothing that is asked is trusted to answer: time and
//! size of every answer are limited, and its text is shown without control characters.
//!
//! Known to be weak: variables that cargo takes from `--config` or from a configuration
//! file's `include` are not seen.

mod finding;
mod item;
mod ladder;
mod machine;
mod report;
mod system;
mod variables;

pub use ladder::Level;
pub use machine::{Question, answer};

use machine::Here;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::time::Duration;
use system::System;
use variables::Variables;

/// Tell what this machine has and lacks for each level of the test ladder
///
/// Exit status: 0 if what was required is ready, 1 if it is not, 2 for wrong arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// Let the exit status depend on these levels
    #[arg(long, value_name = "LEVEL", value_delimiter = ',', default_value = "1")]
    require: Vec<Level>,
    /// Write JSON
    #[arg(long)]
    json: bool,
    /// Print the install lines of every system, not only of this one
    #[arg(long)]
    all_systems: bool,
    /// How long to wait for each program
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    time_limit: u64,
}

/// Examines this machine and prints the report.
pub fn run(arguments: &Arguments) -> ExitCode {
    let system = System::here();
    let variables = Variables::here();
    let settings = variables.shown();
    let machine = Here::new(variables, Duration::from_secs(arguments.time_limit));
    let findings = ladder::examine(&machine);
    let systems = if arguments.all_systems {
        system::KNOWN.to_vec()
    } else {
        system.kind.into_iter().collect()
    };
    let report = report::Report::new(&findings, system, settings, &systems, &arguments.require);
    let text = if arguments.json {
        serde_json::to_string_pretty(&report).expect("strings and lists") + "\n"
    } else {
        report.to_string()
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader that has seen enough (`| head`) is no reason to fail.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("rump doctor: the report could not be written: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::from(u8::from(!report.ok)),
    }
}
