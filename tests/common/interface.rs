//! Addresses on the kernel's interfaces, by ioctl(2).

#![allow(dead_code, unsafe_code)]

use rump_sys::{abi, syscalls};
use std::ffi::{c_int, c_ulong};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SIOCSIFFLAGS: c_ulong = 0x8090_6910;
const SIOCAIFADDR: c_ulong = 0x8040_691a;
const SIOCAIFADDR_IN6: c_ulong = 0x8080_696b;
const SIOCSIFCAP: c_ulong = 0x8020_6975;
const SIOCGIFCAP: c_ulong = 0xc020_6976;
const SIOCSIFMTU: c_ulong = 0x8090_697f;
const IFF_UP: u16 = 1;

/// `IFCAP_*` of `<net/if.h>`.
pub mod cap {
    pub const TSO4: u64 = 0x0080;
    pub const CSUM_TX: u64 = 0x0800 | 0x2000 | 0x8000 | 0x2_0000;
    pub const CSUM_RX: u64 = 0x0400 | 0x1000 | 0x4000 | 0x1_0000;
    pub const TSO6: u64 = 0x4_0000;
    pub const LRO: u64 = 0x8_0000;
}

#[cfg(rump_kernel = "netbsd")]
unsafe extern "C" {
    #[link_name = "rumpns_ip_dad_count"]
    static mut ip_dad_count: c_int;
    #[link_name = "rumpns_ip6_dad_count"]
    static mut ip6_dad_count: c_int;
}

/// Addresses can be used at once, without asking whether others have them.
pub fn trust_addresses() {
    // SAFETY: integers that the kernel reads now and then.
    #[cfg(rump_kernel = "netbsd")]
    unsafe {
        ip_dad_count = 0;
        ip6_dad_count = 0;
    }
}

fn request(family: c_int, request: c_ulong, argument: &mut [u8]) -> io::Result<()> {
    // SAFETY: integers in, and an argument of the size that is part of the request.
    let result = unsafe {
        assert_eq!(argument.len(), (request >> 16 & 0x1fff) as usize);
        let socket = syscalls::socket(family, abi::SOCK_DGRAM, 0);
        let result = syscalls::ioctl(socket, request, argument.as_mut_ptr().cast());
        let errno = rump_sys::hyper::errno();
        syscalls::close(socket);
        if result == 0 { 0 } else { errno }
    };
    match result {
        0 => Ok(()),
        errno => Err(rump::Errno::from_raw(errno).into()),
    }
}

fn named<const N: usize>(name: &str) -> [u8; N] {
    let mut argument = [0; N];
    argument[..name.len()].copy_from_slice(name.as_bytes());
    argument
}

/// Turns an interface on or off.
pub fn set_up(name: &str, up: bool) -> io::Result<()> {
    let mut argument: [u8; 144] = named(name);
    // What an Ethernet interface has beside IFF_UP is not the user's to set.
    argument[16..18].copy_from_slice(&(if up { IFF_UP } else { 0 }).to_ne_bytes());
    request(abi::AF_INET, SIOCSIFFLAGS, &mut argument)
}

/// Sets the MTU.
pub fn set_mtu(name: &str, mtu: c_int) -> io::Result<()> {
    let mut argument: [u8; 144] = named(name);
    argument[16..20].copy_from_slice(&mtu.to_ne_bytes());
    request(abi::AF_INET, SIOCSIFMTU, &mut argument)
}

/// The capabilities there are, and those in use.
pub fn capabilities(name: &str) -> io::Result<(u64, u64)> {
    let mut argument: [u8; 32] = named(name);
    request(abi::AF_INET, SIOCGIFCAP, &mut argument)?;
    let word = |at: usize| u64::from_ne_bytes(argument[at..at + 8].try_into().unwrap());
    Ok((word(16), word(24)))
}

/// Chooses among the capabilities.
pub fn set_capabilities(name: &str, caps: u64) -> io::Result<()> {
    let mut argument: [u8; 32] = named(name);
    argument[24..32].copy_from_slice(&caps.to_ne_bytes());
    request(abi::AF_INET, SIOCSIFCAP, &mut argument)
}

/// Gives an interface an address, and turns it on.
pub fn add_address(name: &str, address: IpAddr, prefix: u32) -> io::Result<()> {
    match address {
        IpAddr::V4(address) => add_v4(name, address, prefix),
        IpAddr::V6(address) => add_v6(name, address, prefix),
    }
}

fn sockaddr_in(address: Ipv4Addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = 16;
    bytes[1] = abi::AF_INET as u8;
    bytes[4..8].copy_from_slice(&address.octets());
    bytes
}

fn add_v4(name: &str, address: Ipv4Addr, prefix: u32) -> io::Result<()> {
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    let broadcast = address.to_bits() | !mask;
    let mut argument: [u8; 64] = named(name);
    argument[16..32].copy_from_slice(&sockaddr_in(address));
    argument[32..48].copy_from_slice(&sockaddr_in(broadcast.into()));
    argument[48..64].copy_from_slice(&sockaddr_in(mask.into()));
    request(abi::AF_INET, SIOCAIFADDR, &mut argument)
}

fn sockaddr_in6(address: Ipv6Addr) -> [u8; 28] {
    let mut bytes = [0; 28];
    bytes[0] = 28;
    bytes[1] = abi::AF_INET6 as u8;
    bytes[8..24].copy_from_slice(&address.octets());
    bytes
}

fn add_v6(name: &str, address: Ipv6Addr, prefix: u32) -> io::Result<()> {
    let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
    let mut argument: [u8; 128] = named(name);
    argument[16..44].copy_from_slice(&sockaddr_in6(address));
    argument[72..100].copy_from_slice(&sockaddr_in6(mask.into()));
    // Valid and preferred for ever.
    argument[120..128].fill(0xff);
    request(abi::AF_INET6, SIOCAIFADDR_IN6, &mut argument)
}
