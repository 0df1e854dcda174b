//! Waiting: `poll(2)`, `kqueue(2)`.
#![allow(missing_docs)]

use super::call;
use crate::file::{Object, with_file};
use crate::kqueue::Kqueue;
use core::ffi::{c_int, c_uint};
use rump_abi::{kevent, pollfd, timespec};
use rump_hyper::errno::Errno;
use smoltcp::time::Duration;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_poll(
    fds: *mut pollfd,
    nfds: c_uint,
    timeout: c_int,
) -> c_int {
    call(|kernel, lwp| {
        let entries = if nfds == 0 {
            &mut []
        } else if fds.is_null() {
            return Err(Errno::FAULT);
        } else {
            // SAFETY: so many entries, the caller's alone during the call, by the
            // module's contract.
            unsafe { core::slice::from_raw_parts_mut(fds, nfds as usize) }
        };
        kernel.poll(lwp, entries, timeout)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_kqueue() -> c_int {
    call(|kernel, lwp| {
        kernel.room_for(lwp.pid, 1)?;
        let kqueue = kernel.kqueues.insert(Kqueue::default());
        kernel.open(lwp.pid, Object::Kqueue(kqueue), false, false)
    })
}

/// The longest wait that is told from one without end.
const LONGEST: i64 = 1 << 32;

fn duration(time: &timespec) -> Result<Duration, Errno> {
    if time.tv_sec < 0 || !(0..1_000_000_000).contains(&time.tv_nsec) {
        return Err(Errno::INVAL);
    }
    let seconds = time.tv_sec.min(LONGEST) as u64;
    // Rounded up: a wait is not shorter than it was asked to be.
    let micros = (time.tv_nsec as u64).div_ceil(1000);
    Ok(Duration::from_micros(seconds * 1_000_000 + micros))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_kevent(
    kq: c_int,
    changes: *const kevent,
    nchanges: usize,
    events: *mut kevent,
    nevents: usize,
    timeout: *const timespec,
) -> c_int {
    call(|kernel, lwp| {
        if (changes.is_null() && nchanges > 0) || (events.is_null() && nevents > 0) {
            return Err(Errno::FAULT);
        }
        let changes = if nchanges == 0 {
            &[]
        } else {
            // SAFETY: so many changes, by the module's contract.
            unsafe { core::slice::from_raw_parts(changes, nchanges) }
        };
        // SAFETY: null, or a time, by the module's contract.
        let timeout = unsafe { timeout.as_ref() }.map(duration).transpose()?;
        let mut count = 0;
        let report = |event| {
            // SAFETY: at most `nevents` are reported, and there is room for them by the
            // module's contract.
            unsafe { events.add(count).write(event) };
            count += 1;
        };
        let room = nevents.min(c_int::MAX as usize);
        let happened = with_file(kernel, lwp, kq, |kernel, file| match file.object {
            Object::Kqueue(kqueue) => kernel.kevent(lwp, kqueue, changes, report, room, timeout),
            _ => Err(Errno::BADF),
        })?;
        Ok(happened as c_int)
    })
}
