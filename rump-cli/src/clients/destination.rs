//! `--to-host`: destinations that are left to the host's network.

use rump::iface::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A net, an address, or a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    Net(IpNet),
    Port(u16),
}

impl Destination {
    pub fn contains(&self, to: SocketAddr) -> bool {
        match self {
            Self::Net(net) => net.contains(&to.ip()),
            Self::Port(port) => to.port() == *port,
        }
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(port) = text.strip_prefix(':')
            && let Ok(port) = port.parse()
        {
            return Ok(Self::Port(port));
        }
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        let net = text.parse::<IpNet>().or_else(|_| address());
        net.map(Self::Net)
            .map_err(|_| "neither a net, an address nor :PORT".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_understood() {
        let contains = |text: &str, to: &str| {
            let destination: Destination = text.parse().unwrap();
            destination.contains(to.parse().unwrap())
        };
        assert!(contains(":53", "192.0.2.1:53"));
        assert!(!contains(":53", "192.0.2.1:54"));
        assert!(contains("192.0.2.0/24", "192.0.2.9:1"));
        assert!(!contains("192.0.2.0/24", "192.0.3.9:1"));
        assert!(contains("192.0.2.7", "192.0.2.7:1"));
        assert!(!contains("192.0.2.7", "192.0.2.8:1"));
        assert!(contains("2001:db8::/32", "[2001:db8::1]:80"));
        for wrong in ["", ":", ":x", ":65536", "53", "192.0.2.1:53", "host"] {
            assert!(wrong.parse::<Destination>().is_err(), "{wrong}");
        }
    }
}
