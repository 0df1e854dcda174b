//! Whose frames are whose.

use crate::Outcome;
use crate::bare::{Bare, LINUX, LINUX6, PATIENCE, Server, linux, port};
use rump_ring::control::Protocol::{Tcp, Udp};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub fn shared_address() -> Outcome {
    let server = Server::start("");
    let (a, b) = (server.bare("one", "a"), server.bare("one", "b"));
    assert_eq!(a.welcome.mac, b.welcome.mac);
    assert_ne!(a.welcome.ports, b.welcome.ports);
    assert_eq!(a.claim(Udp, "0.0.0.0", 4000), 0);
    // EADDRINUSE, EADDRNOTAVAIL as NetBSD numbers them.
    assert_eq!(b.claim(Udp, "10.9.0.2", 4000), 48);
    assert_eq!(b.claim(Udp, "10.9.0.3", 4001), 49);
    assert_eq!(b.claim(Udp, "10.9.0.2", 4001), 0);
    assert_eq!(b.claim(Tcp, "0.0.0.0", 4000), 0);
    let socket = linux(LINUX);
    let lease = *b.welcome.ports.start();
    for (to, owner, other) in [(4000, &a, &b), (4001, &b, &a), (lease, &b, &a)] {
        let text = format!("to {to}");
        socket.send_to(text.as_bytes(), ("10.9.0.2", to))?;
        let datagram = owner.next();
        assert_eq!((datagram.to.1, &datagram.data[..]), (to, text.as_bytes()));
        other.nothing();
        owner.send(&owner.datagram(("10.9.0.2", to), (LINUX, port(&socket)), b"back"));
        let mut bytes = [0; 100];
        let (len, from) = socket.recv_from(&mut bytes)?;
        assert_eq!((&bytes[..len], from.port()), (&b"back"[..], to));
    }
    Ok(())
}

pub fn several_addresses() -> Outcome {
    let server = Server::start("");
    let (a, b) = (server.bare("one", "a"), server.bare("two", "b"));
    assert_ne!(a.welcome.mac, b.welcome.mac);
    assert_eq!(
        (a.claim(Udp, "0.0.0.0", 53), b.claim(Udp, "0.0.0.0", 53)),
        (0, 0)
    );
    let socket = linux(LINUX);
    for (address, owner, other) in [("10.9.0.2", &a, &b), ("10.9.0.3", &b, &a)] {
        socket.send_to(address.as_bytes(), (address, 53))?;
        assert_eq!(owner.next().data, address.as_bytes());
        other.nothing();
    }
    Ok(())
}

pub fn ipv6() -> Outcome {
    let server = Server::start("");
    let (a, b) = (server.bare("one", "a"), server.bare("one", "b"));
    assert_eq!(
        (a.claim(Udp, "::", 4000), b.claim(Udp, "fd09::2", 4001)),
        (0, 0)
    );
    let socket = linux(LINUX6);
    for (to, owner, other) in [(4000, &a, &b), (4001, &b, &a)] {
        socket.send_to(b"six", ("fd09::2", to))?;
        assert_eq!(owner.next().to.1, to);
        other.nothing();
        // Linux takes it only with the checksum that was left to it.
        owner.send(&owner.datagram(("fd09::2", to), (LINUX6, port(&socket)), b"back"));
        let mut bytes = [0; 100];
        assert_eq!(socket.recv_from(&mut bytes)?.1.port(), to);
    }
    Ok(())
}

pub fn each_other() -> Outcome {
    let server = Server::start("");
    let (a, b) = (server.bare("one", "a"), server.bare("two", "b"));
    assert_eq!((a.claim(Udp, "::", 7), b.claim(Udp, "::", 7)), (0, 0));
    let mut datagram = a.datagram(("fd09::2", 7), ("fd09::3", 7), &[5; 1200]);
    datagram.to_mac = b.welcome.mac;
    a.send(&datagram);
    let got = b.next();
    assert_eq!((got.from_mac, got.data), (a.welcome.mac, datagram.data));
    Ok(())
}

