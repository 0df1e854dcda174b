//! What a network server costs: this kernel over a TAP interface that `rump server` owns, beside
//! the same kernel over a TAP interface of its own.
//!
//! Both interfaces are the kernel's at the same time, and at the other end of each is Linux, in
//! a network namespace that a child makes for itself. The server is `target/release/rump`.

use crate::Outcome;
use crate::comparison::{Better, CPUS, Harness, RUNS, Subject, target};
use crate::http;
use crate::tap::{HTTP, Peer, Stream, ask, echo, exit_code, in_child, netns, peer, tell};
use rump::iface::{IpNet, Link, Tap};
use rump::server::Cable;
use rump_examples::ratios;
use std::error::Error;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The benchmarks here.
pub const NAMES: &[&str] = &[
    "server/stream",
    "server/stream-from",
    "server/rps",
    "server/added-rtt",
];

/// Linux's address and the kernel's, of both interfaces.
const DIRECT: [&str; 2] = ["10.9.6.1", "10.9.6.2"];
const SERVED: [&str; 2] = ["10.9.5.1", "10.9.5.2"];
/// How long the server is given to be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the benchmarks in a child.
pub fn served(harness: &mut Harness) -> Outcome {
    in_child("server", NAMES, harness)
}

/// What a child does: the benchmarks, or it is a peer.
pub fn child(part: &str, names: &[String]) -> ExitCode {
    exit_code(match part {
        "" => run(names),
        "-direct-peer" => peer(DIRECT[0], DIRECT[1]),
        "-peer" => peer(SERVED[0], SERVED[1]),
        _ => Err("no such child".into()),
    })
}

/// A server that runs, until this is dropped.
struct Server {
    child: Child,
    folder: PathBuf,
}

impl Server {
    fn start() -> Result<Self, Box<dyn Error>> {
        let folder = std::env::temp_dir().join(format!("rump-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let config = format!(
            "socket = \"{0}/sock\"\ncontrol = \"{0}/ctl\"\n\
             [[nic]]\nname = \"card\"\ntap = \"served0\"\n\
             [[host]]\nname = \"bench\"\nmac = \"02:00:00:09:05:02\"\naddresses = [\"{1}/24\"]\n",
            folder.display(),
            SERVED[1]
        );
        std::fs::write(folder.join("server.toml"), config)?;
        let program = target().join("release/rump");
        let child = Command::new(&program)
            .args(["server", "--config"])
            .arg(folder.join("server.toml"))
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(Self { child, folder })
    }

    fn connect(&mut self) -> Result<Cable, Box<dyn Error>> {
        let start = Instant::now();
        loop {
            match rump::server::connect(self.folder.join("sock")) {
                Ok(cable) => return Ok(cable),
                Err(error) if start.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) if self.child.try_wait()?.is_some() => return Err("no server".into()),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = self.child.id().cast_signed();
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(id),
            nix::sys::signal::Signal::SIGTERM,
        );
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn run(names: &[String]) -> Outcome {
    netns::enter()?;
    let wanted = |name: &str| names.iter().any(|other| other == name);
    let mut harness = Harness::new(&wanted);
    let kernel = harness.boot()?;
    let direct = kernel.attach(Tap::open("direct0")?)?;
    direct.add_address(IpNet::new(DIRECT[1].parse()?, 24)?)?;
    let mut server = Server::start()?;
    let cable = server.connect()?;
    let link = cable.attach(&kernel)?;
    let _peers = [
        Peer::at("direct0", DIRECT[0], "server-direct-peer")?,
        Peer::at("served0", SERVED[0], "server-peer")?,
    ];
    measure(&mut harness, &wanted, &kernel)?;
    if std::env::var_os("RUMP_BENCH_STATS").is_some() {
        let of = |link: &Link| (link.stats(), link.backend().statistics());
        eprintln!("{:#?}\n{:#?}", of(&direct), of(&link));
    }
    Ok(())
}

fn measure(harness: &mut Harness, wanted: &dyn Fn(&str) -> bool, kernel: &rump::Kernel) -> Outcome {
    let subject = |name, unit| Subject {
        rival_is: Some("the same over a TAP interface of its own"),
        ..Subject::new(name, unit, Better::More)
    };
    for (name, give) in [("server/stream", false), ("server/stream-from", true)] {
        if wanted(name) {
            let (mut ours, mut rival) = (Stream::new(give), Stream::new(give));
            harness.compare(
                &subject(name, "MiB/s"),
                &mut || ours.run(SERVED[0], rump::net::TcpStream::connect),
                &mut || rival.run(DIRECT[0], rump::net::TcpStream::connect),
            )?;
        }
    }
    if wanted("server/rps") {
        let listener = rump::net::TcpListener::bind(("0.0.0.0", HTTP))?;
        // It ends with the process.
        std::thread::spawn(move || tell(http::serve::<http::Kernel>(&listener)));
        let (mut ours, mut rival) = (20_000, 20_000);
        harness.compare(
            &subject("server/rps", "1/s"),
            &mut || ask(SERVED[0], &mut ours),
            &mut || ask(DIRECT[0], &mut rival),
        )?;
    }
    if wanted("server/added-rtt") {
        let (mut ours, mut rival) = (5_000, 5_000);
        let mut added = Vec::new();
        let mut whole = Vec::new();
        for _ in 0..=RUNS {
            let served = echo(SERVED[0], &mut ours)?;
            added.push(served - echo(DIRECT[0], &mut rival)?);
            whole.push(served);
        }
        // The first run warms up.
        let (added, whole) = (&added[1..], &whole[1..]);
        let row = Subject {
            note: Some(format!("of {:.1} us", ratios::median(whole))),
            spread: Some(ratios::spread(whole)),
            ..Subject::new("server/added-rtt", "us", Better::Less)
        };
        let kernel = kernel.identity()?.to_string();
        harness.write(&row, &kernel, Some(CPUS), added, None)?;
    }
    Ok(())
}
