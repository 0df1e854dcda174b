//! The ioctls of VFIO (`linux/vfio.h`), each with the errno that it fails with. Tests
//! replace this module.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::string::String;
use std::vec::Vec;
use vfio_bindings::bindings::vfio as abi;

/// The number of the ioctl, which is `_IO(VFIO_TYPE, VFIO_BASE + n)`.
const fn request(n: u32) -> libc::c_ulong {
    (abi::VFIO_TYPE as libc::c_ulong) << 8 | (abi::VFIO_BASE + n) as libc::c_ulong
}

const GET_API_VERSION: libc::c_ulong = request(0);
const CHECK_EXTENSION: libc::c_ulong = request(1);
const SET_IOMMU: libc::c_ulong = request(2);
const GROUP_GET_STATUS: libc::c_ulong = request(3);
const GROUP_SET_CONTAINER: libc::c_ulong = request(4);
const GROUP_GET_DEVICE_FD: libc::c_ulong = request(6);
const DEVICE_GET_INFO: libc::c_ulong = request(7);
const DEVICE_GET_REGION_INFO: libc::c_ulong = request(8);
const DEVICE_GET_IRQ_INFO: libc::c_ulong = request(9);
const DEVICE_SET_IRQS: libc::c_ulong = request(10);
const DEVICE_RESET: libc::c_ulong = request(11);
const IOMMU_GET_INFO: libc::c_ulong = request(12);
const IOMMU_MAP_DMA: libc::c_ulong = request(13);

/// More than anything that the kernel tells has.
const MOST: usize = 64 << 10;

fn call(fd: BorrowedFd<'_>, request: libc::c_ulong, argument: usize) -> Result<i32> {
    // SAFETY: the callers below pass a number, or the address of what the request reads
    // or fills, which is live and as long as it says itself.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) };
    if result < 0 {
        return Err(Error::last_os_error());
    }
    Ok(result)
}

/// Has a structure filled; its length stands in front.
fn fill(fd: BorrowedFd<'_>, request: libc::c_ulong, structure: &mut [u8]) -> Result<()> {
    let len = u32::try_from(structure.len()).unwrap_or(u32::MAX);
    structure[..4].copy_from_slice(&len.to_ne_bytes());
    call(fd, request, structure.as_mut_ptr().expose_provenance()).map(drop)
}

/// The same for one that is followed by as much as the kernel has to tell.
fn fill_all(fd: BorrowedFd<'_>, request: libc::c_ulong, structure: &[u8]) -> Result<Vec<u8>> {
    let mut all = structure.to_vec();
    fill(fd, request, &mut all)?;
    let len = super::chain::u32_at(&all, 0).unwrap_or(0) as usize;
    if len > all.len() && len <= MOST {
        all.clear();
        all.extend_from_slice(structure);
        all.resize(len, 0);
        fill(fd, request, &mut all)?;
    }
    Ok(all)
}

pub(super) fn api_version(container: BorrowedFd<'_>) -> Result<i32> {
    call(container, GET_API_VERSION, 0)
}

pub(super) fn has_iommu(container: BorrowedFd<'_>, kind: u32) -> Result<bool> {
    call(container, CHECK_EXTENSION, kind as usize).map(|answer| answer != 0)
}

pub(super) fn set_iommu(container: BorrowedFd<'_>, kind: u32) -> Result<()> {
    call(container, SET_IOMMU, kind as usize).map(drop)
}

/// `struct vfio_iommu_type1_info` and its capabilities.
pub(super) fn iommu_info(container: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let size = size_of::<abi::vfio_iommu_type1_info>();
    fill_all(container, IOMMU_GET_INFO, &[0; 64][..size])
}

/// Maps memory of the process for DMA, to be read and written.
///
/// # Safety
/// Devices may write to that memory from now on, until the container is closed: it
/// belongs to nobody who does not expect that.
pub(super) unsafe fn map_dma(
    container: BorrowedFd<'_>,
    address: u64,
    bus: u64,
    len: u64,
) -> Result<()> {
    let map = abi::vfio_iommu_type1_dma_map {
        argsz: size_of::<abi::vfio_iommu_type1_dma_map>() as u32,
        flags: abi::VFIO_DMA_MAP_FLAG_READ | abi::VFIO_DMA_MAP_FLAG_WRITE,
        vaddr: address,
        iova: bus,
        size: len,
    };
    call(
        container,
        IOMMU_MAP_DMA,
        (&raw const map).expose_provenance(),
    )
    .map(drop)
}

/// The flags of a group.
pub(super) fn group_status(group: BorrowedFd<'_>) -> Result<u32> {
    let mut status = [0; size_of::<abi::vfio_group_status>()];
    fill(group, GROUP_GET_STATUS, &mut status)?;
    Ok(super::chain::u32_at(&status, 4).unwrap_or(0))
}

pub(super) fn set_container(group: BorrowedFd<'_>, container: BorrowedFd<'_>) -> Result<()> {
    let container = container.as_raw_fd();
    let argument = (&raw const container).expose_provenance();
    call(group, GROUP_SET_CONTAINER, argument).map(drop)
}

/// A device of a group.
pub(super) fn device(group: BorrowedFd<'_>, name: &str) -> Result<File> {
    let mut name = String::from(name);
    name.push('\0');
    let fd = call(
        group,
        GROUP_GET_DEVICE_FD,
        name.as_ptr().expose_provenance(),
    )?;
    // SAFETY: a descriptor that the kernel has just made for this caller.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// The flags of a device, how many regions it has, and how many interrupts.
pub(super) fn device_info(device: BorrowedFd<'_>) -> Result<[u32; 3]> {
    let mut info = [0; size_of::<abi::vfio_device_info>()];
    fill(device, DEVICE_GET_INFO, &mut info)?;
    Ok([4, 8, 12].map(|at| super::chain::u32_at(&info, at).unwrap_or(0)))
}

/// `struct vfio_region_info` and its capabilities.
pub(super) fn region_info(device: BorrowedFd<'_>, index: u32) -> Result<Vec<u8>> {
    let mut info = [0; size_of::<abi::vfio_region_info>()];
    info[8..12].copy_from_slice(&index.to_ne_bytes());
    fill_all(device, DEVICE_GET_REGION_INFO, &info)
}

/// The flags of a kind of interrupts, and how many there are.
pub(super) fn irq_info(device: BorrowedFd<'_>, index: u32) -> Result<(u32, u32)> {
    let mut info = [0; size_of::<abi::vfio_irq_info>()];
    info[8..12].copy_from_slice(&index.to_ne_bytes());
    fill(device, DEVICE_GET_IRQ_INFO, &mut info)?;
    let at = |at| super::chain::u32_at(&info, at).unwrap_or(0);
    Ok((at(4), at(12)))
}

/// Does something with interrupts from the first on: `struct vfio_irq_set`.
pub(super) fn set_irqs(
    device: BorrowedFd<'_>,
    flags: u32,
    index: u32,
    count: u32,
    data: &[i32],
) -> Result<()> {
    let mut set = [0, flags, index, 0, count].map(u32::to_ne_bytes).concat();
    set.extend(data.iter().flat_map(|fd| fd.to_ne_bytes()));
    fill(device, DEVICE_SET_IRQS, &mut set)
}

pub(super) fn reset(device: BorrowedFd<'_>) -> Result<()> {
    call(device, DEVICE_RESET, 0).map(drop)
}
