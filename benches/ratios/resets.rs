//! Connections that are reset while the network server's domain is destroyed twenty times, and
//! while an application moves between it and an interface of its own a hundred times, under a real
//! Xen: what the long forms of `tests/image_server.rs` do, which fail if a byte is another or a
//! connection does not go on. What is counted is told by dom0, where the other ends are.

use crate::Outcome;
use crate::comparison::{Better, Harness, Subject, target};
use rumprun_build::image::testbed::Dom0;
use std::error::Error;
use std::process::{Command, Stdio};

/// The benchmarks here.
pub const NAMES: &[&str] = &["service/switch-resets", "service/kill-resets"];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs them.
pub fn resets(harness: &mut Harness) -> Outcome {
    let [switch, kill] = NAMES else {
        return Ok(());
    };
    if harness.wants(switch) {
        let said = run("an_application_moves_to_an_interface")?;
        let by_itself = numbers_before(&said, " switches in");
        let ordered = said.matches("ordered").count() + said.matches("orders").count();
        let note = format!("{by_itself} switches by itself, {ordered} by order");
        write(harness, switch, &said, note)?;
    }
    if harness.wants(kill) {
        let said = run("applications_outlive_the_server")?;
        let kills = said.matches(": another server after").count();
        let note =
            format!("{kills} kills, three connections that count and others that are compared");
        write(harness, kill, &said, note)?;
    }
    Ok(())
}

fn write(harness: &mut Harness, name: &str, said: &str, note: String) -> Outcome {
    let kernel = harness.boot()?.identity()?.to_string();
    let mut subject = Subject::new(name, "connections", Better::Less);
    subject.spread = Some(0.0);
    subject.note = Some(note);
    harness.write(&subject, &kernel, None, &[resets_in(said)?], None)
}

/// Runs the tests of this name in their long form, and returns what they said.
fn run(test: &str) -> Result<String> {
    let folder = target().join("rumprun/testbed");
    Dom0::make(&folder)?;
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["test", "--features", "bridge,fs", "--test", "image_server"])
        .args(["--", "--nocapture", test])
        .env("RUMP_TEST_LONG", "1")
        .env("RUMP_TEST_XEN", folder)
        .env("RUMP_TEST_REQUIRE", "netbsd,xen")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("{test} has failed:\n{said}").into());
    }
    Ok(said)
}

/// How many connections dom0 has had reset, or has reset itself, in each machine after all was
/// done.
fn resets_in(said: &str) -> Result<f64> {
    let names = "ActiveOpens PassiveOpens AttemptFails EstabResets OutRsts";
    let told = said
        .lines()
        .filter_map(|line| line.split_once("dom0: after: "));
    let mut machines = told.map(|(_, counters)| {
        let counters = counters.strip_prefix(names)?.split_whitespace();
        let counters: Vec<f64> = counters.filter_map(|word| word.parse().ok()).collect();
        Some(counters.get(3)? + counters.get(4)?)
    });
    let first = machines.next().flatten();
    let sum = machines.try_fold(first.unwrap_or(0.0), |sum, one| Some(sum + one?));
    match (first, sum) {
        (Some(_), Some(sum)) => Ok(sum),
        _ => Err(format!("dom0 has not told what was reset:\n{said}").into()),
    }
}

/// The sum of the numbers that stand before these words.
fn numbers_before(said: &str, words: &str) -> u64 {
    let before = said.match_indices(words).map(|(at, _)| &said[..at]);
    let numbers = before.filter_map(|text| text.rsplit(' ').next()?.parse::<u64>().ok());
    numbers.sum()
}
