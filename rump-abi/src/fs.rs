//! File systems' and disks' part of the ABI: `stat(2)`, `mount(2)` and its arguments,
//! `getdents(2)`, `dk(4)`.
//!
//! `rump-sys` proves it in kernels with the feature `fs`.

use crate::timespec;
use core::ffi::{c_char, c_int, c_uint, c_void};

constants! {
    "sys/fcntl.h" {
        O_APPEND: c_int = 0x0000_0008;
        O_SYNC: c_int = 0x0000_0080;
        O_DSYNC: c_int = 0x0001_0000;
        O_NOFOLLOW: c_int = 0x0000_0100;
        O_DIRECTORY: c_int = 0x0020_0000;
        AT_FDCWD: c_int = -100;
        AT_SYMLINK_NOFOLLOW: c_int = 0x200;
    }
    "sys/unistd.h" {
        FDATASYNC: c_int = 0x10;
        FFILESYNC: c_int = 0x20;
        FDISKSYNC: c_int = 0x40;
        SEEK_SET: c_int = 0;
        SEEK_CUR: c_int = 1;
        SEEK_END: c_int = 2;
    }
    "sys/stat.h" {
        S_IFMT: u32 = 0o170_000;
        S_IFIFO: u32 = 0o010_000;
        S_IFCHR: u32 = 0o020_000;
        S_IFDIR: u32 = 0o040_000;
        S_IFBLK: u32 = 0o060_000;
        S_IFREG: u32 = 0o100_000;
        S_IFLNK: u32 = 0o120_000;
        S_IFSOCK: u32 = 0o140_000;
        UTIME_OMIT: i64 = 0x3fff_fffe;
    }
    "sys/dirent.h" {
        DT_UNKNOWN: u8 = 0;
        DT_FIFO: u8 = 1;
        DT_CHR: u8 = 2;
        DT_DIR: u8 = 4;
        DT_BLK: u8 = 6;
        DT_REG: u8 = 8;
        DT_LNK: u8 = 10;
        DT_SOCK: u8 = 12;
        DT_WHT: u8 = 14;
    }
    "sys/statvfs.h" {
        ST_WAIT: c_int = 1;
    }
    "sys/mount.h" {
        MNT_RDONLY: c_int = 0x0000_0001;
        MNT_SYNCHRONOUS: c_int = 0x0000_0002;
        MNT_NOEXEC: c_int = 0x0000_0004;
        MNT_NOSUID: c_int = 0x0000_0008;
        MNT_NODEV: c_int = 0x0000_0010;
        MNT_ASYNC: c_int = 0x0000_0040;
        MNT_UPDATE: c_int = 0x0001_0000;
        MNT_RELATIME: c_int = 0x0002_0000;
        MNT_FORCE: c_int = 0x0008_0000;
        MNT_LOG: c_int = 0x0200_0000;
        MNT_NOATIME: c_int = 0x0400_0000;
        MNT_NODEVMTIME: c_int = 0x4000_0000;
    }
    "sys/dkio.h" {
        DIOCCACHESYNC: u64 = 0x8004_6476;
        DIOCGMEDIASIZE: u64 = 0x4008_6484;
        DIOCGSECTORSIZE: u64 = 0x4004_6485;
        DIOCAWEDGE: u64 = 0xc0d0_6479;
        DIOCDWEDGE: u64 = 0x80d0_647b;
        DIOCLWEDGES: u64 = 0xc018_647c;
        DIOCMWEDGES: u64 = 0x4004_6483;
        DIOCGWEDGEINFO: u64 = 0x40d0_647a;
    }
    "fs/msdosfs/msdosfsmount.h" {
        MSDOSFSMNT_SHORTNAME: c_int = 1;
        MSDOSFSMNT_LONGNAME: c_int = 2;
        MSDOSFSMNT_NOWIN95: c_int = 4;
        MSDOSFSMNT_VERSIONED: c_int = 16;
        MSDOSFSMNT_UTF8: c_int = 32;
        MSDOSFSMNT_VERSION: c_int = 3;
    }
    "fs/tmpfs/tmpfs_args.h" {
        TMPFS_ARGS_VERSION: c_int = 1;
    }
    "fs/cd9660/cd9660_mount.h" {
        ISOFSMNT_NORRIP: c_int = 1;
        ISOFSMNT_NOJOLIET: c_int = 8;
        ISOFSMNT_NOCASETRANS: c_int = 16;
    }
}

