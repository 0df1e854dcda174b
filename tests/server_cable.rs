//! A kernel's interface over a network server, which is a small one of the test's own or `rump
//! server`, in a network namespace that this process makes for itself.

mod common;
#[path = "common/patch.rs"]
mod patch;
#[path = "common/real_server.rs"]
mod real_server;
#[path = "common/served.rs"]
mod served;
#[path = "common/stream.rs"]
mod stream;

use common::Outcome;
use real_server::Real;
use rump::Errno;
use rump::iface::Link;
use rump::net::{TcpListener, UdpSocket};
use rump::server::Cable;
use served::{Server, TAKEN, wait};
use std::error::Error;
use std::time::Duration;
use stream::BothWays;

/// A server for `10.8.N.2`, and an interface over it.
fn attach(net: u8) -> Result<(Server, Cable, Link), Box<dyn Error>> {
    let kernel = common::boot();
    let server = Server::of(net)?;
    let cable = rump::server::connect(server.place())?;
    let link = cable.attach(kernel)?;
    assert_eq!(link.hardware_address()?, Some(cable.mac()));
    Ok((server, cable, link))
}

/// Connections over both families go on while servers come and go.
fn connections_outlive_servers() -> Outcome {
    let (server, cable, link) = attach(1)?;
    let streams = [
        BothWays::start("10.8.1.2")?,
        BothWays::start("fd00:8:1::2")?,
    ];
    let advance = || streams.iter().for_each(|stream| stream.advance(1 << 20));
    advance();
    for _ in 0..20 {
        server.kill();
        advance();
    }
    for stream in streams {
        stream.finish()?;
    }
    assert!(cable.reconnections() >= 20);
    assert!(link.has_link() && link.error().is_none());
    assert_eq!(link.malformed(), 0);
    Ok(())
}

/// The server is asked for ports, and those that the kernel chooses are leased.
fn ports_are_the_servers() -> Outcome {
    let (server, cable, link) = attach(2)?;
    let error = TcpListener::bind(("10.8.2.2", TAKEN)).unwrap_err();
    assert_eq!(Errno::of(&error), Some(Errno::EADDRINUSE));
    let error = UdpSocket::bind(("0.0.0.0", TAKEN)).unwrap_err();
    assert_eq!(Errno::of(&error), Some(Errno::EADDRINUSE));
    // That is no address of the server's.
    TcpListener::bind(("127.0.0.1", TAKEN))?;
    let port = |socket: &UdpSocket| Ok::<_, Box<dyn Error>>(socket.local_addr()?.port());
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    assert!((42_000..=42_099).contains(&port(&socket)?));
    let socket = UdpSocket::bind("[::]:0")?;
    assert!((42_000..=42_099).contains(&port(&socket)?));
    // When they run out there are others.
    let mut sockets = Vec::new();
    for _ in 0..80 {
        sockets.push(UdpSocket::bind("0.0.0.0:0")?);
    }
    wait("another lease is used", || {
        std::thread::sleep(Duration::from_millis(100));
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = port(&socket).unwrap();
        sockets.push(socket);
        port >= 43_000
    });
    for _ in 0..60 {
        sockets.push(UdpSocket::bind("0.0.0.0:0")?);
    }
    // The kernel goes back to what it had.
    let before = sockets.len();
    drop((sockets, link, cable, server));
    assert!(before > 140);
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let free = socket.local_addr()?.port();
    assert!(!(42_000..50_000).contains(&free), "{free}");
    TcpListener::bind(("0.0.0.0", TAKEN))?;
    Ok(())
}

/// The same over `rump server`, whose worker is killed, and replaced in an orderly way.
fn connections_outlive_workers() -> Outcome {
    let mut server = Real::of(3)?;
    let cable = rump::server::connect(server.place())?;
    let link = cable.attach(common::boot())?;
    let streams = [
        BothWays::start("10.8.3.2")?,
        BothWays::start("fd00:8:3::2")?,
    ];
    let advance = || streams.iter().for_each(|stream| stream.advance(1 << 20));
    advance();
    for _ in 0..5 {
        server.kill()?;
        advance();
    }
    let before = cable.reconnections();
    assert!(before >= 5, "{before}");
    for _ in 0..5 {
        server.upgrade()?;
        advance();
    }
    assert_eq!(cable.reconnections(), before, "an upgrade is not noticed");
    for stream in streams {
        stream.finish()?;
    }
    assert!(link.has_link() && link.error().is_none());
    Ok(())
}

/// Programs of one host do not have the same port, and each gets what is for it.
fn programs_share_a_host() -> Outcome {
    let server = Real::of(4)?;
    let cable = rump::server::connect(server.place())?;
    let link = cable.attach(common::boot())?;
    let listener = TcpListener::bind("10.8.4.2:8080")?;
    // Another program, with a connection of its own, as far as the server knows.
    let other = Cable::builder(server.place()).label("other").connect()?;
    assert_eq!(other.mac(), cable.mac());
    let mut outside = std::net::TcpStream::connect("10.8.4.2:8080")?;
    let (mut inside, _) = listener.accept()?;
    use std::io::{Read, Write};
    outside.write_all(b"hello")?;
    let mut bytes = [0; 5];
    inside.read_exact(&mut bytes)?;
    assert_eq!(&bytes, b"hello");
    // What the kernel chooses is leased, and so is answered.
    let linux = std::net::UdpSocket::bind("10.8.4.1:0")?;
    linux.set_read_timeout(Some(Duration::from_secs(10)))?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.send_to(b"ask", linux.local_addr()?)?;
    let (_, from) = linux.recv_from(&mut bytes)?;
    assert_eq!(from.ip(), "10.8.4.2".parse::<std::net::IpAddr>()?);
    linux.send_to(b"said", from)?;
    assert_eq!(socket.recv_from(&mut bytes)?.0, 4);
    drop((other, link));
    Ok(())
}

fn main() {
    common::run_with_interfaces_in_turn(
        [
            (
                "root::connections_outlive_servers",
                connections_outlive_servers,
            ),
            ("root::ports_are_the_servers", ports_are_the_servers),
            (
                "root::connections_outlive_workers",
                connections_outlive_workers,
            ),
            ("root::programs_share_a_host", programs_share_a_host),
        ],
        |name| {
            let needs = name.contains("workers") || name.contains("share");
            (needs && !real_server::command().is_file())
                .then_some("no rump: cargo build --workspace makes it")
        },
    )
}
