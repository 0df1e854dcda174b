//! The functions of the C library that this library stands in front of.
//!
//! Most hand their arguments on as they are: a system call's registers have the order of a
//! function's, and Linux looks only at the part of each that the type has. The others say
//! what they change.
#![allow(unsafe_code)]

use crate::answer::{
    about_descriptor, about_some, closes, closes_range, linuxs, makes, makes_socket, returned,
};
use crate::exec;
use rump_linux::raw::general::*;
use rump_linux::table;

/// Calls that make a descriptor of the personality's own.
const MAKERS: &[u32] = &[
    __NR_epoll_create,
    __NR_epoll_create1,
    __NR_eventfd,
    __NR_eventfd2,
    __NR_timerfd_create,
];

/// The size of the kernel's `sigset_t`, which some system calls are told.
const SET: u64 = 8;

/// The arguments of a system call: those given, and zeros.
macro_rules! arguments {
    ($($argument:expr),*) => {{
        let given = [$($argument),*];
        let mut all = [0; 6];
        all[..given.len()].copy_from_slice(&given);
        all
    }};
}

/// Functions, with the call that each is and its arguments there.
macro_rules! functions {
    ($who:ident: $(
        $name:ident($($parameter:ident),*) = $number:ident($($argument:expr),*);
    )*) => {$(
        /// The C library's.
        ///
        /// # Safety
        /// As the C library's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($parameter: u64),*) -> i64 {
            returned($who($number, arguments!($($argument),*)))
        }
    )*};
}

functions! {
    makes_socket:
        socket(domain, kind, protocol) = __NR_socket(domain, kind, protocol);
}

functions! {
    about_descriptor:
        bind(fd, name, length) = __NR_bind(fd, name, length);
        listen(fd, backlog) = __NR_listen(fd, backlog);
        accept(fd, name, length) = __NR_accept(fd, name, length);
        accept4(fd, name, length, flags) = __NR_accept4(fd, name, length, flags);
        connect(fd, name, length) = __NR_connect(fd, name, length);
        shutdown(fd, how) = __NR_shutdown(fd, how);
        getsockname(fd, name, length) = __NR_getsockname(fd, name, length);
        getpeername(fd, name, length) = __NR_getpeername(fd, name, length);
        setsockopt(fd, level, option, value, length)
            = __NR_setsockopt(fd, level, option, value, length);
        getsockopt(fd, level, option, value, length)
            = __NR_getsockopt(fd, level, option, value, length);
        send(fd, data, length, flags) = __NR_sendto(fd, data, length, flags, 0, 0);
        sendto(fd, data, length, flags, name, size)
            = __NR_sendto(fd, data, length, flags, name, size);
        recv(fd, data, length, flags) = __NR_recvfrom(fd, data, length, flags, 0, 0);
        recvfrom(fd, data, length, flags, name, size)
            = __NR_recvfrom(fd, data, length, flags, name, size);
        __recv_chk(fd, data, length, _room, flags)
            = __NR_recvfrom(fd, data, length, flags, 0, 0);
        __recvfrom_chk(fd, data, length, _room, flags, name, size)
            = __NR_recvfrom(fd, data, length, flags, name, size);
        sendmsg(fd, message, flags) = __NR_sendmsg(fd, message, flags);
        recvmsg(fd, message, flags) = __NR_recvmsg(fd, message, flags);
        sendmmsg(fd, messages, count, flags) = __NR_sendmmsg(fd, messages, count, flags);
        recvmmsg(fd, messages, count, flags, timeout)
            = __NR_recvmmsg(fd, messages, count, flags, timeout);
        read(fd, data, length) = __NR_read(fd, data, length);
        __read_chk(fd, data, length, _room) = __NR_read(fd, data, length);
        write(fd, data, length) = __NR_write(fd, data, length);
        readv(fd, vectors, count) = __NR_readv(fd, vectors, count);
        writev(fd, vectors, count) = __NR_writev(fd, vectors, count);
        dup(fd) = __NR_dup(fd);
        fcntl(fd, command, argument) = __NR_fcntl(fd, command, argument);
        fcntl64(fd, command, argument) = __NR_fcntl(fd, command, argument);
        ioctl(fd, request, argument) = __NR_ioctl(fd, request, argument);
        epoll_ctl(fd, operation, other, event) = __NR_epoll_ctl(fd, operation, other, event);
        epoll_wait(fd, events, count, timeout) = __NR_epoll_wait(fd, events, count, timeout);
        epoll_pwait(fd, events, count, timeout, mask)
            = __NR_epoll_pwait(fd, events, count, timeout, mask, SET);
        epoll_pwait2(fd, events, count, timeout, mask)
            = __NR_epoll_pwait2(fd, events, count, timeout, mask, SET);
        timerfd_settime(fd, flags, new, old) = __NR_timerfd_settime(fd, flags, new, old);
        timerfd_gettime(fd, now) = __NR_timerfd_gettime(fd, now);
}

