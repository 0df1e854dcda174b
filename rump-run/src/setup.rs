//! The kernel of a run: its interface, addresses and routes.

use ipnet::IpNet;
use rump::Kernel;
use rump::iface::route::{self, Gateway};
use rump::iface::{Link, Packet, Tap};
use rump::server::Cable;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The variable of the environment that a [`Setup`] is handed on in.
pub const VARIABLE: &str = "RUMP_RUN_SETUP";

/// The variable of the environment that, if it is there, leaves system calls by a program's own
/// instructions to Linux where the kernel is to live in the program.
pub const FUNCTIONS_ONLY: &str = "RUMP_RUN_FUNCTIONS_ONLY";

/// Where the kernel's interface goes to, and what it is called there; or where the kernel is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct Setup {
    /// TAP interface of Linux that the kernel's is connected to
    #[cfg_attr(
        feature = "clap",
        arg(long, value_name = "NAME", requires = "addresses")
    )]
    pub tap: Option<String>,
    /// Interface of Linux whose packets the kernel shares, in place of a TAP interface
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "INTERFACE",
            requires = "addresses",
            conflicts_with = "tap"
        )
    )]
    pub packet: Option<String>,
    /// Network server that the kernel's interface is connected to, and which says what its
    /// addresses and routers are, in place of a TAP interface
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "unix:PATH",
            value_parser = unix,
            conflicts_with_all = ["tap", "packet", "addresses"]
        )
    )]
    pub server: Option<PathBuf>,
    /// Host of the network server's to be of; by default the only one that this user may be of
    #[cfg_attr(feature = "clap", arg(long, value_name = "NAME", requires = "server"))]
    pub host: Option<String>,
    /// What the network server is told that this is.
    #[cfg_attr(feature = "clap", arg(skip))]
    pub label: Option<String>,
    /// Address of the kernel's interface, with its prefix (10.0.0.2/24); may be repeated
    #[cfg_attr(
        feature = "clap",
        arg(long = "address", value_name = "ADDRESS/PREFIX", id = "addresses")
    )]
    pub addresses: Vec<IpNet>,
    /// Router that everything else goes through; one of each family
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "gateway",
            value_name = "ADDRESS",
            id = "gateways",
            requires = "addresses"
        )
    )]
    pub gateways: Vec<IpAddr>,
    /// Net that goes through a router of its own (10.1.0.0/16=10.0.0.9); may be repeated
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "route",
            value_name = "NET=ROUTER",
            id = "routes",
            requires = "addresses"
        )
    )]
    pub routes: Vec<Route>,
    /// The Unix socket of the process with the kernel; what it was set up with is its matter.
    #[cfg_attr(feature = "clap", arg(skip))]
    pub kernel: Option<PathBuf>,
}

/// The path in `unix:PATH`.
#[cfg(feature = "clap")]
fn unix(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("unix:") {
        Some(path) if !path.is_empty() => Ok(path.into()),
        _ => Err("not unix:PATH".into()),
    }
}

/// A net, and the router that it is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Route {
    /// Where to.
    pub net: IpNet,
    /// Through whom.
    pub router: IpAddr,
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (net, router) = text.split_once('=').ok_or("NET=ROUTER is wanted")?;
        let of = |part: &str, error: &dyn std::fmt::Display| format!("{part}: {error}");
        Ok(Self {
            net: net.parse().map_err(|error| of(net, &error))?,
            router: router.parse().map_err(|error| of(router, &error))?,
        })
    }
}

/// What has to stay while the kernel is used.
#[derive(Debug)]
pub struct Running {
    /// The kernel.
    pub kernel: Kernel,
    /// The interface goes with it.
    _link: Option<Link>,
    is_elsewhere: bool,
}

impl Running {
    /// Whether the kernel is that of another process.
    pub fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }
}

