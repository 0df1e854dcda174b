//! Which full names and which servers are asked, in which order; `resolv.conf(5)`.

use super::exchange::{Answer, ask};
use super::message::is_host_name;
use super::{Error, Settings};
use crate::net::UdpSocket;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) fn search(settings: &Settings, name: &str) -> Result<Vec<IpAddr>, Error> {
    if settings.servers.is_empty() {
        return Err(Error::NoServer { name: name.into() });
    }
    let mut asked = Vec::new();
    for full in candidates(settings, name) {
        let addresses = servers(settings, name, &full)?;
        if !addresses.is_empty() {
            return Ok(reachable_first(addresses));
        }
        asked.push(full);
    }
    Err(Error::Unknown {
        name: name.into(),
        asked,
    })
}

/// The full names that a name may stand for.
fn candidates(settings: &Settings, name: &str) -> Vec<String> {
    if let Some(full) = name.strip_suffix('.') {
        return vec![full.into()];
    }
    let within = settings.search.iter().map(|domain| {
        let domain = domain.trim_matches('.');
        format!("{name}.{domain}")
    });
    let mut names: Vec<String> = within.filter(|name| is_host_name(name)).collect();
    let dots = name.bytes().filter(|byte| *byte == b'.').count();
    let place = if dots >= settings.dots {
        0
    } else {
        names.len()
    };
    names.insert(place, name.into());
    names
}

/// Asks the servers until one knows: no addresses if it says that there are none.
fn servers(settings: &Settings, name: &str, full: &str) -> Result<Vec<IpAddr>, Error> {
    let mut last = None;
    for _ in 0..settings.attempts {
        for server in &settings.servers {
            match ask(*server, full, settings.timeout) {
                Ok(Answer::Addresses(addresses)) => return Ok(addresses),
                Ok(Answer::None) => return Ok(Vec::new()),
                Err(source) => {
                    tracing::debug!(%server, name = full, error = %source, "no answer");
                    last = Some((*server, source));
                }
            }
        }
    }
    let (server, source) = last.unwrap_or_else(|| {
        let unspecified = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        (unspecified, io::ErrorKind::NotFound.into())
    });
    Err(Error::Server {
        name: name.into(),
        server,
        source,
    })
}

/// Addresses that the kernel has a route to, then the others; IPv6 before IPv4 (RFC 6724,
/// rules 1 and 6).
fn reachable_first(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_by_cached_key(|address| (!is_reachable(*address), address.is_ipv4()));
    addresses
}

/// Nothing is sent when a datagram socket is connected.
fn is_reachable(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).is_ok_and(|socket| socket.connect((address, 9)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed() {
        let settings = Settings::new().search("a.example.").search("b.example");
        let all = |name| candidates(&settings, name);
        assert_eq!(all("www"), ["www.a.example", "www.b.example", "www"]);
        assert_eq!(
            all("www.c"),
            ["www.c", "www.c.a.example", "www.c.b.example"]
        );
        assert_eq!(all("www."), ["www"]);
        let long = format!("{0}.{0}.{0}.{1}", "x".repeat(63), "y".repeat(58));
        assert_eq!(
            all(&long),
            std::slice::from_ref(&long),
            "in a domain it would be too long"
        );
    }
}
