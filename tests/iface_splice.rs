//! Interfaces over others of the same kernel, in a network namespace that this process makes
//! for itself: a bridge of Linux's, with TAP interfaces at its ports. The interface below
//! is one over such a TAP, in the place of a network card.

#[path = "common/bridge.rs"]
mod bridge;
mod common;
#[path = "common/patch.rs"]
mod patch;
#[path = "common/stream.rs"]
mod stream;

use bridge::{Net, Result, advance, finish};
use common::Outcome;
use patch::Plain;
use rump::Errno;
use rump::iface::link::Batch;
use rump::iface::splice::Error;
use rump::iface::{Backend, Capabilities, Interface, IpNet, Link, Pair, Splice, Tee};
use rump_sys::hyper::vif::Pool;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn connections_move() -> Outcome {
    let net = Net::new()?;
    let (link, lower) = (net.upper()?, net.lower()?);
    let (everything, address) = (link.capabilities()?, link.hardware_address()?);
    let streams = net.streams()?;
    advance(&streams, 1 << 20);
    for round in 0..3 {
        let before = link.stats()?;
        let tap = link.replace(Splice::over(lower.name())?)?;
        assert_eq!(link.capabilities()?, everything, "those of the lower");
        advance(&streams, 1 << 20);
        let after = link.stats()?;
        assert!(after.rx_spliced > before.rx_spliced, "{before:?} {after:?}");
        assert!(after.tx_spliced > before.tx_spliced, "{before:?} {after:?}");
        assert!(after.tx_large > before.tx_large, "{before:?} {after:?}");
        assert!(after.rx_large > before.rx_large, "{before:?} {after:?}");
        let counted = link.backend().statistics();
        assert!(counted.sent > 0 && counted.received > 0, "{counted:?}");
        assert!(link.has_link() && link.error().is_none(), "round {round}");
        assert_eq!(link.hardware_address()?, address);

        drop(link.replace(tap)?);
        assert!(!lower.is_up()?, "as it was before");
        let before = link.stats()?;
        advance(&streams, 1 << 20);
        let after = link.stats()?;
        assert_eq!(after.tx_spliced, before.tx_spliced);
        assert_eq!(after.rx_spliced, before.rx_spliced);
    }
    finish(streams)?;
    Ok(())
}

/// Made over another from the start, and never over anything else.
fn made_over_another() -> Outcome {
    let net = Net::new()?;
    let lower = net.lower()?;
    let link = Link::builder()
        .address(lower.hardware_address()?.ok_or("no address")?)
        .attach(common::boot(), Splice::over(lower.name())?)?;
    link.add_address(IpNet::new(net.v4().parse()?, 24)?)?;
    link.add_address(IpNet::new(net.v6().parse()?, 64)?)?;
    let streams = net.streams()?;
    advance(&streams, 4 << 20);
    finish(streams)?;
    drop(link);
    assert!(!lower.is_up()?);
    // The lower one is free again.
    lower.add_address(IpNet::new(net.v4().parse()?, 24)?)?;
    lower.add_address(IpNet::new(net.v6().parse()?, 64)?)?;
    let streams = net.streams()?;
    advance(&streams, 1 << 20);
    finish(streams)?;
    Ok(())
}

/// Back and forth under load, with a new one each time and with the same.
fn two_hundred_times() -> Outcome {
    let net = Net::new()?;
    let (link, lower) = (net.upper()?, net.lower()?);
    let streams = net.streams()?;
    advance(&streams, 1 << 20);
    let mut longest = Duration::ZERO;
    for round in 0..200 {
        let began = Instant::now();
        let tap = link.replace(Splice::over(lower.name())?)?;
        longest = longest.max(began.elapsed());
        if round % 10 == 0 {
            advance(&streams, 1 << 18);
        }
        drop(link.replace(tap)?);
        if round % 10 == 5 {
            advance(&streams, 1 << 18);
        }
    }
    let mut other: std::sync::Arc<dyn Backend> = std::sync::Arc::new(Splice::over(lower.name())?);
    for _ in 0..200 {
        other = link.replace(other)?;
    }
    drop(other);
    advance(&streams, 1 << 20);
    println!("the longest of 200 replacements took {longest:?}");
    finish(streams)?;
    assert_eq!(link.malformed(), 0);
    Ok(())
}

