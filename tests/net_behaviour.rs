//! Runs the table of socket behaviours on `std::net` and on `rump::net`.
//!
//! `std::…` trials run each case on the host alone and check it against the expectation
//! that stands in the table. `netbsd::…` trials (`lite::…` on rump-lite) run it on the
//! host and then on the kernel in this build: the outcomes must be equal, or exactly as
//! `net/differences.rs` has them with a reason. Without a kernel the second half is
//! reported as skipped.

use libtest_mimic::{Arguments, Failed, Trial};
use outcome::Seen;
use rump_sys::kernel::{KIND, Kind};
use std::io;

mod common;
#[path = "net/differences.rs"]
mod differences;
#[path = "net/on_rump.rs"]
mod on_rump;
#[path = "net/on_std.rs"]
mod on_std;
#[path = "net/outcome.rs"]
mod outcome;

/// A case of either table.
type Run = fn(&mut Seen) -> io::Result<()>;

fn main() {
    let mut arguments = Arguments::from_args();
    // Cases measure time and use up ports: one at a time unless asked otherwise.
    arguments.test_threads.get_or_insert(1);
    raise_descriptor_limit();
    libtest_mimic::run(&arguments, trials()).exit();
}

fn trials() -> Vec<Trial> {
    let mut on_host = Vec::new();
    let mut on_kernel = Vec::new();
    for ((topic, std_cases), (_, rump_cases)) in
        on_std::table::TOPICS.iter().zip(on_rump::table::TOPICS)
    {
        for (std_case, rump_case) in std_cases.iter().zip(*rump_cases) {
            let (on_std, on_rump) = (std_case.run, rump_case.run);
            on_host.push(Trial::test(
                format!("std::{topic}::{}", std_case.name),
                move || as_expected(on_std, std_case.expect),
            ));
            on_kernel.push((
                format!("{topic}::{}", rump_case.name),
                on_std,
                on_rump,
                rump_case.expect,
            ));
        }
    }
    let known = |name: &str| on_kernel.iter().any(|(case, ..)| case == name);
    let stray: Vec<_> = differences::DIFFERENCES
        .iter()
        .map(|row| row.case)
        .filter(|name| !known(name))
        .collect();
    on_host.push(Trial::test("differences_name_cases", move || {
        match stray[..] {
            [] => Ok(()),
            _ => Err(format!("no such case: {stray:?}").into()),
        }
    }));
    let kernel = match KIND {
        Kind::Lite => "lite",
        _ => "netbsd",
    };
    let on_kernel = on_kernel
        .into_iter()
        .map(|(name, on_std, on_rump, expect)| {
            common::kernel_trial(format!("{kernel}::{name}"), move || {
                same(&name, on_std, on_rump, expect)
            })
        });
    on_host.into_iter().chain(on_kernel).collect()
}

fn as_expected(case: Run, expect: &str) -> Result<(), Failed> {
    let seen = outcome::of(case)?;
    if seen == expect {
        Ok(())
    } else {
        Err(format!("expected: {expect}\n     got: {seen}").into())
    }
}

fn same(name: &str, on_std: Run, on_rump: Run, expect: &str) -> Result<(), Failed> {
    common::boot();
    let (std_seen, rump_seen) = (outcome::of(on_std)?, outcome::of(on_rump)?);
    let listed = differences::listed(name, KIND != Kind::Lite);
    match listed {
        None if std_seen == rump_seen => Ok(()),
        Some(row) if std_seen == rump_seen => Err(format!(
            "the listed difference is gone ({}); both do: {std_seen}",
            row.reason
        )
        .into()),
        Some(row) if rump_seen == row.rump => Ok(()),
        _ => {
            let listed = listed
                .map(|row| format!("\n  listed: {}", row.rump))
                .unwrap_or_default();
            Err(format!(
                "\n   table: {expect}\n     std: {std_seen}\n    rump: {rump_seen}{listed}"
            )
            .into())
        }
    }
}

/// The host needs two descriptors for each of a thousand connections.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(8192)), hard)
    });
    if let Err(error) = raised {
        eprintln!("the limit of open files stays as it is: {error}");
    }
}
