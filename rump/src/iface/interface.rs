//! An interface of the kernel, by its name.

use super::address::Address;
use super::capabilities::Capabilities;
use super::error::Error;
use super::sockaddr;
use super::statistics::Statistics;
use crate::sys::interface::{self as raw, Argument, Name};
use ipnet::IpNet;
use rump_sys::abi;
use std::ffi::c_int;
use std::fmt;
use std::io;
use std::mem::offset_of;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// An interface of the kernel: `lo0`, `vif0`, `bridge0`.
///
/// It is no more than a name. The kernel is asked at each call, and an interface that is
/// gone by then is an error.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # if !rump::kernel::available() { return Ok(()) }
/// # if rump_sys::kernel::KIND != rump_sys::kernel::Kind::Netbsd { return Ok(()) }
/// use rump::iface::Interface;
///
/// # let _kernel = rump::Kernel::builder().boot()?;
/// let lo0 = Interface::named("lo0")?;
/// lo0.add_address("10.11.12.13/32".parse()?)?;
/// for address in lo0.addresses()? {
///     println!("{lo0} has {}", address.net());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Interface(Name);

/// Whether an interface has a link (`LINK_STATE_*` of `<net/if.h>`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkState {
    /// The driver does not say.
    Unknown,
    /// There is none.
    Down,
    /// There is one.
    Up,
}

impl LinkState {
    /// Of the kernel's number.
    pub(super) fn of(state: c_int) -> Self {
        match state {
            abi::LINK_STATE_UP => Self::Up,
            abi::LINK_STATE_DOWN => Self::Down,
            _ => Self::Unknown,
        }
    }
}

/// How long it may take to find out whether an address is somebody else's.
const DETECTION: Duration = Duration::from_secs(10);

/// Bytes up to the first 0.
pub(super) fn text(name: &Name) -> &str {
    let length = name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(name.len());
    // Of ours, or checked when it came from the kernel.
    std::str::from_utf8(&name[..length]).unwrap_or("?")
}

fn checked(name: &str) -> Result<Name, Error> {
    let mut bytes: Name = [0; abi::IFNAMSIZ];
    let wrong = || Error::Name { name: name.into() };
    if !name.bytes().all(|byte| byte.is_ascii_graphic())
        || !name.ends_with(|last: char| last.is_ascii_digit())
        || name.len() >= bytes.len()
    {
        return Err(wrong());
    }
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Ok(bytes)
}

impl Interface {
    /// The interface of this name.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Absent`].
    pub fn named(name: &str) -> Result<Self, Error> {
        let interface = Self(checked(name)?);
        match interface.flags() {
            Ok(_) => Ok(interface),
            Err(error) if error.errno() == Some(crate::Errno::ENXIO) => Err(interface.absent()),
            Err(error) => Err(error),
        }
    }

    fn absent(&self) -> Error {
        let there = Self::list().unwrap_or_default();
        Error::Absent {
            name: self.name().into(),
            there: there.iter().map(|other| other.name().into()).collect(),
        }
    }

    /// All interfaces, in the order in which the kernel has them.
    ///
    /// # Errors
    /// [`Error::Route`] if the kernel could not be asked.
    #[doc(alias = "getifaddrs")]
    pub fn list() -> Result<Vec<Self>, Error> {
        let mut names: Vec<Name> = records()?.iter().map(|record| record.ifr_name).collect();
        names.dedup();
        Ok(names.into_iter().map(Self).collect())
    }

    /// Makes an interface of a kind that can be multiplied, such as `bridge0`, `vlan7` or
    /// `lo1`, if the component for it is in the kernel. Interfaces over back ends are made
    /// by [`Kernel::attach`](crate::Kernel::attach).
    ///
    /// Follows `ifconfig(8)`, create.
    ///
    /// # Errors
    /// `EINVAL` if the kernel has no such kind; `EEXIST`.
    #[doc(alias = "SIOCIFCREATE")]
    pub fn create(name: &str) -> Result<Self, Error> {
        let interface = Self(checked(name)?);
        interface.ioctl("be created", abi::SIOCIFCREATE, &mut interface.ifreq())?;
        tracing::info!(interface = name, "created");
        Ok(interface)
    }