impl Setup {
    /// As the value of [`VARIABLE`].
    pub fn to_variable(&self) -> String {
        // Strings, numbers and lists of them have a form in JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From the value of [`VARIABLE`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_variable(value: &str) -> Result<Self, Box<dyn Error>> {
        serde_json::from_str(value).map_err(|error| format!("{VARIABLE}: {error}").into())
    }

    /// Boots the kernel and sets its interface up, or connects to the one that is named.
    ///
    /// # Errors
    /// What was refused, for people.
    pub fn boot(&self) -> Result<Running, Box<dyn Error>> {
        self.boot_as(None)
    }

    /// The same for a program that takes another's place, as the process of this number
    /// ([`rump::remote::succeed`]) of a kernel elsewhere.
    ///
    /// # Errors
    /// As [`Setup::boot`].
    pub fn boot_as(&self, process: Option<u64>) -> Result<Running, Box<dyn Error>> {
        let interface = self.tap.is_some() || self.packet.is_some();
        if !interface && !self.addresses.is_empty() {
            return Err("addresses want an interface: --tap or --packet".into());
        }
        if let Some(place) = &self.kernel {
            return Ok(Running {
                kernel: match process {
                    Some(number) => rump::remote::succeed(place, number)?,
                    None => rump::remote::connect(place)?,
                },
                _link: None,
                is_elsewhere: true,
            });
        }
        let kernel = Kernel::builder().boot()?;
        let mut link = None;
        if let Some(name) = &self.tap {
            let tap = Tap::open(name).map_err(|error| format!("TAP interface {name}: {error}"))?;
            link = Some(kernel.attach(tap)?);
        } else if let Some(name) = &self.packet {
            let packet = Packet::open(name).map_err(|error| format!("{name}: {error}"))?;
            link = Some(kernel.attach(packet)?);
        } else if let Some(place) = &self.server {
            link = Some(self.connect(place)?.attach(&kernel)?);
        }
        if let Some(link) = &link {
            self.configure(link)?;
        }
        Ok(Running {
            kernel,
            _link: link,
            is_elsewhere: false,
        })
    }

    fn connect(&self, place: &Path) -> Result<Cable, rump::server::Error> {
        let mut cable = Cable::builder(place);
        if let Some(host) = &self.host {
            cable = cable.host(host);
        }
        if let Some(label) = &self.label {
            cable = cable.label(label);
        }
        cable.connect()
    }

    fn configure(&self, link: &Link) -> Result<(), Box<dyn Error>> {
        for address in &self.addresses {
            link.add_address(*address)?;
        }
        for router in &self.gateways {
            route::add_default(*router)?;
        }
        for Route { net, router } in &self.routes {
            route::add(*net, &Gateway::Router(*router))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setup_survives_the_environment() {
        let setup = Setup {
            tap: Some("tap\"0 ".into()),
            packet: None,
            server: Some("/run/server.sock".into()),
            host: Some("web".into()),
            label: Some("redis".into()),
            addresses: vec![
                "10.0.0.2/24".parse().unwrap(),
                "2001:db8::2/64".parse().unwrap(),
            ],
            gateways: vec!["10.0.0.1".parse().unwrap()],
            routes: vec!["10.1.0.0/16=10.0.0.9".parse().unwrap()],
            kernel: Some("/run/rump.sock".into()),
        };
        assert_eq!(Setup::from_variable(&setup.to_variable()).unwrap(), setup);
        assert_eq!(Setup::from_variable("{}").unwrap(), Setup::default());
        for wrong in [
            "",
            "{",
            "{\"tap\": 1}",
            "{\"tub\": \"x\"}",
            "{\"gateways\": [\"x\"]}",
        ] {
            assert!(Setup::from_variable(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn routes_are_understood() {
        for wrong in [
            "",
            "=",
            "10.0.0.0/8",
            "10.0.0.0/8=",
            "10.0.0.0=10.0.0.1",
            "x=10.0.0.1",
        ] {
            assert!(wrong.parse::<Route>().is_err(), "{wrong}");
        }
    }
}
