//! `epoll(7)` over `kqueue(2)`.
//!
//! A member of the kernel's is registered in the kqueue, for reading and writing as far as
//! it was asked for: level-triggered as it is, edge-triggered with `EV_CLEAR`. One-shots are
//! taken out when they were reported. When the kqueue says that a member is active, the
//! member is asked what it is ready for, so that errors and ends are told as Linux does.
//! Other members are asked each time; their changes ring a bell that is in the kqueue.

use super::{Args, Outcome};
use crate::errno::Errno;
use crate::kernel::change;
use crate::memory::{get, put};
use crate::object::{Description, Epoll, Interest, KernelFd, Object, Target};
use crate::process::Process;
use crate::raw::general::{
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, O_CLOEXEC,
    O_RDWR, epoll_event, pollfd,
};
use crate::translate::flags::{ALWAYS, IN, OUT, RDHUP};
use crate::wait::{Doorbell, Wants};
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rump_abi as abi;

/// `EP_MAX_EVENTS` of Linux.
const MOST_EVENTS: i32 = i32::MAX / size_of::<epoll_event>() as i32;
/// How many events of the kernel's are fetched at a time.
const BATCH: usize = 128;
const SIZE: u64 = size_of::<epoll_event>() as u64;

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
    let kq = KernelFd::new(&process.kernel, process.kernel.kqueue()?);
    let bell = Doorbell::new(&process.kernel)?;
    let change = change(bell.read, abi::EVFILT_READ, abi::EV_ADD, 0);
    process.kernel.kevent(kq.number, &[change], &mut [], None)?;
    let epoll = Object::Epoll(Epoll {
        kq,
        bell,
        interests: spin::Mutex::default(),
    });
    let fd = process.open(epoll, O_RDWR, flags & O_CLOEXEC != 0)?;
    Ok(fd.into())
}

impl Process {
    /// Puts an interest into the kqueue.
    fn arm(&self, epoll: &Epoll, one: &Description, key: u64, events: u32) -> Result<(), Errno> {
        let Some(fd) = one.kernel_fd() else {
            if let Some(watchers) = one.watchers() {
                watchers.add(&epoll.bell);
                epoll.bell.ring();
            }
            return Ok(());
        };
        let edge = if events & EPOLLET != 0 {
            abi::EV_CLEAR
        } else {
            0
        };
        // An end shows as something to read; who asked for nothing else must not be woken
        // by data again and again.
        let reads = if events & IN != 0 {
            edge
        } else {
            abi::EV_CLEAR
        };
        let ends = match &one.object {
            Object::Pipe(_) => events & IN != 0,
            _ => true,
        };
        if ends {
            let change = change(fd, abi::EVFILT_READ, abi::EV_ADD | reads, key);
            self.kernel
                .kevent(epoll.kq.number, &[change], &mut [], None)?;
        }
        if events & OUT != 0 {
            let change = change(fd, abi::EVFILT_WRITE, abi::EV_ADD | edge, key);
            self.kernel
                .kevent(epoll.kq.number, &[change], &mut [], None)?;
        }
        Ok(())
    }

    fn disarm(&self, epoll: &Epoll, one: &Description) {
        if let Some(watchers) = one.watchers() {
            watchers.remove(&epoll.bell);
        }
        let Some(fd) = one.kernel_fd() else { return };
        for which in [abi::EVFILT_READ, abi::EVFILT_WRITE] {
            let change = change(fd, which, abi::EV_DELETE, 0);
            // It may not have been asked for.
            let _ = self
                .kernel
                .kevent(epoll.kq.number, &[change], &mut [], None);
        }
    }

    /// Whether an `epoll_wait(2)` would find something.
    pub(crate) fn epoll_is_ready(&self, epoll: &Epoll) -> Result<bool, Errno> {
        Ok(!self.look(epoll, 1, false)?.is_empty())
    }

    /// What members are ready, at most so many; `take` reports edges and one-shots.
    fn look(&self, epoll: &Epoll, most: usize, take: bool) -> Result<Vec<epoll_event>, Errno> {
        epoll.bell.silence();
        let mut active = BTreeSet::new();
        let mut events = [change(0, 0, 0, 0); BATCH];
        // Without taking, edges must stay where they are.
        if take {
            let room = most.saturating_mul(2).clamp(2, BATCH);
            let count = self
                .kernel
                .kevent(epoll.kq.number, &[], &mut events[..room], Some(0))?;
            active.extend(events[..count].iter().map(|event| event.udata as u64));
        }
        let interests = epoll.interests.lock().by_key.clone();
        let mut found = Vec::new();
        for (key, interest) in interests {
            if found.len() == most {
                // The edge of one that finds no room any more is made again.
                let lost = active.contains(&key) && interest.events & EPOLLET != 0;
                if let (true, Target::Ours(target)) = (lost, &interest.target)
                    && let Some(one) = target.upgrade()
                {
                    self.disarm(epoll, &one);
                    self.arm(epoll, &one, key, interest.events)?;
                }
                continue;
            }
            if interest.spent {
                continue;
            }
            let asked =
                interest.events & (IN | OUT | RDHUP | crate::raw::general::POLLPRI) | ALWAYS;
            let (ready, change, one) = match &interest.target {
                Target::Host => {
                    let mut entry = [pollfd {
                        fd: interest.fd,
                        events: asked as i16,
                        revents: 0,
                    }];
                    self.host.poll(&mut entry, Some(0))?;
                    (u32::from(entry[0].revents as u16), 0, None)
                }
                Target::Ours(target) => {
                    let Some(one) = target.upgrade() else {
                        epoll.interests.lock().by_key.remove(&key);
                        continue;
                    };
                    if take && one.kernel_fd().is_some() && !active.contains(&key) {
                        continue;
                    }
                    let (ready, change) = self.ready(&one)?;
                    (ready, change, Some(one))
                }
            };
            let edge = interest.events & EPOLLET != 0;
            let told = edge
                && one.as_ref().is_some_and(|one| one.kernel_fd().is_none())
                && interest.seen == change;
            if ready & asked == 0 || told {
                continue;
            }
            if take {
                if interest.events & EPOLLONESHOT != 0
                    && let Some(one) = &one
                {
                    self.disarm(epoll, one);
                }
                if let Some(kept) = epoll.interests.lock().by_key.get_mut(&key) {
                    kept.seen = change;
                    kept.spent = interest.events & EPOLLONESHOT != 0;
                }
            }
            found.push(epoll_event {
                events: ready & asked,
                data: interest.data,
            });
        }
        Ok(found)
    }

