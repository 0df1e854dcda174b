//! Interrupts as VFIO tells of them: by an eventfd for each vector.

use super::ioctl;
use crate::pci::Vector;
use core::sync::atomic::{AtomicBool, Ordering};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::fs::File;
use std::io::Result;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use vfio_bindings::bindings::vfio as abi;

/// One vector.
#[derive(Debug)]
pub(super) struct EventVector {
    event: EventFd,
    stopped: AtomicBool,
    /// The device whose line this is: VFIO masks a line when it is asserted.
    line_of: Option<Arc<File>>,
}

impl EventVector {
    pub(super) fn new(line_of: Option<Arc<File>>) -> Result<Self> {
        Ok(Self {
            event: EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?,
            stopped: AtomicBool::new(false),
            line_of,
        })
    }

    #[cfg(test)]
    pub(super) fn event(&self) -> &EventFd {
        &self.event
    }

    /// What the kernel is to signal.
    pub(super) fn descriptor(&self) -> i32 {
        self.event.as_raw_fd()
    }
}

impl Vector for EventVector {
    fn wait(&self) -> Option<u64> {
        let count = loop {
            match self.event.read() {
                Err(Errno::EINTR) => {}
                Err(_) => return None,
                Ok(count) => break count,
            }
        };
        (!self.stopped.swap(false, Ordering::AcqRel)).then_some(count)
    }

    fn handled(&self) {
        if let Some(device) = &self.line_of {
            let flags = abi::VFIO_IRQ_SET_DATA_NONE | abi::VFIO_IRQ_SET_ACTION_UNMASK;
            // It fails if the vectors were turned off meanwhile.
            let _ = ioctl::set_irqs(device.as_fd(), flags, abi::VFIO_PCI_INTX_IRQ_INDEX, 1, &[]);
        }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let _ = self.event.write(1);
    }
}
