//! Reads of an emulated NVMe disk: nvme(4) and ld(4) beside Linux's driver with io_uring.

use super::{Bench, CPUS, RUN, Result, example, in_turn, rates};
use crate::Outcome;
use crate::comparison::{Better, Harness, Subject};
use rump_examples::sectors;
use rump_testbed::{Disk, Guest};
use serde_json::Value;
use std::process::Command;

/// The benchmarks here.
pub const NAMES: &[&str] = &[
    "nvme/randread-qd1",
    "nvme/randread-qd32",
    "nvme/seqread-128k",
];

/// What the program is told of each, and what is counted: its name, its unit, and how many
/// are one of that.
type Reads = (&'static [&'static str], &'static str, &'static str, f64);
const READS: [Reads; 3] = [
    (&["--depth", "1"], "reads", "1/s", 1.0),
    (&["--depth", "32"], "reads", "1/s", 1.0),
    (
        &["--sequential", "--block", "131072", "--depth", "4"],
        "bytes",
        "MiB/s",
        1_048_576.0,
    ),
];
/// Bytes of the disk, which the host has in its memory.
const DISK: u64 = 256 << 20;

/// Runs them.
pub fn disk(harness: &mut Harness) -> Outcome {
    let mut disks = Disks::start()?;
    for (name, (options, counted, unit, size)) in NAMES.iter().zip(READS) {
        if !harness.wants(name) {
            continue;
        }
        let netbsd = |disks: &mut Disks| disks.netbsd(options);
        let linux = |disks: &mut Disks| disks.linux(options);
        let turns = in_turn(&mut disks, netbsd, linux)?;
        let mut subject = Subject::new(name, unit, Better::More);
        subject.rival_is = Some("Linux nvme with io_uring, same guest");
        let ours = rates(&turns.ours, counted, size)?;
        let rival = rates(&turns.rival, counted, size)?;
        harness.write(&subject, turns.kernel()?, Some(CPUS), &ours, Some(&rival))?;
    }
    Ok(())
}

/// A guest with a disk whose content says where it is.
struct Disks {
    bench: Bench,
    program: String,
    address: String,
}

impl Disks {
    fn start() -> Result<Self> {
        let program = example("nvme_bench")?;
        let disk = Disk::zeroed(DISK)?;
        sectors::write(std::fs::File::create(disk.path())?, DISK)?;
        let guest = Guest::new()
            .cpus(CPUS)
            .memory(512)
            .nvme(&disk)
            .module("nvme")
            .program(&program);
        let address = guest.places()[0].address.clone();
        Ok(Self {
            bench: Bench(guest.boot()?),
            program: program.display().to_string(),
            address,
        })
    }

    fn netbsd(&mut self, options: &[&str]) -> Result<Value> {
        self.bench.0.bind(&self.address, "vfio-pci")?;
        let mut command = Command::new(&self.program);
        command.args(["rump", &self.address, "--cpus", &CPUS.to_string()]);
        command.args(["--seconds", RUN]).args(options);
        self.bench.measured(&command)
    }

    fn linux(&mut self, options: &[&str]) -> Result<Value> {
        self.bench.0.bind(&self.address, "nvme")?;
        // The namespace comes a little later than the controller.
        let device = self.bench.shell(&format!(
            "n=0; until name=$(ls /sys/bus/pci/devices/{}/nvme/*/ 2>/dev/null | \
             grep -E '^nvme[0-9]+n1$') && [ -b /dev/$name ]; do \
             n=$((n + 1)); [ $n -lt 500 ] || exit 1; usleep 20000; done; echo /dev/$name",
            self.address
        ))?;
        let mut command = Command::new(&self.program);
        command
            .args(["linux", &device, "--seconds", RUN])
            .args(options);
        self.bench.measured(&command)
    }
}