    fn epoll_wait(&self, args: &Args, timeout: Option<u64>) -> Outcome {
        let one = self.find(args[0])?;
        let Object::Epoll(epoll) = &one.object else {
            return Err(Errno::EINVAL);
        };
        let most = args[2] as i32;
        if !(1..=MOST_EVENTS).contains(&most) {
            return Err(Errno::EINVAL);
        }
        let host: Vec<_> = {
            let interests = epoll.interests.lock();
            let theirs = interests
                .by_key
                .values()
                .filter(|interest| matches!(interest.target, Target::Host) && !interest.spent);
            theirs
                .map(|interest| pollfd {
                    fd: interest.fd,
                    events: interest.events as i16,
                    revents: 0,
                })
                .collect()
        };
        let wants = Wants {
            ours: Vec::from([(one.clone(), abi::POLLIN)]),
            host,
            deadline: timeout.map(|timeout| self.now().saturating_add(timeout)),
        };
        let found = self.wait(&wants, || {
            let found = self.look(epoll, most as usize, true)?;
            Ok((!found.is_empty()).then_some(found))
        })?;
        let found = found.unwrap_or_default();
        for (event, index) in found.iter().zip(0..) {
            let at = args[1].checked_add(index * SIZE).ok_or(Errno::EFAULT)?;
            put(&*self.host, at, event)?;
        }
        Ok(found.len() as i64)
    }
}

pub(crate) fn ctl(process: &Process, args: &Args) -> Outcome {
    let (operation, fd) = (args[1] as u32, args[2] as i32);
    let event: epoll_event = match operation {
        EPOLL_CTL_DEL => epoll_event { events: 0, data: 0 },
        _ => get(&*process.host, args[3])?,
    };
    let outer = process.find(args[0])?;
    let one = process.find(args[2]).ok();
    if one.is_none() {
        check_host(process, fd)?;
    }
    let Object::Epoll(epoll) = &outer.object else {
        return Err(Errno::EINVAL);
    };
    if one.as_ref().is_some_and(|one| Arc::ptr_eq(one, &outer)) {
        return Err(Errno::EINVAL);
    }
    if let Some(Object::Epoll(inner)) = one.as_ref().map(|one| &one.object)
        && (inner.members().iter()).any(|member| matches!(member.object, Object::Epoll(_)))
    {
        // A chain of two is enough for everybody seen; a circle would never end.
        return Err(Errno::ELOOP);
    }
    let events = event.events;
    let known = epoll.interests.lock().find(fd, one.as_ref());
    match (operation, known) {
        (EPOLL_CTL_ADD, Some(_)) => return Err(Errno::EEXIST),
        (EPOLL_CTL_DEL | EPOLL_CTL_MOD, None) => return Err(Errno::ENOENT),
        (EPOLL_CTL_MOD, _) if events & EPOLLEXCLUSIVE != 0 => return Err(Errno::EINVAL),
        (EPOLL_CTL_ADD | EPOLL_CTL_MOD | EPOLL_CTL_DEL, _) => {}
        _ => return Err(Errno::EINVAL),
    }
    if let Some(key) = known {
        if let Some(one) = &one {
            process.disarm(epoll, one);
        }
        epoll.interests.lock().by_key.remove(&key);
    }
    if operation != EPOLL_CTL_DEL {
        let target = match &one {
            Some(one) => Target::Ours(Arc::downgrade(one)),
            None => Target::Host,
        };
        let key = epoll.interests.lock().insert(Interest {
            fd,
            target,
            events,
            data: event.data,
            spent: false,
            seen: 0,
        });
        if let Some(one) = &one {
            process.arm(epoll, one, key, events)?;
        }
    }
    // Who waits already may wait for other things now.
    epoll.bell.ring();
    Ok(0)
}

/// Whether the host has such a descriptor.
fn check_host(process: &Process, fd: i32) -> Result<(), Errno> {
    let mut entry = [pollfd {
        fd,
        events: 0,
        revents: 0,
    }];
    let known = process.host.poll(&mut entry, Some(0));
    match known {
        Ok(_) if fd >= 0 && entry[0].revents as u32 & crate::raw::general::POLLNVAL == 0 => Ok(()),
        _ => Err(Errno::EBADF),
    }
}

pub(crate) fn wait(process: &Process, args: &Args) -> Outcome {
    let timeout = u64::try_from(args[3] as i32).ok();
    process.epoll_wait(args, timeout.map(|millis| millis * 1_000_000))
}

pub(crate) fn pwait(process: &Process, args: &Args) -> Outcome {
    process.masked(args[4], args[5], || wait(process, args))
}

pub(crate) fn pwait2(process: &Process, args: &Args) -> Outcome {
    let timeout = process.timeout(args[3])?;
    process.masked(args[4], args[5], || process.epoll_wait(args, timeout))
}
