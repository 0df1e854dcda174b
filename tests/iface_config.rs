//! Interfaces, addresses, routes and neighbours, as the kernel is told and tells.

mod common;

use common::{Outcome, netns};
use rump::Errno;
use rump::iface::link::{Backend, Batch, Piece, Transmit};
use rump::iface::neighbor;
use rump::iface::route::{self, Gateway};
use rump::iface::{Error, Interface, IpNet, Link, LinkState, Pair, Tap};
use rump::net::{TcpListener, TcpStream, UdpSocket};
use std::io::{Read, Write};
use std::net::IpAddr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// What these tests need, and rump-lite has not.
fn lacking(test: &str) -> Option<&'static str> {
    match test.rsplit("::").next()? {
        "statistics_count" | "neighbors" => Some("rump-lite has no neighbours that are set"),
        "duplicates_are_detected" | "simultaneous_probes" | "unique_addresses_are_had" => {
            Some("rump-lite does not look for duplicates")
        }
        "clones" => Some("rump-lite has no interfaces that can be cloned"),
        _ => None,
    }
}

fn main() {
    let tests: [common::Test; 17] = [
        ("config::names", names),
        ("config::loopback_is_there", loopback_is_there),
        ("config::addresses_come_and_go", addresses_come_and_go),
        ("config::wrong_addresses", wrong_addresses),
        ("config::mtu", mtu),
        ("config::up_and_down", up_and_down),
        ("config::statistics_count", statistics_count),
        ("config::routes_come_and_go", routes_come_and_go),
        ("config::wrong_routes", wrong_routes),
        (
            "config::addresses_that_have_routes",
            addresses_that_have_routes,
        ),
        ("root::traffic_takes_a_route", traffic_takes_a_route),
        ("config::neighbors", neighbors),
        ("root::duplicates_are_detected", duplicates_are_detected),
        ("config::simultaneous_probes", simultaneous_probes),
        ("config::unique_addresses_are_had", unique_addresses_are_had),
        ("netbsd::clones", clones),
        ("config::many_interfaces", many_interfaces),
    ];
    common::run_with_interfaces_of(tests, lacking);
}

/// Two interfaces of the kernel, joined.
fn joined() -> Result<(Link, Link), Box<dyn std::error::Error>> {
    let kernel = common::boot();
    let (one, other) = Pair::new();
    Ok((kernel.attach(one)?, kernel.attach(other)?))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a net")
}

fn has(interface: &Interface, wanted: &str) -> bool {
    let addresses = interface.addresses().unwrap_or_default();
    addresses.iter().any(|address| address.net() == net(wanted))
}

fn names() -> Outcome {
    common::boot();
    for wrong in ["", "lo", "a name0", "sixteen-letters0", "l\x000"] {
        let error = Interface::named(wrong).unwrap_err();
        assert!(matches!(error, Error::Name { .. }), "{error}");
    }
    let error = Interface::named("vif99").unwrap_err();
    assert!(
        error.to_string().contains("no interface vif99 (it has lo0"),
        "{error}"
    );
    assert_eq!(error.errno(), Some(Errno::ENXIO));
    Ok(())
}

fn loopback_is_there() -> Outcome {
    common::boot();
    let lo0 = Interface::named("lo0")?;
    assert!(Interface::list()?.contains(&lo0));
    assert!(lo0.is_loopback()? && lo0.is_up()?);
    assert!(lo0.index()? > 0);
    assert_eq!(lo0.hardware_address()?, None);
    assert!(
        has(&lo0, "127.0.0.1/8") && has(&lo0, "::1/128"),
        "{:?}",
        lo0.addresses()?
    );
    Ok(())
}

