//! The cost of a null system call: getpid, raw and through the safe API.
//!
//! Ours is what the safe call costs more than the raw one, both on a thread that has its
//! lwp already. A difference of a few nanoseconds drowns in what else the machine does,
//! so the two take turns every fraction of a millisecond, and the median of the
//! differences counts.
#![allow(unsafe_code)]

use crate::Outcome;
use crate::comparison::{Better, CPUS, Harness, RUNS, Subject};
use crate::sampler::Sampler;
use rump_examples::ratios::{median, spread};
use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

/// Calls between two turns.
const TURN: u32 = 2000;

pub fn null_overhead(harness: &mut Harness) -> Outcome {
    let kernel = harness.boot()?.identity()?.to_string();
    let expected = rump::process::id()?;
    let check = |id: i32| {
        if black_box(id) == expected {
            Ok(())
        } else {
            Err(io::Error::other("getpid changed its mind"))
        }
    };
    // SAFETY: getpid(2) takes no arguments; the kernel runs, and this thread has an lwp
    // since the call above.
    let raw_call = || check(unsafe { rump_sys::syscalls::getpid() });
    let safe_call = || check(rump::process::id()?);
    let mut sampler = Sampler::new("syscall-null");
    let (mut safe, mut raw, mut more) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..=RUNS {
        let mut turns = Vec::new();
        sampler.timed("safe", |count| {
            let mut total = Duration::ZERO;
            for number in 0..count.div_ceil(u64::from(TURN)) {
                let turn = if number % 2 == 0 {
                    (time(safe_call)?, time(raw_call)?)
                } else {
                    let raw = time(raw_call)?;
                    (time(safe_call)?, raw)
                };
                total += turn.0;
                turns.push(turn);
            }
            // Criterion asked for `count` calls; it got whole turns.
            Ok(total
                .mul_f64(count as f64 / (count.div_ceil(u64::from(TURN)) * u64::from(TURN)) as f64))
        })?;
        // The first run warmed up.
        if run > 0 {
            let each = |time: Duration| time.as_nanos() as f64 / f64::from(TURN);
            let column = |of: &dyn Fn(&(Duration, Duration)) -> f64| {
                median(&turns.iter().map(of).collect::<Vec<_>>())
            };
            safe.push(column(&|turn| each(turn.0)));
            raw.push(column(&|turn| each(turn.1)));
            more.push(column(&|turn| each(turn.0) - each(turn.1)));
        }
    }
    let note = format!(
        "safe {:.1} ns, raw {:.1} ns; the spread is that of safe",
        median(&safe),
        median(&raw)
    );
    let subject = Subject {
        rival_is: Some("raw call"),
        note: Some(note),
        spread: Some(spread(&safe)),
        ..Subject::new("syscall/null-overhead", "ns", Better::Less)
    };
    harness.write(&subject, &kernel, Some(CPUS), &more, None)
}

/// The time of one turn of calls.
fn time(mut call: impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
    let start = Instant::now();
    for _ in 0..TURN {
        call()?;
    }
    Ok(start.elapsed())
}
