//! A network server that owns a network card of a guest's, through NetBSD's wm(4) and VFIO: a
//! kernel behind it goes to a card of its own and back while connections run over it, by itself
//! and when the server orders it, and the server is killed, and replaced in an orderly way.
//! Linux has a third card of the same hub. Every byte is compared.

#[path = "pci/guest.rs"]
mod guest;
#[path = "common/netns.rs"]
mod netns;
#[path = "common/server.rs"]
mod server;
#[path = "common/stream.rs"]
mod stream;

use guest::{Result, vfio};
use rump::iface::{Link, Splice};
use rump::switch::{Path, Switch};
use rump::{Kernel, pci};
use rump_server::messages::Request;
use rump_testbed::{Guest, Outcome, inside};
use server::Server;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stream::BothWays;

/// How often it goes to a card of its own and back, and how often the server is killed.
const TURNS: usize = 3;
const KILLS: usize = 3;
/// What each side receives between two changes.
const BYTES: u64 = 1 << 17;
const HOST: &str = "10.9.0.1";
const PATIENCE: Duration = Duration::from_secs(120);

/// The kernel with a card of its own, and its name.
fn boot() -> Result<(Kernel, String)> {
    let began = Instant::now();
    let address = vfio(&inside::devices()?[1].address)?;
    let kernel = Kernel::builder().pci(address).boot()?;
    let name = pci::attached()
        .pop()
        .ok_or("one card was to be attached")?
        .name;
    Splice::over(&name)?.wait_for_link(PATIENCE)?;
    println!(
        "a kernel with a card that has a link is there within {:?}",
        began.elapsed()
    );
    Ok((kernel, name))
}

/// What went over the interface's own card since.
fn spliced(link: &Link, before: &mut [u64; 2]) -> Result<[u64; 2]> {
    let stats = link.stats()?;
    let now = [stats.rx_spliced, stats.tx_spliced];
    let passed = [now[0] - before[0], now[1] - before[1]];
    *before = now;
    Ok(passed)
}

fn wait(what: &str, mut happened: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !happened() {
        if start.elapsed() > PATIENCE {
            return Err(what.into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn connections_outlive_a_server_with_a_card() -> Outcome {
    let devices = inside::devices()?;
    vfio(&devices[0].address)?;
    guest::host_nic(&devices[2].address, "10.9.0.2/24")?;
    let nic = format!("pci = \"{}\"\ndriver = \"wm\"", devices[0].address);
    let hosts = format!("[[host]]\nname = \"one\"\naddresses = [\"{HOST}/24\"]\n");
    let server = Server::over(&nic, &hosts)?;
    let (kernel, name) = boot()?;
    let cable = rump::server::Cable::builder(server.place())
        .label("first")
        .connect()?;
    let link = Arc::new(cable.attach(&kernel)?);
    wait("the server's card has a link", || {
        server.status().is_ok_and(|status| status.nics[0].link)
    })?;
    let streams = [BothWays::start(HOST)?, BothWays::start(HOST)?];
    let advance = || streams.iter().for_each(|stream| stream.advance(BYTES));
    advance();

    let switch = Switch::builder(Arc::clone(&link))
        .direct(move || Ok(Splice::over(&name)?))
        .server(Arc::new(cable.clone()))
        .link_within(PATIENCE)
        .build()?;
    cable.obey(switch.orders());
    let mut before = [0; 2];
    for turn in 0..TURNS {
        for path in [Path::Direct, Path::Shared] {
            if turn % 2 == 0 {
                switch.to(path)?;
            } else {
                server.request(&Request::Switch {
                    application: "first".into(),
                    direct: path == Path::Direct,
                })?;
                wait("the order is obeyed", || switch.status().path == path)?;
            }
            spliced(&link, &mut before)?;
            advance();
            let over = spliced(&link, &mut before)?;
            assert_eq!(
                over.map(|frames| frames > 0),
                [path == Path::Direct; 2],
                "{turn} {path}"
            );
            assert!(link.has_link() && link.error().is_none(), "{turn} {path}");
        }
    }
    println!("{} switches", switch.status().switches);

    let mut gaps = Vec::new();
    for _ in 0..KILLS {
        let connected = cable.reconnections();
        server.kill_worker()?;
        let killed = Instant::now();
        wait("the server is there again", || {
            cable.reconnections() > connected
        })?;
        let served = killed.elapsed();
        let progress = streams[0].progress();
        wait("frames pass again", || {
            let now = streams[0].progress();
            now[0] > progress[0] && now[1] > progress[1]
        })?;
        gaps.push((served, killed.elapsed()));
        advance();
    }
    gaps.sort();
    println!("killed {KILLS} times; served again, and data both ways, after {gaps:?}");
    server.request(&Request::Upgrade { program: None })?;
    advance();
    assert_eq!(
        cable.reconnections(),
        KILLS as u64,
        "an upgrade is not noticed"
    );
    for stream in streams {
        println!("{:?} bytes each way", stream.finish()?);
    }
    let dropped = server.status()?.applications[0].counters.dropped.clone();
    println!("dropped: {dropped:?}");
    Ok(())
}

fn main() -> ExitCode {
    if let Some(code) = server::run_if_asked() {
        return code;
    }
    let guest = Guest::new()
        .cpus(2)
        .memory(768)
        .module("e1000e")
        .file("/etc/passwd", "/etc/passwd")
        .e1000e(0)
        .e1000e(0)
        .e1000e(0);
    let test = |name, body| guest::test(name, "wm", Duration::from_secs(600), body);
    rump_testbed::run(
        guest,
        [test(
            "qemu::connections_outlive_a_server_with_a_card",
            connections_outlive_a_server_with_a_card,
        )],
    )
}
