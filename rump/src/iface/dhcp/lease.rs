//! What a server lets a client have, and having the interface use it.

use super::Error;
use crate::iface::{Interface, IpNet, route};
use crate::net::resolver;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) address: Ipv4Net,
    pub(super) server: Ipv4Addr,
    pub(super) router: Option<Ipv4Addr>,
    pub(super) name_servers: Vec<Ipv4Addr>,
    pub(super) domain: Option<String>,
    pub(super) mtu: Option<u16>,
    /// For ever, if there is none.
    pub(super) duration: Option<Duration>,
    pub(super) renew: Option<Duration>,
    pub(super) rebind: Option<Duration>,
}

/// An address that a server lets the interface have for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub(super) terms: Terms,
    pub(super) since: Instant,
}

impl Lease {
    /// The address and its net.
    pub fn address(&self) -> Ipv4Net {
        self.terms.address
    }

    /// The server that it is from.
    pub fn server(&self) -> Ipv4Addr {
        self.terms.server
    }

    /// The router, if the server named one that is on the link.
    pub fn router(&self) -> Option<Ipv4Addr> {
        self.terms.router
    }

    /// Name servers.
    pub fn name_servers(&self) -> &[Ipv4Addr] {
        &self.terms.name_servers
    }

    /// The domain that the host is in.
    pub fn domain(&self) -> Option<&str> {
        self.terms.domain.as_deref()
    }

    /// The MTU that the server wants on the link, at least 576.
    pub fn mtu(&self) -> Option<u16> {
        self.terms.mtu
    }

    /// For how long it is; `None` is for ever.
    pub fn duration(&self) -> Option<Duration> {
        self.terms.duration
    }

    /// When it was asked for.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Settings of the [resolver], if the server named a name server.
    pub fn resolver(&self) -> Option<resolver::Settings> {
        if self.terms.name_servers.is_empty() {
            return None;
        }
        let mut settings = resolver::Settings::new();
        for server in &self.terms.name_servers {
            settings = settings.server((*server).into());
        }
        if let Some(domain) = &self.terms.domain {
            settings = settings.search(domain);
        }
        Some(settings)
    }

    /// A time after its beginning; none if that never comes.
    fn at(&self, after: Option<Duration>) -> Option<Instant> {
        self.since.checked_add(after?)
    }

    pub(super) fn renew_at(&self) -> Option<Instant> {
        self.at(self.terms.renew)
    }

    pub(super) fn rebind_at(&self) -> Option<Instant> {
        self.at(self.terms.rebind)
    }

    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.at(self.terms.duration)
    }
}

/// What an interface has of a lease; what goes away with it.
#[derive(Debug, Default)]
pub(super) struct Configured {
    address: Option<Ipv4Net>,
    router: Option<Ipv4Addr>,
    resolver: Option<resolver::Settings>,
}

impl Configured {
    /// Has the interface use a lease, in the place of what it used before.
    pub(super) fn apply(
        &mut self,
        interface: &Interface,
        lease: &Lease,
        settings: &super::Settings,
    ) -> Result<(), Error> {
        let net = lease.address();
        if self.address != Some(net) {
            self.remove(interface);
            if settings.detect_duplicates {
                interface.add_unique_address(IpNet::V4(net))?;
            } else {
                interface.add_address(IpNet::V4(net))?;
            }
            self.address = Some(net);
        }
        if let Some(mtu) = lease.mtu().map(u32::from)
            && interface.mtu()? > mtu
        {
            interface.set_mtu(mtu)?;
        }
        if settings.default_route && self.router != lease.router() {
            self.remove_route();
            self.router = lease.router().filter(|router| {
                let added = route::add_default((*router).into());
                if let Err(error) = &added {
                    // That of another interface, most likely, which stays.
                    tracing::warn!(interface = interface.name(), %error, "no default route");
                }
                added.is_ok()
            });
        }
        if settings.resolver && self.resolver != lease.resolver() {
            self.remove_resolver();
            self.resolver = lease.resolver();
            if let Some(settings) = &self.resolver {
                resolver::set(settings.clone());
            }
        }
        Ok(())
    }

    /// Takes away what the interface has of a lease; what is gone already is no failure.
    pub(super) fn remove(&mut self, interface: &Interface) {
        self.remove_route();
        self.remove_resolver();
        if let Some(net) = self.address.take()
            && let Err(error) = interface.remove_address(net.addr().into())
        {
            tracing::debug!(interface = interface.name(), %error, "address of a lease");
        }
    }

    fn remove_route(&mut self) {
        if self.router.take().is_some()
            && let Err(error) = route::remove(IpNet::V4(Ipv4Net::default()))
        {
            tracing::debug!(%error, "default route of a lease");
        }
    }

    /// Unless the program has set others since.
    fn remove_resolver(&mut self) {
        let ours = self.resolver.take();
        if ours.is_some() && resolver::settings().as_deref() == ours.as_ref() {
            resolver::unset();
        }
    }
}
