//! Back ends are replaced while connections run over their interface, in a network
//! namespace that this process makes for itself: a bridge of Linux's, and at its ports
//! whatever stands behind the interface.

mod common;
#[path = "common/patch.rs"]
mod patch;
#[path = "common/stream.rs"]
mod stream;

use common::{Outcome, netns};
use patch::{Patch, Plain};
use rump::iface::{Capabilities, Faults, IpNet, Link, Pair, Tap};
use rump::sysctl;
use std::time::Duration;
use stream::BothWays;

const HERE: &str = "10.1.4.1";
const THERE: &str = "10.1.4.2";
const HERE6: &str = "fd00:14::1";
const THERE6: &str = "fd00:14::2";

/// A TAP interface at the bridge.
fn tap() -> Result<Tap, Box<dyn std::error::Error>> {
    let tap = Tap::open("rumptap%d")?;
    netns::ip(&format!("link set {} master bridge up", tap.name()))?;
    Ok(tap)
}

fn make() -> Result<Link, Box<dyn std::error::Error>> {
    let kernel = common::boot();
    netns::ip("link add bridge type bridge forward_delay 0")?;
    netns::ip(&format!("address add {HERE}/24 dev bridge"))?;
    netns::ip(&format!("address add {HERE6}/64 dev bridge nodad"))?;
    netns::ip("link set bridge up")?;
    let link = kernel.attach(tap()?)?;
    link.add_address(IpNet::new(THERE.parse()?, 24)?)?;
    link.add_address(IpNet::new(THERE6.parse()?, 64)?)?;
    Ok(link)
}

/// What the kernel says that the interface can do, and does.
fn offloads(link: &Link) -> std::io::Result<(bool, bool)> {
    let Capabilities {
        possible: there,
        enabled: used,
        ..
    } = link.capabilities()?;
    assert_eq!(there, used);
    Ok((
        used & Capabilities::SEGMENTATION != 0,
        used & Capabilities::LARGE_RECEIVE != 0,
    ))
}

/// What a TAP can do, as far as the kernel tells.
fn all_offloads() -> (bool, bool) {
    let told = common::sends_large_segments();
    (told, told)
}

fn connections_outlive_back_ends() -> Outcome {
    let link = make()?;
    assert_eq!(offloads(&link)?, all_offloads());
    let streams = [BothWays::start(THERE)?, BothWays::start(THERE6)?];
    let advance = || streams.iter().for_each(|stream| stream.advance(1 << 20));
    advance();
    for round in 0..2 {
        // Another of the same kind; the old one goes away.
        drop(link.replace(tap()?)?);
        assert_eq!(offloads(&link)?, all_offloads());
        advance();

        // Nothing is left to it.
        let old = link.replace(Plain(tap()?))?;
        assert_eq!(offloads(&link)?, (false, false));
        advance();

        // The old one again.
        let plain = link.replace(old)?;
        assert_eq!(offloads(&link)?, all_offloads());
        advance();

        // One end of a cable, the other end of which is joined with what was there.
        let (near, far) = Pair::new();
        let patch = Patch::new(far, tap()?);
        drop(link.replace(near)?);
        assert_eq!(offloads(&link)?, all_offloads());
        advance();

        let slow = Faults::builder()
            .delay(Duration::from_millis(1), Duration::ZERO)
            .around(plain)?;
        drop(link.replace(slow)?);
        drop(patch);
        assert_eq!(offloads(&link)?, (false, false));
        advance();
        assert!(link.has_link() && link.error().is_none(), "round {round}");
    }
    assert_eq!(link.malformed(), 0);
    for stream in streams {
        stream.finish()?;
    }
    Ok(())
}

/// Back and forth as fast as it goes, with frames on their way through both.
fn in_quick_succession() -> Outcome {
    const ADDRESS: &str = "10.1.5.2";
    let kernel = common::boot();
    let (near, far) = Pair::new();
    let link = kernel.attach(near)?;
    let tap = Tap::open("quick%d")?;
    let name = tap.name().to_string();
    netns::ip(&format!("address add 10.1.5.1/24 dev {name}"))?;
    netns::ip(&format!("link set {name} up"))?;
    let _patch = Patch::new(far, tap);
    link.add_address(IpNet::new(ADDRESS.parse()?, 24)?)?;
    let stream = BothWays::start(ADDRESS)?;
    stream.advance(1 << 20);
    for _ in 0..200 {
        let pair = link.replace(Plain(Pair::new().0))?;
        drop(link.replace(pair)?);
    }
    assert_eq!(offloads(&link)?, all_offloads());
    assert!(link.has_link());
    stream.advance(1 << 20);
    stream.finish()?;
    Ok(())
}

/// A kernel does not forward unless it is told to; while it does, what comes is no longer
/// than what it could pass on.
fn forwarding_ends_large_segments() -> Outcome {
    const FORWARDING: &str = "net.inet.ip.forwarding";
    let tap = Tap::open("forward%d")?;
    let name = tap.name().to_string();
    let link = common::boot().attach(tap)?;
    netns::ip(&format!("address add 10.1.7.1/24 dev {name}"))?;
    netns::ip(&format!("link set {name} up"))?;
    link.add_address("10.1.7.2/24".parse()?)?;
    assert_eq!(sysctl::get(FORWARDING)?.number(), Some(0));
    assert_eq!(sysctl::get("net.inet6.ip6.forwarding")?.number(), Some(0));
    let large = || -> Result<u64, Box<dyn std::error::Error>> {
        let before = link.stats()?;
        let stream = BothWays::start("10.1.7.2")?;
        stream.advance(1 << 20);
        stream.finish()?;
        Ok(link.stats()?.rx_large - before.rx_large)
    };
    assert!(large()? > 10);
    sysctl::set(FORWARDING, 1)?;
    // The host hears of it with the first frame.
    let socket = std::net::UdpSocket::bind("10.1.7.1:0")?;
    socket.send_to(b"wake up", "10.1.7.2:9")?;
    std::thread::sleep(Duration::from_millis(50));
    let while_forwarding = large();
    sysctl::set(FORWARDING, 0)?;
    assert_eq!(while_forwarding?, 0);
    socket.send_to(b"wake up", "10.1.7.2:9")?;
    std::thread::sleep(Duration::from_millis(50));
    assert!(large()? > 10);
    Ok(())
}

fn lacking(test: &str) -> Option<&'static str> {
    test.ends_with("forwarding_ends_large_segments")
        .then_some("rump-lite does not forward")
}

fn main() {
    common::run_with_interfaces_of(
        [
            (
                "root::connections_outlive_back_ends",
                connections_outlive_back_ends,
            ),
            ("root::in_quick_succession", in_quick_succession),
            (
                "root::forwarding_ends_large_segments",
                forwarding_ends_large_segments,
            ),
        ],
        lacking,
    )
}
