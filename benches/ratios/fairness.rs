//! 64 applications, each a process with a kernel of its own, that all send datagrams through
//! one network server as fast as they can: how far what passes differs among them.
//!
//! The server is a process of its own, over a TAP interface in a network namespace of a
//! child's, where Linux takes what comes.

use crate::Outcome;
use crate::comparison::{Better, Harness, Subject};
use crate::recovery::server::Server;
use crate::tap::{exit_code, in_child, netns};
use rump::net::UdpSocket;
use rump::server::Cable;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The benchmark here.
pub const NAME: &str = "server/fairness-64";

const APPLICATIONS: usize = 64;
/// How long is counted, and how long they send before.
const TIME: Duration = Duration::from_secs(30);
const BEFORE: Duration = Duration::from_secs(2);
/// Bytes of a datagram.
const DATAGRAM: usize = 200;
const SINK: &str = "10.9.4.1:9";

/// Runs the benchmark in a child.
pub fn fairness(harness: &mut Harness) -> Outcome {
    in_child("fairness", &[NAME], harness)
}

/// What a child does: the benchmark, or it is an application.
pub fn child(part: &str, arguments: &[String]) -> ExitCode {
    exit_code(match (part, arguments) {
        ("", _) => run(),
        ("-application", [place, label]) => application(place, label),
        _ => Err("no such child".into()),
    })
}

/// Sends until its parent ends it.
fn application(place: &str, label: &str) -> Outcome {
    let kernel = rump::Kernel::builder().cpus(1).boot()?;
    let cable = Cable::builder(place).label(label).connect()?;
    let _link = cable.attach(&kernel)?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    println!("{}", kernel.identity()?);
    loop {
        // Where there is no room it waits for some.
        if socket.send_to(&[7; DATAGRAM], SINK).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Applications that run; they end with this.
struct Applications(Vec<Child>);

impl Drop for Applications {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

impl Applications {
    /// Starts all of them; what kernel they have.
    fn start(server: &Server) -> Result<(Self, String), Box<dyn Error>> {
        let mut all = Self(Vec::new());
        let mut kernel = String::new();
        for number in 0..APPLICATIONS {
            let child = Command::new(std::env::current_exe()?)
                .args([crate::boot::CHILD, "fairness-application"])
                .arg(server.place())
                .arg(number.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()?;
            all.0.push(child);
        }
        for child in &mut all.0 {
            let output = child.stdout.take().ok_or("no output")?;
            kernel.clear();
            BufReader::new(output).read_line(&mut kernel)?;
            if kernel.is_empty() {
                return Err("an application did not start".into());
            }
        }
        Ok((all, kernel.trim().into()))
    }
}

fn run() -> Outcome {
    netns::enter()?;
    let hosts = format!(
        "[[host]]\nname = \"one\"\nring = 262144\nlease = 64\napplications = {APPLICATIONS}\n\
         addresses = [\"10.9.4.2/24\"]\n"
    );
    let server = Server::start("rumpfair", &["10.9.4.1/24"], &hosts)?;
    // It is not read: what does not fit is dropped there.
    let _sink = std::net::UdpSocket::bind(SINK)?;
    let (_applications, kernel) = Applications::start(&server)?;
    std::thread::sleep(BEFORE);
    let counted = || {
        let mut known = server.status()?.applications;
        known.sort_by_key(|known| known.number);
        let dropped: u64 = known
            .iter()
            .flat_map(|known| known.counters.dropped.values())
            .sum();
        let sent: Vec<u64> = known.iter().map(|known| known.counters.sent.0).collect();
        Ok::<_, Box<dyn Error>>((sent, dropped))
    };
    let ((before, dropped_before), start) = (counted()?, Instant::now());
    std::thread::sleep(TIME);
    let ((after, dropped), took) = (counted()?, start.elapsed());
    if before.len() != APPLICATIONS || after.len() != APPLICATIONS {
        return Err("applications have gone".into());
    }
    let each: Vec<f64> = after
        .iter()
        .zip(&before)
        .map(|(after, before)| (after - before) as f64)
        .collect();
    let all: f64 = each.iter().sum();
    let mean = all / each.len() as f64;
    let furthest = each
        .iter()
        .map(|one| (one - mean).abs())
        .fold(0.0, f64::max);
    let subject = Subject {
        note: Some(format!(
            "{APPLICATIONS} processes, each with a kernel of its own, send datagrams of {DATAGRAM} bytes as fast as they \
             can for {took:.0?}: {:.0} a second in all, of which {} were dropped; how far the one that differs most is \
             from the mean",
            all / took.as_secs_f64(),
            dropped - dropped_before,
        )),
        ..Subject::new(NAME, "%", Better::Less)
    };
    let wanted = |_: &str| true;
    Harness::new(&wanted).write(&subject, &kernel, Some(1), &[100.0 * furthest / mean], None)
}
