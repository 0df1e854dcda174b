//! Sleeping on a word, and how much spinning is worth.
#![allow(unsafe_code)]

use crate::host::Deadline;
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::io::Error;
use std::time::Instant;

const WAIT: libc::c_int = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
const WAKE: libc::c_int = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;

pub(super) fn park(word: &AtomicU32, expected: u32, deadline: Deadline) -> bool {
    let timespec = deadline.map(super::time::timespec);
    let timeout = timespec.as_ref().map_or(null(), core::ptr::from_ref);
    // SAFETY: futex(2): the word is alive during the call; the timeout is null
    // or a live timespec, absolute on the monotonic clock.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            core::ptr::from_ref(word),
            WAIT,
            expected,
            timeout,
            null_mut::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    // EAGAIN: the word had changed. EINTR: a signal. Both are spurious wake-ups.
    result == 0 || Error::last_os_error().raw_os_error() != Some(libc::ETIMEDOUT)
}

pub(super) fn unpark(word: *const AtomicU32, all: bool) {
    let count = if all { i32::MAX } else { 1 };
    // SAFETY: futex(2) uses the address of a private futex as a key only; an
    // address that no longer is one wakes nobody or somebody who checks again.
    unsafe { libc::syscall(libc::SYS_futex, word, WAKE, count) };
}

/// Sleeps on a word that other processes have too, while it is what is expected and up to so
/// long. May end for no reason.
pub(super) fn park_shared(word: &AtomicU32, expected: u32, time: Duration) {
    let timeout = super::time::timespec(time);
    // SAFETY: futex(2): the word is alive during the call, as is the timeout.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            core::ptr::from_ref(word),
            libc::FUTEX_WAIT,
            expected,
            &raw const timeout,
        )
    };
}

/// Wakes whoever sleeps so.
pub(super) fn unpark_shared(word: &AtomicU32) {
    let word = core::ptr::from_ref(word);
    // SAFETY: futex(2): the word is alive during the call.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, i32::MAX) };
}

/// Turns of a spin loop that make a microsecond; 0 is one CPU.
static SPINS: AtomicU32 = AtomicU32::new(0);
static SPINNERS: AtomicU32 = AtomicU32::new(0);

/// Measures the spin loop: `pause` takes 10 to 140 cycles, depending on the CPU. Before that
/// nobody [spins](crate::sync::spin); a kernel does it when it boots.
pub fn calibrate() {
    const TURNS: u32 = 1000;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if cpus < 2 {
        return;
    }
    // The fastest of three, lest a preemption count as slow spinning.
    let fastest = (0..3).map(|_| {
        let start = Instant::now();
        for _ in 0..TURNS {
            core::hint::spin_loop();
        }
        start.elapsed().as_nanos()
    });
    let nanoseconds = fastest.min().unwrap_or(1).max(1);
    let turns = u128::from(TURNS) * 1000 / nanoseconds;
    // A CPU is left to those who work. More spinners would take turns with them: eight
    // threads on one virtual CPU then transferred a tenth of what they could.
    let spinners = u32::try_from(cpus - 1).unwrap_or(u32::MAX);
    SPINNERS.store(spinners, Ordering::Relaxed);
    SPINS.store(
        u32::try_from(turns.clamp(1, 1000)).unwrap_or(1),
        Ordering::Relaxed,
    );
}

pub(super) fn spins_per_microsecond() -> u32 {
    SPINS.load(Ordering::Relaxed)
}

pub(super) fn spinners() -> u32 {
    SPINNERS.load(Ordering::Relaxed)
}
