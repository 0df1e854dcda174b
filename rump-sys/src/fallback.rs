//! Answers of a build without a kernel.

use crate::abi;
use crate::hyper::host::Host;
use crate::hyper::linux::LinuxHost;
use core::ffi::c_int;

/// What a system call returns when there is no kernel: -1, with `ENOSYS` as its error.
pub(crate) fn no_kernel() -> c_int {
    <LinuxHost as Host>::set_errno(abi::ENOSYS);
    -1
}
