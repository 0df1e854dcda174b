//! Booting the rump kernel, with the machine's devices.

use crate::net::virtio::Virtio;
use crate::net::{configure, port};
use crate::pci::function::Device;
use crate::pci::{self, Found};
use crate::{cpu, say};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::fmt;
use core::net::Ipv4Addr;
use rump_hyper::errno::Errno;
use rump_hyper::params;
use rump_hyper::pci::bus::Place;

unsafe extern "C" {
    fn rump_init() -> c_int;
    fn rump_pub_lwproc_newlwp(process: c_int) -> c_int;
}

/// Why the kernel cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It does not boot: NetBSD's error number.
    Boot(c_int),
    /// There is no network card that is driven; what there is.
    NoCard(Vec<Found>),
    /// The interface cannot be given its address, or the route.
    Configure(String, Errno),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot(errno) => write!(f, "the rump kernel does not boot: error {errno}"),
            Self::Configure(what, errno) => write!(f, "{what}: error {} of the kernel", errno.0),
            Self::NoCard(found) => {
                write!(
                    f,
                    "there is no network card that this image can drive (virtio-net, or one of \
                     the kernel's drivers); the bus has "
                )?;
                if found.is_empty() {
                    return f.write_str("no devices at all");
                }
                for (at, function) in found.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{function}")?;
                }
                Ok(())
            }
        }
    }
}

/// Boots the kernel. Devices other than virtio-net's are the kernel's to drive, if it has the
/// drivers. Returns the interfaces that the platform made, in the order of the bus.
///
/// The calling thread has an lwp of the first process afterwards.
///
/// # Errors
/// [`Error::Boot`].
pub fn boot() -> Result<Vec<String>, Error> {
    let functions = pci::functions();
    let (ours, kernels): (Vec<&Found>, Vec<&Found>) = functions
        .iter()
        .filter(|function| function.header == 0)
        .partition(|function| Virtio::is_one(function));
    for function in kernels {
        // Bridges of the chip set, and what firmware left alone, are not given.
        const BRIDGE: u16 = 0x06;
        if function.class >> 8 == BRIDGE {
            continue;
        }
        if let Ok(place) = Place::take(Arc::new(Device::new(function))) {
            // It is the kernel's for good.
            core::mem::forget(place);
        }
    }
    if params::get("RUMP_NCPU").is_none() {
        params::set("RUMP_NCPU", &format!("{}", cpu::data::count()));
    }
    // SAFETY: the kernel's functions, with the hypercalls in place; the first comes before all
    // others, on a thread without an lwp.
    unsafe {
        match rump_init() {
            0 => {}
            errno => return Err(Error::Boot(errno)),
        }
        rump_pub_lwproc_newlwp(1);
    }
    let mut names = Vec::new();
    for function in ours {
        let location = function.location;
        match Virtio::new(location) {
            Ok(card) => {
                let address = card.address();
                match port::attach(Arc::new(card), address) {
                    Ok(name) => names.push(name),
                    Err(errno) => {
                        say!(
                            "rumprun: {function}: the kernel takes no interface: error {}",
                            errno.0
                        );
                    }
                }
            }
            Err(error) => say!("rumprun: {function}: {error}"),
        }
    }
    Ok(names)
}

/// Gives an interface an address of so many bits, and where all else is to go. The calling
/// thread has an lwp.
///
/// # Errors
/// [`Error::NoCard`] if there is no such interface, [`Error::Configure`].
pub fn configure(
    interface: Option<&str>,
    address: Ipv4Addr,
    bits: u8,
    gateway: Option<Ipv4Addr>,
) -> Result<(), Error> {
    let Some(interface) = interface else {
        return Err(Error::NoCard(pci::functions()));
    };
    configure::add_address(interface, address, bits).map_err(|errno| {
        Error::Configure(format!("{interface} cannot have {address}/{bits}"), errno)
    })?;
    if let Some(gateway) = gateway {
        configure::add_default_route(gateway).map_err(|errno| {
            Error::Configure(format!("there can be no route over {gateway}"), errno)
        })?;
    }
    Ok(())
}
