//! Devices of the host in the kernel: `rump_pci.h`.
#![allow(unsafe_code)]

use crate::error::Errno;
use crate::lwp;
use rump_sys::{drivers, pci as raw};
use std::ffi::{CStr, CString};

pub(crate) use rump_sys::pci::available;

/// Length of a device's name, with its 0.
const NAME: usize = 16;

/// Has the kernel's drivers look at the device in a slot; its name, if one took it.
pub(crate) fn attach(bus: u32, device: u32) -> Result<Option<String>, Errno> {
    lwp::attach();
    let mut name = [0; NAME];
    // SAFETY: a place for a name of that length.
    let error = unsafe { raw::rump_pci_attach(bus, device, name.as_mut_ptr()) };
    match Errno::check(error) {
        Err(Errno::ENXIO) => return Ok(None),
        checked => checked?,
    }
    // Disks have come with it.
    // SAFETY: the kernel has booted, and this thread holds no virtual CPU.
    Errno::check(unsafe { drivers::rump_drivers_makenodes() })?;
    let bytes = name.map(i8::cast_unsigned);
    let name = CStr::from_bytes_until_nul(&bytes).map_err(|_| Errno::EINVAL)?;
    Ok(Some(name.to_string_lossy().into_owned()))
}

/// Has the driver let go of a device.
pub(crate) fn detach(name: &str, gone: bool) -> Result<(), Errno> {
    lwp::attach();
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    // SAFETY: a C string.
    Errno::check(unsafe { raw::rump_pci_detach(name.as_ptr(), gone.into()) })
}

/// What the kernel has counted.
pub(crate) fn stats() -> raw::Stats {
    let mut stats = raw::Stats::default();
    // SAFETY: a place for the counters; without PCI nothing is written.
    unsafe { raw::rump_pci_get_stats(&raw mut stats) };
    stats
}

/// Sets how many seconds a disk may take to answer a command; 0: any time.
pub(crate) fn set_timeout(seconds: u32) {
    // SAFETY: a number that is stored; without PCI nothing is done.
    unsafe { raw::rump_pci_set_timeout(seconds) };
}
