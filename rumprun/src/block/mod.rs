//! Disks. Those of the machine's that the platform drives itself are behind the kernel's disks
//! `vbd0`, `vbd1`, …, for drivers that the kernel has none for; and disks of the kernel's, whoever
//! drives them, are brought what other domains ask for.
//!
//! | module | is |
//! |---|---|
//! | `transfer` | what the kernel wants read or written, and its pieces |
//! | `port` | a disk of the kernel's, and the thread that ends its transfers |
//! | `medium` | what a back end asks of a disk of the kernel's |
//! | `opened` | a disk of the kernel's that is open |
//! | `offers` | which of them the program offers to other domains |
//!
//! Nobody waits for a transfer, in either direction: each is started, and its end is told by the
//! thread that hears of it.

pub(crate) mod medium;
pub(crate) mod offers;
#[cfg(feature = "image")]
pub(crate) mod opened;
#[cfg(feature = "image")]
pub(crate) mod port;
pub(crate) mod transfer;

use rump_hyper::errno::Errno;
use transfer::Transfer;

/// What a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes of a sector: a power of two from 512 on.
    pub sector_size: u32,
    /// How many sectors it has.
    pub sectors: u64,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// What drives a disk. All but `serve` may be called by several threads at a time, none of
/// which has a virtual CPU of the kernel's.
pub(crate) trait Backend: Send + Sync {
    /// What the disk is, for good.
    fn shape(&self) -> Shape;
    /// Starts a transfer of whole sectors within the disk, or has it wait until there is room.
    /// Its end is that of the value.
    fn start(&self, transfer: Transfer);
    /// Puts all that was written on stable storage, and waits for that.
    ///
    /// # Errors
    /// Why it may not be there.
    fn flush(&self) -> Result<(), Errno>;
    /// Says that nobody needs so many bytes at a place any more.
    ///
    /// # Errors
    /// `EOPNOTSUPP` if the disk makes no use of that, or why it has failed.
    fn discard(&self, offset: u64, len: u64) -> Result<(), Errno>;
    /// Waits for what the disk has done and ends those transfers, for as long as there is a
    /// disk.
    fn serve(&self);
}
