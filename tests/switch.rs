//! `rump::switch`: interfaces that move to a path of their own and back under load, in a
//! network namespace that this process makes for itself.

#[path = "common/bridge.rs"]
mod bridge;
mod common;
#[path = "common/crowd.rs"]
mod crowd;
#[path = "common/patch.rs"]
mod patch;
#[path = "common/stream.rs"]
mod stream;

use bridge::{Net, advance, finish};
use common::{Outcome, netns};
use crowd::Crowd;
use patch::Patch;
use rump::iface::{IpNet, Link, Packet, Pair, Shm, Splice, Tap};
use rump::switch::{Error, Path, Policy, Server, Switch};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stream::BothWays;

fn lacking(test: &str) -> Option<&'static str> {
    test.ends_with("splice")
        .then_some("rump-lite has no interfaces that are spliced over others")
}

fn main() {
    common::run_with_interfaces_in_turn(
        [
            ("root::tap_and_tap", tap_and_tap),
            ("root::tap_and_packet", tap_and_packet),
            ("root::tap_and_splice", tap_and_splice),
            ("root::cable_and_tap", cable_and_tap),
            ("root::a_thousand_connections", a_thousand_connections),
            ("root::two_at_the_same_time", two_at_the_same_time),
            ("root::orders", orders),
            ("root::a_policy", a_policy),
            (
                "root::the_server_is_asked_and_told",
                the_server_is_asked_and_told,
            ),
            ("root::nothing_comes_twice", nothing_comes_twice),
            ("root::what_cannot_be", what_cannot_be),
            (
                "root::a_direct_path_that_is_lost",
                a_direct_path_that_is_lost,
            ),
        ],
        lacking,
    );
}

/// How often interfaces move in a row.
fn rounds(short: usize, long: usize) -> usize {
    match std::env::var_os("RUMP_TEST_LONG") {
        Some(_) => long,
        None => short,
    }
}

