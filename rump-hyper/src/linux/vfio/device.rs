//! A device's function, through VFIO.
//!
//! VFIO emulates what of configuration space would reach beyond the device (base
//! addresses, the interrupt messages) and passes the rest on. The function is reset when
//! it is opened and when it is closed, if it can be by itself; otherwise it may not be a
//! bus master then. Linux does as much for a process that is killed.

use super::container::Group;
use super::error::Error;
use super::ioctl;
use super::region::{Mapped, RegionInfo};
use super::vector::EventVector;
use crate::errno::Errno;
use crate::linux::errno;
use crate::pci::header::{BUS_MASTER, COMMAND, IO_AND_MEMORY};
use crate::pci::{Function, Kind, Region, Vector};
use core::ptr::NonNull;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::string::String;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::vec::Vec;
use vfio_bindings::bindings::vfio as abi;

/// How many base address registers there are.
const BARS: usize = 6;

/// An open function.
#[derive(Debug)]
pub struct Device {
    file: Arc<File>,
    address: String,
    config: RegionInfo,
    regions: [RegionInfo; BARS],
    mapped: [OnceLock<Mapped>; BARS],
    vectors: [usize; 3],
    on: Mutex<Option<(Kind, Vec<Arc<EventVector>>)>>,
    removal: Option<Arc<EventVector>>,
    resets: bool,
    /// Closed last.
    _group: Option<Arc<Group>>,
}

impl Device {
    pub(super) fn open(address: &str, group: Arc<Group>) -> Result<Self, Error> {
        Self::with(address, group.device(address)?, Some(group))
    }

    pub(super) fn with(
        address: &str,
        file: File,
        group: Option<Arc<Group>>,
    ) -> Result<Self, Error> {
        let file = Arc::new(file);
        let failed = |what| {
            move |source| Error::Vfio {
                what,
                object: address.into(),
                source,
            }
        };
        let [flags, regions, _] =
            ioctl::device_info(file.as_fd()).map_err(failed("asking for the description"))?;
        if flags & abi::VFIO_DEVICE_FLAGS_PCI == 0 || regions <= abi::VFIO_PCI_CONFIG_REGION_INDEX {
            return Err(Error::Unusable {
                address: address.into(),
                problem: "VFIO does not describe it as a PCI device",
            });
        }
        let ask = |index| RegionInfo::ask(&file, index).map_err(failed("asking for a region"));
        let config = ask(abi::VFIO_PCI_CONFIG_REGION_INDEX)?;
        let mut regions: [RegionInfo; BARS] = Default::default();
        for (region, index) in regions.iter_mut().zip(abi::VFIO_PCI_BAR0_REGION_INDEX..) {
            *region = ask(index)?;
        }
        let mut vectors = [0; 3];
        for (count, index) in vectors.iter_mut().zip(abi::VFIO_PCI_INTX_IRQ_INDEX..) {
            // A device without such interrupts may have no such index.
            *count = ioctl::irq_info(file.as_fd(), index).map_or(0, |(flags, count)| {
                let signals = flags & abi::VFIO_IRQ_INFO_EVENTFD != 0;
                if signals { count as usize } else { 0 }
            });
        }
        let mut device = Self {
            resets: flags & abi::VFIO_DEVICE_FLAGS_RESET != 0,
            file,
            address: address.into(),
            config,
            regions,
            mapped: Default::default(),
            vectors,
            on: Mutex::new(None),
            removal: None,
            _group: group,
        };
        device
            .watch_removal()
            .map_err(failed("asking to be told of a removal"))?;
        device.quiet().map_err(failed("resetting"))?;
        Ok(device)
    }

    /// Has it interrupt in that way at best.
    pub fn limit_interrupts(&mut self, best: Kind) {
        for count in &mut self.vectors[best as usize + 1..] {
            *count = 0;
        }
    }

    /// Has the device do nothing.
    fn quiet(&self) -> io::Result<()> {
        if self.resets {
            return ioctl::reset(self.file.as_fd());
        }
        let mut word = [0; 4];
        let at = self.config.offset + COMMAND as u64;
        self.file.read_exact_at(&mut word, at)?;
        let command = u32::from_le_bytes(word) & 0xffff & !(BUS_MASTER | IO_AND_MEMORY);
        self.file.write_all_at(&command.to_le_bytes()[..2], at)
    }

    /// Has Linux tell when it wants the device back; an old one cannot.
    fn watch_removal(&mut self) -> io::Result<()> {
        let index = abi::VFIO_PCI_REQ_IRQ_INDEX;
        if !matches!(ioctl::irq_info(self.file.as_fd(), index), Ok((_, 1..))) {
            return Ok(());
        }
        let vector = EventVector::new(None)?;
        let flags = abi::VFIO_IRQ_SET_DATA_EVENTFD | abi::VFIO_IRQ_SET_ACTION_TRIGGER;
        ioctl::set_irqs(self.file.as_fd(), flags, index, 1, &[vector.descriptor()])?;
        self.removal = Some(Arc::new(vector));
        Ok(())
    }