fn addresses_come_and_go() -> Outcome {
    let (one, _other) = joined()?;
    for address in [
        "10.5.0.1/24",
        "10.5.1.1/31",
        "10.5.2.1/32",
        "2001:db8:5::1/64",
        "fe80::5/64",
    ] {
        one.add_address(net(address))?;
        assert!(has(&one, address), "{address}: {:?}", one.addresses()?);
        let own = one.addresses()?;
        let own = own.iter().find(|own| own.net() == net(address));
        assert!(
            own.is_some_and(|own| own.is_ready()),
            "at once, without asking the link"
        );
        assert!(one.is_up()?, "an address turns it on");
        // It can be used.
        if !address.starts_with("fe80") {
            UdpSocket::bind((net(address).addr(), 0))?;
        }
        one.remove_address(net(address).addr())?;
        assert!(!has(&one, address));
        assert!(UdpSocket::bind((net(address).addr(), 0)).is_err());
    }
    // The same address with another net.
    one.add_address(net("10.5.3.1/24"))?;
    one.add_address(net("10.5.3.1/16"))?;
    assert!(has(&one, "10.5.3.1/16") && !has(&one, "10.5.3.1/24"));
    Ok(())
}

fn wrong_addresses() -> Outcome {
    let (one, _other) = joined()?;
    let error = one.remove_address(ip("10.6.0.1")).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EADDRNOTAVAIL), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(one.name()) && text.contains("10.6.0.1"),
        "{text}"
    );
    let error = one.remove_address(ip("2001:db8:6::1")).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EADDRNOTAVAIL), "{error}");
    assert!(one.add_address(net("ff02::1/64")).is_err(), "a group");
    let gone = Interface::named(one.name())?;
    drop(one);
    let error = gone.add_address(net("10.6.0.1/24")).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENXIO), "{error}");
    assert!(matches!(gone.addresses(), Err(Error::Absent { .. })));
    Ok(())
}

fn mtu() -> Outcome {
    let (one, other) = joined()?;
    assert_eq!(one.mtu()?, 1500);
    for mtu in [576, 9000, 65_535, 1500] {
        one.set_mtu(mtu)?;
        assert_eq!(one.mtu()?, mtu);
    }
    for wrong in [0, 67, 65_536, u32::MAX] {
        let error = one.set_mtu(wrong).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EINVAL), "{error}");
        assert!(error.to_string().contains(&wrong.to_string()), "{error}");
    }
    assert_eq!((one.mtu()?, other.mtu()?), (1500, 1500));
    Ok(())
}

fn up_and_down() -> Outcome {
    let (one, other) = joined()?;
    assert!(!one.is_up()?);
    one.set_up(true)?;
    assert!(one.is_up()? && !other.is_up()?);
    one.set_up(false)?;
    assert!(!one.is_up()?);
    assert_eq!(
        one.link_state()?,
        LinkState::Up,
        "of the cable, whatever its users want"
    );
    drop(other);
    let began = Instant::now();
    while one.link_state()? != LinkState::Down {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "its other end is gone"
        );
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn statistics_count() -> Outcome {
    let (one, other) = joined()?;
    other.set_up(true)?;
    one.add_address(net("10.7.0.1/24"))?;
    // So that nobody has to be asked for.
    neighbor::add(&one, ip("10.7.0.2"), [2, 0, 0, 0, 0, 9])?;
    let before = one.statistics()?;
    let socket = UdpSocket::bind("10.7.0.1:0")?;
    for _ in 0..10 {
        socket.send_to(&[7; 100], "10.7.0.2:9")?;
    }
    let after = one.statistics()?;
    assert_eq!(after.sent - before.sent, 10);
    // 100 bytes of data, 8 of UDP, 20 of IP, 14 of Ethernet.
    assert_eq!(after.sent_bytes - before.sent_bytes, 10 * 142);
    assert_eq!(after.send_errors, before.send_errors);
    let names: Vec<&str> = after.iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"received") && names.contains(&"sent_bytes"));
    Ok(())
}

/// One test has routes to everywhere for a moment, another relies on there being none.
static EVERYWHERE: Mutex<()> = Mutex::new(());

