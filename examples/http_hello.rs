//! A small HTTP/1.1 server on NetBSD's stack inside this process, with keep-alive.
//!
//! `cargo run --release --example http_hello` serves 127.0.0.1:8080 of *this* kernel until
//! it is stopped. That address is inside the process: nobody but a thread of this program
//! can reach it. (The example `http_server` gives the kernel an interface.)
//! `--once` makes such a thread send requests over one connection, checks the answers,
//! and ends.

use rump::net::{SocketAddr, TcpListener, TcpStream};
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// The longest request head that is read.
const HEAD_LIMIT: usize = 8 * 1024;
const HEADERS: usize = 64;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http_hello: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let once = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--once") => true,
        Some(other) => return Err(format!("{other}: the only argument is --once").into()),
    };
    let kernel = rump::Kernel::builder().cpus(2).boot()?;
    let identity = kernel.identity()?.to_string();
    println!("kernel: {identity}");
    let listener = TcpListener::bind(if once {
        "127.0.0.1:0"
    } else {
        "127.0.0.1:8080"
    })?;
    let address = listener.local_addr()?;
    println!("serving http://{address}/ inside this process");
    let greeting = format!("Hello from {identity}\n");
    if !once {
        println!(
            "only threads of this program can reach it; the example http_server gives the kernel an interface"
        );
        return Ok(serve(&listener, &greeting)?);
    }
    let expected = greeting.clone();
    // Ends with the process.
    thread::spawn(move || serve(&listener, &greeting));
    request_twice(address, &expected)?;
    println!("two requests over one connection were answered as they should be");
    Ok(())
}

/// Accepts as long as there is a kernel; each connection has a thread.
fn serve(listener: &TcpListener, greeting: &str) -> io::Result<()> {
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
        let greeting = greeting.to_string();
        thread::spawn(move || {
            if let Err(error) = answer(stream, &greeting) {
                eprintln!("a connection ended: {error}");
            }
        });
    }
    Ok(())
}

/// Answers the requests of one connection until its client wants no more.
fn answer(mut stream: TcpStream, greeting: &str) -> io::Result<()> {
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
            ("GET" | "HEAD", "/") => response(
                "200 OK",
                greeting,
                request.method == "HEAD",
                request.keep_alive,
            ),
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

/// Asks twice over one connection, the second time to be the last, and checks both
/// answers.
fn request_twice(address: SocketAddr, expected: &str) -> Result<(), Box<dyn Error>> {
    let mut stream = BufReader::new(TcpStream::connect(address)?);
    for connection in ["keep-alive", "close"] {
        let request =
            format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: {connection}\r\n\r\n");
        stream.get_mut().write_all(request.as_bytes())?;
        let mut status = String::new();
        stream.read_line(&mut status)?;
        if status != "HTTP/1.1 200 OK\r\n" {
            return Err(format!("the answer began with {status:?}").into());
        }
        let mut length = None;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Err("the answer ended within its head".into());
            }
            match line.trim_end().split_once(": ") {
                Some(("Content-Length", value)) => length = Some(value.parse()?),
                Some(("Connection", value)) if value != connection => {
                    return Err(format!("asked for {connection}, got {value}").into());
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length.ok_or("the answer has no Content-Length")?];
        stream.read_exact(&mut body)?;
        if body != expected.as_bytes() {
            return Err(format!("the body was {:?}", String::from_utf8_lossy(&body)).into());
        }
    }
    // The server closes after the last answer.
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err("something followed the last answer".into()),
    }
}
