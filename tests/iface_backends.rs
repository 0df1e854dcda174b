//! What stands behind interfaces, and what becomes of them when it fails.

mod common;
#[path = "common/patch.rs"]
mod patch;
#[path = "common/stream.rs"]
mod stream;

use common::{Outcome, netns};
use patch::Patch;
use rump::Errno;
use rump::iface::link::{Batch, HostErrno, Offload, Offloads, Piece, Transmit};
use rump::iface::{Backend, Faults, IpNet, Link, Pair, Tap, Tee};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use stream::{BothWays, at};

/// A network of its own for a test: Linux has the address that ends in 1.
struct Net {
    link: Link,
    tap: Arc<Tap>,
    there: String,
}

impl Net {
    fn new(number: u8) -> Result<Self, Box<dyn std::error::Error>> {
        let tap = Arc::new(Tap::open(&format!("net{number}t%d"))?);
        let net = Self {
            link: common::boot().attach(Arc::clone(&tap))?,
            tap,
            there: format!("10.3.{number}.2"),
        };
        net.plug(number)?;
        net.link.add_address(IpNet::new(net.there.parse()?, 24)?)?;
        Ok(net)
    }

    fn plug(&self, number: u8) -> Result<(), String> {
        let name = self.tap.name();
        netns::ip(&format!("address add 10.3.{number}.1/24 dev {name}"))?;
        netns::ip(&format!("link set {name} up"))
    }

    /// A short transfer.
    fn works(&self) -> Outcome {
        let stream = BothWays::start(&self.there)?;
        stream.advance(64 << 10);
        stream.finish()?;
        Ok(())
    }
}

