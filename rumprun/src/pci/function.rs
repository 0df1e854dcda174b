//! A function of the machine, given to the kernel: [`rump_hyper::pci::Function`].

use super::bars::Bar;
use super::config::command;
use super::msi::{self, Single, Table};
use super::{Found, Location};
use crate::boot::machine;
use crate::cpu::{ioapic, port};
use crate::host::Machine;
use crate::memory::tables::map_device;
use crate::memory::{PAGE, frames};
use crate::sync::Lock;
use crate::trap::line::{self, Line};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::time::Duration;
use rump_hyper::errno::Errno;
use rump_hyper::pci::window::Window;
use rump_hyper::pci::{DmaMemory, Function, Kind, PciHost, Region, Vector};

/// A function.
pub struct Device {
    location: Location,
    bars: Vec<Bar>,
    table: Option<Table>,
    single: Option<Single>,
    on: Lock<(Option<Kind>, Vec<Arc<Signal>>)>,
}

/// One of its interrupts.
struct Signal {
    line: Line,
    pin: Option<ioapic::Pin>,
}

impl Vector for Signal {
    fn wait(&self, at_most: Option<Duration>) -> Option<u64> {
        self.line.wait(at_most)
    }

    fn handled(&self) {
        if let Some(pin) = self.pin {
            ioapic::mask(pin, false);
        }
    }

    fn is_line(&self) -> bool {
        self.pin.is_some()
    }

    fn call(&self) {
        self.line.fire();
    }

    fn stop(&self) {
        self.line.stop();
    }
}

impl Device {
    /// Takes a function over. Its memory and ports answer; that it may do DMA is for its driver
    /// to say, and until that wants its line it does not interrupt by that, whatever whoever had
    /// it before has left.
    pub fn new(found: &Found) -> Self {
        let location = found.location;
        let bars = msi::regions(location);
        let table = Table::find(location, &bars);
        let single = Single::find(location);
        location.command(command::MEMORY | command::IO | command::NO_INTX, 0);
        Self {
            location,
            bars,
            table,
            single,
            on: Lock::new((None, Vec::new())),
        }
    }

    fn bar(&self, index: usize) -> Option<&Bar> {
        self.bars
            .iter()
            .find(|bar| bar.index == index && bar.address != 0)
    }

    /// The number of the line that firmware gave to it, and whether it is active low.
    fn line(&self) -> Option<(u32, bool)> {
        const LINE: usize = 0x3c;
        const PIN: usize = 0x3d;
        let irq = self.location.read_u8(LINE);
        if self.location.read_u8(PIN) == 0 || irq == 0 || irq == 0xff {
            return None;
        }
        let madt = machine::get()?.madt.as_ref()?;
        let other = madt.overrides.iter().find(|other| other.irq == irq);
        // What the table does not say is as ISA has it: high. 3 is low (5.2.12.5).
        Some(other.map_or((u32::from(irq), false), |other| {
            (other.line, other.flags & 3 == 3)
        }))
    }

    /// The port of a place in a region, if all of it is in there.
    fn port(&self, at: Region, width: usize) -> Result<u16, Errno> {
        let bar = self.bar(at.bar).filter(|bar| bar.io).ok_or(Errno::NXIO)?;
        let end = at.offset.checked_add(width as u64).ok_or(Errno::INVAL)?;
        if end > bar.len {
            return Err(Errno::INVAL);
        }
        u16::try_from(bar.address + at.offset).map_err(|_| Errno::INVAL)
    }

    /// Where a place in a region of memory is.
    fn memory(&self, at: Region, width: usize) -> Result<*mut u8, Errno> {
        let bar = self.bar(at.bar).filter(|bar| !bar.io).ok_or(Errno::NXIO)?;
        let end = at.offset.checked_add(width as u64).ok_or(Errno::INVAL)?;
        if end > bar.len || !at.offset.is_multiple_of(width as u64) {
            return Err(Errno::INVAL);
        }
        map_device(bar.address + at.offset, width as u64).map_err(|_| Errno::NOMEM)
    }

    fn signals(&self, kind: Kind, count: usize) -> Result<Vec<Arc<Signal>>, Errno> {
        (0..count)
            .map(|index| {
                let line = Line::new().ok_or(Errno::NOSPC)?;
                let mut pin = None;
                match kind {
                    Kind::Msix => self.table.as_ref().ok_or(Errno::INVAL)?.set(index, &line),
                    Kind::Msi => self.single.as_ref().ok_or(Errno::INVAL)?.enable(&line),
                    Kind::Intx => {
                        let (number, low) = self.line().ok_or(Errno::INVAL)?;
                        let routed = ioapic::route(number, line.vector(), line.apic(), low);
                        let routed = routed.ok_or(Errno::INVAL)?;
                        line::level(&line, routed);
                        self.location.command(0, command::NO_INTX);
                        ioapic::mask(routed, false);
                        pin = Some(routed);
                    }
                }
                Ok(Arc::new(Signal { line, pin }))
            })
            .collect()
    }
}