/// The lower interface does less than was asked for by frames that are there already.
fn frames_are_finished() -> Outcome {
    let net = Net::new()?;
    let (link, lower) = (net.upper()?, net.lower()?);
    drop(link.replace(Splice::over(lower.name())?)?);
    let all = lower.capabilities()?.possible;
    let streams = net.streams()?;
    advance(&streams, 1 << 20);
    for left in [0, Capabilities::CHECKSUMS_OUT, all] {
        lower.set_capabilities(left)?;
        assert_ne!(link.capabilities()?.enabled & Capabilities::SEGMENTATION, 0);
        let before = link.stats()?;
        advance(&streams, 4 << 20);
        let after = link.stats()?;
        assert!(after.tx_large > before.tx_large);
        let finished = after.tx_finished - before.tx_finished;
        assert_eq!(finished > 0, left != all, "{finished} finished");
    }
    finish(streams)?;

    // And UDP's checksums, which Linux counts where they are wrong.
    lower.set_capabilities(0)?;
    for (here, there) in [
        (net.v4(), format!("10.2.{}.1", net.number)),
        (net.v6(), format!("fd00:2:{}::1", net.number)),
    ] {
        let outside = std::net::UdpSocket::bind(stream::at(&there, 0))?;
        outside.set_read_timeout(Some(Duration::from_secs(5)))?;
        let inside = rump::net::UdpSocket::bind(stream::at(&here, 0))?;
        for length in [0, 1, 1000, 1001] {
            let data = stream::data(length);
            let before = link.stats()?.tx_finished;
            inside.send_to(&data, outside.local_addr()?)?;
            let mut buffer = [0; 2000];
            let (received, from) = outside.recv_from(&mut buffer)?;
            assert_eq!((&buffer[..received], from), (&*data, inside.local_addr()?));
            assert!(link.stats()?.tx_finished > before);
        }
    }
    Ok(())
}

/// What is behind the lower interface is replaced, too.
fn capabilities_follow() -> Outcome {
    let net = Net::new()?;
    let (link, lower) = (net.upper()?, net.lower()?);
    drop(link.replace(Splice::over(lower.name())?)?);
    let streams = net.streams()?;
    let used = || -> Result<u64> { Ok(link.capabilities()?.enabled) };
    advance(&streams, 1 << 20);
    for _ in 0..3 {
        assert_ne!(used()? & Capabilities::SEGMENTATION, 0);
        let tap = lower.replace(Plain(net.tap()?))?;
        assert_eq!(used()?, 0);
        advance(&streams, 1 << 20);
        drop(lower.replace(tap)?);
        // What the driver of the lower can do again, is not used before it is turned on.
        lower.set_capabilities(lower.capabilities()?.possible)?;
        advance(&streams, 1 << 20);
        // What users of the upper one do not want, stays off.
        let some = used()? & Capabilities::CHECKSUMS_IN;
        link.set_capabilities(some)?;
        advance(&streams, 1 << 20);
        assert_eq!(used()?, some);
        link.set_capabilities(link.capabilities()?.possible)?;
        advance(&streams, 1 << 20);
    }
    finish(streams)?;
    Ok(())
}

fn mtu_follows() -> Outcome {
    let net = Net::new()?;
    let (link, lower) = (net.upper()?, net.lower()?);
    link.set_mtu(4000)?;
    let tap = link.replace(Splice::over(lower.name())?)?;
    assert_eq!(lower.mtu()?, 4000);
    link.set_mtu(9000)?;
    assert_eq!((link.mtu()?, lower.mtu()?), (9000, 9000));
    link.set_mtu(1500)?;
    assert_eq!((link.mtu()?, lower.mtu()?), (1500, 9000));
    drop(link.replace(tap)?);
    assert_eq!(lower.mtu()?, 1500, "as it was");
    Ok(())
}

