//! The network server as a virtual machine of its own: applications in other domains of Xen share
//! its network card, each with a TCP/IP stack of its own (docs/services.md).
//!
//! ```text
//! cargo rumprun build --example service_server --target xen-pvh --bridge xenbr0 --root FOLDER
//! xl create …/service_server.cfg
//! ```
//!
//! with the configuration of `rump server` in `FOLDER/etc/rump/server.toml` (docs/server.md), whose
//! NICs are interfaces of this kernel, such as `interface = "vif0"` or `"wm0"`. An application is of
//! the host whose Ethernet address its network interface has:
//!
//! ```text
//! vif = [ "mac=02:00:00:00:00:01,backend=service_server" ]
//! ```
//!
//! and its program connects by `rump::server::connect("xen:")`.

use rump::iface::{Backend, Card};
use rump::server::Door;
use rump_server::config;
use rump_server::messages::Status;
use rump_server::worker::here;
use std::error::Error;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How long a NIC's link is waited for.
const LINK: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("service_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let file = std::env::args_os().nth(1);
    let file = file.map_or_else(|| PathBuf::from("/etc/rump/server.toml"), PathBuf::from);
    let plan = config::read(&file)?;
    let kernel = rump::Kernel::builder().boot()?;
    let open = |name: &str| -> io::Result<Box<dyn Backend>> {
        let card = Card::over(&kernel, name)?;
        card.wait_for_link(LINK)?;
        Ok(Box::new(card))
    };
    // What is written down for a worker that comes after this one: here none does.
    let ledger = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open("/tmp/ledger")?;
    let hosts = plan.clone();
    let door = Door::open(move |domain| here::user(&hosts, domain.address))?;
    println!("service_server: serving {} hosts", plan.hosts.len());
    here::serve(plan, open, Box::new(door), ledger, report)?;
    Ok(())
}

/// Says who is there.
fn report(status: &Status) {
    println!("service_server: {} are there", status.applications.len());
    for known in &status.applications {
        println!(
            "service_server: {} of {} is {}, with {:?}; sent {} and got {} frames, {:?} dropped",
            known.label,
            known.host,
            known.state,
            known.ports,
            known.counters.sent.0,
            known.counters.received.0,
            known.counters.dropped,
        );
    }
}