impl Function for Device {
    fn config_len(&self) -> usize {
        self.location.space()
    }

    fn config_read(&self, offset: usize) -> Result<u32, Errno> {
        Ok(self.location.read(offset))
    }

    fn config_write(&self, offset: usize, value: u32) -> Result<(), Errno> {
        self.location.write(offset, value);
        Ok(())
    }

    fn region_len(&self, bar: usize) -> u64 {
        self.bar(bar).map_or(0, |bar| bar.len)
    }

    fn region(&self, bar: usize) -> Result<NonNull<u8>, Errno> {
        let bar = self.bar(bar).filter(|bar| !bar.io).ok_or(Errno::NXIO)?;
        let start = map_device(bar.address, bar.len).map_err(|_| Errno::NOMEM)?;
        NonNull::new(start).ok_or(Errno::NXIO)
    }

    fn region_read(&self, at: Region, width: usize) -> Result<u32, Errno> {
        let is_io = self.bar(at.bar).is_some_and(|bar| bar.io);
        // SAFETY: a port or a register of the function's, which the kernel drives.
        unsafe {
            if is_io {
                let port = self.port(at, width)?;
                return Ok(match width {
                    1 => port::read_u8(port).into(),
                    2 => port::read_u16(port).into(),
                    _ => port::read_u32(port),
                });
            }
            let register = self.memory(at, width)?;
            Ok(match width {
                1 => register.read_volatile().into(),
                2 => register.cast::<u16>().read_volatile().into(),
                _ => register.cast::<u32>().read_volatile(),
            })
        }
    }

    fn region_write(&self, at: Region, width: usize, value: u32) -> Result<(), Errno> {
        let is_io = self.bar(at.bar).is_some_and(|bar| bar.io);
        // SAFETY: as for `region_read`.
        unsafe {
            if is_io {
                let port = self.port(at, width)?;
                match width {
                    1 => port::write_u8(port, value as u8),
                    2 => port::write_u16(port, value as u16),
                    _ => port::write_u32(port, value),
                }
                return Ok(());
            }
            let register = self.memory(at, width)?;
            match width {
                1 => register.write_volatile(value as u8),
                2 => register.cast::<u16>().write_volatile(value as u16),
                _ => register.cast::<u32>().write_volatile(value),
            }
        }
        Ok(())
    }

    fn vectors(&self, kind: Kind) -> usize {
        match kind {
            Kind::Msix => self.table.as_ref().map_or(0, Table::len),
            Kind::Msi => usize::from(self.single.is_some()),
            Kind::Intx => usize::from(self.line().is_some()),
        }
    }

    fn enable(&self, kind: Kind, count: usize) -> Result<(), Errno> {
        self.disable();
        let signals = self.signals(kind, count)?;
        if let (Kind::Msix, Some(table)) = (kind, &self.table) {
            table.enable();
        }
        *self.on.lock() = (Some(kind), signals);
        Ok(())
    }

    fn disable(&self) {
        let (kind, signals) = core::mem::take(&mut *self.on.lock());
        match kind {
            Some(Kind::Msix) => {
                if let Some(table) = &self.table {
                    table.disable();
                }
            }
            Some(Kind::Msi) => {
                if let Some(single) = &self.single {
                    single.disable();
                }
            }
            Some(Kind::Intx) => {
                self.location.command(command::NO_INTX, 0);
                for signal in &signals {
                    if let Some(pin) = signal.pin {
                        ioapic::mask(pin, true);
                    }
                }
            }
            None => {}
        }
    }

    fn vector(&self, index: usize) -> Option<Arc<dyn Vector>> {
        let signal = self.on.lock().1.get(index).cloned()?;
        Some(signal)
    }

    fn removal(&self) -> Option<Arc<dyn Vector>> {
        None
    }
}

impl PciHost for Machine {
    fn dma_allocate(size: usize, align: usize) -> Result<DmaMemory, Errno> {
        let pages = size.div_ceil(PAGE).max(1);
        let start = frames::take(pages, align.div_ceil(PAGE)).ok_or(Errno::NOMEM)?;
        // SAFETY: pages that were just taken.
        unsafe { (start as *mut u8).write_bytes(0, pages * PAGE) };
        let address = NonNull::new(start as *mut u8).ok_or(Errno::NOMEM)?;
        Ok(DmaMemory {
            address,
            bus: start,
        })
    }

    unsafe fn dma_release(address: *mut u8, size: usize) {
        // SAFETY: by contract.
        unsafe { frames::release(address.addr() as u64, size.div_ceil(PAGE).max(1)) };
    }

    fn dma_window() -> Option<Window> {
        // All memory, at the addresses at which the kernel has it.
        Some(Window {
            start: 0,
            len: frames::end(),
            offset: 0,
        })
    }
}

#[cfg(feature = "image")]
mod symbols {
    rump_hyper::export_pci_hypercalls!(crate::host::Machine);
}
