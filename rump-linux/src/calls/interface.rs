//! `ioctl(2)` requests about interfaces (netdevice(7)), by a socket of any family.

use super::Outcome;
use crate::errno::Errno;
use crate::interfaces::{Interface, NAME, mask};
use crate::process::Process;
use crate::raw::if_arp::{ARPHRD_ETHER, ARPHRD_LOOPBACK};
use crate::raw::ioctl::*;
use crate::raw::net::AF_INET;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

/// Linux's `struct ifreq`: a name, and a union.
const SIZE: usize = 40;
/// Of `SIOCGIFTXQLEN`: what Linux's own interfaces have.
const QUEUE: i32 = 1000;

type Request = [u8; SIZE];

/// Whether a request of `ioctl(2)` is about an interface.
pub fn is_about_interfaces(request: u32) -> bool {
    (SIOCGIFNAME..=SIOCSIFTXQLEN).contains(&request)
}

fn v4(address: Ipv4Addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&(AF_INET as u16).to_ne_bytes());
    bytes[4..8].copy_from_slice(&address.octets());
    bytes
}

/// Those that sockets of IPv4 alone are asked.
const OF_IPV4: &[u32] = &[SIOCGIFADDR, SIOCGIFDSTADDR, SIOCGIFNETMASK, SIOCGIFBRDADDR];

/// What a request tells of an interface.
fn told(request: u32, one: &Interface) -> Result<Vec<u8>, Errno> {
    let number = |number: u32| number.to_ne_bytes().to_vec();
    let v4 = |address| v4(address).to_vec();
    let address = || one.first().ok_or(Errno::EADDRNOTAVAIL);
    Ok(match request {
        SIOCGIFFLAGS => (one.flags as u16).to_ne_bytes().to_vec(),
        SIOCGIFMTU => number(one.mtu),
        SIOCGIFMETRIC => number(0),
        SIOCGIFINDEX => number(one.index),
        SIOCGIFTXQLEN => number(QUEUE as u32),
        SIOCGIFHWADDR => {
            let kind = if one.is_loopback() {
                ARPHRD_LOOPBACK
            } else {
                ARPHRD_ETHER
            };
            let mut bytes = (kind as u16).to_ne_bytes().to_vec();
            bytes.extend_from_slice(&one.hardware.unwrap_or_default());
            bytes.resize(16, 0);
            bytes
        }
        // Of one that is no end of a line, Linux tells its own.
        SIOCGIFADDR | SIOCGIFDSTADDR => v4(address()?.0),
        SIOCGIFNETMASK => v4(mask(address()?.1.prefix)),
        SIOCGIFBRDADDR => v4(address()?.1.broadcast.unwrap_or(Ipv4Addr::UNSPECIFIED)),
        // The runner sets the kernel up.
        SIOCSIFFLAGS..=SIOCSIFTXQLEN if request.is_multiple_of(2) => return Err(Errno::EPERM),
        _ => return Err(Errno::ENOTTY),
    })
}

impl Process {
    /// Answers one of them, by a socket of IPv4 or another.
    pub(crate) fn about_interfaces(&self, is_v4: bool, request: u32, at: u64) -> Outcome {
        let interfaces = self.interfaces()?;
        if request == SIOCGIFCONF {
            return self.all_addresses(&interfaces, at);
        }
        let mut asked: Request = [0; SIZE];
        self.host.read(at, &mut asked)?;
        if OF_IPV4.contains(&request) && !is_v4 {
            return Err(Errno::ENOTTY);
        }
        let (name, answer) = asked.split_at_mut(NAME);
        if request == SIOCGIFNAME {
            let index = answer.first_chunk().copied().map_or(0, u32::from_ne_bytes);
            let found = interfaces.iter().find(|one| one.index == index);
            name.copy_from_slice(&found.ok_or(Errno::ENODEV)?.name);
        } else {
            // As Linux: the last byte counts as the end.
            let length = name[..NAME - 1].iter().position(|byte| *byte == 0);
            let name = &name[..length.unwrap_or(NAME - 1)];
            let one = interfaces.iter().find(|one| one.name() == name);
            let told = told(request, one.ok_or(Errno::ENODEV)?)?;
            answer[..told.len()].copy_from_slice(&told);
        }
        self.host.write(at, &asked)?;
        Ok(0)
    }

    /// `SIOCGIFCONF`: `struct ifconf`, whose buffer may be null to ask for its length.
    fn all_addresses(&self, interfaces: &[Interface], at: u64) -> Outcome {
        let mut conf = [0; 16];
        self.host.read(at, &mut conf)?;
        let [length, _, buffer @ ..] = conf.as_chunks::<4>().0 else {
            return Err(Errno::EFAULT);
        };
        let room = usize::try_from(i32::from_ne_bytes(*length)).map_err(|_| Errno::EINVAL)?;
        let buffer = buffer.iter().rev().fold(0, |sum, half| {
            sum << 32 | u64::from(u32::from_ne_bytes(*half))
        });
        let mut all = Vec::new();
        for one in interfaces {
            if let Some((address, _)) = one.first() {
                all.extend_from_slice(&one.name);
                all.extend_from_slice(&v4(address));
                all.extend_from_slice(&[0; SIZE - NAME - 16]);
            }
        }
        if buffer != 0 {
            all.truncate(room / SIZE * SIZE);
            self.host.write(buffer, &all)?;
        }
        self.host.write(at, &(all.len() as i32).to_ne_bytes())?;
        Ok(0)
    }
}
