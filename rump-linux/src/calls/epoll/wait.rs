//! Waiting for an epoll instance: one `kevent(2)`, if nothing is ready beside the kernel.

use crate::calls::{Args, Outcome};
use crate::errno::Errno;
use crate::kernel::change;
use crate::memory::put;
use crate::object::{BELL, CALLER, Description, Epoll, First, Interest, Object};
use crate::process::Process;
use crate::raw::general::{EPOLLET, EPOLLONESHOT, POLLPRI, epoll_event};
use crate::translate::flags::{ALWAYS, IN, OUT, RDHUP};
use crate::wait::{Doorbell, Waker};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use rump_abi as abi;

/// `EP_MAX_EVENTS` of Linux.
const MOST_EVENTS: i32 = i32::MAX / size_of::<epoll_event>() as i32;
/// How many events are found at a time.
const BATCH: usize = 128;
const SIZE: u64 = size_of::<epoll_event>() as u64;

impl Interest {
    /// What is told of it.
    fn asked(&self) -> u32 {
        self.events & (IN | OUT | RDHUP | POLLPRI) | ALWAYS
    }

    fn is_edge(&self) -> bool {
        self.events & EPOLLET != 0
    }
}

/// What is ready.
struct Found {
    events: Vec<epoll_event>,
    /// The keys of those that are not the host's, from the first on.
    keys: Vec<u64>,
    most: usize,
    /// Some of it may be there for another thread, too.
    stays: bool,
}

impl Found {
    fn room(&self) -> usize {
        self.most - self.events.len()
    }

    /// Adds an event, or what it says to the same interest's other one.
    fn add(&mut self, key: u64, ready: u32, data: u64) {
        if let Some(at) = self.keys.iter().position(|other| *other == key) {
            self.events[at].events |= ready;
            return;
        }
        // The host's come last.
        let at = self.keys.len();
        self.keys.push(key);
        let event = epoll_event {
            events: ready,
            data,
        };
        self.events.insert(at, event);
    }
}

impl Process {
    /// Whether an `epoll_wait(2)` would find something, which it still does afterwards.
    pub(crate) fn epoll_is_ready(&self, epoll: &Epoll) -> Result<bool, Errno> {
        epoll.bell.silence();
        for (_, interest) in epoll.asked() {
            if self.new_of(&interest)?.is_some() {
                return Ok(true);
            }
        }
        if epoll.watched.get().is_some_and(|host| host.is_ready()) {
            return Ok(true);
        }
        let mut ready = false;
        self.active(epoll, BATCH, Some(0), |event| {
            if let Some((one, interest, told)) = self.told(epoll, event)?
                && told & interest.asked() != 0
            {
                ready = true;
                if interest.is_edge() {
                    self.again(epoll, &one, event.udata as u64)?;
                }
            }
            Ok(())
        })?;
        Ok(ready)
    }

    /// What an object that is looked at each time is ready for, and its last change, if that
    /// is to be told.
    fn new_of(&self, interest: &Interest) -> Result<Option<(u32, u64)>, Errno> {
        let Some(one) = interest.target.upgrade() else {
            return Ok(None);
        };
        if interest.spent || interest.is_edge() && matches!(one.object, Object::Epoll(_)) {
            return Ok(None);
        }
        let (ready, change) = self.ready(&one)?;
        let is_old = interest.is_edge() && interest.seen == change;
        let ready = ready & interest.asked();
        Ok((ready != 0 && !is_old).then_some((ready, change)))
    }

    /// Takes what is ready of what the kernel does not know.
    fn take_others(&self, epoll: &Epoll, found: &mut Found) -> Result<(), Errno> {
        self.take_asked(epoll, found)?;
        take_hosts(epoll, found);
        found.stays |= !found.events.is_empty();
        Ok(())
    }

