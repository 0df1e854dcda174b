//! Block devices whose other end is in the host: `rump_vbd.h`.
//!
//! A kernel compiled from a tree has them with the feature `fs`; elsewhere
//! [`rump_vbd_create`] answers `ENOSYS`. The header explains each item. Its sizes are
//! asserted here and in the component's source, by the same numbers.

use core::ffi::{c_char, c_int, c_void};

/// The version of the interface.
pub const VERSION: u32 = 1;
/// `RUMP_VBD_READ_ONLY`: the disk cannot be written.
pub const READ_ONLY: u32 = 0x01;
/// `RUMP_VBD_WRITE`: a transfer to the disk.
pub const WRITE: u32 = 0x01;
/// `RUMP_VBD_ASYNC`: nobody waits for a transfer yet.
pub const ASYNC: u32 = 0x02;
/// `RUMP_VBD_LATER`: the host will call [`rump_vbd_done`].
pub const LATER: c_int = -1;
/// Bytes of a disk's name, with the 0.
pub const NAME_SIZE: usize = 16;

/// What the kernel calls, on a virtual CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Ops {
    /// Reads or writes so many bytes at a place.
    pub transfer: unsafe extern "C" fn(*mut c_void, u32, *mut u8, u64, u64, *mut c_void) -> c_int,
    /// Puts all that was written on stable storage.
    pub flush: unsafe extern "C" fn(*mut c_void) -> c_int,
    /// Says that nobody needs so many bytes at a place any more.
    pub discard: unsafe extern "C" fn(*mut c_void, u64, u64) -> c_int,
}

/// What a disk is to be.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// [`VERSION`].
    pub version: u32,
    /// [`READ_ONLY`].
    pub flags: u32,
    /// How many sectors it has.
    pub sectors: u64,
    /// Bytes of each: a power of two from 512 to 65536.
    pub sector_size: u32,
    /// Zero.
    pub pad: u32,
}

/// A disk in the kernel.
#[repr(C)]
#[derive(Debug)]
pub struct Vbd {
    _opaque: [u8; 0],
}

/// The name of a new disk.
pub type Name = [c_char; NAME_SIZE];

const _: () = {
    assert!(size_of::<Ops>() == 24);
    assert!(size_of::<Config>() == 24);
    assert!(core::mem::offset_of!(Config, sectors) == 8);
};

crate::gate::functions! {
    here = all(rump_kernel = "netbsd", feature = "fs"),
    gated = rump_kernel = "image",
    absent = "There are no such disks in this build";
    /// Makes a disk. Until [`rump_vbd_destroy`] succeeds, `ops` and what `host` points to
    /// must stay.
    fn rump_vbd_create(ops: *const Ops, host: *mut c_void, config: *const Config, vbd: *mut *mut Vbd, name: *mut Name) -> c_int;
    /// Removes a disk, or says that it is in use.
    fn rump_vbd_destroy(vbd: *mut Vbd) -> c_int;
    /// A transfer that was put off is done.
    fn rump_vbd_done(io: *mut c_void, error: c_int);
    /// Writes out all of the file system that a path is in, and waits for it (component
    /// `fssync`).
    fn rump_fs_sync(path: *const c_char) -> c_int;
}

// Without those that make and remove a disk: whoever calls those of the program does.
crate::gate::export! {
    rump_vbd_done = rump_vbd_done;
    rump_fs_sync = rump_fs_sync;
}
