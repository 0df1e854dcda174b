//! The programs that the benchmarks in a guest compare with, in a guest: Linux's own
//! drivers, on the same devices and with the same checks.

use rump_examples::sectors;
use rump_testbed::{Guest, Outcome, Running, trial};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

mod common;

const LIMIT: Duration = Duration::from_secs(60);
const DISK: u64 = 32 << 20;

/// Runs a command whose last line of output is JSON.
fn json(guest: &mut Running, command: &Command) -> Result<serde_json::Value, String> {
    let report = guest
        .run(command, LIMIT)
        .map_err(|error| error.to_string())?;
    if !report.success() {
        return Err(report.to_string());
    }
    serde_json::from_slice(&report.stdout).map_err(|error| format!("{error}: {report}"))
}

fn number(value: &serde_json::Value, name: &str) -> Result<f64, String> {
    value[name]
        .as_f64()
        .ok_or_else(|| format!("no {name} in {value}"))
}

/// io_uring on the emulated disk; and a disk with other data on it is an error.
fn linux_reads_an_nvme_disk() -> Outcome {
    let program = common::example("nvme_bench")?;
    let mut content = Vec::new();
    sectors::write(&mut content, DISK)?;
    let disk = rump_testbed::Disk::with(&content)?;
    let empty = rump_testbed::Disk::zeroed(DISK)?;
    let guest = Guest::new().cpus(2).nvme(&disk).nvme(&empty).module("nvme");
    let mut guest = guest.program(&program).boot()?;
    let bench = |device: &str, options: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(["linux", device, "--seconds", "0.3"])
            .args(options);
        command
    };
    for options in [
        &["--depth", "1"][..],
        &["--depth", "32"],
        &["--sequential", "--block", "131072", "--depth", "4"],
    ] {
        let measured = json(&mut guest, &bench("/dev/nvme0n1", options))?;
        let (reads, bytes) = (number(&measured, "reads")?, number(&measured, "bytes")?);
        assert!(reads >= 1.0 && bytes >= reads * 4096.0, "{measured}");
        assert!(
            measured["kernel"]
                .as_str()
                .is_some_and(|kernel| kernel.starts_with("Linux "))
        );
    }
    let wrong = json(&mut guest, &bench("/dev/nvme1n1", &[])).err();
    let wrong = wrong.ok_or("zeros are taken for data")?;
    assert!(wrong.contains("has another's data, or none"), "{wrong}");
    Ok(())
}

/// Linux's stack with e1000e at both ends, each in a network namespace of its own.
fn linux_streams_between_two_cards() -> Outcome {
    let program = common::example("nic_bench")?;
    let mut guest = two_cards().program(&program).boot()?;
    let (ip, program) = (ip().display().to_string(), program.display().to_string());
    let setup = format!(
        "for n in 1 2; do from=eth$((n - 1)); {ip} netns add n$n && \
         {ip} link set $from netns n$n && {ip} -n n$n link set $from name card && \
         {ip} -n n$n address add 10.8.0.$n/24 dev card && {ip} -n n$n link set card up \
         || exit 1; done"
    );
    shell(&mut guest, &setup)?;
    let serve = format!("{ip} netns exec n2 '{program}' serve 10.8.0.2 >/dev/null 2>/tmp/served &");
    shell(&mut guest, &serve)?;
    let up = format!(
        "n=0; until {ip} netns exec n1 ping -c 1 -W 1 10.8.0.2 >/dev/null; do \
         n=$((n + 1)); [ $n -lt 30 ] || exit 1; done"
    );
    shell(&mut guest, &up)?;
    for options in [&[][..], &["--receive"]] {
        let mut command = Command::new(&ip);
        command.args(["netns", "exec", "n1", &program, "linux", "10.8.0.2"]);
        command.args(["--seconds", "0.5"]).args(options);
        let measured = json(&mut guest, &command)?;
        assert!(number(&measured, "bytes")? >= 65_536.0, "{measured}");
    }
    let complaints = guest.shell("cat /tmp/served", LIMIT)?;
    assert!(complaints.stdout.is_empty(), "{complaints}");
    Ok(())
}

fn two_cards() -> Guest {
    Guest::new()
        .cpus(2)
        .memory(384)
        .e1000e(0)
        .e1000e(0)
        .module("e1000e")
        .program(ip())
}

/// busybox's ip(8) knows no namespaces, and its shell takes that for any `ip` without a
/// path.
fn ip() -> PathBuf {
    let places = ["/bin/ip", "/sbin/ip", "/usr/sbin/ip"];
    let place = places.into_iter().find(|place| Path::new(place).is_file());
    place.unwrap_or("/bin/ip").into()
}

fn shell(guest: &mut Running, line: &str) -> Outcome {
    let report = guest.shell(line, LIMIT)?;
    if report.success() {
        Ok(())
    } else {
        Err(format!("`{line}`: {report}").into())
    }
}

fn main() -> ExitCode {
    let mut arguments = libtest_mimic::Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = vec![
        trial(
            &Guest::new().module("nvme"),
            "qemu::linux_reads_an_nvme_disk",
            linux_reads_an_nvme_disk,
        ),
        trial(
            &two_cards(),
            "qemu::linux_streams_between_two_cards",
            linux_streams_between_two_cards,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}
