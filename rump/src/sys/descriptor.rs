//! Descriptors: `close(2)`, `fcntl(2)`, `pipe2(2)`, `read(2)`, `write(2)`.
#![allow(unsafe_code)]

use super::call;
use crate::descriptor::{AsDescriptor, OwnedDescriptor, RawDescriptor};
use crate::kernel;
use rump_sys::{abi, syscalls};
use std::io;
use std::ptr::without_provenance_mut;

/// Closes, also in a kernel that was shut down. There is nobody to tell of a failure.
pub(crate) fn close(descriptor: RawDescriptor) {
    if kernel::can_close() {
        // SAFETY: the owner gives the number up; the kernel checks it.
        unsafe { syscalls::close(descriptor) };
    }
}

/// Closes all that this thread's process has open.
///
/// Not with `F_CLOSEM`, which goes round and round, on a CPU of the kernel's, while another
/// thread waits in accept(2): that holds a number for what it will accept.
#[cfg(feature = "remote")]
pub(crate) fn close_all() {
    all().for_each(close);
}

/// Closes those of the process that a program that it executes does not get.
#[cfg(feature = "remote")]
pub(crate) fn close_at_exec() {
    let closes = |fd: &RawDescriptor| control(*fd, abi::F_GETFD, 0).is_ok_and(|on| on != 0);
    all().filter(closes).for_each(close);
}

/// The numbers that descriptors of the process may have.
#[cfg(feature = "remote")]
fn all() -> std::ops::RangeInclusive<RawDescriptor> {
    // It fails if there is none.
    0..=control(0, abi::F_MAXFD, 0).unwrap_or(-1)
}

/// A second descriptor for the same object.
pub(crate) fn duplicate(descriptor: RawDescriptor) -> io::Result<OwnedDescriptor> {
    control(descriptor, abi::F_DUPFD_CLOEXEC, 0).map(OwnedDescriptor::adopt)
}

/// A command of `fcntl(2)` that takes a number.
pub(crate) fn control(descriptor: RawDescriptor, command: i32, argument: usize) -> io::Result<i32> {
    // SAFETY: the commands that are used here take their argument as a number, in the
    // place of a pointer.
    call(|| unsafe { syscalls::fcntl(descriptor, command, without_provenance_mut(argument)) })
}

/// A pipe in nonblocking mode: the end to read from, and the one to write to.
pub(crate) fn pipe() -> io::Result<(OwnedDescriptor, OwnedDescriptor)> {
    let mut ends = [0; 2];
    let flags = abi::O_NONBLOCK | abi::O_CLOEXEC;
    // SAFETY: two numbers are written.
    call(|| unsafe { syscalls::pipe2(ends.as_mut_ptr(), flags) })?;
    let [read, write] = ends.map(OwnedDescriptor::adopt);
    Ok((read, write))
}

/// Reads what is there.
pub(crate) fn read(from: &OwnedDescriptor, buffer: &mut [u8]) -> io::Result<usize> {
    let fd = from.as_descriptor().as_raw();
    // SAFETY: the buffer can be written for its length.
    call(|| unsafe { syscalls::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) })
        .map(|length| length.unsigned_abs())
}

/// Writes what there is room for.
pub(crate) fn write(to: &OwnedDescriptor, bytes: &[u8]) -> io::Result<usize> {
    let fd = to.as_descriptor().as_raw();
    // SAFETY: the bytes can be read for their length.
    call(|| unsafe { syscalls::write(fd, bytes.as_ptr().cast(), bytes.len()) })
        .map(|length| length.unsigned_abs())
}

/// Sets how many descriptors this thread's process may have (`setrlimit(2)`).
pub(crate) fn set_limit(count: u32) -> io::Result<()> {
    let limit = abi::rlimit {
        rlim_cur: count.into(),
        rlim_max: count.into(),
    };
    // SAFETY: the limit is read during the call.
    call(|| unsafe { syscalls::setrlimit(abi::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(())
}
