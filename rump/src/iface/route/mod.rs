//! Routes: where the kernel sends what is not for a link that it is on.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !rump::kernel::available() { return Ok(()) }
//! use rump::iface::route;
//!
//! # let _kernel = rump::Kernel::builder().boot()?;
//! for route in route::list()? {
//!     println!("{route}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! They are changed by messages on a socket of `route(4)`, and listed by `sysctl(7)`,
//! net.route.

pub(super) mod message;

use super::error::Error;
use super::interface::{Interface, Names};
use super::sockaddr;
use crate::sys::sysctl;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use message::{Change, Message};
use rump_sys::abi;
use std::ffi::c_int;
use std::fmt;
use std::io;
use std::net::IpAddr;

/// Where packets go next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gateway {
    /// To a router.
    Router(IpAddr),
    /// To whom they are for, over this interface.
    Link(String),
}

/// An entry of the kernel's routing table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// What it is for; 0.0.0.0/0 and ::/0 are the default routes.
    pub destination: IpNet,
    /// Where packets go.
    pub gateway: Gateway,
    /// The interface that they leave by, if the kernel says.
    pub interface: Option<String>,
    /// The greatest packet on this way, in bytes, if it is known.
    pub mtu: Option<u64>,
    /// Whether packets are dropped, with an error or without.
    pub rejects: bool,
    /// Whether it is to an address of this kernel's own.
    pub is_local: bool,
    /// Whether somebody set it, rather than the kernel.
    pub is_static: bool,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.destination.prefix_len() == 0 {
            f.write_str("default")?;
        } else {
            self.destination.fmt(f)?;
        }
        match &self.gateway {
            Gateway::Router(router) => write!(f, " via {router}")?,
            Gateway::Link(_) => {}
        }
        if let Some(interface) = &self.interface {
            write!(f, " dev {interface}")?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        if self.rejects {
            f.write_str(" reject")?;
        }
        Ok(())
    }
}

/// The default route of a router's family.
fn default(family_of: IpAddr) -> IpNet {
    match family_of {
        IpAddr::V4(_) => IpNet::V4(Ipv4Net::default()),
        IpAddr::V6(_) => IpNet::V6(Ipv6Net::default()),
    }
}

fn change(kind: u8, destination: IpNet, gateway: &Gateway) -> io::Result<()> {
    let mut change = Change::new(kind, abi::RTF_STATIC | abi::RTF_UP);
    let gateway = match gateway {
        Gateway::Router(router) => {
            change.flag(abi::RTF_GATEWAY);
            sockaddr::ip(*router)
        }
        Gateway::Link(name) => {
            change.flag(abi::RTF_CONNECTED);
            sockaddr::link(Interface::named(name)?.index()?, None).into()
        }
    };
    let net = destination.trunc();
    if net.prefix_len() == net.max_prefix_len() {
        change.flag(abi::RTF_HOST);
    }
    change.address(abi::RTA_DST, &sockaddr::ip(net.addr()));
    change.address(abi::RTA_GATEWAY, &gateway);
    if net.prefix_len() < net.max_prefix_len() {
        change.address(abi::RTA_NETMASK, &sockaddr::mask(&net));
    }
    change.send()
}

/// Adds a route.
///
/// # Errors
/// `EEXIST` if there is one to this destination; `ENETUNREACH` if the router is not on a
/// link; [`Error::Absent`] inside if there is no such interface.
#[doc(alias = "RTM_ADD")]
pub fn add(destination: IpNet, gateway: &Gateway) -> Result<(), Error> {
    change(abi::RTM_ADD, destination, gateway)
        .map_err(Error::route(format!("add the route to {destination}")))?;
    tracing::info!(%destination, ?gateway, "route added");
    Ok(())
}

/// Adds the default route to a router: for all IPv4, or all IPv6.
///
/// # Errors
/// As [`add`].
pub fn add_default(router: IpAddr) -> Result<(), Error> {
    add(default(router), &Gateway::Router(router))
}