    fn turn_off(&self, kind: Kind) {
        let flags = abi::VFIO_IRQ_SET_DATA_NONE | abi::VFIO_IRQ_SET_ACTION_TRIGGER;
        // It fails for a device that is gone.
        let _ = ioctl::set_irqs(self.file.as_fd(), flags, kind as u32, 0, &[]);
    }

    fn bounds(&self, at: Region, width: usize) -> Result<u64, Errno> {
        let region = self.regions.get(at.bar).ok_or(Errno::INVAL)?;
        let end = at.offset.checked_add(width as u64).ok_or(Errno::INVAL)?;
        let fits = matches!(width, 1 | 2 | 4) && end <= region.len;
        fits.then(|| region.offset + at.offset).ok_or(Errno::INVAL)
    }

    fn on(&self) -> std::sync::MutexGuard<'_, Option<(Kind, Vec<Arc<EventVector>>)>> {
        self.on.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Function for Device {
    fn config_len(&self) -> usize {
        usize::try_from(self.config.len).map_or(0, |len| len.min(4096))
    }

    fn config_read(&self, offset: usize) -> Result<u32, Errno> {
        let mut word = [0; 4];
        let at = self.config.offset + offset as u64;
        let read = self.file.read_exact_at(&mut word, at);
        read.map_err(|error| errno::of(&error))?;
        Ok(u32::from_le_bytes(word))
    }

    fn config_write(&self, offset: usize, value: u32) -> Result<(), Errno> {
        let at = self.config.offset + offset as u64;
        let written = self.file.write_all_at(&value.to_le_bytes(), at);
        written.map_err(|error| errno::of(&error))
    }

    fn region_len(&self, bar: usize) -> u64 {
        self.regions.get(bar).map_or(0, |region| region.len)
    }

    fn region(&self, bar: usize) -> Result<NonNull<u8>, Errno> {
        let (region, place) = self
            .regions
            .get(bar)
            .zip(self.mapped.get(bar))
            .ok_or(Errno::INVAL)?;
        if let Some(mapped) = place.get() {
            return Ok(mapped.start());
        }
        let mapped = region.map(&self.file).map_err(|error| errno::of(&error))?;
        Ok(place.get_or_init(|| mapped).start())
    }

    fn region_read(&self, at: Region, width: usize) -> Result<u32, Errno> {
        let offset = self.bounds(at, width)?;
        let mut word = [0; 4];
        let read = self.file.read_exact_at(&mut word[..width], offset);
        read.map_err(|error| errno::of(&error))?;
        Ok(u32::from_le_bytes(word))
    }

    fn region_write(&self, at: Region, width: usize, value: u32) -> Result<(), Errno> {
        let offset = self.bounds(at, width)?;
        let written = self
            .file
            .write_all_at(&value.to_le_bytes()[..width], offset);
        written.map_err(|error| errno::of(&error))
    }

    fn vectors(&self, kind: Kind) -> usize {
        self.vectors[kind as usize]
    }

    fn enable(&self, kind: Kind, count: usize) -> Result<(), Errno> {
        let mut on = self.on();
        if let Some((kind, _)) = on.take() {
            self.turn_off(kind);
        }
        let line_of = (kind == Kind::Intx).then(|| self.file.clone());
        let vectors: io::Result<Vec<_>> = (0..count)
            .map(|_| EventVector::new(line_of.clone()).map(Arc::new))
            .collect();
        let vectors = vectors.map_err(|error| errno::of(&error))?;
        let events: Vec<i32> = vectors.iter().map(|vector| vector.descriptor()).collect();
        let flags = abi::VFIO_IRQ_SET_DATA_EVENTFD | abi::VFIO_IRQ_SET_ACTION_TRIGGER;
        let count = u32::try_from(count).map_err(|_| Errno::INVAL)?;
        ioctl::set_irqs(self.file.as_fd(), flags, kind as u32, count, &events)
            .map_err(|error| errno::of(&error))?;
        *on = Some((kind, vectors));
        Ok(())
    }

    fn disable(&self) {
        if let Some((kind, _)) = self.on().take() {
            self.turn_off(kind);
        }
    }

    fn removal(&self) -> Option<Arc<dyn Vector>> {
        let vector = self.removal.as_ref()?;
        Some(vector.clone())
    }

    fn vector(&self, index: usize) -> Option<Arc<dyn Vector>> {
        let on = self.on();
        let vector = on.as_ref()?.1.get(index)?;
        Some(vector.clone())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.disable();
        if let Err(error) = self.quiet() {
            let text = std::format!("rump: resetting {}: {error}\n", self.address);
            crate::console::write::<crate::linux::LinuxHost>(text.as_bytes());
        }
    }
}
