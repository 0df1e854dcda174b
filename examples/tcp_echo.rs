//! TCP over NetBSD's stack inside this process: a server thread sends back what a client
//! sends, over 127.0.0.1 and over ::1, and the client checks every byte of it.
//!
//! `cargo run --release --example tcp_echo [MIB]`

use rump::net::{Shutdown, TcpListener, TcpStream};
use std::error::Error;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

const BLOCK: usize = 64 * 1024;
/// Its length is prime: a block that is lost or out of place does not go unnoticed.
const PERIOD: usize = 65_521;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tcp_echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mebibytes: usize = match std::env::args().nth(1) {
        Some(text) => text
            .parse()
            .map_err(|error| format!("{text:?} is not a number of MiB: {error}"))?,
        None => 64,
    };
    let kernel = rump::Kernel::builder().cpus(2).boot()?;
    println!("kernel: {}", kernel.identity()?);
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let server = thread::spawn(move || serve(&listener));
        let start = Instant::now();
        let bytes = echo(&TcpStream::connect(address)?, mebibytes << 20)?;
        let seconds = start.elapsed().as_secs_f64();
        let served = server.join().expect("the server does not panic")?;
        if served != bytes as u64 {
            return Err(format!(
                "{address}: the client got {bytes} bytes, the server saw {served}"
            )
            .into());
        }
        let rate = bytes as f64 / f64::from(1 << 20) / seconds;
        println!(
            "{address}: {mebibytes} MiB there and back, all as sent, {rate:.0} MiB/s each way"
        );
    }
    Ok(())
}

/// Sends one connection's bytes back until its end; returns how many.
fn serve(listener: &TcpListener) -> io::Result<u64> {
    let (mut stream, _) = listener.accept()?;
    let mut buffer = vec![0; BLOCK];
    let mut bytes = 0;
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(bytes);
        }
        stream.write_all(&buffer[..length])?;
        bytes += length as u64;
    }
}

/// Sends so many bytes from one thread and compares what comes back in another.
fn echo(stream: &TcpStream, bytes: usize) -> io::Result<usize> {
    let pattern: Vec<u8> = (0..PERIOD)
        .map(|byte| (byte * 31 % 251) as u8)
        .cycle()
        .take(PERIOD + BLOCK)
        .collect();
    let from = |position: usize, length: usize| &pattern[position % PERIOD..][..length];
    thread::scope(|scope| {
        let sender = scope.spawn(move || -> io::Result<()> {
            let mut to = stream;
            for position in (0..bytes).step_by(BLOCK) {
                to.write_all(from(position, BLOCK.min(bytes - position)))?;
            }
            to.shutdown(Shutdown::Write)
        });
        let received = compare(stream, from);
        if received.is_err() {
            // The sender may be waiting for a server that nobody reads from any more.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let sent = sender.join().expect("the sender does not panic");
        let received = received?;
        sent?;
        match received == bytes {
            true => Ok(received),
            false => Err(io::Error::other(format!(
                "{received} of {bytes} bytes came back"
            ))),
        }
    })
}

/// Reads to the end and compares with what was sent; returns how much it was.
fn compare<'a>(
    mut stream: &TcpStream,
    sent: impl Fn(usize, usize) -> &'a [u8],
) -> io::Result<usize> {
    let mut buffer = vec![0; BLOCK];
    let mut received = 0;
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(received);
        }
        if buffer[..length] != *sent(received, length) {
            return Err(io::Error::other(format!(
                "wrong data came back after {received} bytes"
            )));
        }
        received += length;
    }
}
