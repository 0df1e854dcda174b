//! PCI devices of a Linux process: VFIO, always behind an IOMMU.
//!
//! | module | is |
//! |---|---|
//! | `container` | the IOMMU: groups, and the kernel's memory mapped for their devices |
//! | `device` | a device's function: configuration space, regions, vectors, reset |
//! | `region`, `vector` | what of it is mapped, and what is signalled |
//! | `chain` | what VFIO tells in lists |
//! | `ioctl` | the calls themselves; tests replace it |
//!
//! The process needs the group's file, `/dev/vfio/N`, and memory that may be locked;
//! it need not be root. Modes without an IOMMU are not for this.
//!
//! # Known limits
//! All devices are in one container and reach all of the kernel's memory, each other's
//! buffers too: they are devices of one kernel.

mod chain;
mod container;
mod device;
mod error;
#[cfg_attr(test, path = "fake.rs")]
mod ioctl;
mod region;
#[cfg(test)]
mod tests;
mod vector;

pub use device::Device;
pub use error::Error;

use super::{LinuxHost, pages};
use crate::errno::Errno;
use crate::pci::window::Window;
use crate::pci::{DmaMemory, PciHost};
use container::Group;
use core::ptr::NonNull;

/// Opens the function at an address of the host (`0000:00:03.0`), in the IOMMU group of
/// that number.
///
/// # Errors
/// [`Error`], which says what to do.
pub fn open(address: &str, group: u32) -> Result<Device, Error> {
    Device::open(address, Group::open(group, address)?)
}

/// The number in a link to an IOMMU group.
pub fn group_number(link: &std::path::Path) -> Option<u32> {
    link.file_name()?.to_str()?.parse().ok()
}

impl PciHost for LinuxHost {
    fn dma_allocate(size: usize, align: usize) -> Result<DmaMemory, Errno> {
        let window = pages::window().ok_or(Errno::NXIO)?;
        let align = align.max(1);
        if size == 0 || !align.is_power_of_two() {
            return Err(Errno::INVAL);
        }
        let len = size
            .checked_next_multiple_of(pages::SIZE)
            .ok_or(Errno::NOMEM)?;
        let memory = NonNull::new(pages::allocate_run(len, align)).ok_or(Errno::NOMEM)?;
        let start = memory.as_ptr().expose_provenance() as u64;
        let bus = window.translate(start, len as u64).ok_or(Errno::NOMEM)?;
        Ok(DmaMemory {
            address: memory,
            bus,
        })
    }

    unsafe fn dma_release(address: *mut u8, size: usize) {
        let len = size.next_multiple_of(pages::SIZE);
        // SAFETY: by contract.
        unsafe { pages::release_run(address, len) };
    }

    fn dma_window() -> Option<Window> {
        pages::window()
    }
}
