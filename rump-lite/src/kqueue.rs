//! Event queues: `kqueue(2)`.
//!
//! A filter that is registered, a *knote*, stands in the list of those who wait for its
//! object. When something happens there it is put into the queue's list of what may be
//! active, once; the next `kevent(2)` looks at what is in that list and at nothing else.
//! Timers are kept in the order of their times and looked at by whoever waits.

use crate::file::Object;
use crate::hypercall;
use crate::kernel::{Guard, Kernel};
use crate::lwp::Lwp;
use crate::process::{Descriptor, Pid};
use crate::wait::{self, WaitQueue};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use hashbrown::HashMap;
use rump_abi::later::{EVFILT_USER, NOTE_TRIGGER};
use rump_abi::{self as abi, kevent};
use rump_hyper::errno::Errno;
use smoltcp::time::{Duration, Instant};

/// What a knote is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    filter: u32,
    ident: usize,
}

#[derive(Debug)]
enum Source {
    /// `EVFILT_READ` and `EVFILT_WRITE`.
    Object(Object),
    Timer {
        period: Duration,
        next: Instant,
        /// How often its time has come since the last report.
        times: i64,
    },
    User {
        triggered: bool,
    },
}

#[derive(Debug)]
struct Knote {
    source: Source,
    /// `EV_CLEAR`, `EV_ONESHOT`.
    flags: u32,
    disabled: bool,
    /// `NOTE_LOWAT`: how much there has to be.
    least: Option<usize>,
    udata: isize,
    /// Whether it is in the list of what may be active.
    listed: bool,
}

/// An event queue.
#[derive(Debug, Default)]
pub(crate) struct Kqueue {
    knotes: HashMap<Key, Knote>,
    listed: VecDeque<Key>,
    timers: BTreeSet<(Instant, Key)>,
    pub(crate) waiters: WaitQueue,
}

impl Kqueue {
    /// When the next timer is due.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn list(&mut self, key: Key) -> bool {
        let Some(knote) = self.knotes.get_mut(&key) else {
            return false;
        };
        if knote.listed || knote.disabled {
            return false;
        }
        knote.listed = true;
        self.listed.push_back(key);
        true
    }

    /// Lists the timers whose time has come.
    fn run_timers(&mut self, now: Instant) {
        while let Some((at, key)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            let Some(knote) = self.knotes.get_mut(&key) else {
                continue;
            };
            let once = knote.flags & abi::EV_ONESHOT != 0;
            if let Source::Timer {
                period,
                next,
                times,
            } = &mut knote.source
            {
                let period = period.total_micros().max(1);
                let passed = 1 + (now - at).total_micros() / period;
                *times = times.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
                *next = at + Duration::from_micros(period.saturating_mul(passed));
                if !once {
                    self.timers.insert((*next, key));
                }
            }
            self.list(key);
        }
    }

    fn remove(&mut self, key: Key) -> Option<Knote> {
        let knote = self.knotes.remove(&key)?;
        if let Source::Timer { next, .. } = knote.source {
            self.timers.remove(&(next, key));
        }
        if knote.listed {
            self.listed.retain(|other| *other != key);
        }
        Some(knote)
    }
}

fn events_of(filter: u32) -> wait::Events {
    if filter == abi::EVFILT_WRITE {
        wait::WRITE
    } else {
        wait::READ
    }
}

impl Kernel {
    /// Something has happened that a knote waits for.
    pub(crate) fn activate_knote(&mut self, kqueue: usize, key: Key) {
        if self.kqueues[kqueue].list(key) {
            self.notify(Object::Kqueue(kqueue), wait::READ);
        }
    }

    /// How many listed knotes are active; the others are taken off the list.
    pub(crate) fn count_ready(&mut self, kqueue: usize, now: Instant) -> usize {
        self.kqueues[kqueue].run_timers(now);
        let mut active = 0;
        for _ in 0..self.kqueues[kqueue].listed.len() {
            let Some(key) = self.kqueues[kqueue].listed.pop_front() else {
                break;
            };
            let event = self.evaluate(kqueue, key, now);
            let queue = &mut self.kqueues[kqueue];
            if event.is_some() {
                queue.listed.push_back(key);
                active += 1;
            } else if let Some(knote) = queue.knotes.get_mut(&key) {
                knote.listed = false;
            }
        }
        active
    }

