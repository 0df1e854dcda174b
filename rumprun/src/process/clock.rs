//! Time: clock_gettime(2), nanosleep(2), and their like.

use super::copy::{self, Result};
use super::task::Task;
use crate::time;
use rump_linux::Errno;
use rump_linux::raw::general::*;

type Args = [u64; 6];

/// What the clocks are told to be exact to, in nanoseconds.
const RESOLUTION: u64 = 1;

/// The time of a clock, in nanoseconds. Time that the program used is that which has passed:
/// nobody counts it.
///
/// # Errors
/// `EINVAL`.
pub fn now(clock: u32) -> Result<u64> {
    match clock {
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_TAI | CLOCK_REALTIME_ALARM => {
            Ok(time::wall_ns())
        }
        CLOCK_MONOTONIC
        | CLOCK_MONOTONIC_RAW
        | CLOCK_MONOTONIC_COARSE
        | CLOCK_BOOTTIME
        | CLOCK_BOOTTIME_ALARM
        | CLOCK_PROCESS_CPUTIME_ID
        | CLOCK_THREAD_CPUTIME_ID => Ok(time::monotonic_ns()),
        // Of a process or thread by its number.
        clock if clock as i32 <= -2 => Ok(time::monotonic_ns()),
        _ => Err(Errno::EINVAL),
    }
}

/// Writes the time of a clock to the program's memory: `clock_gettime(2)`.
///
/// # Errors
/// As [`now`]; `EFAULT`.
pub fn tell(clock: u32, to: u64) -> Result<()> {
    copy::put(&copy::timespec(now(clock)?), to)
}

/// When the monotonic clock says what the clock of the wall will at this time.
pub fn deadline_of_wall(wall: u64) -> u64 {
    let left = wall.saturating_sub(time::wall_ns());
    time::monotonic_ns().saturating_add(left)
}

/// A call about time; `None` if it is about something else.
pub fn call(task: &Task, number: u32, args: &Args) -> Option<Result<i64>> {
    let done = match number {
        __NR_clock_gettime => tell(args[0] as u32, args[1]),
        __NR_clock_getres => now(args[0] as u32).and_then(|_| match args[1] {
            0 => Ok(()),
            at => copy::put(&copy::timespec(RESOLUTION), at),
        }),
        __NR_gettimeofday => gettimeofday(args),
        __NR_time => {
            let seconds = time::wall_ns() / 1_000_000_000;
            let told = match args[0] {
                0 => Ok(()),
                at => copy::put(&seconds, at),
            };
            return Some(told.map(|()| seconds as i64));
        }
        __NR_times => {
            // In hundredths of a second (`CLOCKS_PER_SEC` of the kernel's interface).
            let ticks = time::monotonic_ns() / 10_000_000;
            let told = match args[0] {
                0 => Ok(()),
                at => copy::put(&[ticks, 0, 0, 0], at),
            };
            return Some(told.map(|()| ticks as i64));
        }
        __NR_nanosleep => sleep(task, CLOCK_MONOTONIC, 0, args[0], args[1]),
        __NR_clock_nanosleep => sleep(task, args[0] as u32, args[1], args[2], args[3]),
        __NR_clock_settime | __NR_settimeofday | __NR_adjtimex | __NR_clock_adjtime => {
            Err(Errno::EPERM)
        }
        _ => return None,
    };
    Some(done.map(|()| 0))
}

fn gettimeofday(args: &Args) -> Result<()> {
    if args[0] != 0 {
        let now = time::wall_ns();
        copy::put(&[now / 1_000_000_000, now % 1_000_000_000 / 1000], args[0])?;
    }
    if args[1] != 0 {
        copy::put(&[0_u32; 2], args[1])?;
    }
    Ok(())
}

fn sleep(task: &Task, clock: u32, flags: u64, until: u64, left: u64) -> Result<()> {
    let time = copy::time(until)?;
    now(clock)?;
    let absolute = flags as u32 & TIMER_ABSTIME != 0;
    let of_wall = matches!(clock, CLOCK_REALTIME | CLOCK_TAI | CLOCK_REALTIME_ALARM);
    let deadline = match absolute {
        true if of_wall => deadline_of_wall(time),
        true => time,
        false => time::monotonic_ns().saturating_add(time),
    };
    if task.pause(Some(deadline)) {
        return Ok(());
    }
    if !absolute && left != 0 {
        let rest = deadline.saturating_sub(time::monotonic_ns());
        copy::put(&copy::timespec(rest), left)?;
    }
    Err(Errno::EINTR)
}
