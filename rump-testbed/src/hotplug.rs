//! Devices behind ports that are taken out of a guest while it runs. They do not come back.
//!
//! QEMU removes what is behind a port when the port is told to turn the power off (PCI
//! Express 2.0, 7.8.10). Linux does that at the end, when it is asked to let a device go; who
//! does it at once, and turns it on again, has pulled the device out: that is what Linux then
//! finds.

use crate::inside::{PCI, about};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the list of capabilities begins, and that of PCI Express in it (PCI 3.0, 6.7).
const CAPABILITIES: u64 = 0x34;
const EXPRESS: u8 = 0x10;
/// In that capability: what controls the slot.
const SLOT_CONTROL: u64 = 0x18;
/// No power, and no light that says so.
const POWER_OFF: u16 = 1 << 10 | 3 << 8;
const POWER: u16 = 7 << 8;
/// The slot interrupts when something becomes of it.
const INTERRUPTS: u16 = 1 << 5;

/// Pulls out the device at a PCI address, which is behind a port: it is gone at once, and
/// Linux is told afterwards.
///
/// # Errors
/// There is no such device, or it is behind no port.
pub fn pull_out(address: &str) -> io::Result<()> {
    let port = port(address)?.join("config");
    let failed = |error| about(&port, error);
    let config = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&port)
        .map_err(failed)?;
    let byte = |at| {
        let mut byte = [0];
        config.read_exact_at(&mut byte, at).map(|()| byte[0])
    };
    let mut at = byte(CAPABILITIES).map_err(failed)?;
    // There is room for so many.
    for _ in 0..48 {
        if at < 0x40 {
            break;
        }
        if byte(at.into()).map_err(failed)? == EXPRESS {
            let place = u64::from(at) + SLOT_CONTROL;
            let mut word = [0; 2];
            config.read_exact_at(&mut word, place).map_err(failed)?;
            // Linux is to look when the power is on again: a device without it is one that
            // Linux has let go of.
            let off = u16::from_le_bytes(word) & !(POWER | INTERRUPTS) | POWER_OFF;
            for control in [off.to_le_bytes(), word] {
                config.write_all_at(&control, place).map_err(failed)?;
            }
            return Ok(());
        }
        at = byte(u64::from(at) + 1).map_err(failed)?;
    }
    Err(io::Error::other(format!("{address} is behind no port")))
}

/// Has Linux let go of the device at a PCI address, which is behind a port, and turn it off:
/// what happens when the button at its slot is pressed. Linux waits for whoever uses it, and
/// this does not: a process that waits for itself could not even be killed.
///
/// # Errors
/// There is no such device, or it is behind no port.
pub fn eject(address: &str) -> io::Result<()> {
    let slots = Path::new(PCI).join("slots");
    let place = address.rsplit_once('.').map_or(address, |(place, _)| place);
    for slot in std::fs::read_dir(&slots).map_err(|error| about(&slots, error))? {
        let slot = slot?.path();
        let there = std::fs::read_to_string(slot.join("address"))?;
        if there.trim() == place {
            let power = slot.join("power");
            let line = format!("echo 0 >{}", power.display());
            let mut shell = Command::new("/bin/busybox");
            shell.args(["sh", "-c", &line]).spawn()?;
            return Ok(());
        }
    }
    Err(io::Error::other(format!("{address} is in no slot")))
}

/// The folder of the port that a device is behind.
fn port(address: &str) -> io::Result<PathBuf> {
    let device = Path::new(PCI).join("devices").join(address);
    let real = device
        .canonicalize()
        .map_err(|error| about(&device, error))?;
    let parent = real.parent().map(Path::to_path_buf);
    parent.ok_or_else(|| io::Error::other(format!("{address} is behind no port")))
}
