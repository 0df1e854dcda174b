//! The kernel of a run: its interface, addresses and routes.
//!
//! The command `rump run` takes a [`Setup`] from its arguments. A library that is loaded
//! into the program instead takes it from the environment, where it is text: a line for each
//! argument, `address=10.0.0.2/24`.

use rump::Kernel;
use rump::iface::{IpNet, Link, Tap, route};
use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Where the kernel's interface goes to, and what it is called there.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
pub struct Setup {
    /// TAP interface of Linux that the kernel's is connected to
    #[cfg_attr(
        feature = "clap",
        arg(long, value_name = "NAME", requires = "addresses")
    )]
    tap: Option<String>,
    /// Address of the kernel's interface, with its prefix (10.0.0.2/24); may be repeated
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "address",
            value_name = "ADDRESS/PREFIX",
            id = "addresses",
            requires = "tap"
        )
    )]
    addresses: Vec<IpNet>,
    /// Router that everything else goes through; one of each family
    #[cfg_attr(
        feature = "clap",
        arg(long = "gateway", value_name = "ADDRESS", requires = "tap")
    )]
    gateways: Vec<IpAddr>,
}

/// What has to stay while the kernel is used.
#[derive(Debug)]
pub struct Running {
    /// It.
    pub kernel: Kernel,
    /// The interface goes with it.
    _link: Option<Link>,
}

/// The variable of the environment.
pub const VARIABLE: &str = "RUMP_RUN";

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tap) = &self.tap {
            writeln!(f, "tap={tap}")?;
        }
        for address in &self.addresses {
            writeln!(f, "address={address}")?;
        }
        for gateway in &self.gateways {
            writeln!(f, "gateway={gateway}")?;
        }
        Ok(())
    }
}

impl FromStr for Setup {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut setup = Self::default();
        for line in text.lines() {
            let wrong = || format!("`{line}` is no part of a set-up");
            let (name, value) = line.split_once('=').ok_or_else(wrong)?;
            match name {
                "tap" => setup.tap = Some(value.into()),
                "address" => setup.addresses.push(value.parse().map_err(|_| wrong())?),
                "gateway" => setup.gateways.push(value.parse().map_err(|_| wrong())?),
                _ => return Err(wrong().into()),
            }
        }
        Ok(setup)
    }
}

impl Setup {
    /// The one that [`VARIABLE`] describes; without it, a kernel with nothing but lo0.
    ///
    /// # Errors
    /// A line is none of these.
    pub fn of_environment() -> Result<Self, Box<dyn Error>> {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        text.parse()
            .map_err(|error| format!("{VARIABLE}: {error}").into())
    }

    /// Boots the kernel and sets its interface up.
    ///
    /// # Errors
    /// What was refused, for people.
    pub fn boot(&self) -> Result<Running, Box<dyn Error>> {
        let kernel = Kernel::builder().boot()?;
        let link = self.tap.as_deref().map(|tap| self.attach(&kernel, tap));
        Ok(Running {
            kernel,
            _link: link.transpose()?,
        })
    }

    fn attach(&self, kernel: &Kernel, name: &str) -> Result<Link, Box<dyn Error>> {
        let tap = Tap::open(name).map_err(|error| format!("TAP interface {name}: {error}"))?;
        let link = kernel.attach(tap)?;
        for address in &self.addresses {
            link.add_address(*address)?;
        }
        for gateway in &self.gateways {
            route::add_default(*gateway)?;
        }
        Ok(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_the_same_again() {
        let setup = Setup {
            tap: Some("tap=0".into()),
            addresses: vec![
                "10.0.0.2/24".parse().unwrap(),
                "fd00::2/64".parse().unwrap(),
            ],
            gateways: vec!["10.0.0.1".parse().unwrap()],
        };
        assert_eq!(setup.to_string().parse::<Setup>().unwrap(), setup);
        assert_eq!("".parse::<Setup>().unwrap(), Setup::default());
    }

    #[test]
    fn what_is_no_line_is_named() {
        for line in ["tap", "address=10.0.0.300/24", "route=x", "gateway="] {
            let error = format!("tap=a\n{line}").parse::<Setup>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{line}`")), "{error}");
        }
    }
}
