//! Every raw call of the crate, in safe functions.
//!
//! [`call`] is the only way into the kernel. It checks that there is one to call (one
//! thread-local flag tells in the usual case), and turns the C convention of -1 and an
//! error number into a `Result`.

#[cfg(feature = "fs")]
pub(crate) mod blkio;
#[cfg(feature = "bridge")]
pub(crate) mod bridge;
pub(crate) mod claims;
pub(crate) mod control;
pub(crate) mod descriptor;
#[cfg(feature = "fs")]
pub(crate) mod fault;
#[cfg(feature = "fs")]
pub(crate) mod file;
mod host;
pub(crate) mod interface;
pub(crate) mod kqueue;
#[cfg(feature = "npf")]
pub(crate) mod npf;
#[cfg(feature = "fs")]
pub(crate) mod offers;
pub(crate) mod pci;
pub(crate) mod poll;
pub(crate) mod socket;
pub(crate) mod sysctl;
pub(crate) mod upcall;
#[cfg(feature = "fs")]
pub(crate) mod vbd;
pub(crate) mod vif;
#[cfg(feature = "vlan")]
pub(crate) mod vlan;
#[cfg(feature = "server")]
pub(crate) mod xen;

use crate::error::{Errno, Lacking};
use crate::lwp;
use std::ffi::c_int;
use std::io;

/// What a system call returns: -1 stands for a failure.
pub(crate) trait Return: Copy {
    fn failed(self) -> bool;
}

impl Return for c_int {
    fn failed(self) -> bool {
        self == -1
    }
}

impl Return for isize {
    fn failed(self) -> bool {
        self == -1
    }
}

/// Makes a system call on this thread's lwp.
///
/// # Errors
/// [`kernel::Down`](crate::kernel::Down) if no kernel runs in this process; else the
/// call's own error.
#[inline]
pub(crate) fn call<R: Return>(call: impl FnOnce() -> R) -> io::Result<R> {
    lwp::enter()?;
    let result = call();
    if result.failed() {
        Err(failure())
    } else {
        Ok(result)
    }
}

/// Why this thread's last system call failed, with what the kernel lacks if that is why.
fn failure() -> io::Error {
    let errno = Errno::last();
    let mut what = [0; 128];
    let length = rump_sys::lite::lacked(&mut what);
    if length == 0 {
        return errno.into();
    }
    let what = String::from_utf8_lossy(&what[..length]);
    Lacking::new(what.into_owned(), errno).into()
}

/// The same, again as long as it is interrupted.
pub(crate) fn retry<R: Return>(mut once: impl FnMut() -> R) -> io::Result<R> {
    loop {
        match call(&mut once) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
