//! Boot, in processes of their own: a kernel boots once in a process.

use crate::Outcome;
use crate::comparison::{Better, CPUS, Harness, RUNS, Subject};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::process::{Command, ExitCode};
use std::time::Instant;

/// The argument that makes this program the child.
pub const CHILD: &str = "--child";

/// What a child found out.
#[derive(Serialize, Deserialize)]
struct Report {
    kernel: String,
    milliseconds: f64,
    /// Resident memory before and after, in bytes.
    before: u64,
    after: u64,
}

pub fn boot(harness: &mut Harness) -> Outcome {
    let reports = (0..=RUNS).map(|_| spawn()).collect::<Result<Vec<_>, _>>()?;
    // The first one brought the program into memory.
    let reports = &reports[1..];
    let times: Vec<f64> = reports.iter().map(|report| report.milliseconds).collect();
    let sizes: Vec<f64> = reports
        .iter()
        .map(|report| report.after as f64 / 1e6)
        .collect();
    let kernel = &reports[0].kernel;
    let subject = |name, unit, note| Subject {
        note,
        ..Subject::new(name, unit, Better::Less)
    };
    let note = format!(
        "of which {:.1} MB are there before boot",
        reports[0].before as f64 / 1e6
    );
    harness.write(
        &subject("boot/init", "ms", None),
        kernel,
        Some(CPUS),
        &times,
        None,
    )?;
    harness.write(
        &subject("boot/rss", "MB", Some(note)),
        kernel,
        Some(CPUS),
        &sizes,
        None,
    )
}

fn spawn() -> Result<Report, Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?)
        .args([CHILD, "boot"])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The kernel that this program is linked with, asked in a child.
pub fn identity() -> Result<String, Box<dyn Error>> {
    Ok(spawn()?.kernel)
}

/// The child: boots, reports, ends.
pub fn child(_what: &str) -> ExitCode {
    match report().and_then(|report| Ok(serde_json::to_string(&report)?)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn report() -> Result<Report, Box<dyn Error>> {
    let before = resident()?;
    let start = Instant::now();
    let kernel = rump::Kernel::builder().cpus(CPUS).boot()?;
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
    let after = resident()?;
    Ok(Report {
        kernel: kernel.identity()?.to_string(),
        milliseconds,
        before,
        after,
    })
}

/// `VmRSS` of proc(5), in bytes.
pub fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .ok_or("no VmRSS in /proc/self/status")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}
