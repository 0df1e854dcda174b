//! The stream and its check, over anything that reads and writes.
//!
//! The client first says in one byte who sends, and in eight for how many microseconds if
//! that is the server. The sender ends its direction when the time is over. If the client
//! has sent, the server then tells in eight bytes how many it has received and checked.

use rump_examples::pattern;
use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

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
        Direction::Receive => pattern::receive(&mut stream, |_| ())?,
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
    let received = pattern::receive(&mut stream, |_| ())?;
    stream.write_all(&received.to_be_bytes())
}

fn number(stream: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

fn send(stream: &mut impl Stream, time: Duration) -> io::Result<u64> {
    let start = Instant::now();
    let sent = pattern::send(stream, |_| {
        if start.elapsed() < time {
            pattern::BLOCK
        } else {
            0
        }
    })?;
    stream.end()?;
    Ok(sent)
}
