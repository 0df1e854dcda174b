//! Sequences of system calls at random, on Linux itself and on the kernel in this build:
//! results, errnos, data and what `poll(2)` says must be the same, but for a written list.

mod common;
#[path = "linux/operation.rs"]
mod operation;
#[path = "linux/system.rs"]
#[allow(dead_code)]
mod system;
#[path = "linux/world.rs"]
mod world;

use common::Outcome;
use libtest_mimic::Arguments;
use operation::Operation;
use proptest::collection::vec;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::cell::Cell;
use std::time::{Duration, Instant};
use system::System;
use world::World;

/// How long what was sent may take to arrive.
const PATIENCE: Duration = Duration::from_millis(500);

fn main() {
    let trials = vec![common::trial_if(
        rump::kernel::available() && common::kernel_name() == "NetBSD",
        "netbsd",
        "the list of differences is NetBSD's, and rump-lite has more of them",
        "linux_and_rump_are_the_same",
        same,
    )];
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

fn same() -> Outcome {
    common::boot();
    let long = std::env::var_os("RUMP_TEST_LONG").is_some();
    let limit = Instant::now() + Duration::from_secs(if long { 600 } else { 15 });
    let config = Config {
        cases: 32,
        max_shrink_time: 30_000,
        failure_persistence: None,
        ..Config::default()
    };
    let (sequences, operations) = (Cell::new(0), Cell::new(0));
    let mut result = Ok(());
    while result.is_ok() && Instant::now() < limit {
        result = TestRunner::new(config.clone()).run(&vec(Operation::any(), 1..40), |sequence| {
            sequences.set(sequences.get() + 1);
            let done = compare(&sequence);
            operations.set(operations.get() + *done.as_ref().unwrap_or(&0));
            done.map(drop).map_err(TestCaseError::fail)
        });
    }
    println!(
        "{} sequences, {} operations",
        sequences.get(),
        operations.get()
    );
    result.map_err(|error| error.to_string().into())
}

/// Does a sequence on both; how many operations could be compared.
fn compare(sequence: &[Operation]) -> Result<usize, String> {
    let mut worlds = [World::new(System::Linux), World::new(System::rump())];
    let mut done = 0;
    for &operation in sequence {
        if worlds[0].differs(operation) {
            continue;
        }
        let [linux, rump] = worlds.each_mut().map(|world| world.run(operation));
        if linux != rump {
            return Err(format!(
                "{operation:?}\n  linux: {linux:?}\n   rump: {rump:?}"
            ));
        }
        settle(&worlds).map_err(|told| format!("{operation:?}{told}"))?;
        done += 1;
    }
    Ok(done)
}

/// Waits until both show the same.
fn settle([linux, rump]: &[World; 2]) -> Result<(), String> {
    let limit = Instant::now() + PATIENCE;
    loop {
        let (theirs, ours) = (linux.state(), rump.state());
        if theirs == ours {
            return Ok(());
        }
        if Instant::now() > limit {
            return Err(format!(
                "\n  linux shows {theirs:?}\n   rump shows {ours:?}"
            ));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
