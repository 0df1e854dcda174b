//! A server in a machine that sends back what it gets, by connections and datagrams, and what
//! it is asked from the host's side.

use super::{Outcome, Running, check, connect};
use libtest_mimic::Failed;
use rumprun_build::image::qemu::Forward;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::time::Duration;

/// Its ports at the host: of connections and of datagrams.
#[derive(Clone, Copy)]
pub struct Echo {
    pub stream: u16,
    pub datagrams: u16,
}

impl Echo {
    /// Ports that nobody has now.
    pub fn new() -> Result<Self, Failed> {
        let stream = TcpListener::bind("127.0.0.1:0")?;
        let datagrams = UdpSocket::bind("127.0.0.1:0")?;
        Ok(Self {
            stream: stream.local_addr()?.port(),
            datagrams: datagrams.local_addr()?.port(),
        })
    }

    /// They lead to port 7 of the machine.
    pub fn forwards(self) -> Vec<Forward> {
        let forward = |host, datagrams| Forward {
            host,
            machine: 7,
            datagrams,
        };
        vec![forward(self.stream, false), forward(self.datagrams, true)]
    }

    /// Makes so many connections at a time and sends a datagram; then it is told to end.
    pub fn ask(self, mut running: Running, connections: usize) -> Outcome {
        running.wait_for("listening")?;
        let threads: Vec<_> = (1..=connections)
            .map(|n| std::thread::spawn(move || exchange(self.stream, n * 100_000)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a panic")??;
        }
        datagram(self.datagrams)?;
        connect(self.stream)?.write_all(b"end\n")?;
        running.wait_for("ended")?;
        let (status, text) = running.end()?;
        check(status == Some(0), &format!("{status:?}"), &text)
    }
}

/// Sends so many bytes and expects them back.
fn exchange(port: u16, length: usize) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let stream = connect(port).map_err(told)?;
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
