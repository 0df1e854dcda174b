//! Signals at a time: setitimer(2), alarm(2).
//!
//! One thread of the kernel's, which begins with the first timer, sleeps until the next one
//! is due. Time that the program uses is that which passes, so that all three timers count
//! the same.

use super::copy::{self, Result};
use super::lock::Mutex;
use super::signal::{self, Told};
use crate::{sched, time};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use rump_linux::Errno;
use rump_linux::raw::general::*;

type Args = [u64; 6];

/// A timer: when it is due next, and how often it is afterwards, in nanoseconds; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Timer {
    due: u64,
    every: u64,
}

/// The signals of `ITIMER_REAL`, `ITIMER_VIRTUAL` and `ITIMER_PROF`.
const SIGNALS: [u32; 3] = [SIGALRM, SIGVTALRM, SIGPROF];

static TIMERS: Mutex<[Timer; 3]> = Mutex::new([Timer { due: 0, every: 0 }; 3]);
/// Changes when a timer does; the thread sleeps on it.
static CHANGES: AtomicU32 = AtomicU32::new(0);

impl Timer {
    /// What is left, and how often, as `struct itimerval`.
    fn told(&self, now: u64) -> [u64; 4] {
        let micros = |nanos: u64| [nanos / 1_000_000_000, nanos % 1_000_000_000 / 1000];
        // One that runs is never told as one that does not.
        let left = match self.due {
            0 => 0,
            due => due.saturating_sub(now).max(1000),
        };
        let ([every, every_micros], [left, left_micros]) = (micros(self.every), micros(left));
        [every, every_micros, left, left_micros]
    }

    /// Whether it is due, which sets it for the next time.
    fn expire(&mut self, now: u64) -> bool {
        if self.due == 0 || self.due > now {
            return false;
        }
        self.due = match self.every {
            0 => 0,
            // Times that were missed are one.
            every => self.due + every * ((now - self.due) / every + 1),
        };
        true
    }
}

/// A call about timers; `None` if it is about something else.
pub fn call(number: u32, args: &Args) -> Option<Result<i64>> {
    let done = match number {
        __NR_setitimer => set(args),
        __NR_getitimer => which(args[0]).and_then(|at| {
            let told = TIMERS.lock()[at].told(time::monotonic_ns());
            copy::put(&told, args[1]).map(|()| 0)
        }),
        __NR_alarm => {
            let left = replace(0, args[0].saturating_mul(1_000_000_000), 0)[2..].to_vec();
            Ok((left[0] + u64::from(left[1] > 0)) as i64)
        }
        _ => return None,
    };
    Some(done)
}

fn which(timer: u64) -> Result<usize> {
    let at = usize::try_from(timer).map_err(|_| Errno::EINVAL)?;
    if at < SIGNALS.len() {
        Ok(at)
    } else {
        Err(Errno::EINVAL)
    }
}

fn set(args: &Args) -> Result<i64> {
    let at = which(args[0])?;
    let [every, every_micros, left, left_micros]: [u64; 4] = copy::get(args[1])?;
    let nanos = |seconds: u64, micros: u64| {
        let whole = i64::try_from(seconds).ok().filter(|_| micros < 1_000_000);
        let whole = whole.ok_or(Errno::EINVAL)? as u64;
        Ok::<u64, Errno>(
            whole
                .saturating_mul(1_000_000_000)
                .saturating_add(micros * 1000),
        )
    };
    let old = replace(at, nanos(left, left_micros)?, nanos(every, every_micros)?);
    if args[2] != 0 {
        copy::put(&old, args[2])?;
    }
    Ok(0)
}

/// Sets a timer, and tells what it was.
fn replace(at: usize, left: u64, every: u64) -> [u64; 4] {
    static BEGUN: AtomicBool = AtomicBool::new(false);
    let now = time::monotonic_ns();
    let due = match left {
        0 => 0,
        left => now.saturating_add(left),
    };
    let old = core::mem::replace(&mut TIMERS.lock()[at], Timer { due, every });
    if !BEGUN.swap(true, Ordering::AcqRel) {
        sched::spawn(run, "timers", sched::KERNEL);
    }
    CHANGES.fetch_add(1, Ordering::Release);
    sched::unpark(CHANGES.as_ptr().addr() as u64, 1);
    old.told(now)
}

fn run() {
    loop {
        let seen = CHANGES.load(Ordering::Acquire);
        let now = time::monotonic_ns();
        let (mut due, mut next) = ([false; 3], None::<u64>);
        for (timer, due) in TIMERS.lock().iter_mut().zip(&mut due) {
            *due = timer.expire(now);
            if timer.due != 0 {
                next = Some(next.map_or(timer.due, |next| next.min(timer.due)));
            }
        }
        for (signal, _) in SIGNALS.iter().zip(due).filter(|(_, due)| *due) {
            signal::send(Told {
                signal: *signal,
                code: SI_KERNEL as i32,
                about: 0,
            });
        }
        sched::park(&CHANGES, seen, next);
    }
}

#[cfg(test)]
mod tests {
    use super::Timer;

    #[test]
    fn a_timer_is_due_once_for_times_that_were_missed() {
        let mut timer = Timer {
            due: 100,
            every: 30,
        };
        assert!(!timer.expire(99));
        assert!(timer.expire(100));
        assert_eq!(timer.due, 130);
        assert!(timer.expire(199));
        assert_eq!(timer.due, 220);
        let mut once = Timer { due: 5, every: 0 };
        assert!(once.expire(10) && !once.expire(20));
        assert_eq!(once.told(20), [0; 4]);
        let timer = Timer {
            due: 3_000_002_000,
            every: 1_500_000_000,
        };
        assert_eq!(timer.told(1_000_000_000), [1, 500_000, 2, 2]);
    }
}