layouts! {
    "sys/stat.h" {
        struct stat {
            st_dev: u64,
            st_mode: u32,
            st_ino: u64,
            st_nlink: u32,
            st_uid: u32,
            st_gid: u32,
            st_rdev: u64,
            st_atim: timespec,
            st_mtim: timespec,
            st_ctim: timespec,
            st_birthtim: timespec,
            st_size: i64,
            st_blocks: i64,
            st_blksize: i32,
            st_flags: u32,
            st_gen: u32,
            st_spare: [u32; 2]
        }
    }
    "sys/dirent.h" {
        struct dirent { d_fileno: u64, d_reclen: u16, d_namlen: u16, d_type: u8, d_name: [u8; 512] }
    }
    "ufs/ufs/ufsmount.h" {
        struct ufs_args { fspec: *const c_char }
    }
    "fs/tmpfs/tmpfs_args.h" {
        struct tmpfs_args {
            ta_version: c_int,
            ta_nodes_max: u64,
            ta_size_max: i64,
            ta_root_uid: u32,
            ta_root_gid: u32,
            ta_root_mode: u32
        }
    }
    "fs/msdosfs/msdosfsmount.h" {
        struct msdosfs_args {
            fspec: *const c_char,
            _pad1: [u64; 16],
            uid: u32,
            gid: u32,
            mask: u32,
            flags: c_int,
            version: c_int,
            dirmask: u32,
            gmtoff: c_int
        }
    }
    "fs/cd9660/cd9660_mount.h" {
        struct iso_args { fspec: *const c_char, _pad1: [u64; 16], flags: c_int }
    }
    "sys/disk.h" {
        struct dkwedge_info {
            dkw_devname: [u8; 16],
            dkw_wname: [u8; 128],
            dkw_parent: [u8; 16],
            dkw_offset: i64,
            dkw_size: u64,
            dkw_ptype: [u8; 32]
        }
        struct dkwedge_list {
            dkwl_buf: *mut c_void,
            dkwl_bufsize: usize,
            dkwl_nwedges: c_uint,
            dkwl_ncopied: c_uint
        }
    }
}

/// What is read of `struct statvfs`, whose end later NetBSD changed: room for all of it, of
/// which the numbers have the same places in all versions ([`OFFSETS`]).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct statvfs {
    pub f_flag: u64,
    pub f_bsize: u64,
    pub f_frsize: u64,
    pub f_iosize: u64,
    pub f_blocks: u64,
    pub f_bfree: u64,
    pub f_bavail: u64,
    pub f_bresvd: u64,
    pub f_files: u64,
    pub f_ffree: u64,
    pub f_favail: u64,
    pub f_fresvd: u64,
    pub f_syncreads: u64,
    pub f_syncwrites: u64,
    pub f_asyncreads: u64,
    pub f_asyncwrites: u64,
    pub f_fsidx: [i32; 2],
    pub f_fsid: u64,
    pub f_namemax: u64,
    /// Of which the kernel writes less.
    pub rest: [u64; 600],
}

/// The places in `struct statvfs` that are relied upon.
pub const OFFSETS: &[(usize, &str, &str, &str)] = &[
    (
        core::mem::offset_of!(statvfs, f_flag),
        "sys/statvfs.h",
        "statvfs",
        "f_flag",
    ),
    (
        core::mem::offset_of!(statvfs, f_iosize),
        "sys/statvfs.h",
        "statvfs",
        "f_iosize",
    ),
    (
        core::mem::offset_of!(statvfs, f_favail),
        "sys/statvfs.h",
        "statvfs",
        "f_favail",
    ),
    (
        core::mem::offset_of!(statvfs, f_fsid),
        "sys/statvfs.h",
        "statvfs",
        "f_fsid",
    ),
    (
        core::mem::offset_of!(statvfs, f_namemax),
        "sys/statvfs.h",
        "statvfs",
        "f_namemax",
    ),
];
