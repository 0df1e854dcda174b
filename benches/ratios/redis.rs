//! An unmodified redis-server, as Debian ships it, behind a TAP interface: under
//! `rump run --in-process`, and as the client of a kernel in another process. Its rival is the
//! same server on Linux over veth, or the other mode. redis-benchmark asks from Linux's side.

use crate::Outcome;
use crate::comparison::{Better, Harness, Subject, target};
use crate::tap::{self, Peer, VETH_NEAR, netns};
use std::error::Error;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The benchmarks here.
pub const NAMES: &[&str] = &[
    "preload/redis-get",
    "preload/redis-set",
    "preload/redis-get-p16",
    "preload/redis-set-p16",
    "remote/redis-get",
];

const PORT: u16 = 6379;
/// How long a run takes, about.
const RUN: f64 = 1.5;

/// Runs the benchmarks in a child, which makes namespaces.
pub fn redis(harness: &mut Harness) -> Outcome {
    tap::in_child("redis", NAMES, harness)
}

/// What the child does.
pub fn child(names: &[String]) -> ExitCode {
    tap::exit_code(run(names))
}

/// A process that is ended with this.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self, Box<dyn Error>> {
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null());
        let name = silent.get_program().to_string_lossy().into_owned();
        let child = silent.spawn();
        Ok(Self(child.map_err(|error| format!("{name}: {error}"))?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM);
        }
        let _ = self.0.wait();
    }
}

/// What `cargo build --release --workspace` makes.
fn runner() -> Result<PathBuf, Box<dyn Error>> {
    let runner = target().join("release/rump");
    let library = runner.with_file_name("librump_preload.so");
    for file in [&runner, &library] {
        if !file.is_file() {
            let file = file.display();
            return Err(format!("no {file}: cargo build --release --workspace makes it").into());
        }
    }
    Ok(runner)
}

/// A TAP interface that Linux has an address on; the address of who has the other end.
fn interface(name: &str, net: u8) -> Result<String, Box<dyn Error>> {
    netns::ip(&format!("tuntap add {name} mode tap"))?;
    netns::ip(&format!("address add 10.{net}.0.1/24 dev {name}"))?;
    netns::ip(&format!("link set {name} up"))?;
    Ok(format!("10.{net}.0.2"))
}

fn settings(command: &mut Command, address: &str) {
    let port = PORT.to_string();
    command.args(["redis-server", "--bind", address, "--port", &port]);
    command.args(["--save", "", "--protected-mode", "no"]);
}

/// Waits until a server is there.
fn wait_for(address: &str) -> Outcome {
    let limit = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect((address, PORT)).is_err() {
        if Instant::now() > limit {
            return Err(format!("no server at {address}").into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Requests in a second, of a server that is asked from the namespace of a process.
struct Asked<'a> {
    address: &'a str,
    namespace: u32,
    test: &'a str,
    pipeline: &'a str,
    count: u64,
}

impl<'a> Asked<'a> {
    fn new(address: &'a str, namespace: u32, test: &'a str, pipeline: &'a str) -> Self {
        Self {
            address,
            namespace,
            test,
            pipeline,
            count: 20_000,
        }
    }

    fn run(&mut self) -> Result<f64, Box<dyn Error>> {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.namespace.to_string(), "-n", "redis-benchmark"]);
        rate(
            &mut command,
            self.address,
            self.test,
            self.pipeline,
            &mut self.count,
        )
    }
}

/// Requests in a second that a redis-benchmark makes, so many in all; after it `count` is how
/// many it makes in the time of a run.
pub fn rate(
    benchmark: &mut Command,
    address: &str,
    test: &str,
    pipeline: &str,
    count: &mut u64,
) -> Result<f64, Box<dyn Error>> {
    let output = benchmark
        .args(["-h", address, "--csv"])
        .args(["-c", "50", "-t", test, "-P", pipeline])
        .args(["-n", &count.to_string()])
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let row = told.lines().last().unwrap_or_default();
    let rate = row.split(',').nth(1).unwrap_or_default().trim_matches('"');
    let failed = |_| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("redis-benchmark: {said}")
    };
    let rate: f64 = rate.parse().map_err(failed)?;
    *count = (rate * RUN) as u64;
    Ok(rate)
}

fn run(names: &[String]) -> Outcome {
    let wanted = |name: &str| names.iter().any(|other| other == name);
    let runner = runner()?;
    netns::enter()?;
    let mut harness = Harness::new(&wanted);
    let here = std::process::id();
    let inside = interface("rump0", 31)?;
    let mut command = Command::new(&runner);
    command.args(["run", "--in-process", "--tap", "rump0", "--address"]);
    settings(command.arg(format!("{inside}/24")).arg("--"), &inside);
    let _inside = Running::start(&mut command)?;
    wait_for(&inside)?;
    let far = Peer::beyond_veth()?;
    let mut command = Command::new("env");
    settings(&mut command, VETH_NEAR);
    let native = Running::start(&mut command)?;
    for (name, test, pipeline) in [
        ("preload/redis-get", "get", "1"),
        ("preload/redis-set", "set", "1"),
        ("preload/redis-get-p16", "get", "16"),
        ("preload/redis-set-p16", "set", "16"),
    ] {
        let subject = Subject {
            rival_is: Some("the same server on Linux over veth"),
            ..Subject::new(name, "1/s", Better::More)
        };
        if !wanted(name) {
            continue;
        }
        let mut ours = Asked::new(&inside, here, test, pipeline);
        let mut rival = Asked::new(VETH_NEAR, far.id(), test, pipeline);
        harness.compare(&subject, &mut || ours.run(), &mut || rival.run())?;
    }
    drop(native);
    if wanted("remote/redis-get") {
        let place = format!("unix:/tmp/rump-bench-{here}.sock");
        let elsewhere = interface("rump1", 32)?;
        let mut command = Command::new(&runner);
        command.args(["kernel", "--listen", &place, "--tap", "rump1", "--address"]);
        let _kernel = Running::start(command.arg(format!("{elsewhere}/24")))?;
        let path = place.trim_start_matches("unix:");
        while !std::path::Path::new(path).exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut command = Command::new(&runner);
        command.args(["run", "--in-process", "--kernel", &place, "--"]);
        settings(&mut command, &elsewhere);
        let _client = Running::start(&mut command)?;
        wait_for(&elsewhere)?;
        let subject = Subject {
            rival_is: Some("the kernel in the server's own process"),
            ..Subject::new("remote/redis-get", "1/s", Better::More)
        };
        let mut ours = Asked::new(&elsewhere, here, "get", "1");
        let mut rival = Asked::new(&inside, here, "get", "1");
        harness.compare(&subject, &mut || ours.run(), &mut || rival.run())?;
    }
    Ok(())
}
