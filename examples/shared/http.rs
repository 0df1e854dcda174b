//! A small HTTP/1.1 server with one page, on sockets of the kernel's, with keep-alive.

use rump::net::{TcpListener, TcpStream};
use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

/// The longest request head that is read.
const HEAD_LIMIT: usize = 8 * 1024;
const HEADERS: usize = 64;

/// Accepts as long as there is a kernel; each connection has a thread.
///
/// # Errors
/// The kernel was shut down.
pub fn serve(listener: &TcpListener, page: &str) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => match error.kind() {
                // Its client gave up while it was waiting.
                io::ErrorKind::ConnectionAborted => continue,
                // The kernel was shut down.
                io::ErrorKind::NotConnected => return Err(error),
                // Too many descriptors, perhaps: connections that end make room.
                _ => {
                    eprintln!("a connection was not accepted: {error}");
                    thread::sleep(Duration::from_millis(100));
                    continue;
                }
            },
        };
        let page = page.to_string();
        thread::spawn(move || {
            if let Err(error) = answer(stream, &page) {
                eprintln!("a connection ended: {error}");
            }
        });
    }
    Ok(())
}

/// Answers the requests of one connection until its client wants no more.
fn answer(mut stream: TcpStream, page: &str) -> io::Result<()> {
    let mut pending = Vec::new();
    loop {
        let head_length = match read_head(&mut stream, &mut pending)? {
            Head::End => return Ok(()),
            Head::Complete(length) => length,
            Head::Wrong(status) => {
                return stream.write_all(response(status, "", false, false).as_bytes());
            }
        };
        let request = Request::parse(&pending[..head_length]);
        // What follows the head is its body, which nobody reads, and the next request.
        pending.drain(..head_length);
        discard(&mut stream, &mut pending, request.body)?;
        let reply = match (request.method.as_str(), request.path.as_str()) {
            ("GET" | "HEAD", "/") => {
                response("200 OK", page, request.method == "HEAD", request.keep_alive)
            }
            ("GET" | "HEAD", _) => response("404 Not Found", "", false, request.keep_alive),
            _ => response("405 Method Not Allowed", "", false, request.keep_alive),
        };
        stream.write_all(reply.as_bytes())?;
        if !request.keep_alive {
            return Ok(());
        }
    }
}

enum Head {
    /// The client closed the connection between two requests.
    End,
    /// Its length in the buffer.
    Complete(usize),
    /// The status to answer with.
    Wrong(&'static str),
}

/// Reads until there is a whole request head in the buffer.
fn read_head(stream: &mut TcpStream, pending: &mut Vec<u8>) -> io::Result<Head> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        match httparse::Request::new(&mut headers).parse(pending) {
            Ok(httparse::Status::Complete(length)) => return Ok(Head::Complete(length)),
            Ok(httparse::Status::Partial) if pending.len() < HEAD_LIMIT => {}
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Ok(Head::Wrong("431 Request Header Fields Too Large"));
            }
            Err(_) => return Ok(Head::Wrong("400 Bad Request")),
        }
        let mut buffer = [0; 2048];
        match stream.read(&mut buffer)? {
            0 if pending.is_empty() => return Ok(Head::End),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => pending.extend_from_slice(&buffer[..length]),
        }
    }
}

struct Request {
    method: String,
    path: String,
    keep_alive: bool,
    /// The length of the body.
    body: u64,
}

impl Request {
    /// Takes a head that is known to be complete.
    fn parse(head: &[u8]) -> Self {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let complete = request.parse(head).is_ok_and(|status| status.is_complete());
        let header = |name: &str| {
            let header = request
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name));
            header
                .and_then(|header| std::str::from_utf8(header.value).ok())
                .unwrap_or("")
                .trim()
        };
        let connection = header("connection");
        // A body that cannot be skipped makes this the last request.
        let (body, skippable) = match header("content-length") {
            "" => (0, header("transfer-encoding").is_empty()),
            length => length.parse().map_or((0, false), |length| (length, true)),
        };
        let wanted = match request.version {
            Some(1) => !connection.eq_ignore_ascii_case("close"),
            _ => connection.eq_ignore_ascii_case("keep-alive"),
        };
        Self {
            method: request.method.unwrap_or("").to_string(),
            path: request.path.unwrap_or("").to_string(),
            keep_alive: complete && wanted && skippable,
            body,
        }
    }
}

/// Drops so many bytes of what is pending and what follows.
fn discard(stream: &mut TcpStream, pending: &mut Vec<u8>, bytes: u64) -> io::Result<()> {
    let here = bytes.min(pending.len() as u64);
    pending.drain(..here as usize);
    let discarded = io::copy(&mut stream.take(bytes - here), &mut io::sink())?;
    if here + discarded == bytes {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn response(status: &str, body: &str, head_only: bool, keep_alive: bool) -> String {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let body_sent = if head_only { "" } else { body };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n{body_sent}",
        body.len()
    )
}
