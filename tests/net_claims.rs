//! `rump::net::claims`: what is asked before a port is taken, and told when it is free.

mod common;

use common::Outcome;
use rump::Errno;
use rump::net::claims::{self, Claims, Protocol};
use rump::net::{TcpListener, TcpStream, UdpSocket};
use rump::process::Process;
use rump::sysctl;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    common::run_on_kernel_in_turn([
        ("claims::places", places),
        ("claims::refusals", refusals),
        ("claims::a_bind_that_fails", a_bind_that_fails),
        ("claims::of_two_sockets", of_two_sockets),
        ("claims::datagrams_that_connect", datagrams_that_connect),
        (
            "claims::connections_keep_the_port",
            connections_keep_the_port,
        ),
        ("claims::the_end_in_time_wait", the_end_in_time_wait),
        ("claims::chosen_ports", chosen_ports),
        ("claims::several_are_asked", several_are_asked),
        ("claims::answers_that_take_time", answers_that_take_time),
        ("claims::races", races),
        ("claims::the_end_of_a_process", the_end_of_a_process),
        ("claims::what_is_bound_already", what_is_bound_already),
        ("claims::many_leave_nothing", many_leave_nothing),
    ]);
}

type Place = (Protocol, SocketAddr);

fn tcp(address: &str) -> Place {
    (Protocol::Tcp, address.parse().expect("an address"))
}

fn udp(address: &str) -> Place {
    (Protocol::Udp, address.parse().expect("an address"))
}

/// Keeps what is claimed, and sees that nothing is claimed or released twice.
#[derive(Default)]
struct Ledger {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: BTreeSet<Place>,
    /// Refused with this error.
    refused: BTreeMap<Place, Errno>,
    claimed: usize,
    released: usize,
    wrong: Vec<String>,
}

impl Claims for Ledger {
    fn claim(&self, protocol: Protocol, address: IpAddr, port: u16) -> Result<(), Errno> {
        let place = (protocol, SocketAddr::new(address, port));
        let mut state = self.state.lock().expect("the ledger");
        if let Some(errno) = state.refused.get(&place) {
            return Err(*errno);
        }
        state.claimed += 1;
        if !state.held.insert(place) {
            state.wrong.push(format!("{place:?} is claimed twice"));
        }
        Ok(())
    }

    fn release(&self, protocol: Protocol, address: IpAddr, port: u16) {
        let place = (protocol, SocketAddr::new(address, port));
        let mut state = self.state.lock().expect("the ledger");
        state.released += 1;
        if !state.held.remove(&place) {
            state
                .wrong
                .push(format!("{place:?} is released, and nobody has it"));
        }
    }
}

impl Ledger {
    fn asked() -> io::Result<(Arc<Self>, claims::Guard)> {
        let ledger = Arc::new(Self::default());
        let guard = claims::add(ledger.clone())?;
        Ok((ledger, guard))
    }

    fn held(&self) -> Vec<Place> {
        let state = self.state.lock().expect("the ledger");
        assert_eq!(state.wrong, [] as [String; 0]);
        state.held.iter().copied().collect()
    }

    fn refuse(&self, place: Place, errno: Errno) {
        let mut state = self.state.lock().expect("the ledger");
        state.refused.insert(place, errno);
    }

    /// Until nothing is held; how long it took.
    fn wait_until_empty(&self, most: Duration) -> Duration {
        let start = Instant::now();
        while !self.held().is_empty() {
            assert!(start.elapsed() < most, "{:?} after {most:?}", self.held());
            thread::sleep(Duration::from_millis(5));
        }
        start.elapsed()
    }
}

fn errno<T>(result: io::Result<T>) -> Option<Errno> {
    result.err().and_then(|error| Errno::of(&error))
}

