//! An address from a DHCP server (RFC 2131), over the kernel's own stack.
//!
//! A [`Client`] asks the servers on the link of an interface for an address, gives it to
//! the interface with the default route and the settings of the
//! [resolver](crate::net::resolver), and keeps it: a thread renews the lease in time. If
//! the lease ends all the same, the interface loses what it had of it, and the client asks
//! again until there is a server.
//!
//! ```no_run
//! use rump::iface::{Tap, dhcp};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kernel = rump::Kernel::builder().boot()?;
//! let link = kernel.attach(Tap::open("tap0")?)?;
//! let client = dhcp::Client::start(&link, dhcp::Settings::new())?;
//! println!("{} for {:?}", client.lease().unwrap().address(), client.lease().unwrap().duration());
//! let addresses = rump::net::lookup("example.org:80")?;       // asks the server's name servers
//! client.release()?;
//! # Ok(())
//! # }
//! ```
//!
//! It needs no `bpf(4)`: see `transport.rs` for how a message leaves an interface that has
//! no address. rump-lite has no raw sockets, and so no DHCP.
//!
//! # What is known to be weak
//! While it asks, the interface has the address 0.0.0.0, and takes in every packet that
//! comes to it. Options of RFC 3442 (routes) and RFC 3397 (search lists) are not asked for,
//! and leases are not kept over the end of the process. As anywhere, whoever is on the link
//! can say that he is the server.

mod client;
mod exchange;
mod lease;
mod message;
mod transport;

use crate::iface;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

pub use client::Client;
pub use lease::Lease;

/// What could not be had from the servers, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Only interfaces with an Ethernet address can ask.
    #[error("{interface} has no Ethernet address, by which a DHCP server would know it")]
    NotEthernet {
        /// The interface.
        interface: String,
    },
    /// The name is none.
    #[error("{name:?} is no host name")]
    HostName {
        /// What was given.
        name: String,
    },
    /// No server has answered in time.
    #[error("{interface}: no DHCP server has given an address within {waited:?}")]
    NoAnswer {
        /// The interface.
        interface: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The server does not let the client keep its address.
    #[error("{interface}: the DHCP server {server} takes the address back")]
    Refused {
        /// The interface.
        interface: String,
        /// The server.
        server: Ipv4Addr,
    },
    /// There is no lease that could be renewed.
    #[error("{interface} has no lease")]
    NoLease {
        /// The interface.
        interface: String,
    },
    /// The interface could not be asked or set.
    #[error(transparent)]
    Interface(#[from] iface::Error),
    /// A message could not be sent or received.
    #[error("{interface}: DHCP: {source}")]
    Message {
        /// The interface.
        interface: String,
        /// Why not.
        source: io::Error,
    },
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::NotEthernet { .. } | Error::HostName { .. } => io::ErrorKind::InvalidInput,
            Error::NoAnswer { .. } => io::ErrorKind::TimedOut,
            Error::Refused { .. } => io::ErrorKind::ConnectionRefused,
            Error::NoLease { .. } => io::ErrorKind::NotFound,
            Error::Interface(error) => error
                .errno()
                .map_or(io::ErrorKind::Other, |errno| errno.kind()),
            Error::Message { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}

/// What a client asks for, and what it may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    timeout: Duration,
    host_name: Option<String>,
    default_route: bool,
    resolver: bool,
    detect_duplicates: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl Settings {
    /// Wait 30 seconds; set the default route and the resolver.
    pub fn new() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            host_name: None,
            default_route: true,
            resolver: true,
            detect_duplicates: false,
        }
    }

    /// How long [`Client::start`] waits for a lease.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// A name for the server to know the host by.
    #[must_use]
    pub fn host_name(mut self, name: impl Into<String>) -> Self {
        self.host_name = Some(name.into());
        self
    }

    /// Whether the default route is to go to the server's router. One that is there already
    /// stays.
    #[must_use]
    pub fn default_route(mut self, set: bool) -> Self {
        self.default_route = set;
        self
    }

    /// Whether names are to be looked up as the server says.
    #[must_use]
    pub fn resolver(mut self, set: bool) -> Self {
        self.resolver = set;
        self
    }

    /// Whether the link is asked if somebody has the address, which takes some seconds. If
    /// so, the server is told, and asked for another.
    #[must_use]
    pub fn detect_duplicates(mut self, detect: bool) -> Self {
        self.detect_duplicates = detect;
        self
    }
}
