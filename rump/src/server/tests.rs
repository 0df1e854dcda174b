//! Connections to servers of the tests' own, honest ones and others.

use super::*;
use crate::iface::link::{Offload, Piece};
use crate::switch::{Path, Server};
use rump_ring::control::{Code, Farewell, MOST, Reason, ToApplication, ToServer, Welcome};
use rump_sys::hyper::linux::cable::{End, Shape, Socket};
use rump_sys::hyper::vif::Pool;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const MAC: [u8; 6] = [2, 0, 0, 1, 2, 3];
const ADDRESS: &str = "10.9.9.2";
const SOON: Duration = Duration::from_secs(10);

fn welcome() -> Welcome {
    Welcome {
        version: VERSION,
        mac: MAC,
        mtu: 1500,
        queues: 1,
        data: 256 << 10,
        ticket: 0x1234,
        ports: 40_000..=40_511,
        gateway: Some("10.9.9.1".parse().unwrap()),
        gateway6: None,
        addresses: vec![(ADDRESS.parse().unwrap(), 24)],
    }
}

/// A place that a server listens at.
struct Stand {
    folder: PathBuf,
    listener: Socket,
}

/// Its connection to a program.
struct Peer {
    socket: Socket,
    end: End,
}

impl Stand {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rump-server-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let listener = Socket::listen(&folder.join("sock")).unwrap();
        Self { folder, listener }
    }

    fn place(&self) -> PathBuf {
        self.folder.join("sock")
    }

    fn accept(&self) -> Socket {
        until("somebody connects", || self.listener.accept().unwrap())
    }

    /// Takes whoever comes in; returns what it said.
    fn welcome(&self, welcome: &Welcome) -> (Peer, Hello) {
        self.try_welcome(welcome).unwrap()
    }

    /// The same, unless it has gone meanwhile.
    fn try_welcome(&self, welcome: &Welcome) -> std::io::Result<(Peer, Hello)> {
        let socket = self.accept();
        let hello = match hear(&socket) {
            ToServer::Hello(hello) => hello,
            other => panic!("{other:?}"),
        };
        let end = End::make(Shape::new(welcome.queues, welcome.data).unwrap())?;
        let message = ToApplication::Welcome(welcome.clone()).encode();
        socket.send(&message, end.file())?;
        Ok((Peer { socket, end }, hello))
    }

    /// Connects a program to the server.
    fn connect(&self) -> (Cable, Peer) {
        std::thread::scope(|scope| {
            let cable = scope.spawn(|| connect(self.place()).unwrap());
            let (peer, hello) = self.welcome(&welcome());
            assert_eq!((hello.ticket, hello.queues), (0, 1));
            assert!(!hello.label.is_empty());
            (cable.join().unwrap(), peer)
        })
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn until<T>(what: &str, mut happened: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(it) = happened() {
            return it;
        }
        assert!(start.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn hear(socket: &Socket) -> ToServer {
    let mut bytes = [0; MOST];
    let message = until("something is said", || socket.receive(&mut bytes).unwrap());
    ToServer::decode(&bytes[..message.len]).unwrap()
}

fn say(socket: &Socket, message: ToApplication) {
    socket.send(&message.encode(), None).unwrap();
}

fn send(cable: &Cable, bytes: &[u8]) -> Result<usize, HostErrno> {
    let pieces = [Piece::new(bytes)];
    cable.send(0, &[Transmit::new(&pieces, Offload::default())])
}

/// The frames that have come to an end.
fn came(end: &End) -> Vec<Vec<u8>> {
    let mut batch = Batch::new(Pool::new(0));
    end.receive(0, &mut batch).unwrap();
    batch
        .frames()
        .iter()
        .map(|it| it.bytes().to_vec())
        .collect()
}

/// The next frames that come to the program.
fn receive(cable: &Cable) -> Vec<Vec<u8>> {
    let mut batch = Batch::new(Pool::new(0));
    let frames = || {
        cable.receive(0, &mut batch).unwrap();
        let frames: Vec<_> = batch
            .take()
            .drain(..)
            .map(|it| it.bytes().to_vec())
            .collect();
        (!frames.is_empty()).then_some(frames)
    };
    until("frames come", frames)
}

fn bring(end: &End, bytes: &[u8]) {
    let pieces = [Piece::new(bytes)];
    let sent = end.send(0, &[Transmit::new(&pieces, Offload::default())]);
    assert_eq!(sent, Ok(1));
}

#[test]
fn frames_go_both_ways() {
    let stand = Stand::new();
    let (cable, peer) = stand.connect();
    assert_eq!((cable.mac(), cable.mtu(), cable.queues()), (MAC, 1500, 1));
    assert_eq!(cable.addresses(), ["10.9.9.2/24".parse().unwrap()]);
    assert_eq!(cable.gateways(), ["10.9.9.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(send(&cable, b"there"), Ok(1));
    assert_eq!(came(&peer.end), [b"there"]);
    bring(&peer.end, b"and back");
    assert_eq!(receive(&cable), [b"and back"]);
    let statistics = cable.statistics();
    assert_eq!((statistics.sent, statistics.received), (1, 1));
    // The server hears of the end.
    drop(cable);
    until("it ends", || {
        peer.socket.receive(&mut [0; 8]).is_err().then_some(())
    });
}

#[test]
fn a_refusal_says_why() {
    let stand = Stand::new();
    let refused = |answer: &dyn Fn(&Socket)| {
        std::thread::scope(|scope| {
            let cable = scope.spawn(|| connect(stand.place()).map(drop).unwrap_err());
            let socket = stand.accept();
            hear(&socket);
            answer(&socket);
            cable.join().unwrap()
        })
    };
    let farewell = Farewell {
        code: Code::NotAllowed,
        text: Reason::cut("user 7 may not be of web"),
    };
    let farewell = ToApplication::Farewell(farewell);
    let error = refused(&|socket| say(socket, farewell.clone()));
    assert!(
        error.to_string().contains("user 7 may not be of web"),
        "{error}"
    );
    let is_wrong = |answer: &dyn Fn(&Socket)| {
        let error = refused(answer);
        assert!(matches!(error, Error::Wrong { .. }), "{error}");
    };
    is_wrong(&|socket| socket.send(b"nonsense", None).unwrap());
    is_wrong(&|socket| say(socket, ToApplication::Granted { id: 0 }));
    // Without memory, with what is none, and with such of another shape.
    let hello = ToApplication::Welcome(welcome()).encode();
    is_wrong(&|socket| socket.send(&hello, None).unwrap());
    let null = std::fs::File::open("/dev/null").unwrap();
    is_wrong(&|socket| {
        use std::os::fd::AsFd;
        socket.send(&hello, Some(null.as_fd())).unwrap();
    });
    let other = End::make(Shape::new(2, 256 << 10).unwrap()).unwrap();
    is_wrong(&|socket| socket.send(&hello, other.file()).unwrap());
    // It goes without a word.
    let error = refused(&|socket| drop(socket.receive(&mut [0])));
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    let place = stand.place();
    drop(stand);
    let error = connect(place).unwrap_err();
    assert!(
        error.to_string().contains("is `rump server` running"),
        "{error}"
    );
}

#[test]
fn names_are_checked() {
    let error = Cable::builder("/nowhere").host("x".repeat(33)).connect();
    assert!(matches!(error, Err(Error::Name { .. })));
    let error = Cable::builder("/nowhere").label("a\nb").connect();
    assert!(matches!(error, Err(Error::Name { .. })));
}

#[test]
fn what_makes_no_sense_is_no_welcome() {
    let hello = Hello {
        version: VERSION,
        host: Name::EMPTY,
        label: Name::EMPTY,
        queues: 2,
        ticket: 0,
        ports: None,
    };
    assert_eq!(hail::check(&welcome(), &hello), Ok(()));
    let spoil: [&dyn Fn(&mut Welcome); 11] = [
        &|it| it.version += 1,
        &|it| it.queues = 3,
        &|it| it.mac[0] = 1,
        &|it| it.mac = [0; 6],
        &|it| it.mtu = 67,
        &|it| it.mtu = 70_000,
        &|it| it.addresses.push(("127.0.0.1".parse().unwrap(), 8)),
        &|it| it.addresses.push(("::".parse().unwrap(), 0)),
        &|it| it.gateway = Some("224.0.0.1".parse().unwrap()),
        &|it| it.gateway6 = Some("::1".parse().unwrap()),
        &|it| it.ports = 1000..=2000,
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        let mut welcome = welcome();
        spoil(&mut welcome);
        assert!(hail::check(&welcome, &hello).is_err(), "{number}");
    }
}

/// The server is gone and another one comes: nothing that was sent is lost, and nothing that
/// came.
#[test]
fn another_server_takes_over() {
    let stand = Stand::new();
    let (cable, first) = stand.connect();
    for number in 0..10_u8 {
        assert_eq!(send(&cable, &[number]), Ok(1));
        bring(&first.end, &[100 + number]);
    }
    assert_eq!(came(&first.end).len(), 10);
    for number in 10..20_u8 {
        assert_eq!(send(&cable, &[number]), Ok(1));
    }
    drop(first);
    until("the loss is noticed", || {
        (!cable.is_connected()).then_some(())
    });
    assert!(cable.link(), "for a moment that does not matter");
    std::thread::scope(|scope| {
        // It waits until there is somebody.
        let sending = scope.spawn(|| {
            let start = Instant::now();
            (send(&cable, &[20]), start.elapsed())
        });
        std::thread::sleep(Duration::from_millis(20));
        let (second, hello) = stand.welcome(&welcome());
        assert_eq!(hello.ticket, 0x1234);
        let (sent, waited) = sending.join().unwrap();
        assert_eq!(sent, Ok(1));
        assert!(waited > Duration::from_millis(15), "{waited:?}");
        let expected: Vec<_> = (10..=20_u8).map(|number| vec![number]).collect();
        let mut all = Vec::new();
        until("all has come", || {
            all.extend(came(&second.end));
            (all.len() >= expected.len()).then_some(())
        });
        assert_eq!(all, expected);
        bring(&second.end, b"new");
        let mut all = Vec::new();
        while all.len() < 11 {
            all.extend(receive(&cable));
        }
        assert_eq!(all[9..], [vec![109], b"new".to_vec()]);
    });
    assert_eq!(cable.reconnections(), 1);
}

/// Who has waited in vain does not wait any more, and there is no link.
#[test]
fn without_a_server_there_is_an_end_to_waiting() {
    let stand = Stand::new();
    let (cable, peer) = stand.connect();
    drop((peer, stand));
    until("the loss is noticed", || {
        (!cable.is_connected()).then_some(())
    });
    let start = Instant::now();
    assert_eq!(send(&cable, b"lost"), Ok(0));
    assert!(
        start.elapsed() > Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    let start = Instant::now();
    for _ in 0..1000 {
        assert_eq!(send(&cable, b"lost"), Ok(0));
    }
    assert!(start.elapsed() < Duration::from_secs(1));
    // The last one waits.
    assert_eq!(cable.statistics().send_drops, 1000);
    assert!(!cable.link());
}

/// The newest frame of a connection is sent when there is a server, however long that takes.
#[test]
fn the_newest_waits_for_the_next_server() {
    let stand = Stand::new();
    let (cable, first) = stand.connect();
    drop(first);
    until("the loss is noticed", || {
        (!cable.is_connected()).then_some(())
    });
    for number in 0..5_u8 {
        assert_eq!(send(&cable, &[number]), Ok(0));
    }
    // Those who have not waited for an answer have gone.
    let (second, _) = until("it connects", || stand.try_welcome(&welcome()).ok());
    let all = until("the newest comes", || {
        Some(came(&second.end)).filter(|all| !all.is_empty())
    });
    assert_eq!(all, [[4]]);
    assert_eq!(cable.statistics().send_drops, 4);
}

#[test]
fn a_final_farewell_ends_it() {
    let stand = Stand::new();
    let (cable, peer) = stand.connect();
    let farewell = Farewell {
        code: Code::Misbehaved,
        text: Reason::cut("spoofed"),
    };
    say(&peer.socket, ToApplication::Farewell(farewell));
    let mut batch = Batch::new(Pool::new(0));
    until("it fails", || cable.receive(0, &mut batch).err());
    assert_eq!(send(&cable, b"lost"), Err(HostErrno::NXIO));
    assert!(!cable.link());
}

fn asked(cable: &Cable) -> Asked {
    Asked(Arc::downgrade(&cable.0.shared))
}

fn is_claim(message: ToServer, port: u16) -> u32 {
    match message {
        ToServer::Claim { id, port: of, .. } if of == port => id,
        other => panic!("{other:?} instead of a claim of {port}"),
    }
}

#[test]
fn ports_are_claimed_released_and_claimed_again() {
    let stand = Stand::new();
    let (cable, peer) = stand.connect();
    let asked = asked(&cable);
    let any: IpAddr = "0.0.0.0".parse().unwrap();
    let claim = |address: IpAddr, port| asked.claim(Protocol::Tcp, address, port);
    // What is not the server's is not asked.
    assert_eq!(claim("127.0.0.1".parse().unwrap(), 80), Ok(()));
    assert_eq!(claim("10.9.9.3".parse().unwrap(), 80), Ok(()));
    asked.release(Protocol::Tcp, any, 79);
    std::thread::scope(|scope| {
        let own = ADDRESS.parse().unwrap();
        let link_local = "fe80::ff:fe01:203".parse().unwrap();
        for (address, port, answer) in [
            (any, 80, Ok(())),
            (own, 81, Err(Errno::EADDRINUSE)),
            (link_local, 82, Ok(())),
        ] {
            let claiming = scope.spawn(move || claim(address, port));
            let id = is_claim(hear(&peer.socket), port);
            say(
                &peer.socket,
                match answer {
                    Ok(()) => ToApplication::Granted { id },
                    Err(Errno(errno)) => ToApplication::Refused { id, errno },
                },
            );
            assert_eq!(claiming.join().unwrap(), answer);
        }
        asked.release(Protocol::Tcp, link_local, 82);
        assert!(matches!(
            hear(&peer.socket),
            ToServer::Release { port: 82, .. }
        ));
        // The server goes while somebody waits.
        let claiming = scope.spawn(move || claim(any, 83));
        is_claim(hear(&peer.socket), 83);
        drop(peer);
        let (second, _) = stand.welcome(&welcome());
        let sending = scope.spawn(|| send(&cable, b"waits for the answers"));
        let mut ports = Vec::new();
        for _ in 0..2 {
            if let ToServer::Claim { id, port, .. } = hear(&second.socket) {
                assert!(!ports.is_empty() || came(&second.end).is_empty());
                ports.push(port);
                say(&second.socket, ToApplication::Granted { id });
            }
        }
        ports.sort_unstable();
        assert_eq!(ports, [80, 83]);
        assert_eq!(claiming.join().unwrap(), Ok(()));
        assert_eq!(sending.join().unwrap(), Ok(1));
        let all = until("what waits comes", || {
            Some(came(&second.end)).filter(|it| !it.is_empty())
        });
        assert_eq!(all, [b"waits for the answers"]);
    });
}

#[test]
fn orders_are_passed_on_and_moves_are_told() {
    let stand = Stand::new();
    let (cable, peer) = stand.connect();
    let (ordered, orders) = std::sync::mpsc::channel();
    cable.on_order(move |path| ordered.send(path).unwrap());
    say(&peer.socket, ToApplication::Order { direct: true });
    assert_eq!(orders.recv_timeout(SOON), Ok(Path::Direct));
    let moves = |peer: &Peer, wanted: bool| match hear(&peer.socket) {
        ToServer::Moved { id, direct } if direct == wanted => id,
        other => panic!("{other:?}"),
    };
    // It returns when the server has answered.
    std::thread::scope(|scope| {
        let start = Instant::now();
        let moving = scope.spawn(|| cable.moved(Path::Direct));
        let id = moves(&peer, true);
        std::thread::sleep(Duration::from_millis(20));
        say(&peer.socket, ToApplication::Granted { id });
        moving.join().unwrap().unwrap();
        assert!(start.elapsed() >= Duration::from_millis(20));
        let moving = scope.spawn(|| cable.moved(Path::Direct));
        let (id, errno) = (moves(&peer, true), Errno::EBUSY.raw());
        say(&peer.socket, ToApplication::Refused { id, errno });
        let error = moving.join().unwrap().unwrap_err();
        assert_eq!(Errno::of(&error), Some(Errno::EBUSY));
    });
    // Another server has to know, too.
    drop(peer);
    let (peer, _) = stand.welcome(&welcome());
    moves(&peer, true);
    // One that does not answer keeps nobody.
    cable.moved(Path::Shared).unwrap();
    let id = moves(&peer, false);
    say(&peer.socket, ToApplication::Granted { id });
    cable.moved(Path::Shared).unwrap();
    moves(&peer, false);
    assert_eq!(cable.reconnections(), 1);
}

/// A server that says and writes what it likes: nothing panics, nothing hangs, and the program
/// finds an honest one afterwards. `RUMP_SERVER_FUZZ` says how many connections are tried (100,
/// with up to 40 datagrams and as many writes to the rings each; 5,000 have been).
#[test]
fn hostile_servers() {
    let told = std::env::var("RUMP_SERVER_FUZZ").ok();
    let rounds: u32 = told.map_or(100, |told| told.parse().unwrap());
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let stand = Stand::new();
    let (cable, mut peer) = stand.connect();
    let good = [
        ToApplication::Welcome(welcome()).encode(),
        ToApplication::Granted { id: 1 }.encode(),
        ToApplication::Refused { id: 1, errno: 48 }.encode(),
        ToApplication::Leased {
            id: 2,
            ports: 3..=4,
        }
        .encode(),
        ToApplication::Order { direct: false }.encode(),
    ];
    for _ in 0..rounds {
        // Else it is looked for with longer and longer pauses.
        std::thread::sleep(Duration::from_millis(60));
        let memory = std::fs::File::from(peer.end.file().unwrap().try_clone_to_owned().unwrap());
        for _ in 0..40 {
            let mut message = good[next() as usize % good.len()].clone();
            for _ in 0..next() % 3 {
                let at = next() as usize % message.len();
                message[at] = next() as u8;
            }
            let _ = peer.socket.send(&message, None);
            let place = match next() % 3 {
                0 => [0, 64, 128, 192][next() as usize % 4],
                _ => next() % (2 * (256 << 10)),
            };
            let _ = memory.write_at(&next().to_ne_bytes()[..1 + next() as usize % 8], place);
            let mut batch = Batch::new(Pool::new(0));
            cable.wake();
            let _ = cable.receive(0, &mut batch);
            if !cable.is_connected() {
                break;
            }
            let _ = send(&cable, &[0; 100]);
        }
        // It listens to nobody who is so.
        drop(peer);
        peer = until("another connection", || {
            let (peer, _) = stand.try_welcome(&welcome()).ok()?;
            std::thread::sleep(Duration::from_millis(5));
            cable.is_connected().then_some(peer)
        });
    }
    until("what comes is good again", || {
        bring(&peer.end, b"good");
        let mut batch = Batch::new(Pool::new(0));
        cable.receive(0, &mut batch).unwrap();
        batch
            .frames()
            .iter()
            .any(|it| it.bytes() == b"good")
            .then_some(())
    });
    assert!(cable.reconnections() >= u64::from(rounds));
}
