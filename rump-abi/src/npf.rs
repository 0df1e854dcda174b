//! The packet filter's part of the ABI: npf(4), and the machine that its rules run on,
//! bpf(4).
//!
//! `rump-sys` proves it in kernels that have the component npf, in one of the versions
//! (`NPF_VERSION`) that are known. The requests that carry a configuration depend on the
//! version, and stand in [`nvlist`] and [`plist`].

use core::ffi::{c_int, c_void};

constants! {
    "net/bpf.h" {
        BPF_LD: u16 = 0x00;
        BPF_LDX: u16 = 0x01;
        BPF_ALU: u16 = 0x04;
        BPF_JMP: u16 = 0x05;
        BPF_RET: u16 = 0x06;
        BPF_MISC: u16 = 0x07;
        BPF_W: u16 = 0x00;
        BPF_H: u16 = 0x08;
        BPF_B: u16 = 0x10;
        BPF_IMM: u16 = 0x00;
        BPF_ABS: u16 = 0x20;
        BPF_IND: u16 = 0x40;
        BPF_MEM: u16 = 0x60;
        BPF_AND: u16 = 0x50;
        BPF_JEQ: u16 = 0x10;
        BPF_JGT: u16 = 0x20;
        BPF_JGE: u16 = 0x30;
        BPF_K: u16 = 0x00;
        BPF_COP: u16 = 0x20;
        BPF_MAXINSNS: usize = 512;
    }
    "net/npf/npf.h" {
        NPF_COP_TABLE: u32 = 1;
        BPF_MW_IPVER: u32 = 0;
        BPF_MW_L4OFF: u32 = 1;
        BPF_MW_L4PROTO: u32 = 2;
        NPF_RULE_PASS: u32 = 0x0000_0001;
        NPF_RULE_GROUP: u32 = 0x0000_0002;
        NPF_RULE_FINAL: u32 = 0x0000_0004;
        NPF_RULE_STATEFUL: u32 = 0x0000_0008;
        NPF_RULE_RETRST: u32 = 0x0000_0010;
        NPF_RULE_RETICMP: u32 = 0x0000_0020;
        NPF_RULE_IN: u32 = 0x1000_0000;
        NPF_RULE_OUT: u32 = 0x2000_0000;
        NPF_CODE_BPF: u32 = 2;
        NPF_TABLE_HASH: u32 = 1;
        NPF_TABLE_TREE: u32 = 2;
        NPF_TABLE_MAXNAMELEN: usize = 32;
        NPF_NO_NETMASK: u8 = 255;
        NPF_CMD_TABLE_LOOKUP: c_int = 1;
        NPF_CMD_TABLE_ADD: c_int = 2;
        NPF_CMD_TABLE_REMOVE: c_int = 3;
        NPF_CMD_TABLE_LIST: c_int = 4;
        NPF_CMD_TABLE_FLUSH: c_int = 5;
        IOC_NPF_VERSION: u64 = 0x4004_4e64;
        IOC_NPF_SWITCH: u64 = 0x8004_4e65;
        IOC_NPF_TABLE: u64 = 0x8028_4e67;
        IOC_NPF_STATS: u64 = 0x8008_4e68;
        NPF_STAT_PASS_DEFAULT: usize = 0;
        NPF_STAT_PASS_RULESET: usize = 1;
        NPF_STAT_PASS_CONN: usize = 2;
        NPF_STAT_BLOCK_DEFAULT: usize = 3;
        NPF_STAT_BLOCK_RULESET: usize = 4;
        NPF_STAT_CONN_CREATE: usize = 5;
        NPF_STAT_CONN_DESTROY: usize = 6;
        NPF_STAT_NAT_CREATE: usize = 7;
        NPF_STAT_NAT_DESTROY: usize = 8;
        NPF_STAT_INVALID_STATE: usize = 9;
        NPF_STAT_FRAGMENTS: usize = 15;
        NPF_STAT_REASSEMBLY: usize = 16;
        NPF_STAT_REASSFAIL: usize = 17;
        NPF_STAT_ERROR: usize = 18;
        NPF_STATS_COUNT: usize = 21;
    }
}

layouts! {
    "net/bpf.h" {
        struct bpf_insn { code: u16, jt: u8, jf: u8, k: u32 }
    }
    "net/npf/npf.h" {
        struct npf_ioctl_ent { alen: c_int, addr: [u32; 4], mask: u8 }
        struct npf_ioctl_buf { buf: *mut c_void, len: usize }
        struct npf_ioctl_table { nct_cmd: c_int, nct_name: *const u8, nct_data: npf_ioctl_data }
    }
}

/// What a command for a table is about: an entry, or room for several.
#[repr(C)]
#[derive(Clone, Copy)]
pub union npf_ioctl_data {
    pub ent: npf_ioctl_ent,
    pub buf: npf_ioctl_buf,
}

impl core::fmt::Debug for npf_ioctl_data {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Which of them it is is said by the command.
        f.write_str("npf_ioctl_data")
    }
}

/// Requests with an nvlist(9).
pub mod nvlist {
    use core::ffi::{c_int, c_void};

    /// `NPF_VERSION` of trees that have them; of NetBSD 8.99.25.
    pub const VERSION: c_int = 20;

    constants! {
        "external/bsd/libnv/dist/nv.h" {
            NV_TYPE_BOOL: u8 = 2;
            NV_TYPE_NUMBER: u8 = 3;
            NV_TYPE_STRING: u8 = 4;
            NV_TYPE_NVLIST: u8 = 5;
            NV_TYPE_BINARY: u8 = 7;
            NV_TYPE_BOOL_ARRAY: u8 = 8;
            NV_TYPE_NUMBER_ARRAY: u8 = 9;
            NV_TYPE_STRING_ARRAY: u8 = 10;
            NV_TYPE_NVLIST_ARRAY: u8 = 11;
            NV_NAME_MAX: usize = 2048;
            IOC_NPF_LOAD: u64 = 0xc018_4e66;
            IOC_NPF_SAVE: u64 = 0x4018_4e69;
        }
    }

    /// `nvlist_ref_t` of `<nv.h>`. Its size is proven, as a part of the requests.
    #[repr(C)]
    #[derive(Debug, Clone, Copy)]
    pub struct nvlist_ref {
        pub buf: *mut c_void,
        pub len: usize,
        pub flags: c_int,
    }
}

/// Requests with a property list, proplib(3).
pub mod plist {
    use core::ffi::{c_int, c_void};

    /// `NPF_VERSION` of trees that have them; of NetBSD 7.
    pub const VERSION: c_int = 17;

    constants! {
        "net/npf/npf.h" {
            IOC_NPF_LOAD: u64 = 0xc010_4e66;
            IOC_NPF_SAVE: u64 = 0x4010_4e69;
        }
    }

    layouts! {
        "prop/plistref.h" {
            struct plistref { pref_plist: *mut c_void, pref_len: usize }
        }
    }
}
