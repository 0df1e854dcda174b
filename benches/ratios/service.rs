//! Service VMs on Xen beside a driver domain of Linux's, in one machine and at the same time:
//! what a guest that both serve gets of their networks and disks, and how soon they are ready.
//! Also how large the images of services are.
//!
//! ```text
//!           ┌ network, storage: our images ───────┐
//! the guest ┤                                     ├ dom0: iperf3, two disks in memory
//!           └ rival-network, rival-storage: Linux ┘
//! ```
//!
//! dom0 has a CPU to itself, and all guests have the other. The machine is emulated: ratios say
//! something, figures do not.

use crate::Outcome;
use crate::comparison::{Better, Harness, Subject, target};
use rumprun_build::image::object::Source;
use rumprun_build::image::service::{Made, Service};
use rumprun_build::image::testbed::{Dom0, Linux, Machine};
use rumprun_build::image::xen::Guest;
use rumprun_build::image::{gather, root};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The benchmarks here.
pub const NAMES: &[&str] = &[
    "service/size",
    "service/mem",
    "service/net-vs-linux",
    "service/blk-vs-linux",
    "service/boot-vs-linux",
];

/// The program that measures networks, on both sides.
const IPERF: &str = "usr/bin/iperf3";
/// Programs by which a driver domain tells others of its devices.
const STORE: [&str; 3] = [
    "usr/bin/xenstore-list",
    "usr/bin/xenstore-read",
    "usr/bin/xenstore-write",
];
/// What was said in the last run.
const LOG: &str = "service.log";
/// Rounds after the first, which warms up.
const ROUNDS: usize = 5;
/// What a run of the guest writes and reads, in MiB.
const BYTES: f64 = 32.0;
/// Bits of a Mbit, and of a MiB.
const MBIT: (f64, f64) = (1e6, 8.0 * 1048576.0);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs them.
pub fn service(harness: &mut Harness) -> Outcome {
    let folder = target().join("rumprun");
    let image = |service: Service| -> Result<(PathBuf, f64)> {
        let made = Made {
            service,
            domain: service.domain(),
            source: Source::Checkout(env!("CARGO_MANIFEST_DIR").into()),
            drivers: Vec::new(),
            profile: "release".into(),
            folder: folder.clone(),
        };
        let image = made.make()?;
        let size = std::fs::metadata(&image)?.len() as f64 / 1e6;
        Ok((image, size))
    };
    let network = image(Service::Network)?;
    let storage = image(Service::Storage)?;
    let server = image(Service::Server)?;
    let said = run(&folder.join("testbed"), &network.0, &storage.0)?;
    let kernel = line(&said, "NetBSD ").ok_or("the image has not said which kernel it has")?;
    let kernel = format!("NetBSD {kernel}");

    let mut size = Subject::new("service/size", "MB", Better::Less);
    size.note = Some(format!(
        "the largest of network {:.1}, storage {:.1} and server {:.1}",
        network.1, storage.1, server.1
    ));
    let largest = network.1.max(storage.1).max(server.1);
    harness.write(&size, &kernel, Some(1), &[largest], None)?;
    let mut memory = Subject::new("service/mem", "MB", Better::Less);
    memory.note = Some("of the domains of network and storage in these runs, in MiB".into());
    let given = f64::from(Service::Network.memory().max(Service::Storage.memory()));
    harness.write(&memory, &kernel, Some(1), &[given], None)?;

    let against = |name, unit, better, note: &str, values: &dyn Fn(&str) -> Vec<f64>| -> Outcome {
        let (ours, rival) = (values("ours"), values("rival"));
        if ours.len() < ROUNDS || rival.len() < ROUNDS {
            let log = folder.join("testbed").join(LOG);
            return Err(format!("{name}: not all was measured, see {}", log.display()).into());
        }
        let mut subject = Subject::new(name, unit, better);
        subject.rival_is = Some("Linux driver domain, same testbed");
        subject.note = Some(note.into());
        harness.write(&subject, &kernel, Some(1), &ours, Some(&rival))
    };
    against(
        "service/net-vs-linux",
        "MiB/s",
        Better::More,
        "a Linux guest's iperf3 to dom0 and back, mean of both directions",
        &|side| {
            let rates = values(&said, &format!("net {side}"), 1);
            let both = rates.chunks_exact(2).skip(1);
            both.map(|pair| (pair[0][0] + pair[1][0]) / 2.0 * MBIT.0 / MBIT.1)
                .collect()
        },
    )?;
    against(
        "service/blk-vs-linux",
        "MiB/s",
        Better::More,
        "a Linux guest's direct writes, flushed, and reads of 1 MiB",
        &|side| {
            let times = values(&said, &format!("blk {side}"), 3);
            let times = times.iter().skip(1);
            times.map(|time| BYTES / (time[2] - time[0])).collect()
        },
    )?;
    let domain = |side: &str| match side {
        "ours" => "image",
        _ => "rival-network",
    };
    against(
        "service/boot-vs-linux",
        "ms",
        Better::Less,
        "network, from when the domain runs until it is ready",
        &|side| {
            let times = values(&said, &format!("boot {}", domain(side)), 3);
            let times = times.iter().skip(1);
            times.map(|time| (time[2] - time[1]) * 1e3).collect()
        },
    )
}

