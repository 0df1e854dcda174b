//! Many connections that are all busy, every byte compared, and how long nothing came.
//!
//! Linux connects to the kernel, sends a message over each connection in turn, and then
//! takes the echo of each. A connection that fails, or brings another byte, is noted and left
//! out from then on.

#![allow(dead_code)]

use rump::net::{TcpListener, TcpStream};
use rump::poll::{Events, PollFd, poll};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

/// Bytes of a message.
const MESSAGE: usize = 512;
/// Threads on either side.
const THREADS: usize = 2;
/// A connection over which nothing comes for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// When something came last, and the longest intervals.
struct Clock {
    start: Instant,
    last: AtomicU64,
    longest: AtomicU64,
    worst: AtomicU64,
    messages: AtomicU64,
}

impl Clock {
    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// A message has come over a connection over which the one before came then.
    fn note(&self, before: &mut u64) {
        let now = self.now();
        let last = self.last.fetch_max(now, Ordering::Relaxed);
        self.longest
            .fetch_max(now.saturating_sub(last), Ordering::Relaxed);
        self.worst.fetch_max(now - *before, Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
        *before = now;
    }
}

/// Intervals without a message that came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gaps {
    /// Over all connections.
    pub overall: Duration,
    /// For the one of them that waited longest.
    pub worst: Duration,
    /// How many messages came.
    pub messages: u64,
}

/// What went wrong with connections.
#[derive(Default)]
struct Failures(Mutex<Vec<String>>);

impl Failures {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

/// The connections.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    clock: Arc<Clock>,
    failures: Arc<Failures>,
    count: usize,
    clients: Vec<JoinHandle<()>>,
    servers: Vec<JoinHandle<()>>,
}

/// What a message consists of: no two connections, and no two rounds, have the same.
fn fill(message: &mut [u8; MESSAGE], connection: usize, round: u64) {
    let mut state = ((connection as u64 + 1) << 32) ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for bytes in message.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.copy_from_slice(&state.to_ne_bytes());
    }
}

impl Crowd {
    /// So many connections from Linux to these addresses of the kernel.
    pub fn start(addresses: &[String], count: usize) -> io::Result<Self> {
        let mut inside: Vec<Vec<TcpStream>> = (0..THREADS).map(|_| Vec::new()).collect();
        let mut outside: Vec<Vec<Client>> = (0..THREADS).map(|_| Vec::new()).collect();
        let clock = Arc::new(Clock {
            start: Instant::now(),
            last: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            worst: AtomicU64::new(0),
            messages: AtomicU64::new(0),
        });
        let listeners = addresses
            .iter()
            .map(|address| {
                let address = address.parse().map_err(io::Error::other)?;
                TcpListener::bind(SocketAddr::new(address, 0))
            })
            .collect::<io::Result<Vec<_>>>()?;
        for number in 0..count {
            let listener = &listeners[number % listeners.len()];
            let stream = std::net::TcpStream::connect(listener.local_addr()?)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let (server, _) = listener.accept()?;
            server.set_nodelay(true)?;
            inside[number % THREADS].push(server);
            outside[number % THREADS].push(Client {
                number,
                stream,
                last: clock.now(),
            });
        }
        let stop = Arc::new(AtomicBool::new(false));
        let failures = Arc::new(Failures::default());
        let servers = inside.into_iter().map(|mine| {
            let failures = Arc::clone(&failures);
            spawn(move || echo(&mine, &failures))
        });
        let servers = servers.collect();
        let clients = outside.into_iter().map(|mine| {
            let (stop, clock) = (Arc::clone(&stop), Arc::clone(&clock));
            let failures = Arc::clone(&failures);
            spawn(move || talk(mine, &stop, &clock, &failures))
        });
        Ok(Self {
            servers,
            clients: clients.collect(),
            stop,
            clock,
            failures,
            count,
        })
    }

    /// Runs something, for at least so long and until there were three messages for each
    /// connection; the longest intervals meanwhile.
    ///
    /// # Panics
    /// If nothing comes any more.
    pub fn during<R>(&self, time: Duration, run: impl FnOnce() -> R) -> (Gaps, R) {
        let clock = &self.clock;
        let before = clock.messages.load(Ordering::Relaxed);
        clock.longest.store(0, Ordering::Relaxed);
        clock.worst.store(0, Ordering::Relaxed);
        let start = Instant::now();
        let result = run();
        let end = Instant::now();
        let messages = || clock.messages.load(Ordering::Relaxed) - before;
        while start.elapsed() < time || messages() < 3 * self.count as u64 {
            assert!(
                end.elapsed() < time + PATIENCE,
                "{} messages in {:?}",
                messages(),
                start.elapsed()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        let nanos = |of: &AtomicU64| Duration::from_nanos(of.load(Ordering::Relaxed));
        let gaps = Gaps {
            overall: nanos(&clock.longest),
            worst: nanos(&clock.worst),
            messages: messages(),
        };
        (gaps, result)
    }

    /// Ends all connections in order; what went wrong with any.
    pub fn finish(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.clients.into_iter().chain(self.servers) {
            thread.join().expect("no panic");
        }
        std::mem::take(&mut self.failures.0.lock().unwrap())
    }
}

/// Linux's end of a connection.
struct Client {
    number: usize,
    stream: std::net::TcpStream,
    /// When something came last.
    last: u64,
}

impl Client {
    fn send(&mut self, round: u64) -> Result<(), String> {
        let mut message = [0; MESSAGE];
        fill(&mut message, self.number, round);
        let sent = self.stream.write_all(&message);
        sent.map_err(|error| format!("sending over connection {}: {error}", self.number))
    }

    fn receive(&mut self, round: u64, clock: &Clock) -> Result<(), String> {
        let (mut message, mut answer) = ([0; MESSAGE], [0; MESSAGE]);
        fill(&mut message, self.number, round);
        let received = self.stream.read_exact(&mut answer);
        received.map_err(|error| format!("receiving over connection {}: {error}", self.number))?;
        clock.note(&mut self.last);
        if answer == message {
            Ok(())
        } else {
            let number = self.number;
            Err(format!(
                "wrong bytes over connection {number} in round {round}"
            ))
        }
    }
}

fn talk(mut clients: Vec<Client>, stop: &AtomicBool, clock: &Clock, failures: &Failures) {
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        let good = |result: Result<(), String>| result.map_err(|what| failures.note(what)).is_ok();
        clients.retain_mut(|client| good(client.send(round)));
        clients.retain_mut(|client| good(client.receive(round, clock)));
        round += 1;
    }
}

/// Sends back what comes until all connections have ended.
fn echo(connections: &[TcpStream], failures: &Failures) {
    let mut open: Vec<&TcpStream> = connections.iter().collect();
    let mut buffer = [0; 4 * MESSAGE];
    while !open.is_empty() {
        let mut entries: Vec<_> = open
            .iter()
            .map(|stream| PollFd::new(*stream, Events::READABLE))
            .collect();
        if let Err(error) = poll(&mut entries, None) {
            failures.note(format!("poll: {error}"));
            return;
        }
        let ready: Vec<bool> = entries
            .iter()
            .map(|entry| !entry.returned().is_empty())
            .collect();
        drop(entries);
        let mut ready = ready.into_iter();
        open.retain(|stream| {
            if !ready.next().unwrap_or(false) {
                return true;
            }
            let mut stream = *stream;
            let goes_on = stream.read(&mut buffer).and_then(|length| {
                stream.write_all(&buffer[..length])?;
                Ok(length > 0)
            });
            goes_on.unwrap_or_else(|error| {
                failures.note(format!("in the kernel: {error}"));
                false
            })
        });
    }
}
