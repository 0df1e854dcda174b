//! Large transfers, compared by checksum.

use super::*;
use std::thread;

pub const CASES: &[Case] = &[
    case("one_way", one_way, "bytes=16777216, checksum=true"),
    case("both_ways_at_once", both_ways, "there=true, back=true"),
    case("v6_one_way", v6_one_way, "bytes=8388608, checksum=true"),
    case("small_reads", small_reads, "bytes=1048576, checksum=true"),
    case("odd_sizes", odd_sizes, "bytes=2097152, checksum=true"),
    case("slow_reader", slow_reader, "bytes=1048576, checksum=true"),
    case("echoed", echoed, "same=true, echoed=2097152"),
    case("four_streams", four_streams, "checksums=4"),
    case(
        "reader_stops_early",
        reader_stops_early,
        "writer saw an error=true",
    ),
];

/// A stream of bytes that does not repeat within a transfer, and its running checksum.
struct Pattern {
    state: u64,
    checksum: u64,
    bytes: usize,
}

impl Pattern {
    fn new(seed: u64) -> Self {
        Self {
            state: seed | 1,
            checksum: 0,
            bytes: 0,
        }
    }

    /// Overwrites a block with the next bytes.
    fn fill(&mut self, block: &mut [u8]) {
        for byte in block.iter_mut() {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            *byte = (self.state >> 32) as u8;
        }
        self.add(block);
    }

    /// FNV-1a of everything so far.
    fn add(&mut self, block: &[u8]) {
        self.bytes += block.len();
        for byte in block {
            self.checksum = (self.checksum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

/// Sends so many bytes in blocks and ends the stream; returns the checksum.
fn send(mut stream: &TcpStream, seed: u64, bytes: usize, block: usize) -> io::Result<u64> {
    let mut pattern = Pattern::new(seed);
    let mut buffer = vec![0; block];
    while pattern.bytes < bytes {
        let length = block.min(bytes - pattern.bytes);
        pattern.fill(&mut buffer[..length]);
        stream.write_all(&buffer[..length])?;
    }
    stream.shutdown(api::Shutdown::Write)?;
    Ok(pattern.checksum)
}

/// Reads to the end; returns how many bytes and their checksum.
fn receive(mut stream: &TcpStream, block: usize, pause: Duration) -> io::Result<(usize, u64)> {
    let mut pattern = Pattern::new(0);
    let mut buffer = vec![0; block];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok((pattern.bytes, pattern.checksum)),
            length => pattern.add(&buffer[..length]),
        }
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
}

/// Sends from a thread of its own while this one receives.
fn transfer(
    seen: &mut Seen,
    (client, server): (TcpStream, TcpStream),
    bytes: usize,
    write: usize,
    read: usize,
) -> io::Result<()> {
    let sender = thread::spawn(move || send(&client, 42, bytes, write));
    let (arrived, checksum) = receive(&server, read, Duration::ZERO)?;
    seen.value("bytes", arrived);
    seen.value(
        "checksum",
        sender.join().expect("the sender does not panic")? == checksum,
    );
    Ok(())
}

fn one_way(seen: &mut Seen) -> io::Result<()> {
    transfer(seen, pair()?, 16 << 20, 64 << 10, 64 << 10)
}

fn both_ways(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    let bytes = 8 << 20;
    thread::scope(|scope| {
        let there = scope.spawn(|| send(&client, 1, bytes, 64 << 10));
        let back = scope.spawn(|| send(&server, 2, bytes, 48 << 10));
        let at_server = scope.spawn(|| receive(&server, 64 << 10, Duration::ZERO));
        let at_client = receive(&client, 64 << 10, Duration::ZERO)?;
        let at_server = at_server.join().expect("the reader does not panic")?;
        let there = there.join().expect("the sender does not panic")?;
        let back = back.join().expect("the sender does not panic")?;
        seen.value("there", at_server == (bytes, there));
        seen.value("back", at_client == (bytes, back));
        Ok(())
    })
}

fn v6_one_way(seen: &mut Seen) -> io::Result<()> {
    transfer(seen, pair_on(LOCAL6.into())?, 8 << 20, 64 << 10, 64 << 10)
}

fn small_reads(seen: &mut Seen) -> io::Result<()> {
    transfer(seen, pair()?, 1 << 20, 64 << 10, 97)
}

fn odd_sizes(seen: &mut Seen) -> io::Result<()> {
    transfer(seen, pair()?, 2 << 20, 4_097, 9_973)
}

fn slow_reader(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    let sender = thread::spawn(move || send(&client, 7, 1 << 20, 64 << 10));
    thread::sleep(2 * SOON);
    let (arrived, checksum) = receive(&server, 32 << 10, Duration::from_millis(5))?;
    seen.value("bytes", arrived);
    seen.value(
        "checksum",
        sender.join().expect("the sender does not panic")? == checksum,
    );
    Ok(())
}

fn echoed(seen: &mut Seen) -> io::Result<()> {
    let (client, server) = pair()?;
    // The server's end is dropped, and so closed, when the client has shut down.
    let echo = thread::spawn(move || io::copy(&mut &server, &mut &server));
    let bytes = 2 << 20;
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(&client, 5, bytes, 32 << 10));
        let got = receive(&client, 32 << 10, Duration::ZERO)?;
        let sent = sender.join().expect("the sender does not panic")?;
        seen.value("same", got == (bytes, sent));
        let echoed = echo.join().expect("the echo does not panic")?;
        seen.value("echoed", echoed);
        Ok(())
    })
}

fn four_streams(seen: &mut Seen) -> io::Result<()> {
    let pairs = (0..4).map(|_| pair()).collect::<io::Result<Vec<_>>>()?;
    let same = thread::scope(|scope| {
        let ends: Vec<_> = (0..)
            .zip(&pairs)
            .map(|(seed, (client, server))| {
                let sender = scope.spawn(move || send(client, 100 + seed, 4 << 20, 64 << 10));
                (
                    sender,
                    scope.spawn(move || receive(server, 64 << 10, Duration::ZERO)),
                )
            })
            .collect();
        let mut same = 0;
        for (sender, receiver) in ends {
            let sent = sender.join().expect("the sender does not panic")?;
            let got = receiver.join().expect("the reader does not panic")?;
            same += usize::from(got == (4 << 20, sent));
        }
        Ok::<_, io::Error>(same)
    })?;
    seen.value("checksums", same);
    Ok(())
}

fn reader_stops_early(seen: &mut Seen) -> io::Result<()> {
    let (client, mut server) = pair()?;
    let sender = thread::spawn(move || send(&client, 9, 64 << 20, 64 << 10));
    server.read_exact(&mut [0; 1000])?;
    drop(server);
    let kind = sender
        .join()
        .expect("the sender does not panic")
        .err()
        .map(|error| error.kind());
    let expected = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
    seen.value(
        "writer saw an error",
        kind.is_some_and(|kind| expected.contains(&kind)),
    );
    Ok(())
}