/// What each kind of bind asks for, and that its end is told.
fn places() -> Outcome {
    let (ledger, guard) = Ledger::asked()?;
    let check = |socket: Box<dyn std::any::Any>, mut expected: Vec<Place>| {
        expected.sort_unstable();
        assert_eq!(ledger.held(), expected);
        drop(socket);
        assert_eq!(ledger.held(), []);
    };
    let listener = |address: &str| TcpListener::bind(address).map(|it| Box::new(it) as _);
    let socket = |address: &str| UdpSocket::bind(address).map(|it| Box::new(it) as _);

    check(listener("0.0.0.0:2001")?, vec![tcp("0.0.0.0:2001")]);
    check(listener("127.0.0.1:2001")?, vec![tcp("127.0.0.1:2001")]);
    check(listener("[::1]:2001")?, vec![tcp("[::1]:2001")]);
    check(socket("0.0.0.0:2001")?, vec![udp("0.0.0.0:2001")]);
    check(socket("127.0.0.1:2001")?, vec![udp("127.0.0.1:2001")]);
    check(socket("[::1]:2001")?, vec![udp("[::1]:2001")]);
    // Sockets of IPv6 that speak IPv4 as well, and such as do not.
    let both = vec![tcp("[::]:2001"), tcp("0.0.0.0:2001")];
    check(listener("[::]:2001")?, both);
    let both = vec![udp("[::]:2001"), udp("0.0.0.0:2001")];
    check(socket("[::]:2001")?, both);
    let mapped = vec![tcp("127.0.0.1:2001")];
    check(listener("[::ffff:127.0.0.1]:2001")?, mapped);
    let one = TcpListener::bind_only_v6("[::]:2001")?;
    check(Box::new(one), vec![tcp("[::]:2001")]);
    let one = UdpSocket::bind_only_v6("[::]:2001")?;
    check(Box::new(one), vec![udp("[::]:2001")]);
    // Nobody has chosen these.
    check(listener("127.0.0.1:0")?, vec![]);
    check(socket("[::]:0")?, vec![]);
    // Nobody is asked any more.
    drop(guard);
    let unasked = TcpListener::bind("127.0.0.1:2001")?;
    assert_eq!(ledger.held(), []);
    drop(unasked);
    Ok(())
}

fn refusals() -> Outcome {
    let (ledger, _guard) = Ledger::asked()?;
    for (port, errno_given) in [
        (2101, Errno::EADDRINUSE),
        (2102, Errno::EACCES),
        (2103, Errno::EADDRNOTAVAIL),
    ] {
        for address in ["0.0.0.0", "127.0.0.1", "[::1]"] {
            let address = format!("{address}:{port}");
            ledger.refuse(tcp(&address), errno_given);
            ledger.refuse(udp(&address), errno_given);
        }
        let given = Some(errno_given);
        assert_eq!(errno(TcpListener::bind(("0.0.0.0", port))), given);
        assert_eq!(errno(TcpListener::bind(("127.0.0.1", port))), given);
        assert_eq!(errno(UdpSocket::bind(("127.0.0.1", port))), given);
        assert_eq!(errno(UdpSocket::bind(("::1", port))), given);
        // Of two places the second is refused: the first is given back.
        assert_eq!(errno(TcpListener::bind(("::", port))), given);
        assert_eq!(ledger.held(), []);
        let state = ledger.state.lock().expect("the ledger");
        assert_eq!(state.claimed, state.released);
    }
    // Nothing is left in the kernel.
    ledger.state.lock().expect("the ledger").refused.clear();
    TcpListener::bind("127.0.0.1:2101")?;
    UdpSocket::bind("[::1]:2101")?;
    assert_eq!(ledger.held(), []);
    Ok(())
}

fn a_bind_that_fails() -> Outcome {
    let (ledger, _guard) = Ledger::asked()?;
    let foreign = UdpSocket::bind("192.0.2.1:2201");
    assert_eq!(errno(foreign), Some(Errno::EADDRNOTAVAIL));
    assert_eq!(ledger.held(), []);
    assert_eq!(ledger.state.lock().expect("the ledger").released, 1);

    // One that fails because there is one already takes nothing from that.
    let first = UdpSocket::bind("127.0.0.1:2201")?;
    let second = UdpSocket::bind("127.0.0.1:2201");
    assert_eq!(errno(second), Some(Errno::EADDRINUSE));
    assert_eq!(ledger.held(), [udp("127.0.0.1:2201")]);
    drop(first);
    assert_eq!(ledger.held(), []);
    Ok(())
}

