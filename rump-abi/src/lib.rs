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

pub mod arrival;
pub mod bridge;
pub mod fs;
pub mod npf;
pub mod route;
pub mod vlan;

/// What is read of structures that are too large to be written down: the place of a field,
/// its header, structure and name.
pub const OFFSETS: &[(usize, &str, &str, &str)] =
    &[(KINFO_PROC2_NLWPS, "sys/sysctl.h", "kinfo_proc2", "p_nlwps")];

/// The place of `p_nlwps` (a `uint64_t`) in `struct kinfo_proc2` of `<sys/sysctl.h>`.
pub const KINFO_PROC2_NLWPS: usize = 616;

/// What later NetBSD has no more, so that it cannot be proven in every tree. The kernel
/// refuses a request whose argument has another size than its own, because the size is part
/// of the number; a message that changed has a new number.
pub mod earlier {
    /// `struct ifa_msghdr` of `<net/if.h>`; before 8.
    #[repr(C, align(8))]
    #[derive(Debug, Clone, Copy)]
    pub struct ifa_msghdr {
        pub ifam_msglen: u16,
        pub ifam_version: u8,
        pub ifam_type: u8,
        pub ifam_addrs: i32,
        pub ifam_flags: i32,
        pub ifam_metric: i32,
        pub ifam_index: u16,
    }

    /// `RTM_NEWADDR` of `<net/route.h>`; before 8.
    pub const RTM_NEWADDR: u8 = 0xc;
    /// `RTM_DELADDR` of `<net/route.h>`; before 8.
    pub const RTM_DELADDR: u8 = 0xd;

    /// `struct nd_ifinfo` of `<netinet6/nd6.h>`; until 9.
    #[repr(C)]
    #[derive(Debug, Clone, Copy)]
    pub struct nd_ifinfo {
        pub linkmtu: u32,
        pub maxmtu: u32,
        pub basereachable: u32,
        pub reachable: u32,
        pub retrans: u32,
        pub flags: u32,
        pub recalctm: i32,
        pub chlim: u8,
        pub initialized: u8,
        pub randomseed0: [u8; 8],
        pub randomseed1: [u8; 8],
        pub randomid: [u8; 8],
    }

    /// `struct in6_ndireq` of `<netinet6/nd6.h>`; until 9.
    #[repr(C)]
    #[derive(Debug, Clone, Copy)]
    pub struct in6_ndireq {
        pub ifname: [u8; crate::IFNAMSIZ],
        pub ndi: nd_ifinfo,
    }

    /// `SIOCSIFINFO_FLAGS` of `<netinet6/in6_var.h>`; until 9.
    pub const SIOCSIFINFO_FLAGS: u64 = 0xc048_6957;
    /// `SIOCGIFINFO_IN6` of `<netinet6/in6_var.h>`; until 9.
    pub const SIOCGIFINFO_IN6: u64 = 0xc048_696c;
    /// `ND6_IFF_ACCEPT_RTADV` of `<netinet6/nd6.h>`; until 9.
    pub const ND6_IFF_ACCEPT_RTADV: u32 = 0x02;
    /// `ND6_IFF_AUTO_LINKLOCAL` of `<netinet6/nd6.h>`.
    pub const ND6_IFF_AUTO_LINKLOCAL: u32 = 0x20;
    /// `ND6_IFF_OVERRIDE_RTADV` of `<netinet6/nd6.h>`; until 9.
    pub const ND6_IFF_OVERRIDE_RTADV: u32 = 0x10;
}

/// What not every supported NetBSD has.
pub mod later {
    /// `struct ifa_msghdr` of `<net/if.h>`; since 8.
    #[repr(C, align(8))]
    #[derive(Debug, Clone, Copy)]
    pub struct ifa_msghdr {
        pub ifam_msglen: u16,
        pub ifam_version: u8,
        pub ifam_type: u8,
        pub ifam_index: u16,
        pub ifam_flags: i32,
        pub ifam_addrs: i32,
        pub ifam_pid: i32,
        pub ifam_addrflags: i32,
        pub ifam_metric: i32,
    }

    /// `RTM_NEWADDR` of `<net/route.h>`; since 8.
    pub const RTM_NEWADDR: u8 = 0x16;
    /// `RTM_DELADDR` of `<net/route.h>`; since 8.
    pub const RTM_DELADDR: u8 = 0x17;

    /// `EVFILT_USER` of `<sys/event.h>`; since 10.0, and by a component of ours.
    pub const EVFILT_USER: u32 = 8;
    /// `NOTE_TRIGGER` of `<sys/event.h>`; as `EVFILT_USER`.
    pub const NOTE_TRIGGER: u32 = 0x0100_0000;
}
