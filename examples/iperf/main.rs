//! Measures TCP as iperf3 does, and with it: client and server speak iperf3's protocol, so
//! that the other end can be a real one, on any system.
//!
//! ```text
//! sudo ip tuntap add tap0 mode tap user $USER
//! sudo ip address add 10.0.0.1/24 dev tap0 && sudo ip link set tap0 up
//! cargo run --release --example iperf -- -s --tap tap0 --address 10.0.0.2/24
//! iperf3 -c 10.0.0.2               # and with -R, -P 4, -t 30, …
//!
//! iperf3 -s                        # the other way round
//! cargo run --release --example iperf -- -c 10.0.0.1 --tap tap0 --address 10.0.0.2/24
//! ```
//!
//! Without `-s` and `-c`, both ends are here and talk over lo0. Only TCP is measured.

mod client;
mod protocol;
mod server;
mod streams;

use protocol::Parameters;
use rump::net::TcpListener;
use rump_examples::outside::Outside;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::str::FromStr;
use std::thread;

/// iperf3's port.
const PORT: u16 = 5201;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("iperf: {error}");
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "[-s [-1] | -c ADDRESS] [-p PORT] [-t SECONDS] [-P STREAMS] [-R] [-l BYTES]";

fn value<T: FromStr<Err: Error + 'static>>(
    argument: &str,
    rest: &mut impl Iterator<Item = String>,
) -> Result<T, Box<dyn Error>> {
    let value = rest
        .next()
        .ok_or_else(|| format!("{argument}: nothing follows it"))?;
    let parsed = value.parse();
    parsed.map_err(|error| format!("{argument} {value}: {error}").into())
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut outside = Outside::default();
    let (mut serve, mut once, mut port) = (false, false, PORT);
    let mut server: Option<IpAddr> = None;
    let mut parameters = Parameters::default();
    let mut rest = std::env::args().skip(1);
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "-s" => serve = true,
            "-1" => once = true,
            "-R" => parameters.reverse = true,
            "-c" => server = Some(value("-c", &mut rest)?),
            "-p" => port = value("-p", &mut rest)?,
            "-t" => parameters.time = value("-t", &mut rest)?,
            "-P" => parameters.parallel = value("-P", &mut rest)?,
            "-l" => parameters.len = value("-l", &mut rest)?,
            other if outside.take(other, &mut rest)? => {}
            other => {
                let more = Outside::USAGE;
                return Err(format!("{other}: not known; use {USAGE} {more}").into());
            }
        }
    }
    parameters.check()?;
    let kernel = rump::Kernel::builder().cpus(2).boot()?;
    println!("kernel: {}", kernel.identity()?);
    let _link = outside.attach(&kernel)?;
    if serve {
        let listener = TcpListener::bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port))?;
        println!("listening on port {port}");
        return server::serve(&listener, once);
    }
    if let Some(server) = server {
        return client::run(SocketAddr::new(server, port), &parameters);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || server::serve(&listener, true).map_err(|e| e.to_string()));
    client::run(address, &parameters)?;
    server.join().map_err(|_| "the server panicked")??;
    Ok(())
}
