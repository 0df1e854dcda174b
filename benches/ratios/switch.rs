//! An interface that moves to a path of its own and back, with 1,000 connections that are
//! all busy: for how long nothing comes, beside the same connections in the same run
//! without a switch, and how many of them are reset.
//!
//! A child makes itself a network namespace with a bridge. What is shared is a network server
//! in a process of its own, over a TAP interface at the bridge; what is direct is another
//! interface of the kernel, spliced below, over a TAP interface of its own. Linux has the other
//! ends of the connections.

#[path = "../../tests/common/crowd.rs"]
pub mod crowd;

use crate::Outcome;
use crate::comparison::{Better, CPUS, Harness, RUNS, Subject};
use crate::recovery::server::Server;
use crate::tap::{exit_code, in_child, netns};
use crowd::{Crowd, Gaps};
use rump::iface::{Backend, Link, Splice, Tap};
use rump::switch::{Error, Path, Switch};
use rump::sysctl;
use rump_examples::ratios;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The benchmarks here.
pub const NAMES: &[&str] = &["switch/gap", "switch/resets"];

const CONNECTIONS: usize = 1000;
/// How long each side of a run takes, and how often the interface moves in it.
const RUN: Duration = Duration::from_secs(3);
const EVERY: Duration = Duration::from_millis(150);
/// How often it moves in a row.
const IN_A_ROW: usize = 1000;

/// Runs the benchmarks in a child.
pub fn switch(harness: &mut Harness) -> Outcome {
    in_child("switch", NAMES, harness)
}

/// What a child does.
pub fn child(arguments: &[String]) -> ExitCode {
    exit_code(run(arguments))
}

/// Room in queues for a message of each connection, both ways: what is lost there waits for
/// TCP's timer, with or without a switch.
const QUEUE: i32 = 10_000;

fn to_bridge(name: &str) -> Result<(), String> {
    netns::ip(&format!(
        "link set {name} txqueuelen {QUEUE} master bridge up"
    ))
}

/// Frames that were dropped at the server, there also for having come too late, or in the kernel.
fn dropped(server: &Server, links: [&Link; 2]) -> Result<u64, Box<dyn std::error::Error>> {
    let status = server.status()?;
    let applications = status.applications.iter().map(|known| &known.counters);
    let at_server: u64 = applications.flat_map(|of| of.dropped.values()).sum();
    let nics = status.nics.iter().map(|known| &known.counters);
    let late: u64 = nics.filter_map(|of| of.dropped.get("away")).sum();
    let mut all = at_server + late;
    for link in links {
        let stats = link.stats()?;
        all += stats.rx_dropped + stats.tx_dropped + link.send_drops();
    }
    Ok(all)
}

/// How many milliseconds more nothing came: over all, or for the one that waited longest,
/// whichever is more.
fn more(with: Gaps, without: Gaps) -> f64 {
    let more = |with: Duration, without: Duration| with.as_secs_f64() - without.as_secs_f64();
    1e3 * more(with.overall, without.overall).max(more(with.worst, without.worst))
}

fn run(names: &[String]) -> Outcome {
    netns::enter()?;
    let wanted = |name: &str| names.iter().any(|other| other == name);
    let mut harness = Harness::new(&wanted);
    let kernel = harness.boot()?;
    let identity = kernel.identity()?.to_string();
    for name in ["net.inet.ip.ifq.maxlen", "net.inet6.ip6.ifq.maxlen"] {
        sysctl::set(name, QUEUE)?;
    }
    netns::ip("link add bridge type bridge forward_delay 0 mcast_snooping 0")?;
    netns::ip("address add 10.9.8.1/24 dev bridge")?;
    netns::ip("address add fd00:9:8::1/64 dev bridge nodad")?;
    netns::ip("link set bridge up")?;
    let hosts = "[[host]]\nname = \"one\"\nring = 8388608\n\
                 addresses = [\"10.9.8.2/24\", \"fd00:9:8::2/64\"]\n";
    let server = Server::over("tap = \"shared\"", hosts)?;
    to_bridge("shared")?;
    let cable = rump::server::connect(server.place())?;
    let link = Arc::new(cable.attach(&kernel)?);
    let lower = kernel.attach(Tap::open("direct")?)?;
    to_bridge("direct")?;
    let name = lower.name().to_owned();
    let switch = Switch::builder(Arc::clone(&link))
        .direct(move || -> io::Result<Arc<dyn Backend>> { Ok(Arc::new(Splice::over(&name)?)) })
        .server(Arc::new(cable.clone()))
        .build()?;
    let crowd = Crowd::start(&["10.9.8.2".into(), "fd00:9:8::2".into()], CONNECTIONS)?;

    let moving = || {
        let start = Instant::now();
        while start.elapsed() < RUN {
            for path in [Path::Direct, Path::Shared] {
                switch.to(path)?;
                std::thread::sleep(EVERY);
            }
        }
        Ok::<_, Error>(())
    };
    crowd.during(RUN, || ());
    let before = dropped(&server, [&link, &lower])?;
    let (mut differences, mut without_switch, mut with_switch) =
        (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        // With switches it is on each path for half of the time, and so it is without.
        let mut without = Gaps::default();
        for path in [Path::Shared, Path::Direct] {
            switch.to(path)?;
            let (on_it, ()) = crowd.during(RUN / 2, || ());
            without.overall = without.overall.max(on_it.overall);
            without.worst = without.worst.max(on_it.worst);
            without.messages += on_it.messages;
        }
        let (with, ended) = crowd.during(RUN, moving);
        ended?;
        println!("with {with:?}, without {without:?}");
        differences.push(more(with, without));
        without_switch.push(1e3 * without.worst.as_secs_f64());
        with_switch.push(1e3 * with.worst.as_secs_f64());
    }
    let dropped = dropped(&server, [&link, &lower])? - before;
    let subject = Subject {
        note: Some(format!(
            "{CONNECTIONS} connections, IPv4 and IPv6, all busy; a switch every {EVERY:?}; from a network server to a \
             splice over TAP and back; {dropped} frames were dropped; the larger difference of the longest interval over all connections and of that of the worst \
             one, which is {:.1} ms without a switch, for half of the time on each path; the spread is that of the latter with switches",
            ratios::median(&without_switch)
        )),
        spread: Some(ratios::spread(&with_switch)),
        ..Subject::new(NAMES[0], "ms", Better::Less)
    };
    harness.write(&subject, &identity, Some(CPUS), &differences, None)?;

    let (_, ended) = crowd.during(RUN, || {
        for number in 0..IN_A_ROW {
            switch.to(if number % 2 == 0 {
                Path::Direct
            } else {
                Path::Shared
            })?;
        }
        Ok::<_, Error>(())
    });
    ended?;
    let switches = switch.status().switches;
    // A connection that was reset, or brought another byte, is an error.
    let failures = crowd.finish();
    failures.iter().for_each(|failure| eprintln!("{failure}"));
    let resets = failures.len() as f64;
    let subject = Subject {
        note: Some(format!(
            "{switches} switches, {IN_A_ROW} of them in a row; every byte compared"
        )),
        spread: Some(0.0),
        ..Subject::new(NAMES[1], "connections", Better::Less)
    };
    harness.write(&subject, &identity, Some(CPUS), &[resets], None)
}
