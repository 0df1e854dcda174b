//! The child of a fork(2), which has no kernel: its threads stayed in the parent.
//!
//! What has the number of a socket there is a placeholder of Linux's. The child can close it,
//! put a descriptor of its own in its place, and ask whether it is closed at execve(2), as
//! programs do on the way to that. Anything else is refused.
// Numbers of calls in patterns.
#![allow(non_upper_case_globals)]

use crate::answer::linuxs;
use crate::{kernel, owned};
use rump_linux::Errno;
use rump_linux::raw::general::*;

/// A call of the child's that may be about a descriptor of the kernel's.
pub(crate) fn call(number: u32, arguments: [u64; 6]) -> i64 {
    let owns = |at: usize| owned::contains(arguments[at] as i32);
    match number {
        __NR_close => {
            owned::remove(arguments[0] as i32);
            linuxs(number, arguments)
        }
        __NR_dup2 | __NR_dup3 if !owns(0) => {
            let result = linuxs(number, arguments);
            if result >= 0 {
                owned::remove(arguments[1] as i32);
            }
            result
        }
        __NR_close_range => {
            let result = linuxs(number, arguments);
            if result == 0 && arguments[2] == 0 {
                let last = (arguments[1] as u32).min(owned::LIMIT as u32);
                (arguments[0] as u32..=last).for_each(|fd| owned::remove(fd as i32));
            }
            result
        }
        __NR_fcntl if [F_GETFD, F_SETFD].contains(&(arguments[1] as u32)) => {
            linuxs(number, arguments)
        }
        // Whoever waits may do so for others.
        __NR_poll | __NR_ppoll | __NR_select | __NR_pselect6 => linuxs(number, arguments),
        _ => {
            kernel::tell_child();
            -i64::from(Errno::EIO.0)
        }
    }
}

/// A call that makes a descriptor: sockets are refused, the others are Linux's.
pub(crate) fn makes(number: u32, arguments: [u64; 6]) -> i64 {
    if number == __NR_socket {
        kernel::tell_child();
        return -i64::from(Errno::EIO.0);
    }
    linuxs(number, arguments)
}
