//! PCI devices for the kernel: the hypercalls that its component `pci` makes, above
//! whatever gives a program access to a device.
//!
//! The kernel sees buses of its own, with one function in each slot that the host has
//! put a device into ([`bus`]). What the host gives is a [`Function`]: configuration
//! space, regions, interrupt vectors. A Linux process has them from VFIO
//! (`linux::vfio`), an image from the machine.
//!
//! | module | is |
//! |---|---|
//! | [`bus`] | which function is in which slot, and which region an address lies in |
//! | [`header`] | configuration space as the kernel may see it |
//! | [`interrupt`] | the threads that call drivers' handlers |
//! | `served` | a handler and its vector |
//! | `again` | when it is called without an interrupt |
//! | [`turn`] | whose turn it is to wait for a vector |
//! | [`window`] | where in a device's address space the kernel's memory lies |
//!
//! What a device says is input: its capability lists may have loops, and its registers
//! may change. [`header`] shows the kernel what was checked when the device was added.
//!
//! DMA: the kernel merges what is contiguous in its own address space. So the host has
//! to give devices a window in which an address is the kernel's plus a constant
//! ([`Window`](window::Window)); what lies elsewhere is copied by the kernel's side
//! (component `pcihost`).

mod again;
pub mod bus;
pub mod header;
pub mod interrupt;
mod served;
pub mod turn;
pub mod window;

use crate::errno::Errno;
use crate::host::Host;
use alloc::sync::Arc;
use core::ptr::NonNull;
use core::time::Duration;

/// The kinds of interrupt, as `pci_intr_type_t` numbers them (`pcivar.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A line, shared and level-triggered.
    Intx,
    /// Message-signalled (PCI 3.0, 6.8.1).
    Msi,
    /// The same, with a table (PCI 3.0, 6.8.2).
    Msix,
}

impl Kind {
    /// The kind of that number.
    pub fn of(number: i32) -> Option<Self> {
        [Self::Intx, Self::Msi, Self::Msix]
            .into_iter()
            .find(|kind| *kind as i32 == number)
    }
}

/// A region of a function, by its base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Which of the six registers.
    pub bar: usize,
    /// From the start of the region, in bytes.
    pub offset: u64,
}

/// A function of a PCI device that the host gives to the kernel.
///
/// None of these blocks, except for [`enable`](Function::enable) and
/// [`disable`](Function::disable).
pub trait Function: Send + Sync {
    /// How long configuration space is, in bytes: 256, or 4096 with PCI Express.
    fn config_len(&self) -> usize;

    /// Reads the word of configuration space at a multiple of 4.
    fn config_read(&self, offset: usize) -> Result<u32, Errno>;

    /// Writes the word of configuration space at a multiple of 4.
    fn config_write(&self, offset: usize, value: u32) -> Result<(), Errno>;

    /// How long the region is, in bytes; 0 if there is none.
    fn region_len(&self, bar: usize) -> u64;

    /// Where the region is mapped, if it can be; it stays so while the function is there.
    fn region(&self, bar: usize) -> Result<NonNull<u8>, Errno>;

    /// Reads 1, 2 or 4 bytes of a region that cannot be mapped.
    fn region_read(&self, at: Region, width: usize) -> Result<u32, Errno>;

    /// Writes 1, 2 or 4 bytes of a region that cannot be mapped.
    fn region_write(&self, at: Region, width: usize, value: u32) -> Result<(), Errno>;

    /// How many vectors of a kind there are.
    fn vectors(&self, kind: Kind) -> usize;

    /// Turns on that many vectors, in place of what was on.
    fn enable(&self, kind: Kind, count: usize) -> Result<(), Errno>;

    /// Turns all vectors off.
    fn disable(&self);

    /// A vector that is on.
    fn vector(&self, index: usize) -> Option<Arc<dyn Vector>>;

    /// What is signalled when the host wants the function back, or it is gone; `None`
    /// where nobody tells.
    fn removal(&self) -> Option<Arc<dyn Vector>>;
}

/// One source of interrupts.
pub trait Vector: Send + Sync {
    /// Sleeps until there have been interrupts, and tells how many; 0 if there were none
    /// in so much time; `None` when [`stop`](Vector::stop) was called.
    fn wait(&self, at_most: Option<Duration>) -> Option<u64>;

    /// The interrupt has been handled: a line may be asserted again.
    fn handled(&self);

    /// Whether it is a line, which a device asserts until it is heard.
    fn is_line(&self) -> bool;

    /// Ends a wait as an interrupt does, also one that begins only afterwards.
    fn call(&self);

    /// Ends a wait for good, also one that begins only afterwards: it returns `None`.
    fn stop(&self);
}

/// Memory for DMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaMemory {
    /// Where the kernel has it.
    pub address: NonNull<u8>,
    /// Where devices have it.
    pub bus: u64,
}

// SAFETY: an address; who uses the memory sees to the rest.
#[allow(unsafe_code)]
unsafe impl Send for DmaMemory {}

/// What PCI needs of the host beyond [`Host`].
pub trait PciHost: Host {
    /// Contiguous memory, in pages, that devices reach.
    fn dma_allocate(size: usize, align: usize) -> Result<DmaMemory, Errno>;

    /// Returns memory.
    ///
    /// # Safety
    /// It came from [`dma_allocate`](PciHost::dma_allocate) with this size, and neither
    /// the kernel nor a device uses it any more.
    #[allow(unsafe_code)]
    unsafe fn dma_release(address: *mut u8, size: usize);

    /// The window through which devices reach the kernel's memory; `None` before there
    /// is a device.
    fn dma_window() -> Option<window::Window>;
}
