//! A small HTTP/1.1 server on NetBSD's stack inside this process, with keep-alive.
//!
//! `cargo run --release --example http_hello` serves 127.0.0.1:8080 of *this* kernel until
//! it is stopped. That address is inside the process: nobody but a thread of this program
//! can reach it. (The example `http_server` gives the kernel an interface.)
//! `--once` makes such a thread send requests over one connection, checks the answers,
//! and ends.

#[path = "shared/http.rs"]
mod http;

use rump::net::{SocketAddr, TcpListener, TcpStream};
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::thread;

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
        return Ok(http::serve(&listener, &greeting)?);
    }
    let expected = greeting.clone();
    // Ends with the process.
    thread::spawn(move || http::serve(&listener, &greeting));
    request_twice(address, &expected)?;
    println!("two requests over one connection were answered as they should be");
    Ok(())
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
