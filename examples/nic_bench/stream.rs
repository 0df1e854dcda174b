//! The stream and its check, over anything that reads and writes.
//!
//! The client first says in one byte who sends, and in eight for how many microseconds if
//! that is the server. The sender ends its direction when the time is over. If the client
//! has sent, the server then tells in eight bytes how many it has received and checked.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// A prime: what is lost, doubled or out of place shows.
const PERIOD: usize = 65_521;
/// What is written and read at a time.
const BLOCK: usize = 64 * 1024;
/// The longest that a client may ask for.
const LONGEST: Duration = Duration::from_secs(600);

/// Who sends, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Send,
    Receive,
}

/// A connection of which one direction can be ended.
pub trait Stream: Read + Write {
    /// Nothing more will be sent.
    fn end(&mut self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn end(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Stream for rump::net::TcpStream {
    fn end(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// The client's side: bytes that were received and checked, and seconds until they were.
pub fn ask(
    mut stream: impl Stream,
    direction: Direction,
    time: Duration,
) -> io::Result<(u64, f64)> {
    let time = time.min(LONGEST);
    let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let mut request = vec![u8::from(direction == Direction::Receive)];
    request.extend(microseconds.to_be_bytes());
    stream.write_all(&request)?;
    let start = Instant::now();
    let bytes = match direction {
        Direction::Receive => receive(&mut stream)?,
        Direction::Send => {
            let sent = send(&mut stream, time)?;
            let received = number(&mut stream)?;
            if received != sent {
                let text = format!("{sent} bytes were sent, and {received} received");
                return Err(Error::new(ErrorKind::InvalidData, text));
            }
            received
        }
    };
    Ok((bytes, start.elapsed().as_secs_f64()))
}

/// The server's side.
pub fn serve(mut stream: impl Stream) -> io::Result<()> {
    let mut sends = [0];
    stream.read_exact(&mut sends)?;
    let time = Duration::from_micros(number(&mut stream)?);
    if sends != [0] {
        send(&mut stream, time.min(LONGEST))?;
        return Ok(());
    }
    let received = receive(&mut stream)?;
    stream.write_all(&received.to_be_bytes())
}

fn number(stream: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

/// Two periods, so that a block can begin anywhere in the first.
fn pattern() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let period: Vec<u8> = std::iter::repeat_with(byte).take(PERIOD).collect();
    period.repeat(3)
}

fn place(bytes: u64) -> usize {
    usize::try_from(bytes % PERIOD as u64).unwrap_or_default()
}

fn send(stream: &mut impl Stream, time: Duration) -> io::Result<u64> {
    let pattern = pattern();
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < time {
        let at = place(sent);
        stream.write_all(&pattern[at..at + BLOCK])?;
        sent += BLOCK as u64;
    }
    stream.end()?;
    Ok(sent)
}

fn receive(stream: &mut impl Read) -> io::Result<u64> {
    let pattern = pattern();
    let mut buffer = vec![0; BLOCK];
    let mut received = 0;
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(received);
        }
        let at = place(received);
        if buffer[..length] != pattern[at..at + length] {
            let text = format!("wrong data within {length} bytes after {received}");
            return Err(Error::new(ErrorKind::InvalidData, text));
        }
        received += length as u64;
    }
}
