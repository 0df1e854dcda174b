//! The benchmarks: `cargo bench --bench ratios -- [PATTERN]`.
//!
//! Each compares two things within one run, or one thing with a goal, checks the results
//! while it measures, prints a line and appends a row to the file that `RUMP_BENCH_OUT`
//! names (`target/ratios.jsonl` by default). What is short enough to be repeated millions
//! of times is measured by criterion; what is not is timed in whole runs.

mod boot;
mod builds;
mod comparison;
mod fairness;
mod guest;
mod http;
mod idle;
mod image;
mod layer;
mod loopback;
mod recovery;
mod redis;
mod remote;
mod resets;
mod ring;
mod sampler;
mod served;
mod service;
mod shm;
mod smp;
mod splice;
mod switch;
mod syscall;
mod tap;
#[cfg(feature = "fs")]
mod tree;

use comparison::Harness;
use std::error::Error;
use std::process::ExitCode;

type Outcome = Result<(), Box<dyn Error>>;

/// What is measured together, and how.
type Measurement = (&'static [&'static str], fn(&mut Harness) -> Outcome);

const BENCHMARKS: &[Measurement] = &[
    (&["build/cold-net"], builds::cold_net),
    (&["build/cold-cargo"], builds::cold_cargo),
    (&["build/noop"], builds::noop),
    (&["fresh/first-request"], builds::fresh),
    (&["boot/init", "boot/rss"], boot::boot),
    (&["syscall/null-overhead"], syscall::null_overhead),
    (&["loopback/rtt-64", "lite/rtt-64"], loopback::round_trip),
    (
        &["loopback/connect-rate", "lite/connect-rate"],
        loopback::connect_rate,
    ),
    (
        &["loopback/stream-64k", "lite/stream-64k"],
        loopback::stream,
    ),
    (
        &["loopback/stream4-64k", "lite/stream4-64k"],
        loopback::four_streams,
    ),
    (tap::NAMES, tap::tap),
    (ring::NAMES, ring::ring),
    (served::NAMES, served::served),
    (shm::NAMES, shm::shm),
    (splice::NAMES, splice::splice),
    (switch::NAMES, switch::switch),
    (recovery::NAMES, recovery::recovery),
    (&[fairness::NAME], fairness::fairness),
    (redis::NAMES, redis::redis),
    (&[remote::NAME], remote::remote),
    (&["smp/streams4"], smp::streams4),
    #[cfg(feature = "fs")]
    (tree::NAMES, tree::tree),
    (&["conn/idle-memory"], idle::memory),
    (guest::card::NAMES, guest::card::card),
    (guest::disk::NAMES, guest::disk::disk),
    (image::NAMES, image::image),
    (service::NAMES, service::service),
    (resets::NAMES, resets::resets),
];

fn main() -> ExitCode {
    if let Some(code) = recovery::run_if_asked() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, what, rest @ ..] = &arguments[..]
        && flag == boot::CHILD
    {
        return if let Some(part) = what.strip_prefix("tap") {
            tap::child(part, rest)
        } else if let Some(part) = what.strip_prefix("shm") {
            shm::child(part, rest)
        } else if let Some(part) = what.strip_prefix("splice") {
            splice::child(part, rest)
        } else if let Some(part) = what.strip_prefix("fairness") {
            fairness::child(part, rest)
        } else if what == "recovery" {
            recovery::child(rest)
        } else if what == "switch" {
            switch::child(rest)
        } else if let Some(part) = what.strip_prefix("server") {
            served::child(part, rest)
        } else if let ("smp", [cpus]) = (&what[..], rest) {
            smp::child(cpus)
        } else if what == "image" {
            image::child(rest)
        } else if what == "redis" {
            redis::child(rest)
        } else if what == "remote" {
            remote::child(rest)
        } else if what == "idle" {
            idle::child()
        } else {
            boot::child(what)
        };
    }
    // Cargo adds --bench when it means to measure; without it this is a test run.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let patterns: Vec<_> = arguments
        .into_iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted =
        |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| name.contains(pattern));
    let mut harness = Harness::new(&wanted);
    let mut failed = false;
    let mut ran = false;
    for (names, run) in BENCHMARKS {
        if names.iter().any(|name| wanted(name)) {
            ran = true;
            if let Err(error) = run(&mut harness) {
                eprintln!("{}: {error}", names.join(", "));
                failed = true;
            }
        }
    }
    if !ran {
        eprintln!("no benchmark has {} in its name", patterns.join(" or "));
    }
    if ran && !failed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