    /// Removes an interface that was [created](Self::create), with all its addresses.
    ///
    /// # Errors
    /// `EINVAL` if it is not of such a kind; it may be in use.
    #[doc(alias = "SIOCIFDESTROY")]
    pub fn destroy(self) -> Result<(), Error> {
        self.ioctl("be destroyed", abi::SIOCIFDESTROY, &mut self.ifreq())?;
        tracing::info!(interface = self.name(), "destroyed");
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        text(&self.0)
    }

    /// Its number.
    ///
    /// # Errors
    /// [`Error::Absent`].
    #[doc(alias = "if_nametoindex")]
    pub fn index(&self) -> Result<u16, Error> {
        self.link_address().map(|link| link.index)
    }

    /// Its Ethernet address, if it has one.
    ///
    /// # Errors
    /// [`Error::Absent`].
    pub fn hardware_address(&self) -> Result<Option<[u8; 6]>, Error> {
        self.link_address().map(|link| link.address)
    }

    fn link_address(&self) -> Result<sockaddr::Link, Error> {
        let own = |record: &abi::ifreq| record.ifr_name == self.0;
        records()?
            .iter()
            .filter(|record| own(record))
            .find_map(|record| sockaddr::read_link(&bytes(record)))
            .ok_or_else(|| self.absent())
    }

    pub(super) fn raw_name(&self) -> &Name {
        &self.0
    }

    fn ifreq(&self) -> Argument {
        Argument::named::<abi::ifreq>(&self.0)
    }

    fn refused(&self, operation: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        |source| Error::Interface {
            interface: self.name().into(),
            operation: operation.into(),
            source,
        }
    }

    fn ioctl(&self, operation: &str, request: u64, argument: &mut Argument) -> Result<(), Error> {
        raw::request(abi::AF_INET, request, argument).map_err(self.refused(operation))
    }

    fn flags(&self) -> Result<i32, Error> {
        let mut argument = self.ifreq();
        self.ioctl("tell its flags", abi::SIOCGIFFLAGS, &mut argument)?;
        let flags = u16::from_ne_bytes(argument.get(offset_of!(abi::ifreq, ifr_ifru)));
        Ok(flags.into())
    }

    /// Whether it is up: its users want frames to flow.
    ///
    /// # Errors
    /// `ENXIO` if it is gone.
    pub fn is_up(&self) -> Result<bool, Error> {
        Ok(self.flags()? & abi::IFF_UP != 0)
    }

    /// Whether it is the loopback interface.
    ///
    /// # Errors
    /// `ENXIO` if it is gone.
    pub fn is_loopback(&self) -> Result<bool, Error> {
        Ok(self.flags()? & abi::IFF_LOOPBACK != 0)
    }

    /// Turns it on or off. An interface is also turned on by its first address.
    ///
    /// # Errors
    /// What keeps its driver from it.
    pub fn set_up(&self, up: bool) -> Result<(), Error> {
        let flags = self.flags()?;
        let flags = if up {
            flags | abi::IFF_UP
        } else {
            flags & !abi::IFF_UP
        };
        let mut argument = self.ifreq();
        argument.put(
            offset_of!(abi::ifreq, ifr_ifru),
            &(flags as u16).to_ne_bytes(),
        );
        let operation = if up { "be turned on" } else { "be turned off" };
        self.ioctl(operation, abi::SIOCSIFFLAGS, &mut argument)?;
        tracing::info!(interface = self.name(), up);
        Ok(())
    }

    /// The longest packet that it sends, in bytes, without the Ethernet header.
    ///
    /// # Errors
    /// `ENXIO` if it is gone.
    pub fn mtu(&self) -> Result<u32, Error> {
        let mut argument = self.ifreq();
        self.ioctl("tell its MTU", abi::SIOCGIFMTU, &mut argument)?;
        let mtu = i32::from_ne_bytes(argument.get(offset_of!(abi::ifreq, ifr_ifru)));
        Ok(mtu.try_into().unwrap_or(0))
    }