pub fn spoofing() -> Outcome {
    let server = Server::start("");
    let (a, b) = (server.bare("one", "a"), server.bare("two", "b"));
    assert_eq!(
        (a.claim(Udp, "0.0.0.0", 9), b.claim(Udp, "0.0.0.0", 10)),
        (0, 0)
    );
    let socket = linux(LINUX);
    let to = (LINUX, port(&socket));
    let good = a.datagram(("10.9.0.2", 9), to, b"good");
    let mut mac = good.clone();
    mac.from_mac = b.welcome.mac;
    let rows = [
        ("source-address", a.datagram(("10.9.0.3", 9), to, b"bad")),
        ("source-address", a.datagram((LINUX, 9), to, b"bad")),
        ("source-port", a.datagram(("10.9.0.2", 10), to, b"bad")),
        ("source-mac", mac),
    ];
    for (_, bad) in &rows {
        a.send(bad);
    }
    a.send(&good);
    let mut bytes = [0; 100];
    let (len, from) = socket.recv_from(&mut bytes)?;
    assert_eq!(
        (&bytes[..len], from.to_string()),
        (&b"good"[..], "10.9.0.2:9".into())
    );
    let counters = server.application("a").counters;
    assert_eq!(counters.sent.0, 1);
    for (reason, count) in [("source-address", 2), ("source-port", 1), ("source-mac", 1)] {
        assert_eq!(
            counters.dropped.get(reason),
            Some(&count),
            "{reason}: {counters:?}"
        );
    }
    assert!(server.application("b").counters.dropped.is_empty());
    Ok(())
}

/// The ring of who sends more than it may is left alone: nothing is dropped, and others go on.
pub fn limits() -> Outcome {
    let server = Server::start("frames-per-second = 1000");
    let (free, slow) = (server.bare("one", "free"), server.bare("two", "slow"));
    assert_eq!(
        (free.claim(Udp, "0.0.0.0", 9), slow.claim(Udp, "0.0.0.0", 9)),
        (0, 0)
    );
    let socket = linux(LINUX);
    let to = (LINUX, port(&socket));
    let start = Instant::now();
    for _ in 0..500 {
        slow.send(&slow.datagram(("10.9.0.3", 9), to, b"slow"));
    }
    free.send(&free.datagram(("10.9.0.2", 9), to, b"free"));
    let (mut slows, mut passed) = (0, None);
    let mut bytes = [0; 10];
    while slows < 500 {
        let (len, _) = socket.recv_from(&mut bytes)?;
        match &bytes[..len] {
            b"free" => passed = Some(slows),
            _ => slows += 1,
        }
    }
    let took = start.elapsed();
    assert!(
        took > Duration::from_millis(350) && took < PATIENCE,
        "{took:?}"
    );
    assert!(
        passed.is_some_and(|before| before < 300),
        "after {passed:?}"
    );
    Ok(())
}

/// Of many who all send as fast as they can, some short frames and some long ones, each gets
/// the same: a frame counts for its bytes, and a kilobyte.
pub fn shares() -> Outcome {
    const APPLICATIONS: usize = 16;
    const TIME: Duration = Duration::from_secs(3);
    let server = Server::start("");
    let all: Vec<Bare> = (0..APPLICATIONS)
        .map(|number| server.bare("two", &number.to_string()))
        .collect();
    let sink = linux(LINUX);
    let stop = AtomicBool::new(false);
    let taken = || -> Vec<f64> {
        let mut known = server.status().applications;
        known.sort_by_key(|known| known.number);
        let cost = |(frames, bytes): (u64, u64)| (1024 * frames + bytes) as f64;
        known
            .iter()
            .map(|known| cost(known.counters.sent))
            .collect()
    };
    let each: Vec<f64> = std::thread::scope(|scope| {
        for (number, bare) in all.iter().enumerate() {
            let data = vec![7; if number % 2 == 0 { 20 } else { 1400 }];
            let from = ("10.9.0.3", *bare.welcome.ports.start());
            let datagram = bare.datagram(from, (LINUX, port(&sink)), &data);
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    bare.send(&datagram);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(300));
        let before = taken();
        std::thread::sleep(TIME);
        let after = taken();
        stop.store(true, Ordering::Relaxed);
        after
            .iter()
            .zip(before)
            .map(|(after, before)| after - before)
            .collect()
    });
    let mean = each.iter().sum::<f64>() / each.len() as f64;
    let furthest = each
        .iter()
        .map(|one| (one - mean).abs())
        .fold(0.0, f64::max);
    println!(
        "the share that differs most is {:.1} % from the mean",
        100.0 * furthest / mean
    );
    assert_eq!(each.len(), APPLICATIONS);
    assert!(furthest < 0.2 * mean, "{each:?}");
    Ok(())
}
