//! The kernel's interfaces over TAP, with Linux at the other end, in a network namespace
//! that this process makes for itself.
#![allow(unsafe_code)]

mod common;
#[path = "common/stream.rs"]
mod stream;

use common::{Outcome, netns};
use rump::iface::link::{Batch, HostErrno, Offloads, Transmit};
use rump::iface::{Backend, Interface, Link, Tap};
use std::ffi::c_int;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use stream::{BothWays, at, data};

const HERE: &str = "10.1.2.1";
const THERE: &str = "10.1.2.2";
const HERE6: &str = "fd00:12::1";
const THERE6: &str = "fd00:12::2";

/// The interface that most tests share: Linux has `HERE`, the kernel `THERE`.
fn link() -> &'static Link {
    static LINK: OnceLock<Link> = OnceLock::new();
    LINK.get_or_init(|| {
        common::link::over_tap([(HERE, THERE, 24), (HERE6, THERE6, 64)])
            .unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Linux sends to the kernel, and has all of it back.
fn echo_from_linux(address: &str) -> Outcome {
    link();
    let listener = rump::net::TcpListener::bind(at(address, 0))?;
    let port = listener.local_addr()?.port();
    let server = std::thread::spawn(move || -> std::io::Result<u64> {
        let (mut stream, _) = listener.accept()?;
        let mut copy = stream.try_clone()?;
        let n = std::io::copy(&mut stream, &mut copy)?;
        copy.shutdown(std::net::Shutdown::Write)?;
        Ok(n)
    });
    let mut client = std::net::TcpStream::connect(at(address, port))?;
    let sent = data(4 << 20);
    let mut writer = client.try_clone()?;
    let copy = sent.clone();
    let thread = std::thread::spawn(move || {
        writer.write_all(&copy)?;
        writer.shutdown(std::net::Shutdown::Write)
    });
    let mut got = Vec::new();
    client.read_to_end(&mut got)?;
    thread.join().unwrap()?;
    assert_eq!(server.join().unwrap()?, sent.len() as u64);
    assert!(got == sent);
    Ok(())
}

fn echo_to_linux(address: &str) -> Outcome {
    link();
    let listener = std::net::TcpListener::bind(at(address, 0))?;
    let port = listener.local_addr()?.port();
    let server = std::thread::spawn(move || -> std::io::Result<u64> {
        let (mut stream, _) = listener.accept()?;
        let mut copy = stream.try_clone()?;
        let n = std::io::copy(&mut stream, &mut copy)?;
        copy.shutdown(std::net::Shutdown::Write)?;
        Ok(n)
    });
    let mut client = rump::net::TcpStream::connect(at(address, port))?;
    let sent = data(4 << 20);
    let mut writer = client.try_clone()?;
    let copy = sent.clone();
    let thread = std::thread::spawn(move || {
        writer.write_all(&copy)?;
        writer.shutdown(std::net::Shutdown::Write)
    });
    let mut got = Vec::new();
    client.read_to_end(&mut got)?;
    thread.join().unwrap()?;
    assert_eq!(server.join().unwrap()?, sent.len() as u64);
    assert!(got == sent);
    Ok(())
}

/// With offloads, most of a stream goes over the link in segments that are longer than it
/// allows, both ways.
fn segments_are_large() -> Outcome {
    let before = link().stats()?;
    echo_from_linux(THERE)?;
    echo_to_linux(HERE6)?;
    let after = link().stats()?;
    let mean = |bytes: u64, frames: u64| bytes / frames.max(1);
    let large = after.rx_large - before.rx_large;
    assert!(large > 100, "{large} large segments came");
    let large = after.tx_large - before.tx_large;
    let sent = mean(
        after.tx_bytes - before.tx_bytes,
        after.tx_frames - before.tx_frames,
    );
    assert!(large > 100, "{large} large segments left");
    assert!(sent > 2000, "{sent} bytes in a frame");
    Ok(())
}

/// One large segment stands for several: it is acknowledged at once, read or not.
fn large_segments_are_acknowledged() -> Outcome {
    link();
    let listener = rump::net::TcpListener::bind(at(THERE, 0))?;
    let client = std::net::TcpStream::connect(listener.local_addr()?)?;
    let (_server, _) = listener.accept()?;
    let mut took = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        (&client).write_all(&data(4000))?;
        while unacknowledged(&client)? > 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
        took.push(start.elapsed());
    }
    took.sort();
    // One that is delayed takes 200 ms.
    assert!(took[2] < Duration::from_millis(100), "{took:?}");
    Ok(())
}

/// Bytes that the other side has not acknowledged (`tcp(7)`, SIOCOUTQ).
fn unacknowledged(stream: &std::net::TcpStream) -> std::io::Result<c_int> {
    let mut bytes = 0;
    // SAFETY: an int is written.
    if unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(bytes)
}

fn udp(here: &str, there: &str, lengths: &[usize]) -> Outcome {
    link();
    let inside = rump::net::UdpSocket::bind(at(there, 0))?;
    let outside = std::net::UdpSocket::bind(at(here, 0))?;
    let inside_port = inside.local_addr()?.port();
    let outside_port = outside.local_addr()?.port();
    let mut buffer = [0; 65_536];
    for len in lengths {
        let sent = data(*len);
        outside.send_to(&sent, at(there, inside_port))?;
        let (n, from) = inside.recv_from(&mut buffer)?;
        assert_eq!((&buffer[..n], from), (&sent[..], at(here, outside_port)));
        inside.send_to(&sent, at(here, outside_port))?;
        let (n, from) = outside.recv_from(&mut buffer)?;
        assert_eq!((&buffer[..n], from), (&sent[..], at(there, inside_port)));
    }
    Ok(())
}

/// Counts the frames that come through each queue.
#[derive(Debug)]
struct PerQueue {
    tap: Tap,
    came: [AtomicU64; 4],
}

impl Backend for PerQueue {
    fn offers(&self) -> Offloads {
        self.tap.offers()
    }

    fn set_receive_offloads(&self, offloads: Offloads) -> Result<(), HostErrno> {
        self.tap.set_receive_offloads(offloads)
    }

    fn queues(&self) -> usize {
        self.tap.queues()
    }

    fn receive(&self, queue: usize, batch: &mut Batch) -> Result<(), HostErrno> {
        let result = self.tap.receive(queue, batch);
        self.came[queue].fetch_add(batch.frames().len() as u64, Ordering::Relaxed);
        result
    }

    fn send(&self, queue: usize, frames: &[Transmit<'_>]) -> Result<usize, HostErrno> {
        self.tap.send(queue, frames)
    }

    fn wake(&self) {
        self.tap.wake();
    }
}

/// Connections are spread over queues, each with its thread.
fn queues() -> Outcome {
    let tap = Tap::with_queues("queues%d", 4)?;
    let name = tap.name().to_string();
    let queues = Arc::new(PerQueue {
        tap,
        came: Default::default(),
    });
    let link = common::boot().attach(Arc::clone(&queues))?;
    netns::ip(&format!("address add 10.1.6.1/24 dev {name}"))?;
    netns::ip(&format!("link set {name} up"))?;
    link.add_address("10.1.6.2/24".parse()?)?;
    let streams = [(); 8].map(|()| BothWays::start("10.1.6.2").unwrap());
    streams.iter().for_each(|stream| stream.advance(256 << 10));
    for stream in streams {
        stream.finish()?;
    }
    let came = queues
        .came
        .each_ref()
        .map(|came| came.load(Ordering::Relaxed));
    let busy = came.iter().filter(|frames| **frames > 20).count();
    assert!(busy >= 2, "{came:?}");
    Ok(())
}

/// Interfaces are made and removed while frames flow; names are used again.
fn come_and_go() -> Outcome {
    let kernel = common::boot();
    for round in 0..20 {
        let tap = Tap::open("comeandgo")?;
        let link = Link::builder().unit(77).attach(kernel, tap)?;
        assert_eq!(link.name(), "vif77");
        let taken = Link::builder().unit(77).attach(kernel, Tap::open("taken")?);
        assert_eq!(
            rump::Errno::of(&taken.unwrap_err()),
            Some(rump::Errno::EEXIST)
        );
        assert!(!link.is_up()?);
        netns::ip("address add 10.1.3.1/24 dev comeandgo")?;
        netns::ip("link set comeandgo up")?;
        link.add_address("10.1.3.2/24".parse()?)?;
        assert!(link.is_up()?);
        let inside = rump::net::UdpSocket::bind(at("10.1.3.2", 0))?;
        let outside = std::net::UdpSocket::bind(at("10.1.3.1", 0))?;
        let port = inside.local_addr()?.port();
        for _ in 0..round {
            outside.send_to(&[round; 100], at("10.1.3.2", port))?;
            inside.send_to(&[round; 100], outside.local_addr()?)?;
        }
        if round % 2 == 0 {
            link.set_up(false)?;
            assert!(!link.is_up()?);
        }
        drop(link);
        assert!(Interface::named("vif77").is_err());
    }
    Ok(())
}

/// Datagrams that fit into a frame, and those that have to be sent in fragments.
const WHOLE: [usize; 5] = [0, 1, 17, 1000, 1452];
const IN_FRAGMENTS: [usize; 2] = [1473, 9000];

/// What these tests need, and rump-lite has not.
fn lacking(test: &str) -> Option<&'static str> {
    match test.rsplit("::").next()? {
        "segments_are_large" => Some("rump-lite sends no segments larger than the MTU"),
        "fragments_v4" | "fragments_v6" => Some("rump-lite has no fragments of IP packets"),
        _ => None,
    }
}

fn main() {
    let tests: [common::Test; 12] = [
        ("root::tcp_from_linux_v4", || echo_from_linux(THERE)),
        ("root::tcp_from_linux_v6", || echo_from_linux(THERE6)),
        ("root::tcp_to_linux_v4", || echo_to_linux(HERE)),
        ("root::tcp_to_linux_v6", || echo_to_linux(HERE6)),
        ("root::segments_are_large", segments_are_large),
        (
            "root::large_segments_are_acknowledged",
            large_segments_are_acknowledged,
        ),
        ("root::udp_v4", || udp(HERE, THERE, &WHOLE)),
        ("root::udp_v6", || udp(HERE6, THERE6, &WHOLE)),
        ("root::fragments_v4", || udp(HERE, THERE, &IN_FRAGMENTS)),
        ("root::fragments_v6", || udp(HERE6, THERE6, &IN_FRAGMENTS)),
        ("root::queues", queues),
        ("root::interfaces_come_and_go", come_and_go),
    ];
    common::run_with_interfaces_of(tests, lacking)
}