    /// Sets the longest packet that it sends. IPv6 needs 1280.
    ///
    /// # Errors
    /// `EINVAL` if the interface cannot have such an MTU.
    pub fn set_mtu(&self, mtu: u32) -> Result<(), Error> {
        let mut argument = self.ifreq();
        let value = i32::try_from(mtu).unwrap_or(i32::MAX);
        argument.put(offset_of!(abi::ifreq, ifr_ifru), &value.to_ne_bytes());
        self.ioctl(
            &format!("have an MTU of {mtu}"),
            abi::SIOCSIFMTU,
            &mut argument,
        )?;
        tracing::info!(interface = self.name(), mtu);
        Ok(())
    }

    /// What it leaves to its driver (`IFCAP_*` of `<net/if.h>`), and could.
    ///
    /// # Errors
    /// `ENXIO` if it is gone.
    pub fn capabilities(&self) -> Result<Capabilities, Error> {
        let mut argument = Argument::named::<abi::ifcapreq>(&self.0);
        self.ioctl("tell its capabilities", abi::SIOCGIFCAP, &mut argument)?;
        let word = |offset| u64::from_ne_bytes(argument.get(offset));
        Ok(Capabilities {
            possible: word(offset_of!(abi::ifcapreq, ifcr_capabilities)),
            enabled: word(offset_of!(abi::ifcapreq, ifcr_capenable)),
        })
    }

    /// Chooses what of the possible it leaves to its driver.
    ///
    /// # Errors
    /// `EINVAL` for what is not possible.
    pub fn set_capabilities(&self, enabled: u64) -> Result<(), Error> {
        let mut argument = Argument::named::<abi::ifcapreq>(&self.0);
        argument.put(
            offset_of!(abi::ifcapreq, ifcr_capenable),
            &enabled.to_ne_bytes(),
        );
        self.ioctl("have these capabilities", abi::SIOCSIFCAP, &mut argument)
    }

    /// Leaves to its driver what that can do of [`Capabilities::OFFLOADS`], beside what it
    /// does already.
    ///
    /// # Errors
    /// `ENXIO` if it is gone, and what its driver answers.
    pub fn offload(&self) -> Result<(), Error> {
        let Capabilities { possible, enabled } = self.capabilities()?;
        let wanted = enabled | possible & Capabilities::OFFLOADS;
        if wanted == enabled {
            return Ok(());
        }
        self.set_capabilities(wanted)
    }

    /// Its `if_data`.
    fn data(&self, operation: &str) -> Result<Argument, Error> {
        let mut argument = Argument::named::<abi::ifdatareq>(&self.0);
        self.ioctl(operation, abi::SIOCGIFDATA, &mut argument)?;
        Ok(argument)
    }

    /// What it has counted.
    ///
    /// # Errors
    /// `ENXIO` if it is gone.
    pub fn statistics(&self) -> Result<Statistics, Error> {
        let argument = self.data("tell its counters")?;
        Ok(Statistics::read(|offset| {
            u64::from_ne_bytes(argument.get(offset_of!(abi::ifdatareq, ifdr_data) + offset))
        }))
    }

    /// Whether it has a link.
    ///
    /// # Errors
    /// `ENXIO` if it is gone.
    pub fn link_state(&self) -> Result<LinkState, Error> {
        let argument = self.data("tell its link")?;
        let at = offset_of!(abi::ifdatareq, ifdr_data) + offset_of!(abi::if_data, ifi_link_state);
        Ok(LinkState::of(c_int::from_ne_bytes(argument.get(at))))
    }

    /// Its addresses.
    ///
    /// # Errors
    /// `ENXIO` if it is gone.
    pub fn addresses(&self) -> Result<Vec<Address>, Error> {
        let records = records()?;
        if !records.iter().any(|record| record.ifr_name == self.0) {
            return Err(self.absent());
        }
        records
            .iter()
            .filter(|record| record.ifr_name == self.0)
            .filter_map(|record| Address::read(&self.0, &bytes(record)).transpose())
            .collect::<io::Result<_>>()
            .map_err(self.refused("tell its addresses"))
    }

    /// Gives it an address and turns it on; the net of the address is reached through it
    /// from then on. An address that it has already gets this net.
    ///
    /// The address can be used at once: the kernel does not ask the link whether somebody
    /// has it. [`add_unique_address`](Self::add_unique_address) does.
    ///
    /// # Errors
    /// `EINVAL` for the address of a group, and others if it cannot have the address.
    #[doc(alias = "SIOCAIFADDR")]
    pub fn add_address(&self, net: IpNet) -> Result<(), Error> {
        super::detection::without(net.addr(), || self.add(net))
            .map_err(|error| self.refused(format!("add {net}"))(error.into()))?
    }

