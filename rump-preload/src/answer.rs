//! Who answers a call: the kernel, or Linux.
#![allow(unsafe_code)]
// Numbers of calls in patterns.
#![allow(non_upper_case_globals)]

use crate::dispatch::Passing;
use crate::inside::{Inside, is_inside};
use crate::{child, held, hidden, kernel, owned, signals};
use rump_linux::raw::errno::{EBADF, EINTR};
use rump_linux::raw::general::*;
use rump_linux::raw::net::{AF_INET, AF_INET6};
use rump_linux::{is_about_interfaces, tells_of_interfaces};
use std::arch::asm;

/// Calls that a handler ends in any case; signal(7). It ends those with a timeout, too,
/// which are not told from others here.
const NEVER_AGAIN: &[u32] = &[
    __NR_poll,
    __NR_ppoll,
    __NR_select,
    __NR_pselect6,
    __NR_epoll_wait,
    __NR_epoll_pwait,
    __NR_epoll_pwait2,
];

/// A call about one descriptor, the first argument.
pub(crate) fn about_descriptor(number: u32, arguments: [u64; 6]) -> i64 {
    let asks = number == __NR_ioctl && is_about_interfaces(arguments[1] as u32);
    if owned::contains(arguments[0] as i32) || asks && owned::any() && !kernel::is_child() {
        kernels(number, arguments)
    } else {
        linuxs(number, arguments)
    }
}

/// A call about descriptors that only the personality finds among the arguments.
pub(crate) fn about_some(number: u32, arguments: [u64; 6]) -> i64 {
    if owned::any() && !copies_of_linuxs(number, &arguments) {
        kernels(number, arguments)
    } else {
        linuxs(number, arguments)
    }
}

/// `close(2)`.
pub(crate) fn closes(number: u32, arguments: [u64; 6]) -> i64 {
    if hidden::contains(arguments[0] as i32) {
        return -i64::from(EBADF);
    }
    about_descriptor(number, arguments)
}

/// `close_range(2)`.
pub(crate) fn closes_range(number: u32, arguments: [u64; 6]) -> i64 {
    if is_inside() {
        return linuxs(number, arguments);
    }
    let [first, last, flags, ..] = arguments;
    let parts = hidden::around(first as u32, last as u32, flags as u32);
    let mut result = 0;
    for (first, last) in parts.into_iter().flatten() {
        result = about_some(number, [first.into(), last.into(), flags, 0, 0, 0]).min(result);
    }
    result
}

/// Whether it copies between descriptors that are both Linux's, and may wait there.
pub(crate) fn copies_of_linuxs(number: u32, arguments: &[u64; 6]) -> bool {
    let other = match number {
        __NR_sendfile => 1,
        __NR_splice => 2,
        _ => return false,
    };
    ![0, other]
        .iter()
        .any(|at| owned::contains(arguments[*at] as i32))
}

/// A call that makes a descriptor of the personality's own, to which sockets of the kernel's
/// may be added: the kernel has to run.
pub(crate) fn makes(number: u32, arguments: [u64; 6]) -> i64 {
    if is_inside() {
        linuxs(number, arguments)
    } else if kernel::is_child() {
        child::makes(number, arguments)
    } else {
        kernels(number, arguments)
    }
}

/// `socket(2)`.
pub(crate) fn makes_socket(number: u32, arguments: [u64; 6]) -> i64 {
    let [domain, _, protocol, ..] = arguments.map(|argument| argument as u32);
    let internet = [AF_INET, AF_INET6].contains(&domain);
    if internet || tells_of_interfaces(domain, protocol) && !kernel::is_child() {
        makes(number, arguments)
    } else {
        linuxs(number, arguments)
    }
}

fn kernels(number: u32, arguments: [u64; 6]) -> i64 {
    if is_inside() {
        return linuxs(number, arguments);
    }
    if kernel::is_child() {
        return child::call(number, arguments);
    }
    loop {
        let inside = Inside::enter();
        let result = kernel::process().call(number, arguments);
        let restarts = signals::take_restart();
        let interrupted = result == -i64::from(EINTR);
        if !interrupted {
            held::went_on();
        }
        // Handlers of what has come run here.
        drop(inside);
        if !(interrupted && restarts) || NEVER_AGAIN.contains(&number) {
            return result;
        }
    }
}

/// Makes a system call of Linux's: its result, or a negative errno.
pub(crate) fn linuxs(number: u32, [a, b, c, d, e, f]: [u64; 6]) -> i64 {
    let _passing = Passing::begin();
    let result;
    // SAFETY: the program asked for this call; Linux keeps all registers but these.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") i64::from(number) => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// What a function of the C library returns for it.
pub(crate) fn returned(result: i64) -> i64 {
    if !(-4095..0).contains(&result) {
        return result;
    }
    // SAFETY: the thread's own.
    unsafe { *libc::__errno_location() = -result as i32 };
    -1
}