fn groups_follow() -> Outcome {
    let net = Net::new()?;
    let (link, lower) = (net.upper()?, net.lower()?);
    let v4: Ipv4Addr = net.v4().parse()?;
    let (first, second) = (Ipv4Addr::new(239, 1, 2, 3), Ipv4Addr::new(239, 1, 2, 4));
    let third = "ff12::77".parse()?;
    let inside = rump::net::UdpSocket::bind("0.0.0.0:0")?;
    let inside6 = rump::net::UdpSocket::bind("[::]:0")?;
    inside.set_read_timeout(Some(Duration::from_millis(500)))?;
    inside6.set_read_timeout(Some(Duration::from_millis(500)))?;
    inside.join_multicast_v4(&first, &v4)?;
    inside6.join_multicast_v6(&third, link.index()?.into())?;
    let outside = std::net::UdpSocket::bind(format!("10.2.{}.1:0", net.number))?;
    let index = nix::net::if_::if_nametoindex(&*net.bridge)?;
    let outside6 = std::net::UdpSocket::bind("[::]:0")?;
    let number = std::cell::Cell::new(0_u32);
    let heard = |group: IpAddr, expected: bool| -> Outcome {
        // Switches flood: the same may come twice, to where the interface was and is.
        number.set(number.get() + 1);
        let message = number.get().to_ne_bytes();
        let (port, port6) = (inside.local_addr()?.port(), inside6.local_addr()?.port());
        let socket = match group {
            IpAddr::V4(group) => {
                outside.send_to(&message, (group, port))?;
                &inside
            }
            IpAddr::V6(group) => {
                let to = std::net::SocketAddrV6::new(group, port6, 0, index);
                outside6.send_to(&message, to)?;
                &inside6
            }
        };
        let mut buffer = [0; 4];
        let result = loop {
            match socket.recv(&mut buffer) {
                Ok(_) if buffer != message => {}
                result => break result,
            }
        };
        if result.is_ok() != expected {
            return Err(format!("{group}, {expected}: {result:?}").into());
        }
        Ok(())
    };
    heard(first.into(), true)?;
    heard(third.into(), true)?;
    let tap = link.replace(Splice::over(lower.name())?)?;
    heard(first.into(), true)?;
    heard(third.into(), true)?;
    heard(second.into(), false)?;
    inside.join_multicast_v4(&second, &v4)?;
    heard(second.into(), true)?;
    inside.leave_multicast_v4(&first, &v4)?;
    heard(first.into(), false)?;
    drop(link.replace(tap)?);
    heard(second.into(), true)?;
    heard(third.into(), true)?;
    Ok(())
}

fn the_link_follows() -> Outcome {
    let net = Net::new()?;
    let link = net.upper()?;
    let (near, far) = Pair::new();
    let lower = common::boot().attach(near)?;
    let splice = Splice::over(lower.name())?;
    splice.wait_for_link(Duration::from_secs(1))?;
    let tap = link.replace(splice)?;
    let until = |up: bool| -> Outcome {
        let began = Instant::now();
        while link.has_link() != up {
            if began.elapsed() > Duration::from_secs(5) {
                return Err(format!("link: {}", !up).into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    };
    until(true)?;
    drop(far);
    until(false)?;
    let (near, _far) = Pair::new();
    drop(lower.replace(near)?);
    until(true)?;
    let down = lower.replace({
        let (near, far) = Pair::new();
        drop(far);
        near
    })?;
    until(false)?;
    drop(link.replace(tap)?);
    until(true)?;
    // One without a link from the start.
    drop(down);
    let splice = Splice::over(lower.name())?;
    let waited = splice.wait_for_link(Duration::from_millis(20));
    assert!(matches!(waited, Err(Error::Lower(error)) if error.errno() == Some(Errno::ETIMEDOUT)));
    drop(link.replace(splice)?);
    until(false)?;
    assert_eq!(link.error(), None);
    Ok(())
}

/// It is taken out of the machine while connections run over it.
fn the_lower_is_removed() -> Outcome {
    let net = Net::new()?;
    let link = net.upper()?;
    let streams = net.streams()?;
    for round in 0..20 {
        let lower = net.lower()?;
        let tap = link.replace(Splice::over(lower.name())?)?;
        advance(&streams, 1 << 18);
        drop(lower);
        assert!(!link.has_link(), "round {round}");
        assert_eq!(link.error(), Some(Errno::ENXIO));
        let told = Interface::named(link.name())?;
        let began = Instant::now();
        while told.link_state()? != rump::iface::LinkState::Down {
            assert!(began.elapsed() < Duration::from_secs(5));
        }
        let drops = link.send_drops();
        std::thread::sleep(Duration::from_millis(2));
        assert!(link.send_drops() >= drops);
        drop(link.replace(tap)?);
        assert!(link.has_link() && link.error().is_none());
        advance(&streams, 1 << 18);
    }
    finish(streams)?;
    Ok(())
}

/// The upper one is removed, and the lower one while nobody sends over it any more.
fn removed_in_any_order() -> Outcome {
    let net = Net::new()?;
    for round in 0..30 {
        let (link, lower) = (net.upper()?, net.lower()?);
        let socket = rump::net::UdpSocket::bind(stream::at(&net.v4(), 0))?;
        let to = stream::at(&format!("10.2.{}.1", net.number), 9);
        drop(link.replace(Splice::over(lower.name())?)?);
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                // Until its address is gone.
                while !stop.load(Ordering::Relaxed) && socket.send_to(&[0; 1000], to).is_ok() {
                    std::hint::spin_loop()
                }
            });
            std::thread::sleep(Duration::from_millis(5));
            let (first, second) = if round % 2 == 0 {
                (link, lower)
            } else {
                (lower, link)
            };
            drop(first);
            drop(second);
            stop.store(true, Ordering::Relaxed);
            sending.join().unwrap();
        });
    }
    Ok(())
}

