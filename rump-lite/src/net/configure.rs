//! The requests of `ioctl(2)` that are about interfaces: `netintro(4)`.

use super::LOOPBACK;
use super::interface::{ADDRESSES, Interface};
use super::sockaddr::{address, mask, number, put, sockaddr};
use crate::kernel::Kernel;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::mem::{offset_of, size_of};
use rump_abi as abi;
use rump_hyper::errno::Errno;
use smoltcp::wire::{IpAddress, IpCidr};

/// Behind the name, in all requests.
const VALUE: usize = abi::IFNAMSIZ;
/// Shorter packets an interface need not be able to send (RFC 791).
const MTU: core::ops::RangeInclusive<usize> = 68..=65_535;

/// An address to be had, with a mask that has no holes.
fn to_be_had(address: IpAddress, mask: IpAddress) -> Result<IpCidr, Errno> {
    let prefix = mask.prefix_len().ok_or(Errno::INVAL)?;
    if address.version() != mask.version() || !address.is_unicast() {
        return Err(Errno::INVAL);
    }
    Ok(IpCidr::new(address, prefix))
}

impl Interface {
    pub(super) fn flags(&self) -> c_int {
        let up = if self.up {
            abi::IFF_UP | abi::IFF_RUNNING
        } else {
            0
        };
        let kind = if self.vif.is_some() {
            abi::IFF_BROADCAST
        } else {
            abi::IFF_LOOPBACK
        };
        up | kind | abi::IFF_MULTICAST
    }

    fn set_up(&mut self, up: bool) {
        self.up = up;
        if let Some(vif) = &self.vif {
            vif.tell_state(up);
        }
    }

    fn add_address(&mut self, new: IpCidr) -> Result<(), Errno> {
        let same = |own: &&mut IpCidr| own.address() == new.address();
        if let Some(own) = self.addresses.iter_mut().find(same) {
            *own = new;
        } else if self.addresses.len() < ADDRESSES {
            self.addresses.push(new);
        } else {
            return Err(Errno::NOBUFS);
        }
        self.addresses_changed();
        self.set_up(true);
        Ok(())
    }

    fn own(&self, address: IpAddress) -> Result<IpCidr, Errno> {
        let mut own = self.addresses.iter();
        let own = own.find(|own| own.address() == address);
        own.copied().ok_or(Errno::ADDRNOTAVAIL)
    }

    fn remove_address(&mut self, address: IpAddress) -> Result<(), Errno> {
        self.own(address)?;
        self.addresses.retain(|own| own.address() != address);
        self.addresses_changed();
        Ok(())
    }

    /// Writes a `struct if_data` over the one at this place.
    pub(super) fn write_data(&self, bytes: &mut [u8], at: usize) -> Result<(), Errno> {
        let (kind, link) = match &self.vif {
            Some(vif) if vif.link => (abi::IFT_ETHER, abi::LINK_STATE_UP),
            Some(_) => (abi::IFT_ETHER, abi::LINK_STATE_DOWN),
            None => (abi::IFT_LOOP, abi::LINK_STATE_UP),
        };
        put(bytes, at + offset_of!(abi::if_data, ifi_type), &[kind])?;
        let place = at + offset_of!(abi::if_data, ifi_link_state);
        put(bytes, place, &link.to_ne_bytes())?;
        let stats = self.vif.as_ref().map(|vif| vif.stats).unwrap_or_default();
        for (place, value) in [
            (offset_of!(abi::if_data, ifi_mtu), self.mtu as u64),
            (offset_of!(abi::if_data, ifi_ipackets), stats.rx_frames),
            (offset_of!(abi::if_data, ifi_opackets), stats.tx_frames),
            (offset_of!(abi::if_data, ifi_ibytes), stats.rx_bytes),
            (offset_of!(abi::if_data, ifi_obytes), stats.tx_bytes),
            (offset_of!(abi::if_data, ifi_iqdrops), stats.rx_dropped),
            (offset_of!(abi::if_data, ifi_oerrors), stats.tx_dropped),
        ] {
            put(bytes, at + place, &value.to_ne_bytes())?;
        }
        Ok(())
    }
}

