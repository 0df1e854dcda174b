//! `sysctl(3)` by number.
#![allow(unsafe_code)]

use super::call;
use crate::error::Errno;
use rump_sys::abi::{self, sysctlnode};
use rump_sys::syscalls;
use std::ffi::{c_int, c_uint, c_void};
use std::io;
use std::ptr::{null, null_mut};

/// How often a value that grows while it is read is read again.
const ATTEMPTS: usize = 8;

/// Reads a value of any size.
pub(crate) fn bytes(name: &[c_int]) -> io::Result<Vec<u8>> {
    read(name, &[])
}

/// Reads a string.
pub(crate) fn string(name: &[c_int]) -> io::Result<String> {
    let value = bytes(name)?;
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Reads an `int`.
pub(crate) fn integer(name: &[c_int]) -> io::Result<c_int> {
    let mut value: c_int = 0;
    let mut size = size_of::<c_int>();
    // SAFETY: the buffer is the value, and the size its own.
    unsafe { raw(name, (&raw mut value).cast(), &mut size, &[])? };
    Ok(value)
}

/// Sets a value.
pub(crate) fn set(name: &[c_int], value: &[u8]) -> io::Result<()> {
    let mut size = 0;
    // SAFETY: nothing is read.
    unsafe { raw(name, null_mut(), &mut size, value) }
}

/// The nodes below one.
pub(crate) fn children(name: &[c_int]) -> io::Result<Vec<sysctlnode>> {
    let query: Vec<c_int> = name.iter().copied().chain([abi::CTL_QUERY]).collect();
    // The version of the structure, and nothing else.
    let mut asked = [0; size_of::<sysctlnode>()];
    asked[..4].copy_from_slice(&abi::SYSCTL_VERSION.to_ne_bytes());
    let found = read(&query, &asked)?;
    let nodes = found.chunks_exact(size_of::<sysctlnode>());
    // SAFETY: so many bytes, and a node consists of integers.
    Ok(nodes
        .map(|node| unsafe { node.as_ptr().cast::<sysctlnode>().read_unaligned() })
        .collect())
}

/// Reads all there is, while `new` is handed in.
fn read(name: &[c_int], new: &[u8]) -> io::Result<Vec<u8>> {
    for _ in 0..ATTEMPTS {
        let mut size = 0;
        // SAFETY: without a buffer only the size is written.
        unsafe { raw(name, null_mut(), &mut size, new)? };
        let mut value = vec![0u8; size];
        // SAFETY: `value` has `size` bytes.
        match unsafe { raw(name, value.as_mut_ptr().cast(), &mut size, new) } {
            // It has grown.
            Err(error) if Errno::of(&error) == Some(Errno::ENOMEM) => {}
            result => {
                result?;
                value.truncate(size);
                return Ok(value);
            }
        }
    }
    Err(Errno::ENOMEM.into())
}

/// Reads into `buffer`, and sets `size` to what there was to read.
///
/// # Safety
/// `size` bytes may be written to `buffer`, unless it is null.
unsafe fn raw(name: &[c_int], buffer: *mut c_void, size: &mut usize, new: &[u8]) -> io::Result<()> {
    let length = c_uint::try_from(name.len()).map_err(io::Error::other)?;
    let from = if new.is_empty() {
        null()
    } else {
        new.as_ptr().cast()
    };
    // SAFETY: name and new value are read for their lengths; the buffer by contract.
    call(|| unsafe { syscalls::sysctl(name.as_ptr(), length, buffer, size, from, new.len()) })?;
    Ok(())
}
