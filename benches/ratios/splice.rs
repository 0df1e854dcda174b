//! An interface that is spliced over another, beside that other one by itself: one TCP stream
//! to a peer at the same kind of TAP interface.
//!
//! A child makes itself a network namespace with two TAP interfaces. The kernel has an
//! interface over each, and one more over one of these.

use crate::Outcome;
use crate::comparison::{Better, Harness, Subject};
use crate::tap::{Peer, Stream, exit_code, in_child, netns, peer};
use rump::iface::{IpNet, Link, Splice, Tap};
use std::error::Error;
use std::process::ExitCode;

/// The benchmarks here.
pub const NAMES: &[&str] = &["splice/to-host", "splice/from-host"];

/// Linux's addresses and the kernel's.
const DIRECT: [&str; 2] = ["10.9.5.1", "10.9.5.2"];
const SPLICED: [&str; 2] = ["10.9.6.1", "10.9.6.2"];

/// Runs the benchmarks in a child.
pub fn splice(harness: &mut Harness) -> Outcome {
    in_child("splice", NAMES, harness)
}

/// What a child does: the benchmarks, or it is a peer.
pub fn child(part: &str, arguments: &[String]) -> ExitCode {
    exit_code(match part {
        "" => run(arguments),
        "-direct-peer" => peer(DIRECT[0], DIRECT[1]),
        "-spliced-peer" => peer(SPLICED[0], SPLICED[1]),
        _ => Err("no such child".into()),
    })
}

/// Gives both ends of a TAP interface their addresses, and starts the peer.
fn join(tap: &str, addresses: [&str; 2], link: &Link, part: &str) -> Result<Peer, Box<dyn Error>> {
    link.add_address(IpNet::new(addresses[1].parse()?, 24)?)?;
    Peer::at(tap, addresses[0], part)
}

fn run(names: &[String]) -> Outcome {
    netns::enter()?;
    let wanted = |name: &str| names.iter().any(|other| other == name);
    let mut harness = Harness::new(&wanted);
    let kernel = harness.boot()?;
    let direct = kernel.attach(Tap::open("direct")?)?;
    let lower = kernel.attach(Tap::open("lower")?)?;
    let spliced = kernel.attach(Splice::over(lower.name())?)?;
    let _peers = [
        join("direct", DIRECT, &direct, "splice-direct-peer")?,
        join("lower", SPLICED, &spliced, "splice-spliced-peer")?,
    ];
    for (name, give) in [("splice/to-host", false), ("splice/from-host", true)] {
        if !wanted(name) {
            continue;
        }
        let subject = Subject {
            rival_is: Some("over the TAP interface itself"),
            ..Subject::new(name, "MiB/s", Better::More)
        };
        let mut ours = Stream::new(give);
        let mut rival = Stream::new(give);
        harness.compare(
            &subject,
            &mut || ours.run(SPLICED[0], rump::net::TcpStream::connect),
            &mut || rival.run(DIRECT[0], rump::net::TcpStream::connect),
        )?;
    }
    Ok(())
}
