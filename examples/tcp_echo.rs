//! TCP over NetBSD's stack inside this process: a server thread sends back what a client
//! sends, over 127.0.0.1 and over ::1, and the client checks every byte of it.
//!
//! `cargo run --release --example tcp_echo [MIB]`

use rump::net::{Shutdown, TcpListener, TcpStream};
use rump_examples::pattern::{self, BLOCK};
use std::error::Error;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

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
    let mebibytes: u64 = match std::env::args().nth(1) {
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
        if served != bytes {
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
fn echo(stream: &TcpStream, bytes: u64) -> io::Result<u64> {
    thread::scope(|scope| {
        let sender = scope.spawn(move || -> io::Result<()> {
            pattern::send(&mut (&*stream), |sent| {
                usize::try_from(bytes - sent).unwrap_or(BLOCK)
            })?;
            stream.shutdown(Shutdown::Write)
        });
        let received = pattern::receive(&mut (&*stream), |_| ());
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
