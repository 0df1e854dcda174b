//! TCP over the loopback interface, that of the kernel in this build and Linux's.

use crate::Outcome;
use crate::comparison::{Better, Harness, Subject, seconds};
use crate::layer::{Host, Layer, Rump};
use crate::sampler::Sampler;
use std::error::Error;
use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

const LINUX: Option<&str> = Some("Linux TCP loopback");
/// Without this the ratio of round trips says more than it should.
const SPINS: &str = "a thread that waits in rump spins for a moment before it sleeps; Linux sleeps at once, \
                     and on an idle machine most of its time is the waking of a CPU";
pub const BLOCK: usize = 64 * 1024;
/// The longest prime below a block: a block that is lost, doubled or out of place shows.
const PERIOD: usize = 65_521;
/// How long a run of a stream is to take.
pub const RUN: Duration = Duration::from_millis(600);
/// A run of the connection rate; few enough for the ports that wait after closing.
const CONNECTIONS: usize = 1000;

pub fn stream(harness: &mut Harness) -> Outcome {
    streams(harness, "loopback/stream-64k", 1)
}

pub fn four_streams(harness: &mut Harness) -> Outcome {
    streams(harness, "loopback/stream4-64k", 4)
}

fn streams(harness: &mut Harness, name: &str, count: usize) -> Outcome {
    harness.boot()?;
    let subject = Subject {
        rival_is: LINUX,
        ..Subject::new(name, "MiB/s", Better::More)
    };
    let (mut ours, mut rival) = (Transfer::new(count), Transfer::new(count));
    harness.compare(&subject, &mut || ours.run::<Rump>(), &mut || {
        rival.run::<Host>()
    })
}

/// Runs of so many streams at once, each run about as long as wanted.
pub struct Transfer {
    streams: usize,
    bytes: usize,
}

impl Transfer {
    pub fn new(streams: usize) -> Self {
        Self {
            streams,
            bytes: 16 << 20,
        }
    }

    /// MiB/s of all streams together.
    pub fn run<L: Layer>(&mut self) -> Result<f64, Box<dyn Error>> {
        let pattern = pattern();
        let pairs = (0..self.streams)
            .map(|_| L::pair())
            .collect::<io::Result<Vec<_>>>()?;
        let bytes = self.bytes / self.streams / BLOCK * BLOCK;
        let start = Instant::now();
        thread::scope(|scope| {
            let mut ends = Vec::new();
            for (client, server) in pairs {
                ends.push(scope.spawn(|| send(client, bytes, &pattern)));
                ends.push(scope.spawn(|| receive(server, bytes, &pattern)));
            }
            ends.into_iter()
                .try_for_each(|end| end.join().expect("an end of a stream does not panic"))
        })?;
        let rate = (bytes * self.streams) as f64 / seconds(start.elapsed());
        self.bytes = (rate * seconds(RUN)) as usize;
        Ok(rate / f64::from(1 << 20))
    }
}

/// Two periods and more, so that a block can start anywhere in the first one.
pub fn pattern() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let period: Vec<u8> = (0..PERIOD)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect();
    period
        .iter()
        .copied()
        .cycle()
        .take(PERIOD + BLOCK)
        .collect()
}

pub fn send(mut stream: impl Write, bytes: usize, pattern: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while sent < bytes {
        let start = sent % PERIOD;
        stream.write_all(&pattern[start..start + BLOCK])?;
        sent += BLOCK;
    }
    Ok(())
}

/// Compares every byte with what was sent.
pub fn receive(mut stream: impl Read, bytes: usize, pattern: &[u8]) -> io::Result<()> {
    let mut buffer = vec![0; BLOCK];
    let mut received = 0;
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        let start = received % PERIOD;
        if buffer[..length] != pattern[start..start + length] {
            return Err(io::Error::other(format!(
                "wrong data after {received} bytes"
            )));
        }
        received += length;
    }
    if received == bytes {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "{received} of {bytes} bytes arrived"
        )))
    }
}

/// A round trip is measured by criterion.
pub fn round_trip(harness: &mut Harness) -> Outcome {
    harness.boot()?;
    let subject = Subject {
        rival_is: LINUX,
        note: Some(SPINS.to_string()),
        ..Subject::new("loopback/rtt-64", "us", Better::Less)
    };
    let (mut ours, mut rival) = (Ping::new::<Rump>()?, Ping::new::<Host>()?);
    let mut sampler = Sampler::new("loopback-rtt-64");
    let mut other = Sampler::new("loopback-rtt-64");
    harness.compare(
        &subject,
        &mut || Ok(sampler.nanoseconds("rump", || ours.once())? / 1000.0),
        &mut || Ok(other.nanoseconds("linux", || rival.once())? / 1000.0),
    )
}

/// A connection with a thread at its other end that sends back what it gets.
struct Ping<S> {
    stream: S,
    number: u64,
}

impl<S: Read + Write + Send + 'static> Ping<S> {
    fn new<L: Layer<Stream = S>>() -> io::Result<Self> {
        let (client, mut server) = L::pair()?;
        L::set_nodelay(&client)?;
        L::set_nodelay(&server)?;
        // Ends with its connection.
        thread::spawn(move || -> io::Result<()> {
            let mut message = [0; 64];
            loop {
                server.read_exact(&mut message)?;
                server.write_all(&message)?;
            }
        });
        Ok(Self {
            stream: client,
            number: 0,
        })
    }

    fn once(&mut self) -> io::Result<()> {
        self.number += 1;
        let mut message = [0; 64];
        message[..8].copy_from_slice(&self.number.to_be_bytes());
        message[56..].copy_from_slice(&self.number.to_le_bytes());
        self.stream.write_all(&message)?;
        let mut answer = [0; 64];
        self.stream.read_exact(&mut answer)?;
        if answer == message {
            Ok(())
        } else {
            Err(io::Error::other("the answer is not what was sent"))
        }
    }
}

pub fn connect_rate(harness: &mut Harness) -> Outcome {
    harness.boot()?;
    let subject = Subject {
        rival_is: LINUX,
        ..Subject::new("loopback/connect-rate", "1/s", Better::More)
    };
    harness.compare(&subject, &mut connections::<Rump>, &mut connections::<Host>)
}

/// Connections a second, one after the other, each with a byte there and back.
fn connections<L: Layer>() -> Result<f64, Box<dyn Error>> {
    let (listener, address) = L::listen()?;
    let server = thread::spawn(move || -> io::Result<()> {
        for _ in 0..CONNECTIONS {
            let mut stream = L::accept(&listener)?;
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            stream.write_all(&[!byte[0]])?;
        }
        Ok(())
    });
    let start = Instant::now();
    for number in 0..CONNECTIONS {
        let mut stream = L::connect(address)?;
        stream.write_all(&[number as u8])?;
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        if byte[0] != !(number as u8) {
            return Err("an answer of another connection".into());
        }
    }
    let took = start.elapsed();
    server.join().expect("the server does not panic")?;
    Ok(CONNECTIONS as f64 / seconds(took))
}
