//! `eventfd(2)` and `timerfd_create(2)`.

use super::poll::{nanos, timespec};
use super::{Args, Outcome};
use crate::errno::Errno;
use crate::memory::{get, put};
use crate::object::{Description, Event, Object, Timer};
use crate::process::Process;
use crate::raw::general::{
    CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME, EFD_SEMAPHORE, O_CLOEXEC, O_NONBLOCK, O_RDWR,
    TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET, itimerspec,
};
use alloc::sync::Arc;

pub(crate) fn eventfd(process: &Process, args: &Args) -> Outcome {
    eventfd2(process, &[args[0], 0, 0, 0, 0, 0])
}

pub(crate) fn eventfd2(process: &Process, args: &Args) -> Outcome {
    let flags = args[1] as u32;
    if flags & !(EFD_SEMAPHORE | O_NONBLOCK | O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let event = Event::new(args[0] as u32, flags & EFD_SEMAPHORE != 0);
    let status = O_RDWR | flags & O_NONBLOCK;
    let fd = process.open(Object::Event(event), status, flags & O_CLOEXEC != 0)?;
    Ok(fd.into())
}

pub(crate) fn timerfd_create(process: &Process, args: &Args) -> Outcome {
    let (clock, flags) = (args[0] as u32, args[1] as u32);
    let clocks = [CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME];
    if !clocks.contains(&clock) || flags & !(O_NONBLOCK | O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let status = O_RDWR | flags & O_NONBLOCK;
    let timer = Object::Timer(Timer::new(clock));
    let fd = process.open(timer, status, flags & O_CLOEXEC != 0)?;
    Ok(fd.into())
}

fn setting((left, interval): (u64, u64)) -> itimerspec {
    itimerspec {
        it_interval: timespec(interval),
        it_value: timespec(left),
    }
}

pub(crate) fn timerfd_settime(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let Object::Timer(timer) = &one.object else {
        return Err(Errno::EINVAL);
    };
    let flags = args[1] as u32;
    if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let new: itimerspec = get(&*process.host, args[2])?;
    let (value, interval) = (nanos_of(&new.it_value)?, nanos_of(&new.it_interval)?);
    let start = if flags & TFD_TIMER_ABSTIME == 0 {
        process.host.now(timer.clock)
    } else {
        0
    };
    let next = (value > 0).then(|| start.saturating_add(value));
    let old = timer.set(&*process.host, next, interval);
    if args[3] != 0 {
        put(&*process.host, args[3], &setting(old))?;
    }
    Ok(0)
}

fn nanos_of(time: &crate::raw::general::timespec) -> Result<u64, Errno> {
    nanos(&crate::raw::general::__kernel_timespec {
        tv_sec: time.tv_sec,
        tv_nsec: time.tv_nsec,
    })
}

pub(crate) fn timerfd_gettime(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let Object::Timer(timer) = &one.object else {
        return Err(Errno::EINVAL);
    };
    put(&*process.host, args[1], &setting(timer.get(&*process.host)))?;
    Ok(0)
}
