//! Images as guests of a real Xen, which itself runs in QEMU.
//!
//! `./ci.sh xen` makes the testbed and names its folder in `RUMP_TEST_XEN`. Without that these
//! are skipped; `RUMP_TEST_REQUIRE=xen` makes them fail instead.

mod image;

use image::{Outcome, Running, check, testbed};
use libtest_mimic::{Failed, Trial};
use rump_sys::kernel::KIND;
use rumprun_build::image::qemu::Forward;
use rumprun_build::image::testbed::{End, Machine, end_of};
use rumprun_build::image::xen::{Guest, Kind};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::Duration;

/// What a test needs beside a Xen: whether it is there, its word, and what is said without it.
type Need = (bool, &'static str, &'static str);

fn main() {
    let is = std::env::var_os("RUMP_TEST_XEN").is_some();
    let mut tests: Vec<Trial> = Vec::new();
    let mut test = |need: Need, run: fn(Kind, u32) -> Outcome, name: &str, kind, cpus| {
        let word = if kind == Kind::Pvh { "pvh" } else { "hvm" };
        let name = format!("xen::{word}::{name}_{cpus}_cpu");
        let xen = (false, "xen", "a real Xen is started by ./ci.sh xen");
        let (can, need, reason) = if is { need } else { xen };
        let run = move || run(kind, cpus);
        tests.push(image::trial_if(can, need, reason, name, run));
    };
    let nothing = (true, "", "");
    let files = "disks are NetBSD's: it wants the feature fs, NETBSD_SRC and mkfs.ext2";
    let files = (has_files(), "fs", files);
    for kind in [Kind::Pvh, Kind::Hvm] {
        test(nothing, http, "serves_http", kind, 1);
        test(nothing, http, "serves_http", kind, 2);
        test(nothing, standard_library, "standard_library", kind, 2);
        test(nothing, crash, "crash_is_told", kind, 1);
        test(nothing, shut_down, "is_shut_down_by_xl", kind, 2);
        test(files, disks, "keeps_disks", kind, 2);
    }
    let has = |driver| rump_sys::DRIVERS.contains(&driver);
    let wm = "the driver is NetBSD's: it wants NETBSD_SRC and RUMP_DRIVERS=wm";
    let wm = (has("wm"), "drivers", wm);
    test(wm, passed_card, "passed_e1000e_serves_http", Kind::Hvm, 2);
    let nvme = "driver and file system are NetBSD's: it wants the feature fs, NETBSD_SRC, \
                RUMP_DRIVERS=nvme and mkfs.ext2";
    let nvme = (has("nvme") && has_files(), "drivers", nvme);
    test(nvme, passed_disks, "passed_nvme_keeps_disks", Kind::Hvm, 2);
    image::run_trials(tests);
}

/// Whether there are file systems in the kernel, and one can be made.
fn has_files() -> bool {
    cfg!(feature = "fs")
        && KIND == rump_sys::kernel::Kind::Netbsd
        && image::ext2::program().is_some()
}

fn machine(kind: Kind, cpus: u32, arguments: &[&str]) -> Result<Machine, Failed> {
    let (folder, dom0) = testbed::made()?;
    let mut guest = Guest {
        kind,
        cpus,
        ..Guest::default()
    };
    guest.line.arguments = arguments.iter().map(|word| word.to_string()).collect();
    Ok(Machine::new(dom0, guest, folder))
}

/// How much longer than an image by itself a machine takes that boots Xen and Linux before.
const LONGER: Duration = Duration::from_secs(200);

fn start(machine: &Machine, program: &str) -> Result<Running, Failed> {
    let running = Running::spawn(machine.command(&image::image(program)?)?)?;
    Ok(running.slower_by(LONGER))
}

/// Waits for the end and checks how it was.
fn ends(machine: &Machine, running: Running, end: End, says: &str) -> Outcome {
    told(machine, running, end, says).map(drop)
}

/// The same; returns what the guest said, and what Xen and dom0 did.
fn told(machine: &Machine, running: Running, end: End, says: &str) -> Result<String, Failed> {
    let (code, text) = running.end_of_qemu()?;
    let log = std::fs::read(machine.log()).unwrap_or_default();
    let all = format!("{text}\nXen and dom0:\n{}", String::from_utf8_lossy(&log));
    check(end_of(code) == Some(end), &format!("{code:?}"), &all)?;
    check(text.contains(says), &format!("no `{says}`"), &all)?;
    Ok(all)
}

/// Devices that were given away reach memory through the IOMMU, and interrupt by messages of
/// tables (MSI-X), as NetBSD's drivers say.
fn passed_through(all: &str, drivers: &[&str]) -> Outcome {
    for driver in drivers {
        let mut lines = all.lines();
        let by_table = lines.any(|line| line.contains(driver) && line.contains(" at msix of "));
        check(by_table, &format!("{driver} has no MSI-X"), all)?;
    }
    check(all.contains("I/O virtualisation enabled"), "no IOMMU", all)?;
    check(!all.contains("DMAR:[DMA"), "a fault of the IOMMU", all)
}

