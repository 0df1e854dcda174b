//! Addresses and routes, by the kernel's own system calls: `SIOCAIFADDR` of
//! [`inet(4)`](https://man.netbsd.org/inet.4), and a message of
//! [`route(4)`](https://man.netbsd.org/route.4).

use core::ffi::{c_char, c_int, c_ulong, c_void};
use core::mem::{offset_of, size_of};
use core::net::Ipv4Addr;
use rump_abi as abi;
use rump_hyper::errno::Errno;

unsafe extern "C" {
    fn rump___sysimpl_socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn rump___sysimpl_ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int;
    fn rump___sysimpl_write(fd: c_int, bytes: *const c_void, len: usize) -> isize;
    fn rump___sysimpl_close(fd: c_int) -> c_int;
}

fn result(value: isize) -> Result<c_int, Errno> {
    if value < 0 {
        Err(Errno(crate::host::errno()))
    } else {
        Ok(value as c_int)
    }
}

/// A socket, closed when it is dropped.
struct Socket(c_int);

impl Socket {
    fn new(domain: c_int, kind: c_int) -> Result<Self, Errno> {
        // SAFETY: plain numbers.
        result(unsafe { rump___sysimpl_socket(domain, kind, 0) } as isize).map(Self)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: ours.
        unsafe { rump___sysimpl_close(self.0) };
    }
}

/// A `sockaddr_in`: length, family, port, address.
fn sockaddr(address: Ipv4Addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = 16;
    bytes[1] = abi::AF_INET as u8;
    bytes[4..8].copy_from_slice(&address.octets());
    bytes
}

/// The mask of a net with so many bits.
fn mask(bits: u8) -> Ipv4Addr {
    let bits = u32::from(bits.min(32));
    Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - bits).unwrap_or(0))
}

/// Gives an interface an address and turns it on. The calling thread has an lwp.
///
/// # Errors
/// What the kernel says; `EINVAL` if the name is too long.
pub fn add_address(interface: &str, address: Ipv4Addr, bits: u8) -> Result<(), Errno> {
    const SIZE: usize = size_of::<abi::ifaliasreq>();
    if interface.len() >= abi::IFNAMSIZ {
        return Err(Errno::INVAL);
    }
    let mut argument = [0_u8; SIZE];
    let mut put = |at: usize, bytes: &[u8]| {
        argument[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let broadcast = Ipv4Addr::from_bits(address.to_bits() | !mask(bits).to_bits());
    put(0, interface.as_bytes());
    put(offset_of!(abi::ifaliasreq, ifra_addr), &sockaddr(address));
    put(
        offset_of!(abi::ifaliasreq, ifra_dstaddr),
        &sockaddr(broadcast),
    );
    put(
        offset_of!(abi::ifaliasreq, ifra_mask),
        &sockaddr(mask(bits)),
    );
    let socket = Socket::new(abi::AF_INET, abi::SOCK_DGRAM)?;
    // SAFETY: the argument is of the size that the request has in its number.
    let done = unsafe {
        rump___sysimpl_ioctl(
            socket.0,
            abi::SIOCAIFADDR as c_ulong,
            argument.as_mut_ptr().cast(),
        )
    };
    result(done as isize).map(drop)
}

/// Adds a route to everywhere else over a gateway.
///
/// # Errors
/// What the kernel says.
pub fn add_default_route(gateway: Ipv4Addr) -> Result<(), Errno> {
    const HEADER: usize = size_of::<abi::rt_msghdr>();
    // Destination, gateway, mask: each is a multiple of 8 bytes long already.
    let mut message = [0_u8; HEADER + 3 * 16];
    let mut put = |at: usize, bytes: &[u8]| {
        message[at..at + bytes.len()].copy_from_slice(bytes);
    };
    let length = (HEADER + 3 * 16) as u16;
    let flags = abi::RTF_UP | abi::RTF_GATEWAY | abi::RTF_STATIC;
    let which = abi::RTA_DST | abi::RTA_GATEWAY | abi::RTA_NETMASK;
    put(
        offset_of!(abi::rt_msghdr, rtm_msglen),
        &length.to_ne_bytes(),
    );
    put(offset_of!(abi::rt_msghdr, rtm_version), &[abi::RTM_VERSION]);
    put(offset_of!(abi::rt_msghdr, rtm_type), &[abi::RTM_ADD]);
    put(offset_of!(abi::rt_msghdr, rtm_flags), &flags.to_ne_bytes());
    put(offset_of!(abi::rt_msghdr, rtm_addrs), &which.to_ne_bytes());
    put(HEADER, &sockaddr(Ipv4Addr::UNSPECIFIED));
    put(HEADER + 16, &sockaddr(gateway));
    put(HEADER + 32, &sockaddr(Ipv4Addr::UNSPECIFIED));
    let socket = Socket::new(abi::AF_ROUTE, abi::SOCK_RAW)?;
    // SAFETY: bytes of that length.
    let sent = unsafe { rump___sysimpl_write(socket.0, message.as_ptr().cast(), message.len()) };
    result(sent).map(drop)
}

// The name in the argument is text of C's.
const _: () = assert!(size_of::<c_char>() == 1 && offset_of!(abi::ifaliasreq, ifra_name) == 0);
