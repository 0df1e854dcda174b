//! `poll(2)` and `select(2)`.

use super::{Args, Outcome};
use crate::errno::Errno;
use crate::memory::{get, put};
use crate::process::Process;
use crate::raw::general::{self, POLLERR, POLLHUP, POLLNVAL, POLLPRI, pollfd};
use crate::translate::flags::{ALWAYS, IN, OUT, wanted};
use crate::wait::Wants;
use alloc::vec;
use alloc::vec::Vec;

/// A time as nanoseconds.
pub(crate) fn nanos(time: &general::__kernel_timespec) -> Result<u64, Errno> {
    let seconds = u64::try_from(time.tv_sec).map_err(|_| Errno::EINVAL)?;
    if !(0..1_000_000_000).contains(&time.tv_nsec) {
        return Err(Errno::EINVAL);
    }
    Ok(seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec as u64))
}

pub(crate) fn timespec(nanos: u64) -> general::timespec {
    general::timespec {
        tv_sec: (nanos / 1_000_000_000) as i64,
        tv_nsec: (nanos % 1_000_000_000) as i64,
    }
}

/// The most descriptors in one call.
const MOST: u64 = 1 << 20;

impl Process {
    /// The time that a program gives; null is none.
    pub(crate) fn timeout(&self, at: u64) -> Result<Option<u64>, Errno> {
        match at {
            0 => Ok(None),
            at => nanos(&get(&*self.host, at)?).map(Some),
        }
    }

    /// Runs a call under a signal mask of the program's; null is none.
    pub(crate) fn masked<R>(
        &self,
        mask: u64,
        size: u64,
        call: impl FnOnce() -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        if mask == 0 {
            return call();
        }
        if size != 8 {
            return Err(Errno::EINVAL);
        }
        let old = self.host.mask(get(&*self.host, mask)?);
        let result = call();
        self.host.mask(old);
        result
    }

    /// Waits until some of these are ready; how many are.
    pub(crate) fn poll_all(
        &self,
        fds: &mut [pollfd],
        timeout: Option<u64>,
    ) -> Result<usize, Errno> {
        let mut wants = Wants {
            deadline: timeout.map(|timeout| self.now().saturating_add(timeout)),
            ..Wants::default()
        };
        let mut places = Vec::new();
        let mut host_places = Vec::new();
        for (at, entry) in fds.iter_mut().enumerate() {
            entry.revents = 0;
            if entry.fd < 0 {
                continue;
            }
            if let Ok(one) = self.find(entry.fd as u64) {
                let events = u32::from(entry.events as u16);
                wants.ours.push((one, wanted(events)));
                places.push(at);
            } else {
                wants.host.push(*entry);
                host_places.push(at);
            }
        }
        if wants.ours.is_empty() {
            return self.host.poll(fds, timeout);
        }
        let fds = core::cell::RefCell::new(fds);
        let look = || {
            let mut fds = fds.borrow_mut();
            let mut count = 0;
            for ((one, _), at) in wants.ours.iter().zip(&places) {
                let entry = &mut fds[*at];
                let asked = u32::from(entry.events as u16) | ALWAYS;
                let ready = self.ready(one)?.0 & asked;
                entry.revents = ready as i16;
                count += usize::from(ready != 0);
            }
            if !wants.host.is_empty() {
                let mut host = wants.host.clone();
                count += self.host.poll(&mut host, Some(0))?;
                for (entry, at) in host.iter().zip(&host_places) {
                    fds[*at].revents = entry.revents;
                }
            }
            Ok((count > 0).then_some(count))
        };
        Ok(self.wait(&wants, look)?.unwrap_or(0))
    }

