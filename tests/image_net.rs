//! The network of an image, from the host's side: connections and datagrams through QEMU to
//! a program of the standard library.

mod image;

use image::{Outcome, Running, check};
use libtest_mimic::Failed;
use rumprun_build::image::qemu::{Forward, Machine, Net};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::time::Duration;

fn main() {
    image::run(&[
        ("qemu::echo::one_cpu", || echo(1)),
        ("qemu::echo::two_cpus", || echo(2)),
        ("qemu::what_was_sent_arrives", what_was_sent_arrives),
        ("qemu::no_card", no_card),
    ]);
}

/// Ports that nobody has now.
fn ports() -> Result<[u16; 2], Failed> {
    let stream = TcpListener::bind("127.0.0.1:0")?;
    let datagrams = UdpSocket::bind("127.0.0.1:0")?;
    Ok([stream.local_addr()?.port(), datagrams.local_addr()?.port()])
}

fn echo(cpus: u32) -> Outcome {
    let [stream, datagrams] = ports()?;
    let forward = |host, datagrams| Forward {
        host,
        machine: 7,
        datagrams,
    };
    let machine = Machine {
        cpus,
        forwards: vec![forward(stream, false), forward(datagrams, true)],
        ..Machine::default()
    };
    let mut running = Running::start(&machine, &image::image("echo")?)?;
    running.wait_for("listening")?;
    let threads: Vec<_> = (1..=8)
        .map(|n| std::thread::spawn(move || exchange(stream, n * 100_000)))
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a panic")??;
    }
    datagram(datagrams)?;
    image::connect(stream)?.write_all(b"end\n")?;
    running.wait_for("ended")?;
    let (status, text) = running.end()?;
    check(status == Some(0), &format!("{status:?}"), &text)
}

/// Sends so many bytes and expects them back.
fn exchange(port: u16, length: usize) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let stream = image::connect(port).map_err(told)?;
    let data: Vec<u8> = (0..length).map(|at| (at / 3 + length) as u8).collect();
    let (mut sender, sent) = (stream.try_clone().map_err(told)?, data.clone());
    let sending = std::thread::spawn(move || {
        sender.write_all(&sent)?;
        sender.shutdown(Shutdown::Write)
    });
    let mut back = Vec::new();
    (&stream).read_to_end(&mut back).map_err(told)?;
    sending.join().map_err(|_| "a panic")?.map_err(told)?;
    if back == data {
        Ok(())
    } else {
        Err(format!(
            "{} of {length} bytes came back, or others",
            back.len()
        ))
    }
}

/// Datagrams may be lost; one of a hundred must come back.
fn datagram(port: u16) -> Outcome {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    for _ in 0..100 {
        socket.send(b"datagram")?;
        let mut bytes = [0; 100];
        if socket
            .recv(&mut bytes)
            .is_ok_and(|length| &bytes[..length] == b"datagram")
        {
            return Ok(());
        }
    }
    Err("no datagram came back".into())
}

/// Although the program ends, and with it its kernel and its machine.
fn what_was_sent_arrives() -> Outcome {
    let [port, _] = ports()?;
    let machine = Machine {
        forwards: vec![Forward {
            host: port,
            machine: 7,
            datagrams: false,
        }],
        ..Machine::default()
    };
    let mut running = Running::start(&machine, &image::image("echo")?)?;
    running.wait_for("listening")?;
    let mut stream = image::connect(port)?;
    stream.write_all(b"give\n")?;
    let mut got = Vec::new();
    stream.read_to_end(&mut got)?;
    let (status, text) = running.end()?;
    let length = got.len();
    check(length == 3 << 20, &format!("{length} bytes came"), &text)?;
    check(status == Some(0), &format!("{status:?}"), &text)
}

fn no_card() -> Outcome {
    let mut machine = image::machine(&[]);
    machine.net = Net::None;
    machine.line = machine.line.with("net", "10.0.2.15/24");
    let (status, text) = image::output(&machine, "hello")?;
    check(text.contains("there is no network card"), "not said", &text)?;
    check(status == Some(6), &format!("{status:?}"), &text)
}
