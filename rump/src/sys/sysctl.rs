//! `sysctl(3)` by number.
#![allow(unsafe_code)]

use super::call;
use rump_sys::syscalls;
use std::ffi::{c_int, c_uint};
use std::io;
use std::ptr::null_mut;

/// Reads a string.
pub(crate) fn string(name: &[c_int]) -> io::Result<String> {
    let length = c_uint::try_from(name.len()).map_err(io::Error::other)?;
    let mut size = 0;
    // SAFETY: the name is read for its length; without a buffer only the size is written.
    call(|| unsafe {
        syscalls::sysctl(
            name.as_ptr(),
            length,
            null_mut(),
            &raw mut size,
            null_mut(),
            0,
        )
    })?;
    let mut value = vec![0u8; size];
    // SAFETY: as before, and `size` bytes may be written to the buffer.
    call(|| unsafe {
        syscalls::sysctl(
            name.as_ptr(),
            length,
            value.as_mut_ptr().cast(),
            &raw mut size,
            null_mut(),
            0,
        )
    })?;
    value.truncate(size);
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Reads an `int`.
pub(crate) fn integer(name: &[c_int]) -> io::Result<c_int> {
    let length = c_uint::try_from(name.len()).map_err(io::Error::other)?;
    let mut value: c_int = 0;
    let mut size = size_of::<c_int>();
    // SAFETY: the name is read for its length, and `size` bytes may be written to `value`.
    call(|| unsafe {
        syscalls::sysctl(
            name.as_ptr(),
            length,
            (&raw mut value).cast(),
            &raw mut size,
            null_mut(),
            0,
        )
    })?;
    Ok(value)
}
