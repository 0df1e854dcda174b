//! Disks: those the kernel's drivers have, and those that the program puts below it.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # if !rump::kernel::available() { return Ok(()) }
//! use rump::block::{BlockDevice, Disk, Memory};
//! use std::io;
//!
//! let kernel = rump::Kernel::builder().boot()?;
//! let disk = match Disk::attach(&kernel, Memory::new(1 << 20)) {
//!     Ok(disk) => disk,
//!     Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(()),
//!     Err(error) => return Err(error.into()),
//! };
//! let device = BlockDevice::open(disk.raw_path())?;               // "/dev/rvbd0d"
//! device.write_at(&[7; 512], 4096)?;
//! device.flush()?;
//! # drop(device);
//! # disk.detach().map_err(|error| error.to_string())?;
//! # Ok(())
//! # }
//! ```
//!
//! # Above the kernel
//! A [`BlockDevice`] is opened by its name in the kernel, whatever driver has it: "/dev/rld0d"
//! of ld(4), "/dev/rdk0" of a wedge, "/dev/rvbd0d" of the [`Disk`]s here. It transfers whole
//! sectors at a time, at any place, and its methods take `&self`: several threads have as
//! many transfers under way. A [`Queue`] has them without threads, for futures and batches. [`Wedge`](wedge::Wedge)s are partitions, dk(4).
//!
//! # Below the kernel
//! A [`Disk`] is made over a [`Backend`]:
//!
//! | back end | is |
//! |---|---|
//! | [`Image`] | a file or a block device of the host |
//! | [`Memory`] | bytes of this process |
//! | [`Faults`] | fails some transfers of the back end in it |
//! | [`PowerCut`] | a disk with a cache; shows what a power cut would have left, at any point |
//!
//! In the kernel it is `vbd0`, `vbd1`, …, a disk as any other, by a component of our own.
//! What is written is in the disk's cache until it is flushed, as with any disk; a program
//! sees to it by [`File::sync_all`](crate::fs::File::sync_all), which reaches the back end's
//! [`flush`](Backend::flush).
//!
//! # For other domains
//! An image on Xen serves disks of its kernel to other guests, if its program [`offer`]s them.
//!
//! # Limits
//! 64 [`Disk`]s at a time, 16 wedges with nodes in `/dev`. rump-lite has no disks; nor are
//! those of another process's kernel reached by [`remote`](crate::remote).

mod backend;
mod buffer;
mod device;
mod disk;
pub(crate) mod event;
mod faults;
mod image;
mod memory;
mod offer;
mod power_cut;
mod queue;
pub mod wedge;

pub use backend::Backend;
pub use buffer::Buffer;
pub use device::BlockDevice;
pub use disk::{Disk, InUse};
pub use faults::{FaultStatistics, Faults};
pub use image::{Image, ImageBuilder};
pub use memory::Memory;
pub use offer::{offer, offer_read_only};
pub use power_cut::{Event, PowerCut, Trace};
pub use queue::{Completion, Operation, Queue};