    fn take_asked(&self, epoll: &Epoll, found: &mut Found) -> Result<(), Errno> {
        for (key, interest) in epoll.asked() {
            if found.room() == 0 {
                break;
            }
            let Some((ready, change)) = self.new_of(&interest)? else {
                if interest.target.strong_count() == 0 {
                    epoll.interests.lock().remove(key);
                }
                continue;
            };
            let mut interests = epoll.interests.lock();
            let Some(kept) = interests.get(key).filter(|kept| !kept.spent) else {
                continue;
            };
            kept.seen = change;
            kept.spent = interest.events & EPOLLONESHOT != 0;
            found.add(key, ready, interest.data);
            interests.told(key);
            if found.room() == 0 {
                epoll.set_next(First::Hosts);
            }
        }
        Ok(())
    }

    /// Takes what is active in the kqueue, and waits for it; `timeout` in nanoseconds.
    fn take_kernels(
        &self,
        epoll: &Epoll,
        found: &mut Found,
        timeout: Option<u64>,
    ) -> Result<(), Errno> {
        self.active(epoll, found.room(), timeout, |event| {
            self.take_kernel(epoll, found, event)
        })
    }

    fn take_kernel(
        &self,
        epoll: &Epoll,
        found: &mut Found,
        event: &abi::kevent,
    ) -> Result<(), Errno> {
        let key = event.udata as u64;
        match key {
            BELL => epoll.bell.hear(),
            CALLER => epoll.call(event.ident as i32),
            _ => {}
        }
        let Some((one, interest, told)) = self.told(epoll, event)? else {
            return Ok(());
        };
        let ready = told & interest.asked();
        if ready == 0 {
            return Ok(());
        }
        if interest.events & EPOLLONESHOT != 0 {
            let spent = (epoll.interests.lock().get(key))
                .is_none_or(|kept| core::mem::replace(&mut kept.spent, true));
            if !spent {
                found.add(key, ready, interest.data);
                self.forget(epoll, &one, key);
            }
            return Ok(());
        }
        found.add(key, ready, interest.data);
        found.stays |= !interest.is_edge();
        // Its filter says each thing once, as it was not asked for data.
        if event.filter == abi::EVFILT_READ && interest.events & (IN | EPOLLET) == 0 {
            self.again(epoll, &one, key)?;
        }
        Ok(())
    }

    /// Waits until something is active in the kqueue, and hands out what it is.
    fn active(
        &self,
        epoll: &Epoll,
        most: usize,
        timeout: Option<u64>,
        mut each: impl FnMut(&abi::kevent) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        // Without room it would not wait, but there is nothing to be had either.
        if most == 0 {
            return Ok(());
        }
        let spare = epoll.room.lock().take();
        let mut room = spare.unwrap_or_else(|| vec![change(0, 0, 0, 0); BATCH]);
        let most = most.min(BATCH);
        let count = (self.kernel).kevent(epoll.kq.number, &[], &mut room[..most], timeout)?;
        room[..count].iter().try_for_each(&mut each)?;
        *epoll.room.lock() = Some(room);
        Ok(())
    }

    /// Whom an event of the kqueue's is about, and what that is ready for.
    fn told(
        &self,
        epoll: &Epoll,
        event: &abi::kevent,
    ) -> Result<Option<(Arc<Description>, Interest, u32)>, Errno> {
        let key = event.udata as u64;
        // A doorbell, or one that was changed since: that is told of under its new key.
        let interest = epoll.interests.lock().get(key).cloned();
        let Some(interest) = interest.filter(|interest| !interest.spent) else {
            return Ok(None);
        };
        let Some(one) = interest.target.upgrade() else {
            return Ok(None);
        };
        let plain = event.flags & abi::EV_EOF == 0
            && event.data > 0
            && interest.events & (POLLPRI | EPOLLONESHOT) == 0;
        let ready = match &one.object {
            Object::Socket(_) if plain && event.filter == abi::EVFILT_READ => IN,
            Object::Socket(_) if plain => OUT,
            // It is among those that are looked at.
            Object::Epoll(_) if !interest.is_edge() => 0,
            _ => self.ready(&one)?.0,
        };
        Ok(Some((one, interest, ready)))
    }

