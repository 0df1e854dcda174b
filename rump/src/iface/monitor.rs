//! What becomes of interfaces, addresses and routes, as the kernel tells it to sockets of
//! `route(4)`; what `route monitor` of `route(8)` shows.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !rump::kernel::available() { return Ok(()) }
//! use rump::iface::monitor::{Event, Monitor};
//! use rump::iface::Pair;
//!
//! let kernel = rump::Kernel::builder().boot()?;
//! let monitor = Monitor::open()?;
//! let link = kernel.attach(Pair::new().0)?;
//! link.add_address("10.31.0.1/24".parse()?)?;
//! loop {
//!     match monitor.receive()? {
//!         Event::AddressAdded { interface, address } if interface == link.name() => {
//!             println!("{interface} has {address}");
//!             break;
//!         }
//!         Event::Lost => println!("the kernel has told more than there was room for"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A monitor has a descriptor: [`poll`](crate::poll) and [`kqueue`](crate::kqueue) wait for
//! it, and a task does by
//! `Async::new(monitor)?.read_with(Monitor::receive).await`, with
//! [`Async`](crate::reactor::Async).
//!
//! The kernel tells the same more than once at times: an address when it is added and when
//! it turned out to be nobody else's, an interface for each of its flags. It also tells
//! late: whoever acts on an event asks for how things are now.

use super::error::Error;
use super::interface::{LinkState, Names, text};
use super::route::message::{Message, field};
use super::route::{self, Route};
use super::sockaddr;
use crate::descriptor::{AsDescriptor, BorrowedDescriptor, OwnedDescriptor};
use crate::error::Errno;
use crate::sys::{interface::Name, socket};
use ipnet::IpNet;
use rump_sys::abi::{self, earlier, if_announcemsghdr, if_data, if_msghdr, later, rt_msghdr};
use std::ffi::c_int;
use std::io;
use std::mem::{offset_of, size_of};
use std::sync::{Mutex, PoisonError};

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// There is a new interface.
    Arrived {
        /// Its name.
        interface: String,
    },
    /// An interface is gone, and its addresses with it.
    Departed {
        /// The name it had.
        interface: String,
    },
    /// An interface was turned on or off, or its link came or went.
    Interface {
        /// Its name.
        interface: String,
        /// Whether it is [up](super::Interface::is_up).
        up: bool,
        /// Whether it has a link.
        link: LinkState,
    },
    /// An interface has an address.
    AddressAdded {
        /// Its name.
        interface: String,
        /// The address, with its net.
        address: IpNet,
    },
    /// An interface has lost an address.
    AddressRemoved {
        /// Its name.
        interface: String,
        /// The address, with its net.
        address: IpNet,
    },
    /// There is a new route.
    RouteAdded(Route),
    /// A route is gone.
    RouteRemoved(Route),
    /// A route goes elsewhere, or in another way.
    RouteChanged(Route),
    /// Events were lost, because they were not taken in time: more than some 200 waited.
    /// NetBSD before 8 does not say so.
    Lost,
}

/// Tells what becomes of interfaces, addresses and routes from when it is opened on.
#[derive(Debug)]
pub struct Monitor {
    socket: OwnedDescriptor,
    /// Messages have numbers, also of what is gone.
    names: Mutex<Names>,
}

/// How much is kept until it is read, in bytes. A kernel counts a message as 512 bytes and
/// more: some 200 events.
const ROOM: c_int = 128 << 10;

/// Longer than any message: a header and eight addresses.
const LONGEST: usize = 4096;

impl Monitor {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`Error::Route`] if the kernel has no such sockets, or no descriptor is left.
    #[doc(alias = "PF_ROUTE")]
    pub fn open() -> Result<Self, Error> {
        let refused = || Error::route("listen to what becomes of interfaces");
        let socket =
            socket::socket(abi::AF_ROUTE, abi::SOCK_RAW | abi::SOCK_CLOEXEC).map_err(refused())?;
        // If there is less room, events may be lost sooner.
        let _ = socket::set_option(
            socket.as_descriptor(),
            abi::SOL_SOCKET,
            abi::SO_RCVBUF,
            ROOM,
        );
        let names = Mutex::new(Names::read()?);
        Ok(Self { socket, names })
    }

    /// The next event; waits for it.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) where it was told not to wait
    /// ([`set_nonblocking`](Self::set_nonblocking)); what keeps the kernel from telling.
    pub fn receive(&self) -> io::Result<Event> {
        let mut buffer = [0; LONGEST];
        loop {
            let length = match socket::recv(self.as_descriptor(), &mut buffer, 0) {
                Err(error) if Errno::of(&error) == Some(Errno::ENOBUFS) => return Ok(self.lost()?),
                result => result?,
            };
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(event) = event(&buffer[..length], &mut names)? {
                return Ok(event);
            }
        }
    }

    /// Whether [`receive`](Self::receive) waits.
    ///
    /// # Errors
    /// [`kernel::Down`](crate::kernel::Down).
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        socket::set_nonblocking(self.as_descriptor(), nonblocking)
    }

    /// Numbers may be of other interfaces by now.
    fn lost(&self) -> Result<Event, Error> {
        let names = Names::read()?;
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        Ok(Event::Lost)
    }
}

