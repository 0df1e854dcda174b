//! The system calls, under their plain names.
//!
//! The symbol behind each name is the tree's (`socket` is `rump___sysimpl_socket30` in
//! the trees seen so far); the build script reads it from `rump_syscalls.h`. A call that
//! a tree does not have fails to compile here, by name.
//!
//! The calls go to the kernel of this process, or image, unless [`go_elsewhere`] named
//! another.
//!
//! # Safety
//! All of them: the kernel must have been booted, the thread should have an lwp (one is
//! made for the call otherwise), and pointers must be valid for what the section 2
//! manual page says is read or written. They return -1 and leave NetBSD's number in
//! [`errno()`].

use crate::abi::fs::{stat as stat_t, statvfs};
use crate::abi::{iovec, kevent as kevent_t, msghdr, pollfd, rlimit, sockaddr, timespec};
use core::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use core::ptr::{from_ref, null_mut, with_exposed_provenance, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicPtr, Ordering};

/// A kernel in another process that the system calls of this one go to.
pub trait Elsewhere: Sync {
    /// Makes the call with these arguments, as registers have them; pointers are exposed.
    /// A failure is -1, and its number is what [`set_errno`] was told.
    ///
    /// # Safety
    /// As the function of the call.
    unsafe fn call(&self, call: Call, arguments: &[u64]) -> i64;
}

static ELSEWHERE: AtomicPtr<&'static dyn Elsewhere> = AtomicPtr::new(null_mut());

/// Has all system calls go elsewhere from now on.
///
/// # Safety
/// Not in a process where a kernel was booted, or that makes a system call meanwhile.
pub unsafe fn go_elsewhere(kernel: &'static &'static dyn Elsewhere) {
    ELSEWHERE.store(from_ref(kernel).cast_mut(), Ordering::Release);
}

/// Whether system calls go elsewhere, where the kernel's other functions do not.
#[inline]
pub fn are_elsewhere() -> bool {
    elsewhere().is_some()
}

#[inline]
fn elsewhere() -> Option<&'static dyn Elsewhere> {
    let kernel = ELSEWHERE.load(Ordering::Acquire);
    // SAFETY: null, or from a reference that lives forever and is only read.
    unsafe { kernel.as_ref() }.copied()
}

// Of whoever exports the hypercalls: `rump-hyper` for a Linux process, or an image.
#[cfg(not(rump_kernel = "image"))]
unsafe extern "C" {
    safe fn rump_hyper_errno() -> c_int;
    safe fn rumpuser_seterrno(errno: c_int);
}
#[cfg(rump_kernel = "image")]
unsafe extern "C" {
    #[link_name = crate::gate::image_name!(rump_hyper_errno)]
    safe fn rump_hyper_errno() -> c_int;
    #[link_name = crate::gate::image_name!(rumpuser_seterrno)]
    safe fn rumpuser_seterrno(errno: c_int);
}

crate::gate::export! {
    rump_hyper_errno = rump_hyper_errno;
    rumpuser_seterrno = rumpuser_seterrno;
}

/// NetBSD's number for why this thread's last system call failed; 0 if it did not.
#[inline]
pub fn errno() -> c_int {
    rump_hyper_errno()
}

/// Sets what [`errno()`] tells this thread.
pub fn set_errno(errno: c_int) {
    rumpuser_seterrno(errno);
}

/// What is passed in a register: the C types of arguments and results.
trait Word {
    fn from_word(word: u64) -> Self;
    fn into_word(self) -> u64;
}

macro_rules! words {
    ($($type:ty),*) => {$(
        impl Word for $type {
            fn from_word(word: u64) -> Self {
                word as Self
            }
            fn into_word(self) -> u64 {
                self as u64
            }
        }
    )*};
}
words!(c_int, c_uint, c_ulong, i64, usize);

impl<T> Word for *const T {
    fn from_word(word: u64) -> Self {
        with_exposed_provenance(word as usize)
    }
    fn into_word(self) -> u64 {
        self.expose_provenance() as u64
    }
}

