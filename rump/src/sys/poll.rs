//! `poll(2)`.
#![allow(unsafe_code)]

use crate::poll::PollFd;
use crate::sys;
use rump_sys::{abi::pollfd, syscalls};
use std::ffi::{c_int, c_uint};
use std::io;
use std::mem::{align_of, size_of};

const _: () = assert!(size_of::<PollFd<'_>>() == size_of::<pollfd>());
const _: () = assert!(align_of::<PollFd<'_>>() == align_of::<pollfd>());

/// Waits for up to this many milliseconds, without end if negative; how many entries
/// have something to tell.
pub(crate) fn poll(entries: &mut [PollFd<'_>], milliseconds: c_int) -> io::Result<usize> {
    let count = c_uint::try_from(entries.len())
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let data: *mut pollfd = entries.as_mut_ptr().cast();
    // SAFETY: `PollFd` is a transparent `pollfd`, and the exclusive borrow covers `count`
    // of them; the descriptors are open as long as the entries borrow them.
    let ready = sys::call(|| unsafe { syscalls::poll(data, count, milliseconds) })?;
    Ok(ready as usize)
}
