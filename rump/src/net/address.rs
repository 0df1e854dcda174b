//! Socket addresses, from and to the kernel's form.
//!
//! NetBSD's `sockaddr` starts with one byte of length and one byte of family, where
//! Linux has two bytes of family: an address of one system is garbage to the other, and
//! so the host's structures are never used. Addresses are written and read as bytes at
//! the offsets of the proven structures in [`rump_sys::abi`], which needs no unsafe code.
//!
//! As in std, the flow information and the scope of an IPv6 address are handed over as
//! they stand.

use rump_sys::abi::{self, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage};
use std::ffi::{c_int, c_uint};
use std::io;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

const CAPACITY: usize = size_of::<sockaddr_storage>();

/// An address as the kernel takes and gives it: room for any `sockaddr`, and how much
/// of it is used.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct RawAddress {
    bytes: [u8; CAPACITY],
    len: c_uint,
}

// The lengths below are stored in one byte.
const _: () =
    assert!(size_of::<sockaddr_in>() <= CAPACITY && size_of::<sockaddr_in6>() <= CAPACITY);
const _: () = assert!(CAPACITY <= u8::MAX as usize);

impl RawAddress {
    /// Room for the kernel to write any address to.
    pub(crate) fn empty() -> Self {
        Self {
            bytes: [0; CAPACITY],
            len: CAPACITY as c_uint,
        }
    }

    /// The address that [`decode`](Self::decode) reads back.
    pub(crate) fn encode(address: &SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::encode_v4(address),
            SocketAddr::V6(address) => Self::encode_v6(address),
        }
    }

    fn encode_v4(address: &SocketAddrV4) -> Self {
        let mut raw = Self::with_header(size_of::<sockaddr_in>(), abi::AF_INET);
        raw.put(
            offset_of!(sockaddr_in, sin_port),
            &address.port().to_be_bytes(),
        );
        raw.put(offset_of!(sockaddr_in, sin_addr), &address.ip().octets());
        raw
    }

    fn encode_v6(address: &SocketAddrV6) -> Self {
        let mut raw = Self::with_header(size_of::<sockaddr_in6>(), abi::AF_INET6);
        raw.put(
            offset_of!(sockaddr_in6, sin6_port),
            &address.port().to_be_bytes(),
        );
        raw.put(
            offset_of!(sockaddr_in6, sin6_flowinfo),
            &address.flowinfo().to_ne_bytes(),
        );
        raw.put(offset_of!(sockaddr_in6, sin6_addr), &address.ip().octets());
        raw.put(
            offset_of!(sockaddr_in6, sin6_scope_id),
            &address.scope_id().to_ne_bytes(),
        );
        raw
    }

    /// What the kernel wrote, after its length and family have been checked.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a family that is not IP, or a length that
    /// does not fit the family.
    pub(crate) fn decode(&self) -> io::Result<SocketAddr> {
        let written = self.len as usize;
        if written < offset_of!(sockaddr, sa_data) || written > CAPACITY {
            return Err(malformed("has an impossible length"));
        }
        match c_int::from(self.bytes[offset_of!(sockaddr, sa_family)]) {
            abi::AF_INET if written >= size_of::<sockaddr_in>() => {
                let ip = Ipv4Addr::from(self.get::<4>(offset_of!(sockaddr_in, sin_addr)));
                let port = u16::from_be_bytes(self.get(offset_of!(sockaddr_in, sin_port)));
                Ok(SocketAddrV4::new(ip, port).into())
            }
            abi::AF_INET6 if written >= size_of::<sockaddr_in6>() => {
                let ip = Ipv6Addr::from(self.get::<16>(offset_of!(sockaddr_in6, sin6_addr)));
                let port = u16::from_be_bytes(self.get(offset_of!(sockaddr_in6, sin6_port)));
                let flowinfo =
                    u32::from_ne_bytes(self.get(offset_of!(sockaddr_in6, sin6_flowinfo)));
                let scope_id =
                    u32::from_ne_bytes(self.get(offset_of!(sockaddr_in6, sin6_scope_id)));
                Ok(SocketAddrV6::new(ip, port, flowinfo, scope_id).into())
            }
            abi::AF_INET | abi::AF_INET6 => Err(malformed("is shorter than its family's")),
            _ => Err(malformed("is of a family other than IPv4 and IPv6")),
        }
    }

    /// The family that the kernel wrote.
    pub(crate) fn family(&self) -> c_int {
        c_int::from(self.bytes[offset_of!(sockaddr, sa_family)])
    }

    pub(crate) fn as_ptr(&self) -> *const sockaddr {
        self.bytes.as_ptr().cast()
    }

    pub(crate) fn len(&self) -> c_uint {
        self.len
    }

    /// Where the kernel writes an address, and where it reads how much room there is and
    /// writes how much it used.
    pub(crate) fn as_mut_parts(&mut self) -> (*mut sockaddr, *mut c_uint) {
        (self.bytes.as_mut_ptr().cast(), &raw mut self.len)
    }

    fn with_header(len: usize, family: c_int) -> Self {
        let mut raw = Self {
            bytes: [0; CAPACITY],
            len: len as c_uint,
        };
        raw.bytes[offset_of!(sockaddr, sa_len)] = len as u8;
        raw.bytes[offset_of!(sockaddr, sa_family)] = family as u8;
        raw
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.bytes[offset..offset + N]);
        bytes
    }
}