/// An answer to a request, without its header.
fn get(port: u16, path: &str) -> Result<Vec<u8>, Failed> {
    let mut stream = image::connect(port)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: guest\r\n\r\n")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.ok_or_else(|| format!("no header: {:?}", String::from_utf8_lossy(&answer)))?;
    if !answer.starts_with(b"HTTP/1.1 200 OK\r\n") {
        return Err(format!("{:?}", String::from_utf8_lossy(&answer[..end])).into());
    }
    Ok(answer.split_off(end + 4))
}

fn http(kind: Kind, cpus: u32) -> Outcome {
    let mut machine = machine(kind, cpus, &[])?;
    machine.network = true;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    machine.forwards = vec![Forward {
        host: port,
        machine: 80,
        datagrams: false,
    }];
    serves(&machine, port).map(drop)
}

/// A program of a machine whose port leads to it answers requests.
fn serves(machine: &Machine, port: u16) -> Result<String, Failed> {
    let mut running = start(machine, "web")?;
    running.wait_for("listening")?;
    check(get(port, "/")? == b"hello\n", "not hello", "")?;
    // More than the rings have room for, several at a time.
    let threads: Vec<_> = (1..=4_u32)
        .map(|n| n * 100_000)
        .map(|length| std::thread::spawn(move || (length, get(port, &format!("/bytes/{length}")))))
        .collect();
    for thread in threads {
        let (length, got) = thread.join().map_err(|_| "a panic")?;
        let expected: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let got = got?;
        check(
            got == expected,
            &format!("{} of {length} bytes", got.len()),
            "",
        )?;
    }
    check(get(port, "/end")? == b"hello\n", "not hello", "")?;
    running.wait_for("ended")?;
    told(machine, running, End::PowerOff, "rumprun: exit status 0")
}

/// A card of the machine's, which Xen gives the guest: NetBSD's wm(4) drives it, through the
/// IOMMU, with messages for interrupts.
fn passed_card(kind: Kind, cpus: u32) -> Outcome {
    let mut machine = machine(kind, cpus, &[])?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    machine.guest.devices = vec!["00:06.0".into()];
    let line = machine.guest.line.with("net", "10.0.2.15/24,10.0.2.2");
    machine.guest.line = line.with("verbose", "1");
    let net = format!("user,id=passed,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:80");
    let card = "e1000e,netdev=passed,addr=6";
    machine.more = ["-netdev", &net, "-device", card].map(String::from).into();
    passed_through(&serves(&machine, port)?, &["wm0"])
}

/// Disks of the machine's, which Xen gives the guest: NetBSD's nvme(4) drives them.
fn passed_disks(kind: Kind, cpus: u32) -> Outcome {
    let mut machine = machine(kind, cpus, &["/dev/rld0d", "/dev/ld1d"])?;
    let disks = image::ext2::two_disks(&machine.folder)?;
    for (disk, at) in disks.iter().zip(5..) {
        let drive = format!("if=none,id=passed{at},format=raw,file={}", disk.display());
        let device = format!("nvme,drive=passed{at},serial=passed{at},addr={at}");
        let words = ["-drive", &drive, "-device", &device].map(String::from);
        machine.more.extend(words);
        machine.guest.devices.push(format!("00:{at:02x}.0"));
    }
    machine.guest.line = machine.guest.line.with("verbose", "1");
    passed_through(&keeps(&machine)?, &["nvme0", "nvme1"])
}

fn standard_library(kind: Kind, cpus: u32) -> Outcome {
    let mut machine = machine(kind, cpus, &["one", "two words", ""])?;
    machine.network = true;
    machine.guest.line = machine.guest.line.with("env", "NAME=a value");
    let running = start(&machine, "std")?;
    ends(&machine, running, End::PowerOff, "all passed")
}

fn crash(kind: Kind, cpus: u32) -> Outcome {
    let machine = machine(kind, cpus, &["abort"])?;
    let running = start(&machine, "faults")?;
    ends(&machine, running, End::Crash, "rumprun: exit status 134")
}

/// Disks of Xen's.
fn disks(kind: Kind, cpus: u32) -> Outcome {
    let mut machine = machine(kind, cpus, &["/dev/rvbd0d", "/dev/vbd1d"])?;
    machine.disks = image::ext2::two_disks(&machine.folder)?.into();
    keeps(&machine).map(drop)
}

/// A program of a machine with such disks finds that they keep what is written.
fn keeps(machine: &Machine) -> Result<String, Failed> {
    let image = image::example("disks", &["fs"])?;
    let running = Running::spawn(machine.command(&image)?)?.slower_by(LONGER);
    told(machine, running, End::PowerOff, "all passed")
}

/// SIGTERM, which the program does not handle.
fn shut_down(kind: Kind, cpus: u32) -> Outcome {
    let mut machine = machine(kind, cpus, &[])?;
    machine.network = true;
    // xl writes that, empty, before there is a guest who says that it hears.
    machine.beside =
        "until [ \"$(xenstore-read /local/domain/1/control/feature-poweroff)\" = 1 ]\n\
                      do usleep 100000\n\
                      done 2>/dev/null\n\
                      xl shutdown image\n"
            .into();
    let mut running = start(&machine, "echo")?;
    running.wait_for("xl wants this to end")?;
    ends(&machine, running, End::PowerOff, "rumprun: exit status 143")
}
