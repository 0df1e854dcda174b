//! The system calls, by the symbols that `rump-sys` links.
//!
//! Each function reads its arguments from the caller's memory, runs the call on the
//! thread's lwp, and follows C's convention: the result, or -1 and an error number that
//! the host keeps for the thread.
//!
//! # Safety
//! All of them trust their caller as the section 2 manual pages do: a pointer is null
//! where that is allowed, or valid for what the page says is read or written. That is
//! what each `unsafe` in here refers to.
#![allow(unsafe_code, clippy::missing_safety_doc)]

pub(crate) mod descriptor;
pub(crate) mod event;
pub(crate) mod files;
pub(crate) mod socket;

use crate::hypercall;
use crate::kernel::Guard;
use crate::lwp::{self, Lwp};
use rump_hyper::errno::Errno;

/// What a system call returns in C.
trait Return {
    const FAILED: Self;
}

impl Return for i32 {
    const FAILED: Self = -1;
}

impl Return for isize {
    const FAILED: Self = -1;
}

/// Runs a call on the thread's lwp.
#[inline]
fn call<R: Return>(call: impl FnOnce(&mut Guard, &Lwp) -> Result<R, Errno>) -> R {
    match lwp::enter(call) {
        Ok(result) => {
            hypercall::set_errno(0);
            result
        }
        Err(errno) => {
            lwp::note_failure();
            hypercall::set_errno(errno.0);
            R::FAILED
        }
    }
}