impl Kernel {
    /// Does what a request says, to the interface that it names.
    pub(crate) fn configure(&mut self, request: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        let name: [u8; abi::IFNAMSIZ] = number(bytes, 0)?;
        let end = name.iter().position(|byte| *byte == 0);
        let name = &name[..end.unwrap_or(name.len())];
        if matches!(request, abi::SIOCIFCREATE | abi::SIOCIFDESTROY) {
            return Err(self.lacks(format_args!("interfaces that can be cloned"), Errno::INVAL));
        }
        let named = |interface: &Interface| interface.name.as_bytes() == name;
        let number = self
            .net
            .interfaces
            .iter()
            .find_map(|(number, interface)| named(interface).then_some(number))
            .ok_or(Errno::NXIO)?;
        let before = self.before(number).ok_or(Errno::NXIO)?;
        self.configure_one(number, request, bytes)?;
        self.tell_changes(&before);
        let lost = self.net.forget_lost_routes();
        self.tell_lost_routes(&lost);
        Ok(())
    }

    fn configure_one(&mut self, index: usize, request: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        let now = self.net.read_clock();
        let interface = &mut self.net.interfaces[index];
        match request {
            abi::SIOCGIFFLAGS => put(bytes, VALUE, &(interface.flags() as u16).to_ne_bytes()),
            abi::SIOCSIFFLAGS => {
                let flags = u16::from_ne_bytes(number(bytes, VALUE)?);
                interface.set_up(c_int::from(flags) & abi::IFF_UP != 0);
                Ok(())
            }
            abi::SIOCGIFMTU => put(bytes, VALUE, &(interface.mtu as c_int).to_ne_bytes()),
            abi::SIOCSIFMTU => {
                let mtu = c_int::from_ne_bytes(number(bytes, VALUE)?);
                let mtu = usize::try_from(mtu).map_err(|_| Errno::INVAL)?;
                if !MTU.contains(&mtu) || index == LOOPBACK {
                    return Err(Errno::INVAL);
                }
                interface.set_mtu(now, mtu);
                Ok(())
            }
            abi::SIOCAIFADDR => {
                let new = address(bytes, offset_of!(abi::ifaliasreq, ifra_addr))?;
                let mask = address(bytes, offset_of!(abi::ifaliasreq, ifra_mask))?;
                interface.add_address(to_be_had(new, mask)?)
            }
            abi::SIOCAIFADDR_IN6 => {
                let new = address(bytes, offset_of!(abi::in6_aliasreq, ifra_addr))?;
                let mask = address(bytes, offset_of!(abi::in6_aliasreq, ifra_prefixmask))?;
                interface.add_address(to_be_had(new, mask)?)
            }
            abi::SIOCDIFADDR | abi::SIOCDIFADDR_IN6 => {
                interface.remove_address(address(bytes, VALUE)?)
            }
            abi::SIOCGIFALIAS => {
                let own = interface.own(address(bytes, VALUE)?)?;
                let place = offset_of!(abi::ifaliasreq, ifra_mask);
                put(bytes, place, &sockaddr(mask(own)))
            }
            abi::SIOCGIFNETMASK_IN6 => {
                let own = interface.own(address(bytes, VALUE)?)?;
                put(bytes, VALUE, &sockaddr(mask(own)))
            }
            // None is tentative: duplicates are not looked for.
            abi::SIOCGIFAFLAG_IN | abi::SIOCGIFAFLAG_IN6 => {
                interface.own(address(bytes, VALUE)?)?;
                put(bytes, VALUE, &0i32.to_ne_bytes())
            }
            abi::SIOCGIFDATA => interface.write_data(bytes, offset_of!(abi::ifdatareq, ifdr_data)),
            abi::SIOCSIFCAP => Err(self.lacks(
                format_args!("capabilities of interfaces that can be set"),
                Errno::OPNOTSUPP,
            )),
            abi::SIOCGIFCAP => put(bytes, VALUE, &[0; 16]),
            _ => Err(self.lacks(format_args!("ioctl(2) request {request:#x}"), Errno::NOTTY)),
        }
    }

    /// All interfaces with their addresses, as `SIOCGIFCONF` tells them.
    pub(crate) fn list_interfaces(&self) -> Vec<u8> {
        let mut list = Vec::new();
        for (number, interface) in self.net.interfaces.iter() {
            let addresses = interface
                .addresses
                .iter()
                .map(|own| sockaddr(own.address()));
            for address in core::iter::once(interface.link_address(number + 1)).chain(addresses) {
                let start = list.len();
                list.resize(start + size_of::<abi::ifreq>(), 0);
                let record = &mut list[start..];
                record[..interface.name.len()].copy_from_slice(interface.name.as_bytes());
                let address = &address[..address.len().min(record.len() - VALUE)];
                record[VALUE..VALUE + address.len()].copy_from_slice(address);
            }
        }
        list
    }
}
