//! The kernel of a run: its interface, addresses and routes.

use rump::Kernel;
use rump::iface::{IpNet, Link, Tap, route};
use std::error::Error;
use std::net::IpAddr;

/// Where the kernel's interface goes to, and what it is called there.
#[derive(clap::Args, Debug)]
pub struct Setup {
    /// TAP interface of Linux that the kernel's is connected to
    #[arg(long, value_name = "NAME", requires = "addresses")]
    tap: Option<String>,
    /// Address of the kernel's interface, with its prefix (10.0.0.2/24); may be repeated
    #[arg(
        long = "address",
        value_name = "ADDRESS/PREFIX",
        id = "addresses",
        requires = "tap"
    )]
    addresses: Vec<IpNet>,
    /// Router that everything else goes through; one of each family
    #[arg(long = "gateway", value_name = "ADDRESS", requires = "tap")]
    gateways: Vec<IpAddr>,
}

/// What has to stay while the kernel is used.
#[derive(Debug)]
pub struct Running {
    pub kernel: Kernel,
    /// The interface goes with it.
    _link: Option<Link>,
}

impl Setup {
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