    /// Adds an address, of which the kernel detects duplicates if it is told to.
    fn add(&self, net: IpNet) -> Result<(), Error> {
        if net.addr().is_multicast() {
            // NetBSD takes one of IPv6.
            return Err(self.refused(format!("add {net}"))(
                crate::Errno::EINVAL.into(),
            ));
        }
        Address::add(&self.0, net).map_err(self.refused(format!("add {net}")))?;
        tracing::info!(interface = self.name(), address = %net, "address added");
        Ok(())
    }

    /// The same, after the link was asked whether somebody has the address (RFC 5227 and
    /// RFC 4862, 5.4), which takes some seconds.
    ///
    /// # Errors
    /// As [`add_address`](Self::add_address); [`Error::Conflict`] if somebody has it, and
    /// `ETIMEDOUT` if it was not found out in 10 seconds, for instance because there is no
    /// link. The interface does not have the address then.
    pub fn add_unique_address(&self, net: IpNet) -> Result<(), Error> {
        let operation = format!("add {net} and detect duplicates");
        let detection = super::detection::Detection::on(net.addr())
            .map_err(|error| self.refused(&*operation)(error.into()))?;
        // The kernel asks only where it can.
        self.set_up(true)?;
        detection.with(|| self.add(net))?;
        let result = self.wait_until_unique(net, &operation);
        drop(detection);
        if result.is_err() {
            // Whatever this comes to, the first failure counts.
            let _ = self.remove_address(net.addr());
        }
        result
    }

    fn wait_until_unique(&self, net: IpNet, operation: &str) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            let addresses = self.addresses()?;
            match addresses.iter().find(|own| own.net().addr() == net.addr()) {
                Some(own) if own.is_duplicated() => {
                    return Err(Error::Conflict {
                        interface: self.name().into(),
                        address: net.addr(),
                    });
                }
                Some(own) if own.is_ready() => return Ok(()),
                _ if began.elapsed() > DETECTION => {
                    return Err(self.refused(operation)(crate::Errno::ETIMEDOUT.into()));
                }
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Takes an address away.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` if it does not have it.
    #[doc(alias = "SIOCDIFADDR")]
    pub fn remove_address(&self, address: IpAddr) -> Result<(), Error> {
        Address::remove(&self.0, address).map_err(self.refused(format!("remove {address}")))?;
        tracing::info!(interface = self.name(), %address, "address removed");
        Ok(())
    }
}

/// All names and addresses.
fn records() -> Result<Vec<abi::ifreq>, Error> {
    raw::all().map_err(Error::route("list the interfaces"))
}

/// The address in a record.
fn bytes(record: &abi::ifreq) -> [u8; 128] {
    let mut bytes = [0; 128];
    for (to, word) in bytes.chunks_exact_mut(8).zip(record.ifr_ifru) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// The names of all interfaces by their numbers, as of one moment.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<(u16, String)>);

impl Names {
    pub(super) fn read() -> Result<Self, Error> {
        let name = |record: &abi::ifreq| {
            let link = sockaddr::read_link(&bytes(record))?;
            Some((link.index, text(&record.ifr_name).into()))
        };
        Ok(Self(records()?.iter().filter_map(name).collect()))
    }

    /// There is another one.
    pub(super) fn insert(&mut self, index: u16, name: String) {
        self.remove(index);
        self.0.push((index, name));
    }

    /// One is gone, and another may get its number.
    pub(super) fn remove(&mut self, index: u16) {
        self.0.retain(|(own, _)| *own != index);
    }

    /// Takes over what is newer, and keeps the names of what is gone.
    pub(super) fn learn(&mut self, newer: Self) {
        for (index, name) in newer.0 {
            self.insert(index, name);
        }
    }

    pub(super) fn get(&self, index: u16) -> Option<String> {
        let (_, name) = self.0.iter().find(|(own, _)| *own == index)?;
        Some(name.clone())
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interface({})", self.name())
    }
}
