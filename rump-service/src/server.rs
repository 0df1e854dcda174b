//! The network server: applications in other domains share this one's network card, each with a
//! TCP/IP stack of its own.
//!
//! ```text
//! the world ── vif0, or wm0 ─ the server ┬ cable ─ an application
//!                                        └ cable ─ another
//! ```
//!
//! It is configured as `rump server` is, by `/etc/rump/server.toml`, or by the file that is its
//! argument; NICs are interfaces of this kernel. An application is of the host whose Ethernet
//! address its network interface has, and its program connects by `rump::server::connect("xen:")`.

use rump::iface::{Backend, Card};
use rump::server::{Ctl, Door};
use rump_server::config;
use rump_server::messages::Status;
use rump_server::worker::asks::Asks;
use rump_server::worker::here;
use std::error::Error;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a NIC's link is waited for.
const LINK: Duration = Duration::from_secs(10);

/// The program: its status when it ends, which it does when it cannot go on.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error}");
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
    println!("server: serving {} hosts", plan.hosts.len());
    let asks = Asks::new()?;
    let answering = obey(asks.clone())?;
    here::serve(plan, open, Box::new(door), asks, ledger, report)?;
    // Who has ordered it to end hears so.
    drop(answering.lock());
    Ok(())
}

/// Does what dom0 orders (`rump ctl --control xen:DOMAIN`); what is returned is locked until an
/// order is answered.
fn obey(asks: Asks) -> io::Result<Arc<Mutex<()>>> {
    let orders = Ctl::open()?;
    let answering = Arc::new(Mutex::new(()));
    let busy = Arc::clone(&answering);
    std::thread::spawn(move || {
        while let Ok(order) = orders.next() {
            let _busy = busy.lock();
            let answer = asks.ask_in_words(order.words());
            if let Err(error) = order.answer(&answer) {
                eprintln!("server: dom0 gets no answer: {error}");
            }
        }
    });
    Ok(answering)
}

/// Says who is there.
fn report(status: &Status) {
    println!("server: {} are there", status.applications.len());
    for known in &status.applications {
        println!(
            "server: {} of {} is {}, with {:?}; sent {} and got {} frames, {:?} dropped",
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
