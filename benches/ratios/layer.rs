//! The two socket layers behind one trait, so that both run the same benchmark.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

/// What the benchmarks need of sockets.
pub trait Layer: 'static {
    type Listener: Send + 'static;
    type Stream: Read + Write + Send + 'static;

    /// A listener on a free port of 127.0.0.1, and where it is.
    fn listen() -> io::Result<(Self::Listener, SocketAddr)>;
    fn accept(listener: &Self::Listener) -> io::Result<Self::Stream>;
    fn connect(address: SocketAddr) -> io::Result<Self::Stream>;
    fn set_nodelay(stream: &Self::Stream) -> io::Result<()>;

    /// A connection: the connecting end, then the accepted one.
    fn pair() -> io::Result<(Self::Stream, Self::Stream)> {
        let (listener, address) = Self::listen()?;
        let client = Self::connect(address)?;
        Ok((client, Self::accept(&listener)?))
    }
}

macro_rules! layer {
    ($(#[$doc:meta])* $name:ident, $net:path) => {
        $(#[$doc])*
        pub struct $name;

        const _: () = {
            use $net as net;

            impl Layer for $name {
                type Listener = net::TcpListener;
                type Stream = net::TcpStream;

                fn listen() -> io::Result<(Self::Listener, SocketAddr)> {
                    let listener = net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                    let address = listener.local_addr()?;
                    Ok((listener, address))
                }

                fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
                    Ok(listener.accept()?.0)
                }

                fn connect(address: SocketAddr) -> io::Result<Self::Stream> {
                    net::TcpStream::connect(address)
                }

                fn set_nodelay(stream: &Self::Stream) -> io::Result<()> {
                    stream.set_nodelay(true)
                }
            }
        };
    };
}

layer!(
    /// The host's own sockets.
    Host,
    std::net
);
layer!(
    /// NetBSD's in this process.
    Rump,
    rump::net
);
