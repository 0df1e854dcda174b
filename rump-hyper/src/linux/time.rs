//! Clocks and sleeps.
#![allow(unsafe_code)]

use crate::errno::Errno;
use crate::host::Clock;
use core::ptr::null_mut;
use core::time::Duration;

fn id(clock: Clock) -> libc::clockid_t {
    match clock {
        Clock::Wall => libc::CLOCK_REALTIME,
        Clock::Monotonic => libc::CLOCK_MONOTONIC,
    }
}

pub(super) fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

pub(super) fn now(clock: Clock) -> Duration {
    let mut now = timespec(Duration::ZERO);
    // SAFETY: a live timespec; the clock exists, so this cannot fail.
    unsafe { libc::clock_gettime(id(clock), &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

pub(super) fn sleep(clock: Clock, time: Duration) -> Result<(), Errno> {
    // A relative sleep is measured on the monotonic clock: the wall clock may
    // jump, the length of the sleep must not.
    let until = timespec(match clock {
        Clock::Wall => now(Clock::Monotonic).saturating_add(time),
        Clock::Monotonic => time,
    });
    loop {
        // SAFETY: a live timespec; no remainder is wanted.
        let error = unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &raw const until,
                null_mut(),
            )
        };
        match error {
            0 => return Ok(()),
            libc::EINTR => {}
            error => return Err(super::errno::translate(error)),
        }
    }
}

/// From now on this thread sleeps as long as it asks to. Otherwise Linux adds up to 50 µs
/// (`PR_SET_TIMERSLACK` in prctl(2)).
pub fn exact_sleeps() {
    // Where that is forbidden, sleeps are as they were.
    let _ = nix::sys::prctl::set_timerslack(1);
}