    /// The event of a knote, if it is active.
    fn evaluate(&mut self, kqueue: usize, key: Key, now: Instant) -> Option<kevent> {
        let knote = self.kqueues[kqueue].knotes.get(&key)?;
        let mut event = kevent {
            ident: key.ident,
            filter: key.filter,
            flags: knote.flags,
            fflags: 0,
            data: 0,
            udata: knote.udata,
        };
        let least = knote.least;
        match &knote.source {
            Source::Timer { times, .. } => {
                event.data = *times;
                (*times > 0).then_some(event)
            }
            Source::User { triggered } => triggered.then_some(event),
            Source::Object(object) => {
                let object = *object;
                let ready = self.readiness(object, now);
                let (active, amount, end) = if key.filter == abi::EVFILT_WRITE {
                    (ready.writable, ready.write, ready.write_end)
                } else {
                    (ready.readable, ready.read, ready.read_end)
                };
                let enough = least.is_none_or(|least| amount >= least);
                event.data = i64::try_from(amount).unwrap_or(i64::MAX);
                if end {
                    event.flags |= abi::EV_EOF;
                    event.fflags = ready.error as u32;
                }
                (end || ready.error != 0 || (active && enough)).then_some(event)
            }
        }
    }

    /// The next event of the queue, if there is one.
    fn next_event(&mut self, kqueue: usize, now: Instant) -> Option<kevent> {
        loop {
            let key = self.kqueues[kqueue].listed.pop_front()?;
            let event = self.evaluate(kqueue, key, now);
            let Some(knote) = self.kqueues[kqueue].knotes.get_mut(&key) else {
                continue;
            };
            knote.listed = false;
            let Some(event) = event else { continue };
            match &mut knote.source {
                Source::Timer { times, .. } => *times = 0,
                Source::User { triggered } if knote.flags & abi::EV_CLEAR != 0 => {
                    *triggered = false
                }
                _ => {}
            }
            let timer = matches!(knote.source, Source::Timer { .. });
            if knote.flags & abi::EV_ONESHOT != 0 {
                let _ = self.remove_knote(kqueue, key);
            } else if knote.flags & abi::EV_CLEAR == 0 && !timer {
                self.kqueues[kqueue].list(key);
            }
            return Some(event);
        }
    }

    fn remove_knote(&mut self, kqueue: usize, key: Key) -> Result<(), Errno> {
        let knote = self.kqueues[kqueue].remove(key).ok_or(Errno::NOENT)?;
        if let Source::Object(object) = knote.source
            && let Some(waiters) = self.waiters(object)
        {
            waiters.remove_knote(kqueue, key);
        }
        Ok(())
    }

    /// A descriptor is closed: queues wait for it no longer.
    pub(crate) fn forget_knotes(&mut self, descriptor: &Descriptor, fd: usize) {
        for kqueue in &descriptor.kqueues {
            for filter in [abi::EVFILT_READ, abi::EVFILT_WRITE] {
                if self.kqueues.get(*kqueue).is_some() {
                    // It may have been removed before.
                    let _ = self.remove_knote(*kqueue, Key { filter, ident: fd });
                }
            }
        }
    }

    /// The queue is closed.
    pub(crate) fn close_kqueue(&mut self, kqueue: usize) {
        let keys: Vec<Key> = self.kqueues[kqueue].knotes.keys().copied().collect();
        for key in keys {
            let _ = self.remove_knote(kqueue, key);
        }
        self.kqueues.remove(kqueue);
        self.processes.forget_kqueue(kqueue);
    }

    /// Makes one change.
    fn change(
        &mut self,
        pid: Pid,
        kqueue: usize,
        change: &kevent,
        now: Instant,
    ) -> Result<(), Errno> {
        let key = Key {
            filter: change.filter,
            ident: change.ident,
        };
        if matches!(
            key.filter,
            abi::EVFILT_AIO | abi::EVFILT_VNODE | abi::EVFILT_PROC | abi::EVFILT_SIGNAL
        ) {
            return Err(self.lacks(
                format_args!("event filter {}", key.filter),
                Errno::OPNOTSUPP,
            ));
        }
        let on_descriptor = matches!(key.filter, abi::EVFILT_READ | abi::EVFILT_WRITE);
        if !on_descriptor && !matches!(key.filter, abi::EVFILT_TIMER | EVFILT_USER) {
            return Err(Errno::INVAL);
        }
        let object = if on_descriptor {
            let fd = i32::try_from(key.ident).map_err(|_| Errno::BADF)?;
            let file = self.file_of(pid, fd)?;
            Some((fd, self.files.get(file).object))
        } else {
            None
        };
        if change.flags & abi::EV_DELETE != 0 {
            return self.remove_knote(kqueue, key);
        }
        if !self.kqueues[kqueue].knotes.contains_key(&key) {
            if change.flags & abi::EV_ADD == 0 {
                return Err(Errno::NOENT);
            }
            self.add_knote(pid, kqueue, key, object, change, now)?;
        }
        let queue = &mut self.kqueues[kqueue];
        let knote = queue.knotes.get_mut(&key).ok_or(Errno::NOENT)?;
        if change.flags & abi::EV_ADD != 0 {
            knote.udata = change.udata;
            knote.least = (change.fflags & abi::NOTE_LOWAT != 0)
                .then(|| usize::try_from(change.data).unwrap_or(0));
        }
        if change.flags & abi::EV_DISABLE != 0 {
            knote.disabled = true;
        }
        if change.flags & abi::EV_ENABLE != 0 {
            knote.disabled = false;
        }
        if let Source::User { triggered } = &mut knote.source
            && change.fflags & NOTE_TRIGGER != 0
        {
            *triggered = true;
        }
        if self.evaluate(kqueue, key, now).is_some() {
            self.activate_knote(kqueue, key);
        }
        Ok(())
    }

