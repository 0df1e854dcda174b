//! VLANs' part of the ABI: `vlan(4)`.
//!
//! `rump-sys` proves it in kernels that have the component vlan.

constants! {
    "sys/sockio.h" {
        SIOCSIFGENERIC: u64 = 0x8090_6939;
        SIOCGIFGENERIC: u64 = 0xc090_693a;
    }
    // What the next one needs to be read.
    "net/if.h" {}
    "net/if_ether.h" {}
    "net/if_vlanvar.h" {
        SIOCSETVLAN: u64 = SIOCSIFGENERIC;
        SIOCGETVLAN: u64 = SIOCGIFGENERIC;
    }
}

layouts! {
    "net/if_vlanvar.h" {
        struct vlanreq { vlr_parent: [u8; 16], vlr_tag: u16 }
    }
}
