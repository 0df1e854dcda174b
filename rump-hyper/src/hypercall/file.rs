//! Files of the host, and block I/O on them.
//!
//! All that may block is wrapped, except the look at a path, which the kernel
//! also takes where it must not lose its virtual CPU.

use crate::abi::{self, BioDone, Iovec};
use crate::bio::{self, Request};
use crate::errno::{Errno, status};
use crate::host::{Host, OpenMode};
use crate::upcall;
use core::ffi::{c_char, c_int, c_void};

/// `rumpuser_getfileinfo`
pub unsafe fn getfileinfo<H: Host>(
    path: *const c_char,
    size: *mut u64,
    file_type: *mut c_int,
) -> c_int {
    // SAFETY: a C string, by the module's contract.
    let path = unsafe { super::text(path) };
    status(H::file_info(path, !size.is_null()).map(|(bytes, kind)| {
        // SAFETY: places for the answers, or null, by the module's contract.
        unsafe {
            if let Some(size) = size.as_mut() {
                *size = bytes;
            }
            if let Some(file_type) = file_type.as_mut() {
                *file_type = kind as c_int;
            }
        }
    }))
}

fn open_mode(flags: c_int) -> Result<OpenMode, Errno> {
    let access = flags & abi::open::ACCMODE;
    if access == abi::open::ACCMODE {
        return Err(Errno::INVAL);
    }
    Ok(OpenMode {
        read: access != abi::open::WRONLY,
        write: access == abi::open::WRONLY || access == abi::open::RDWR,
        create: flags & abi::open::CREATE != 0,
        exclusive: flags & abi::open::EXCL != 0,
    })
}

/// `rumpuser_open`
pub unsafe fn open<H: Host>(path: *const c_char, flags: c_int, fd: *mut c_int) -> c_int {
    // SAFETY: a C string, by the module's contract.
    let path = unsafe { super::text(path) };
    let opened = open_mode(flags).and_then(|mode| upcall::wrap::<H, _>(|| H::open(path, mode)));
    status(opened.map(|opened| {
        // SAFETY: a place for the descriptor, by the module's contract.
        unsafe { fd.write(opened) };
    }))
}

/// `rumpuser_close`
pub unsafe fn close<H: Host>(fd: c_int) -> c_int {
    upcall::wrap::<H, _>(|| H::close(fd));
    0
}

fn position(offset: i64) -> Option<i64> {
    (offset != abi::IOV_NOSEEK).then_some(offset)
}

/// `rumpuser_iovread`
pub unsafe fn iovread<H: Host>(
    fd: c_int,
    vectors: *const Iovec,
    count: usize,
    offset: i64,
    moved: *mut usize,
) -> c_int {
    // SAFETY: vectors of writable memory, by the module's contract.
    let result = unsafe {
        let vectors = core::slice::from_raw_parts(vectors, count);
        upcall::wrap::<H, _>(|| H::read(fd, vectors, position(offset)))
    };
    status(result.map(|bytes| {
        // SAFETY: a place for the count, by the module's contract.
        unsafe { moved.write(bytes) };
    }))
}

/// `rumpuser_iovwrite`
pub unsafe fn iovwrite<H: Host>(
    fd: c_int,
    vectors: *const Iovec,
    count: usize,
    offset: i64,
    moved: *mut usize,
) -> c_int {
    // SAFETY: vectors of readable memory, by the module's contract.
    let result = unsafe {
        let vectors = core::slice::from_raw_parts(vectors, count);
        upcall::wrap::<H, _>(|| H::write(fd, vectors, position(offset)))
    };
    status(result.map(|bytes| {
        // SAFETY: a place for the count, by the module's contract.
        unsafe { moved.write(bytes) };
    }))
}

/// `rumpuser_syncfd`: the whole file, whatever the range.
pub unsafe fn syncfd<H: Host>(fd: c_int, flags: c_int, _start: u64, _len: u64) -> c_int {
    if flags & (abi::syncfd::READ | abi::syncfd::WRITE) == 0 {
        return Errno::INVAL.0;
    }
    if flags & abi::syncfd::WRITE == 0 {
        return 0;
    }
    status(upcall::wrap::<H, _>(|| H::sync(fd)))
}

/// `rumpuser_bio`
pub unsafe fn bio<H: Host>(
    fd: c_int,
    op: c_int,
    data: *mut c_void,
    len: usize,
    offset: i64,
    done: BioDone,
    arg: *mut c_void,
) {
    // SAFETY: the buffer stays until `done` is called, by the module's contract.
    unsafe {
        bio::submit::<H>(Request {
            fd,
            op,
            data,
            len,
            offset,
            done,
            arg,
        });
    }
}
