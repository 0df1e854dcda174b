//! The network of other guests: a bridge between the interface to the world and those of all
//! guests whose back ends are here, as they come and go.
//!
//! ```text
//! the world ── the domain's own interfaces, or a network card of its own ─┐
//! guest ────── vif1 ──────────────────────────────────────────────────── bridge0
//! guest ────── vif2 ──────────────────────────────────────────────────────┘
//! ```
//!
//! Interfaces are added as the kernel tells of them; those of guests that are no more leave the
//! bridge by themselves. It wants NetBSD: rump-lite has no bridges.

use rump::iface::monitor::{Event, Monitor};
use rump::iface::{Bridge, Interface};
use std::error::Error;
use std::process::ExitCode;

/// The program: its status when it ends, which it does when it is told to, or cannot go on.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("network: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let _kernel = rump::Kernel::builder().boot()?;
    // Before the first look, so that none is missed.
    let monitor = Monitor::open()?;
    let bridge = Bridge::create("bridge0")?;
    add_all(&bridge)?;
    println!("network: {} is there", bridge.interface());
    loop {
        match monitor.receive()? {
            Event::Arrived { .. } | Event::Lost => add_all(&bridge)?,
            Event::Departed { interface } => println!("network: {interface} is gone"),
            _ => {}
        }
    }
}

/// Makes all interfaces members that can be.
fn add_all(bridge: &Bridge) -> Result<(), Box<dyn Error>> {
    let members = bridge.members()?;
    for interface in Interface::list()? {
        let name = interface.name();
        if members.iter().any(|member| member == name)
            || bridge.interface() == &interface
            || interface.is_loopback().unwrap_or(true)
        {
            continue;
        }
        match bridge.add(&interface) {
            Ok(()) => println!("network: {name} is a member"),
            // It may have gone again; the others are served all the same.
            Err(error) => eprintln!("network: {error}"),
        }
    }
    Ok(())
}
