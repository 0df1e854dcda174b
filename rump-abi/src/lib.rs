//! NetBSD's system call ABI (amd64): what rump kernels and their callers agree on.
//!
//! The two tables, `constants.rs` and `layouts.rs`, are written by hand, and say for
//! each item the header that it comes from. `rump-sys` proves them when it compiles a
//! kernel from a tree: it has libclang evaluate every name in [`CONSTANTS`] and
//! [`LAYOUTS`] in the headers of that very tree, and a tree with another ABI does not
//! compile. What came with a later NetBSD than the oldest that is supported cannot be
//! proven that way, and stands in [`later`].
//!
//! Names are NetBSD's. Addresses and ports are in network byte order, as in C.
#![no_std]
#![allow(non_camel_case_types, non_upper_case_globals, missing_docs)]

use core::ffi::{c_int, c_long, c_short, c_uint, c_void};

macro_rules! constants {
    ($($header:literal { $($name:ident: $type:ty = $value:expr;)* })*) => {
        $($(
            #[doc = concat!("`", stringify!($name), "` of `<", $header, ">`.")]
            pub const $name: $type = $value;
        )*)*

        /// The name of every constant, by header.
        pub const CONSTANTS: &[(&str, &[&str])] = &[$(($header, &[$(stringify!($name)),*])),*];
    };
}
include!("constants.rs");

macro_rules! layouts {
    ($($header:literal { $(struct $name:ident { $($field:ident: $type:ty),* $(,)? })* })*) => {
        $($(
            #[doc = concat!("`struct ", stringify!($name), "` of `<", $header, ">`.")]
            #[repr(C)]
            #[derive(Debug, Clone, Copy)]
            pub struct $name {
                $(pub $field: $type,)*
            }
        )*)*

        /// The name of every structure with those of its fields, by header.
        pub const LAYOUTS: &[(&str, &[(&str, &[&str])])] =
            &[$(($header, &[$((stringify!($name), &[$(stringify!($field)),*])),*])),*];
    };
}
include!("layouts.rs");

/// What is read of structures that are too large to be written down: the place of a field,
/// its header, structure and name.
pub const OFFSETS: &[(usize, &str, &str, &str)] =
    &[(KINFO_PROC2_NLWPS, "sys/sysctl.h", "kinfo_proc2", "p_nlwps")];

/// The place of `p_nlwps` (a `uint64_t`) in `struct kinfo_proc2` of `<sys/sysctl.h>`.
pub const KINFO_PROC2_NLWPS: usize = 616;

/// What not every supported NetBSD has.
pub mod later {
    /// `EVFILT_USER` of `<sys/event.h>`; since 10.0, and by a component of ours.
    pub const EVFILT_USER: u32 = 8;
    /// `NOTE_TRIGGER` of `<sys/event.h>`; as `EVFILT_USER`.
    pub const NOTE_TRIGGER: u32 = 0x0100_0000;
}
