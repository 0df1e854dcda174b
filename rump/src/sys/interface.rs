//! The `ioctl(2)` requests of interfaces (`netintro(4)`).
//!
//! Their arguments start with the name of an interface, and are written and read as bytes
//! at the offsets of the proven structures in [`rump_sys::abi`].
#![allow(unsafe_code)]

use crate::descriptor::OwnedDescriptor;
use crate::sys::{self, socket};
use rump_sys::{abi, syscalls};
use std::ffi::{c_int, c_ulong};
use std::io;
use std::mem::size_of;

/// The name of an interface as the kernel keeps it: ends in 0.
pub(crate) type Name = [u8; abi::IFNAMSIZ];

/// Room for the largest argument.
const CAPACITY: usize = size_of::<abi::in6_ifreq>();

/// The argument of a request.
#[repr(C, align(8))]
#[derive(Clone)]
pub(crate) struct Argument {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl Argument {
    /// A `T` that starts with a name, and else is 0.
    pub(crate) fn named<T>(name: &Name) -> Self {
        let mut bytes = [0; CAPACITY];
        bytes[..name.len()].copy_from_slice(name);
        Self {
            bytes,
            length: size_of::<T>(),
        }
    }

    pub(crate) fn put(&mut self, offset: usize, bytes: &[u8]) -> &mut Self {
        self.bytes[..self.length][offset..][..bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.bytes[..self.length][offset..][..N]);
        bytes
    }

    pub(crate) fn from(&self, offset: usize) -> &[u8] {
        &self.bytes[offset..self.length]
    }
}

/// Makes a request through a socket of this family.
pub(crate) fn request(family: c_int, request: u64, argument: &mut Argument) -> io::Result<()> {
    let socket = socket::socket(family, abi::SOCK_DGRAM)?;
    // The size is part of the number (`IOCPARM_LEN` of `<sys/ioccom.h>`).
    assert_eq!(argument.length, (request >> 16 & 0x1fff) as usize);
    // SAFETY: the argument has the size that the kernel reads and writes for this request.
    unsafe { control(&socket, request, argument.bytes.as_mut_ptr()) }
}

/// The names and addresses of all interfaces: an `ifreq` for each address, and one without
/// for an interface that has none (`SIOCGIFCONF`).
pub(crate) fn all() -> io::Result<Vec<abi::ifreq>> {
    const SIZE: usize = size_of::<abi::ifreq>();
    let socket = socket::socket(abi::AF_INET, abi::SOCK_DGRAM)?;
    let mut room = 64;
    loop {
        let empty = abi::ifreq {
            ifr_name: [0; abi::IFNAMSIZ],
            ifr_ifru: [0; 16],
        };
        let mut found = vec![empty; room];
        let mut conf = abi::ifconf {
            ifc_len: c_int::try_from(room * SIZE).map_err(io::Error::other)?,
            ifc_ifcu: found.as_mut_ptr().cast(),
        };
        // SAFETY: the argument is an ifconf, and its buffer has the length that it says.
        unsafe { control(&socket, abi::SIOCGIFCONF, (&raw mut conf).cast())? };
        let count = usize::try_from(conf.ifc_len).unwrap_or(0) / SIZE;
        // There may be more where all of the room was used.
        if count < room {
            found.truncate(count);
            return Ok(found);
        }
        room *= 2;
    }
}

/// # Safety
/// The argument is what the request reads and writes.
unsafe fn control(socket: &OwnedDescriptor, request: u64, argument: *mut u8) -> io::Result<()> {
    use crate::descriptor::AsDescriptor;
    let fd = socket.as_descriptor().as_raw();
    // SAFETY: by contract.
    sys::call(|| unsafe { syscalls::ioctl(fd, request as c_ulong, argument.cast()) })?;
    Ok(())
}
