//! Processes that end, and come back.

use crate::Outcome;
use crate::bare::{Bare, LINUX, PATIENCE, Server, hail, linux, port, told};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rump_hyper::vif::Transmit;
use rump_hyper::vif::backend::Piece;
use rump_ring::control::{Code, Protocol::Udp, ToApplication};
use rump_server::messages::{Reply, Request};
use std::collections::HashSet;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long room is waited for in a ring that nobody reads any more.
const PATIENCE_AFTER: Duration = Duration::from_millis(500);

pub fn application_killed() -> Outcome {
    let server = Server::start("");
    let (a, b) = (server.bare("one", "a"), server.bare("one", "b"));
    assert_eq!(
        (a.claim(Udp, "0.0.0.0", 9), b.claim(Udp, "0.0.0.0", 10)),
        (0, 0)
    );
    let socket = linux(LINUX);
    // What it had said before is still sent.
    a.send(&a.datagram(("10.9.0.2", 9), (LINUX, port(&socket)), b"last words"));
    drop(a);
    let mut bytes = [0; 100];
    assert_eq!(socket.recv(&mut bytes)?, 10);
    let since = Instant::now();
    while b.claim(Udp, "0.0.0.0", 9) != 0 {
        assert!(since.elapsed() < PATIENCE, "the port is not given back");
        std::thread::sleep(Duration::from_millis(1));
    }
    socket.send_to(b"to b", ("10.9.0.2", 9))?;
    assert_eq!(b.next().data, b"to b");
    assert_eq!(server.status().applications.len(), 1);
    Ok(())
}

/// Who has gone, and fills its ring for ever: no more is taken than can have been in it before, so
/// that its ports are free.
pub fn sends_on() -> Outcome {
    let server = Server::start("");
    let (a, b) = (server.bare("one", "a"), server.bare("one", "b"));
    assert_eq!(a.claim(Udp, "0.0.0.0", 9), 0);
    let datagram = a.datagram(("10.9.0.2", 9), (LINUX, 9), &[0; 1000]);
    let (frame, offload) = datagram.frame();
    let pieces = [Piece::new(&frame)];
    let frames = [Transmit::new(&pieces, offload); 32];
    let Bare { end, socket, .. } = a;
    let before = end.state()[0].put;
    drop(socket);
    while end.send_all(0, &frames, PATIENCE_AFTER) == Ok(frames.len()) {}
    let more = end.state()[0].put - before;
    let ring = u64::from(end.shape().data());
    assert!(
        more <= 3 * ring,
        "{more} bytes were taken, of a ring of {ring}"
    );
    assert_eq!(b.claim(Udp, "0.0.0.0", 9), 0);
    Ok(())
}

/// Sends and waits for an answer, which the application gives by hand.
fn round(socket: &UdpSocket, bare: &Bare, port: u16) -> Outcome {
    socket.send_to(b"ping", ("10.9.0.2", port))?;
    let came = bare.receive(PATIENCE, |datagram| datagram.to.1 == port);
    let datagram = came.last().ok_or("nothing came")?;
    bare.send(&bare.datagram(("10.9.0.2", port), (LINUX, datagram.from.1), b"pong"));
    let mut bytes = [0; 100];
    assert_eq!(socket.recv(&mut bytes)?, 4);
    Ok(())
}

