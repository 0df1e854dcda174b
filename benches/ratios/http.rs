//! HTTP with keep-alive: 64 connections, each of which asks for a page of 612 bytes again
//! and again. The server is one program, on this kernel's sockets or on Linux's: a thread
//! for each connection. The client is Linux's, one thread that polls, and compares every
//! byte.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::thread;

pub const CONNECTIONS: usize = 64;
/// What nginx says in its default page.
const PAGE: usize = 612;
const REQUEST: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n\r\n";

fn response() -> Vec<u8> {
    let mut response =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {PAGE}\r\n\r\n")
            .into_bytes();
    response.extend((0..PAGE).map(|at| b'a' + (at % 26) as u8));
    response
}

/// Serves what is accepted, as long as there is anything.
pub fn serve<S: Read + Write + Send + 'static>(accept: impl Fn() -> io::Result<S>) {
    while let Ok(stream) = accept() {
        thread::spawn(move || {
            if let Err(error) = answer(stream) {
                eprintln!("a connection ended: {error}");
            }
        });
    }
}

/// Answers requests until the client is gone.
fn answer(mut stream: impl Read + Write) -> io::Result<()> {
    let response = response();
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        let head = request.parse(&buffer[..filled]).map_err(io::Error::other)?;
        if let httparse::Status::Complete(length) = head {
            stream.write_all(&response)?;
            buffer.copy_within(length..filled, 0);
            filled -= length;
            continue;
        }
        match stream.read(&mut buffer[filled..])? {
            0 => return Ok(()),
            length => filled += length,
        }
    }
}

/// A connection, and how much of the answer is there.
struct Connection {
    stream: TcpStream,
    got: usize,
}

/// Sends so many requests, over all connections together, and reads their answers.
pub fn request(server: SocketAddr, count: usize) -> io::Result<()> {
    let expected = response();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        (&stream).write_all(REQUEST)?;
        connections.push(Connection { stream, got: 0 });
    }
    let mut asked = connections.len();
    let mut answered = 0;
    while answered < count {
        let mut all: Vec<_> = connections
            .iter()
            .map(|it| PollFd::new(it.stream.as_fd(), PollFlags::POLLIN))
            .collect();
        poll(&mut all, PollTimeout::from(10_000u16))?;
        let ready: Vec<bool> = all.iter().map(|it| it.any() == Some(true)).collect();
        if !ready.contains(&true) {
            return Err(ErrorKind::TimedOut.into());
        }
        for (connection, _) in connections
            .iter_mut()
            .zip(ready)
            .filter(|(_, ready)| *ready)
        {
            if connection.advance(&expected)? {
                answered += 1;
                if asked < count {
                    asked += 1;
                    connection.stream.write_all(REQUEST)?;
                }
            }
        }
    }
    Ok(())
}

impl Connection {
    /// Reads what is there; whether the answer is complete.
    fn advance(&mut self, expected: &[u8]) -> io::Result<bool> {
        let mut buffer = [0; 1024];
        let length = match self.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        if expected.get(self.got..self.got + length) != Some(&buffer[..length]) {
            return Err(io::Error::other("not the page"));
        }
        self.got = (self.got + length) % expected.len();
        Ok(self.got == 0)
    }
}