/// The address family of sockets that reach this address.
pub(crate) fn family_of(address: &SocketAddr) -> c_int {
    match address {
        SocketAddr::V4(_) => abi::AF_INET,
        SocketAddr::V6(_) => abi::AF_INET6,
    }
}

/// Where to send what is for this address: the unspecified address stands for this host,
/// by its loopback address as on Linux. NetBSD has its own idea for IPv4 (some address of
/// its own), and none for IPv6.
pub(crate) fn destination(address: &SocketAddr) -> SocketAddr {
    let mut address = *address;
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// An IPv4 address in the form that IPv6 sockets take.
pub(crate) fn mapped(address: &SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        SocketAddr::V6(_) => *address,
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("the address that the kernel returned {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) {
        let address: SocketAddr = text.parse().unwrap();
        assert_eq!(RawAddress::encode(&address).decode().unwrap(), address);
    }

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in [
            "127.0.0.1:80",
            "255.255.255.255:65535",
            "0.0.0.0:0",
            "[::1]:443",
            "[fe80::1%7]:9",
        ] {
            round_trip(text);
        }
        let flow = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0x1234_5678, 9));
        assert_eq!(RawAddress::encode(&flow).decode().unwrap(), flow);
    }

    #[test]
    fn destinations_are_as_on_linux() {
        let to = |text: &str| destination(&text.parse().unwrap()).to_string();
        assert_eq!(
            [to("0.0.0.0:5"), to("[::]:5"), to("10.0.0.1:5")],
            ["127.0.0.1:5", "[::1]:5", "10.0.0.1:5"]
        );
        assert_eq!(
            mapped(&"1.2.3.4:5".parse().unwrap()).to_string(),
            "[::ffff:1.2.3.4]:5"
        );
    }

    #[test]
    fn the_header_is_netbsds() {
        let v4 = RawAddress::encode(&"1.2.3.4:258".parse().unwrap());
        assert_eq!(v4.bytes[..8], [16, 2, 1, 2, 1, 2, 3, 4]);
        let v6 = RawAddress::encode(&"[::1]:258".parse().unwrap());
        assert_eq!(v6.bytes[..4], [28, 24, 1, 2]);
        assert_eq!((v4.len(), v6.len()), (16, 28));
    }

    #[test]
    fn what_is_not_an_ip_address_is_refused() {
        let mut raw = RawAddress::encode(&"1.2.3.4:5".parse().unwrap());
        for len in [0, 1, 15, CAPACITY as c_uint + 1] {
            raw.len = len;
            assert_eq!(
                raw.decode().unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "length {len}"
            );
        }
        let mut raw = RawAddress::encode(&"1.2.3.4:5".parse().unwrap());
        for family in [abi::AF_UNSPEC, abi::AF_LOCAL, abi::AF_INET6, 255] {
            raw.bytes[1] = family as u8;
            assert_eq!(
                raw.decode().unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "family {family}"
            );
        }
    }
}
