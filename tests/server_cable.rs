//! A kernel's interface over a network server, which is a small one of the test's own: it
//! carries frames between the program's cable and a TAP interface, in a network namespace that
//! this process makes for itself, and says yes to all claims.

mod common;
#[path = "common/patch.rs"]
mod patch;
#[path = "common/stream.rs"]
mod stream;

use common::{Outcome, netns};
use patch::Patch;
use rump::Errno;
use rump::iface::{Link, Tap};
use rump::net::{TcpListener, UdpSocket};
use rump::server::Cable;
use rump_ring::control::{MOST, ToApplication, ToServer, VERSION, Welcome};
use rump_sys::hyper::linux::cable::{End, Shape, Socket};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use stream::BothWays;

/// A port that another program has.
const TAKEN: u16 = 4444;

/// Serves one program at a time, until it is dropped.
struct Server {
    folder: PathBuf,
    stop: Arc<AtomicBool>,
    /// Has the connection of the moment end.
    kill: Arc<AtomicBool>,
    served: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(tap: Tap, welcome: Welcome) -> Result<Self, Box<dyn Error>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rump-test-server-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder)?;
        let listener = Socket::listen(&folder.join("sock"))?;
        let (stop, kill) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let served = Arc::new(AtomicU32::new(0));
        let thread = {
            let (stop, kill) = (Arc::clone(&stop), Arc::clone(&kill));
            let served = Arc::clone(&served);
            let tap = Arc::new(tap);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match listener.accept() {
                        Ok(Some(socket)) => {
                            served.fetch_add(1, Ordering::Relaxed);
                            serve(&socket, &tap, &welcome, || {
                                kill.swap(false, Ordering::Relaxed) || stop.load(Ordering::Relaxed)
                            });
                        }
                        _ => std::thread::sleep(Duration::from_millis(1)),
                    }
                }
            })
        };
        Ok(Self {
            folder,
            stop,
            kill,
            served,
            thread: Some(thread),
        })
    }

    fn place(&self) -> PathBuf {
        self.folder.join("sock")
    }

    /// Ends the connection; whoever comes next finds a new server.
    fn kill(&self) {
        let before = self.served.load(Ordering::Relaxed);
        self.kill.store(true, Ordering::Relaxed);
        wait("another connection", || {
            self.served.load(Ordering::Relaxed) > before
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn serve(socket: &Socket, tap: &Arc<Tap>, welcome: &Welcome, ends: impl Fn() -> bool) {
    let shape = Shape::new(welcome.queues, welcome.data).unwrap();
    let end = Arc::new(End::make(shape).unwrap());
    let mut patch = None;
    let mut bytes = [0; MOST];
    let mut leases = 1;
    while !ends() {
        let message = match socket.receive(&mut bytes) {
            Ok(Some(message)) => ToServer::decode(&bytes[..message.len]).unwrap(),
            Ok(None) => {
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            Err(_) => break,
        };
        let answer = match message {
            ToServer::Hello(_) => {
                let message = ToApplication::Welcome(welcome.clone()).encode();
                socket.send(&message, Some(end.file())).unwrap();
                patch = Some(Patch::new(Arc::clone(&end), Arc::clone(tap)));
                continue;
            }
            ToServer::Claim { id, port, .. } if port == TAKEN => ToApplication::Refused {
                id,
                errno: Errno::EADDRINUSE.raw(),
            },
            ToServer::Claim { id, .. } => ToApplication::Granted { id },
            ToServer::Lease { id } => {
                leases += 1;
                let first = *welcome.ports.start() + 1000 * (leases - 1);
                ToApplication::Leased {
                    id,
                    ports: first..=first + 99,
                }
            }
            _ => continue,
        };
        if socket.send(&answer.encode(), None).is_err() {
            break;
        }
    }
    drop(patch);
}

fn wait(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A server for `10.8.N.2`, and an interface over it.
fn attach(net: u8) -> Result<(Server, Cable, Link), Box<dyn Error>> {
    let kernel = common::boot();
    let tap = Tap::open("served%d")?;
    let name = tap.name().to_string();
    netns::ip(&format!("address add 10.8.{net}.1/24 dev {name}"))?;
    netns::ip(&format!("address add fd00:8:{net}::1/64 dev {name} nodad"))?;
    netns::ip(&format!("link set {name} up"))?;
    let welcome = Welcome {
        version: VERSION,
        mac: [2, 0, 0, 8, net, 2],
        mtu: 1500,
        queues: 1,
        data: 1 << 20,
        ticket: 7,
        ports: 42_000..=42_099,
        gateway: None,
        gateway6: None,
        addresses: vec![
            (format!("10.8.{net}.2").parse()?, 24),
            (format!("fd00:8:{net}::2").parse()?, 64),
        ],
    };
    let server = Server::start(tap, welcome)?;
    let cable = rump::server::connect(server.place())?;
    let link = cable.attach(kernel)?;
    assert_eq!(link.hardware_address()?, Some(cable.mac()));
    Ok((server, cable, link))
}

/// Connections over both families go on while servers come and go.
fn connections_outlive_servers() -> Outcome {
    let (server, cable, link) = attach(1)?;
    let streams = [
        BothWays::start("10.8.1.2")?,
        BothWays::start("fd00:8:1::2")?,
    ];
    let advance = || streams.iter().for_each(|stream| stream.advance(1 << 20));
    advance();
    for _ in 0..20 {
        server.kill();
        advance();
    }
    for stream in streams {
        stream.finish()?;
    }
    assert!(cable.reconnections() >= 20);
    assert!(link.has_link() && link.error().is_none());
    assert_eq!(link.malformed(), 0);
    Ok(())
}

/// The server is asked for ports, and those that the kernel chooses are leased.
fn ports_are_the_servers() -> Outcome {
    let (server, cable, link) = attach(2)?;
    let error = TcpListener::bind(("10.8.2.2", TAKEN)).unwrap_err();
    assert_eq!(Errno::of(&error), Some(Errno::EADDRINUSE));
    let error = UdpSocket::bind(("0.0.0.0", TAKEN)).unwrap_err();
    assert_eq!(Errno::of(&error), Some(Errno::EADDRINUSE));
    // That is no address of the server's.
    TcpListener::bind(("127.0.0.1", TAKEN))?;
    let port = |socket: &UdpSocket| Ok::<_, Box<dyn Error>>(socket.local_addr()?.port());
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    assert!((42_000..=42_099).contains(&port(&socket)?));
    let socket = UdpSocket::bind("[::]:0")?;
    assert!((42_000..=42_099).contains(&port(&socket)?));
    // When they run out there are others.
    let mut sockets = Vec::new();
    for _ in 0..80 {
        sockets.push(UdpSocket::bind("0.0.0.0:0")?);
    }
    wait("another lease is used", || {
        std::thread::sleep(Duration::from_millis(100));
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = port(&socket).unwrap();
        sockets.push(socket);
        port >= 43_000
    });
    for _ in 0..60 {
        sockets.push(UdpSocket::bind("0.0.0.0:0")?);
    }
    // The kernel goes back to what it had.
    let before = sockets.len();
    drop((sockets, link, cable, server));
    assert!(before > 140);
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let free = socket.local_addr()?.port();
    assert!(!(42_000..50_000).contains(&free), "{free}");
    TcpListener::bind(("0.0.0.0", TAKEN))?;
    Ok(())
}

fn main() {
    common::run_with_interfaces_in_turn(
        [
            (
                "root::connections_outlive_servers",
                connections_outlive_servers,
            ),
            ("root::ports_are_the_servers", ports_are_the_servers),
        ],
        |_| None,
    )
}
