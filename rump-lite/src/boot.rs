//! Booting: `rump(3)`.
#![allow(unsafe_code)]

use crate::hypercall::{self, console};
use crate::kernel::{self, Kernel};
use crate::net::ports::Range;
use crate::{lwp, net};
use alloc::string::String;
use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use rump_hyper::errno::Errno;

/// What the kernel calls itself; `kern.ostype`.
pub(crate) const SYSTEM: &str = "rump-lite";
/// `kern.osrelease`.
pub(crate) const RELEASE: &str = env!("CARGO_PKG_VERSION");
/// `kern.version`.
pub(crate) const VERSION: &str = concat!(
    "rump-lite ",
    env!("CARGO_PKG_VERSION"),
    ": reference kernel, TCP/IP by smoltcp\n"
);

/// How many open files there may be in all (`kern.maxfiles`); set by whoever boots.
#[unsafe(no_mangle)]
pub static rumpns_maxfiles: AtomicI32 = AtomicI32::new(1772);

/// What was decided when the kernel booted.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) cpus: c_int,
    pub(crate) hostname: String,
    /// In bytes.
    pub(crate) memory_limit: Option<usize>,
    /// What may be set by sysctl: the most that a socket buffers, and what one of TCP does
    /// by default, in bytes.
    pub(crate) sbmax: c_int,
    pub(crate) sendspace: c_int,
    pub(crate) recvspace: c_int,
    /// The ports that are handed out to sockets of IPv4, and of IPv6.
    pub(crate) anonymous: [Range; 2],
}

impl Settings {
    fn read() -> Self {
        let cpus = hypercall::parameter(c"_RUMPUSER_NCPU").and_then(|text| text.parse().ok());
        Self {
            cpus: cpus.unwrap_or(1),
            hostname: hypercall::parameter(c"_RUMPUSER_HOSTNAME").unwrap_or_default(),
            memory_limit: hypercall::parameter(c"RUMP_MEMLIMIT").and_then(|text| bytes(&text)),
            sbmax: 256 << 10,
            sendspace: 64 << 10,
            recvspace: 64 << 10,
            anonymous: [Range::default(); 2],
        }
    }
}

/// A number with `k`, `m` or `g` behind it.
fn bytes(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(['k', 'm', 'g']);
    let shift = match &text[digits.len()..] {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(1 << shift)
}

/// Boots. Once per process; a second call does nothing and returns 0.
///
/// # Safety
/// None beyond rump(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_init() -> c_int {
    static BOOTED: AtomicBool = AtomicBool::new(false);
    if BOOTED.swap(true, Ordering::AcqRel) {
        return 0;
    }
    match boot() {
        Ok(()) => 0,
        Err(errno) => errno.0,
    }
}

fn boot() -> Result<(), Errno> {
    hypercall::init(&lwp::upcalls::table())?;
    let settings = Settings::read();
    console!("{}", VERSION.trim_end());
    console!(
        "{} virtual CPUs, {}",
        settings.cpus,
        match settings.memory_limit {
            Some(limit) => alloc::format!("{limit} bytes for buffers"),
            None => "no limit of memory".into(),
        }
    );
    kernel::install(Kernel::new(settings));
    console!("lo0: 127.0.0.1/8 ::1/128");
    hypercall::spawn(net::timers::thread, TIMER)
}

const TIMER: &CStr = c"rump-lite timer";

/// Chooses what becomes of signals. There are none.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_boot_setsigmodel(_model: c_int) {}

/// How many components of a type there are: the kernel is one piece and has none.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_component_count(_kind: c_int) -> c_int {
    0
}

/// `__NetBSD_Version__` of a NetBSD; 0 for this kernel, which is none.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump_getversion() -> c_int {
    0
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("8388608"), Some(8 << 20));
        assert_eq!(bytes("16m"), Some(16 << 20));
        assert_eq!(bytes("1g"), Some(1 << 30));
        assert_eq!(
            (bytes("x"), bytes(""), bytes("99999999999999999g")),
            (None, None, None)
        );
    }
}
