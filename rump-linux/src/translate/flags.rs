//! Flags of messages, and what `poll(2)` says.

use crate::errno::Errno;
use crate::raw::{general, net};
use rump_abi as abi;

/// `MSG_…` with a counterpart. That a call does not wait and raises no signal is seen to
/// elsewhere.
const MESSAGE: &[(u32, i32)] = &[
    (net::MSG_OOB, abi::MSG_OOB),
    (net::MSG_PEEK, abi::MSG_PEEK),
    (net::MSG_TRUNC, abi::MSG_TRUNC),
    (net::MSG_CTRUNC, abi::MSG_CTRUNC),
    (net::MSG_EOR, abi::MSG_EOR),
];

/// What a call to the kernel is told; it never waits.
pub(crate) fn send(flags: u32) -> Result<i32, Errno> {
    Ok(message(flags & net::MSG_OOB) | abi::MSG_DONTWAIT | abi::MSG_NOSIGNAL)
}

/// The same for receiving.
pub(crate) fn receive(flags: u32) -> Result<i32, Errno> {
    if flags & net::MSG_ERRQUEUE != 0 {
        // There is no queue of errors, so it is empty.
        return Err(Errno::EAGAIN);
    }
    Ok(message(flags & (net::MSG_OOB | net::MSG_PEEK)) | abi::MSG_DONTWAIT)
}

fn message(flags: u32) -> i32 {
    let set = MESSAGE.iter().filter(|(linux, _)| flags & linux != 0);
    set.fold(0, |sum, (_, netbsd)| sum | netbsd)
}

/// What the kernel says of a message that was received.
pub(crate) fn received(flags: i32) -> u32 {
    let set = MESSAGE.iter().filter(|(_, netbsd)| flags & netbsd != 0);
    set.fold(0, |sum, (linux, _)| sum | linux)
}

/// Events of Linux's `poll(2)`, for the kernel's.
pub(crate) fn wanted(events: u32) -> i16 {
    let mut wanted = 0;
    // An end shows as something to read.
    if events & (IN | RDHUP) != 0 {
        wanted |= abi::POLLIN;
    }
    if events & OUT != 0 {
        wanted |= abi::POLLOUT;
    }
    if events & general::POLLPRI != 0 {
        wanted |= abi::POLLPRI;
    }
    wanted
}

/// `POLLIN` and `POLLRDNORM`.
pub(crate) const IN: u32 = general::POLLIN | general::POLLRDNORM;
/// `POLLOUT` and `POLLWRNORM`.
pub(crate) const OUT: u32 = general::POLLOUT | general::POLLWRNORM;
/// The other side will send no more.
pub(crate) const RDHUP: u32 = general::POLLRDHUP;
/// What is told unasked.
pub(crate) const ALWAYS: u32 = general::POLLERR | general::POLLHUP;
