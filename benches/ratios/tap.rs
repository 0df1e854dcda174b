//! One TCP stream between this kernel and Linux over TAP, beside one between two Linux
//! stacks over veth.
//!
//! A child makes itself a network namespace, puts the kernel of this build behind a TAP
//! interface in it, and starts two peers: one beside the TAP interface, and one in a
//! namespace of its own at the other end of a veth pair. It then streams to and from
//! each in turn, with the kernel's sockets or Linux's. Offloads are everywhere what they
//! are by default.

#[path = "../../tests/common/netns.rs"]
mod netns;

use crate::Outcome;
use crate::comparison::{Better, Harness, Subject, seconds};
use crate::loopback::{BLOCK, RUN, pattern, receive, send};
use rump::iface::{IpNet, Tap};
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

/// The benchmarks here.
pub const NAMES: &[&str] = &["tap/to-host", "tap/from-host", "lite/tap/"];

const TAP_LINUX: &str = "10.9.1.1";
const TAP_RUMP: &str = "10.9.1.2";
const VETH_NEAR: &str = "10.9.2.1";
const VETH_FAR: &str = "10.9.2.2";
const PORT: u16 = 7000;
/// What a peer is to do.
const TAKE: u8 = b't';
const GIVE: u8 = b'g';

/// Runs the benchmarks in a child.
pub fn tap(harness: &mut Harness) -> Outcome {
    let wanted = NAMES[..2].iter().filter(|name| harness.wants(name));
    let status = Command::new(std::env::current_exe()?)
        .args([crate::boot::CHILD, "tap"])
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
        "-peer" => peer(TAP_LINUX),
        "-far-peer" => netns::enter()
            .map_err(Into::into)
            .and_then(|()| peer(VETH_FAR)),
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

/// Serves streams until its parent is gone.
fn peer(address: &str) -> Outcome {
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
    loop {
        let (mut stream, _) = listener.accept()?;
        let mut order = [0; 9];
        stream.read_exact(&mut order)?;
        let bytes = u64::from_be_bytes(order[1..].try_into()?) as usize;
        if order[0] == TAKE {
            // The other end stays open for the answer: there is no end of file yet.
            receive((&mut stream).take(bytes as u64), bytes, &pattern)?;
            stream.write_all(&[TAKE])?;
        } else {
            send(&mut stream, bytes, &pattern)?;
        }
    }
}

/// A peer that runs, and is ended with this.
struct Peer(Child, BufReader<std::process::ChildStdout>);

impl Peer {
    fn start(part: &str) -> Result<Self, Box<dyn Error>> {
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

    fn wait(&mut self) -> Outcome {
        let mut line = String::new();
        self.1.read_line(&mut line)?;
        if line.trim() == "ready" {
            Ok(())
        } else {
            Err("the peer did not start".into())
        }
    }

    fn serve(&mut self, where_to: &str) -> Outcome {
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
    netns::ip(&format!("address add {TAP_LINUX}/24 dev rump0"))?;
    netns::ip("link set rump0 up")?;
    link.add_address(IpNet::new(TAP_RUMP.parse()?, 24)?)?;
    let mut near = Peer::start("tap-peer")?;
    near.serve("near")?;
    let mut far = Peer::start("tap-far-peer")?;
    let pid = far.0.id();
    netns::ip(&format!(
        "link add near type veth peer name far netns {pid}"
    ))?;
    netns::ip(&format!("address add {VETH_NEAR}/24 dev near"))?;
    netns::ip("link set near up")?;
    far.serve("far")?;

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
        harness.compare(&subject, &mut || ours.run(TAP_LINUX, connect), &mut || {
            rival.run(VETH_FAR, std::net::TcpStream::connect)
        })?;
    }
    if std::env::var_os("RUMP_BENCH_STATS").is_some() {
        eprintln!("{:#?}\n{:#?}", link.stats()?, rump_sys::hyper::stats());
    }
    Ok(())
}

/// With buffers of nearly the greatest size that the kernel allows by default.
fn connect(to: SocketAddr) -> io::Result<rump::net::TcpStream> {
    let stream = rump::net::TcpStream::connect(to)?;
    stream.set_send_buffer_size(192 * 1024)?;
    stream.set_recv_buffer_size(192 * 1024)?;
    Ok(stream)
}

/// Runs of one stream, each about as long as wanted.
struct Stream {
    give: bool,
    bytes: usize,
    pattern: Vec<u8>,
}

impl Stream {
    fn new(give: bool) -> Self {
        Self {
            give,
            bytes: 32 << 20,
            pattern: pattern(),
        }
    }

    /// MiB/s.
    fn run<S: Read + Write>(
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
