//! NetBSD's system call ABI: the constants and structures that the safe layer needs.
//!
//! The two tables, `constants.rs` and `layouts.rs`, are written by hand, and say for
//! each item the header that it comes from. They are proven: when the kernel is
//! compiled from a tree, the build script has libclang evaluate every constant, size
//! and offset in the headers of that very tree, and what it finds is compared here in
//! constant assertions. A tree with another ABI does not compile.
//!
//! Names are NetBSD's. Addresses and ports are in network byte order, as in C.

#![allow(non_camel_case_types, missing_docs)]

use core::ffi::{c_int, c_long, c_short, c_uint, c_void};

/// What the headers of the tree in use say; see `build/proof.rs`.
#[cfg(rump_kernel = "netbsd")]
#[allow(dead_code, non_upper_case_globals, clippy::all)]
mod proof {
    include!(concat!(env!("OUT_DIR"), "/proof.rs"));
}

macro_rules! constants {
    ($($header:literal { $($name:ident: $type:ty = $value:expr;)* })*) => {$($(
        #[doc = concat!("`", stringify!($name), "` of `<", $header, ">`.")]
        pub const $name: $type = $value;
        #[cfg(rump_kernel = "netbsd")]
        const _: () = assert!(
            $name as i128 == proof::$name as i128,
            concat!("this tree has another ", stringify!($name), " in <", $header, ">")
        );
    )*)*};
}
include!("constants.rs");

macro_rules! layouts {
    ($($header:literal { $(struct $name:ident { $($field:ident: $type:ty),* $(,)? })* })*) => {$($(
        #[doc = concat!("`struct ", stringify!($name), "` of `<", $header, ">`.")]
        #[repr(C)]
        #[derive(Debug, Clone, Copy)]
        pub struct $name {
            $(pub $field: $type,)*
        }
        #[cfg(rump_kernel = "netbsd")]
        const _: () = {
            const OURS: &[usize] = &[
                size_of::<$name>(),
                $(core::mem::offset_of!($name, $field), size_of::<$type>(),)*
            ];
            let mut index = 0;
            while index < OURS.len() {
                assert!(
                    OURS[index] == proof::$name[index],
                    concat!("this tree lays out struct ", stringify!($name), " of <", $header, "> differently")
                );
                index += 1;
            }
        };
    )*)*};
}
include!("layouts.rs");
