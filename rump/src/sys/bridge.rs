//! The requests of `bridge(4)`: an argument of its own behind that of `ioctl(2)`.
#![allow(unsafe_code)]

use crate::descriptor::AsDescriptor;
use crate::sys::interface::Name;
use crate::sys::{self, socket};
use rump_sys::abi::bridge::{BRDGADD, BRDGDEL, BRDGGIFS, SIOCGDRVSPEC, SIOCSDRVSPEC};
use rump_sys::abi::bridge::{ifbreq, ifdrv};
use rump_sys::{abi, syscalls};
use std::ffi::c_ulong;
use std::io;
use std::mem::size_of;

/// A member of whose options nothing is said.
fn member(name: &Name) -> ifbreq {
    ifbreq {
        ifbr_ifsname: *name,
        ifbr_ifsflags: 0,
        ifbr_state: 0,
        ifbr_priority: 0,
        ifbr_path_cost: 0,
        ifbr_portno: 0,
    }
}

/// Makes a request with these arguments; returns how many bytes of them are in use then.
fn control(
    bridge: &Name,
    request: u64,
    command: u64,
    arguments: &mut [ifbreq],
) -> io::Result<usize> {
    let socket = socket::socket(abi::AF_INET, abi::SOCK_DGRAM)?;
    let fd = socket.as_descriptor().as_raw();
    let mut argument = ifdrv {
        ifd_name: *bridge,
        ifd_cmd: command,
        ifd_len: size_of_val(arguments),
        ifd_data: arguments.as_mut_ptr().cast(),
    };
    let argument = &raw mut argument;
    // SAFETY: an ifdrv, with as many bytes behind it as it says, which are of the command's
    // type.
    sys::call(|| unsafe { syscalls::ioctl(fd, request as c_ulong, argument.cast()) })?;
    // SAFETY: the same structure.
    Ok(unsafe { (*argument).ifd_len })
}

/// Adds a member.
pub(crate) fn add(bridge: &Name, name: &Name) -> io::Result<()> {
    control(bridge, SIOCSDRVSPEC, BRDGADD, &mut [member(name)]).map(drop)
}

/// Takes a member out.
pub(crate) fn remove(bridge: &Name, name: &Name) -> io::Result<()> {
    control(bridge, SIOCSDRVSPEC, BRDGDEL, &mut [member(name)]).map(drop)
}

/// Names of the members.
pub(crate) fn members(bridge: &Name) -> io::Result<Vec<Name>> {
    let mut room = 16;
    loop {
        let mut found = vec![member(&[0; abi::IFNAMSIZ]); room];
        let used = control(bridge, SIOCGDRVSPEC, BRDGGIFS, &mut found)?;
        let count = used / size_of::<ifbreq>();
        // More than there was room for: how much there has to be.
        if count <= room {
            found.truncate(count);
            return Ok(found.iter().map(|member| member.ifbr_ifsname).collect());
        }
        room = count;
    }
}