    fn epoll_wait(&self, one: &Description, args: &Args, timeout: Option<u64>) -> Outcome {
        let Object::Epoll(epoll) = &one.object else {
            return Err(Errno::EINVAL);
        };
        let most = args[2] as i32;
        if !(1..=MOST_EVENTS).contains(&most) {
            return Err(Errno::EINVAL);
        }
        let mut found = Found {
            events: Vec::new(),
            keys: Vec::new(),
            most: BATCH.min(most as usize),
            stays: false,
        };
        let taken = self.take(epoll, timeout, &mut found);
        if found.stays || epoll.asks() {
            epoll.pass_on();
        }
        taken?;
        for (event, index) in found.events.iter().zip(0..) {
            let at = args[1].checked_add(index * SIZE).ok_or(Errno::EFAULT)?;
            put(&*self.host, at, event)?;
        }
        Ok(found.events.len() as i64)
    }

    /// Takes what is ready, and waits if nothing is.
    fn take(&self, epoll: &Epoll, timeout: Option<u64>, found: &mut Found) -> Result<(), Errno> {
        match epoll.take_next() {
            First::Asked => {}
            First::Hosts => take_hosts(epoll, found),
            First::Kernels => self.take_kernels(epoll, found, Some(0))?,
        }
        if timeout == Some(0) || !found.events.is_empty() {
            epoll.bell.silence();
            self.take_others(epoll, found)?;
            return self.take_kernels(epoll, found, Some(0));
        }
        let deadline = timeout.map(|timeout| self.now().saturating_add(timeout));
        let caller = epoll.caller()?;
        let waited = self.wait_for_events(epoll, &caller, deadline, found);
        epoll.left(caller);
        waited
    }

    fn wait_for_events(
        &self,
        epoll: &Epoll,
        caller: &Arc<Doorbell>,
        deadline: Option<u64>,
        found: &mut Found,
    ) -> Result<(), Errno> {
        let waker = Waker(caller.clone());
        loop {
            epoll.bell.silence();
            self.take_others(epoll, found)?;
            let now = self.now();
            if !found.events.is_empty() || deadline.is_some_and(|deadline| now >= deadline) {
                return self.take_kernels(epoll, found, Some(0));
            }
            let targets = epoll.asked();
            let targets = targets.iter().filter(|(_, interest)| !interest.spent);
            let targets = targets.filter_map(|(_, interest)| interest.target.upgrade());
            let expiries = targets.filter_map(|one| self.expiry(&one));
            let next = expiries.chain(deadline).min();
            let timeout = next.map(|next| next.saturating_sub(now));
            self.host.asleep(&waker);
            let taken = self.take_kernels(epoll, found, timeout);
            let interrupted = self.host.awake();
            taken?;
            if !found.events.is_empty() {
                return Ok(());
            }
            if interrupted {
                return Err(Errno::EINTR);
            }
        }
    }
}

fn take_hosts(epoll: &Epoll, found: &mut Found) {
    let (first, room) = (found.events.len(), found.room());
    let Some(host) = epoll.watched.get().filter(|_| room > 0) else {
        return;
    };
    let nothing = epoll_event { events: 0, data: 0 };
    found.events.resize(found.most, nothing);
    let count = host.ready(&mut found.events[first..]);
    found.events.truncate(first + count);
    if count == room {
        epoll.set_next(First::Kernels);
    }
}

pub(crate) fn wait(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let timeout = u64::try_from(args[3] as i32).ok();
    process.epoll_wait(one, args, timeout.map(|millis| millis * 1_000_000))
}

pub(crate) fn pwait(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    process.masked(args[4], args[5], || wait(process, one, args))
}

pub(crate) fn pwait2(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let timeout = process.timeout(args[3])?;
    process.masked(args[4], args[5], || process.epoll_wait(one, args, timeout))
}
