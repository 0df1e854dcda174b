//! `sysctl(3)` by number.
#![allow(unsafe_code)]

use super::call;
use rump_sys::syscalls;
use std::ffi::{c_int, c_uint, c_void};
use std::io;
use std::ptr::{null, null_mut};

/// Reads a string.
pub(crate) fn string(name: &[c_int]) -> io::Result<String> {
    let mut size = 0;
    // SAFETY: without a buffer only the size is written.
    unsafe { read(name, null_mut(), &mut size)? };
    let mut value = vec![0u8; size];
    // SAFETY: `value` has `size` bytes.
    unsafe { read(name, value.as_mut_ptr().cast(), &mut size)? };
    value.truncate(size);
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Reads an `int`.
pub(crate) fn integer(name: &[c_int]) -> io::Result<c_int> {
    let mut value: c_int = 0;
    // SAFETY: the buffer is the value, and the size its own.
    unsafe { read(name, (&raw mut value).cast(), &mut size_of::<c_int>())? };
    Ok(value)
}

/// Reads into `buffer`, and sets `size` to what there was to read.
///
/// # Safety
/// `size` bytes may be written to `buffer`, unless it is null.
unsafe fn read(name: &[c_int], buffer: *mut c_void, size: &mut usize) -> io::Result<()> {
    let length = c_uint::try_from(name.len()).map_err(io::Error::other)?;
    // SAFETY: the name is read for its length; the buffer by contract.
    call(|| unsafe { syscalls::sysctl(name.as_ptr(), length, buffer, size, null(), 0) })?;
    Ok(())
}
