//! Disks of other guests: those of this image's kernel, or files of its own, each under a name.
//!
//! ```text
//! data=/dev/rld0d ── a disk of the kernel's, of NetBSD's NVMe driver or of Xen's
//! text=/file:ro ──── a file of the image's, with the sectors of a disk in it, to be read only
//! ```
//!
//! Its arguments say so. A path that is not below `/dev` is a file. It wants NetBSD: rump-lite has
//! no disks.

use rump::block::{Disk, Image, offer, offer_read_only};
use rump::{Errno, Kernel};
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The program: its status when it ends, which it does when it cannot go on.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("storage: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let orders: Vec<String> = std::env::args().skip(1).collect();
    if orders.is_empty() {
        return Err("what is to be offered? NAME=/dev/rld0d NAME=/file NAME=/dev/rld1d:ro".into());
    }
    let kernel = Kernel::builder().boot()?;
    // Those of files end with what they are kept in.
    let mut disks = Vec::new();
    for order in &orders {
        let (name, path) = order.split_once('=').ok_or("NAME=PATH")?;
        let (path, read_only) = match path.strip_suffix(":ro") {
            Some(path) => (path, true),
            None => (path, false),
        };
        let device = if path.starts_with("/dev/") {
            path.to_string()
        } else {
            let image = Image::builder().read_only(read_only).open(path)?;
            let disk = Disk::attach(&kernel, image)?;
            let device = disk.raw_path().to_string();
            disks.push(disk);
            device
        };
        let give = || match read_only {
            true => offer_read_only(name, &device),
            false => offer(name, &device),
        };
        patiently(give).map_err(|error| format!("{order}: {error}"))?;
        println!("storage: {name} is {device}");
    }
    println!("storage: all is offered");
    loop {
        std::thread::park();
    }
}

/// Some drivers find their disks while the machine runs.
fn patiently(give: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match give() {
            Err(error) if Errno::of(&error) == Some(Errno::ENXIO) && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}
