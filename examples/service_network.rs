//! The network of other VMs: a bridge between the interface to the world and those of all guests
//! whose back ends are here, as they come and go (docs/services.md).
//!
//! ```text
//! cargo rumprun build --example service_network --features bridge --target xen-pvh --bridge xenbr0
//! xl create …/service_network.cfg
//! ```
//!
//! and, in the configuration of a guest, `vif = [ "backend=service_network" ]`. Interfaces are
//! added as the kernel tells of them; those of guests that are no more leave the bridge by
//! themselves. It wants NetBSD: rump-lite has no bridges.

use rump::iface::monitor::{Event, Monitor};
use rump::iface::{Bridge, Interface};
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("service_network: {error}");
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
    println!("service_network: {bridge:?} is there");
    loop {
        match monitor.receive()? {
            Event::Arrived { .. } | Event::Lost => add_all(&bridge)?,
            Event::Departed { interface } => println!("service_network: {interface} is gone"),
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
            Ok(()) => println!("service_network: {name} is a member"),
            // It may have gone again; the others are served all the same.
            Err(error) => eprintln!("service_network: {error}"),
        }
    }
    Ok(())
}
