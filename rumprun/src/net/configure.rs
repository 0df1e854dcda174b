//! Addresses and routes, by the kernel's own system calls: `SIOCAIFADDR` of
//! [`inet(4)`](https://man.netbsd.org/inet.4), and a message of
//! [`route(4)`](https://man.netbsd.org/route.4). The calling threads have an lwp.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::{c_int, c_ulong};
use core::mem::{offset_of, size_of};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use rump_hyper::errno::Errno;
use rump_sys::{abi, syscalls};

fn result(value: isize) -> Result<c_int, Errno> {
    if value < 0 {
        Err(Errno(syscalls::errno()))
    } else {
        Ok(value as c_int)
    }
}

/// A socket, closed when it is dropped.
struct Socket(c_int);

impl Socket {
    fn new(domain: c_int, kind: c_int) -> Result<Self, Errno> {
        // SAFETY: plain numbers.
        result(unsafe { syscalls::socket(domain, kind, 0) } as isize).map(Self)
    }

    /// # Safety
    /// The argument is what the request reads and writes.
    unsafe fn control(&self, request: u64, argument: *mut u8) -> Result<(), Errno> {
        // SAFETY: by contract.
        let done = unsafe { syscalls::ioctl(self.0, request as c_ulong, argument.cast()) };
        result(done as isize).map(drop)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: ours.
        unsafe { syscalls::close(self.0) };
    }
}

/// A `sockaddr_in` or `sockaddr_in6`: length, family, port; the address at 4, or at 8.
fn sockaddr(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = vec![16, abi::AF_INET as u8, 0, 0];
            bytes.extend(address.octets());
            bytes.resize(16, 0);
            bytes
        }
        IpAddr::V6(address) => {
            let mut bytes = vec![28, abi::AF_INET6 as u8, 0, 0, 0, 0, 0, 0];
            bytes.extend(address.octets());
            bytes.resize(28, 0);
            bytes
        }
    }
}

/// The mask of a net with so many bits.
fn mask4(bits: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0))
}

fn mask6(bits: u8) -> Ipv6Addr {
    Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0))
}