    fn poll_memory(&self, at: u64, count: u64, timeout: Option<u64>) -> Outcome {
        const SIZE: u64 = size_of::<pollfd>() as u64;
        if count > MOST {
            return Err(Errno::EINVAL);
        }
        let place = |index: u64| at.checked_add(index * SIZE).ok_or(Errno::EFAULT);
        let mut fds = Vec::new();
        for index in 0..count {
            fds.push(get::<pollfd>(&*self.host, place(index)?)?);
        }
        let ready = self.poll_all(&mut fds, timeout)?;
        for (entry, index) in fds.iter().zip(0..) {
            put(&*self.host, place(index)?, entry)?;
        }
        Ok(ready as i64)
    }
}

pub(crate) fn poll(process: &Process, args: &Args) -> Outcome {
    let timeout = u64::try_from(args[2] as i32).ok();
    process.poll_memory(args[0], args[1], timeout.map(|millis| millis * 1_000_000))
}

pub(crate) fn ppoll(process: &Process, args: &Args) -> Outcome {
    let timeout = process.timeout(args[2])?;
    process.masked(args[3], args[4], || {
        process.poll_memory(args[0], args[1], timeout)
    })
}

/// What each set of `select(2)` asks for, and what answers it.
const SETS: [(u32, u32); 3] = [
    (IN, IN | POLLHUP | POLLERR),
    (OUT, OUT | POLLERR),
    (POLLPRI, POLLPRI),
];

fn select_for(process: &Process, args: &Args, timeout: Option<u64>) -> Outcome {
    let count = usize::try_from(args[0] as i32).map_err(|_| Errno::EINVAL)?;
    // Linux looks at no more than the table holds, which is this at most.
    let count = count.min(1 << 16);
    let bytes = count.div_ceil(64) * 8;
    let mut sets = [const { Vec::new() }; 3];
    for (set, at) in sets.iter_mut().zip(&args[1..4]) {
        *set = vec![0u8; bytes];
        if *at != 0 {
            process.host.read(*at, set)?;
        }
    }
    let has = |set: &[u8], fd: usize| set[fd / 8] & 1 << (fd % 8) != 0;
    let mut fds = Vec::new();
    for fd in 0..count {
        let asked = sets.iter().zip(SETS);
        let asked = asked.filter(|(set, _)| has(set, fd));
        let events = asked.fold(0, |sum, (_, (events, _))| sum | events);
        if events != 0 {
            fds.push(pollfd {
                fd: fd as i32,
                events: events as i16,
                revents: 0,
            });
        }
    }
    process.poll_all(&mut fds, timeout)?;
    if fds.iter().any(|entry| entry.revents as u32 & POLLNVAL != 0) {
        return Err(Errno::EBADF);
    }
    let mut result = sets.clone();
    result.iter_mut().for_each(|set| set.fill(0));
    let mut ready = 0;
    for entry in &fds {
        let fd = entry.fd as usize;
        for ((set, out), (_, answers)) in sets.iter().zip(&mut result).zip(SETS) {
            if has(set, fd) && u32::from(entry.revents as u16) & answers != 0 {
                out[fd / 8] |= 1 << (fd % 8);
                ready += 1;
            }
        }
    }
    for (set, at) in result.iter().zip(&args[1..4]) {
        if *at != 0 {
            process.host.write(*at, set)?;
        }
    }
    Ok(ready)
}

pub(crate) fn select(process: &Process, args: &Args) -> Outcome {
    let timeout = match args[4] {
        0 => None,
        at => {
            let time: general::timeval = get(&*process.host, at)?;
            let (seconds, micros) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_usec));
            let (Ok(seconds), Ok(micros)) = (seconds, micros) else {
                return Err(Errno::EINVAL);
            };
            let nanos = seconds.saturating_mul(1_000_000_000);
            Some(nanos.saturating_add(micros.saturating_mul(1000)))
        }
    };
    select_for(process, args, timeout)
}

pub(crate) fn pselect6(process: &Process, args: &Args) -> Outcome {
    let timeout = process.timeout(args[4])?;
    // The last argument points to a mask and its size.
    let [mask, size] = match args[5] {
        0 => [0; 2],
        at => get(&*process.host, at)?,
    };
    process.masked(mask, size, || select_for(process, args, timeout))
}
