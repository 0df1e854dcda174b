//! Reads of an NVMe disk, at random or in order: by NetBSD's driver in this process, over
//! VFIO (feature `fs`), or by Linux's driver and io_uring.
//!
//! ```text
//! nvme_bench prepare disk.img 64                      # MiB; the content says where it is
//! nvme_bench rump 0000:00:08.0 --depth 32             # bound to vfio-pci; RUMP_DRIVERS=nvme
//! nvme_bench linux /dev/nvme0n1 --depth 32 --seconds 2
//! nvme_bench linux /dev/nvme0n1 --sequential --block 131072
//! ```
//!
//! What is read is checked, so the disk must be a prepared one: the file as the disk of a
//! guest, or `cp` of it to the device. A line of JSON tells what it came to.

mod linux;
#[cfg(feature = "fs")]
mod rump;
mod work;

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;
use work::{Measured, Work};

const USAGE: &str = "prepare FILE MIB | linux DEVICE | rump PCI [--cpus CPUS] \
                     [--block BYTES] [--depth READS] [--seconds SECONDS] [--sequential]";
/// The largest read and the most at a time: what one registered buffer and the smallest
/// queue of a controller can have.
const MOST: (usize, usize) = (1 << 20, 1023);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nvme_bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let target = arguments.next().ok_or(USAGE)?;
    match command.as_str() {
        "prepare" => {
            let size: u64 = value("MIB", &mut arguments)?;
            let size = size.checked_mul(1 << 20).ok_or("MIB: too many")?;
            Ok(rump_examples::sectors::write(File::create(target)?, size)?)
        }
        "linux" => {
            let (work, _) = options(arguments)?;
            tell(&linux::measure(Path::new(&target), &work)?)
        }
        #[cfg(feature = "fs")]
        "rump" => {
            let (work, cpus) = options(arguments)?;
            tell(&rump::measure(target.parse()?, cpus, &work)?)
        }
        #[cfg(not(feature = "fs"))]
        "rump" => Err("this was built without the feature fs".into()),
        other => Err(format!("{other}: not known; use {USAGE}").into()),
    }
}

fn tell(measured: &Measured) -> Result<(), Box<dyn Error>> {
    println!("{}", serde_json::to_string(measured)?);
    Ok(())
}

/// The work, and the virtual CPUs of the kernel that does it.
fn options(mut rest: impl Iterator<Item = String>) -> Result<(Work, usize), Box<dyn Error>> {
    let mut cpus = 2;
    let mut work = Work {
        block: 4096,
        depth: 1,
        sequential: false,
        time: Duration::from_secs(2),
    };
    while let Some(option) = rest.next() {
        match option.as_str() {
            "--block" => work.block = value(&option, &mut rest)?,
            "--depth" => work.depth = value(&option, &mut rest)?,
            "--seconds" => {
                let seconds: f64 = value(&option, &mut rest)?;
                work.time = Duration::try_from_secs_f64(seconds)?;
            }
            "--cpus" => cpus = value(&option, &mut rest)?,
            "--sequential" => work.sequential = true,
            other => return Err(format!("{other}: not known; use {USAGE}").into()),
        }
    }
    let (block, depth) = MOST;
    if work.block == 0 || work.block > block || !work.block.is_multiple_of(4096) {
        return Err(format!("--block: 4096 to {block}, in steps of 4096").into());
    }
    if !(1..=depth).contains(&work.depth) {
        return Err(format!("--depth: 1 to {depth}").into());
    }
    Ok((work, cpus))
}

fn value<T: FromStr<Err: Error + 'static>>(
    name: &str,
    rest: &mut impl Iterator<Item = String>,
) -> Result<T, Box<dyn Error>> {
    let value = rest
        .next()
        .ok_or_else(|| format!("{name}: nothing follows it"))?;
    let parsed = value.parse();
    parsed.map_err(|error| format!("{name} {value}: {error}").into())
}
