//! The cost of a null system call: getpid, raw and through the safe API.
//!
//! Ours is what the safe call costs more than the raw one, both on a thread that has its
//! lwp already.
#![allow(unsafe_code)]

use crate::Outcome;
use crate::comparison::{Better, CPUS, Harness, RUNS, Subject};
use crate::sampler::Sampler;
use rump_examples::ratios::median;
use std::hint::black_box;
use std::io;

pub fn null_overhead(harness: &mut Harness) -> Outcome {
    let kernel = harness.boot()?.identity()?.to_string();
    let expected = rump::process::id()?;
    let check = |id: i32| {
        if black_box(id) == expected { Ok(()) } else { Err(io::Error::other("getpid changed its mind")) }
    };
    let mut sampler = Sampler::new("syscall-null");
    let (mut safe, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..=RUNS {
        safe.push(sampler.nanoseconds("safe", || check(rump::process::id()?))?);
        // SAFETY: getpid(2) takes no arguments; the kernel runs, and this thread has an
        // lwp since the call above.
        raw.push(sampler.nanoseconds("raw", || check(unsafe { rump_sys::syscalls::getpid() }))?);
    }
    // The first of each warmed up.
    let (safe, raw) = (&safe[1..], &raw[1..]);
    let more: Vec<f64> = safe.iter().zip(raw).map(|(safe, raw)| safe - raw).collect();
    let subject = Subject { name: "syscall/null-overhead", unit: "ns", better: Better::Less, rival_is: Some("raw call") };
    let note = format!("safe {:.1} ns, raw {:.1} ns", median(safe), median(raw));
    harness.write(&subject, &kernel, Some(CPUS), &more, None, Some(note))
}
