//! PCI devices of the host in the kernel: `rump_pci.h`.
//!
//! A kernel has them if it was compiled from a tree with the component `pcihost`; elsewhere
//! these answer `ENOSYS`.

use core::ffi::{c_char, c_int, c_uint};

/// Whether the kernel in this build can have PCI devices.
pub const fn available() -> bool {
    cfg!(rump_pci)
}

/// `struct rump_pci_stats`
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// How often devices did not reach what was loaded, so that it was copied.
    pub bounced_loads: u64,
    /// How many bytes that were.
    pub bounced_bytes: u64,
    /// How many doorbells of disks the kernel has put off.
    pub put_off: u64,
    /// How many it rang to make up for them.
    pub made_up: u64,
}

crate::gate::functions! {
    here = rump_pci,
    gated = any(),
    absent = "There are no such devices in this build";
    /// Has the kernel look at the device (bus, device); writes the name that its driver
    /// gave it, of 16 bytes with the 0. `ENXIO`: no driver took it.
    fn rump_pci_attach(bus: c_uint, device: c_uint, name: *mut c_char) -> c_int;
    /// Has the driver of a device let go of it; with 1 also if it is in use.
    fn rump_pci_detach(name: *const c_char, gone: c_int) -> c_int;
    /// Reads the counters.
    fn rump_pci_get_stats(stats: *mut Stats);
    /// Sets how many seconds a disk may take to answer a command; 0: any time.
    fn rump_pci_set_timeout(seconds: c_uint);
}
