//! `sysctl(3)`: what the kernel tells about itself.

use crate::boot::{RELEASE, SYSTEM, VERSION, rumpns_maxfiles};
use crate::kernel::Kernel;
use crate::socket::address::Family;
use alloc::format;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::sync::atomic::Ordering;
use rump_abi as abi;
use rump_hyper::errno::Errno;

fn string(text: &str) -> Vec<u8> {
    let mut value = Vec::from(text);
    value.push(0);
    value
}

fn number(value: c_int) -> Vec<u8> {
    value.to_ne_bytes().into()
}

impl Kernel {
    /// The value of a node; strings with their NUL.
    pub(crate) fn sysctl(&mut self, name: &[c_int]) -> Result<Vec<u8>, Errno> {
        Ok(match *name {
            [abi::CTL_KERN, abi::KERN_OSTYPE] => string(SYSTEM),
            [abi::CTL_KERN, abi::KERN_OSRELEASE] => string(RELEASE),
            [abi::CTL_KERN, abi::KERN_OSREV] => number(0),
            [abi::CTL_KERN, abi::KERN_VERSION] => string(VERSION),
            [abi::CTL_KERN, abi::KERN_HOSTNAME] => string(&self.settings.hostname),
            [abi::CTL_KERN, abi::KERN_MAXFILES] => number(rumpns_maxfiles.load(Ordering::Relaxed)),
            [abi::CTL_HW, abi::HW_MACHINE] => string("rump-lite"),
            [abi::CTL_HW, abi::HW_NCPU] => number(self.settings.cpus),
            [abi::CTL_HW, abi::HW_PAGESIZE] => number(4096),
            [
                abi::CTL_NET,
                abi::AF_INET6,
                abi::IPPROTO_IPV6,
                abi::IPV6CTL_DEFHLIM,
            ] => number(Family::DEFAULT_HOPS.into()),
            _ => {
                let name = name
                    .iter()
                    .map(|part| format!("{part}"))
                    .collect::<Vec<_>>()
                    .join(".");
                return Err(self.lacks(format_args!("sysctl node {name}"), Errno::NOENT));
            }
        })
    }
}