/// Runs the machine, and returns what was said.
fn run(folder: &Path, network: &Path, storage: &Path) -> Result<String> {
    let dom0 = Dom0::make(folder)?;
    let driver = include_str!("service/driver.sh");
    let guest = include_str!("service/guest.sh");
    let bridge: &[_] = &["llc", "stp", "bridge", "xen-netback"];
    let systems: [(_, _, _, &[_]); 3] = [
        ("network.cpio", driver, bridge, &STORE),
        ("storage.cpio", driver, &["xen-blkback"], &STORE),
        ("linux.cpio", guest, &[], &[IPERF]),
    ];
    let mut files = Vec::new();
    for (name, script, modules, programs) in systems {
        let linux = Linux::make_with(folder, script, modules, programs)?;
        let archive = folder.join(format!("bench-{name}"));
        std::fs::rename(&linux.archive, &archive)?;
        files.push((name.to_string(), archive));
        if script == guest {
            files.push(("linux".into(), linux.kernel));
        }
    }
    let programs = folder.join("programs");
    let iperf = Path::new("/").join(IPERF);
    gather::root(&iperf, &[("etc/hosts", "127.0.0.1 localhost\n")], &programs)?;
    root::archive(&programs, &folder.join("programs.cpio"))?;
    files.push(("programs.cpio".into(), folder.join("programs.cpio")));

    let mut disks = Guest {
        memory: Service::Storage.memory(),
        disks: vec!["/dev/loop0".into()],
        ..Guest::default()
    };
    disks.line.arguments = vec!["data=/dev/rvbd0d".into()];
    let configuration = folder.join("storage.cfg");
    let config = disks.config("storage", Path::new("/testbed/storage"))?;
    std::fs::write(&configuration, config)?;
    files.push(("storage".into(), storage.into()));
    files.push(("storage.cfg".into(), configuration));

    let mut guest = Guest {
        memory: Service::Network.memory(),
        ..Guest::default()
    };
    guest.line = guest.line.with("verbose", "1");
    let mut machine = Machine::new(dom0, guest, folder);
    machine.network = true;
    machine.files = files;
    machine.spare = 1024;
    machine.instead = format!(
        "{}{}",
        include_str!("../../tests/image/dom0.sh"),
        include_str!("service/dom0.sh")
    );
    let mut command = machine.command(network)?;
    let output = command.stdin(Stdio::null()).output()?;
    std::fs::write(folder.join(LOG), &output.stdout)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !said.contains("dom0: all is done") {
        let log = std::fs::read(machine.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        return Err(format!("the machine has not done all:\n{said}\nXen and dom0:\n{log}").into());
    }
    Ok(said)
}

/// The rest of the first line that was said with these words in it.
fn line<'a>(said: &'a str, words: &str) -> Option<&'a str> {
    said.lines()
        .filter_map(|line| line.split_once("bench: "))
        .find_map(|(_, rest)| rest.strip_prefix(words))
        .map(str::trim)
}

/// So many numbers of each line that was said of this.
fn values(said: &str, what: &str, numbers: usize) -> Vec<Vec<f64>> {
    let lines = said.lines().filter_map(|line| line.split_once("bench: "));
    let rests = lines.filter_map(|(_, rest)| rest.strip_prefix(what)?.strip_prefix(' '));
    rests
        .map(|rest| {
            let words = rest.split_whitespace();
            words.filter_map(|word| word.parse().ok()).collect()
        })
        .filter(|found: &Vec<f64>| found.len() == numbers)
        .collect()
}
