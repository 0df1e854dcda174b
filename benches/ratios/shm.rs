//! One TCP stream between two kernels in two processes, over shared memory: our own cable,
//! beside upstream's shmif(4) (feature `shmif`).
//!
//! A child has the one kernel; its own child, the peer, has the other and takes streams.

#[path = "../../tests/common/upstream.rs"]
mod upstream;

use crate::Outcome;
use crate::comparison::{Better, CPUS, Harness, RUNS, Subject, seconds};
use crate::loopback::{BLOCK, RUN, pattern, receive, send};
use rump::iface::Shm;
use rump::net::{TcpListener, TcpStream};
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The benchmarks here.
pub const NAMES: &[&str] = &["shm/stream", "lite/shm/"];

/// The kernels' addresses on the cable, and on the bus.
const CABLE: [&str; 2] = ["10.9.3.1", "10.9.3.2"];
const BUS: [&str; 2] = ["10.9.4.1", "10.9.4.2"];
const PORT: u16 = 7000;
/// Whether there is upstream's to compare with.
const UPSTREAM: bool = cfg!(feature = "shmif");

/// Runs the benchmark in a child.
pub fn shm(_harness: &mut Harness) -> Outcome {
    let status = Command::new(std::env::current_exe()?)
        .args([crate::boot::CHILD, "shm"])
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err("it failed in its child".into())
    }
}

/// What a child does: the benchmark, or it is the peer.
pub fn child(part: &str, arguments: &[String]) -> ExitCode {
    let done = match (part, arguments) {
        ("", []) => run(),
        ("-peer", [bus]) => peer(Path::new(bus)),
        _ => Err("no such child".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn net(address: &str) -> Result<rump::iface::IpNet, Box<dyn Error>> {
    Ok(format!("{address}/24").parse()?)
}

/// Takes streams until the parent is gone.
fn peer(bus: &Path) -> Outcome {
    let kernel = rump::Kernel::builder().cpus(CPUS).boot()?;
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let link = kernel.attach(Shm::accept(socket)?)?;
    link.add_address(net(CABLE[1])?)?;
    if UPSTREAM {
        upstream::shmif(0, bus)?.add_address(net(BUS[1])?)?;
    }
    let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], PORT)))?;
    println!("ready");
    std::thread::spawn(move || {
        while link.has_link() {
            std::thread::sleep(Duration::from_millis(50));
        }
        std::process::exit(0);
    });
    let pattern = pattern();
    loop {
        let (mut stream, _) = listener.accept()?;
        let mut order = [0; 8];
        stream.read_exact(&mut order)?;
        let bytes = u64::from_be_bytes(order) as usize;
        receive((&mut stream).take(bytes as u64), bytes, &pattern)?;
        stream.write_all(&[1])?;
    }
}

fn run() -> Outcome {
    let mut harness = Harness::new(&|_| true);
    let kernel = harness.boot()?;
    let bus = std::env::temp_dir().join(format!("rump-bench-bus-{}", std::process::id()));
    let (near, far) = UnixStream::pair()?;
    let mut peer = Command::new(std::env::current_exe()?)
        .args([crate::boot::CHILD, "shm-peer"])
        .arg(&bus)
        .stdin(OwnedFd::from(far))
        .stdout(Stdio::piped())
        .spawn()?;
    let link = kernel.attach(Shm::offer(near)?)?;
    link.add_address(net(CABLE[0])?)?;
    if UPSTREAM {
        upstream::shmif(0, &bus)?.add_address(net(BUS[0])?)?;
    }
    let mut line = String::new();
    let output = peer.stdout.take().ok_or("no output of the peer")?;
    BufReader::new(output).read_line(&mut line)?;
    if line.trim() != "ready" {
        return Err("the peer did not start".into());
    }
    let subject = Subject {
        rival_is: UPSTREAM.then_some("upstream's shmif"),
        ..Subject::new("shm/stream", "MiB/s", Better::More)
    };
    let (mut ours, mut rival) = (Stream::new(), Stream::new());
    if UPSTREAM {
        harness.compare(&subject, &mut || ours.run(CABLE[1]), &mut || {
            rival.run(BUS[1])
        })?;
    } else {
        ours.run(CABLE[1])?;
        let runs = (0..RUNS).map(|_| ours.run(CABLE[1]));
        let runs = runs.collect::<Result<Vec<_>, _>>()?;
        let kernel = kernel.identity()?.to_string();
        harness.write(&subject, &kernel, Some(CPUS), &runs, None)?;
    }
    if std::env::var_os("RUMP_BENCH_STATS").is_some() {
        eprintln!("{:#?}\n{:#?}", link.stats()?, link.backend().statistics());
    }
    drop(link);
    peer.wait()?;
    let _ = std::fs::remove_file(bus);
    Ok(())
}

/// Runs of one stream, each about as long as wanted.
struct Stream {
    bytes: usize,
    pattern: Vec<u8>,
}

impl Stream {
    fn new() -> Self {
        Self {
            bytes: 16 << 20,
            pattern: pattern(),
        }
    }

    /// MiB/s.
    fn run(&mut self, to: &str) -> Result<f64, Box<dyn Error>> {
        let bytes = self.bytes / BLOCK * BLOCK;
        let mut stream = TcpStream::connect(SocketAddr::new(to.parse()?, PORT))?;
        let start = Instant::now();
        stream.write_all(&(bytes as u64).to_be_bytes())?;
        send(&mut stream, bytes, &self.pattern)?;
        stream.read_exact(&mut [0])?;
        let rate = bytes as f64 / seconds(start.elapsed());
        self.bytes = (rate * seconds(RUN)) as usize;
        Ok(rate / f64::from(1 << 20))
    }
}
