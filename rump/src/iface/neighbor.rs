//! Neighbours: who is on a link, by ARP (`arp(4)`) and Neighbor Discovery (`ndp(8)`).

use super::error::Error;
use super::interface::{Interface, Names};
use super::route::{
    dump,
    message::{Change, Message},
};
use super::sockaddr;
use rump_sys::abi;
use std::io;
use std::net::IpAddr;

/// A host on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Neighbor {
    /// Its address.
    pub address: IpAddr,
    /// Its Ethernet address; not known yet, if it was asked for and has not answered.
    pub hardware: Option<[u8; 6]>,
    /// The interface that it is reached through.
    pub interface: Option<String>,
    /// Whether somebody set it, so that it is never asked for.
    pub is_static: bool,
}

/// All neighbours that the kernel knows.
///
/// # Errors
/// What keeps the kernel from telling.
pub fn list() -> Result<Vec<Neighbor>, Error> {
    let names = Names::read()?;
    let mut neighbors = Vec::new();
    for family in [abi::AF_INET, abi::AF_INET6] {
        let found = dump(family, abi::NET_RT_FLAGS, abi::RTF_LLDATA)
            .map_err(Error::route("list the neighbours"))?;
        neighbors.extend(Message::all(&found).filter_map(|message| read(&message, &names)));
    }
    Ok(neighbors)
}

fn read(message: &Message<'_>, names: &Names) -> Option<Neighbor> {
    let link = sockaddr::read_link(message.address(abi::RTA_GATEWAY)?)?;
    Some(Neighbor {
        address: sockaddr::read(message.address(abi::RTA_DST)?)?,
        hardware: link.address,
        interface: names.get(link.index),
        is_static: message.flags & abi::RTF_STATIC != 0,
    })
}

fn change(
    kind: u8,
    interface: &Interface,
    address: IpAddr,
    hardware: Option<[u8; 6]>,
) -> io::Result<()> {
    let mut change = Change::new(kind, abi::RTF_HOST | abi::RTF_STATIC | abi::RTF_LLDATA);
    change.address(abi::RTA_DST, &sockaddr::ip(address));
    change.address(
        abi::RTA_GATEWAY,
        &sockaddr::link(interface.index()?, hardware),
    );
    change.send()
}

/// Says which Ethernet address a neighbour has, so that it is not asked for.
///
/// # Errors
/// `EINVAL` if the address is not on the link of this interface.
pub fn add(interface: &Interface, address: IpAddr, hardware: [u8; 6]) -> Result<(), Error> {
    change(abi::RTM_ADD, interface, address, Some(hardware)).map_err(Error::route(format!(
        "add the neighbour {address} of {interface}"
    )))
}

/// Forgets a neighbour; it is asked for again when it is needed.
///
/// # Errors
/// `ESRCH` or `ENOENT` if it is not known.
pub fn remove(interface: &Interface, address: IpAddr) -> Result<(), Error> {
    change(abi::RTM_DELETE, interface, address, None).map_err(Error::route(format!(
        "remove the neighbour {address} of {interface}"
    )))
}
