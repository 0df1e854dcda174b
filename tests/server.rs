//! Kernels behind a network server, with Linux on the wire: connections over both families,
//! every byte compared, while the server is killed and upgraded. The server is the real one,
//! in processes of its own; the second program is a process with a kernel of its own, too.
//!
//! `RUMP_TEST_LONG=1` kills it 100 times.

mod common;
#[path = "common/server.rs"]
mod server;
#[path = "common/stream.rs"]
mod stream;

use common::{Outcome, netns};
use rump::net::TcpListener;
use rump::server::Cable;
use rump::{Errno, iface::Link};
use rump_server::messages::Request;
use server::Server;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use stream::BothWays;

/// What a second program is started with.
const PROGRAM: &str = "as-second-program";
const PORT: u16 = 4321;

/// One host with room for several, another beside it.
fn hosts(net: u8) -> String {
    format!(
        "[[host]]\nname = \"one\"\naddresses = [\"10.7.{net}.2/24\", \"fd00:7:{net}::2/64\"]\n\
         [[host]]\nname = \"two\"\naddresses = [\"10.7.{net}.3/24\", \"fd00:7:{net}::3/64\"]\n"
    )
}

fn start(net: u8) -> Result<(Server, Cable, Link), Box<dyn std::error::Error>> {
    let kernel = common::boot();
    let linux = [format!("10.7.{net}.1/24"), format!("fd00:7:{net}::1/64")];
    let linux = [&*linux[0], &*linux[1]];
    let server = Server::start(&format!("rumpsrv{net}"), &linux, &hosts(net))?;
    let cable = Cable::builder(server.place())
        .host("one")
        .label("first")
        .connect()?;
    let link = cable.attach(kernel)?;
    Ok((server, cable, link))
}

fn long(usual: u32) -> u32 {
    if std::env::var_os("RUMP_TEST_LONG").is_some() {
        100
    } else {
        usual
    }
}

fn connections_outlive_killed_servers() -> Outcome {
    let (server, cable, link) = start(1)?;
    let streams = [
        BothWays::start("10.7.1.2")?,
        BothWays::start("fd00:7:1::2")?,
    ];
    let advance = || streams.iter().for_each(|stream| stream.advance(1 << 20));
    advance();
    let kills = long(10);
    for _ in 0..kills {
        server.kill_worker()?;
        advance();
    }
    for stream in streams {
        stream.finish()?;
    }
    assert!(cable.reconnections() >= u64::from(kills));
    assert_eq!(server.status()?.starts, u64::from(kills) + 1);
    assert!(link.has_link() && link.error().is_none());
    Ok(())
}

fn connections_do_not_notice_upgrades() -> Outcome {
    let (server, cable, link) = start(2)?;
    let streams = [
        BothWays::start("10.7.2.2")?,
        BothWays::start("fd00:7:2::2")?,
    ];
    let advance = || streams.iter().for_each(|stream| stream.advance(1 << 20));
    advance();
    for _ in 0..long(10) {
        server.request(&Request::Upgrade { program: None })?;
        advance();
    }
    for stream in streams {
        stream.finish()?;
    }
    assert_eq!(cable.reconnections(), 0);
    assert!(link.has_link() && link.error().is_none());
    Ok(())
}

/// Another process with a kernel, of this host.
fn second(server: &Server, host: &str) -> Result<Child, Box<dyn std::error::Error>> {
    let mut program = Command::new(std::env::current_exe()?)
        .arg(PROGRAM)
        .arg(server.place())
        .arg(host)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let output = program.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut line)?;
    if line != "ready\n" {
        program.kill()?;
        program.wait()?;
        return Err(format!("the second program says {line:?}").into());
    }
    Ok(program)
}

/// What it does: says which kernel's port it is, to who connects.
fn program(place: &str, host: &str) -> Outcome {
    let kernel = rump::Kernel::builder().boot()?;
    let cable = Cable::builder(place).host(host).label("second").connect()?;
    let _link = cable.attach(&kernel)?;
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    let _listener6 = TcpListener::bind(("::", PORT))?;
    println!("ready");
    loop {
        listener.accept()?.0.write_all(b"second")?;
    }
}

fn says(address: &str, port: u16) -> std::io::Result<String> {
    let mut stream = std::net::TcpStream::connect((address, port))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn programs_share_an_address() -> Outcome {
    let (server, _cable, _link) = start(3)?;
    let mut program = second(&server, "one")?;
    let error = TcpListener::bind(("10.7.3.2", PORT)).unwrap_err();
    assert_eq!(Errno::of(&error), Some(Errno::EADDRINUSE));
    let listener = TcpListener::bind(("10.7.3.2", PORT + 1))?;
    let first = std::thread::spawn(move || {
        for _ in 0..20 {
            listener.accept().unwrap().0.write_all(b"first").unwrap();
        }
    });
    for _ in 0..20 {
        assert_eq!(says("10.7.3.2", PORT)?, "second");
        assert_eq!(says("10.7.3.2", PORT + 1)?, "first");
    }
    first.join().unwrap();
    // The port is free as soon as its owner is gone, at whatever instruction.
    let stream = BothWays::start("10.7.3.2")?;
    program.kill()?;
    program.wait()?;
    let start = Instant::now();
    while TcpListener::bind(("10.7.3.2", PORT)).is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "the port is kept"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    stream.advance(1 << 20);
    stream.finish()?;
    Ok(())
}

fn hosts_have_the_same_port() -> Outcome {
    let (server, _cable, _link) = start(4)?;
    let mut program = second(&server, "two")?;
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    let first = std::thread::spawn(move || {
        listener.accept().unwrap().0.write_all(b"first").unwrap();
    });
    assert_eq!(says("10.7.4.3", PORT)?, "second");
    assert_eq!(says("10.7.4.2", PORT)?, "first");
    first.join().unwrap();
    // From host to host, over the server and not the wire.
    let mut stream = rump::net::TcpStream::connect(("10.7.4.3", PORT))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    assert_eq!(text, "second");
    program.kill()?;
    program.wait()?;
    Ok(())
}

fn main() -> ExitCode {
    if let Some(code) = server::run_if_asked() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, place, host] = &arguments[..]
        && flag == PROGRAM
    {
        program(place, host).expect("a second program");
        return ExitCode::SUCCESS;
    }
    common::run_with_interfaces_in_turn(
        [
            (
                "root::connections_outlive_killed_servers",
                connections_outlive_killed_servers,
            ),
            (
                "root::connections_do_not_notice_upgrades",
                connections_do_not_notice_upgrades,
            ),
            ("root::programs_share_an_address", programs_share_an_address),
            ("root::hosts_have_the_same_port", hosts_have_the_same_port),
        ],
        |_| None,
    )
}
