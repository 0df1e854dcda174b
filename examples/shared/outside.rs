//! `--tap NAME --address A/P [--gateway A]`: an interface for an example, so that others
//! can reach it.

use rump::Kernel;
use rump::iface::{IpNet, Link, Tap, route};
use std::error::Error;
use std::net::IpAddr;

/// What the arguments say.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Outside {
    tap: Option<String>,
    addresses: Vec<IpNet>,
    gateway: Option<IpAddr>,
}

impl Outside {
    /// How these arguments are used, for people.
    pub const USAGE: &str = "[--tap NAME --address ADDRESS/PREFIX... [--gateway ADDRESS]]";

    /// Takes an argument and what follows it; false if it is another.
    ///
    /// # Errors
    /// What follows is missing or wrong.
    pub fn take(
        &mut self,
        argument: &str,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<bool, Box<dyn Error>> {
        let known = ["--tap", "--address", "--gateway"];
        if !known.contains(&argument) {
            return Ok(false);
        }
        let value = rest
            .next()
            .ok_or_else(|| format!("{argument}: nothing follows it"))?;
        let wrong = |error: &dyn Error| format!("{argument} {value}: {error}");
        match argument {
            "--tap" => self.tap = Some(value),
            "--address" => {
                let address = value.parse().map_err(|error| wrong(&error))?;
                self.addresses.push(address);
            }
            _ => self.gateway = Some(value.parse().map_err(|error| wrong(&error))?),
        }
        Ok(true)
    }

    /// The first address.
    pub fn address(&self) -> Option<IpAddr> {
        self.addresses.first().map(IpNet::addr)
    }

    /// Makes the interface, if there is to be one.
    ///
    /// # Errors
    /// What is missing, or was refused.
    pub fn attach(&self, kernel: &Kernel) -> Result<Option<Link>, Box<dyn Error>> {
        let Some(tap) = &self.tap else {
            return if *self == Self::default() {
                Ok(None)
            } else {
                Err("--address and --gateway need --tap NAME".into())
            };
        };
        if self.addresses.is_empty() {
            return Err(format!("--tap {tap} needs an --address").into());
        }
        let tap = Tap::open(tap).map_err(|error| format!("TAP interface {tap}: {error}"))?;
        let link = kernel.attach(tap)?;
        for address in &self.addresses {
            link.add_address(*address)?;
        }
        if let Some(gateway) = self.gateway {
            route::add_default(gateway)?;
        }
        println!(
            "{link:?} has {}",
            self.addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        );
        Ok(Some(link))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Outside, String> {
        let mut outside = Outside::default();
        let mut rest = arguments.split_whitespace().map(String::from);
        while let Some(argument) = rest.next() {
            match outside.take(&argument, &mut rest) {
                Ok(true) => {}
                Ok(false) => return Err(format!("{argument}?")),
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(outside)
    }

    #[test]
    fn arguments_are_understood() {
        let outside =
            parse("--tap tap0 --address 10.0.0.2/24 --address fd00::2/64 --gateway 10.0.0.1")
                .unwrap();
        assert_eq!(outside.address(), Some("10.0.0.2".parse().unwrap()));
        assert_eq!(outside.addresses.len(), 2);
        for (wrong, says) in [
            ("--tap", "nothing follows"),
            ("--address 10.0.0.2", "--address 10.0.0.2: "),
            ("--gateway there", "--gateway there: "),
            ("--other", "--other?"),
        ] {
            assert!(
                parse(wrong).unwrap_err().starts_with(says)
                    || parse(wrong).unwrap_err().contains(says)
            );
        }
    }
}