/// Sockets of different addresses, and protocols, have one port.
fn of_two_sockets() -> Outcome {
    let (ledger, _guard) = Ledger::asked()?;
    let one = TcpListener::bind("127.0.0.1:2301")?;
    let other = TcpListener::bind("[::1]:2301")?;
    let datagrams = UdpSocket::bind("127.0.0.1:2301")?;
    drop(one);
    assert_eq!(ledger.held(), [tcp("[::1]:2301"), udp("127.0.0.1:2301")]);
    drop(datagrams);
    assert_eq!(ledger.held(), [tcp("[::1]:2301")]);
    drop(other);
    assert_eq!(ledger.held(), []);
    Ok(())
}

/// Their address changes as they connect, and what they have asked for does not.
fn datagrams_that_connect() -> Outcome {
    let (ledger, _guard) = Ledger::asked()?;
    for address in ["0.0.0.0:2401", "127.0.0.1:2401"] {
        let socket = UdpSocket::bind(address)?;
        for _ in 0..3 {
            socket.connect("127.0.0.1:9")?;
            assert_eq!(ledger.held(), [udp(address)]);
        }
        drop(socket);
        assert_eq!(ledger.held(), []);
    }
    Ok(())
}

fn accepted(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    Ok((client, listener.accept()?.0))
}

fn connections_keep_the_port() -> Outcome {
    let (ledger, _guard) = Ledger::asked()?;
    // Others that have nothing to do with it.
    let _more = common::pair()?;
    for (address, place) in [
        ("0.0.0.0:2501", tcp("0.0.0.0:2501")),
        ("127.0.0.1:2501", tcp("127.0.0.1:2501")),
        ("[::1]:2501", tcp("[::1]:2501")),
    ] {
        let listener = TcpListener::bind(address)?;
        let to = match address.strip_prefix("0.0.0.0") {
            Some(port) => format!("127.0.0.1{port}"),
            None => address.to_owned(),
        };
        let mut clients = Vec::new();
        let mut servers = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(&to)?);
            servers.push(listener.accept()?.0);
        }
        drop(listener);
        assert_eq!(ledger.held(), [place]);
        for (client, mut server) in clients.into_iter().zip(servers) {
            assert_eq!(ledger.held(), [place]);
            // The client's is the side that waits.
            drop(client);
            assert_eq!(server.read(&mut [0])?, 0);
            drop(server);
        }
        ledger.wait_until_empty(Duration::from_secs(5));
    }
    // A listener for both families, and one connection of each.
    let listener = TcpListener::bind("[::]:2502")?;
    let (client, server) = (TcpStream::connect("127.0.0.1:2502")?, listener.accept()?.0);
    let (client6, server6) = (TcpStream::connect("[::1]:2502")?, listener.accept()?.0);
    drop(listener);
    assert_eq!(ledger.held(), [tcp("0.0.0.0:2502"), tcp("[::]:2502")]);
    drop(client);
    drop(server);
    let start = Instant::now();
    while ledger.held() != [tcp("[::]:2502")] {
        assert!(start.elapsed() < Duration::from_secs(5));
        thread::sleep(Duration::from_millis(5));
    }
    drop(client6);
    drop(server6);
    ledger.wait_until_empty(Duration::from_secs(5));
    Ok(())
}

/// The side that closes first waits; NetBSD keeps its port for so long.
fn the_end_in_time_wait() -> Outcome {
    let (ledger, _guard) = Ledger::asked()?;
    let listener = TcpListener::bind("127.0.0.1:2601")?;
    let (mut client, server) = accepted(&listener)?;
    drop(listener);
    drop(server);
    assert_eq!(client.read(&mut [0])?, 0);
    drop(client);
    let waited = ledger.wait_until_empty(Duration::from_secs(150));
    println!("after {waited:?}");
    if common::kernel_name() == "NetBSD" {
        assert!(waited > Duration::from_millis(900), "{waited:?}");
    }
    Ok(())
}

