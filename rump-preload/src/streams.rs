//! fdopen(3): the C library's streams make system calls that nobody can take the place of,
//! so a stream on a descriptor of the kernel's is one of functions of this library's.
#![allow(unsafe_code)]

use crate::next::Next;
use crate::owned;
use crate::symbols::{close, read, write};
use std::ffi::{c_char, c_int, c_void};

#[repr(C)]
struct Functions {
    read: unsafe extern "C" fn(*mut c_void, *mut c_char, usize) -> isize,
    write: unsafe extern "C" fn(*mut c_void, *const c_char, usize) -> isize,
    seek: Option<unsafe extern "C" fn(*mut c_void, *mut i64, c_int) -> c_int>,
    close: unsafe extern "C" fn(*mut c_void) -> c_int,
}

unsafe extern "C" {
    fn fopencookie(
        cookie: *mut c_void,
        mode: *const c_char,
        functions: Functions,
    ) -> *mut libc::FILE;
}

// The cookie is the descriptor.
unsafe extern "C" fn fill(fd: *mut c_void, data: *mut c_char, length: usize) -> isize {
    // SAFETY: the C library's buffer with its length.
    unsafe { read(fd as u64, data as u64, length as u64) as isize }
}

unsafe extern "C" fn flush(fd: *mut c_void, data: *const c_char, length: usize) -> isize {
    // SAFETY: as above. An error is told as nothing written.
    unsafe { write(fd as u64, data as u64, length as u64).max(0) as isize }
}

unsafe extern "C" fn end(fd: *mut c_void) -> c_int {
    // SAFETY: the stream owns it.
    unsafe { close(fd as u64) as c_int }
}

/// `fdopen(3)`.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdopen(fd: c_int, mode: *const c_char) -> *mut libc::FILE {
    type Open = unsafe extern "C" fn(c_int, *const c_char) -> *mut libc::FILE;
    if owned::contains(fd) {
        let functions = Functions {
            read: fill,
            write: flush,
            seek: None,
            close: end,
        };
        // SAFETY: the mode is the caller's; the functions are for such a cookie.
        return unsafe { fopencookie(fd as usize as *mut c_void, mode, functions) };
    }
    // SAFETY: its type.
    static REAL: Next<Open> = unsafe { Next::new(c"fdopen") };
    // SAFETY: handed on.
    REAL.get()
        .map_or(std::ptr::null_mut(), |real| unsafe { real(fd, mode) })
}
