//! In a Linux guest with devices (`rump-testbed`): NetBSD's driver over VFIO beside Linux's
//! own, in turn on the same device of the same guest.
//!
//! Both sides are programs that run in the guest, an example of this repository each, and
//! tell what they have measured and checked as a line of JSON.

pub mod card;
pub mod disk;

use crate::comparison::{RUNS, target};
use rump_testbed::Running;
use serde_json::Value;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long a command in the guest may take.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a run takes, in seconds.
const RUN: &str = "2";
/// Virtual CPUs of the guest, and of the kernel in it.
const CPUS: usize = 2;

/// A guest that programs measure in.
struct Bench(Running);

impl Bench {
    fn shell(&mut self, line: &str) -> Result<String> {
        let report = self.0.shell(line, LIMIT)?;
        if report.success() {
            return Ok(String::from_utf8(report.stdout)?.trim().to_string());
        }
        Err(format!("`{line}` in the guest: {report}").into())
    }

    /// Runs a side; a fault of the IOMMU is a failure, too.
    fn measured(&mut self, command: &Command) -> Result<Value> {
        let report = self.0.run(command, LIMIT)?;
        if !report.success() || !report.faults().is_empty() {
            return Err(format!("{command:?} in the guest: {report}").into());
        }
        Ok(serde_json::from_slice(&report.stdout)?)
    }
}

/// What both sides have told, run by run.
struct Turns {
    ours: Vec<Value>,
    rival: Vec<Value>,
}

/// Has the sides take turns. The first run of each warms it up.
fn in_turn<T>(
    bench: &mut T,
    ours: impl Fn(&mut T) -> Result<Value>,
    rival: impl Fn(&mut T) -> Result<Value>,
) -> Result<Turns> {
    ours(bench)?;
    rival(bench)?;
    let mut turns = Turns {
        ours: Vec::new(),
        rival: Vec::new(),
    };
    for run in 0..RUNS {
        if run % 2 == 0 {
            turns.ours.push(ours(bench)?);
            turns.rival.push(rival(bench)?);
        } else {
            turns.rival.push(rival(bench)?);
            turns.ours.push(ours(bench)?);
        }
    }
    Ok(turns)
}

impl Turns {
    /// The kernel of ours.
    fn kernel(&self) -> Result<&str> {
        let first = self.ours.first().ok_or("no run")?;
        Ok(first["kernel"].as_str().ok_or("no kernel is told")?)
    }
}

fn number(measured: &Value, name: &str) -> Result<f64> {
    let number = measured[name].as_f64();
    number.ok_or_else(|| format!("no {name} in {measured}").into())
}

/// So much a second, of each run.
fn rates(turns: &[Value], name: &str, unit: f64) -> Result<Vec<f64>> {
    let rate = |measured| Ok(number(measured, name)? / unit / number(measured, "seconds")?);
    turns.iter().map(rate).collect()
}

/// What `cargo build --release --features fs --examples` makes.
fn example(name: &str) -> Result<PathBuf> {
    let program = target().join("release/examples").join(name);
    if program.is_file() {
        return Ok(program);
    }
    let program = program.display();
    Err(format!(
        "no {program}: cargo build --release --features fs --examples makes it, \
         with RUMP_DRIVERS=wm,nvme"
    )
    .into())
}
