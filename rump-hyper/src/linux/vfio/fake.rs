//! VFIO as tests have it: a machine of one IOMMU and one device, whose file is a file.
//!
//! The state is the thread's, so that tests do not meet.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::BorrowedFd;
use std::vec::Vec;
use vfio_bindings::bindings::vfio as abi;

/// What the machine is like, and what was asked of it.
#[derive(Default)]
pub(super) struct Machine {
    pub(super) no_reset: bool,
    /// Length and flags of regions.
    pub(super) regions: Vec<(u64, u32)>,
    pub(super) vectors: [u32; 3],
    /// Flags, index and count of each request about interrupts.
    pub(super) irqs: Vec<(u32, u32, u32)>,
    pub(super) resets: usize,
    pub(super) fails: Option<i32>,
}

std::thread_local! {
    pub(super) static MACHINE: RefCell<Machine> = RefCell::new(Machine::default());
}

fn with<R>(work: impl FnOnce(&mut Machine) -> R) -> Result<R> {
    MACHINE.with_borrow_mut(|machine| match machine.fails {
        Some(errno) => Err(Error::from_raw_os_error(errno)),
        None => Ok(work(machine)),
    })
}

pub(super) fn api_version(_: BorrowedFd<'_>) -> Result<i32> {
    Ok(0)
}

pub(super) fn has_iommu(_: BorrowedFd<'_>, kind: u32) -> Result<bool> {
    Ok(kind == abi::VFIO_TYPE1v2_IOMMU)
}

pub(super) fn set_iommu(_: BorrowedFd<'_>, _: u32) -> Result<()> {
    Ok(())
}

pub(super) fn iommu_info(_: BorrowedFd<'_>) -> Result<Vec<u8>> {
    Ok([0; 24].to_vec())
}

pub(super) unsafe fn map_dma(_: BorrowedFd<'_>, _: u64, _: u64, _: u64) -> Result<()> {
    Ok(())
}

pub(super) fn group_status(_: BorrowedFd<'_>) -> Result<u32> {
    Ok(abi::VFIO_GROUP_FLAGS_VIABLE)
}

pub(super) fn set_container(_: BorrowedFd<'_>, _: BorrowedFd<'_>) -> Result<()> {
    Ok(())
}

pub(super) fn device(_: BorrowedFd<'_>, _: &str) -> Result<File> {
    Err(Error::from_raw_os_error(libc::ENODEV))
}

pub(super) fn device_info(_: BorrowedFd<'_>) -> Result<[u32; 3]> {
    with(|machine| {
        let reset = if machine.no_reset {
            0
        } else {
            abi::VFIO_DEVICE_FLAGS_RESET
        };
        [abi::VFIO_DEVICE_FLAGS_PCI | reset, 9, 5]
    })
}

pub(super) fn region_info(_: BorrowedFd<'_>, index: u32) -> Result<Vec<u8>> {
    with(|machine| {
        let (len, flags) = machine
            .regions
            .get(index as usize)
            .copied()
            .unwrap_or_default();
        let offset = u64::from(index) << 16;
        let mut info = [32, flags, index, 0].map(u32::to_ne_bytes).concat();
        info.extend([len, offset].map(u64::to_ne_bytes).concat());
        info
    })
}

pub(super) fn irq_info(_: BorrowedFd<'_>, index: u32) -> Result<(u32, u32)> {
    with(|machine| {
        (
            abi::VFIO_IRQ_INFO_EVENTFD,
            machine.vectors.get(index as usize).copied().unwrap_or(0),
        )
    })
}

pub(super) fn set_irqs(
    _: BorrowedFd<'_>,
    flags: u32,
    index: u32,
    count: u32,
    data: &[i32],
) -> Result<()> {
    let events = flags & abi::VFIO_IRQ_SET_DATA_EVENTFD != 0;
    assert!(!events || data.len() == count as usize);
    with(|machine| machine.irqs.push((flags, index, count)))
}

pub(super) fn reset(_: BorrowedFd<'_>) -> Result<()> {
    with(|machine| machine.resets += 1)
}
