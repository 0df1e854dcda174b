//! The kernel's interfaces over such as Linux has already: one end of a veth pair is the
//! kernel's, and the other Linux's, in a network namespace that this process makes for
//! itself.

mod common;
#[path = "common/stream.rs"]
mod stream;

use common::{Outcome, netns};
use rump::Errno;
use rump::iface::link::{Batch, Offload, Piece, Transmit};
use rump::iface::{Backend, Link, Packet};
use std::time::{Duration, Instant};
use stream::{BothWays, at, data};

/// Linux has the address that ends in 1 at one end, the kernel that in 2 at the other.
fn veth(number: u8) -> Result<Packet, Box<dyn std::error::Error>> {
    netns::ip(&format!(
        "link add near{number} type veth peer name far{number}"
    ))?;
    netns::ip(&format!("address add 10.5.{number}.1/24 dev far{number}"))?;
    netns::ip(&format!(
        "address add fd00:5:{number}::1/64 dev far{number} nodad"
    ))?;
    netns::ip(&format!("link set far{number} up"))?;
    netns::ip(&format!("link set near{number} up"))?;
    Ok(Packet::open(&format!("near{number}"))?)
}

fn link(number: u8) -> Result<Link, Box<dyn std::error::Error>> {
    interface_at(number, veth(number)?)
}

fn interface_at(number: u8, packet: Packet) -> Result<Link, Box<dyn std::error::Error>> {
    let link = common::boot().attach(packet)?;
    link.add_address(format!("10.5.{number}.2/24").parse()?)?;
    link.add_address(format!("fd00:5:{number}::2/64").parse()?)?;
    Ok(link)
}

fn transfers() -> Outcome {
    let link = link(1)?;
    assert!(link.has_link());
    for address in ["10.5.1.2", "fd00:5:1::2"] {
        let stream = BothWays::start(address)?;
        stream.advance(4 << 20);
        stream.finish()?;
    }
    // With veth's offloads, segments are not cut up on their way.
    let stats = link.stats()?;
    let sent = stats.tx_large > 100 || !common::sends_large_segments();
    assert!(stats.rx_large > 100 && sent, "{stats:?}");
    let counts = link.backend().statistics();
    assert!(counts.received > 100 && counts.sent > 100, "{counts:?}");
    assert_eq!(link.malformed(), 0);
    Ok(())
}

/// The kernel wants no offloads; what Linux brings as it pleases is finished here.
fn without_offloads() -> Outcome {
    let link = link(2)?;
    link.set_capabilities(0)?;
    let stream = BothWays::start("10.5.2.2")?;
    stream.advance(1 << 20);
    stream.finish()?;
    let stats = link.stats()?;
    assert_eq!((stats.rx_large, stats.tx_large), (0, 0), "{stats:?}");
    Ok(())
}

fn wait(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn links_come_and_go() -> Outcome {
    let link = link(3)?;
    let works = || -> Outcome {
        let stream = BothWays::start("10.5.3.2")?;
        stream.advance(64 << 10);
        stream.finish()?;
        Ok(())
    };
    works()?;
    // By an administrator, and by the other end.
    for end in ["near3", "far3"] {
        netns::ip(&format!("link set {end} down"))?;
        wait("the link is lost", || !link.has_link());
        assert_eq!(link.error(), None);
        netns::ip(&format!("link set {end} up"))?;
        wait("the link is back", || link.has_link());
        let bind = || rump::net::UdpSocket::bind(at("10.5.3.2", 0));
        wait("the address is back", || bind().is_ok());
        works()?;
    }
    netns::ip("link delete far3")?;
    wait("the interface is gone", || link.error().is_some());
    assert_eq!(link.error(), Some(Errno::ENXIO));
    wait("the link is lost", || !link.has_link());
    Ok(())
}

fn what_cannot_be_opened() -> Outcome {
    let errno = |name: &str| Packet::open(name).unwrap_err().raw_os_error();
    assert_eq!(errno("nothere"), Some(libc::ENODEV));
    for name in ["", "longer-than-names-are", "with\0zero"] {
        let error = Packet::open(name).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    let error = Packet::open("lo").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    Ok(())
}

/// Tags of VLANs, which Linux keeps elsewhere, are where they were on the wire.
fn tags_are_kept() -> Outcome {
    let packet = veth(4)?;
    let mut sent = vec![0xff; 12];
    sent.extend([0x81, 0x00, 0x00, 0x07, 0x88, 0xb5]);
    sent.extend(data(100));
    let pieces = [Piece::new(&sent)];
    let frame = Transmit::new(&pieces, Offload::default());
    assert_eq!(Packet::open("far4")?.send(0, &[frame]), Ok(1));
    let mut batch = Batch::new(rump_sys::hyper::vif::Pool::new(0));
    let start = Instant::now();
    while !batch.take_all().iter().any(|frame| frame.bytes() == sent) {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "it does not come"
        );
        let came = packet.receive(0, &mut batch);
        came.map_err(|error| format!("{error:?}"))?;
    }
    Ok(())
}

fn lacking(test: &str) -> Option<&'static str> {
    test.ends_with("without_offloads")
        .then_some("rump-lite has no capabilities of interfaces that can be set")
}

fn main() {
    common::run_with_interfaces_of(
        [
            ("root::transfers", transfers),
            ("root::without_offloads", without_offloads),
            ("root::links_come_and_go", links_come_and_go),
            ("root::what_cannot_be_opened", what_cannot_be_opened),
            ("root::tags_are_kept", tags_are_kept),
        ],
        lacking,
    )
}
