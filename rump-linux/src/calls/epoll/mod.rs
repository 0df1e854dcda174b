//! `epoll(7)` over `kqueue(2)`: making an instance, and changing it.
//!
//! A member of the kernel's is registered in the kqueue, for reading and writing as far as
//! it was asked for: level-triggered as it is, edge-triggered with `EV_CLEAR`. One-shots are
//! taken out when they were reported. Members of the host's are in an instance of the host's.
//! Other members are looked at each time; their changes, and the host's, ring a bell that is
//! in the kqueue.

mod wait;

pub(crate) use wait::{pwait, pwait2, wait};

use super::{Args, Outcome};
use crate::errno::Errno;
use crate::kernel::change;
use crate::memory::get;
use crate::object::{Description, Epoll, Interest, Object};
use crate::process::Process;
use crate::raw::general::{
    __NR_fcntl, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLEXCLUSIVE, F_GETFD,
    O_ACCMODE, O_CLOEXEC, O_RDONLY, O_RDWR, epoll_event,
};
use crate::translate::flags::{IN, OUT};
use crate::wait::Waker;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rump_abi as abi;

pub(crate) fn create(process: &Process, args: &Args) -> Outcome {
    if args[0] as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    create1(process, &[0; 6])
}

pub(crate) fn create1(process: &Process, args: &Args) -> Outcome {
    let flags = args[0] as u32;
    if flags & !O_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let epoll = Object::Epoll(Epoll::new(&process.kernel)?);
    let fd = process.open(epoll, O_RDWR, flags & O_CLOEXEC != 0)?;
    Ok(fd.into())
}

pub(crate) fn ctl(process: &Process, outer: &Arc<Description>, args: &Args) -> Outcome {
    let (operation, fd) = (args[1] as u32, args[2] as i32);
    let event: epoll_event = match operation {
        EPOLL_CTL_DEL => epoll_event { events: 0, data: 0 },
        _ => get(&*process.host, args[3])?,
    };
    let Object::Epoll(epoll) = &outer.object else {
        return Err(Errno::EINVAL);
    };
    let Ok(one) = process.find(args[2]) else {
        if epoll.watched.get().is_none() {
            // Before the set is made, whose number it might be.
            let asked = [args[2], F_GETFD.into(), 0, 0, 0, 0];
            let known = process.host.call(__NR_fcntl, asked);
            match operation {
                _ if known < 0 => return Err(Errno::EBADF),
                EPOLL_CTL_ADD => {}
                EPOLL_CTL_DEL | EPOLL_CTL_MOD => return Err(Errno::ENOENT),
                _ => return Err(Errno::EINVAL),
            }
        }
        let waker = || Waker(epoll.bell.clone());
        let watched = epoll.watched(|| process.host.watch(waker()))?;
        return watched.control(operation, fd, event).map(|()| 0);
    };
    if Arc::ptr_eq(&one, outer) {
        return Err(Errno::EINVAL);
    }
    if let Object::Epoll(inner) = &one.object
        && (inner.members().iter()).any(|member| matches!(member.object, Object::Epoll(_)))
    {
        // A chain of two is enough for everybody seen; a circle would never end.
        return Err(Errno::ELOOP);
    }
    process.change_interest(epoll, operation, fd, &one, event)?;
    Ok(0)
}

impl Process {
    fn change_interest(
        &self,
        epoll: &Epoll,
        operation: u32,
        fd: i32,
        one: &Arc<Description>,
        event: epoll_event,
    ) -> Result<(), Errno> {
        let _changing = epoll.changing.lock();
        let known = epoll.interests.lock().find(fd, one);
        match (operation, &known) {
            (EPOLL_CTL_ADD, Some(_)) => return Err(Errno::EEXIST),
            (EPOLL_CTL_DEL | EPOLL_CTL_MOD, None) => return Err(Errno::ENOENT),
            (EPOLL_CTL_MOD, _) if event.events & EPOLLEXCLUSIVE != 0 => return Err(Errno::EINVAL),
            (EPOLL_CTL_ADD | EPOLL_CTL_MOD | EPOLL_CTL_DEL, _) => {}
            _ => return Err(Errno::EINVAL),
        }
        let mut changes = Vec::new();
        if let Some((key, old)) = known {
            if !old.spent {
                changes.extend(filters(one, old.events, abi::EV_DELETE, key));
            }
            epoll.interests.lock().remove(key);
            if let Some(watchers) = one.watchers() {
                watchers.remove(&epoll.bell);
            }
        }
        if operation == EPOLL_CTL_DEL {
            // What is not there any more need not be deleted.
            let _ = self.tell(epoll, &changes);
            return Ok(());
        }
        let interest = Interest {
            target: Arc::downgrade(one),
            events: event.events,
            data: event.data,
            spent: false,
            seen: 0,
        };
        self.adopt(epoll, fd, one, interest, changes)
    }

