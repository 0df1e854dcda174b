//! Interrupts as VFIO tells of them: by an eventfd for each vector.

use super::ioctl;
use crate::pci::Vector;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
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

    /// Whether it is, within that time; a signal of the process's ends the wait earlier.
    fn is_signalled(&self, limit: Duration) -> bool {
        let mut one = [PollFd::new(self.event.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        poll(&mut one, limit).is_ok_and(|count| count > 0)
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
    fn wait(&self, at_most: Option<Duration>) -> Option<u64> {
        if at_most.is_some_and(|limit| !self.is_signalled(limit)) {
            return Some(0);
        }
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

    fn is_line(&self) -> bool {
        self.line_of.is_some()
    }

    fn call(&self) {
        let _ = self.event.write(1);
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.call();
    }
}
