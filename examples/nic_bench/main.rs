//! One TCP stream through a network card, by Linux's driver and sockets.
//!
//! ```text
//! nic_bench serve 10.0.0.2                            # on the card at the other end
//! nic_bench linux 10.0.0.2 --seconds 2                # sends there
//! nic_bench linux 10.0.0.2 --receive                  # or has it send
//! ```
//!
//! Every byte is checked by who receives it. The receiver counts, and a line of JSON tells
//! what it came to.

mod stream;

use serde::Serialize;
use std::error::Error;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;
use stream::Direction;

/// Where the server is.
const PORT: u16 = 5300;
const USAGE: &str = "serve ADDRESS | linux ADDRESS [--seconds SECONDS] [--receive]";

/// What a run comes to.
#[derive(Debug, Serialize)]
struct Measured {
    /// The kernel whose driver and stack it was.
    kernel: String,
    bytes: u64,
    seconds: f64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nic_bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let address: IpAddr = arguments.next().ok_or(USAGE)?.parse()?;
    match command.as_str() {
        "serve" => {
            let listener = TcpListener::bind((address, PORT))?;
            loop {
                // A client that fails says so itself.
                let (stream, client) = listener.accept()?;
                stream.set_nodelay(true)?;
                if let Err(error) = stream::serve(stream) {
                    eprintln!("nic_bench: {client}: {error}");
                }
            }
        }
        "linux" => {
            let (time, direction) = options(arguments)?;
            let stream = TcpStream::connect((address, PORT))?;
            let (bytes, seconds) = stream::ask(stream, direction, time)?;
            let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
            let measured = Measured {
                kernel: format!("Linux {}", release.trim()),
                bytes,
                seconds,
            };
            println!("{}", serde_json::to_string(&measured)?);
            Ok(())
        }
        other => Err(format!("{other}: not known; use {USAGE}").into()),
    }
}

fn options(
    mut rest: impl Iterator<Item = String>,
) -> Result<(Duration, Direction), Box<dyn Error>> {
    let (mut time, mut direction) = (Duration::from_secs(2), Direction::Send);
    while let Some(option) = rest.next() {
        match option.as_str() {
            "--seconds" => {
                let seconds = rest.next().ok_or("--seconds: nothing follows it")?;
                time = Duration::try_from_secs_f64(seconds.parse()?)?;
            }
            "--receive" => direction = Direction::Receive,
            other => return Err(format!("{other}: not known; use {USAGE}").into()),
        }
    }
    Ok((time, direction))
}