    /// Adds an interest, after other changes of the kqueue; nobody else changes it.
    pub(crate) fn adopt(
        &self,
        epoll: &Epoll,
        fd: i32,
        one: &Arc<Description>,
        interest: Interest,
        mut changes: Vec<abi::kevent>,
    ) -> Result<(), Errno> {
        let (events, spent) = (interest.events, interest.spent);
        let key = epoll.interests.lock().insert(fd, one, interest);
        if !spent {
            changes.extend(filters(one, events, abi::EV_ADD, key));
        }
        if let Err(errno) = self.tell(epoll, &changes) {
            epoll.interests.lock().remove(key);
            return Err(errno);
        }
        if let Some(watchers) = one.watchers() {
            watchers.add(&epoll.bell);
        }
        if one.is_asked() {
            // Who waits already may wait for this now.
            epoll.bell.ring();
        }
        Ok(())
    }

    /// Makes changes of the kqueue. A deletion may fail, as a descriptor can be a member under
    /// two numbers and the kqueue has it once.
    fn tell(&self, epoll: &Epoll, changes: &[abi::kevent]) -> Result<(), Errno> {
        let make = |changes: &[abi::kevent]| {
            let made = self.kernel.kevent(epoll.kq.number, changes, &mut [], None);
            made.map(drop).map_err(Errno::from)
        };
        if changes.is_empty() || make(changes).is_ok() {
            return Ok(());
        }
        for change in changes {
            let made = make(core::slice::from_ref(change));
            // A pipe that nobody reads cannot be waited for; its end shows in the other filter.
            let ended = change.filter == abi::EVFILT_WRITE && made == Err(Errno::EBADF);
            if change.flags & abi::EV_ADD != 0 && !ended {
                made?;
            }
        }
        Ok(())
    }

    /// Has the kqueue forget a one-shot that was reported, unless the program has changed it.
    fn forget(&self, epoll: &Epoll, one: &Description, key: u64) {
        let _changing = epoll.changing.lock();
        let interest = epoll.interests.lock().get(key).cloned();
        if let Some(interest) = interest {
            let gone = filters(one, interest.events, abi::EV_DELETE, key);
            let _ = self.tell(epoll, &gone.collect::<Vec<_>>());
        }
    }

    /// Has the kqueue report an interest again, if it still is what it was.
    fn again(&self, epoll: &Epoll, one: &Description, key: u64) -> Result<(), Errno> {
        let _changing = epoll.changing.lock();
        let interest = epoll.interests.lock().get(key).cloned();
        let Some(interest) = interest.filter(|interest| !interest.spent) else {
            return Ok(());
        };
        let filters = |flag| filters(one, interest.events, flag, key);
        let changes: Vec<_> = filters(abi::EV_DELETE)
            .chain(filters(abi::EV_ADD))
            .collect();
        self.tell(epoll, &changes)
    }
}

/// The changes of the kqueue that an interest comes to: `flag` adds or deletes.
fn filters(
    one: &Description,
    events: u32,
    flag: u32,
    key: u64,
) -> impl Iterator<Item = abi::kevent> + use<> {
    let edge = if events & EPOLLET != 0 {
        abi::EV_CLEAR
    } else {
        0
    };
    let (reads, writes) = (events & IN != 0, events & OUT != 0);
    let (read, write) = match &one.object {
        // An end shows as something to read; who asked for nothing else must not be woken
        // by data again and again.
        Object::Socket(_) | Object::Pipe(_) => {
            let ends = if reads { edge } else { abi::EV_CLEAR };
            let writes = writes && one.flags() & O_ACCMODE != O_RDONLY;
            (Some(ends), writes.then_some(edge))
        }
        // It is asked when it was active; this wakes.
        Object::Epoll(_) => (Some(abi::EV_CLEAR), None),
        Object::Event(_) | Object::Timer(_) | Object::Netlink(_) => (None, None),
    };
    let fd = one.kernel_fd();
    let filter = move |which, flags: Option<u32>| Some(change(fd?, which, flag | flags?, key));
    let read = filter(abi::EVFILT_READ, read);
    read.into_iter().chain(filter(abi::EVFILT_WRITE, write))
}