fn routes_come_and_go() -> Outcome {
    let _alone = EVERYWHERE.lock()?;
    let (one, _other) = joined()?;
    one.add_address(net("10.8.0.1/24"))?;
    one.add_address(net("2001:db8:8::1/64"))?;
    for (destination, router) in [
        ("10.80.0.0/16", "10.8.0.2"),
        ("10.81.2.3/32", "10.8.0.2"),
        ("2001:db8:80::/48", "2001:db8:8::2"),
        ("0.0.0.0/0", "10.8.0.2"),
        ("::/0", "2001:db8:8::2"),
    ] {
        let (destination, router) = (net(destination), ip(router));
        let gateway = Gateway::Router(router);
        route::add(destination, &gateway)?;
        let listed = |gateway: &Gateway| -> Result<bool, Error> {
            let routes = route::list()?;
            let found = routes.iter().find(|route| route.destination == destination);
            Ok(found.is_some_and(|route| {
                route.gateway == *gateway
                    && route.is_static
                    && route.interface.as_deref() == Some(one.name())
            }))
        };
        assert!(listed(&gateway)?, "{destination}: {:#?}", route::list()?);
        let error = route::add(destination, &gateway).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EEXIST), "{error}");
        // What is in the net goes there.
        let way = route::get(destination.addr())?;
        assert_eq!((way.destination, &way.gateway), (destination, &gateway));
        assert!(way.to_string().contains(&router.to_string()), "{way}");
        let third = match router {
            IpAddr::V4(_) => ip("10.8.0.3"),
            IpAddr::V6(_) => ip("2001:db8:8::3"),
        };
        route::replace(destination, &Gateway::Router(third))?;
        assert!(listed(&Gateway::Router(third))?, "{destination}");
        route::remove(destination)?;
        assert!(!listed(&Gateway::Router(third))?, "{destination}");
    }
    // Straight onto the link.
    let gateway = Gateway::Link(one.name().into());
    route::add(net("10.82.0.0/16"), &gateway)?;
    assert_eq!(route::get(ip("10.82.1.1"))?.gateway, gateway);
    route::remove(net("10.82.0.0/16"))?;
    // The net of an address is there by itself.
    assert_eq!(route::get(ip("10.8.0.77"))?.destination, net("10.8.0.0/24"));
    Ok(())
}

/// Linux is the router, and the host behind it too.
fn traffic_takes_a_route() -> Outcome {
    let link = common::boot().attach(Tap::open("route0")?)?;
    for address in ["10.23.0.1/24 dev route0", "10.24.0.1/32 dev lo"] {
        netns::ip(&format!("address add {address}"))?;
    }
    for address in ["2001:db8:23::1/64 dev route0", "2001:db8:24::1/128 dev lo"] {
        netns::ip(&format!("address add {address} nodad"))?;
    }
    netns::ip("link set route0 up")?;
    netns::ip("link set lo up")?;
    for (own, behind, router, far) in [
        ("10.23.0.2/24", "10.24.0.0/16", "10.23.0.1", "10.24.0.1"),
        (
            "2001:db8:23::2/64",
            "::/0",
            "2001:db8:23::1",
            "2001:db8:24::1",
        ),
    ] {
        link.add_address(net(own))?;
        let own = net(own).addr();
        let there = std::net::TcpListener::bind((ip(far), 0))?;
        let unreachable = TcpStream::connect(there.local_addr()?).unwrap_err();
        assert_eq!(unreachable.kind(), std::io::ErrorKind::HostUnreachable);
        route::add(net(behind), &Gateway::Router(ip(router)))?;

        let mut client = TcpStream::connect(there.local_addr()?)?;
        let (mut server, peer) = there.accept()?;
        assert_eq!(peer.ip(), own);
        client.write_all(&[7; 100_000])?;
        let mut received = vec![0; 100_000];
        server.read_exact(&mut received)?;
        // The other way, begun from there.
        let here = TcpListener::bind((own, 0))?;
        let far_end = thread::spawn({
            let to = here.local_addr()?;
            move || std::net::TcpStream::connect(to)
        });
        here.accept()?;
        far_end.join().map_err(|_| "the client panicked")??;

        // A datagram comes back, and one to nobody is refused.
        let outside = std::net::UdpSocket::bind((ip(far), 0))?;
        outside.set_read_timeout(Some(Duration::from_secs(5)))?;
        let inside = UdpSocket::bind((own, 0))?;
        inside.send_to(b"over there", outside.local_addr()?)?;
        assert_eq!(outside.recv_from(&mut received)?.1, inside.local_addr()?);
        let nobody = inside.local_addr()?;
        drop(inside);
        outside.connect(nobody)?;
        outside.send(b"anybody?")?;
        let refused = outside.recv(&mut received).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        route::remove(net(behind))?;
    }
    Ok(())
}

