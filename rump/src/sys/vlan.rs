//! The requests of `vlan(4)`: an argument of its own behind that of `ioctl(2)`.
#![allow(unsafe_code)]

use crate::descriptor::AsDescriptor;
use crate::sys::interface::Name;
use crate::sys::{self, socket};
use rump_sys::abi::vlan::{SIOCGETVLAN, SIOCSETVLAN, vlanreq};
use rump_sys::{abi, syscalls};
use std::ffi::c_ulong;
use std::io;

fn control(vlan: &Name, request: u64, argument: &mut vlanreq) -> io::Result<()> {
    let socket = socket::socket(abi::AF_INET, abi::SOCK_DGRAM)?;
    let fd = socket.as_descriptor().as_raw();
    let mut outer = abi::ifreq {
        ifr_name: *vlan,
        ifr_ifru: [0; 16],
    };
    outer.ifr_ifru[0] = (&raw mut *argument).expose_provenance() as u64;
    let outer = &raw mut outer;
    // SAFETY: an ifreq, whose data is a vlanreq, which lives until the call has ended.
    sys::call(|| unsafe { syscalls::ioctl(fd, request as c_ulong, outer.cast()) })?;
    Ok(())
}

/// Puts it over a parent, with a tag.
pub(crate) fn set(vlan: &Name, parent: &Name, tag: u16) -> io::Result<()> {
    let mut argument = vlanreq {
        vlr_parent: *parent,
        vlr_tag: tag,
    };
    control(vlan, SIOCSETVLAN, &mut argument)
}

/// What it is over, and its tag; a name without letters if it is over nothing.
pub(crate) fn get(vlan: &Name) -> io::Result<(Name, u16)> {
    let mut argument = vlanreq {
        vlr_parent: [0; abi::IFNAMSIZ],
        vlr_tag: 0,
    };
    control(vlan, SIOCGETVLAN, &mut argument)?;
    Ok((argument.vlr_parent, argument.vlr_tag))
}
