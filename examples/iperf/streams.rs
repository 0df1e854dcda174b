//! The data: as much as goes through, until it is over.

use rump::net::TcpStream;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a thread waits in a call before it looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);

/// Threads that send or receive, one a stream.
pub(crate) struct Streams {
    threads: Vec<JoinHandle<io::Result<TcpStream>>>,
    counts: Vec<Arc<AtomicU64>>,
    over: Arc<AtomicBool>,
    begin: Instant,
}

impl Streams {
    /// Starts. What moves before `omit` has passed is not counted.
    pub(crate) fn start(
        streams: Vec<TcpStream>,
        sends: bool,
        block: usize,
        omit: u64,
    ) -> io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let begin = Instant::now() + Duration::from_secs(omit);
        let (mut threads, mut counts) = (Vec::new(), Vec::new());
        for stream in streams {
            stream.set_read_timeout(Some(LOOK))?;
            stream.set_write_timeout(Some(LOOK))?;
            let count = Arc::new(AtomicU64::new(0));
            counts.push(count.clone());
            let over = over.clone();
            threads.push(thread::spawn(move || {
                transfer(stream, sends, block, begin, &count, &over)
            }));
        }
        Ok(Self {
            threads,
            counts,
            over,
            begin,
        })
    }

    /// Ends.
    ///
    /// # Errors
    /// The first of a stream that failed before.
    pub(crate) fn end(self) -> io::Result<Ended> {
        self.over.store(true, Ordering::Relaxed);
        let seconds = self.begin.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let count = |count: &Arc<AtomicU64>| count.load(Ordering::Relaxed);
        let counts = self.counts.iter().map(count).collect();
        let join = |thread: JoinHandle<_>| {
            let ended = thread.join();
            ended.map_err(|_| io::Error::other("a stream's thread panicked"))?
        };
        Ok(Ended {
            bytes: counts,
            seconds,
            streams: self
                .threads
                .into_iter()
                .map(join)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// What has moved.
pub(crate) struct Ended {
    /// By each stream.
    pub(crate) bytes: Vec<u64>,
    pub(crate) seconds: f64,
    /// Still open. An iperf3 that serves takes a stream that ends before it has heard that
    /// the test is over for an error; one that asked has heard, and waits for their end.
    pub(crate) streams: Vec<TcpStream>,
}

fn transfer(
    mut stream: TcpStream,
    sends: bool,
    block: usize,
    begin: Instant,
    count: &AtomicU64,
    over: &AtomicBool,
) -> io::Result<TcpStream> {
    let mut buffer = vec![0x5a; block];
    while !over.load(Ordering::Relaxed) {
        let moved = if sends {
            stream.write(&buffer)
        } else {
            stream.read(&mut buffer)
        };
        match moved {
            // The peer has ended it.
            Ok(0) => break,
            Ok(moved) if Instant::now() >= begin => {
                count.fetch_add(moved as u64, Ordering::Relaxed);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It is over for the peer before we hear of it.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                ) =>
            {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(stream)
}