fn wrong_routes() -> Outcome {
    let _alone = EVERYWHERE.lock()?;
    common::boot();
    let router = |text| Gateway::Router(ip(text));
    let error = route::remove(net("10.90.0.0/16")).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ESRCH), "{error}");
    let error = route::add(net("10.90.0.0/16"), &router("10.91.0.1")).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENETUNREACH), "{error}");
    assert!(error.to_string().contains("10.90.0.0/16"), "{error}");
    let error = route::get(ip("10.92.0.1")).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ESRCH), "{error}");
    let error = route::add(net("10.90.0.0/16"), &Gateway::Link("vif98".into())).unwrap_err();
    assert!(error.to_string().contains("no interface vif98"), "{error}");
    Ok(())
}

/// An address whose route is there before it comes, and cannot be made again.
fn addresses_that_have_routes() -> Outcome {
    let (one, other) = joined()?;
    one.add_address(net("10.15.0.1/24"))?;
    one.add_address(net("2001:db8:15::1/64"))?;
    for (route, router, address) in [
        ("10.16.0.0/24", "10.15.0.2", "10.16.0.1/24"),
        ("10.16.1.1/32", "10.15.0.2", "10.16.1.1/24"),
        ("2001:db8:16::1/128", "2001:db8:15::2", "2001:db8:16::1/64"),
    ] {
        for _ in 0..10 {
            route::add(net(route), &Gateway::Router(ip(router)))?;
            one.add_address(net(address))?;
            assert!(has(&one, address), "{address}: {:?}", one.addresses()?);
            // Addresses that come next do not get its memory.
            other.add_address(net("2001:db8:17::1/64"))?;
            other.add_address(net("10.17.0.1/24"))?;
            assert!(has(&one, address), "{address}: {:?}", one.addresses()?);
            other.remove_address(ip("2001:db8:17::1"))?;
            other.remove_address(ip("10.17.0.1"))?;
            one.remove_address(net(address).addr())?;
            // It went with the address, or is still there.
            let _ = route::remove(net(route));
        }
    }
    Ok(())
}

fn neighbors() -> Outcome {
    let (one, _other) = joined()?;
    one.add_address(net("10.9.0.1/24"))?;
    one.add_address(net("2001:db8:9::1/64"))?;
    for address in ["10.9.0.2", "2001:db8:9::2"] {
        let address = ip(address);
        let known = |hardware: Option<[u8; 6]>| -> Result<bool, Error> {
            let all = neighbor::list()?;
            let found = all.iter().find(|neighbor| neighbor.address == address);
            Ok(
                found.map(|neighbor| neighbor.hardware) == hardware.map(Some)
                    && found
                        .is_none_or(|neighbor| neighbor.interface.as_deref() == Some(one.name())),
            )
        };
        assert!(known(None)?);
        neighbor::add(&one, address, [2, 3, 4, 5, 6, 7])?;
        assert!(known(Some([2, 3, 4, 5, 6, 7]))?, "{:#?}", neighbor::list()?);
        neighbor::remove(&one, address)?;
        assert!(known(None)?, "{:#?}", neighbor::list()?);
    }
    Ok(())
}

/// Linux has the addresses already.
fn duplicates_are_detected() -> Outcome {
    let kernel = common::boot();
    let link = kernel.attach(Tap::open("taken0")?)?;
    netns::ip("address add 10.10.0.1/24 dev taken0")?;
    netns::ip("address add 2001:db8:10::1/64 dev taken0 nodad")?;
    netns::ip("link set taken0 up")?;
    for address in ["10.10.0.1/24", "2001:db8:10::1/64"] {
        let error = link.add_unique_address(net(address)).unwrap_err();
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
        assert!(error.to_string().contains(link.name()), "{error}");
        assert!(!has(&link, address), "it was removed again");
    }
    Ok(())
}

