//! A TCP stream through an emulated 82574L, to Linux on another of the same hub.

use super::{Bench, CPUS, RUN, Result, example, in_turn, number, rates};
use crate::Outcome;
use crate::comparison::{Better, Harness, Subject};
use rump_testbed::Guest;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The benchmarks here.
pub const NAMES: &[&str] = &["nic/wm-stream", "nic/attach"];

/// The addresses of the card that is measured, and of the one at the other end.
const NEAR: &str = "10.8.0.1";
const FAR: &str = "10.8.0.2";

/// Runs them.
pub fn card(harness: &mut Harness) -> Outcome {
    let mut cards = Cards::start()?;
    let turns = in_turn(&mut cards, Cards::netbsd, Cards::linux)?;
    let mut stream = Subject::new("nic/wm-stream", "MiB/s", Better::More);
    stream.rival_is = Some("Linux e1000e, same guest");
    let mebibytes = |turns: &[Value]| rates(turns, "bytes", f64::from(1 << 20));
    let (ours, rival) = (mebibytes(&turns.ours)?, mebibytes(&turns.rival)?);
    harness.write(&stream, turns.kernel()?, Some(CPUS), &ours, Some(&rival))?;
    let mut attach = Subject::new("nic/attach", "s", Better::Less);
    attach.note = Some("until the first answer over TCP, the link included".into());
    let ours = turns.ours.iter().map(|run| number(run, "attach"));
    let ours = ours.collect::<Result<Vec<_>>>()?;
    harness.write(&attach, turns.kernel()?, Some(CPUS), &ours, None)
}

/// A guest whose second card is Linux's in a network namespace, with a server.
struct Cards {
    bench: Bench,
    ip: String,
    program: String,
    /// Where the card is that is measured.
    address: String,
}

impl Cards {
    fn start() -> Result<Self> {
        let (ip, program) = (ip(), example("nic_bench")?);
        let guest = Guest::new()
            .cpus(CPUS)
            .memory(512)
            .e1000e(0)
            .e1000e(0)
            .module("e1000e")
            .program(&ip)
            .program(&program);
        let [near, far] = &guest.places()[..] else {
            return Err("two devices have two places".into());
        };
        let mut cards = Self {
            bench: Bench(guest.boot()?),
            ip: ip.display().to_string(),
            program: program.display().to_string(),
            address: near.address.clone(),
        };
        cards.give_to_linux(&far.address, "far", FAR)?;
        let serve = format!(
            "{} netns exec far '{}' serve {FAR} >/dev/null 2>&1 &",
            cards.ip, cards.program
        );
        cards.bench.shell(&serve)?;
        Ok(cards)
    }

    fn netbsd(&mut self) -> Result<Value> {
        self.bench.0.bind(&self.address, "vfio-pci")?;
        let mut command = Command::new(&self.program);
        command.args(["rump", FAR, "--card", &self.address]);
        command.args(["--address", &format!("{NEAR}/24"), "--seconds", RUN]);
        command.args(["--cpus", &CPUS.to_string()]);
        // QEMU 7.2's 82574L does not forget an overrun while it has a table (MSI-X): wm(4) is told
        // of it at every interrupt, and asks for two others.
        command.args(["--interrupts", "message"]);
        self.bench.measured(&command)
    }

    fn linux(&mut self) -> Result<Value> {
        let address = self.address.clone();
        self.give_to_linux(&address, "near", NEAR)?;
        self.bench.shell(&format!(
            "n=0; until {} netns exec near ping -c 1 -W 1 {FAR} >/dev/null; do \
             n=$((n + 1)); [ $n -lt 30 ] || exit 1; done",
            self.ip
        ))?;
        let mut command = Command::new(&self.ip);
        command.args(["netns", "exec", "near", &self.program]);
        command.args(["linux", FAR, "--seconds", RUN]);
        self.bench.measured(&command)
    }

    /// Linux's driver has the card, in a namespace of this name, with this address.
    fn give_to_linux(&mut self, card: &str, namespace: &str, address: &str) -> Outcome {
        self.bench.0.bind(card, "e1000e")?;
        let ip = &self.ip;
        let line = format!(
            "name=$(ls /sys/bus/pci/devices/{card}/net) && \
             {{ {ip} netns add {namespace} 2>/dev/null || true; }} && \
             {ip} link set $name netns {namespace} name card && \
             {ip} -n {namespace} address add {address}/24 dev card && \
             {ip} -n {namespace} link set card up"
        );
        // A card that is Linux's already is in its namespace.
        let there = format!("{ip} -n {namespace} link show card >/dev/null 2>&1 || {{ {line}; }}");
        self.bench.shell(&there).map(|_| ())
    }
}

/// busybox's knows no namespaces.
fn ip() -> PathBuf {
    let places = ["/bin/ip", "/sbin/ip", "/usr/sbin/ip"];
    let place = places.into_iter().find(|place| Path::new(place).is_file());
    place.unwrap_or("/bin/ip").into()
}
