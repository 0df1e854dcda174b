//! Transfers in both directions at once, every byte compared.

#![allow(dead_code)]

use rump_examples::pattern::{self, BLOCK};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

pub fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse::<IpAddr>().unwrap(), port)
}

/// Arbitrary bytes, the same at each call.
pub fn data(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_ne_bytes()
    };
    let mut data = Vec::with_capacity(len + 8);
    while data.len() < len {
        data.extend_from_slice(&next());
    }
    data.truncate(len);
    data
}

/// Sends until told to stop; returns how much it was.
fn write(mut stream: impl Write, stop: &AtomicBool) -> io::Result<u64> {
    let running = |_| {
        if stop.load(Ordering::Relaxed) {
            0
        } else {
            BLOCK
        }
    };
    pattern::send(&mut stream, running)
}

/// Receives until the end; returns how much it was.
fn read(mut stream: impl Read, progress: &AtomicU64) -> io::Result<u64> {
    pattern::receive(&mut stream, |received| {
        progress.store(received, Ordering::Relaxed)
    })
}

/// A connection over which both sides send.
pub struct BothWays {
    stop: Arc<AtomicBool>,
    progress: [Arc<AtomicU64>; 2],
    readers: [JoinHandle<io::Result<u64>>; 2],
    writers: [JoinHandle<io::Result<u64>>; 2],
}

impl BothWays {
    /// Between the kernel and Linux, which connects to the kernel at this address.
    pub fn start(address: &str) -> io::Result<Self> {
        let listener = rump::net::TcpListener::bind(at(address, 0))?;
        let outside = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (inside, _) = listener.accept()?;
        let stop = Arc::new(AtomicBool::new(false));
        let progress = [Arc::default(), Arc::default()];
        let (in_reader, out_reader) = (inside.try_clone()?, outside.try_clone()?);
        let (in_stop, out_stop) = (Arc::clone(&stop), Arc::clone(&stop));
        let (in_progress, out_progress) = (Arc::clone(&progress[0]), Arc::clone(&progress[1]));
        Ok(Self {
            stop,
            progress,
            readers: [
                spawn(move || read(in_reader, &in_progress)),
                spawn(move || read(out_reader, &out_progress)),
            ],
            writers: [
                spawn(move || {
                    let sent = write(&inside, &in_stop)?;
                    inside.shutdown(Shutdown::Write)?;
                    Ok(sent)
                }),
                spawn(move || {
                    let sent = write(&outside, &out_stop)?;
                    outside.shutdown(Shutdown::Write)?;
                    Ok(sent)
                }),
            ],
        })
    }

    /// Bytes received by the kernel and by Linux so far.
    pub fn progress(&self) -> [u64; 2] {
        self.progress
            .each_ref()
            .map(|progress| progress.load(Ordering::Relaxed))
    }

    /// Waits until each side has received so much more.
    ///
    /// # Panics
    /// If it takes too long, or the connection has ended.
    pub fn advance(&self, bytes: u64) {
        let before = self.progress();
        let start = Instant::now();
        loop {
            let now = self.progress();
            if now[0] - before[0] >= bytes && now[1] - before[1] >= bytes {
                return;
            }
            let ended = self.readers.iter().any(JoinHandle::is_finished);
            assert!(
                !ended && start.elapsed() < Duration::from_secs(60),
                "from {before:?} to {now:?} bytes in {:?}",
                start.elapsed()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends both directions; each side has received what the other has sent.
    pub fn finish(self) -> io::Result<[u64; 2]> {
        self.stop.store(true, Ordering::Relaxed);
        let [from_inside, from_outside] = self.writers.map(|thread| thread.join().unwrap());
        let [at_inside, at_outside] = self.readers.map(|thread| thread.join().unwrap());
        let (from_inside, from_outside) = (from_inside?, from_outside?);
        assert_eq!((at_inside?, at_outside?), (from_outside, from_inside));
        Ok([from_outside, from_inside])
    }
}
