//! Looking up names within the rump kernel's network.
//!
//! In NetBSD, too, this is not the kernel's part but the C library's. As long as there are
//! no [`Settings`], names are looked up by the host, with the host's settings and over the
//! host's network. A program gives settings with [`set`]; a DHCP client
//! (`rump::iface::dhcp`) takes them from its lease. From then on [`lookup`](super::lookup)
//! and whatever takes a name asks these name servers, over the rump kernel's own stack, and
//! never the host.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !rump::kernel::available() { return Ok(()) }
//! use rump::net::resolver::{self, Settings};
//!
//! # let _kernel = rump::Kernel::builder().boot()?;
//! resolver::set(
//!     Settings::new()
//!         .server("10.0.0.1".parse()?)
//!         .search("example.org")
//!         .host("printer", "10.0.0.9".parse()?),
//! );
//! let addresses: Vec<_> = rump::net::lookup("printer:631")?.collect();
//! assert_eq!(addresses, ["10.0.0.9:631".parse()?]);
//! # Ok(())
//! # }
//! ```
//!
//! # What is known to be weak
//! Nothing is cached. Names are ASCII (who has others makes `xn--` of them first). Answers
//! are believed if they come from the address and port that was asked, with the number and
//! the question that were sent; DNSSEC is not checked. `.local` (mDNS) is asked like any
//! other name.

mod exchange;
mod message;
mod resolv_conf;
mod search;

#[cfg(feature = "dhcp")]
pub(crate) use message::is_host_name;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// The port of name servers (RFC 1035, 4.2).
const PORT: u16 = 53;

/// What could not be found out, and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be the name of a host.
    #[error(
        "{name:?} is no host name: labels of 1 to 63 ASCII letters, digits, '-' or '_', \
         253 characters in all"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// The name servers say that there is no such name, or that it has no address.
    #[error("{name} is not known{}", Asked(.asked))]
    Unknown {
        /// The name.
        name: String,
        /// The full names that were asked for.
        asked: Vec<String>,
    },
    /// There are settings, but no name server in them.
    #[error("cannot look up {name}: the resolver's settings have no name server")]
    NoServer {
        /// The name.
        name: String,
    },
    /// No name server gave an answer that could be used.
    #[error("cannot look up {name}: name server {server}: {source}")]
    Server {
        /// The name.
        name: String,
        /// The last one that was asked.
        server: SocketAddr,
        /// What became of it.
        source: io::Error,
    },
}

struct Asked<'a>(&'a [String]);

impl std::fmt::Display for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " to the name servers (asked for {})", self.0.join(", "))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Name { .. } => io::ErrorKind::InvalidInput,
            Error::Unknown { .. } | Error::NoServer { .. } => io::ErrorKind::NotFound,
            Error::Server { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}

/// Whom to ask for names, and how: what `resolv.conf(5)` and `hosts(5)` say elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    hosts: Vec<(String, IpAddr)>,
    dots: usize,
    timeout: Duration,
    attempts: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

impl Settings {
    /// No name servers, no hosts; 5 seconds for each of 2 attempts.
    pub fn new() -> Self {
        Self {
            servers: Vec::new(),
            search: Vec::new(),
            hosts: Vec::new(),
            dots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        }
    }

    /// What the text of a `resolv.conf(5)` says. Lines that are of no use here are left out.
    pub fn from_resolv_conf(text: &str) -> Self {
        resolv_conf::parse(text)
    }

    /// Adds a name server, to be asked after those before it.
    #[must_use]
    pub fn server(self, address: IpAddr) -> Self {
        self.server_at(SocketAddr::new(address, PORT))
    }

    /// Adds a name server at a port that is not 53.
    #[must_use]
    pub fn server_at(mut self, address: SocketAddr) -> Self {
        self.servers.push(address);
        self
    }

    /// Adds a domain in which names without a dot are looked for.
    #[must_use]
    pub fn search(mut self, domain: impl Into<String>) -> Self {
        self.search.push(domain.into());
        self
    }

    /// Adds an address of a host, which is then not asked for. A host may have several.
    #[must_use]
    pub fn host(mut self, name: impl Into<String>, address: IpAddr) -> Self {
        self.hosts.push((name.into(), address));
        self
    }

    /// How long to wait for the answer of a name server.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        // Sockets want more than 0.
        self.timeout = timeout.max(Duration::from_millis(10));
        self
    }

    /// How often to ask all name servers before giving up, at least once.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The name servers.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// The domains in which names without a dot are looked for.
    pub fn search_domains(&self) -> &[String] {
        &self.search
    }

    /// The addresses of a name, those first that can be reached.
    ///
    /// # Errors
    /// [`Error`]
    pub fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        let bare = name.strip_suffix('.').unwrap_or(name);
        if !message::is_host_name(bare) {
            return Err(Error::Name { name: name.into() });
        }
        let own: Vec<_> = self
            .hosts
            .iter()
            .filter(|(host, _)| host.eq_ignore_ascii_case(bare))
            .map(|(_, address)| *address)
            .collect();
        if !own.is_empty() {
            return Ok(own);
        }
        if is_localhost(bare) {
            return Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
        }
        search::search(self, name)
    }
}

/// `localhost` is never asked for (RFC 6761, 6.3).
fn is_localhost(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

static SETTINGS: RwLock<Option<Arc<Settings>>> = RwLock::new(None);

/// Has names looked up by these settings, within the rump kernel's network, from now on.
pub fn set(settings: Settings) {
    tracing::info!(servers = ?settings.servers, search = ?settings.search, "resolver set");
    *SETTINGS.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(settings));
}

/// Has names looked up by the host again.
pub fn unset() {
    tracing::info!("resolver unset");
    *SETTINGS.write().unwrap_or_else(PoisonError::into_inner) = None;
}

/// The settings, if there are any: otherwise names are looked up by the host.
pub fn settings() -> Option<Arc<Settings>> {
    SETTINGS
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}
