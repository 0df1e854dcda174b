//! Upstream's own shmif(4), where the kernel was built with it (feature `shmif`).
#![allow(unsafe_code)]

use rump::iface::Interface;
use rump_sys::{abi, syscalls};
use std::error::Error;
use std::ffi::{CString, c_char, c_ulong};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `struct ifdrv` and SIOCSLINKSTR of `<net/if.h>` and `<sys/sockio.h>`.
#[repr(C)]
struct LinkString {
    name: [u8; 16],
    command: c_ulong,
    len: usize,
    data: *const c_char,
}

const SIOCSLINKSTR: c_ulong = 0x8028_6988;

/// Makes the interface of this number, on the bus in this file.
pub fn shmif(number: u8, bus: &Path) -> Result<Interface, Box<dyn Error>> {
    let path = CString::new(bus.as_os_str().as_bytes())?;
    let name = format!("shmif{number}");
    let interface = Interface::create(&name)?;
    let mut argument = LinkString {
        name: [0; 16],
        command: 0,
        len: path.as_bytes_with_nul().len(),
        data: path.as_ptr(),
    };
    argument.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: integers, and an argument of the kind that goes with the request.
    let result = unsafe {
        let socket = syscalls::socket(abi::AF_INET, abi::SOCK_DGRAM, 0);
        let result = syscalls::ioctl(socket, SIOCSLINKSTR, (&raw mut argument).cast());
        syscalls::close(socket);
        result
    };
    if result != 0 {
        let errno = rump::Errno::from_raw(rump_sys::hyper::errno());
        return Err(io::Error::from(errno).into());
    }
    Ok(interface)
}