functions! {
    closes:
        close(fd) = __NR_close(fd);
}

functions! {
    closes_range:
        close_range(first, last, flags) = __NR_close_range(first, last, flags);
}

functions! {
    makes:
        epoll_create(size) = __NR_epoll_create(size);
        epoll_create1(flags) = __NR_epoll_create1(flags);
        eventfd(count, flags) = __NR_eventfd2(count, flags);
        timerfd_create(clock, flags) = __NR_timerfd_create(clock, flags);
}

functions! {
    about_some:
        dup2(old, new) = __NR_dup2(old, new);
        dup3(old, new, flags) = __NR_dup3(old, new, flags);
        sendfile(to, from, offset, length) = __NR_sendfile(to, from, offset, length);
        sendfile64(to, from, offset, length) = __NR_sendfile(to, from, offset, length);
        splice(from, skip, to, seek, length, flags)
            = __NR_splice(from, skip, to, seek, length, flags);
        poll(fds, count, timeout) = __NR_poll(fds, count, timeout);
        __poll_chk(fds, count, timeout, _room) = __NR_poll(fds, count, timeout);
        select(count, read, write, except, timeout)
            = __NR_select(count, read, write, except, timeout);
}

/// What system calls write the time that is left to, and functions do not.
fn copied(timeout: u64) -> Option<__kernel_timespec> {
    let timeout = std::ptr::with_exposed_provenance::<__kernel_timespec>(timeout as usize);
    // SAFETY: null, or the caller's, as the C library has it.
    unsafe { timeout.as_ref() }.copied()
}

fn address<T>(value: Option<&T>) -> u64 {
    value.map_or(0, |value| (&raw const *value).expose_provenance() as u64)
}

/// ppoll(2), whose timeout stays as it is.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ppoll(fds: u64, count: u64, timeout: u64, mask: u64) -> i64 {
    let timeout = copied(timeout);
    let timeout = address(timeout.as_ref());
    returned(about_some(
        __NR_ppoll,
        arguments!(fds, count, timeout, mask, SET),
    ))
}

/// The checked form of [`ppoll`].
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __ppoll_chk(
    fds: u64,
    count: u64,
    timeout: u64,
    mask: u64,
    _room: u64,
) -> i64 {
    // SAFETY: by contract.
    unsafe { ppoll(fds, count, timeout, mask) }
}

/// pselect(2), whose timeout stays as it is, and whose mask is told with its size.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pselect(
    count: u64,
    read: u64,
    write: u64,
    except: u64,
    timeout: u64,
    mask: u64,
) -> i64 {
    let timeout = copied(timeout);
    let mask = [mask, SET];
    returned(about_some(
        __NR_pselect6,
        [
            count,
            read,
            write,
            except,
            address(timeout.as_ref()),
            address(Some(&mask)),
        ],
    ))
}

/// eventfd_read(3), which is read(2).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eventfd_read(fd: u64, value: u64) -> i64 {
    let length = returned(about_descriptor(__NR_read, arguments!(fd, value, 8)));
    if length == 8 { 0 } else { -1 }
}

/// eventfd_write(3), which is write(2).
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn eventfd_write(fd: u64, value: u64) -> i64 {
    let value = address(Some(&value));
    let length = returned(about_descriptor(__NR_write, arguments!(fd, value, 8)));
    if length == 8 { 0 } else { -1 }
}

/// closefrom(3), which closes whatever there is.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn closefrom(first: i32) {
    let first = first.max(0) as u64;
    let all = arguments!(first, u64::from(u32::MAX), 0);
    closes_range(__NR_close_range, all);
}

/// vfork(2), whose child could otherwise close its parent's sockets.
///
/// # Safety
/// As fork(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vfork() -> libc::pid_t {
    // SAFETY: by contract. A child with memory of its own is one of those that there may be.
    unsafe { libc::fork() }
}

/// syscall(2): any of them, by number.
///
/// # Safety
/// As the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: u64,
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
    f: u64,
) -> i64 {
    returned(call(number as u32, [a, b, c, d, e, f]))
}

/// Any system call: its result, or a negative errno.
pub(crate) fn call(number: u32, arguments: [u64; 6]) -> i64 {
    // The kernel's host sleeps and wakes by it.
    if number == __NR_futex {
        return linuxs(number, arguments);
    }
    match table::find(number) {
        None if number == __NR_execve => exec::call(arguments),
        None => linuxs(number, arguments),
        Some(_) if number == __NR_close => closes(number, arguments),
        Some(_) if number == __NR_close_range => closes_range(number, arguments),
        Some(row) if row.descriptor.is_some() => about_descriptor(number, arguments),
        Some(_) if number == __NR_socket => makes_socket(number, arguments),
        Some(_) if MAKERS.contains(&number) => makes(number, arguments),
        Some(_) => about_some(number, arguments),
    }
}
