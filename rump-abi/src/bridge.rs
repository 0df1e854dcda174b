//! Bridges' part of the ABI: `bridge(4)`.
//!
//! `rump-sys` proves it in kernels that have the component bridge.

use core::ffi::c_void;

constants! {
    "sys/sockio.h" {
        SIOCSDRVSPEC: u64 = 0x8028_697b;
        SIOCGDRVSPEC: u64 = 0xc028_697b;
    }
    // What the next one needs to be read.
    "net/if.h" {}
    "net/if_ether.h" {}
    "net/if_bridgevar.h" {
        BRDGADD: u64 = 0;
        BRDGDEL: u64 = 1;
        BRDGGIFS: u64 = 25;
    }
}

layouts! {
    "net/if.h" {
        struct ifdrv { ifd_name: [u8; 16], ifd_cmd: u64, ifd_len: usize, ifd_data: *mut c_void }
    }
    "net/if_bridgevar.h" {
        struct ifbreq {
            ifbr_ifsname: [u8; 16],
            ifbr_ifsflags: u32,
            ifbr_state: u8,
            ifbr_priority: u8,
            ifbr_path_cost: u8,
            ifbr_portno: u8
        }
    }
}