fn from_one_to_another() -> Outcome {
    let net = Net::new()?;
    let (link, one, other) = (net.upper()?, net.lower()?, net.lower()?);
    let streams = net.streams()?;
    let tap = link.replace(Splice::over(one.name())?)?;
    for _ in 0..20 {
        drop(link.replace(Splice::over(other.name())?)?);
        advance(&streams, 1 << 18);
        assert!(!one.is_up()? && other.is_up()?);
        drop(link.replace(Splice::over(one.name())?)?);
        advance(&streams, 1 << 18);
    }
    // Over one that is over another.
    let top = common::boot().attach(Pair::new().0)?;
    drop(one.replace(net.tap()?)?);
    assert!(matches!(
        Splice::over(link.name()),
        Err(Error::HasAddress { .. })
    ));
    drop(top);
    drop(link.replace(tap)?);
    advance(&streams, 1 << 18);
    finish(streams)?;
    Ok(())
}

/// Three of them, one over the other.
fn in_a_tower() -> Outcome {
    let net = Net::new()?;
    let (link, middle, bottom) = (net.upper()?, net.lower()?, net.lower()?);
    let streams = net.streams()?;
    let old = middle.replace(Splice::over(bottom.name())?)?;
    let tap = link.replace(Splice::over(middle.name())?)?;
    let before = (middle.stats()?, bottom.stats()?);
    advance(&streams, 1 << 20);
    let after = (middle.stats()?, bottom.stats()?);
    assert!(after.0.tx_spliced > before.0.tx_spliced);
    assert!(after.0.rx_spliced > before.0.rx_spliced);
    assert!(after.1.rx_frames > before.1.rx_frames);
    drop(middle.replace(old)?);
    advance(&streams, 1 << 20);
    drop(link.replace(tap)?);
    finish(streams)?;
    Ok(())
}

