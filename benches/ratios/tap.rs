//! This kernel over TAP, beside Linux's stack over veth: one TCP stream, and HTTP.
//!
//! A child makes itself a network namespace, puts the kernel of this build behind a TAP
//! interface in it, and starts two peers: one beside the TAP interface, and one in a
//! namespace of its own at the other end of a veth pair. It then streams to and from
//! each in turn, or serves them, with the kernel's sockets or Linux's. Offloads are everywhere what they
//! are by default.

#[path = "../../tests/common/netns.rs"]
pub mod netns;

use crate::Outcome;
use crate::comparison::{Better, Harness, Subject, seconds};
use crate::http;
use crate::loopback::{BLOCK, RUN, pattern, receive, send};
use rump::iface::{IpNet, Tap};
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

/// The benchmarks here.
pub const NAMES: &[&str] = &[
    "tap/to-host",
    "tap/from-host",
    "http/keepalive",
    "lite/tap/",
    "lite/http/",
];

const TAP_LINUX: &str = "10.9.1.1";
const TAP_RUMP: &str = "10.9.1.2";
pub const VETH_NEAR: &str = "10.9.2.1";
const VETH_FAR: &str = "10.9.2.2";
const PORT: u16 = 7000;
/// What a peer is to do.
const TAKE: u8 = b't';
const GIVE: u8 = b'g';
const ASK: u8 = b'a';
const ECHO: u8 = b'e';
/// Bytes of what goes to and fro.
const MESSAGE: usize = 64;
/// Where HTTP is served.
pub const HTTP: u16 = 8000;

/// Runs the benchmarks in a child.
pub fn tap(harness: &mut Harness) -> Outcome {
    in_child("tap", &NAMES[..3], harness)
}

/// Runs those that are wanted of some benchmarks in a child.
pub fn in_child(part: &str, names: &[&str], harness: &Harness) -> Outcome {
    let wanted = names.iter().filter(|name| harness.wants(name));
    let status = Command::new(std::env::current_exe()?)
        .args([crate::boot::CHILD, part])
        .args(wanted)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err("it failed in its child".into())
    }
}

/// What a child does: the benchmarks, or it is a peer.
pub fn child(part: &str, arguments: &[String]) -> ExitCode {
    let done = match part {
        "" => run(arguments),
        "-peer" => peer(TAP_LINUX, TAP_RUMP),
        "-far-peer" => netns::enter()
            .map_err(Into::into)
            .and_then(|()| peer(VETH_FAR, VETH_NEAR)),
        _ => Err("no such child".into()),
    };
    exit_code(done)
}

