//! `ioctl(2)` requests about neighbours (arp(7)): what is set so is set in the kernel by a message
//! of route(4). Servers of DHCP do that, to reach a client that has no address yet.

use super::Outcome;
use crate::errno::Errno;
use crate::interfaces::{Interface, NAME, mask};
use crate::object::KernelFd;
use crate::process::Process;
use crate::raw::if_arp::{ARPHRD_ETHER, ATF_COM};
use crate::raw::ioctl::{SIOCDARP, SIOCGARP, SIOCSARP};
use crate::raw::net::AF_INET;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::{offset_of, size_of};
use core::net::Ipv4Addr;
use rump_abi as abi;

/// Linux's `struct arpreq`: an address of IPv4, one of the link, flags, a mask, and the name of an
/// interface, which may be empty.
const SIZE: usize = 16 + 16 + 4 + 16 + NAME;
const HARDWARE: usize = 16;
const FLAGS: usize = 32;
const DEVICE: usize = 52;

/// Whether a request of `ioctl(2)` is about a neighbour.
pub fn is_about_neighbors(request: u32) -> bool {
    matches!(request, SIOCDARP | SIOCGARP | SIOCSARP)
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    address: Ipv4Addr,
    /// Of Ethernet, if the neighbour is known to have it.
    hardware: Option<[u8; 6]>,
    device: &'a [u8],
}

impl<'a> Asked<'a> {
    fn read(bytes: &'a [u8; SIZE]) -> Result<Self, Errno> {
        let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let four = |at: usize| [0, 1, 2, 3].map(|byte| bytes[at + byte]);
        if u32::from(half(0)) != AF_INET {
            return Err(Errno::EAFNOSUPPORT);
        }
        let flags = u32::from_ne_bytes(four(FLAGS));
        let hardware = match u32::from(half(HARDWARE)) {
            ARPHRD_ETHER => [2, 3, 4, 5, 6, 7].map(|at| bytes[HARDWARE + at]),
            _ => return Err(Errno::EINVAL),
        };
        let device = &bytes[DEVICE..];
        let end = device.iter().position(|byte| *byte == 0).unwrap_or(NAME);
        Ok(Self {
            address: four(4).into(),
            hardware: (flags & ATF_COM != 0).then_some(hardware),
            device: &device[..end],
        })
    }

    /// The interface that is named, or that the address is on the net of.
    fn interface<'b>(&self, all: &'b [Interface]) -> Result<&'b Interface, Errno> {
        let is_near = |one: &Interface| {
            one.first().is_some_and(|(own, about)| {
                let mask = mask(about.prefix).to_bits();
                own.to_bits() & mask == self.address.to_bits() & mask
            })
        };
        match self.device {
            [] => all
                .iter()
                .find(|one| is_near(one))
                .ok_or(Errno::ENETUNREACH),
            name => {
                let named = all.iter().find(|one| one.name() == name);
                named.ok_or(Errno::ENODEV)
            }
        }
    }
}

/// A message of route(4) about a neighbour.
fn message(kind: u8, address: Ipv4Addr, index: u16, hardware: Option<[u8; 6]>) -> Vec<u8> {
    let mut message = vec![0; size_of::<abi::rt_msghdr>()];
    // A sockaddr_in, and a sockaddr_dl without a name.
    message.extend([16, abi::AF_INET as u8, 0, 0]);
    message.extend(address.octets());
    message.extend([0; 8]);
    let [low, high] = index.to_ne_bytes();
    let length = hardware.map_or(0, |hardware| hardware.len() as u8);
    message.extend([24, abi::AF_LINK as u8, low, high, 0, 0, length, 0]);
    message.extend(hardware.unwrap_or_default());
    message.extend([0; 10]);
    let length = message.len() as u16;
    let flags = abi::RTF_HOST | abi::RTF_STATIC | abi::RTF_LLDATA;
    let which = abi::RTA_DST | abi::RTA_GATEWAY;
    let mut put = |at: usize, bytes: &[u8]| message[at..at + bytes.len()].copy_from_slice(bytes);
    put(
        offset_of!(abi::rt_msghdr, rtm_msglen),
        &length.to_ne_bytes(),
    );
    put(offset_of!(abi::rt_msghdr, rtm_version), &[abi::RTM_VERSION]);
    put(offset_of!(abi::rt_msghdr, rtm_type), &[kind]);
    put(offset_of!(abi::rt_msghdr, rtm_flags), &flags.to_ne_bytes());
    put(offset_of!(abi::rt_msghdr, rtm_addrs), &which.to_ne_bytes());
    message
}