pub fn worker_killed() -> Outcome {
    let server = Server::start("");
    let mut a = server.bare("one", "a");
    assert_eq!(a.claim(Udp, "0.0.0.0", 9), 0);
    let socket = linux(LINUX);
    round(&socket, &a, 9)?;
    let mut gaps = Vec::new();
    for kills in 1..=20 {
        let worker = server.status().worker;
        let killed = Instant::now();
        kill(Pid::from_raw(worker as i32), Signal::SIGKILL)?;
        assert!(
            told(&a.socket).is_err(),
            "the connection ends with the worker"
        );
        if kills % 5 == 0 {
            // Who was not there gets nothing of what is kept.
            let thief = reconnect(&server, "thief", 0);
            assert_eq!(thief.claim(Udp, "0.0.0.0", 9), 48, "the port is kept");
            assert_ne!(thief.welcome.ports, a.welcome.ports);
        }
        let back = reconnect(&server, "a", a.welcome.ticket);
        assert_eq!(back.welcome.ticket, a.welcome.ticket);
        assert_eq!(back.welcome.ports, a.welcome.ports);
        a = back;
        assert_eq!(a.claim(Udp, "0.0.0.0", 9), 0);
        round(&socket, &a, 9)?;
        gaps.push(killed.elapsed());
        assert_eq!(server.status().starts, kills + 1);
        // One that dies at once, again and again, would be replaced more slowly.
        std::thread::sleep(Duration::from_millis(150));
    }
    gaps.sort();
    println!(
        "killed 20 times: served again after {:?} (median), {:?} (longest)",
        gaps[10], gaps[19]
    );
    assert!(gaps[10] < Duration::from_millis(500), "{gaps:?}");
    // Whom nobody sees again loses what it had.
    let worker = server.status().worker;
    drop(a);
    let b = server.bare("one", "b");
    kill(Pid::from_raw(worker as i32), Signal::SIGKILL)?;
    let b = reconnect(&server, "b", b.welcome.ticket);
    assert_eq!(b.claim(Udp, "0.0.0.0", 9), 0);
    Ok(())
}

/// A packet socket goes on, in whichever slot of its ring the next frame comes.
pub fn packets() -> Outcome {
    let server = Server::over_packets();
    let mut a = server.bare("one", "a");
    assert_eq!(a.claim(Udp, "0.0.0.0", 9), 0);
    let socket = linux(LINUX);
    for turn in 0..10 {
        // Not always the same slot.
        for _ in 0..1 + turn * 7 {
            round(&socket, &a, 9)?;
        }
        if turn % 2 == 0 {
            let reply = server.request(&Request::Upgrade { program: None });
            assert!(matches!(reply, Reply::Done(_)), "{reply:?}");
            continue;
        }
        let worker = server.status().worker;
        // What comes while there is none is there for the next.
        for number in 0..20_u8 {
            socket.send_to(&[number], ("10.9.0.2", 9))?;
        }
        kill(Pid::from_raw(worker as i32), Signal::SIGKILL)?;
        assert!(
            told(&a.socket).is_err(),
            "the connection ends with the worker"
        );
        a = reconnect(&server, "a", a.welcome.ticket);
        assert_eq!(a.claim(Udp, "0.0.0.0", 9), 0);
        a.receive(Duration::from_millis(100), |_| false);
    }
    round(&socket, &a, 9)
}