/// The interfaces that are not the loopback's, in the kernel's order.
pub(crate) fn interfaces() -> Result<Vec<String>, Errno> {
    const MANY: usize = 64;
    const EMPTY: abi::ifreq = abi::ifreq {
        ifr_name: [0; abi::IFNAMSIZ],
        ifr_ifru: [0; 16],
    };
    let socket = Socket::new(abi::AF_INET, abi::SOCK_DGRAM)?;
    let mut found = vec![EMPTY; MANY];
    let size = size_of::<abi::ifreq>();
    let mut conf = abi::ifconf {
        ifc_len: (MANY * size) as c_int,
        ifc_ifcu: found.as_mut_ptr().cast(),
    };
    // SAFETY: an ifconf, whose buffer has the length that it says.
    unsafe { socket.control(abi::SIOCGIFCONF, (&raw mut conf).cast())? };
    found.truncate(usize::try_from(conf.ifc_len).unwrap_or(0) / size);
    let mut names: Vec<String> = Vec::new();
    for record in &found {
        let name: String = record
            .ifr_name
            .iter()
            .map_while(|byte| (*byte != 0).then_some(char::from(*byte)))
            .collect();
        if !name.starts_with("lo") && !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// A request with the name of an interface at its start, and fields.
fn named<const N: usize>(interface: &str, fields: &[(usize, &[u8])]) -> [u8; N] {
    let mut argument = [0; N];
    let name = interface.as_bytes();
    let len = name.len().min(abi::IFNAMSIZ - 1);
    argument[..len].copy_from_slice(&name[..len]);
    for (at, bytes) in fields {
        argument[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    argument
}

/// Gives an interface an address, which turns it on.
pub(crate) fn add_address(interface: &str, address: IpAddr, bits: u8) -> Result<(), Errno> {
    match address {
        IpAddr::V4(v4) => {
            let mask = mask4(bits);
            let broadcast = Ipv4Addr::from_bits(v4.to_bits() | !mask.to_bits());
            let mut argument: [u8; size_of::<abi::ifaliasreq>()] = named(
                interface,
                &[
                    (offset_of!(abi::ifaliasreq, ifra_addr), &sockaddr(address)),
                    (
                        offset_of!(abi::ifaliasreq, ifra_dstaddr),
                        &sockaddr(broadcast.into()),
                    ),
                    (
                        offset_of!(abi::ifaliasreq, ifra_mask),
                        &sockaddr(mask.into()),
                    ),
                ],
            );
            let socket = Socket::new(abi::AF_INET, abi::SOCK_DGRAM)?;
            // SAFETY: the argument is of the request's type.
            unsafe { socket.control(abi::SIOCAIFADDR, argument.as_mut_ptr()) }
        }
        IpAddr::V6(_) => {
            // Valid and preferred for ever (ND6_INFINITE_LIFETIME).
            let lifetime = offset_of!(abi::in6_aliasreq, ifra_lifetime);
            let mut argument: [u8; size_of::<abi::in6_aliasreq>()] = named(
                interface,
                &[
                    (offset_of!(abi::in6_aliasreq, ifra_addr), &sockaddr(address)),
                    (
                        offset_of!(abi::in6_aliasreq, ifra_prefixmask),
                        &sockaddr(mask6(bits).into()),
                    ),
                    (
                        lifetime + offset_of!(abi::in6_addrlifetime, ia6t_vltime),
                        &[0xff; 4],
                    ),
                    (
                        lifetime + offset_of!(abi::in6_addrlifetime, ia6t_pltime),
                        &[0xff; 4],
                    ),
                ],
            );
            let socket = Socket::new(abi::AF_INET6, abi::SOCK_DGRAM)?;
            // SAFETY: as above.
            unsafe { socket.control(abi::SIOCAIFADDR_IN6, argument.as_mut_ptr()) }
        }
    }
}

/// Adds a route to everywhere else over a router.
pub(crate) fn add_default_route(router: IpAddr) -> Result<(), Errno> {
    let nowhere: IpAddr = match router {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let header = size_of::<abi::rt_msghdr>();
    let mut message = vec![0; header];
    // Destination, router, mask: each padded to a multiple of 8.
    for address in [nowhere, router, nowhere] {
        message.extend(sockaddr(address));
        message.resize(message.len().next_multiple_of(8), 0);
    }
    let length = message.len() as u16;
    let flags = abi::RTF_UP | abi::RTF_GATEWAY | abi::RTF_STATIC;
    let which = abi::RTA_DST | abi::RTA_GATEWAY | abi::RTA_NETMASK;
    let mut put = |at: usize, bytes: &[u8]| {
        message[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(
        offset_of!(abi::rt_msghdr, rtm_msglen),
        &length.to_ne_bytes(),
    );
    put(offset_of!(abi::rt_msghdr, rtm_version), &[abi::RTM_VERSION]);
    put(offset_of!(abi::rt_msghdr, rtm_type), &[abi::RTM_ADD]);
    put(offset_of!(abi::rt_msghdr, rtm_flags), &flags.to_ne_bytes());
    put(offset_of!(abi::rt_msghdr, rtm_addrs), &which.to_ne_bytes());
    let socket = Socket::new(abi::AF_ROUTE, abi::SOCK_RAW)?;
    // SAFETY: bytes of that length.
    let sent = unsafe { syscalls::write(socket.0, message.as_ptr().cast(), message.len()) };
    result(sent as isize).map(drop)
}

// The name is at the start of the arguments.
const _: () = assert!(
    offset_of!(abi::ifaliasreq, ifra_name) == 0 && offset_of!(abi::in6_aliasreq, ifra_name) == 0
);
