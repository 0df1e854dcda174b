//! Host names.

use super::ToSocketAddrs;
use std::io;
use std::net::SocketAddr;

/// Resolves a host name and port.
///
/// Addresses that are written as numbers need no resolver. Names are looked up within the
/// rump kernel's network if there are settings for that, see [`resolver`](super::resolver).
/// As long as there are none, they are looked up **by the host**: `/etc/hosts`,
/// `/etc/resolv.conf` and the name servers of the host system are asked, over the *host's*
/// network, and the answer says nothing about what the rump kernel's own network can reach.
///
/// The same happens wherever a function of this module takes `impl ToSocketAddrs`.
///
/// # Errors
/// [`resolver::Error`](super::resolver::Error) inside, or those of the host's resolver,
/// with the host's error numbers; [`InvalidInput`](io::ErrorKind::InvalidInput) for text
/// that is no name and port.
///
/// # Examples
/// ```
/// # fn main() -> std::io::Result<()> {
/// let addresses: Vec<_> = rump::net::lookup("127.0.0.1:80")?.collect();
/// assert_eq!(addresses, ["127.0.0.1:80".parse().unwrap()]);
/// # Ok(())
/// # }
/// ```
#[doc(alias = "getaddrinfo")]
pub fn lookup<A: ToSocketAddrs>(host: A) -> io::Result<A::Iter> {
    host.to_socket_addrs()
}

/// Calls `f` with each address until one succeeds; the last error if none does.
pub(super) fn each_address<A: ToSocketAddrs, T>(
    addresses: A,
    mut f: impl FnMut(&SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for address in addresses.to_socket_addrs()? {
        match f(&address) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "could not resolve to any addresses",
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[SocketAddr] = &[
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1),
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2),
    ];

    #[test]
    fn the_first_that_works_is_taken() {
        let mut tried = Vec::new();
        let port = each_address(TWO, |address| {
            tried.push(address.port());
            if address.port() == 2 {
                Ok(2)
            } else {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
        });
        assert_eq!((port.unwrap(), tried), (2, vec![1, 2]));
    }

    #[test]
    fn the_last_error_is_reported() {
        let result: io::Result<()> = each_address(TWO, |address| {
            Err(io::Error::other(address.port().to_string()))
        });
        assert_eq!(result.unwrap_err().to_string(), "2");
        let none: &[SocketAddr] = &[];
        let result = each_address(none, |_| Ok(()));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
