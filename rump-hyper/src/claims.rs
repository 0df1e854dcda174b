//! `rump_claims.h` in Rust: who is asked before a port is taken.
//!
//! The header explains each item. Its sizes and offsets are asserted here and in
//! `netbsd-src/kern/libclaims/claims.c`, by the same numbers.

use core::ffi::{c_int, c_void};

/// `IPPROTO_TCP`.
pub const TCP: u8 = 6;
/// `IPPROTO_UDP`.
pub const UDP: u8 = 17;

/// Where a socket takes packets from.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// IPv4 mapped; unspecified for all addresses of the family.
    pub address: [u8; 16],
    /// Not 0.
    pub port: u16,
    /// [`TCP`] or [`UDP`].
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
}

/// Whether a socket is bound there, or keeps the port otherwise.
pub type Used = unsafe extern "C" fn(*mut c_void, *const Endpoint) -> c_int;

/// What is called with each place that has a port, and at last with null.
pub type Tell = unsafe extern "C" fn(*mut c_void, *const Endpoint);

/// What the kernel calls.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Ops {
    /// A socket is about to be bound there: 0, or the error of bind(2).
    pub claim: unsafe extern "C" fn(*const Endpoint) -> c_int,
    /// It is bound there now, or could not be.
    pub bound: unsafe extern "C" fn(*const Endpoint, Used, *mut c_void),
    /// A socket is gone that had this port.
    pub gone: unsafe extern "C" fn(u32, u32, Used, *mut c_void),
}

const _: () = {
    assert!(size_of::<Endpoint>() == 20);
    assert!(core::mem::offset_of!(Endpoint, port) == 16);
    assert!(size_of::<Ops>() == 24);
};
