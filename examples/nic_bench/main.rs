//! One TCP stream through a network card: by NetBSD's driver and stack in this process, over
//! VFIO, or by Linux's.
//!
//! ```text
//! nic_bench serve 10.0.0.2                            # on the card at the other end
//! nic_bench rump 10.0.0.2 --card 0000:00:08.0 --address 10.0.0.1/24
//! nic_bench linux 10.0.0.2 --seconds 2                # sends there
//! nic_bench linux 10.0.0.2 --receive                  # or has it send
//! ```
//!
//! The card is bound to `vfio-pci`, and its driver was named by `RUMP_DRIVERS` when this was
//! built. Every byte is checked by who receives it. The receiver counts, and a line of JSON
//! tells what it came to.

mod card;
mod stream;

use rump::pci::Interrupts;
use serde::Serialize;
use std::error::Error;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;
use stream::Direction;

/// Where the server is.
const PORT: u16 = 5300;
const USAGE: &str = "serve ADDRESS | linux ADDRESS [--seconds SECONDS] [--receive] | \
                     rump ADDRESS --card PCI --address ADDRESS/PREFIX [--cpus CPUS] \
                     [--interrupts line|message|table] [...]";

/// What a run comes to.
#[derive(Debug, Serialize)]
struct Measured {
    /// The kernel whose driver and stack it was.
    kernel: String,
    bytes: u64,
    seconds: f64,
    /// Seconds from the attachment of the card to the first answer from the other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    attach: Option<f64>,
}

/// What the command line says beside the command and the server.
struct Options {
    time: Duration,
    direction: Direction,
    card: Option<rump::pci::Address>,
    address: Option<rump::iface::IpNet>,
    cpus: usize,
    interrupts: Interrupts,
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
            let options = options(arguments)?;
            let stream = TcpStream::connect((address, PORT))?;
            let (bytes, seconds) = stream::ask(stream, options.direction, options.time)?;
            let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
            tell(&Measured {
                kernel: format!("Linux {}", release.trim()),
                bytes,
                seconds,
                attach: None,
            })
        }
        "rump" => {
            let options = options(arguments)?;
            let at = options.card.ok_or("--card is missing")?;
            let own = options.address.ok_or("--address is missing")?;
            let told = rump::pci::Options::new().interrupts(options.interrupts);
            let server = (address, PORT).into();
            let card = card::Card::attach((at, told), own, options.cpus, server)?;
            let (attach, kernel) = (Some(card.attach.as_secs_f64()), card.kernel()?);
            let (bytes, seconds) = stream::ask(card.connect()?, options.direction, options.time)?;
            card.detach()?;
            tell(&Measured {
                kernel,
                bytes,
                seconds,
                attach,
            })
        }
        other => Err(format!("{other}: not known; use {USAGE}").into()),
    }
}

fn tell(measured: &Measured) -> Result<(), Box<dyn Error>> {
    println!("{}", serde_json::to_string(measured)?);
    Ok(())
}

fn options(mut rest: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        time: Duration::from_secs(2),
        direction: Direction::Send,
        card: None,
        address: None,
        cpus: 2,
        interrupts: Interrupts::default(),
    };
    while let Some(option) = rest.next() {
        let mut value = || {
            rest.next()
                .ok_or_else(|| format!("{option}: nothing follows it"))
        };
        match option.as_str() {
            "--seconds" => options.time = Duration::try_from_secs_f64(value()?.parse()?)?,
            "--receive" => options.direction = Direction::Receive,
            "--card" => options.card = Some(value()?.parse()?),
            "--address" => options.address = Some(value()?.parse()?),
            "--cpus" => options.cpus = value()?.parse()?,
            "--interrupts" => {
                options.interrupts = match value()?.as_str() {
                    "line" => Interrupts::Line,
                    "message" => Interrupts::Message,
                    "table" => Interrupts::Table,
                    other => return Err(format!("{other}: no kind of interrupts").into()),
                }
            }
            other => return Err(format!("{other}: not known; use {USAGE}").into()),
        }
    }
    Ok(options)
}
