//! Start and end, parameters, memory, clocks, console, randomness.

use super::locks::duration;
use crate::abi::{self, Hyperup, ModInit};
use crate::errno::{Errno, status};
use crate::host::{Clock, Host};
use crate::{console, memory, modules, params, upcall};
use core::ffi::{c_char, c_int, c_long, c_void};

/// `rumpuser_init`
pub unsafe fn init<H: Host>(version: c_int, hyperup: *const Hyperup) -> c_int {
    assert!(
        version == abi::VERSION,
        "rump: the kernel speaks hypercall version {version}, this crate {}",
        abi::VERSION
    );
    // SAFETY: the kernel's table, by the module's contract.
    upcall::install(unsafe { *hyperup });
    status(H::init())
}

/// `rumpuser_malloc`
pub unsafe fn malloc<H: Host>(size: usize, align: c_int, out: *mut *mut c_void) -> c_int {
    let align = usize::try_from(align).unwrap_or(0);
    status(memory::allocate::<H>(size, align).map(|memory| {
        // SAFETY: a place for the address, by the module's contract.
        unsafe { out.write(memory) };
    }))
}

/// `rumpuser_free`
pub unsafe fn free<H: Host>(memory: *mut c_void, size: usize) {
    // SAFETY: memory of `malloc` with its size, by the module's contract.
    unsafe { memory::release::<H>(memory, size) };
}

/// `rumpuser_anonmmap`
pub unsafe fn anonmmap<H: Host>(
    hint: *mut c_void,
    size: usize,
    align_bits: c_int,
    execute: c_int,
    out: *mut *mut c_void,
) -> c_int {
    let align_bits = u32::try_from(align_bits).unwrap_or(0);
    status(
        memory::map::<H>(hint, size, align_bits, execute != 0).map(|start| {
            // SAFETY: a place for the address, by the module's contract.
            unsafe { out.write(start) };
        }),
    )
}

/// `rumpuser_unmap`
pub unsafe fn unmap<H: Host>(start: *mut c_void, size: usize) {
    // SAFETY: pages of `anonmmap` with their size, by the module's contract.
    unsafe { memory::unmap::<H>(start, size) };
}

fn clock(which: c_int) -> Clock {
    match which {
        abi::clock::RELWALL => Clock::Wall,
        abi::clock::ABSMONO => Clock::Monotonic,
        _ => panic!("rump: unknown clock {which}"),
    }
}

/// `rumpuser_clock_gettime`
pub unsafe fn clock_gettime<H: Host>(
    which: c_int,
    seconds: *mut i64,
    nanoseconds: *mut c_long,
) -> c_int {
    let now = H::now(clock(which));
    // SAFETY: two places for the answer, by the module's contract.
    unsafe {
        seconds.write(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        nanoseconds.write(c_long::from(now.subsec_nanos().cast_signed()));
    }
    0
}

/// `rumpuser_clock_sleep`
// c_long has 32 bits elsewhere.
#[allow(clippy::useless_conversion)]
pub unsafe fn clock_sleep<H: Host>(which: c_int, seconds: i64, nanoseconds: c_long) -> c_int {
    let clock = clock(which);
    let time = duration(seconds, i64::from(nanoseconds));
    status(upcall::wrap::<H, _>(|| H::sleep(clock, time)))
}

/// `rumpuser_getparam`
pub unsafe fn getparam<H: Host>(name: *const c_char, buf: *mut c_void, len: usize) -> c_int {
    // SAFETY: a C string, by the module's contract.
    let name = unsafe { super::text(name) };
    // SAFETY: a buffer of that size, by the module's contract; it is only
    // written, and bytes have no invalid values.
    let out = unsafe { core::slice::from_raw_parts_mut(buf.cast::<u8>(), len) };
    let name = name.to_str().map_err(|_| Errno::INVAL);
    status(name.and_then(|name| params::copy::<H>(name, out)))
}

/// `rumpuser_seterrno`
pub unsafe fn seterrno<H: Host>(errno: c_int) {
    H::set_errno(errno);
}

/// `rump_hyper_errno`: what the kernel stored by the other.
pub unsafe fn errno<H: Host>() -> c_int {
    H::last_errno()
}

/// `rumpuser_kill`: the kernel sends its host a signal. Which process is meant
/// makes no difference, there is only one. SIGABRT is the kernel giving up, so
/// its last words are printed; anything else is for the program's own handlers.
pub unsafe fn kill<H: Host>(_pid: i64, signal: c_int) -> c_int {
    /// NetBSD's number, `sys/sys/signal.h`.
    const SIGABRT: c_int = 6;
    if signal == SIGABRT {
        console::die::<H>("the kernel sent SIGABRT");
    }
    H::raise(signal);
    0
}

/// `rumpuser_exit`
pub unsafe fn exit<H: Host>(status: c_int) -> ! {
    if status == abi::EXIT_PANIC {
        console::die::<H>("the kernel panicked");
    }
    H::exit(status)
}

/// `rumpuser_putchar`
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub unsafe fn putchar<H: Host>(character: c_int) {
    console::write::<H>(&[character as u8]);
}

/// What `rumpuser_dprintf` has formatted.
pub unsafe fn console_text<H: Host>(text: *const c_char, len: usize) {
    // SAFETY: the formatter's buffer and length.
    console::write::<H>(unsafe { core::slice::from_raw_parts(text.cast(), len) });
}

/// `rumpuser_getrandom`. Not wrapped: the kernel calls it before it has a
/// virtual CPU to give up, and the only wait there can be is for the host's own
/// pool, once after the host has booted.
pub unsafe fn getrandom<H: Host>(
    buf: *mut c_void,
    len: usize,
    flags: c_int,
    got: *mut usize,
) -> c_int {
    // SAFETY: a buffer of that size, by the module's contract.
    let buf = unsafe { core::slice::from_raw_parts_mut(buf.cast::<u8>(), len) };
    status(
        H::random(buf, flags & abi::RANDOM_NOWAIT == 0).map(|count| {
            // SAFETY: a place for the count, by the module's contract.
            unsafe { got.write(count) };
        }),
    )
}

/// `rumpuser_dl_bootstrap`. Symbols and components are not handed over: the
/// kernel is linked as a whole and finds its components in its link sets.
pub unsafe fn dl_bootstrap<H: Host>(
    modinit: Option<ModInit>,
    _symload: *const c_void,
    _compload: *const c_void,
) {
    // SAFETY: the kernel's function, by the module's contract.
    unsafe { modules::bootstrap(modinit) };
}

/// `rumpuser_daemonize_begin`
pub unsafe fn daemonize_begin<H: Host>() -> c_int {
    status(H::daemonize_begin())
}

/// `rumpuser_daemonize_done`
pub unsafe fn daemonize_done<H: Host>(error: c_int) -> c_int {
    status(H::daemonize_done(error))
}
