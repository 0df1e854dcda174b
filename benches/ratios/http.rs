//! HTTP with keep-alive: 64 connections, each of which asks for a page of 612 bytes again
//! and again. The server is one program, on this kernel's sockets or on Linux's: a thread
//! that waits for events of all connections. So is the client, on Linux's sockets; it
//! compares every byte.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use rump::kqueue::{self, Filter, Kqueue, Mode};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

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

/// What the server needs of sockets: of the kernel's with kqueue(2), of Linux's with
/// epoll(7).
pub trait Layer: Sized {
    type Listener;
    type Stream: Read + Write;

    fn new(listener: &Self::Listener) -> io::Result<Self>;
    fn accept(listener: &Self::Listener) -> io::Result<Self::Stream>;
    /// Watches a stream, under a number.
    fn add(&self, stream: &Self::Stream, number: usize) -> io::Result<()>;
    /// Waits, and adds the numbers of those from which something can be read.
    fn wait(&mut self, ready: &mut Vec<usize>) -> io::Result<()>;
}

/// The number of the listener.
const LISTENER: usize = usize::MAX;

pub struct Kernel(Kqueue, Vec<kqueue::Event>);

impl Layer for Kernel {
    type Listener = rump::net::TcpListener;
    type Stream = rump::net::TcpStream;

    fn new(listener: &Self::Listener) -> io::Result<Self> {
        let kqueue = Kqueue::new()?;
        kqueue.add(Filter::read(listener), Mode::Level, LISTENER)?;
        Ok(Self(kqueue, Vec::new()))
    }

    fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn add(&self, stream: &Self::Stream, number: usize) -> io::Result<()> {
        self.0.add(Filter::read(stream), Mode::Level, number)
    }

    fn wait(&mut self, ready: &mut Vec<usize>) -> io::Result<()> {
        self.1.clear();
        self.0.wait(&mut self.1, None)?;
        ready.extend(self.1.iter().map(kqueue::Event::udata));
        Ok(())
    }
}

pub struct Linux(Epoll);

impl Layer for Linux {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn new(listener: &Self::Listener) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(
            listener,
            EpollEvent::new(EpollFlags::EPOLLIN, LISTENER as u64),
        )?;
        Ok(Self(epoll))
    }

    fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn add(&self, stream: &Self::Stream, number: usize) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
        Ok(self.0.add(stream, event)?)
    }

    fn wait(&mut self, ready: &mut Vec<usize>) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); CONNECTIONS];
        let count = self.0.wait(&mut events, EpollTimeout::NONE)?;
        ready.extend(events[..count].iter().map(|event| event.data() as usize));
        Ok(())
    }
}

/// Serves what is accepted, until that fails.
pub fn serve<L: Layer>(listener: &L::Listener) -> io::Result<()> {
    let mut layer = L::new(listener)?;
    let mut clients: Vec<Option<Client<L::Stream>>> = Vec::new();
    let mut ready = Vec::new();
    loop {
        ready.clear();
        layer.wait(&mut ready)?;
        for number in &ready {
            if *number == LISTENER {
                let stream = L::accept(listener)?;
                let free = clients.iter().position(Option::is_none);
                let number = free.unwrap_or(clients.len());
                layer.add(&stream, number)?;
                clients.resize_with(clients.len().max(number + 1), || None);
                clients[number] = Some(Client::new(stream));
            } else if let Some(client) = &mut clients[*number]
                && !client.answer()?
            {
                clients[*number] = None;
            }
        }
    }
}

/// A connection of the server's, and what was read of the next request.
struct Client<S> {
    stream: S,
    buffer: [u8; 4096],
    filled: usize,
    response: Vec<u8>,
}

impl<S: Read + Write> Client<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: [0; 4096],
            filled: 0,
            response: response(),
        }
    }

    /// Reads what is there and answers whole requests; false if the client is gone.
    fn answer(&mut self) -> io::Result<bool> {
        let length = self.stream.read(&mut self.buffer[self.filled..])?;
        self.filled += length;
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 16];
            let mut request = httparse::Request::new(&mut headers);
            let head = request.parse(&self.buffer[..self.filled]);
            match head.map_err(io::Error::other)? {
                httparse::Status::Partial => return Ok(length > 0),
                httparse::Status::Complete(length) => {
                    self.stream.write_all(&self.response)?;
                    self.buffer.copy_within(length..self.filled, 0);
                    self.filled -= length;
                }
            }
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
