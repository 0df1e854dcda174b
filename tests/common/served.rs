//! A small network server: it carries frames between the cable of a program, one at a time, and
//! a TAP interface, and says yes to all claims but one.

#![allow(dead_code)]

use super::common::netns;
use super::patch::Patch;
use rump::Errno;
use rump::iface::Tap;
use rump_ring::control::{MOST, ToApplication, ToServer, VERSION, Welcome};
use rump_sys::hyper::linux::cable::{End, Shape, Socket};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A port that another program has.
pub const TAKEN: u16 = 4444;

/// Serves one program at a time, until it is dropped.
pub struct Server {
    folder: PathBuf,
    stop: Arc<AtomicBool>,
    /// Has the connection of the moment end.
    kill: Arc<AtomicBool>,
    served: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// One for `10.8.N.2` and `fd00:8:N::2`; Linux is `10.8.N.1`, and `fd00:8:N::1`.
    pub fn of(net: u8) -> Result<Self, Box<dyn Error>> {
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
        Self::start(tap, welcome)
    }

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

    pub fn place(&self) -> PathBuf {
        self.folder.join("sock")
    }

    /// Ends the connection; whoever comes next finds a new server.
    pub fn kill(&self) {
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
                socket.send(&message, end.file()).unwrap();
                patch = Some(Patch::new(Arc::clone(&end), Arc::clone(tap)));
                continue;
            }
            ToServer::Claim { id, port, .. } if port == TAKEN => ToApplication::Refused {
                id,
                errno: Errno::EADDRINUSE.raw(),
            },
            ToServer::Claim { id, .. } | ToServer::Moved { id, .. } => {
                ToApplication::Granted { id }
            }
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

pub fn wait(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