impl AsDescriptor for Monitor {
    fn as_descriptor(&self) -> BorrowedDescriptor<'_> {
        self.socket.as_descriptor()
    }
}

/// Where a message about an address has what, which is not the same in all NetBSD.
struct AddressLayout {
    index: usize,
    bits: usize,
    addresses: usize,
}

const SINCE_8: AddressLayout = AddressLayout {
    index: offset_of!(later::ifa_msghdr, ifam_index),
    bits: offset_of!(later::ifa_msghdr, ifam_addrs),
    addresses: size_of::<later::ifa_msghdr>(),
};

const BEFORE_8: AddressLayout = AddressLayout {
    index: offset_of!(earlier::ifa_msghdr, ifam_index),
    bits: offset_of!(earlier::ifa_msghdr, ifam_addrs),
    addresses: size_of::<earlier::ifa_msghdr>(),
};

/// The name of an interface with this number; of one that is not known yet the kernel
/// knows, unless it is gone.
fn name(names: &mut Names, index: u16) -> Result<Option<String>, Error> {
    if names.get(index).is_none() {
        names.learn(Names::read()?);
    }
    Ok(names.get(index))
}

/// What a message tells; `None` if it is about something else, or no message.
fn event(message: &[u8], names: &mut Names) -> Result<Option<Event>, Error> {
    let Some([version, kind]) = field(message, offset_of!(rt_msghdr, rtm_version)) else {
        return Ok(None);
    };
    if version != abi::RTM_VERSION {
        return Ok(None);
    }
    match kind {
        abi::RTM_IFANNOUNCE => Ok(announced(message, names)),
        abi::RTM_IFINFO => changed(message, names),
        later::RTM_NEWADDR => address(message, &SINCE_8, names, true),
        later::RTM_DELADDR => address(message, &SINCE_8, names, false),
        earlier::RTM_NEWADDR => address(message, &BEFORE_8, names, true),
        earlier::RTM_DELADDR => address(message, &BEFORE_8, names, false),
        _ => Ok(routed(message, names)),
    }
}

fn announced(message: &[u8], names: &mut Names) -> Option<Event> {
    let number = |offset| field(message, offset).map(u16::from_ne_bytes);
    let index = number(offset_of!(if_announcemsghdr, ifan_index))?;
    let what = number(offset_of!(if_announcemsghdr, ifan_what))?;
    let name: Name = field(message, offset_of!(if_announcemsghdr, ifan_name))?;
    let interface = text(&name).to_string();
    match what {
        abi::IFAN_ARRIVAL => {
            names.insert(index, interface.clone());
            Some(Event::Arrived { interface })
        }
        abi::IFAN_DEPARTURE => {
            names.remove(index);
            Some(Event::Departed { interface })
        }
        _ => None,
    }
}

fn changed(message: &[u8], names: &mut Names) -> Result<Option<Event>, Error> {
    let link = offset_of!(if_msghdr, ifm_data) + offset_of!(if_data, ifi_link_state);
    let (Some(index), Some(flags), Some(link)) = (
        field(message, offset_of!(if_msghdr, ifm_index)),
        field(message, offset_of!(if_msghdr, ifm_flags)),
        field(message, link),
    ) else {
        return Ok(None);
    };
    Ok(
        name(names, u16::from_ne_bytes(index))?.map(|interface| Event::Interface {
            interface,
            up: c_int::from_ne_bytes(flags) & abi::IFF_UP != 0,
            link: LinkState::of(c_int::from_ne_bytes(link)),
        }),
    )
}

/// The address with its net, and the number of the interface.
fn own_address(message: &[u8], layout: &AddressLayout) -> Option<(u16, IpNet)> {
    let index = u16::from_ne_bytes(field(message, layout.index)?);
    let bits = c_int::from_ne_bytes(field(message, layout.bits)?);
    let addresses = message.get(layout.addresses..)?;
    let address = |wanted| abi::route::address(addresses, bits, wanted);
    let own = sockaddr::read(address(abi::RTA_IFA)?)?;
    let net = address(abi::RTA_NETMASK).and_then(|mask| sockaddr::net(own, mask));
    Some((index, net.unwrap_or(own.into())))
}

fn address(
    message: &[u8],
    layout: &AddressLayout,
    names: &mut Names,
    added: bool,
) -> Result<Option<Event>, Error> {
    let Some((index, address)) = own_address(message, layout) else {
        return Ok(None);
    };
    Ok(name(names, index)?.map(|interface| {
        if added {
            Event::AddressAdded { interface, address }
        } else {
            Event::AddressRemoved { interface, address }
        }
    }))
}