/// A host on the link asks for the same address at the same time, as its neighbour
/// solicitation says (RFC 4862, 5.4.3): it comes back as if from that host.
fn simultaneous_probes() -> Outcome {
    let (end, cable) = Pair::new();
    let one = common::boot().attach(end)?;
    thread::scope(|scope| -> Outcome {
        let detection = scope.spawn(|| one.add_unique_address(net("2001:db8:18::1/64")));
        let mut batch = Batch::new(rump_sys::hyper::vif::Pool::new(0));
        let mut probes = 0;
        while !detection.is_finished() && probes == 0 {
            cable
                .receive(0, &mut batch)
                .map_err(|it| format!("{it:?}"))?;
            for frame in batch.take_all() {
                let mut bytes = frame.bytes().to_vec();
                // IPv6 from nobody, ICMPv6, neighbour solicitation.
                let probe = bytes.len() >= 62
                    && bytes[12..14] == [0x86, 0xdd]
                    && bytes[22..38] == [0; 16]
                    && (bytes[20], bytes[54]) == (58, 135);
                if probe {
                    bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 0x18]);
                    // With a nonce of its own (RFC 7527), and the same checksum.
                    if bytes.len() >= 86 && bytes[78..80] == [14, 1] {
                        bytes[80..86].rotate_left(2);
                    }
                    let piece = [Piece::new(&bytes)];
                    let sent = cable.send(0, &[Transmit::new(&piece, frame.offload)]);
                    assert_eq!(sent, Ok(1));
                    probes += 1;
                }
            }
        }
        let result = detection.join().map_err(|_| "the detection panicked")?;
        assert!(matches!(result, Err(Error::Conflict { .. })), "{result:?}");
        Ok(())
    })?;
    assert!(!has(&one, "2001:db8:18::1/64"));
    Ok(())
}

fn unique_addresses_are_had() -> Outcome {
    let (one, other) = joined()?;
    other.set_up(true)?;
    for (address, meanwhile) in [
        ("10.11.0.1/24", "10.11.2.1/24"),
        ("2001:db8:11::1/64", "2001:db8:11:2::1/64"),
    ] {
        let meanwhile = net(meanwhile);
        thread::scope(|scope| -> Outcome {
            let detection = scope.spawn(|| one.add_unique_address(net(address)));
            // Others do not wait for theirs.
            while !detection.is_finished() {
                other.add_address(meanwhile)?;
                let own = other.addresses()?;
                let own = own.iter().find(|own| own.net() == meanwhile);
                assert!(own.is_some_and(|own| own.is_ready()), "{own:?}");
                other.remove_address(meanwhile.addr())?;
                thread::sleep(Duration::from_millis(10));
            }
            Ok(detection.join().map_err(|_| "the detection panicked")??)
        })?;
        assert!(has(&one, address));
        // And nobody is made to wait afterwards.
        let began = Instant::now();
        one.add_address(net("10.11.1.1/24"))?;
        UdpSocket::bind("10.11.1.1:0")?;
        one.remove_address(ip("10.11.1.1"))?;
        assert!(began.elapsed() < Duration::from_millis(500));
    }
    Ok(())
}

fn clones() -> Outcome {
    common::boot();
    let lo7 = Interface::create("lo7")?;
    assert!(Interface::list()?.contains(&lo7) && lo7.is_loopback()?);
    let error = Interface::create("lo7").unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EEXIST), "{error}");
    lo7.add_address(net("10.12.0.1/32"))?;
    let listener = TcpListener::bind("10.12.0.1:0")?;
    let address = listener.local_addr()?;
    let client = thread::spawn(move || TcpStream::connect(address)?.write_all(b"clone"));
    let mut text = String::new();
    listener.accept()?.0.read_to_string(&mut text)?;
    client.join().map_err(|_| "the client panicked")??;
    assert_eq!(text, "clone");
    lo7.destroy()?;
    assert!(Interface::named("lo7").is_err());
    let error = Interface::create("nosuch0").unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EINVAL), "{error}");
    Ok(())
}

/// More than what the list has room for at first.
fn many_interfaces() -> Outcome {
    let kernel = common::boot();
    let links = (0..40)
        .map(|_| kernel.attach(Pair::new().0))
        .collect::<Result<Vec<Link>, _>>()?;
    for (number, link) in links.iter().enumerate() {
        link.add_address(net(&format!("10.13.{number}.1/24")))?;
        link.add_address(net(&format!("10.14.{number}.1/24")))?;
    }
    let all = Interface::list()?;
    for (number, link) in links.iter().enumerate() {
        assert!(all.iter().any(|interface| interface.name() == link.name()));
        assert!(has(link, &format!("10.13.{number}.1/24")), "{link:?}");
    }
    Ok(())
}
