//! An HTTPS server: hyper over rustls over NetBSD's TCP/IP stack, all inside this process.
//!
//! ```text
//! sudo ip tuntap add tap0 mode tap user $USER
//! sudo ip address add 10.0.0.1/24 dev tap0 && sudo ip link set tap0 up
//! cargo run --release --features async --example https_server -- --tap tap0 --address 10.0.0.2/24 --cert cert.pem
//! curl --cacert cert.pem https://10.0.0.2/
//! ```
//!
//! The certificate is made for the address when the server starts, and signed by itself;
//! `--cert` says where it is written. Without `--tap` the server can be reached only from
//! inside the process; `--once` makes a client in here that trusts the certificate ask for
//! the page, and ends.

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rump::net::{TcpListener, TcpStream};
use rump::reactor::Async;
use rump_examples::outside::Outside;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How long a client may take to agree on keys.
const HANDSHAKE: Duration = Duration::from_secs(10);
const PAGE: &str = "Hello over TLS, from NetBSD's TCP/IP stack in a Rust program.\n";

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("https_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome {
    let mut outside = Outside::default();
    let (mut once, mut port, mut file) = (false, None, None);
    let mut rest = std::env::args().skip(1);
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or("nothing follows the last argument");
        match argument.as_str() {
            "--once" => once = true,
            "--port" => port = Some(value()?.parse()?),
            "--cert" => file = Some(value()?),
            other if outside.take(other, &mut rest)? => {}
            other => {
                let more = Outside::USAGE;
                let usage = "[--once] [--port N] [--cert FILE]";
                return Err(format!("{other}: not known; use {usage} {more}").into());
            }
        }
    }
    let kernel = rump::Kernel::builder().cpus(2).boot()?;
    println!("kernel: {}", kernel.identity()?);
    let link = outside.attach(&kernel)?;
    let address = outside.address().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let port = port.unwrap_or(if link.is_some() { 443 } else { 0 });

    let made = rcgen::generate_simple_self_signed([address.to_string()])?;
    if let Some(file) = file {
        std::fs::write(&file, made.cert.pem()).map_err(|error| format!("{file}: {error}"))?;
    }
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let settings = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let listener = Async::<TcpListener>::bind(SocketAddr::new(address, port))?;
            let address = listener.get_ref().local_addr()?;
            println!("serving https://{address}/");
            let server = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(settings))));
            if once {
                ask(address, certificate).await?;
                println!("the page was served as it should be");
                return Ok(());
            }
            Ok(server.await??)
        })
}

async fn serve(listener: Async<TcpListener>, acceptor: TlsAcceptor) -> io::Result<()> {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Its client gave up while it was waiting.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(stream, acceptor).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

/// Serves the requests of one connection.
async fn answer(stream: Async<TcpStream>, acceptor: TlsAcceptor) -> Result<(), String> {
    stream
        .get_ref()
        .set_nodelay(true)
        .map_err(|error| error.to_string())?;
    let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream))
        .await
        .map_err(|_| "it took too long to agree on keys")?
        .map_err(|error| error.to_string())?;
    let page = Response::new(Full::new(Bytes::from_static(PAGE.as_bytes())));
    let service = service_fn(|_| std::future::ready(Ok::<_, Infallible>(page.clone())));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    served.await.map_err(|error| error.to_string())
}

/// Asks for the page, and trusts nothing but this certificate.
async fn ask(address: SocketAddr, certificate: CertificateDer<'static>) -> Outcome {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let settings = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = Async::<TcpStream>::connect(address).await?;
    let name = ServerName::from(address.ip());
    let mut stream = TlsConnector::from(Arc::new(settings))
        .connect(name, stream)
        .await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(PAGE) {
        return Ok(());
    }
    Err(format!("the server answered {answer:?}").into())
}
