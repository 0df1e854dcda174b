//! Files and mounts, of which this kernel has none: each call says so.
#![allow(missing_docs)]

use super::call;
use core::ffi::{c_char, c_int, c_uint, c_void};
use rump_abi::fs::{stat as stat_t, statvfs};
use rump_abi::timespec;
use rump_hyper::errno::Errno;

macro_rules! lacking {
    ($($call:literal fn $name:ident($($type:ty),*) -> $result:ty;)*) => {
        $(
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($(_: $type),*) -> $result {
                call(|kernel, _| -> Result<$result, _> {
                    Err(kernel.lacks(format_args!("files ({}(2))", $call), Errno::NOSYS))
                })
            }
        )*
    };
}

lacking! {
    "chmod" fn rump___sysimpl_chmod(*const c_char, c_uint) -> c_int;
    "chown" fn rump___sysimpl_chown(*const c_char, c_uint, c_uint) -> c_int;
    "fchmod" fn rump___sysimpl_fchmod(c_int, c_uint) -> c_int;
    "fdiscard" fn rump___sysimpl_fdiscard(c_int, i64, i64) -> c_int;
    "fstat" fn rump___sysimpl_fstat(c_int, *mut stat_t) -> c_int;
    "fsync" fn rump___sysimpl_fsync(c_int) -> c_int;
    "fsync_range" fn rump___sysimpl_fsync_range(c_int, c_int, i64, i64) -> c_int;
    "ftruncate" fn rump___sysimpl_ftruncate(c_int, i64) -> c_int;
    "futimens" fn rump___sysimpl_futimens(c_int, *const timespec) -> c_int;
    "getdents" fn rump___sysimpl_getdents(c_int, *mut c_char, usize) -> c_int;
    "lchown" fn rump___sysimpl_lchown(*const c_char, c_uint, c_uint) -> c_int;
    "link" fn rump___sysimpl_link(*const c_char, *const c_char) -> c_int;
    "lseek" fn rump___sysimpl_lseek(c_int, i64, c_int) -> isize;
    "lstat" fn rump___sysimpl_lstat(*const c_char, *mut stat_t) -> c_int;
    "mkdir" fn rump___sysimpl_mkdir(*const c_char, c_uint) -> c_int;
    "mount" fn rump___sysimpl_mount(*const c_char, *const c_char, c_int, *mut c_void, usize) -> c_int;
    "pread" fn rump___sysimpl_pread(c_int, *mut c_void, usize, i64) -> isize;
    "pwrite" fn rump___sysimpl_pwrite(c_int, *const c_void, usize, i64) -> isize;
    "readlink" fn rump___sysimpl_readlink(*const c_char, *mut c_char, usize) -> isize;
    "rename" fn rump___sysimpl_rename(*const c_char, *const c_char) -> c_int;
    "rmdir" fn rump___sysimpl_rmdir(*const c_char) -> c_int;
    "stat" fn rump___sysimpl_stat(*const c_char, *mut stat_t) -> c_int;
    "statvfs1" fn rump___sysimpl_statvfs1(*const c_char, *mut statvfs, c_int) -> c_int;
    "symlink" fn rump___sysimpl_symlink(*const c_char, *const c_char) -> c_int;
    "unlink" fn rump___sysimpl_unlink(*const c_char) -> c_int;
    "unmount" fn rump___sysimpl_unmount(*const c_char, c_int) -> c_int;
    "utimensat" fn rump___sysimpl_utimensat(c_int, *const c_char, *const timespec, c_int) -> c_int;
}
