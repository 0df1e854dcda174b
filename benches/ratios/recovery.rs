//! A network server that is killed, and one that is upgraded, under 100 connections that are
//! all busy: for how long nothing comes, and how many are reset. And 64 applications that all
//! send as fast as they can: how far what passes differs among them.
//!
//! The server is a process that this program starts itself as, over a TAP interface in a
//! network namespace of a child's own, where Linux has the other ends.

#[path = "../../tests/common/server.rs"]
mod server;

use crate::Outcome;
use crate::comparison::{Better, CPUS, Harness, Subject};
use crate::switch::crowd::{self, Crowd};
use crate::tap::{exit_code, in_child, netns};
use rump_ring::control::{Hello, MOST, Name, Protocol, ToApplication, ToServer, VERSION, Welcome};
use rump_server::messages::Request;
use rump_sys::hyper::linux::cable::{End, Shape, Socket};
use rump_sys::hyper::vif::backend::Piece;
use rump_sys::hyper::vif::{Transmit, abi::Offload};
use server::Server;
use std::error::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The benchmarks here.
pub const NAMES: &[&str] = &[
    "recovery/median",
    "recovery/resets",
    "upgrade/gap",
    "server/fairness-64",
];

const CONNECTIONS: usize = 100;
const KILLS: usize = 100;
const UPGRADES: usize = 20;
/// What is looked at of each.
const WINDOW: Duration = Duration::from_millis(400);
const APPLICATIONS: usize = 64;
const FAIR: Duration = Duration::from_secs(30);

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
    if NAMES[..3].iter().any(|name| wanted(name)) {
        killed_and_upgraded(&mut harness)?;
    }
    if wanted(NAMES[3]) {
        fairness(&harness)?;
    }
    Ok(())
}

fn killed_and_upgraded(harness: &mut Harness) -> Outcome {
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

/// An application that only sends.
struct Sender {
    end: End,
    welcome: Welcome,
    _socket: Socket,
}

impl Sender {
    fn connect(server: &Server, label: &str) -> Result<Self, Box<dyn Error>> {
        let socket = Socket::connect(&server.place())?;
        let hello = ToServer::Hello(Hello {
            version: VERSION,
            host: Name::EMPTY,
            label: Name::cut(label),
            queues: 1,
            ticket: 0,
        });
        socket.send(&hello.encode(), None)?;
        let mut bytes = [0; MOST];
        let message = loop {
            match socket.receive(&mut bytes)? {
                Some(message) => break message,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let ToApplication::Welcome(welcome) = ToApplication::decode(&bytes[..message.len])? else {
            return Err("it was not welcome".into());
        };
        let shape = Shape::new(welcome.queues, welcome.data).ok_or("odd rings")?;
        Ok(Self {
            end: End::map(message.file.ok_or("no memory")?, shape)?,
            welcome,
            _socket: socket,
        })
    }

    /// A datagram to nobody, over all the wire.
    fn frame(&self) -> Vec<u8> {
        let mut frame = [[0xff; 6], self.welcome.mac].concat();
        frame.extend([
            8,
            0,
            0x45,
            0,
            0,
            228,
            0,
            1,
            0,
            0,
            64,
            Protocol::Udp.number(),
            0,
            0,
        ]);
        frame.extend([10, 9, 7, 2, 255, 255, 255, 255]);
        frame.extend(self.welcome.ports.start().to_be_bytes());
        frame.extend([0, 9, 0, 208, 0, 0]);
        frame.resize(14 + 228, 0);
        frame
    }

    fn send(&self, stop: &AtomicBool) {
        let frame = self.frame();
        let pieces = [Piece::new(&frame)];
        let frames = [Transmit::new(&pieces, Offload::default()); 32];
        while !stop.load(Ordering::Relaxed) {
            let _ = self.end.send_all(0, &frames, Duration::from_millis(200));
        }
    }
}

fn fairness(harness: &Harness) -> Outcome {
    let hosts = format!(
        "[[host]]\nname = \"one\"\nring = 262144\napplications = {APPLICATIONS}\naddresses = [\"10.9.7.2/24\"]\n"
    );
    let server = Server::start("rumpfair", &["10.9.7.1/24"], &hosts)?;
    let senders = (0..APPLICATIONS).map(|number| Sender::connect(&server, &number.to_string()));
    let senders: Vec<Sender> = senders.collect::<Result<_, _>>()?;
    let stop = AtomicBool::new(false);
    let counted = |server: &Server| {
        let applications = server.status()?.applications;
        Ok::<Vec<u64>, Box<dyn Error>>(
            applications
                .iter()
                .map(|known| known.counters.sent.0)
                .collect(),
        )
    };
    let passed = std::thread::scope(|scope| {
        for sender in &senders {
            scope.spawn(|| sender.send(&stop));
        }
        std::thread::sleep(Duration::from_secs(1));
        let (before, start) = (counted(&server), Instant::now());
        std::thread::sleep(FAIR);
        let (after, took) = (counted(&server), start.elapsed());
        stop.store(true, Ordering::Relaxed);
        let each = after?
            .iter()
            .zip(before?)
            .map(|(after, before)| after - before)
            .collect::<Vec<_>>();
        Ok::<_, Box<dyn Error>>((each, took))
    });
    let (each, took) = passed?;
    let all: u64 = each.iter().sum();
    let mean = all as f64 / each.len() as f64;
    let (least, most) = (each.iter().min().copied(), each.iter().max().copied());
    let furthest = (most.unwrap_or(0) as f64 - mean).max(mean - least.unwrap_or(0) as f64);
    let subject = Subject {
        note: Some(format!(
            "{APPLICATIONS} applications send datagrams of 200 bytes as fast as they can for {took:.0?}: {:.0} a second in \
             all; how far the one that differs most is from the mean",
            all as f64 / took.as_secs_f64()
        )),
        ..Subject::new(NAMES[3], "%", Better::Less)
    };
    harness.write(
        &subject,
        "no kernel",
        None,
        &[100.0 * furthest / mean],
        None,
    )
}