/// A change of the routing table, but for neighbours. What failed is told as well.
fn routed(message: &[u8], names: &Names) -> Option<Event> {
    let message = Message::all(message).next()?;
    if message.errno != 0 {
        return None;
    }
    let event = match message.kind {
        abi::RTM_ADD => Event::RouteAdded,
        abi::RTM_DELETE => Event::RouteRemoved,
        abi::RTM_CHANGE => Event::RouteChanged,
        _ => return None,
    };
    route::read(&message, names).map(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::{IFAN_ARRIVAL, IFAN_DEPARTURE};

    /// Bytes at their places, in a message of that length.
    fn message(kind: u8, length: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes[..2].copy_from_slice(&(length as u16).to_ne_bytes());
        bytes[2..4].copy_from_slice(&[abi::RTM_VERSION, kind]);
        for (offset, field) in fields {
            bytes[*offset..][..field.len()].copy_from_slice(field);
        }
        bytes
    }

    fn announcement(index: u16, name: &str, what: u16) -> Vec<u8> {
        let fields: [(usize, &[u8]); 3] = [
            (
                offset_of!(if_announcemsghdr, ifan_index),
                &index.to_ne_bytes(),
            ),
            (offset_of!(if_announcemsghdr, ifan_name), name.as_bytes()),
            (
                offset_of!(if_announcemsghdr, ifan_what),
                &what.to_ne_bytes(),
            ),
        ];
        message(abi::RTM_IFANNOUNCE, size_of::<if_announcemsghdr>(), &fields)
    }

    fn of_address(kind: u8, layout: &AddressLayout, net: &str) -> Vec<u8> {
        let net: IpNet = net.parse().unwrap();
        let (mask, own) = (sockaddr::mask(&net), sockaddr::ip(net.addr()));
        let behind = layout.addresses + abi::route::padded(mask.len());
        let bits = abi::RTA_NETMASK | abi::RTA_IFA;
        let fields: [(usize, &[u8]); 4] = [
            (layout.index, &7_u16.to_ne_bytes()),
            (layout.bits, &bits.to_ne_bytes()),
            (layout.addresses, &mask),
            (behind, &own),
        ];
        message(kind, behind + abi::route::padded(own.len()), &fields)
    }

    fn samples() -> [Vec<u8>; 6] {
        let fields: [(usize, &[u8]); 2] = [
            (offset_of!(if_msghdr, ifm_index), &7_u16.to_ne_bytes()),
            (offset_of!(if_msghdr, ifm_flags), &abi::IFF_UP.to_ne_bytes()),
        ];
        [
            announcement(7, "vif6", IFAN_ARRIVAL),
            message(abi::RTM_IFINFO, size_of::<if_msghdr>(), &fields),
            of_address(later::RTM_NEWADDR, &SINCE_8, "10.1.2.3/24"),
            of_address(earlier::RTM_NEWADDR, &BEFORE_8, "2001:db8::1/64"),
            of_address(later::RTM_DELADDR, &SINCE_8, "10.1.2.3/24"),
            announcement(7, "vif6", IFAN_DEPARTURE),
        ]
    }

    #[test]
    fn messages_of_all_netbsd_are_read() {
        let mut names = Names::default();
        let events = samples().map(|bytes| event(&bytes, &mut names).unwrap().unwrap());
        let interface = || "vif6".to_string();
        let v4: IpNet = "10.1.2.3/24".parse().unwrap();
        let expected = [
            Event::Arrived {
                interface: interface(),
            },
            Event::Interface {
                interface: interface(),
                up: true,
                link: LinkState::Unknown,
            },
            Event::AddressAdded {
                interface: interface(),
                address: v4,
            },
            Event::AddressAdded {
                interface: interface(),
                address: "2001:db8::1/64".parse().unwrap(),
            },
            Event::AddressRemoved {
                interface: interface(),
                address: v4,
            },
            Event::Departed {
                interface: interface(),
            },
        ];
        assert_eq!(events, expected);
        assert_eq!(names.get(7), None, "another one may get its number");
    }

    /// However a message is cut or changed, reading it ends and stays inside.
    #[test]
    fn any_message_is_survived() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 33) as usize % below
        };
        let (mut inputs, mut told) = (0, 0);
        for _ in 0..10_000 {
            for mut bytes in samples() {
                for _ in 0..random(4) {
                    let at = random(bytes.len());
                    bytes[at] = random(256) as u8;
                }
                bytes.truncate(random(bytes.len() * 2) + 1);
                let mut names = Names::default();
                names.insert(7, "vif6".into());
                // For another number the kernel is asked, which is not there.
                told += usize::from(matches!(event(&bytes, &mut names), Ok(Some(_))));
                inputs += 1;
            }
        }
        println!("{inputs} inputs, of which {told} told something");
        assert!(told > inputs / 10 && told < inputs);
    }
}
