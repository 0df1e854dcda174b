//! A device's regions: where they are in its file, and mapped.

use super::{chain, ioctl};
use core::ffi::c_void;
use core::ptr::NonNull;
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd};
use std::vec::Vec;
use vfio_bindings::bindings::vfio as abi;

/// What VFIO says of a region: `struct vfio_region_info`.
#[derive(Debug, Default)]
pub(super) struct RegionInfo {
    pub(super) len: u64,
    /// Where it begins in the device's file.
    pub(super) offset: u64,
    /// Which parts of it can be mapped: offset and length.
    areas: Vec<(u64, u64)>,
}

/// Addresses of this process that are a region's, until they are dropped. What cannot be
/// mapped of it (a table of interrupt messages) is memory that means nothing.
#[derive(Debug)]
pub(super) struct Mapped {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns addresses; drivers are who read and write there.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl RegionInfo {
    pub(super) fn ask(device: &File, index: u32) -> Result<Self> {
        let info = ioctl::region_info(device.as_fd(), index)?;
        Ok(Self::parse(&info).unwrap_or_default())
    }

    fn parse(info: &[u8]) -> Option<Self> {
        let flags = chain::u32_at(info, 4)?;
        let len = chain::u64_at(info, 16)?;
        let offset = chain::u64_at(info, 24)?;
        let first = chain::u32_at(info, 12)?;
        let mut areas = Vec::new();
        if flags & abi::VFIO_REGION_INFO_FLAG_MMAP != 0 {
            let sparse = (flags & abi::VFIO_REGION_INFO_FLAG_CAPS != 0)
                .then(|| chain::find(info, first, abi::VFIO_REGION_INFO_CAP_SPARSE_MMAP))
                .flatten();
            areas = sparse.map_or_else(|| [(0, len)].to_vec(), chain::pairs);
            areas.retain(|&(at, size)| {
                size > 0 && at.checked_add(size).is_some_and(|end| end <= len)
            });
        }
        Some(Self { len, offset, areas })
    }

    pub(super) fn map(&self, device: &File) -> Result<Mapped> {
        let unsupported = || Error::from_raw_os_error(libc::ENODEV);
        let len = usize::try_from(self.len).map_err(|_| unsupported())?;
        if self.areas.is_empty() || len == 0 {
            return Err(unsupported());
        }
        let mapped = Mapped::reserve(len)?;
        for &(at, size) in &self.areas {
            mapped.fill(device, at as usize, size as usize, self.offset + at)?;
        }
        Ok(mapped)
    }
}

impl Mapped {
    fn reserve(len: usize) -> Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let nowhere = core::ptr::null_mut::<c_void>();
        // SAFETY: a new mapping, which replaces none.
        let start = unsafe { libc::mmap(nowhere, len, access, flags, -1, 0) };
        match NonNull::new(start) {
            Some(start) if start.as_ptr() != libc::MAP_FAILED => Ok(Self {
                start: start.cast(),
                len,
            }),
            _ => Err(Error::last_os_error()),
        }
    }

    fn fill(&self, device: &File, at: usize, len: usize, offset: u64) -> Result<()> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        let place = self.start.as_ptr().wrapping_add(at).cast::<c_void>();
        let offset = libc::off_t::try_from(offset).map_err(Error::other)?;
        // SAFETY: it replaces a part of this mapping: the area lies in the region, and
        // nobody has its address yet.
        let there = unsafe { libc::mmap(place, len, access, flags, device.as_raw_fd(), offset) };
        if there == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        Ok(())
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: a mapping of ours; drivers have let go of the device.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
