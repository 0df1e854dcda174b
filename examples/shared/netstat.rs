//! What `netstat(1)` would say of this kernel: interfaces, routes, neighbours, counters.

use rump::iface::{Interface, neighbor, route};
use rump::metrics::{Kind, Snapshot};
use std::error::Error;
use std::fmt::Write as _;

/// The text.
///
/// # Errors
/// What the kernel could not tell.
pub fn netstat() -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    writeln!(text, "Interfaces")?;
    writeln!(
        text,
        "{:<8} {:>6} {:>10} {:>14} {:>10} {:>14} {:>6}  addresses",
        "name", "mtu", "in", "bytes", "out", "bytes", "errors"
    )?;
    for interface in Interface::list()? {
        let counted = interface.statistics()?;
        let addresses = interface.addresses()?;
        let addresses: Vec<_> = addresses.iter().map(|own| own.net().to_string()).collect();
        writeln!(
            text,
            "{:<8} {:>6} {:>10} {:>14} {:>10} {:>14} {:>6}  {}",
            interface.name(),
            interface.mtu()?,
            counted.received,
            counted.received_bytes,
            counted.sent,
            counted.sent_bytes,
            counted.receive_errors + counted.send_errors,
            addresses.join(" ")
        )?;
    }
    writeln!(text, "\nRoutes")?;
    for route in route::list()? {
        writeln!(text, "{route}")?;
    }
    writeln!(text, "\nNeighbours")?;
    for neighbor in neighbor::list()? {
        let hardware = neighbor.hardware.map_or("(incomplete)".into(), |bytes| {
            bytes.map(|byte| format!("{byte:02x}")).join(":")
        });
        let interface = neighbor.interface.unwrap_or_default();
        writeln!(text, "{} at {hardware} on {interface}", neighbor.address)?;
    }
    writeln!(text, "\nCounters that are not 0")?;
    for metric in &Snapshot::take()? {
        let told = metric.name.starts_with("rump_interface") || metric.kind == Kind::Gauge;
        if metric.value != 0 && !told {
            writeln!(text, "{:>16} {}", metric.value, metric.help)?;
        }
    }
    Ok(text)
}
