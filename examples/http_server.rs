//! An HTTP/1.1 server (hyper, on tokio) over NetBSD's TCP/IP stack inside this process.
//!
//! ```text
//! sudo ip tuntap add tap0 mode tap user $USER
//! sudo ip address add 10.0.0.1/24 dev tap0 && sudo ip link set tap0 up
//! cargo run --release --features async --example http_server -- --tap tap0 --address 10.0.0.2/24
//! curl http://10.0.0.2/            # a page
//! curl http://10.0.0.2/netstat     # interfaces, routes, neighbours, counters
//! curl http://10.0.0.2/metrics     # for Prometheus
//! ```
//!
//! `RUST_LOG=rump=debug` shows boot and what happens to interfaces. Without `--tap` it can be reached only from inside the process; `--once` makes a client
//! in here ask for each of the pages, and ends.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rump::metrics::Snapshot;
use rump::net::{TcpListener, TcpStream};
use rump::reactor::Async;
use rump_examples::{netstat, outside::Outside};
use std::convert::Infallible;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    let mut outside = Outside::default();
    let (mut once, mut port) = (false, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--once" => once = true,
            "--port" => {
                port = Some(
                    arguments
                        .next()
                        .ok_or("--port: nothing follows it")?
                        .parse()?,
                )
            }
            _ if outside.take(&argument, &mut arguments)? => {}
            _ => {
                let usage = Outside::USAGE;
                return Err(
                    format!("{argument}: not known; use [--once] [--port N] {usage}").into(),
                );
            }
        }
    }
    let kernel = rump::Kernel::builder().cpus(2).boot()?;
    println!("kernel: {}", kernel.identity()?);
    let link = outside.attach(&kernel)?;
    let address = outside.address().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let port = port.unwrap_or(if link.is_some() { 80 } else { 0 });
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(SocketAddr::new(address, port), once))
}

async fn serve(address: SocketAddr, once: bool) -> Result<(), Box<dyn Error>> {
    let listener = Async::<TcpListener>::bind(address)?;
    let address = listener.get_ref().local_addr()?;
    println!("serving http://{address}/");
    if once {
        let client = tokio::task::spawn_blocking(move || {
            ask_for_all(address).map_err(|error| error.to_string())
        });
        tokio::spawn(accept(listener));
        client.await??;
        println!("all pages were served as they should be");
        return Ok(());
    }
    Ok(accept(listener).await?)
}

async fn accept(listener: Async<TcpListener>) -> io::Result<()> {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        stream.get_ref().set_nodelay(true)?;
        tokio::spawn(async move {
            let service =
                service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

/// A page of 612 bytes, as benchmarks of servers like it.
fn page() -> String {
    let text = "NetBSD's TCP/IP stack, in a Rust program. ";
    let mut page: String = text.chars().cycle().take(611).collect();
    page.push('\n');
    page
}

fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let found = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/") => Ok(page()),
        (&Method::GET, "/netstat") => netstat::netstat().map_err(|error| error.to_string()),
        (&Method::GET, "/metrics") => Snapshot::take()
            .map(|snapshot| snapshot.to_string())
            .map_err(|error| error.to_string()),
        _ => {
            let mut response = Response::new(Full::from("there is /, /netstat and /metrics\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
    };
    let (status, text) = match found {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Asks for each page, over one connection.
fn ask_for_all(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect(address)?;
    for (path, status, says) in [
        ("/", "200", "NetBSD's TCP/IP stack"),
        ("/metrics", "200", "rump_hypercall_sleeps_total"),
        ("/nothing", "404", "there is /"),
        ("/", "200", "in a Rust program"),
    ] {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
        let mut answer = Vec::new();
        let (head, length) = loop {
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer)?;
            if length == 0 {
                return Err("the server ended the connection".into());
            }
            answer.extend_from_slice(&buffer[..length]);
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut head = httparse::Response::new(&mut headers);
            if let httparse::Status::Complete(end) = head.parse(&answer)? {
                let header = head
                    .headers
                    .iter()
                    .find(|header| header.name.eq_ignore_ascii_case("content-length"));
                let length: usize =
                    std::str::from_utf8(header.ok_or("no length")?.value)?.parse()?;
                break (end, length);
            }
        };
        while answer.len() < head + length {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer)? {
                0 => return Err("the page was cut off".into()),
                more => answer.extend_from_slice(&buffer[..more]),
            }
        }
        let text = String::from_utf8(answer)?;
        let told = text.split(' ').nth(1);
        if told != Some(status) || !text.contains(says) {
            return Err(format!("{path}: {text}").into());
        }
    }
    Ok(())
}
