//! A network server that is killed, and one that is upgraded, under 100 connections that are
//! all busy: for how long nothing comes, and how many are reset.
//!
//! The server is a process that this program starts itself as, over a TAP interface in a
//! network namespace of a child's own, where Linux has the other ends.

#[path = "../../tests/common/server.rs"]
pub mod server;

use crate::Outcome;
use crate::comparison::{Better, CPUS, Harness, Subject};
use crate::switch::crowd::{self, Crowd};
use crate::tap::{exit_code, in_child, netns};
use rump_server::messages::Request;
use server::Server;
use std::process::ExitCode;
use std::time::Duration;

/// The benchmarks here.
pub const NAMES: &[&str] = &["recovery/median", "recovery/resets", "upgrade/gap"];

const CONNECTIONS: usize = 100;
const KILLS: usize = 100;
const UPGRADES: usize = 20;
/// What is looked at of each.
const WINDOW: Duration = Duration::from_millis(400);

/// Runs the benchmarks in a child.
pub fn recovery(harness: &mut Harness) -> Outcome {
    in_child("recovery", NAMES, harness)
}

/// A server, if this process was started as one.
pub use server::run_if_asked;

/// What a child does.
pub fn child(arguments: &[String]) -> ExitCode {
    exit_code(run(arguments))
}

fn run(names: &[String]) -> Outcome {
    netns::enter()?;
    let wanted = |name: &str| names.iter().any(|other| other == name);
    let mut harness = Harness::new(&wanted);
    let kernel = harness.boot()?;
    let identity = kernel.identity()?.to_string();
    let hosts = "[[host]]\nname = \"one\"\naddresses = [\"10.9.7.2/24\", \"fd00:9:7::2/64\"]\n";
    let linux = ["10.9.7.1/24", "fd00:9:7::1/64"];
    let server = Server::start("rumprec", &linux, hosts)?;
    let cable = rump::server::connect(server.place())?;
    let _link = cable.attach(&kernel)?;
    let crowd = Crowd::start(&["10.9.7.2".into(), "fd00:9:7::2".into()], CONNECTIONS)?;
    let gap = |gaps: crowd::Gaps| 1e3 * gaps.overall.as_secs_f64();
    crowd.during(WINDOW, || ());
    let upgrades = (0..UPGRADES).map(|_| {
        let upgrade = || {
            server
                .request(&Request::Upgrade { program: None })
                .map(drop)
        };
        let (gaps, done) = crowd.during(WINDOW, upgrade);
        done.map(|()| gap(gaps))
    });
    let upgrades: Vec<f64> = upgrades.collect::<Result<_, _>>()?;
    let (without, ()) = crowd.during(WINDOW, || ());
    if cable.reconnections() > 0 {
        return Err("an upgrade was noticed".into());
    }
    let kills = (0..KILLS).map(|_| {
        let (gaps, done) = crowd.during(WINDOW, || server.kill_worker());
        done.map(|()| gap(gaps))
    });
    let kills: Vec<f64> = kills.collect::<Result<_, _>>()?;
    let longest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let subject = |name, note| Subject {
        note: Some(note),
        ..Subject::new(name, "ms", Better::Less)
    };
    let load = format!("{CONNECTIONS} connections, IPv4 and IPv6, all busy, over TAP");
    let note = format!(
        "{load}; killed {KILLS} times; the longest interval without a byte, of which the longest was {:.1} ms",
        longest(&kills)
    );
    harness.write(
        &subject(NAMES[0], note),
        &identity,
        Some(CPUS),
        &kills,
        None,
    )?;
    let note = format!(
        "{load}; {UPGRADES} upgrades; the longest interval without a byte, of which the longest was {:.1} ms; without \
         an upgrade it is {:.1} ms",
        longest(&upgrades),
        gap(without)
    );
    harness.write(
        &subject(NAMES[2], note),
        &identity,
        Some(CPUS),
        &upgrades,
        None,
    )?;
    let failures = crowd.finish();
    failures.iter().for_each(|failure| eprintln!("{failure}"));
    let subject = Subject {
        note: Some(format!(
            "{load}; killed {} times; every byte compared",
            cable.reconnections()
        )),
        ..Subject::new(NAMES[1], "connections", Better::Less)
    };
    harness.write(
        &subject,
        &identity,
        Some(CPUS),
        &[failures.len() as f64],
        None,
    )
}