fn wait(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// For a function that opens a direct path.
fn text(error: Box<dyn std::error::Error>) -> io::Error {
    io::Error::other(error.to_string())
}

/// Moves it back and forth under load; nothing is reset, nothing is wrong.
fn back_and_forth(net: &Net, switch: &Switch, rounds: usize) -> Outcome {
    let streams = net.streams()?;
    let crowd = Crowd::start(&[net.v4(), net.v6()], 50)?;
    let before = switch.status().switches;
    for round in 0..rounds {
        for path in [Path::Direct, Path::Shared] {
            assert!(switch.to(path)?, "{path}, round {round}");
            assert_eq!(switch.path(), path);
            assert!(!switch.to(path)?);
            advance(&streams, 32 << 10);
        }
    }
    let status = switch.status();
    assert_eq!(status.switches - before, 2 * rounds as u64);
    assert_eq!((status.failures, &status.error), (0, &None));
    let link = switch.link();
    assert!(link.has_link() && link.error().is_none() && link.malformed() == 0);
    assert_eq!(crowd.finish(), [] as [String; 0]);
    finish(streams)?;
    Ok(())
}

fn tap_and_tap() -> Outcome {
    let net = Arc::new(Net::new()?);
    let there = Arc::clone(&net);
    let switch = Switch::builder(Arc::new(net.upper()?))
        .direct(move || there.tap().map_err(text))
        .build()?;
    back_and_forth(&net, &switch, rounds(4, 500))
}

fn tap_and_packet() -> Outcome {
    let net = Net::new()?;
    netns::ip("link add direct0 type veth peer name direct1")?;
    netns::ip(&format!("link set direct1 master {} up", net.bridge))?;
    netns::ip("link set direct0 up")?;
    let switch = Switch::builder(Arc::new(net.upper()?))
        .direct(|| Packet::open("direct0"))
        .build()?;
    back_and_forth(&net, &switch, rounds(4, 100))
}

fn tap_and_splice() -> Outcome {
    let net = Net::new()?;
    let lower = net.lower()?;
    let name = lower.name().to_owned();
    let switch = Switch::builder(Arc::new(net.upper()?))
        .direct(move || Ok(Splice::over(&name)?))
        .build()?;
    back_and_forth(&net, &switch, rounds(4, 500))
}

/// What is shared is a cable to another program.
fn cable_and_tap() -> Outcome {
    let net = Arc::new(Net::new()?);
    let (near, far) = UnixStream::pair()?;
    let (near, far) = (Shm::offer(near)?, Shm::accept(far)?);
    let _patch = Patch::new(far, net.tap()?);
    let link = common::boot().attach(near)?;
    link.add_address(IpNet::new(net.v4().parse()?, 24)?)?;
    link.add_address(IpNet::new(net.v6().parse()?, 64)?)?;
    let there = Arc::clone(&net);
    let switch = Switch::builder(Arc::new(link))
        .direct(move || there.tap().map_err(text))
        .build()?;
    back_and_forth(&net, &switch, rounds(4, 100))
}

fn a_thousand_connections() -> Outcome {
    let net = Net::new()?;
    let direct = Arc::new(net.tap()?);
    let switch = Switch::builder(Arc::new(net.upper()?))
        .direct(move || Ok(Arc::clone(&direct)))
        .build()?;
    let crowd = Crowd::start(&[net.v4(), net.v6()], 1000)?;
    let stream = BothWays::start(&net.v4())?;
    let (without, ()) = crowd.during(Duration::from_secs(2), || ());
    let rounds = rounds(20, 500);
    let (with, ended) = crowd.during(Duration::from_secs(2), || {
        for _ in 0..rounds {
            switch.to(Path::Direct)?;
            switch.to(Path::Shared)?;
        }
        Ok::<_, Error>(())
    });
    ended?;
    println!("{} switches: {with:?}; without: {without:?}", 2 * rounds);
    assert_eq!(switch.status().switches, 2 * rounds as u64);
    stream.advance(1 << 20);
    stream.finish()?;
    assert_eq!(crowd.finish(), [] as [String; 0]);
    Ok(())
}

fn two_at_the_same_time() -> Outcome {
    std::thread::scope(|scope| {
        let both = [(); 2].map(|()| {
            scope.spawn(|| {
                let net = Arc::new(Net::new().map_err(text)?);
                let there = Arc::clone(&net);
                let switch = Switch::builder(Arc::new(net.upper().map_err(text)?))
                    .direct(move || there.tap().map_err(text))
                    .build()?;
                back_and_forth(&net, &switch, rounds(3, 50)).map_err(|failed| {
                    io::Error::other(failed.message().unwrap_or("failed").to_owned())
                })
            })
        });
        both.into_iter()
            .try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    Ok(())
}

fn orders() -> Outcome {
    let net = Net::new()?;
    let direct = Arc::new(net.tap()?);
    let switch = Switch::builder(Arc::new(net.upper()?))
        .direct(move || Ok(Arc::clone(&direct)))
        .build()?;
    let orders = switch.orders();
    let stream = BothWays::start(&net.v4())?;
    for path in [Path::Direct, Path::Shared, Path::Direct] {
        assert!(orders.go(path) && orders.go(path));
        wait("the order is followed", || switch.path() == path);
        stream.advance(64 << 10);
    }
    assert_eq!(switch.status().switches, 3);
    stream.finish()?;
    drop(switch);
    assert!(!orders.go(Path::Shared));
    Ok(())
}

fn a_policy() -> Outcome {
    let net = Net::new()?;
    let direct = Arc::new(net.tap()?);
    let policy = Policy::new(200, 50)?
        .above(Duration::from_millis(300))
        .below(Duration::from_millis(500));
    let switch = Switch::builder(Arc::new(net.upper()?))
        .direct(move || Ok(Arc::clone(&direct)))
        .policy(policy)
        .build()?;
    for _ in 0..2 {
        let stream = BothWays::start(&net.v4())?;
        wait("it has much to do", || switch.path() == Path::Direct);
        assert!(switch.status().rate.is_some_and(|rate| rate >= 200.0));
        stream.advance(1 << 20);
        stream.finish()?;
        wait("it has nothing to do", || switch.path() == Path::Shared);
    }
    assert_eq!(switch.status().switches, 4);
    assert!(matches!(Policy::new(1, 1), Err(Error::Policy { .. })));
    Ok(())
}

/// Notes what it is asked and told, and refuses what it is to.
#[derive(Default)]
struct Told {
    calls: Mutex<Vec<String>>,
    refuse: Mutex<Option<&'static str>>,
}

impl Told {
    fn note(&self, what: String) -> io::Result<()> {
        let refused = self.refuse.lock().unwrap().is_some_and(|call| call == what);
        self.calls.lock().unwrap().push(what);
        if refused {
            Err(rump::Errno::EBUSY.into())
        } else {
            Ok(())
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

impl Server for Told {
    fn may_leave(&self) -> io::Result<()> {
        self.note("may leave".into())
    }

    fn moved(&self, path: Path) -> io::Result<()> {
        self.note(path.to_string())
    }
}

fn the_server_is_asked_and_told() -> Outcome {
    let net = Net::new()?;
    let told = Arc::new(Told::default());
    let direct = Arc::new(net.tap()?);
    let switch = Switch::builder(Arc::new(net.upper()?))
        .direct(move || Ok(Arc::clone(&direct)))
        .server(told.clone())
        .build()?;
    let refuse = |what| *told.refuse.lock().unwrap() = what;

    refuse(Some("may leave"));
    let error = switch.to(Path::Direct).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.to_string().contains("busy"), "{error}");
    assert_eq!(
        (switch.path(), told.take()),
        (Path::Shared, vec!["may leave".into()])
    );
    assert_eq!(switch.status().failures, 1);
    assert!(switch.status().error.is_some());

    // That it has left is only said.
    refuse(Some("direct"));
    assert!(switch.to(Path::Direct)?);
    assert_eq!(told.take(), ["may leave", "direct"]);

    refuse(Some("shared"));
    let error = switch.to(Path::Shared).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(
        (switch.path(), told.take()),
        (Path::Direct, vec!["shared".into()])
    );

    refuse(None);
    assert!(switch.to(Path::Shared)?);
    assert_eq!(told.take(), ["shared"]);
    assert_eq!(switch.status().error, None);
    let stream = BothWays::start(&net.v4())?;
    stream.advance(64 << 10);
    stream.finish()?;
    Ok(())
}

/// What is sent to all comes over both paths, and only the one that is used counts.
fn nothing_comes_twice() -> Outcome {
    const EACH: usize = 20;
    let net = Net::new()?;
    let direct = Arc::new(net.tap()?);
    let switch = Switch::builder(Arc::new(net.upper()?))
        .direct(move || Ok(Arc::clone(&direct)))
        .build()?;
    let inside = rump::net::UdpSocket::bind("0.0.0.0:5353")?;
    inside.set_read_timeout(Some(Duration::from_millis(300)))?;
    let outside = std::net::UdpSocket::bind("0.0.0.0:0")?;
    outside.set_broadcast(true)?;
    let all = format!("10.2.{}.255:5353", net.number);
    let mut number = 0u32;
    for path in [Path::Direct, Path::Shared, Path::Direct, Path::Shared] {
        for _ in 0..EACH {
            number += 1;
            outside.send_to(&number.to_ne_bytes(), &all)?;
            let mut told = [0; 4];
            inside.recv(&mut told)?;
            assert_eq!(u32::from_ne_bytes(told), number, "before {path}");
        }
        switch.to(path)?;
        let late = inside.recv(&mut [0; 4]);
        assert!(late.is_err(), "{path}: there was one more");
    }
    Ok(())
}

fn what_cannot_be() -> Outcome {
    let net = Net::new()?;
    let link = Arc::new(net.upper()?);
    let stays = |switch: &Switch| -> io::Result<Error> {
        let error = switch.to(Path::Direct).unwrap_err();
        assert_eq!(switch.path(), Path::Shared);
        let stream = BothWays::start(&net.v4())?;
        stream.advance(64 << 10);
        stream.finish()?;
        println!("{error}");
        Ok(error)
    };
    let without = Switch::builder(link.clone()).build()?;
    assert!(matches!(stays(&without)?, Error::NoDirect { .. }));

    let closed = Switch::builder(link.clone())
        .direct(|| Packet::open("nosuch0"))
        .build()?;
    assert!(matches!(stays(&closed)?, Error::Open { .. }));

    // Its other end is gone.
    let unplugged = Switch::builder(link.clone())
        .direct(|| Ok(Pair::new().0))
        .link_within(Duration::from_millis(50))
        .build()?;
    assert!(matches!(stays(&unplugged)?, Error::NoLink { .. }));

    let itself = link.name().to_owned();
    if rump_sys::kernel::KIND == rump_sys::kernel::Kind::Netbsd {
        let circle = Switch::builder(link.clone())
            .direct(move || Ok(Splice::over(&itself)?))
            .build()?;
        stays(&circle)?;
    }
    Ok(())
}

/// Its interface is deleted under it: the connections go on over the shared path.
fn a_direct_path_that_is_lost() -> Outcome {
    let net = Arc::new(Net::new()?);
    let name = Arc::new(Mutex::new(String::new()));
    let (there, opened) = (Arc::clone(&net), Arc::clone(&name));
    let switch = Switch::builder(Arc::new(net.upper()?))
        .direct(move || {
            let tap: Tap = there.tap().map_err(text)?;
            *opened.lock().unwrap() = tap.name().to_owned();
            Ok(tap)
        })
        .build()?;
    let stream = BothWays::start(&net.v4())?;
    for _ in 0..2 {
        switch.to(Path::Direct)?;
        stream.advance(64 << 10);
        netns::ip(&format!("link delete {}", name.lock().unwrap()))?;
        wait("it is back", || switch.path() == Path::Shared);
        let link: &Arc<Link> = switch.link();
        wait("it has a link", || link.has_link());
        stream.advance(64 << 10);
    }
    stream.finish()?;
    Ok(())
}
