//! Booting the rump kernel, with the machine's devices.

use crate::block::medium::Medium;
use crate::block::opened::Opened;
use crate::net::virtio::Virtio;
use crate::net::{configure, port};
use crate::pci::function::Device;
use crate::pci::{self, Found};
use crate::{block, cpu, say, xen};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::fmt;
use core::net::IpAddr;
use rump_hyper::errno::Errno;
use rump_hyper::params;
use rump_hyper::pci::bus::Place;
use rump_sys::control::{rump_init, rump_pub_lwproc_newlwp, rump_pub_lwproc_releaselwp};

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
                    "there is no network card that this image can drive (virtio-net, Xen's, or \
                     one of the kernel's drivers); the bus has "
                )?;
                if found.is_empty() {
                    return f.write_str("no devices at all");
                }
                for (at, function) in found.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{function}")?;
                }
                f.write_str("; the kernel has drivers for: ")?;
                if rump_sys::DRIVERS.is_empty() {
                    return f.write_str("nothing (RUMP_DRIVERS names none)");
                }
                f.write_str(&rump_sys::DRIVERS.join(", "))
            }
        }
    }
}

/// Whether a card is the platform's to drive: of virtio, unless the kernel has a driver.
fn is_ours(function: &Found) -> bool {
    Virtio::is_one(function) && !rump_sys::DRIVERS.contains(&"virtio")
}

/// Boots the kernel. Devices are the kernel's to drive, if it has the drivers, but for those
/// of virtio-net if it has none for them. Returns its interfaces: those that the platform
/// made, in the order of the bus, and then those of the kernel's own drivers.
///
/// The calling thread has an lwp of the first process afterwards.
///
/// # Errors
/// [`Error::Boot`].
pub fn boot() -> Result<Vec<String>, Error> {
    /// Bridges of the chip set, and what was there before there were classes.
    const KEPT: [u16; 2] = [0x06, 0x00];
    let functions = pci::functions();
    pci::assign::missing(&functions);
    for function in &functions {
        if function.header != 0 || is_ours(function) || KEPT.contains(&(function.class >> 8)) {
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
    // SAFETY: it comes before all other calls.
    match unsafe { rump_init() } {
        0 => {}
        errno => return Err(Error::Boot(errno)),
    }
    give_lwp();
    let mut names: Vec<String> = functions
        .iter()
        .filter(|found| is_ours(found))
        .filter_map(attach)
        .collect();
    names.extend(crate::xen::attach(OfXen));
    // Interfaces of the kernel's own drivers, if it tells which there are.
    for name in configure::interfaces().unwrap_or_default() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Makes an interface of the kernel's for a card, and tells its name; says why not.
fn attach(function: &Found) -> Option<String> {
    let card = Virtio::new(function.location)
        .map_err(|error| say!("rumprun: {function}: {error}"))
        .ok()?;
    let address = card.address();
    port::attach(Arc::new(card), address)
        .map_err(|errno| refused(function, errno))
        .ok()
}

/// The process that the kernel begins with.
const FIRST_PROCESS: c_int = 1;

/// Gives a thread that has none an lwp. Without one its calls of the kernel are slower, not wrong.
pub(crate) fn give_lwp() {
    // SAFETY: the kernel runs, and looks the process up itself.
    unsafe { rump_pub_lwproc_newlwp(FIRST_PROCESS) };
}

/// Ends the lwp of a thread that has got one.
pub(crate) fn end_lwp() {
    // SAFETY: the calling thread has one, by `give_lwp`.
    unsafe { rump_pub_lwproc_releaselwp() };
}

/// Devices of Xen's, as the kernel's.
struct OfXen;

impl xen::Kernel for OfXen {
    fn enter(&self) {
        give_lwp();
    }

    fn interface(&self, card: Arc<xen::Netfront>, address: [u8; 6]) -> Option<String> {
        port::attach(card, address)
            .map_err(|errno| refused("a network interface of Xen's", errno))
            .ok()
    }

    fn serve(&self, card: Arc<xen::Netback>, address: [u8; 6]) -> Option<(String, xen::Remove)> {
        let attached = port::attach_for_now(card, address)
            .map_err(|errno| refused("a front end of another domain's", errno))
            .ok()?;
        let name = attached.name().into();
        Some((name, Box::new(move || attached.detach())))
    }

    fn disk(&self, disk: Arc<xen::Blkfront>) -> Option<String> {
        match block::port::attach(disk) {
            Err(Errno::NOSYS) => {
                say!(
                    "rumprun: a disk of Xen's is not used: this image's kernel has no disks \
                     (they are NetBSD's, and come with the feature fs of the crate rump)"
                );
                None
            }
            attached => attached
                .map_err(|errno| say!("rumprun: a disk of Xen's: error {} of the kernel", errno.0))
                .ok(),
        }
    }

    fn open(&self, path: &str, writable: bool) -> Option<Arc<dyn Medium>> {
        match Opened::new(path, writable) {
            Ok(opened) => Some(Arc::new(opened)),
            Err(errno) => {
                say!("rumprun: {path} cannot be opened: error {}", errno.0);
                None
            }
        }
    }
}

fn refused(card: impl fmt::Display, errno: Errno) {
    let error = errno.0;
    say!("rumprun: {card}: the kernel takes no interface: error {error}");
}

/// Gives an interface an address of so many bits, and where all else is to go. The calling
/// thread has an lwp.
///
/// # Errors
/// [`Error::NoCard`] if there is no such interface, [`Error::Configure`].
pub fn configure(
    interface: Option<&str>,
    address: impl Into<IpAddr>,
    bits: u8,
    gateway: Option<impl Into<IpAddr>>,
) -> Result<(), Error> {
    let Some(interface) = interface else {
        return Err(Error::NoCard(pci::functions()));
    };
    let address = address.into();
    configure::add_address(interface, address, bits).map_err(|errno| {
        Error::Configure(format!("{interface} cannot have {address}/{bits}"), errno)
    })?;
    if let Some(gateway) = gateway.map(Into::into) {
        configure::add_default_route(gateway).map_err(|errno| {
            Error::Configure(format!("there can be no route over {gateway}"), errno)
        })?;
    }
    Ok(())
}
