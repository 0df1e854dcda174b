//! A stream of bytes that says where it is: what is lost, doubled or out of place shows.

use std::io::{self, Error, ErrorKind, Read, Write};

/// After so many bytes it begins again: a prime, so no block of a usual size has the same
/// bytes as another soon.
const PERIOD: usize = 65_521;
/// What is written and read at a time at most.
pub const BLOCK: usize = 64 * 1024;

/// The bytes, so many that a block can begin anywhere in a period.
fn bytes() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(byte).take(PERIOD).collect();
    bytes.extend_from_within(..);
    bytes.extend_from_within(..BLOCK);
    bytes
}

fn place(position: u64) -> usize {
    usize::try_from(position % PERIOD as u64).unwrap_or_default()
}

/// Sends as much at a time as `next` says, [`BLOCK`] at most, which is told how much was sent
/// so far; 0 is the end. Returns how much it was.
///
/// # Errors
/// The stream's.
pub fn send(stream: &mut impl Write, mut next: impl FnMut(u64) -> usize) -> io::Result<u64> {
    let bytes = bytes();
    let mut sent = 0;
    loop {
        let length = next(sent).min(BLOCK);
        if length == 0 {
            return Ok(sent);
        }
        stream.write_all(&bytes[place(sent)..][..length])?;
        sent += length as u64;
    }
}

/// Receives to the end and compares; tells `so_far` how much it has been, and returns that.
///
/// # Errors
/// The stream's; [`InvalidData`](ErrorKind::InvalidData) if it is not what [`send`] sends.
pub fn receive(stream: &mut impl Read, mut so_far: impl FnMut(u64)) -> io::Result<u64> {
    let bytes = bytes();
    let mut buffer = vec![0; BLOCK];
    let mut received = 0;
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(received);
        }
        if buffer[..length] != bytes[place(received)..][..length] {
            let text = format!("wrong data within {length} bytes after {received}");
            return Err(Error::new(ErrorKind::InvalidData, text));
        }
        received += length as u64;
        so_far(received);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received_and_nothing_else() {
        const ALL: u64 = 300_000;
        let mut stream = Vec::new();
        let next = |sent: u64| (ALL - sent).min(10_007) as usize;
        assert_eq!(send(&mut stream, next).unwrap(), ALL);
        let mut last = 0;
        let received = receive(&mut &stream[..], |received| last = received);
        assert_eq!((received.unwrap(), last), (ALL, ALL));
        let wrong = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut stream = stream.clone();
            change(&mut stream);
            receive(&mut &stream[..], |_| ()).unwrap_err().kind()
        };
        assert_eq!(wrong(&|s| s[123_456] ^= 1), ErrorKind::InvalidData);
        let without = |s: &mut Vec<u8>| {
            s.remove(70_000);
        };
        assert_eq!(wrong(&without), ErrorKind::InvalidData);
        assert_eq!(wrong(&|s| s.insert(0, 7)), ErrorKind::InvalidData);
        assert_eq!(wrong(&|s| s.swap(4096, 8192 + 1)), ErrorKind::InvalidData);
    }
}