/// The four settings, put back in the end.
struct Ranges(Vec<(&'static str, sysctl::Value)>);

const RANGES: [&str; 4] = [
    "net.inet.ip.anonportmin",
    "net.inet.ip.anonportmax",
    "net.inet6.ip6.anonportmin",
    "net.inet6.ip6.anonportmax",
];

impl Ranges {
    /// Of IPv4 and of IPv6, below what was there before.
    fn set(ranges: [(i32, i32); 2]) -> Result<Self, sysctl::Error> {
        let before = RANGES.map(|name| sysctl::get(name).map(|value| (name, value)));
        let before = Self(before.into_iter().collect::<Result<_, _>>()?);
        for (names, (first, last)) in RANGES.chunks(2).zip(ranges) {
            // The first one first: no range is ever empty.
            sysctl::set(names[0], first)?;
            sysctl::set(names[1], last)?;
        }
        Ok(before)
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        for (name, value) in self.0.drain(..).rev() {
            sysctl::set(name, value).expect("what it was before");
        }
    }
}

/// Ports that the kernel chooses are in the range, all of it is used, and nobody is asked.
fn chosen_ports() -> Outcome {
    let (ledger, _guard) = Ledger::asked()?;
    const V4: (i32, i32) = (3000, 3019);
    const V6: (i32, i32) = (3100, 3119);
    let ranges = Ranges::set([V4, V6])?;
    assert!(sysctl::set("net.inet.ip.anonportmax", 2999).is_err());
    let inside = |addresses: &[SocketAddr], (first, last): (i32, i32)| {
        let mut ports: Vec<i32> = addresses.iter().map(|it| it.port().into()).collect();
        ports.sort_unstable();
        assert!(
            ports.iter().all(|port| (first..=last).contains(port)),
            "{ports:?}"
        );
        ports.dedup();
        assert_eq!(ports.len(), addresses.len());
    };
    for (any, range) in [("127.0.0.1:0", V4), ("[::1]:0", V6)] {
        // Twenty at a time: the whole range.
        let sockets: Vec<_> = (0..20)
            .map(|_| UdpSocket::bind(any))
            .collect::<Result<_, _>>()?;
        let addresses: Vec<_> = sockets
            .iter()
            .map(UdpSocket::local_addr)
            .collect::<Result<_, _>>()?;
        inside(&addresses, range);
        assert!(UdpSocket::bind(any).is_err(), "there are no more");
        drop(sockets);

        let listeners: Vec<_> = (0..20)
            .map(|_| TcpListener::bind(any))
            .collect::<Result<_, _>>()?;
        let addresses: Vec<_> = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<Result<_, _>>()?;
        inside(&addresses, range);
        drop(listeners);

        let fixed = any.replace(":0", ":2701");
        let peer = UdpSocket::bind(&fixed)?;
        let connecting: Vec<_> = (0..20)
            .map(|_| {
                let socket = UdpSocket::bind(any)?;
                socket.connect(peer.local_addr()?)?;
                Ok(socket)
            })
            .collect::<io::Result<_>>()?;
        let addresses: Vec<_> = connecting
            .iter()
            .map(UdpSocket::local_addr)
            .collect::<Result<_, _>>()?;
        inside(&addresses, range);

        let listener = TcpListener::bind(&fixed)?;
        let connected: Vec<_> = (0..20)
            .map(|_| accepted(&listener))
            .collect::<io::Result<_>>()?;
        let addresses: Vec<_> = connected
            .iter()
            .map(|(client, _)| client.local_addr())
            .collect::<Result<_, _>>()?;
        inside(&addresses, range);
        for (client, server) in &connected {
            client.set_linger(Some(Duration::ZERO))?;
            server.set_linger(Some(Duration::ZERO))?;
        }
    }
    drop(ranges);
    let after: u16 = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    assert!(after >= 49_152, "{after}");
    ledger.wait_until_empty(Duration::from_secs(5));
    let state = ledger.state.lock().expect("the ledger");
    assert_eq!(state.claimed, 4);
    Ok(())
}

fn several_are_asked() -> Outcome {
    let (first, first_guard) = Ledger::asked()?;
    let (second, _second_guard) = Ledger::asked()?;
    second.refuse(tcp("127.0.0.1:2801"), Errno::EACCES);
    let refused = TcpListener::bind("127.0.0.1:2801");
    assert_eq!(errno(refused), Some(Errno::EACCES));
    assert_eq!((first.held(), second.held()), (vec![], vec![]));

    let listener = TcpListener::bind("127.0.0.1:2802")?;
    let held = vec![tcp("127.0.0.1:2802")];
    assert_eq!((first.held(), second.held()), (held.clone(), held.clone()));
    // One that leaves is not told of the end.
    drop(first_guard);
    drop(listener);
    assert_eq!((first.held(), second.held()), (held, vec![]));
    Ok(())
}

/// Says that it was asked, and waits for the answer.
struct Slow(Sender<u16>, Mutex<Receiver<Result<(), Errno>>>);

impl Claims for Slow {
    fn claim(&self, _: Protocol, _: IpAddr, port: u16) -> Result<(), Errno> {
        if !(2901..2999).contains(&port) {
            return Ok(());
        }
        self.0.send(port).map_err(|_| Errno::EIO)?;
        // The kernel can be called from here.
        UdpSocket::bind("127.0.0.1:0").map_err(|_| Errno::EIO)?;
        let answers = self.1.lock().map_err(|_| Errno::EIO)?;
        answers.recv().map_err(|_| Errno::EIO)?
    }

    fn release(&self, _: Protocol, _: IpAddr, _: u16) {}
}

/// More threads wait for answers than the kernel has virtual CPUs, and it goes on.
fn answers_that_take_time() -> Outcome {
    let (asked, asking) = channel();
    let (answer, answers) = channel();
    let _guard = claims::add(Arc::new(Slow(asked, Mutex::new(answers))))?;
    thread::scope(|scope| {
        let waiting: Vec<_> = (2901..2907)
            .map(|port| scope.spawn(move || TcpListener::bind(("127.0.0.1", port))))
            .collect();
        for _ in 0..6 {
            asking.recv()?;
        }
        for _ in 0..20 {
            let _pair = common::pair()?;
            UdpSocket::bind("127.0.0.1:2900")?;
        }
        assert!(waiting.iter().all(|thread| !thread.is_finished()));
        for number in 0..6 {
            answer.send(if number < 3 {
                Ok(())
            } else {
                Err(Errno::EACCES)
            })?;
        }
        let bound = waiting
            .into_iter()
            .filter_map(|thread| thread.join().expect("no panic").ok())
            .count();
        assert_eq!(bound, 3);
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    Ok(())
}

/// Threads that bind to a few ports at the same time. The ledger sees that whatever is
/// claimed is released before it is claimed again.
fn races() -> Outcome {
    const THREADS: usize = 8;
    const ROUNDS: usize = 1000;
    let (ledger, _guard) = Ledger::asked()?;
    let (had, lost) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (had, lost) = (&had, &lost);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let port = 3200 + ((thread + round) % 3) as u16;
                    let result = match (thread + round) % 4 {
                        0 => UdpSocket::bind(("127.0.0.1", port)).map(drop),
                        1 => UdpSocket::bind(("::", port)).map(drop),
                        2 => TcpListener::bind(("::", port)).map(drop),
                        _ => TcpListener::bind(("127.0.0.1", port)).map(drop),
                    };
                    match result {
                        Ok(()) => had.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            assert_eq!(Errno::of(&error), Some(Errno::EADDRINUSE));
                            lost.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
    });
    let (had, lost) = (had.into_inner(), lost.into_inner());
    println!("{had} had the port, {lost} did not");
    assert!(had >= ROUNDS);
    assert_eq!(ledger.held(), []);
    let state = ledger.state.lock().expect("the ledger");
    assert_eq!(state.claimed, state.released);
    Ok(())
}

fn the_end_of_a_process() -> Outcome {
    let (ledger, _guard) = Ledger::asked()?;
    let process = Process::new()?;
    process.enter(|| -> io::Result<()> {
        for port in 3300..3310 {
            std::mem::forget(TcpListener::bind(("127.0.0.1", port))?);
            std::mem::forget(UdpSocket::bind(("::1", port))?);
        }
        Ok(())
    })??;
    assert_eq!(ledger.held().len(), 20);
    drop(process);
    ledger.wait_until_empty(Duration::from_secs(5));
    Ok(())
}

fn what_is_bound_already() -> Outcome {
    let listener = TcpListener::bind("0.0.0.0:3401")?;
    let left = TcpListener::bind("127.0.0.1:3402")?;
    let (client, server) = accepted(&left)?;
    drop(left);
    let datagrams = UdpSocket::bind("[::]:3403")?;
    let (more_client, more_server) = {
        let client = TcpStream::connect("127.0.0.1:3401")?;
        (client, listener.accept()?.0)
    };
    let chosen =
        |stream: &TcpStream| -> io::Result<Place> { Ok((Protocol::Tcp, stream.local_addr()?)) };
    let mut expected = vec![
        tcp("0.0.0.0:3401"),
        tcp("127.0.0.1:3402"),
        udp("0.0.0.0:3403"),
        udp("[::]:3403"),
        chosen(&client)?,
        chosen(&more_client)?,
    ];
    expected.sort_unstable();

    let (ledger, guard) = Ledger::asked()?;
    let known = |guard: &claims::Guard| {
        let mut live: Vec<Place> = guard
            .live()
            .into_iter()
            .map(|(protocol, address, port)| (protocol, SocketAddr::new(address, port)))
            .filter(|place| expected.contains(place) || (3400..3500).contains(&place.1.port()))
            .collect();
        live.sort_unstable();
        live
    };
    let live = known(&guard);
    assert_eq!(live, expected);
    assert_eq!(known(&guard), expected, "the same when asked again");
    ledger.state.lock().expect("the ledger").held.extend(live);
    // Another one that comes and goes there takes nothing away.
    drop(TcpListener::bind("127.0.0.1:3402"));
    assert!(ledger.held().contains(&tcp("127.0.0.1:3402")));

    for stream in [&client, &more_client, &server, &more_server] {
        stream.set_linger(Some(Duration::ZERO))?;
    }
    drop((client, server, more_client, more_server));
    drop((listener, datagrams));
    let left = |held: Vec<Place>| held.iter().any(|place| expected.contains(place));
    let start = Instant::now();
    while left(ledger.held()) {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}",
            ledger.held()
        );
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Resident memory of this process in KiB (`VmRSS` of proc(5)).
fn resident() -> io::Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kilobytes.ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status"))
}

fn many_leave_nothing() -> Outcome {
    const MANY: usize = 10_000;
    let (ledger, guard) = Ledger::asked()?;
    let bind_all = || -> io::Result<()> {
        for number in 0..MANY {
            // Every port is another one than the last time.
            let port = 10_000 + (number % 20_000) as u16;
            match number % 3 {
                0 => drop(TcpListener::bind(("127.0.0.1", port))?),
                1 => drop(UdpSocket::bind(("::", port))?),
                _ => assert!(UdpSocket::bind(("192.0.2.1", port)).is_err()),
            }
        }
        Ok(())
    };
    let before_live = guard.live();
    bind_all()?;
    let before = resident()?;
    bind_all()?;
    let grown = resident()?.saturating_sub(before);
    println!("{grown} KiB more than {before} KiB");
    assert!(grown < 1024, "{grown} KiB more than {before} KiB");
    assert_eq!(ledger.held(), []);
    let state = ledger.state.lock().expect("the ledger");
    assert_eq!(
        (state.claimed, state.released),
        (state.released, state.claimed)
    );
    assert!(state.claimed >= 2 * MANY);
    drop(state);
    let after = guard.live();
    assert!(after.len() <= before_live.len(), "{after:?}");
    Ok(())
}
