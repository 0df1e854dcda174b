//! `rump_vif.h` in Rust.
//!
//! The header explains each item. Its sizes and offsets are asserted here and in
//! `netbsd-src/kern/libvif/vif.c`, by the same numbers.

use core::ffi::{c_char, c_int, c_void};
use core::ptr::null_mut;

/// The version of the interface.
pub const VERSION: u32 = 2;
/// The longest frame.
pub const FRAME_MAX: usize = 65_535 + 18;
/// How many frames there are in a batch at most.
pub const BATCH: usize = 64;
/// Bytes of an interface's name, with the 0.
pub const NAME_SIZE: usize = 16;

/// `RUMP_VIF_NEEDS_CSUM`: the sum of the pseudo header is in place.
pub const NEEDS_CSUM: u8 = 0x01;
/// `RUMP_VIF_DATA_VALID`: the checksum was verified.
pub const DATA_VALID: u8 = 0x02;
/// `RUMP_VIF_GSO_NONE`.
pub const GSO_NONE: u8 = 0;
/// `RUMP_VIF_GSO_TCPV4`.
pub const GSO_TCPV4: u8 = 1;
/// `RUMP_VIF_GSO_TCPV6`.
pub const GSO_TCPV6: u8 = 4;
/// `RUMP_VIF_GSO_ECN`: CWR is for the first segment only.
pub const GSO_ECN: u8 = 0x80;

/// `RUMP_VIF_UP`: users want frames to flow.
pub const UP: u32 = 0x01;
/// `RUMP_VIF_SPLICED`: it sends over another interface, and not to the host.
pub const SPLICED: u32 = 0x02;

/// What is to be done to a frame, or has been: the header of virtio-net (virtio 1.1,
/// 5.1.6) in the byte order of the machine.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// [`NEEDS_CSUM`], [`DATA_VALID`].
    pub flags: u8,
    /// [`GSO_NONE`] and its like.
    pub gso_type: u8,
    /// Length of all headers, if it is to be cut up.
    pub hdr_len: u16,
    /// Length of the data in each segment.
    pub gso_size: u16,
    /// Where the checksum begins, from the start of the frame.
    pub csum_start: u16,
    /// Where it is stored, from `csum_start`.
    pub csum_offset: u16,
}

/// A piece of memory, laid out as a POSIX iovec.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its start.
    pub base: *mut c_void,
    /// Its length in bytes.
    pub len: usize,
}

/// A frame that the kernel sends.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Tx {
    /// The pieces of the frame.
    pub parts: *const Part,
    /// How many they are.
    pub nparts: u32,
    /// Bytes in all of them together.
    pub len: u32,
    /// What is to be done to it.
    pub offload: Offload,
    /// Zero.
    pub pad: [u8; 6],
}

/// Memory of the host that the kernel may keep.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// Called once when the kernel needs it no more, with locks held.
    pub release: unsafe extern "C" fn(*mut Lease),
}

/// A frame for the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Rx {
    /// Its first byte, 2 beyond a multiple of 4.
    pub data: *mut u8,
    /// Its length.
    pub len: u32,
    /// How much of the memory is the frame's.
    pub room: u32,
    /// Null: it is copied before the call returns.
    pub lease: *mut Lease,
    /// What is to be done to it, or has been.
    pub offload: Offload,
    /// Zero.
    pub pad: [u8; 6],
}

impl Rx {
    /// None: what a batch has before it is filled.
    pub const EMPTY: Self = Self {
        data: null_mut(),
        len: 0,
        room: 0,
        lease: null_mut(),
        offload: Offload {
            flags: 0,
            gso_type: 0,
            hdr_len: 0,
            gso_size: 0,
            csum_start: 0,
            csum_offset: 0,
        },
        pad: [0; 6],
    };
}

/// What the kernel calls.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Ops {
    /// Sends a batch of a queue. May block, without the virtual CPU.
    pub transmit: unsafe extern "C" fn(*mut c_void, u32, *const Tx, u32),
    /// Tells flags ([`UP`], [`SPLICED`]) and the offloads in use. Must not block.
    pub state: unsafe extern "C" fn(*mut c_void, u32, u32),
}

/// What an interface is to be.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// [`VERSION`].
    pub version: u32,
    /// The number in its name; -1 for the first that is free.
    pub unit: c_int,
    /// 0 for what is usual.
    pub mtu: u32,
    /// What the host can do.
    pub offloads: u32,
    /// Its Ethernet address.
    pub address: [u8; 6],
    /// 1 if there is a link.
    pub link: u8,
    /// Zero.
    pub pad: u8,
}

/// What an interface has counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Batches taken in.
    pub rx_batches: u64,
    /// Frames taken in.
    pub rx_frames: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Those taken without a copy.
    pub rx_leased: u64,
    /// Those longer than the MTU.
    pub rx_large: u64,
    /// Those dropped: no memory, interface down.
    pub rx_dropped: u64,
    /// Batches sent.
    pub tx_batches: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Those that were to be cut up.
    pub tx_large: u64,
    /// Those dropped: queue full, no memory.
    pub tx_dropped: u64,
    /// Frames taken in that came over another interface.
    pub rx_spliced: u64,
    /// Frames sent over another interface.
    pub tx_spliced: u64,
    /// Those of them that were finished in software, which that interface does not do.
    pub tx_finished: u64,
}

/// An interface in the kernel.
#[repr(C)]
#[derive(Debug)]
pub struct Vif {
    _opaque: [u8; 0],
}

/// The name of a new interface.
pub type Name = [c_char; NAME_SIZE];

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<Offload>() == 10);
    assert!(size_of::<Part>() == 16);
    assert!(size_of::<Tx>() == 32);
    assert!(offset_of!(Tx, offload) == 16);
    assert!(size_of::<Rx>() == 40);
    assert!(offset_of!(Rx, lease) == 16);
    assert!(offset_of!(Rx, offload) == 24);
    assert!(size_of::<Config>() == 24);
    assert!(size_of::<Stats>() == 112);
};
