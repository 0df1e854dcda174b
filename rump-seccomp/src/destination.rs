//! Destinations that are the host's: a socket that a program connects or sends to one
//! becomes a socket of Linux's.
//!
//! When a program makes a socket, nothing says where it will be used. So each begins as the
//! kernel's, and at its first call with an address of the host's the descriptor is
//! replaced, under its number and with its flags, by a socket of Linux's, which then makes
//! the call. Copies of the descriptor, options that were set and what waits for it in an
//! `epoll(7)` stay with the old one; resolvers, which are what this is for, have none of these.

use crate::client::Client;
use crate::listener::{Listener, owned};
use rump_linux::raw::general::*;
use rump_linux::raw::net::{AF_INET, AF_INET6};
use rump_linux::{Description, Errno};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;

/// Says which are the host's.
pub(crate) type IsHosts = dyn Fn(SocketAddr) -> bool + Send + Sync;

/// Where a call goes, if it says so.
pub(crate) fn of(client: &Client, number: u32, arguments: &[u64; 6]) -> Option<SocketAddr> {
    let (address, length) = if number == __NR_connect {
        (arguments[1], arguments[2] as u32)
    } else if number == __NR_sendto {
        (arguments[4], arguments[5] as u32)
    } else if number == __NR_sendmsg || number == __NR_sendmmsg {
        // The first message decides: `msg_name` and `msg_namelen` of `struct msghdr`, which
        // `struct mmsghdr` begins with.
        let mut header = [0; 12];
        client.read(arguments[1], &mut header).ok()?;
        let (name, length) = header.split_at(8);
        (
            u64::from_ne_bytes(name.try_into().ok()?),
            u32::from_ne_bytes(length.try_into().ok()?),
        )
    } else {
        return None;
    };
    if address == 0 {
        return None;
    }
    let mut bytes = [0; 28];
    let bytes = bytes.get_mut(..(length as usize).min(28))?;
    client.read(address, bytes).ok()?;
    parse(bytes)
}

/// Linux's `struct sockaddr_in` or `struct sockaddr_in6`, ip(7) and ipv6(7).
fn parse(bytes: &[u8]) -> Option<SocketAddr> {
    let (family, rest) = bytes.split_first_chunk()?;
    let (port, rest) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes(*port);
    match u32::from(u16::from_ne_bytes(*family)) {
        AF_INET => {
            let (address, _) = rest.split_first_chunk::<4>()?;
            Some((Ipv4Addr::from(*address), port).into())
        }
        AF_INET6 => {
            // After the flow.
            let (address, _) = rest.get(4..)?.split_first_chunk::<16>()?;
            let address = Ipv6Addr::from(*address);
            Some((address.to_canonical(), port).into())
        }
        _ => None,
    }
}

/// Makes the program's descriptor a socket of Linux's.
pub(crate) fn divert(
    listener: &Listener,
    id: u64,
    client: &Client,
    fd: i32,
    description: &Description,
) -> Result<(), Errno> {
    let errno = |error: io::Error| Errno(error.raw_os_error().unwrap_or(libc::EIO) as u32);
    let socket = description.socket_kind().ok_or(Errno::ENOTSOCK)?;
    let flags = client.flags(fd).map_err(errno)?;
    let kind = socket.kind | flags & O_NONBLOCK | O_CLOEXEC;
    let linux = owned(linux_socket(socket.domain, kind, socket.protocol)).map_err(errno)?;
    let close_on_exec = flags & O_CLOEXEC != 0;
    listener
        .replace(id, linux.as_fd(), fd, close_on_exec)
        .map_err(errno)
}

#[allow(unsafe_code)]
fn linux_socket(domain: u32, kind: u32, protocol: u32) -> libc::c_long {
    // SAFETY: numbers.
    unsafe { libc::socket(domain as i32, kind as i32, protocol as i32) }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood() {
        let v4 = [2, 0, 0, 53, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(parse(&v4), "192.0.2.1:53".parse().ok());
        let mut v6 = [0; 28];
        (v6[0], v6[3], v6[23]) = (10, 80, 1);
        assert_eq!(parse(&v6), "[::1]:80".parse().ok());
        (v6[18], v6[19]) = (255, 255);
        v6[20..24].copy_from_slice(&[192, 0, 2, 1]);
        assert_eq!(parse(&v6), "192.0.2.1:80".parse().ok());
    }

    /// Whatever a program hands in is an address or none.
    #[test]
    fn anything_is_parsed() {
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let (mut some, mut none) = (0, 0);
        for _ in 0..100_000 {
            let mut bytes = [0u8; 28];
            bytes.fill_with(|| next() as u8);
            // Half of them with a family that is known.
            if next() % 2 == 0 {
                bytes[..2].copy_from_slice(&[if next() % 2 == 0 { 2 } else { 10 }, 0]);
            }
            let length = next() as usize % 29;
            match parse(&bytes[..length]) {
                Some(address) => {
                    assert!(length >= if bytes[0] == 2 { 8 } else { 24 });
                    assert_eq!(address.port().to_be_bytes(), bytes[2..4]);
                    some += 1;
                }
                None => none += 1,
            }
        }
        assert!(some > 10_000 && none > 10_000, "{some} and {none}");
    }
}
