//! `kqueue(2)`.
#![allow(unsafe_code)]

use crate::descriptor::{BorrowedDescriptor, OwnedDescriptor};
use crate::error::Errno;
use crate::sys;
use rump_sys::abi::{self, kevent, timespec};
use rump_sys::syscalls;
use std::ffi::c_long;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

// Of the kernels that have it; others do not know the number.
pub(crate) use rump_sys::abi::later::{EVFILT_USER, NOTE_TRIGGER};

/// `kqueue(2)`.
pub(crate) fn kqueue() -> io::Result<OwnedDescriptor> {
    // SAFETY: takes nothing.
    sys::call(|| unsafe { syscalls::kqueue() }).map(OwnedDescriptor::adopt)
}

/// `kevent(2)` with one change and no wait.
pub(crate) fn change(queue: BorrowedDescriptor<'_>, change: &kevent) -> io::Result<()> {
    // SAFETY: one change is read; there is room for no event, and none is written. The
    // kernel keeps `udata` without looking at it.
    sys::call(|| unsafe {
        syscalls::kevent(queue.as_raw(), change, 1, ptr::null_mut(), 0, ptr::null())
    })
    .map(drop)
}

/// `kevent(2)` that puts a filter in the place of what is registered under its number, or
/// adds it. The kernel itself would keep the old flags.
pub(crate) fn replace(queue: BorrowedDescriptor<'_>, filter: &kevent) -> io::Result<()> {
    // With receipts (`EV_ERROR` events that hold 0 if the change was made) the kernel
    // goes on after a deletion of nothing, and fetches no events.
    let changes = [
        kevent {
            flags: abi::EV_DELETE | abi::EV_RECEIPT,
            ..*filter
        },
        kevent {
            flags: filter.flags | abi::EV_ADD | abi::EV_RECEIPT,
            ..*filter
        },
    ];
    let mut receipts = changes;
    let now = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: two changes are read and two receipts written, to arrays of two; the timeout
    // is a local.
    let count = sys::call(|| unsafe {
        syscalls::kevent(
            queue.as_raw(),
            changes.as_ptr(),
            changes.len(),
            receipts.as_mut_ptr(),
            receipts.len(),
            &now,
        )
    })?;
    match receipts.get(1) {
        Some(receipt) if count == 2 => match i32::try_from(receipt.data) {
            Ok(0) => Ok(()),
            Ok(error) => Err(Errno::from_raw(error).into()),
            Err(_) => Err(io::ErrorKind::InvalidData.into()),
        },
        _ => Err(io::Error::other(
            "kevent(2) did not say what became of the change",
        )),
    }
}

/// `kevent(2)` without a change: waits until something has happened, and returns what, in
/// the front of `room`.
pub(crate) fn wait<'room>(
    queue: BorrowedDescriptor<'_>,
    room: &'room mut [MaybeUninit<kevent>],
    timeout: Option<Duration>,
) -> io::Result<&'room [kevent]> {
    let timeout = timeout.map(|timeout| timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: c_long::from(timeout.subsec_nanos()),
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let first = room.as_mut_ptr().cast();
    // SAFETY: up to `room.len()` events are written to the exclusive borrow, and the
    // timeout is null or read from a local that outlives the call.
    let count = sys::call(|| unsafe {
        syscalls::kevent(queue.as_raw(), ptr::null(), 0, first, room.len(), timeout)
    })?;
    let happened = ptr::from_ref(&room[..count as usize]) as *const [kevent];
    // SAFETY: the kernel wrote as many events as it returned, and the slicing has checked
    // that they fit; `MaybeUninit` has the layout of what is in it.
    Ok(unsafe { &*happened })
}