/// Has a route go elsewhere.
///
/// # Errors
/// `ESRCH` if there is none to this destination.
#[doc(alias = "RTM_CHANGE")]
pub fn replace(destination: IpNet, gateway: &Gateway) -> Result<(), Error> {
    change(abi::RTM_CHANGE, destination, gateway)
        .map_err(Error::route(format!("change the route to {destination}")))?;
    tracing::info!(%destination, ?gateway, "route changed");
    Ok(())
}

/// Takes a route away.
///
/// # Errors
/// `ESRCH` if there is none to this destination.
#[doc(alias = "RTM_DELETE")]
pub fn remove(destination: IpNet) -> Result<(), Error> {
    let net = destination.trunc();
    let mut change = Change::new(abi::RTM_DELETE, 0);
    change.address(abi::RTA_DST, &sockaddr::ip(net.addr()));
    if net.prefix_len() < net.max_prefix_len() {
        change.address(abi::RTA_NETMASK, &sockaddr::mask(&net));
    } else {
        change.flag(abi::RTF_HOST);
    }
    change
        .send()
        .map_err(Error::route(format!("remove the route to {destination}")))?;
    tracing::info!(%destination, "route removed");
    Ok(())
}

/// The route that a packet to this address takes.
///
/// # Errors
/// `ESRCH` if there is none.
#[doc(alias = "RTM_GET")]
pub fn get(address: IpAddr) -> Result<Route, Error> {
    // Without RTF_UP the question would be for a neighbour.
    let mut change = Change::new(abi::RTM_GET, abi::RTF_UP);
    change.address(abi::RTA_DST, &sockaddr::ip(address));
    // Says which interface it is in the answer.
    change.address(abi::RTA_IFP, &sockaddr::link(0, None));
    let answer = change
        .ask()
        .map_err(Error::route(format!("tell the route to {address}")))?;
    let names = Names::read()?;
    Message::all(&answer)
        .find_map(|message| read(&message, &names))
        .ok_or_else(|| {
            let source = io::Error::from(crate::Errno::ESRCH);
            Error::route(format!("tell the route to {address}"))(source)
        })
}

/// All routes, without the entries for neighbours.
///
/// # Errors
/// What keeps the kernel from telling.
#[doc(alias = "NET_RT_DUMP")]
pub fn list() -> Result<Vec<Route>, Error> {
    let names = Names::read()?;
    let dump =
        dump(abi::AF_UNSPEC, abi::NET_RT_DUMP, 0).map_err(Error::route("list the routes"))?;
    Ok(Message::all(&dump)
        .filter_map(|message| read(&message, &names))
        .collect())
}

/// The messages of the routing table.
pub(super) fn dump(family: c_int, what: c_int, argument: c_int) -> io::Result<Vec<u8>> {
    // PF_ROUTE is AF_ROUTE in all of the system.
    sysctl::bytes(&[abi::CTL_NET, abi::AF_ROUTE, 0, family, what, argument])
}

/// What a message says; `None` of neighbours.
pub(super) fn read(message: &Message<'_>, names: &Names) -> Option<Route> {
    if message.flags & abi::RTF_LLDATA != 0 {
        return None;
    }
    let address = sockaddr::read(message.address(abi::RTA_DST)?)?;
    let host = IpNet::from(address);
    let destination = match message.address(abi::RTA_NETMASK) {
        _ if message.flags & abi::RTF_HOST != 0 => host,
        // The default route's has no bytes.
        None | Some([] | [0, ..]) => default(address),
        Some(mask) => sockaddr::net(address, mask)?,
    };
    let interface = names.get(message.interface);
    let gateway = message.address(abi::RTA_GATEWAY)?;
    let gateway = match sockaddr::read(gateway) {
        Some(router) if message.flags & abi::RTF_GATEWAY != 0 => Gateway::Router(router),
        _ => Gateway::Link(interface.clone().unwrap_or_default()),
    };
    Some(Route {
        destination,
        gateway,
        interface,
        mtu: (message.mtu != 0).then_some(message.mtu),
        rejects: message.flags & (abi::RTF_REJECT | abi::RTF_BLACKHOLE) != 0,
        is_local: message.flags & abi::RTF_LOCAL != 0,
        is_static: message.flags & abi::RTF_STATIC != 0,
    })
}
