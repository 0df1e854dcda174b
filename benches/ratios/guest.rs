//! In a Linux guest with devices (`rump-testbed`): NetBSD's driver over VFIO beside Linux's
//! own, in turn on the same device of the same guest.
//!
//! Both sides are programs that run in the guest, an example of this repository each, and
//! tell what they have measured and checked as a line of JSON.

use crate::Outcome;
use crate::comparison::{Better, Harness, RUNS, Subject, target};
use rump_testbed::{Guest, Running};
use serde_json::Value;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The benchmarks here.
pub const NAMES: &[&str] = &["nic/wm-stream", "nic/attach"];

/// How long a command in the guest may take.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a stream runs, in seconds.
const RUN: &str = "2";
/// Virtual CPUs of the guest, and of the kernel in it.
const CPUS: usize = 2;

/// The addresses of the card that is measured, and of the one at the other end.
const NEAR: &str = "10.8.0.1";
const FAR: &str = "10.8.0.2";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Two 82574L on one hub.
pub fn cards(harness: &mut Harness) -> Outcome {
    let mut cards = Cards::start()?;
    let (mut streams, mut attachments, mut rivals) = (Vec::new(), Vec::new(), Vec::new());
    let mut kernel = String::new();
    // The first run of each side warms it up.
    for run in 0..=RUNS {
        let ours = cards.netbsd()?;
        let rival = cards.linux()?;
        if run == 0 {
            continue;
        }
        streams.push(rate(&ours)?);
        rivals.push(rate(&rival)?);
        attachments.push(number(&ours, "attach")?);
        kernel = ours["kernel"].as_str().unwrap_or_default().into();
    }
    let mut stream = Subject::new("nic/wm-stream", "MiB/s", Better::More);
    stream.rival_is = Some("Linux e1000e, same guest");
    harness.write(&stream, &kernel, Some(CPUS), &streams, Some(&rivals))?;
    let mut attach = Subject::new("nic/attach", "s", Better::Less);
    attach.note = Some("until the first answer over TCP, link included".into());
    harness.write(&attach, &kernel, Some(CPUS), &attachments, None)
}

/// A guest whose second card is Linux's in a network namespace, with a server.
struct Cards {
    guest: Running,
    ip: String,
    program: String,
    /// Where the card is that is measured.
    address: String,
}

impl Cards {
    fn start() -> Result<Self> {
        let (ip, program) = (ip(), example("nic_bench")?);
        let description = Guest::new()
            .cpus(CPUS)
            .memory(512)
            .e1000e(0)
            .e1000e(0)
            .module("e1000e")
            .program(&ip)
            .program(&program);
        let [near, far] = &description.places()[..] else {
            return Err("two devices have two places".into());
        };
        let mut cards = Self {
            guest: description.boot()?,
            ip: ip.display().to_string(),
            program: program.display().to_string(),
            address: near.address.clone(),
        };
        cards.give_to_linux(&far.address, "far", FAR)?;
        let serve = format!(
            "{} netns exec far '{}' serve {FAR} >/dev/null 2>&1 &",
            cards.ip, cards.program
        );
        cards.shell(&serve)?;
        Ok(cards)
    }

    fn netbsd(&mut self) -> Result<Value> {
        self.guest.bind(&self.address, "vfio-pci")?;
        let mut command = Command::new(&self.program);
        command.args(["rump", FAR, "--card", &self.address]);
        command.args(["--address", &format!("{NEAR}/24"), "--seconds", RUN]);
        command.args(["--cpus", &CPUS.to_string()]);
        self.measured(&command)
    }

    fn linux(&mut self) -> Result<Value> {
        let address = self.address.clone();
        self.give_to_linux(&address, "near", NEAR)?;
        self.shell(&format!(
            "n=0; until {} netns exec near ping -c 1 -W 1 {FAR} >/dev/null; do \
             n=$((n + 1)); [ $n -lt 30 ] || exit 1; done",
            self.ip
        ))?;
        let mut command = Command::new(&self.ip);
        command.args(["netns", "exec", "near", &self.program]);
        command.args(["linux", FAR, "--seconds", RUN]);
        self.measured(&command)
    }

    /// Linux's driver has the card, in a namespace of this name, with this address.
    fn give_to_linux(&mut self, card: &str, namespace: &str, address: &str) -> Outcome {
        self.guest.bind(card, "e1000e")?;
        let ip = &self.ip;
        let line = format!(
            "name=$(ls /sys/bus/pci/devices/{card}/net) && \
             ( {ip} netns add {namespace} 2>/dev/null; \
             {ip} link set $name netns {namespace} name card ) && \
             {ip} -n {namespace} address add {address}/24 dev card && \
             {ip} -n {namespace} link set card up"
        );
        self.shell(&line)
    }

    fn shell(&mut self, line: &str) -> Outcome {
        let report = self.guest.shell(line, LIMIT)?;
        if report.success() {
            return Ok(());
        }
        Err(format!("`{line}` in the guest: {report}").into())
    }

    /// Runs a side; a fault of the IOMMU is a failure, too.
    fn measured(&mut self, command: &Command) -> Result<Value> {
        let report = self.guest.run(command, LIMIT)?;
        if !report.success() || !report.faults().is_empty() {
            return Err(format!("{command:?} in the guest: {report}").into());
        }
        Ok(serde_json::from_slice(&report.stdout)?)
    }
}

fn number(measured: &Value, name: &str) -> Result<f64> {
    let number = measured[name].as_f64();
    number.ok_or_else(|| format!("no {name} in {measured}").into())
}

fn rate(measured: &Value) -> Result<f64> {
    let bytes = number(measured, "bytes")? / f64::from(1 << 20);
    Ok(bytes / number(measured, "seconds")?)
}

/// busybox's knows no namespaces.
fn ip() -> PathBuf {
    let places = ["/bin/ip", "/sbin/ip", "/usr/sbin/ip"];
    let place = places.into_iter().find(|place| Path::new(place).is_file());
    place.unwrap_or("/bin/ip").into()
}

/// What `cargo build --release --examples` makes.
fn example(name: &str) -> Result<PathBuf> {
    let program = target().join("release/examples").join(name);
    if program.is_file() {
        return Ok(program);
    }
    let program = program.display();
    Err(format!("no {program}: cargo build --release --examples makes it").into())
}
