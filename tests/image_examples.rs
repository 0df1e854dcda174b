//! Programs that use the crate `rump`, in an image, where they find the kernel that runs: the
//! examples of this project, as they are, and one that has sockets of std beside them.
//!
//! What an example does that only a Linux process can is said where it is skipped.

mod image;

use image::echo::Echo;
use image::{Outcome, Running, check, ext2};
use libtest_mimic::Trial;
use rump_sys::kernel::{KIND, Kind};
use rumprun_build::image::qemu::{Bus, Disk, Machine};
use rumprun_build::image::root;
use std::path::Path;

/// Name, arguments, what it says when all is well, and features of the fixture.
type Example = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static [&'static str],
);

const EXAMPLES: [Example; 5] = [
    (
        "http_hello",
        &["--once"],
        "were answered as they should be",
        &[],
    ),
    ("tcp_echo", &["4"], "[::1]:", &[]),
    ("iperf", &["-t", "1"], "received there", &[]),
    (
        "http_server",
        &["--once"],
        "were served as they should be",
        &["async"],
    ),
    (
        "https_server",
        &["--once"],
        "the page was served as it should be",
        &["tls"],
    ),
];

/// Examples that a Linux process runs only, and why.
const OF_LINUX: [(&str, &str); 5] = [
    (
        "figures",
        "it has no kernel in it: it writes this checkout's README",
    ),
    (
        "http_on_nic",
        "it asks Linux's VFIO for the card, which is the kernel's own in an image",
    ),
    ("nic_bench", "it compares VFIO with Linux's driver"),
    ("nvme_bench", "it compares VFIO with Linux's driver"),
    (
        "mount_disk --once",
        "it executes mkfs.ext2 and e2fsck, and an image has one process",
    ),
];

fn main() {
    let examples = EXAMPLES.iter().flat_map(|example| {
        // The first shows that all numbers of CPUs do.
        let cpus: &[u32] = match (example.0, long()) {
            ("http_hello", _) | (_, true) => &[1, 2, 4],
            _ => &[2],
        };
        cpus.iter().map(|cpus| trial(example, *cpus))
    });
    let of_linux = OF_LINUX.iter().map(|(name, reason)| {
        let name = format!("qemu::example::{name}");
        image::trial_if(false, "linux", reason, name, || Ok(()))
    });
    let beside =
        [1, 2].map(|cpus| image::trial(format!("qemu::beside::cpus_{cpus}"), move || beside(cpus)));
    let disk = image::trial_if(
        cfg!(feature = "fs") && KIND == Kind::Netbsd && ext2::program().is_some(),
        "fs",
        "file systems are NetBSD's: it wants the feature fs, NETBSD_SRC and mkfs.ext2",
        "qemu::example::mount_disk",
        mount_disk,
    );
    let disks = image::trial_if(
        cfg!(feature = "fs") && rump_sys::DRIVERS.contains(&"nvme") && ext2::program().is_some(),
        "drivers",
        "driver and file system are NetBSD's: RUMP_DRIVERS=nvme, NETBSD_SRC, the feature fs, mkfs.ext2",
        "qemu::disks",
        disks,
    );
    let behaviour = ["rump", "std"].map(|layer| {
        image::trial_if(
            long(),
            "long",
            "takes minutes: RUMP_TEST_LONG=1",
            format!("qemu::behaviour::{layer}"),
            move || behaviour(layer),
        )
    });
    let trials = examples
        .chain(of_linux)
        .chain(beside)
        .chain([disk, disks])
        .chain(behaviour);
    image::run_trials(trials.collect());
}

fn long() -> bool {
    std::env::var_os("RUMP_TEST_LONG").is_some()
}

fn trial(example: &'static Example, cpus: u32) -> Trial {
    let (name, _, _, features) = *example;
    let there = cfg!(feature = "async") || features.is_empty();
    image::trial_if(
        there,
        "async",
        "without the feature async",
        format!("qemu::example::{name}::cpus_{cpus}"),
        move || runs(example, cpus),
    )
}

/// What the kernel is called that is in this build.
fn kernel() -> &'static str {
    match KIND {
        Kind::Lite => "kernel: rump-lite ",
        _ => "kernel: NetBSD ",
    }
}

fn runs(&(name, arguments, says, features): &Example, cpus: u32) -> Outcome {
    let mut machine = image::machine(arguments);
    machine.cpus = cpus;
    machine.memory = 256;
    let image = image::example(name, features)?;
    let (status, text) = Running::start(&machine, &image)?.end()?;
    for says in [kernel(), says] {
        check(text.contains(says), &format!("not `{says}`"), &text)?;
    }
    check(status == Some(0), &format!("{status:?}"), &text)
}

/// A file of an ext2 image, which is a file of the image's own root, is read by NetBSD's ext2
/// through a disk whose other end is in the program.
fn mount_disk() -> Outcome {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image-disk");
    let root = folder.join("root");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&root)?;
    let lines = ext2::with_lines(&root.join("disk.img"))?;
    let archive = folder.join("root.cpio");
    root::archive(&root, &archive)?;
    let mut machine = image::machine(&["-t", "ext2", "/disk.img", "cat", ":/lines"]);
    machine.memory = 256;
    machine.root = Some(archive);
    let image = image::example("mount_disk", &["fs"])?;
    let (status, text) = Running::start(&machine, &image)?.end()?;
    let shown = text.replace('\r', "");
    check(shown.contains(&lines), "other contents", &text)?;
    check(status == Some(0), &format!("{status:?}"), &text)
}

/// Disks of the machine's, which NetBSD's nvme(4) drives, keep what is written.
fn disks() -> Outcome {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image-disks");
    std::fs::create_dir_all(&folder)?;
    let mut machine = image::machine(&["/dev/rld0d", "/dev/ld1d"]);
    (machine.cpus, machine.memory) = (2, 256);
    let disk = |file| Disk {
        file,
        bus: Bus::Nvme,
    };
    machine.disks = ext2::two_disks(&folder)?.map(disk).into();
    let image = image::example("disks", &["fs"])?;
    let (status, text) = Running::start(&machine, &image)?.end()?;
    check(text.contains("all passed"), "not all passed", &text)?;
    check(status == Some(0), &format!("{status:?}"), &text)
}

/// The table of socket behaviours, on the crate's sockets or on the standard library's.
fn behaviour(layer: &str) -> Outcome {
    let mut machine = image::machine(&[layer]);
    // The buffers of a thousand connections are there as a whole with rump-lite.
    (machine.cpus, machine.memory) = (2, 2048);
    let image = image::example("behaviour", &["behaviour"])?;
    let (status, text) = Running::start(&machine, &image)?.end()?;
    check(text.contains(kernel()), "another kernel", &text)?;
    check(status == Some(0), &format!("{status:?}"), &text)
}

fn beside(cpus: u32) -> Outcome {
    let echo = Echo::new()?;
    let mut machine = Machine {
        cpus,
        forwards: echo.forwards(),
        ..Machine::default()
    };
    machine.line = machine.line.with("hostname", "beside");
    let mut running = Running::start(&machine, &image::example("beside", &[])?)?;
    running.wait_for(kernel())?;
    running.wait_for("all passed")?;
    echo.ask(running, 4)
}
