//! An HTTP/1.1 server on a network card that NetBSD's driver drives from this process, over
//! VFIO. Linux has no part in it: neither its driver nor its TCP/IP.
//!
//! ```text
//! sudo modprobe vfio-pci; cd /sys/bus/pci
//! echo vfio-pci >devices/0000:00:03.0/driver_override
//! echo 0000:00:03.0 >devices/0000:00:03.0/driver/unbind; echo 0000:00:03.0 >drivers_probe
//! RUMP_DRIVERS=wm cargo run --release --example http_on_nic -- 0000:00:03.0 10.0.0.2/24
//! curl http://10.0.0.2/            # from another machine at that card's network
//! ```
//!
//! `RUMP_DRIVERS` names the driver when this is built, with a NetBSD tree.

#[path = "shared/http.rs"]
mod http;

use rump::Kernel;
use rump::iface::{Interface, IpNet, LinkState};
use rump::net::TcpListener;
use rump::pci::{self, Address};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "PCI-ADDRESS ADDRESS/PREFIX [PORT]";
/// How long the card may take to find its neighbour.
const LINK: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http_on_nic: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let card: Address = arguments.next().ok_or(USAGE)?.parse()?;
    let address: IpNet = arguments.next().ok_or(USAGE)?.parse()?;
    let port: u16 = arguments.next().as_deref().unwrap_or("80").parse()?;
    let kernel = Kernel::builder().cpus(2).pci(card).boot()?;
    println!("kernel: {}", kernel.identity()?);
    let [attached] = &pci::attached()[..] else {
        return Err("one card was to be attached".into());
    };
    let interface = Interface::named(&attached.name)
        .map_err(|error| format!("{} is no network card: {error}", attached.name))?;
    interface.set_up(true)?;
    let start = Instant::now();
    // A card without a transceiver does not say.
    while interface.link_state()? == LinkState::Down {
        if start.elapsed() > LINK {
            return Err(format!("{} has no link", attached.name).into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    interface.add_address(address)?;
    let listener = TcpListener::bind((address.addr(), port))?;
    let page = format!("Hello from {} on {}\n", kernel.identity()?, attached.name);
    println!(
        "serving http://{}/ on {}",
        listener.local_addr()?,
        attached.name
    );
    Ok(http::serve(&listener, &page)?)
}
