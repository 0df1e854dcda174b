//! Answers of a build without a kernel.

use crate::{abi, syscalls};
use core::ffi::c_int;

/// What a system call returns when there is no kernel: -1, with `ENOSYS` as its error.
pub(crate) fn no_kernel() -> c_int {
    syscalls::set_errno(abi::ENOSYS);
    -1
}