/// How a child ends.
pub fn exit_code(done: Outcome) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Does what it is asked to, until its parent is gone.
pub fn peer(address: &str, parent: &str) -> Outcome {
    // It has moved where it belongs; the parent gives it an address there.
    println!("ready");
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    if line.trim() == "far" {
        netns::ip(&format!("address add {address}/24 dev far"))?;
        netns::ip("link set far up")?;
    }
    let listener = TcpListener::bind((address, PORT))?;
    println!("ready");
    std::thread::spawn(|| {
        // Ends with the parent.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let pattern = pattern();
    let server = SocketAddr::new(parent.parse()?, HTTP);
    loop {
        let (mut stream, _) = listener.accept()?;
        let mut order = [0; 9];
        stream.read_exact(&mut order)?;
        let count = u64::from_be_bytes(order[1..].try_into()?) as usize;
        match order[0] {
            TAKE => {
                // The other end stays open for the answer: there is no end of file yet.
                receive((&mut stream).take(count as u64), count, &pattern)?;
                stream.write_all(&[TAKE])?;
            }
            GIVE => send(&mut stream, count, &pattern)?,
            ECHO => {
                stream.set_nodelay(true)?;
                let mut message = [0; MESSAGE];
                for _ in 0..count {
                    stream.read_exact(&mut message)?;
                    stream.write_all(&message)?;
                }
            }
            _ => {
                http::request(server, count)?;
                stream.write_all(&[ASK])?;
            }
        }
    }
}

/// A peer that runs, and is ended with this.
pub struct Peer(Child, BufReader<std::process::ChildStdout>);

impl Peer {
    /// One that is this program as that part.
    pub fn start(part: &str) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([crate::boot::CHILD, part])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("no output of the peer")?;
        let mut peer = Self(child, BufReader::new(output));
        peer.wait()?;
        Ok(peer)
    }

    /// One in this namespace, at an interface that is given an address.
    pub fn at(interface: &str, address: &str, part: &str) -> Result<Self, Box<dyn Error>> {
        netns::ip(&format!("address add {address}/24 dev {interface}"))?;
        netns::ip(&format!("link set {interface} up"))?;
        let mut near = Self::start(part)?;
        near.serve("near")?;
        Ok(near)
    }

    /// One in a namespace of its own, at the other end of a veth pair.
    pub fn beyond_veth() -> Result<Self, Box<dyn Error>> {
        let mut far = Self::start("tap-far-peer")?;
        netns::ip(&format!(
            "link add near type veth peer name far netns {}",
            far.id()
        ))?;
        netns::ip(&format!("address add {VETH_NEAR}/24 dev near"))?;
        netns::ip("link set near up")?;
        far.serve("far")?;
        Ok(far)
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    fn wait(&mut self) -> Outcome {
        let mut line = String::new();
        self.1.read_line(&mut line)?;
        if line.trim() == "ready" {
            Ok(())
        } else {
            Err("the peer did not start".into())
        }
    }

    /// Has it listen, where it is by then.
    pub fn serve(&mut self, where_to: &str) -> Outcome {
        let input = self.0.stdin.as_mut().ok_or("no input of the peer")?;
        writeln!(input, "{where_to}")?;
        self.wait()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn run(names: &[String]) -> Outcome {
    netns::enter()?;
    let wanted = |name: &str| names.iter().any(|other| other == name);
    let mut harness = Harness::new(&wanted);
    let kernel = harness.boot()?;
    let link = kernel.attach(Tap::open("rump0")?)?;
    link.add_address(IpNet::new(TAP_RUMP.parse()?, 24)?)?;
    let _near = Peer::at("rump0", TAP_LINUX, "tap-peer")?;
    let _far = Peer::beyond_veth()?;

    for (name, give) in [("tap/to-host", false), ("tap/from-host", true)] {
        if !wanted(name) {
            continue;
        }
        let subject = Subject {
            rival_is: Some("Linux sockets over veth"),
            ..Subject::new(name, "MiB/s", Better::More)
        };
        let mut ours = Stream::new(give);
        let mut rival = Stream::new(give);
        harness.compare(
            &subject,
            &mut || ours.run(TAP_LINUX, rump::net::TcpStream::connect),
            &mut || rival.run(VETH_FAR, std::net::TcpStream::connect),
        )?;
    }
    if wanted("http/keepalive") {
        keepalive(&mut harness)?;
    }
    if std::env::var_os("RUMP_BENCH_STATS").is_some() {
        eprintln!("{:#?}\n{:#?}", link.stats()?, rump_sys::hyper::stats());
    }
    Ok(())
}

fn keepalive(harness: &mut Harness) -> Outcome {
    let at = |address: &str| -> Result<SocketAddr, Box<dyn Error>> {
        Ok(SocketAddr::new(address.parse()?, HTTP))
    };
    let inside = rump::net::TcpListener::bind(at(TAP_RUMP)?)?;
    let outside = TcpListener::bind(at(VETH_NEAR)?)?;
    // They end with the process.
    std::thread::spawn(move || tell(http::serve::<http::Kernel>(&inside)));
    std::thread::spawn(move || tell(http::serve::<http::Linux>(&outside)));
    let subject = Subject {
        rival_is: Some("the same server on Linux sockets over veth"),
        ..Subject::new("http/keepalive", "1/s", Better::More)
    };
    let (mut ours, mut rival) = (20_000, 20_000);
    harness.compare(&subject, &mut || ask(TAP_LINUX, &mut ours), &mut || {
        ask(VETH_FAR, &mut rival)
    })
}

/// How long a message takes to a peer and back, in microseconds.
pub fn echo(peer: &str, count: &mut u64) -> Result<f64, Box<dyn Error>> {
    let mut order = [ECHO; 9];
    order[1..].copy_from_slice(&count.to_be_bytes());
    let mut stream = rump::net::TcpStream::connect(SocketAddr::new(peer.parse()?, PORT))?;
    stream.set_nodelay(true)?;
    stream.write_all(&order)?;
    let start = Instant::now();
    for number in 0..*count {
        let mut message = [0; MESSAGE];
        message[..8].copy_from_slice(&number.to_be_bytes());
        stream.write_all(&message)?;
        let mut answer = [0; MESSAGE];
        stream.read_exact(&mut answer)?;
        if answer != message {
            return Err("another message comes back".into());
        }
    }
    let each = seconds(start.elapsed()) / *count as f64;
    *count = (seconds(RUN) / each) as u64;
    Ok(each * 1e6)
}

pub fn tell(served: io::Result<()>) {
    if let Err(error) = served {
        eprintln!("the server ended: {error}");
    }
}

/// Has a peer send so many requests; returns how many it were in a second.
pub fn ask(peer: &str, count: &mut u64) -> Result<f64, Box<dyn Error>> {
    let mut order = [ASK; 9];
    order[1..].copy_from_slice(&count.to_be_bytes());
    let mut stream = std::net::TcpStream::connect((peer, PORT))?;
    let start = Instant::now();
    stream.write_all(&order)?;
    stream.read_exact(&mut [0])?;
    let rate = *count as f64 / seconds(start.elapsed());
    *count = (rate * seconds(RUN)) as u64;
    Ok(rate)
}

/// Runs of one stream, each about as long as wanted.
pub struct Stream {
    give: bool,
    bytes: usize,
    pattern: Vec<u8>,
}

impl Stream {
    /// From the peer, or to it.
    pub fn new(give: bool) -> Self {
        Self {
            give,
            bytes: 32 << 20,
            pattern: pattern(),
        }
    }

    /// MiB/s.
    pub fn run<S: Read + Write>(
        &mut self,
        to: &str,
        connect: impl FnOnce(SocketAddr) -> io::Result<S>,
    ) -> Result<f64, Box<dyn Error>> {
        let bytes = self.bytes / BLOCK * BLOCK;
        let mut stream = connect(SocketAddr::new(to.parse()?, PORT))?;
        let mut order = [if self.give { GIVE } else { TAKE }; 9];
        order[1..].copy_from_slice(&(bytes as u64).to_be_bytes());
        let start = Instant::now();
        stream.write_all(&order)?;
        if self.give {
            receive(&mut stream, bytes, &self.pattern)?;
        } else {
            send(&mut stream, bytes, &self.pattern)?;
            let mut done = [0];
            stream.read_exact(&mut done)?;
        }
        let rate = bytes as f64 / seconds(start.elapsed());
        self.bytes = (rate * seconds(RUN)) as usize;
        Ok(rate / f64::from(1 << 20))
    }
}