impl Process {
    /// Answers one of them, by a socket of IPv4.
    pub(crate) fn about_neighbors(&self, request: u32, at: u64) -> Outcome {
        let mut bytes = [0; SIZE];
        self.host.read(at, &mut bytes)?;
        if request == SIOCGARP {
            // They are not told by netlink(7), either.
            return Err(Errno::EOPNOTSUPP);
        }
        let asked = Asked::read(&bytes)?;
        if request == SIOCSARP && asked.hardware.is_none() {
            return Err(Errno::EINVAL);
        }
        let interfaces = self.interfaces()?;
        let index = asked.interface(&interfaces)?.index;
        let index = u16::try_from(index).map_err(|_| Errno::ENODEV)?;
        let kind = abi::SOCK_RAW | abi::SOCK_CLOEXEC;
        let socket = self.kernel.socket(abi::AF_ROUTE, kind, 0)?;
        let socket = KernelFd::new(&self.kernel, socket);
        let send = |kind, hardware| {
            let message = message(kind, asked.address, index, hardware);
            self.kernel.write(socket.number, &message)
        };
        // NetBSD changes none that was set: it is forgotten first.
        let forgotten = send(abi::RTM_DELETE, None);
        if request == SIOCDARP {
            forgotten.map_err(|_| Errno::ENXIO)?;
        } else {
            send(abi::RTM_ADD, asked.hardware)?;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn asked(address: [u8; 4], device: &str, flags: u32) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[0] = AF_INET as u8;
        bytes[4..8].copy_from_slice(&address);
        bytes[HARDWARE] = ARPHRD_ETHER as u8;
        bytes[HARDWARE + 2..HARDWARE + 8].copy_from_slice(&[2, 0, 0, 1, 2, 3]);
        bytes[FLAGS..FLAGS + 4].copy_from_slice(&flags.to_ne_bytes());
        bytes[DEVICE..DEVICE + device.len()].copy_from_slice(device.as_bytes());
        bytes
    }

    #[test]
    fn what_is_asked_is_read() {
        let bytes = asked([10, 0, 0, 7], "vif0", ATF_COM);
        let read = Asked::read(&bytes).unwrap();
        assert_eq!(read.address, Ipv4Addr::new(10, 0, 0, 7));
        assert_eq!(read.hardware, Some([2, 0, 0, 1, 2, 3]));
        assert_eq!(read.device, b"vif0");
        let bytes = asked([10, 0, 0, 7], "", 0);
        assert_eq!(Asked::read(&bytes).unwrap().hardware, None);
        let mut other = bytes;
        other[0] = 10;
        assert_eq!(Asked::read(&other), Err(Errno::EAFNOSUPPORT));
        let mut other = bytes;
        other[HARDWARE] = 32;
        assert_eq!(Asked::read(&other), Err(Errno::EINVAL));
        // A name that fills its place has no end.
        let long: String = core::iter::repeat_n('v', NAME).collect();
        assert_eq!(
            Asked::read(&asked([0; 4], &long, 0)).unwrap().device.len(),
            NAME
        );
    }

    #[test]
    fn messages_are_as_route_has_them() {
        let message = message(abi::RTM_ADD, Ipv4Addr::new(10, 0, 0, 7), 3, Some([1; 6]));
        let header = size_of::<abi::rt_msghdr>();
        assert_eq!(message.len(), header + 16 + 24);
        assert_eq!(message[..2], (message.len() as u16).to_ne_bytes());
        assert_eq!(message[header..header + 8], [16, 2, 0, 0, 10, 0, 0, 7]);
        let link = &message[header + 16..];
        assert_eq!(link[..8], [24, abi::AF_LINK as u8, 3, 0, 0, 0, 6, 0]);
        assert_eq!(link[8..14], [1; 6]);
    }
}