/// Waits for something to happen.
fn wait(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Every byte arrives, and is the right one, over a link that could hardly be worse.
fn transfers_survive_faults() -> Outcome {
    let long = std::env::var_os("RUMP_TEST_LONG").is_some();
    let time = Duration::from_secs(if long { 60 } else { 2 });
    let net = Net::new(1)?;
    let streams = [(), (), ()].map(|()| BothWays::start(&net.there).unwrap());
    streams.iter().for_each(|stream| stream.advance(1 << 20));
    let bad = Faults::builder()
        .seed(4)
        .loss(0.1)
        .reordering(0.1)
        .duplication(0.02)
        .corruption(0.02)
        .around(Arc::clone(&net.tap))?;
    let bad = Arc::new(bad);
    net.link.replace(Arc::clone(&bad))?;
    let before = streams.each_ref().map(BothWays::progress);
    std::thread::sleep(time);
    let after = streams.each_ref().map(BothWays::progress);
    // What is still under way need not take as long.
    net.link.replace(Arc::clone(&net.tap))?;
    for stream in streams {
        stream.finish()?;
    }
    let (incoming, outgoing) = bad.counts();
    for counts in [incoming, outgoing] {
        assert!(counts.frames > 100, "{counts:?}");
        assert!(counts.lost > counts.frames / 20, "{counts:?}");
        assert!(counts.corrupted > counts.frames / 100, "{counts:?}");
        assert!(counts.reordered > counts.frames / 20, "{counts:?}");
    }
    // There is progress in spite of it, both ways.
    for side in 0..2 {
        let sum = |all: &[[u64; 2]]| all.iter().map(|both| both[side]).sum::<u64>();
        assert!(sum(&after) > sum(&before), "side {side}");
    }
    Ok(())
}

/// What is recorded is what Wireshark takes for sound, offloads or not.
fn wireshark_reads_what_is_recorded() -> Outcome {
    let net = Net::new(2)?;
    let path = std::env::temp_dir().join(format!("rump-tee-{}.pcapng", std::process::id()));
    let tee = Arc::new(Tee::to_file(Arc::clone(&net.tap), &path)?);
    net.link.replace(Arc::clone(&tee))?;
    let stream = BothWays::start(&net.there)?;
    stream.advance(1 << 20);
    stream.finish()?;
    net.link.replace(Arc::clone(&net.tap))?;
    assert_eq!(tee.error(), None);
    let output = Command::new("tshark")
        .args(["-n", "-o", "tcp.check_checksum:TRUE"])
        .args(["-o", "ip.check_checksum:TRUE", "-T", "fields"])
        .args(["-e", "frame.len", "-e", "frame.packet_flags_direction"])
        .args(["-e", "tcp.checksum.status", "-e", "ip.checksum.status"])
        .arg("-r")
        .arg(&path)
        .output()?;
    std::fs::remove_file(&path)?;
    let text = String::from_utf8(output.stdout)?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(rows.len() as u64, tee.frames(), "{error}");
    let large = |direction: &str| {
        let of = |row: &&Vec<&str>| {
            row[0].parse::<usize>().unwrap() > 1514 && row[1].ends_with(direction)
        };
        rows.iter().filter(of).count()
    };
    // Inbound and outbound, so that there were checksums to put in.
    assert!(large("1") > 10, "{} large frames came", large("1"));
    if common::sends_large_segments() {
        assert!(large("2") > 10, "{} large frames left", large("2"));
    }
    for row in rows.iter().filter(|row| !row[2].is_empty()) {
        assert_eq!((row[2], row[3]), ("1", "1"), "{row:?}");
    }
    Ok(())
}

/// The TAP interface is deleted: its interface loses its link, others go on, and with
/// another back end all is well again.
fn tap_is_deleted() -> Outcome {
    let (other, mut net) = (Net::new(3)?, Net::new(4)?);
    net.works()?;
    let socket = rump::net::UdpSocket::bind(at(&net.there, 0))?;
    netns::ip(&format!("link delete {}", net.tap.name()))?;
    wait("the loss is noticed", || net.link.error().is_some());
    assert_eq!(net.link.error(), Some(Errno::ENXIO));
    wait("the link is lost", || !net.link.has_link());
    for _ in 0..10 {
        // Whatever becomes of it.
        let _ = socket.send_to(&[0; 100], at("10.3.4.1", 9));
    }
    other.works()?;

    net.tap = Arc::new(Tap::open("net4again")?);
    net.link.replace(Arc::clone(&net.tap))?;
    net.plug(4)?;
    assert_eq!(net.link.error(), None);
    assert!(net.link.has_link());
    // Without a link the kernel does not count its address as its own.
    let bind = || rump::net::UdpSocket::bind(at(&net.there, 0));
    wait("the address is back", || bind().is_ok());
    net.works()
}

/// The network namespace that the TAP interface was moved to ends.
fn namespace_is_gone() -> Outcome {
    let (other, net) = (Net::new(5)?, Net::new(6)?);
    let mut holder = Command::new("unshare")
        .args(["--net", "sh", "-c", "echo; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = holder.stdout.take().unwrap();
    std::io::Read::read_exact(&mut output, &mut [0])?;
    let (tap, pid) = (net.tap.name(), holder.id());
    netns::ip(&format!("link set {tap} netns {pid}"))?;
    assert!(net.link.has_link());
    drop(holder.stdin.take());
    holder.wait()?;
    wait("the loss is noticed", || net.link.error().is_some());
    assert_eq!(net.link.error(), Some(Errno::ENXIO));
    wait("the link is lost", || !net.link.has_link());
    other.works()
}

/// Nobody reads what comes for a socket: others over the same link go on.
fn reader_stalls() -> Outcome {
    let net = Net::new(7)?;
    let listener = rump::net::TcpListener::bind(at(&net.there, 0))?;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let outside = std::net::TcpStream::connect(listener.local_addr()?)?;
        outside.set_nonblocking(true)?;
        let (inside, _) = listener.accept()?;
        while std::io::Write::write(&mut &outside, &[0; 65_536]).is_ok() {}
        stalled.push((inside, outside));
    }
    net.works()
}

type How = fn() -> Result<(), HostErrno>;

/// A back end that fails, or panics, as it is told.
#[derive(Debug)]
struct Broken {
    cable: Pair,
    how: How,
    sends: AtomicU64,
}

impl Backend for Broken {
    fn offers(&self) -> Offloads {
        Offloads::NONE
    }

    fn receive(&self, queue: usize, batch: &mut Batch) -> Result<(), HostErrno> {
        self.cable.receive(queue, batch)?;
        (self.how)()
    }

    fn send(&self, _queue: usize, _frames: &[Transmit<'_>]) -> Result<usize, HostErrno> {
        self.sends.fetch_add(1, Ordering::Relaxed);
        (self.how)().map(|()| 0)
    }

    fn wake(&self) {
        self.cable.wake();
    }
}

fn back_ends_fail() -> Outcome {
    let kernel = common::boot();
    let ways: [(How, Errno); 2] = [
        (|| Err(HostErrno::TIMEDOUT), Errno::ETIMEDOUT),
        // A panic, without its message.
        (|| std::panic::resume_unwind(Box::new(())), Errno::EIO),
    ];
    for (number, (how, errno)) in (1..).zip(ways) {
        let (near, far) = Pair::new();
        let broken = Arc::new(Broken {
            cable: near,
            how,
            sends: AtomicU64::new(0),
        });
        let link = kernel.attach(Arc::clone(&broken))?;
        let address = format!("10.4.{number}.1");
        link.add_address(IpNet::new(address.parse()?, 24)?)?;
        // First what is sent fails.
        let socket = rump::net::UdpSocket::bind(at(&address, 0))?;
        let drops = link.send_drops();
        let _ = socket.send_to(b"lost", at(&format!("10.4.{number}.2"), 9));
        wait("what is sent fails", || {
            broken.sends.load(Ordering::Relaxed) > 0 && link.send_drops() > drops
        });
        // Then what is to come.
        far.send(
            0,
            &[Transmit::new(&[Piece::new(&[0; 60])], Offload::default())],
        )
        .map_err(|error| format!("{error:?}"))?;
        wait("what comes fails", || link.error().is_some());
        assert_eq!(link.error(), Some(errno));
        wait("the link is lost", || !link.has_link());
        // And the kernel asks it no more.
        let sends = broken.sends.load(Ordering::Relaxed);
        let _ = socket.send_to(b"lost", at(&format!("10.4.{number}.3"), 9));
        assert_eq!(broken.sends.load(Ordering::Relaxed), sends);
    }
    Ok(())
}

/// The other end of a cable is not served, and then is gone.
fn cable_is_pulled() -> Outcome {
    let kernel = common::boot();
    let (near, far) = Pair::new();
    let link = kernel.attach(near)?;
    link.add_address("10.4.9.1/24".parse()?)?;
    let socket = rump::net::UdpSocket::bind(at("10.4.9.1", 0))?;
    socket.set_broadcast(true)?;
    for number in 0..2 * rump::iface::pair::QUEUE {
        // There is room in the queue of the interface.
        socket.send_to(&number.to_ne_bytes(), at("10.4.9.255", 9))?;
    }
    wait("what does not fit is dropped", || link.send_drops() > 0);
    assert!(link.has_link());
    let statistics = link.backend().statistics();
    assert_eq!(statistics.sent, rump::iface::pair::QUEUE as u64);
    assert_eq!(statistics.send_drops, link.send_drops());
    drop(far);
    wait("the link is lost", || !link.has_link());
    assert_eq!(link.error(), Some(Errno::ENXIO));
    Ok(())
}

/// Two interfaces of the kernel, joined; what one is sent goes on to Linux by the other.
fn cable_joins() -> Outcome {
    let kernel = common::boot();
    let (near, far) = Pair::new();
    let link = kernel.attach(near)?;
    let tap = Tap::open("cable%d")?;
    let name = tap.name().to_string();
    netns::ip(&format!("address add 10.3.20.1/24 dev {name}"))?;
    netns::ip(&format!("link set {name} up"))?;
    let patch = Patch::new(far, tap);
    link.add_address("10.3.20.2/24".parse()?)?;
    let stream = BothWays::start("10.3.20.2")?;
    stream.advance(4 << 20);
    stream.finish()?;
    // Segments went through it whole.
    let stats = link.stats()?;
    let sent = stats.tx_large > 10 || !common::sends_large_segments();
    assert!(stats.rx_large > 10 && sent, "{stats:?}");
    drop(patch);
    wait("the link is lost", || !link.has_link());
    Ok(())
}

fn main() {
    common::run_with_interfaces_of(
        [
            ("root::transfers_survive_faults", transfers_survive_faults),
            (
                "root::tshark::wireshark_reads_what_is_recorded",
                wireshark_reads_what_is_recorded,
            ),
            ("root::tap_is_deleted", tap_is_deleted),
            ("root::namespace_is_gone", namespace_is_gone),
            ("root::reader_stalls", reader_stalls),
            ("root::cable_joins", cable_joins),
            ("back_ends_fail", back_ends_fail),
            ("cable_is_pulled", cable_is_pulled),
        ],
        |_| None,
    )
}