    fn add_knote(
        &mut self,
        pid: Pid,
        kqueue: usize,
        key: Key,
        object: Option<(i32, Object)>,
        change: &kevent,
        now: Instant,
    ) -> Result<(), Errno> {
        let source = match (key.filter, object) {
            (_, Some((_, Object::Kqueue(other))))
                if other == kqueue || key.filter == abi::EVFILT_WRITE =>
            {
                return Err(Errno::INVAL);
            }
            (_, Some((fd, object))) => {
                let descriptor = self.descriptor(pid, fd)?;
                if !descriptor.kqueues.contains(&kqueue) {
                    descriptor.kqueues.push(kqueue);
                }
                if let Some(waiters) = self.waiters(object) {
                    waiters.add_knote(kqueue, key, events_of(key.filter));
                }
                Source::Object(object)
            }
            (EVFILT_USER, None) => Source::User { triggered: false },
            (_, None) => {
                // Milliseconds; less than one is one.
                let milliseconds = u64::try_from(change.data).map_err(|_| Errno::INVAL)?.max(1);
                let period = Duration::from_millis(milliseconds.min(u64::MAX / 1_000_000));
                Source::Timer {
                    period,
                    next: now + period,
                    times: 0,
                }
            }
        };
        let queue = &mut self.kqueues[kqueue];
        let mut flags = change.flags & (abi::EV_CLEAR | abi::EV_ONESHOT);
        if let Source::Timer { next, .. } = source {
            queue.timers.insert((next, key));
            flags |= abi::EV_CLEAR;
        }
        let knote = Knote {
            source,
            flags,
            disabled: false,
            least: None,
            udata: change.udata,
            listed: false,
        };
        queue.knotes.insert(key, knote);
        Ok(())
    }
}

impl Guard {
    /// `kevent(2)`: makes the changes, then waits for events; how many there are.
    ///
    /// Errors of changes are reported as events where there is room, and end the call
    /// otherwise.
    pub(crate) fn kevent(
        &mut self,
        lwp: &Lwp,
        kqueue: usize,
        changes: &[kevent],
        mut report: impl FnMut(kevent),
        room: usize,
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        let start = hypercall::now();
        let mut count = 0;
        for change in changes {
            let result = self.change(lwp.pid, kqueue, change, start);
            if result.is_err() || change.flags & abi::EV_RECEIPT != 0 {
                if count == room {
                    match result {
                        Err(errno) => return Err(errno),
                        Ok(()) => continue,
                    }
                }
                report(kevent {
                    flags: abi::EV_ERROR,
                    data: result.map_or_else(|errno| errno.0.into(), |()| 0),
                    ..*change
                });
                count += 1;
            }
        }
        if count > 0 || room == 0 {
            return Ok(count);
        }
        let deadline = timeout.map(|timeout| start + timeout);
        let mut now = start;
        loop {
            self.kqueues[kqueue].run_timers(now);
            // What is active again at once comes with the next call.
            for _ in 0..self.kqueues[kqueue].listed.len().min(room) {
                let Some(event) = self.next_event(kqueue, now) else {
                    break;
                };
                report(event);
                count += 1;
            }
            if count > 0 || deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(count);
            }
            let timer = self.kqueues[kqueue].next_timer();
            let wake = [deadline, timer].into_iter().flatten().min();
            self.wait_for(lwp, Object::Kqueue(kqueue), wait::READ, wake)?;
            now = hypercall::now();
        }
    }
}
