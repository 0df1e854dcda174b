//! `sysctl(3)`, by number and by name.
#![allow(unsafe_code)]

use super::call;
use crate::error::Errno;
use rump_sys::abi::{CTL_QUERY, SYSCTL_VERSION, sysctlnode};
use rump_sys::syscalls;
use std::ffi::{c_int, c_uint};
use std::io;
use std::ptr::null_mut;

/// Reads a string.
pub(crate) fn string(name: &[c_int]) -> io::Result<String> {
    let length = c_uint::try_from(name.len()).map_err(io::Error::other)?;
    let mut size = 0;
    // SAFETY: the name is read for its length; without a buffer only the size is written.
    call(|| unsafe { syscalls::sysctl(name.as_ptr(), length, null_mut(), &raw mut size, null_mut(), 0) })?;
    let mut value = vec![0u8; size];
    // SAFETY: as before, and `size` bytes may be written to the buffer.
    call(|| unsafe {
        syscalls::sysctl(name.as_ptr(), length, value.as_mut_ptr().cast(), &raw mut size, null_mut(), 0)
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
        syscalls::sysctl(name.as_ptr(), length, (&raw mut value).cast(), &raw mut size, null_mut(), 0)
    })?;
    Ok(value)
}

/// Writes an `int`.
pub(crate) fn set_integer(name: &[c_int], value: c_int) -> io::Result<()> {
    let length = c_uint::try_from(name.len()).map_err(io::Error::other)?;
    // SAFETY: the name is read for its length, and the new value for the size of an int.
    call(|| unsafe {
        let new = (&raw const value).cast();
        syscalls::sysctl(name.as_ptr(), length, null_mut(), null_mut(), new, size_of::<c_int>())
    })?;
    Ok(())
}

/// The numbers of a name like "net.inet.tcp.iss_hash" (`sysctlnametomib(3)`).
///
/// # Errors
/// `ENOENT` if the kernel has no such node.
pub(crate) fn numbers(name: &str) -> io::Result<Vec<c_int>> {
    let mut numbers = Vec::new();
    for part in name.split('.') {
        let nodes = children(&numbers)?;
        let found = nodes.iter().find(|node| {
            let end = node.sysctl_name.iter().position(|byte| *byte == 0);
            &node.sysctl_name[..end.unwrap_or(node.sysctl_name.len())] == part.as_bytes()
        });
        numbers.push(found.ok_or(Errno::ENOENT)?.sysctl_num);
    }
    Ok(numbers)
}

/// The nodes below a node (`sysctl(9)`, `CTL_QUERY`).
fn children(parent: &[c_int]) -> io::Result<Vec<sysctlnode>> {
    let query = [parent, &[CTL_QUERY]].concat();
    let length = c_uint::try_from(query.len()).map_err(io::Error::other)?;
    let empty = sysctlnode {
        sysctl_flags: SYSCTL_VERSION,
        sysctl_num: 0,
        sysctl_name: [0; 32],
        sysctl_ver: 0,
        __rsvd: 0,
        sysctl_un: [0; 2],
        _sysctl_size: 0,
        _sysctl_func: 0,
        _sysctl_parent: 0,
        _sysctl_desc: 0,
    };
    let (new, node) = ((&raw const empty).cast(), size_of::<sysctlnode>());
    let mut size = 0;
    // SAFETY: query and node are read for their sizes; without a buffer only the size
    // is written.
    call(|| unsafe { syscalls::sysctl(query.as_ptr(), length, null_mut(), &raw mut size, new, node) })?;
    let mut nodes = vec![empty; size / node];
    size = nodes.len() * node;
    // SAFETY: as before, and `size` bytes may be written to `nodes`, whose type has no
    // invalid values.
    call(|| unsafe { syscalls::sysctl(query.as_ptr(), length, nodes.as_mut_ptr().cast(), &raw mut size, new, node) })?;
    nodes.truncate(size / node);
    Ok(nodes)
}
