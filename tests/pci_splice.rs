//! An interface that is spliced over a network card of a guest's, and back to a TAP interface,
//! while connections run over it. Linux is at the other end: a bridge with another card of the
//! same hub and with the TAP interface, so that either way leads there.

#[path = "pci/guest.rs"]
mod guest;
#[path = "common/stream.rs"]
mod stream;

use guest::{Result, busybox, vfio};
use rump::iface::{Backend, IpNet, Link, Splice, Tap};
use rump::{Kernel, pci};
use rump_testbed::{Guest, Outcome, inside};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stream::BothWays;

/// How often it goes there and back.
const TURNS: usize = 10;
/// What each side receives between two changes.
const BYTES: u64 = 1 << 18;

/// Linux's bridge, over its card and a TAP interface.
fn bridge() -> Result<Tap> {
    let card = guest::linux_card(&inside::devices()?[1].address)?;
    // That of the test before, if there was one.
    let _ = busybox(&["ip", "link", "set", "bridge0", "down"]);
    let _ = busybox(&["brctl", "delbr", "bridge0"]);
    busybox(&["brctl", "addbr", "bridge0"])?;
    let tap = Tap::open("tap0")?;
    for port in [&*card, "tap0"] {
        busybox(&["brctl", "addif", "bridge0", port])?;
        busybox(&["ip", "link", "set", port, "up"])?;
    }
    busybox(&["ip", "addr", "add", "10.9.0.2/24", "dev", "bridge0"])?;
    busybox(&["ip", "link", "set", "bridge0", "up"])?;
    Ok(tap)
}

fn boot() -> Result<(Kernel, pci::Attached)> {
    let address = vfio(&inside::devices()?[0].address)?;
    let kernel = Kernel::builder().verbose(true).pci(address).boot()?;
    let attached = pci::attached().pop().ok_or("one card was to be attached")?;
    Ok((kernel, attached))
}

fn splice(lower: &str) -> Result<Splice> {
    let splice = Splice::over(lower)?;
    splice.wait_for_link(inside::patience(Duration::from_secs(20)))?;
    Ok(splice)
}

fn upper(kernel: &Kernel, backend: impl Backend + 'static) -> Result<Link> {
    let link = kernel.attach(backend)?;
    link.add_address("10.9.0.1/24".parse::<IpNet>()?)?;
    Ok(link)
}

fn connections_move_to_a_card_and_back() -> Outcome {
    let tap = bridge()?;
    let (kernel, attached) = boot()?;
    let link = upper(&kernel, tap)?;
    let streams = [BothWays::start("10.9.0.1")?, BothWays::start("10.9.0.1")?];
    let advance = || streams.iter().for_each(|stream| stream.advance(BYTES));
    advance();
    let mut longest = Duration::ZERO;
    let mut other: Arc<dyn Backend> = Arc::new(splice(&attached.name)?);
    for turn in 0..2 * TURNS {
        let began = Instant::now();
        other = link.replace(other)?;
        longest = longest.max(began.elapsed());
        let before = link.stats()?;
        advance();
        let after = link.stats()?;
        let spliced = [
            after.rx_spliced - before.rx_spliced,
            after.tx_spliced - before.tx_spliced,
        ];
        // Turns over the card are the even ones.
        let over = turn % 2 == 0;
        assert_eq!(
            spliced.map(|frames| frames > 0),
            [over; 2],
            "{turn}: {spliced:?}"
        );
        assert!(link.has_link() && link.error().is_none(), "{turn}");
    }
    println!("the longest of {} changes took {longest:?}", 2 * TURNS);
    for stream in streams {
        println!("{:?} bytes each way", stream.finish()?);
    }
    assert_eq!(link.malformed(), 0);
    drop(other);
    drop(link);
    kernel.detach_pci(&attached.name)?;
    Ok(())
}

fn a_card_is_taken_away_below_a_splice() -> Outcome {
    let tap = bridge()?;
    let (kernel, attached) = boot()?;
    let link = upper(&kernel, splice(&attached.name)?)?;
    let stream = BothWays::start("10.9.0.1")?;
    stream.advance(BYTES);
    kernel.remove_pci(&attached.name)?;
    assert!(!link.has_link() && link.error().is_some());
    drop(link.replace(tap)?);
    stream.advance(BYTES);
    stream.finish()?;
    Ok(())
}

fn main() -> ExitCode {
    let guest = Guest::new()
        .cpus(2)
        .memory(512)
        .module("e1000e")
        .module("tun")
        .module("bridge")
        .e1000e(0)
        .e1000e(0);
    let test = |name, body| guest::test(name, "wm", Duration::from_secs(240), body);
    rump_testbed::run(
        guest,
        [
            test(
                "qemu::connections_move_to_a_card_and_back",
                connections_move_to_a_card_and_back,
            ),
            test(
                "qemu::a_card_is_taken_away_below_a_splice",
                a_card_is_taken_away_below_a_splice,
            ),
        ],
    )
}