fn what_is_not_possible() -> Outcome {
    let net = Net::new()?;
    let kernel = common::boot();
    let (link, lower) = (net.upper()?, net.lower()?);
    let absent = Splice::over("wm77");
    assert!(matches!(&absent, Err(Error::Lower(_))), "{absent:?}");
    assert!(absent.unwrap_err().to_string().contains("wm77"));
    let lo = Splice::over("lo0");
    assert!(matches!(&lo, Err(Error::NotEthernet { .. })), "{lo:?}");
    let own = Splice::over(link.name());
    assert!(matches!(&own, Err(Error::HasAddress { .. })), "{own:?}");

    // Over itself, and in a circle.
    let (one, other) = (net.lower()?, net.lower()?);
    let circle = |result: io::Result<_>| {
        let error: io::Error = match result {
            Ok(_) => return false,
            Err(error) => error,
        };
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        matches!(inner, Some(Error::Circle { .. })) && error.kind() == io::ErrorKind::InvalidInput
    };
    assert!(circle(one.replace(Splice::over(one.name())?)));
    drop(one.replace(Splice::over(other.name())?)?);
    assert!(circle(other.replace(Splice::over(one.name())?)));

    // Two over one.
    let tap = link.replace(Splice::over(lower.name())?)?;
    let again = Splice::over(lower.name());
    assert!(matches!(&again, Err(Error::InUse { .. })), "{again:?}");
    assert_eq!(
        io::Error::from(again.unwrap_err()).kind(),
        io::ErrorKind::ResourceBusy
    );
    // The kernel itself says so of what was let go of without its knowing.
    drop(link.replace(tap)?);
    let splice = Splice::over(lower.name())?;
    lower.add_address("10.77.0.1/24".parse()?)?;
    let error = link.replace(splice).unwrap_err();
    assert!(error.to_string().contains("address"), "{error}");
    lower.remove_address("10.77.0.1".parse()?)?;

    // Nothing has changed.
    let streams = net.streams()?;
    advance(&streams, 1 << 18);
    finish(streams)?;

    // Inside of another one nothing comes to it.
    let inside = kernel.attach(Tee::new(Splice::over(lower.name())?, Vec::new())?)?;
    inside.set_up(true)?;
    let began = Instant::now();
    while inside.error() != Some(Errno::EOPNOTSUPP) {
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    assert!(!inside.has_link());
    Ok(())
}

/// The frames that have come to the other end of a cable, for a moment.
fn frames(end: &Pair) -> Vec<Vec<u8>> {
    let mut batch = Batch::new(Pool::new(0));
    let mut frames: Vec<Vec<u8>> = Vec::new();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(200) {
        end.wake();
        end.receive(0, &mut batch).unwrap();
        frames.extend(batch.take_all().iter().map(|frame| frame.bytes().to_vec()));
    }
    frames
}

fn addresses_are_announced() -> Outcome {
    let kernel = common::boot();
    let (near, _far) = Pair::new();
    let link = kernel.attach(near)?;
    link.add_address("10.3.0.2/24".parse()?)?;
    link.add_address("fd00:3::2/64".parse()?)?;
    let address = link.hardware_address()?.ok_or("no address")?;
    let announced = |frames: &[Vec<u8>], where_to: &str| {
        let of = |kind: [u8; 2], at: usize, wanted: &[u8]| {
            frames.iter().any(|frame| {
                frame.len() >= at + wanted.len()
                    && frame[6..12] == address
                    && frame[12..14] == kind
                    && frame[at..at + wanted.len()] == *wanted
            })
        };
        // Sender and target are the address.
        assert!(of([8, 6], 28, &[10, 3, 0, 2]), "{where_to}: {frames:?}");
        assert!(of([8, 6], 38, &[10, 3, 0, 2]), "{where_to}: {frames:?}");
        let v6 = "fd00:3::2".parse::<std::net::Ipv6Addr>().unwrap().octets();
        assert!(of([0x86, 0xdd], 62, &v6), "{where_to}: {frames:?}");
    };
    let (near, far) = Pair::new();
    let first = link.replace(near)?;
    announced(&frames(&far), "a cable");

    if rump_sys::kernel::KIND == rump_sys::kernel::Kind::Netbsd {
        let (near, far) = Pair::new();
        let lower = kernel.attach(near)?;
        let cable = link.replace(Splice::over(lower.name())?)?;
        announced(&frames(&far), "a splice");
        // Others' frames, which come to it now and are not the interface's.
        let before = link.stats()?;
        let mut foreign = [0_u8; 60];
        foreign[..6].copy_from_slice(&[2, 9, 9, 9, 9, 9]);
        let piece = [rump::iface::link::Piece::new(&foreign)];
        let frame = rump::iface::link::Transmit::new(&piece, Default::default());
        assert_eq!(far.send(0, &[frame]), Ok(1));
        std::thread::sleep(Duration::from_millis(20));
        let after = link.stats()?;
        assert_eq!(after.rx_frames, before.rx_frames);
        drop(link.replace(cable)?);
    }
    let (_near, far) = (link.replace(first)?, far);
    drop(far);
    Ok(())
}

fn lacking_in_rump_lite() -> Outcome {
    common::boot();
    let error = Splice::over("wm0").unwrap_err();
    if rump_sys::kernel::KIND != rump_sys::kernel::Kind::Lite {
        assert!(matches!(error, Error::Lower(_)));
        return Ok(());
    }
    let error = io::Error::from(error);
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let lacking: &rump::Lacking = inner.ok_or("not told as lacking")?;
    assert!(lacking.what().contains("spliced"));
    Ok(())
}

fn lacking(test: &str) -> Option<&'static str> {
    let both = ["addresses_are_announced", "lacking_in_rump_lite"];
    (!both.iter().any(|name| test.ends_with(name))).then_some("rump-lite has no other interfaces")
}

fn main() {
    common::run_with_interfaces_of(
        [
            ("root::connections_move", connections_move),
            ("root::made_over_another", made_over_another),
            ("root::two_hundred_times", two_hundred_times),
            ("root::frames_are_finished", frames_are_finished),
            ("root::capabilities_follow", capabilities_follow),
            ("root::mtu_follows", mtu_follows),
            ("root::groups_follow", groups_follow),
            ("root::the_link_follows", the_link_follows),
            ("root::the_lower_is_removed", the_lower_is_removed),
            ("root::removed_in_any_order", removed_in_any_order),
            ("root::from_one_to_another", from_one_to_another),
            ("root::in_a_tower", in_a_tower),
            ("root::what_is_not_possible", what_is_not_possible),
            ("addresses_are_announced", addresses_are_announced),
            ("lacking_in_rump_lite", lacking_in_rump_lite),
        ],
        lacking,
    )
}