impl<T> Word for *mut T {
    fn from_word(word: u64) -> Self {
        with_exposed_provenance_mut(word as usize)
    }
    fn into_word(self) -> u64 {
        self.expose_provenance() as u64
    }
}

include!(concat!(env!("OUT_DIR"), "/links.rs"));

macro_rules! syscalls {
    ($($(#[$meta:meta])* fn $name:ident = $link:ident($($arg:ident: $type:ty),* $(,)?) -> $result:ty;)*) => {
        /// The kernel's own functions.
        mod symbols {
            use super::*;
            $(with_link_name!($link =>
                pub fn $name($($arg: $type),*) -> $result;
            );)*
        }
        crate::gate::export! { $($name = symbols::$name;)* }

        $(
            #[doc = concat!("[`", stringify!($name), "(2)`](https://man.netbsd.org/", stringify!($name), ".2).")]
            $(#[$meta])*
            ///
            /// # Safety
            /// See the module.
            #[inline]
            pub unsafe fn $name($($arg: $type),*) -> $result {
                match elsewhere() {
                    // SAFETY: the caller's.
                    None => unsafe { symbols::$name($($arg),*) },
                    // SAFETY: the caller's.
                    Some(kernel) => unsafe {
                        kernel.call(Call::$name, &[$($arg.into_word()),*]) as $result
                    },
                }
            }
        )*

        /// The system calls, by name.
        #[allow(non_camel_case_types, missing_docs)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Call {
            $($name),*
        }

        impl Call {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Makes the call in the kernel of this process, with arguments as registers
            /// have them; pointers must have been exposed.
            ///
            /// # Safety
            /// As the function's; there must be as many arguments as it has.
            pub unsafe fn make(self, arguments: &[u64]) -> i64 {
                let mut arguments = arguments.iter().copied();
                let mut next = || arguments.next().unwrap_or_default();
                match self {
                    $(Self::$name => {
                        $(let $arg = <$type>::from_word(next());)*
                        // SAFETY: the caller's.
                        unsafe { symbols::$name($($arg),*) as i64 }
                    })*
                }
            }
        }
    };
}

syscalls! {
    fn accept = accept(s: c_int, addr: *mut sockaddr, len: *mut c_uint) -> c_int;
    fn bind = bind(s: c_int, addr: *const sockaddr, len: c_uint) -> c_int;
    fn chmod = chmod(path: *const c_char, mode: c_uint) -> c_int;
    fn chown = chown(path: *const c_char, user: c_uint, group: c_uint) -> c_int;
    fn close = close(fd: c_int) -> c_int;
    fn connect = connect(s: c_int, addr: *const sockaddr, len: c_uint) -> c_int;
    fn dup = dup(fd: c_int) -> c_int;
    fn dup2 = dup2(from: c_int, to: c_int) -> c_int;
    fn fchmod = fchmod(fd: c_int, mode: c_uint) -> c_int;
    fn fcntl = fcntl(fd: c_int, command: c_int, arg: *mut c_void) -> c_int;
    fn fdiscard = fdiscard(fd: c_int, at: i64, len: i64) -> c_int;
    fn fstat = fstat(fd: c_int, to: *mut stat_t) -> c_int;
    fn fsync = fsync(fd: c_int) -> c_int;
    fn fsync_range = fsync_range(fd: c_int, how: c_int, at: i64, len: i64) -> c_int;
    fn ftruncate = ftruncate(fd: c_int, len: i64) -> c_int;
    fn futimens = futimens(fd: c_int, times: *const timespec) -> c_int;
    fn getdents = getdents(fd: c_int, buf: *mut c_char, len: usize) -> c_int;
    fn getpeername = getpeername(s: c_int, addr: *mut sockaddr, len: *mut c_uint) -> c_int;
    fn getpid = getpid() -> c_int;
    fn getsockname = getsockname(s: c_int, addr: *mut sockaddr, len: *mut c_uint) -> c_int;
    fn getsockopt = getsockopt(s: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut c_uint) -> c_int;
    fn ioctl = ioctl(fd: c_int, request: c_ulong, arg: *mut c_void) -> c_int;
    fn kevent = kevent(kq: c_int, changes: *const kevent_t, nchanges: usize, events: *mut kevent_t, nevents: usize, timeout: *const timespec) -> c_int;
    fn kqueue = kqueue() -> c_int;
    fn lchown = lchown(path: *const c_char, user: c_uint, group: c_uint) -> c_int;
    fn link = link(from: *const c_char, to: *const c_char) -> c_int;
    fn listen = listen(s: c_int, backlog: c_int) -> c_int;
    fn lseek = lseek(fd: c_int, at: i64, from: c_int) -> isize;
    fn lstat = lstat(path: *const c_char, to: *mut stat_t) -> c_int;
    fn mkdir = mkdir(path: *const c_char, mode: c_uint) -> c_int;
    fn mount = mount(kind: *const c_char, at: *const c_char, flags: c_int, args: *mut c_void, len: usize) -> c_int;
    fn open = open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int;
    fn paccept = paccept(s: c_int, addr: *mut sockaddr, len: *mut c_uint, mask: *const c_void, flags: c_int) -> c_int;
    fn pipe2 = pipe2(fds: *mut c_int, flags: c_int) -> c_int;
    fn poll = poll(fds: *mut pollfd, nfds: c_uint, timeout: c_int) -> c_int;
    fn pread = pread(fd: c_int, buf: *mut c_void, len: usize, at: i64) -> isize;
    fn pwrite = pwrite(fd: c_int, buf: *const c_void, len: usize, at: i64) -> isize;
    fn read = read(fd: c_int, buf: *mut c_void, len: usize) -> isize;
    fn readlink = readlink(path: *const c_char, buf: *mut c_char, len: usize) -> isize;
    fn readv = readv(fd: c_int, iov: *const iovec, count: c_int) -> isize;
    fn recvfrom = recvfrom(s: c_int, buf: *mut c_void, len: usize, flags: c_int, from: *mut sockaddr, fromlen: *mut c_uint) -> isize;
    fn recvmsg = recvmsg(s: c_int, msg: *mut msghdr, flags: c_int) -> isize;
    fn rename = rename(from: *const c_char, to: *const c_char) -> c_int;
    fn rmdir = rmdir(path: *const c_char) -> c_int;
    fn sendmsg = sendmsg(s: c_int, msg: *const msghdr, flags: c_int) -> isize;
    fn sendto = sendto(s: c_int, buf: *const c_void, len: usize, flags: c_int, to: *const sockaddr, tolen: c_uint) -> isize;
    fn setrlimit = setrlimit(resource: c_int, limit: *const rlimit) -> c_int;
    fn setsockopt = setsockopt(s: c_int, level: c_int, name: c_int, value: *const c_void, len: c_uint) -> c_int;
    fn shutdown = shutdown(s: c_int, how: c_int) -> c_int;
    fn socket = socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn stat = stat(path: *const c_char, to: *mut stat_t) -> c_int;
    fn statvfs1 = statvfs1(path: *const c_char, to: *mut statvfs, flags: c_int) -> c_int;
    fn symlink = symlink(target: *const c_char, path: *const c_char) -> c_int;
    fn unlink = unlink(path: *const c_char) -> c_int;
    fn unmount = unmount(at: *const c_char, flags: c_int) -> c_int;
    fn utimensat = utimensat(fd: c_int, path: *const c_char, times: *const timespec, flags: c_int) -> c_int;
    fn write = write(fd: c_int, buf: *const c_void, len: usize) -> isize;
    fn writev = writev(fd: c_int, iov: *const iovec, count: c_int) -> isize;
    #[doc = "`sysctl(3)` as a system call."]
    fn sysctl = __sysctl(name: *const c_int, namelen: c_uint, old: *mut c_void, oldlen: *mut usize, new: *const c_void, newlen: usize) -> c_int;
}