fn reconnect(server: &Server, label: &str, ticket: u128) -> Bare {
    let since = Instant::now();
    loop {
        match Bare::connect(server, "one", label, ticket) {
            Ok(bare) => return bare,
            Err(error) => assert!(since.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Numbered datagrams both ways, while workers take over from each other.
pub fn upgrade() -> Outcome {
    const UPGRADES: usize = 20;
    let server = Server::start("");
    let a = server.bare("one", "a");
    assert_eq!(a.claim(Udp, "0.0.0.0", 9), 0);
    let (out, back) = (linux(LINUX), linux(LINUX));
    let done = AtomicBool::new(false);
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    let outcome = std::thread::scope(|scope| {
        let there = scope.spawn(|| {
            let mut sent = 0_u32;
            while !done.load(Ordering::Relaxed) {
                let data = sent.to_le_bytes();
                a.send(&a.datagram(("10.9.0.2", 9), (LINUX, port(&back)), &data));
                sent += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
            sent
        });
        let arrived = scope.spawn(|| {
            let mut numbers = Vec::new();
            let mut bytes = [0; 100];
            back.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            while back.recv(&mut bytes).is_ok() {
                numbers.push(number(&bytes));
            }
            numbers
        });
        let sender = scope.spawn(|| {
            let mut sent = 0_u32;
            while !done.load(Ordering::Relaxed) {
                out.send_to(&sent.to_le_bytes(), ("10.9.0.2", 9)).unwrap();
                sent += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
            sent
        });
        let received = scope.spawn(|| {
            let mut numbers = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let came = a.receive(Duration::from_millis(200), |_| false);
                numbers.extend(came.iter().map(|datagram| number(&datagram.data)));
            }
            let came = a.receive(Duration::from_millis(500), |_| false);
            numbers.extend(came.iter().map(|datagram| number(&datagram.data)));
            numbers
        });
        let mut gaps = Vec::new();
        for _ in 0..UPGRADES {
            let before = server.status().worker;
            let start = Instant::now();
            let reply = server.request(&Request::Upgrade { program: None });
            assert!(matches!(reply, Reply::Done(_)), "{reply:?}");
            gaps.push((start.elapsed(), reply));
            assert_ne!(server.status().worker, before);
            // What cannot take over changes nothing.
            let program = Some("/bin/false".into());
            let reply = server.request(&Request::Upgrade { program });
            assert!(matches!(reply, Reply::Error(_)), "{reply:?}");
        }
        done.store(true, Ordering::Relaxed);
        println!("{:?}", gaps.last());
        (there.join(), arrived.join(), sender.join(), received.join())
    });
    let (Ok(sent), Ok(arrived), Ok(out_sent), Ok(received)) = outcome else {
        return Err("a thread has failed".into());
    };
    println!("{sent} datagrams out, {out_sent} in, during {UPGRADES} upgrades");
    assert_eq!(
        arrived,
        (0..sent).collect::<Vec<_>>(),
        "what was sent arrives, in order"
    );
    let distinct: HashSet<u32> = received.iter().copied().collect();
    assert_eq!(
        (distinct.len(), received.len()),
        (out_sent as usize, out_sent as usize)
    );
    let counters = server.application("a").counters;
    assert_eq!(counters.sent.0, u64::from(sent), "numbers go on");
    assert_eq!(counters.dropped.get("full"), None);
    assert_eq!(a.claim(Udp, "0.0.0.0", 9), 0, "the connection is the same");
    Ok(())
}

pub fn privileges() -> Outcome {
    let server = Server::start("");
    let nobody = nix::unistd::User::from_name("nobody")?
        .ok_or("no nobody")?
        .uid;
    for (process, seccomp) in [(server.process.id(), "0"), (server.status().worker, "2")] {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default()
                .split_whitespace()
                .collect::<Vec<_>>()
        };
        assert_eq!(field("Uid:"), [&*nobody.to_string(); 4]);
        assert_eq!(field("CapEff:"), ["0000000000000000"]);
        assert_eq!(field("CapPrm:"), ["0000000000000000"]);
        assert_eq!(field("NoNewPrivs:"), ["1"]);
        assert_eq!(field("Seccomp:"), [seccomp]);
    }
    Ok(())
}

pub fn stop() -> Outcome {
    let mut server = Server::start("");
    let a = server.bare("one", "a");
    let refused = Bare::connect(&server, "three", "b", 0)
        .err()
        .ok_or("it was welcomed")?;
    assert!(refused.to_string().contains("no such host"), "{refused}");
    let several = Bare::connect(&server, "", "b", 0)
        .err()
        .ok_or("it was welcomed")?;
    assert!(several.to_string().contains("no such host"), "{several}");
    let stranger = hail(&server.socket())?;
    assert!(matches!(server.request(&Request::Stop), Reply::Done(_)));
    for socket in [&a.socket, &stranger] {
        match told(socket)?.0 {
            ToApplication::Farewell(last) => assert_eq!(last.code, Code::Ending),
            other => panic!("{other:?}"),
        }
    }
    assert!(server.process.wait()?.success());
    Ok(())
}
