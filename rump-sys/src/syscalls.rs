//! The system calls, under their plain names.
//!
//! The symbol behind each name is the tree's (`socket` is `rump___sysimpl_socket30` in
//! the trees seen so far); the build script reads it from `rump_syscalls.h`. A call that
//! a tree does not have fails to compile here, by name.
//!
//! # Safety
//! All of them: the kernel must have been booted, the thread should have an lwp (one is
//! made for the call otherwise), and pointers must be valid for what the section 2
//! manual page says is read or written. They return -1 and leave NetBSD's number in
//! [`crate::hyper::errno()`].

use crate::abi::{iovec, kevent as kevent_t, msghdr, pollfd, rlimit, sockaddr, timespec};
use core::ffi::{c_char, c_int, c_uint, c_ulong, c_void};

include!(concat!(env!("OUT_DIR"), "/links.rs"));

macro_rules! syscalls {
    ($($(#[$meta:meta])* fn $name:ident = $link:ident($($arg:ident: $type:ty),* $(,)?) -> $result:ty;)*) => {$(
        with_link_name!($link =>
            #[doc = concat!("[`", stringify!($name), "(2)`](https://man.netbsd.org/", stringify!($name), ".2).")]
            $(#[$meta])*
            pub fn $name($($arg: $type),*) -> $result;
        );
    )*};
}

syscalls! {
    fn accept = accept(s: c_int, addr: *mut sockaddr, len: *mut c_uint) -> c_int;
    fn bind = bind(s: c_int, addr: *const sockaddr, len: c_uint) -> c_int;
    fn close = close(fd: c_int) -> c_int;
    fn connect = connect(s: c_int, addr: *const sockaddr, len: c_uint) -> c_int;
    fn dup = dup(fd: c_int) -> c_int;
    fn dup2 = dup2(from: c_int, to: c_int) -> c_int;
    fn fcntl = fcntl(fd: c_int, command: c_int, arg: *mut c_void) -> c_int;
    fn getpeername = getpeername(s: c_int, addr: *mut sockaddr, len: *mut c_uint) -> c_int;
    fn getpid = getpid() -> c_int;
    fn getsockname = getsockname(s: c_int, addr: *mut sockaddr, len: *mut c_uint) -> c_int;
    fn getsockopt = getsockopt(s: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut c_uint) -> c_int;
    fn ioctl = ioctl(fd: c_int, request: c_ulong, arg: *mut c_void) -> c_int;
    fn kevent = kevent(kq: c_int, changes: *const kevent_t, nchanges: usize, events: *mut kevent_t, nevents: usize, timeout: *const timespec) -> c_int;
    fn kqueue = kqueue() -> c_int;
    fn listen = listen(s: c_int, backlog: c_int) -> c_int;
    fn open = open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int;
    fn paccept = paccept(s: c_int, addr: *mut sockaddr, len: *mut c_uint, mask: *const c_void, flags: c_int) -> c_int;
    fn pipe2 = pipe2(fds: *mut c_int, flags: c_int) -> c_int;
    fn poll = poll(fds: *mut pollfd, nfds: c_uint, timeout: c_int) -> c_int;
    fn read = read(fd: c_int, buf: *mut c_void, len: usize) -> isize;
    fn readv = readv(fd: c_int, iov: *const iovec, count: c_int) -> isize;
    fn recvfrom = recvfrom(s: c_int, buf: *mut c_void, len: usize, flags: c_int, from: *mut sockaddr, fromlen: *mut c_uint) -> isize;
    fn recvmsg = recvmsg(s: c_int, msg: *mut msghdr, flags: c_int) -> isize;
    fn sendmsg = sendmsg(s: c_int, msg: *const msghdr, flags: c_int) -> isize;
    fn sendto = sendto(s: c_int, buf: *const c_void, len: usize, flags: c_int, to: *const sockaddr, tolen: c_uint) -> isize;
    fn setrlimit = setrlimit(resource: c_int, limit: *const rlimit) -> c_int;
    fn setsockopt = setsockopt(s: c_int, level: c_int, name: c_int, value: *const c_void, len: c_uint) -> c_int;
    fn shutdown = shutdown(s: c_int, how: c_int) -> c_int;
    fn socket = socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn write = write(fd: c_int, buf: *const c_void, len: usize) -> isize;
    fn writev = writev(fd: c_int, iov: *const iovec, count: c_int) -> isize;
    #[doc = "`sysctl(3)` as a system call."]
    fn sysctl = __sysctl(name: *const c_int, namelen: c_uint, old: *mut c_void, oldlen: *mut usize, new: *const c_void, newlen: usize) -> c_int;
}
