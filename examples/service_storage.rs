//! Disks of other VMs: those of this image's kernel, or files of its own, each under a name
//! (docs/services.md).
//!
//! ```text
//! RUMP_DRIVERS=nvme cargo rumprun build --example service_storage --features fs --target xen-hvm \
//!     --pci 03:00.0 -- data=/dev/rld0d text=/file:ro
//! xl create …/service_storage.cfg
//! ```
//!
//! and, in the configuration of a guest,
//! `disk = [ "vdev=xvda,backend=service_storage,target=data" ]`. A path that is not below `/dev`
//! is a file of the image's, with the sectors of a disk in it. It wants NetBSD: rump-lite has no
//! disks.

use rump::block::{Disk, Image, offer, offer_read_only};
use rump::{Errno, Kernel};
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("service_storage: {error}");
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
        println!("service_storage: {name} is {device}");
    }
    println!("service_storage: all is offered");
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
