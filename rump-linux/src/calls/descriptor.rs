//! Descriptors: `dup(2)`, `close(2)`, `fcntl(2)`, `ioctl(2)`, pipes.

use super::interface::is_about_interfaces;
use super::neighbor::is_about_neighbors;
use super::{Args, Outcome};
use crate::errno::Errno;
use crate::host::Slot;
use crate::memory::{get, put};
use crate::object::{Description, KernelFd, Object};
use crate::process::{Process, Side};
use crate::raw::net::{AF_INET, AF_NETLINK};
use crate::raw::{general, ioctl as requests, lacking};
use alloc::sync::Arc;
use alloc::vec::Vec;
use rump_abi as abi;

pub(crate) fn close(process: &Process, args: &Args) -> Outcome {
    process.close(args[0] as i32).map(|()| 0)
}

pub(crate) fn close_range(process: &Process, args: &Args) -> Outcome {
    let (first, last, flags) = (args[0] as u32, args[1] as u32, args[2] as u32);
    let known = lacking::CLOSE_RANGE_CLOEXEC | lacking::CLOSE_RANGE_UNSHARE;
    if first > last || flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let ours: Vec<i32> = {
        let mut table = process.descriptors.write();
        let within = table
            .iter_mut()
            .filter(|(fd, _)| (first..=last).contains(&(**fd as u32)));
        within
            .map(|(fd, entry)| {
                entry.close_on_exec |= flags & lacking::CLOSE_RANGE_CLOEXEC != 0;
                *fd
            })
            .collect()
    };
    if flags & lacking::CLOSE_RANGE_CLOEXEC == 0 {
        for fd in ours {
            // Another thread may have closed it.
            let _ = process.close(fd);
        }
    }
    Ok(process.host.call(general::__NR_close_range, *args))
}

pub(crate) fn dup(process: &Process, one: &Arc<Description>, _: &Args) -> Outcome {
    let fd = process.open_as(one.clone(), Slot::Lowest(0), false)?;
    Ok(fd.into())
}

pub(crate) fn dup2(process: &Process, args: &Args) -> Outcome {
    if args[0] as i32 == args[1] as i32 && process.owns(args[0] as i32) {
        return Ok(args[1] as i32 as i64);
    }
    onto(process, args, 0, general::__NR_dup2)
}

pub(crate) fn dup3(process: &Process, args: &Args) -> Outcome {
    let flags = args[2] as u32;
    if flags & !general::O_CLOEXEC != 0 || args[0] as i32 == args[1] as i32 {
        return Err(Errno::EINVAL);
    }
    onto(process, args, flags, general::__NR_dup3)
}

/// The old descriptor, the new one, or both may be the host's.
fn onto(process: &Process, args: &Args, flags: u32, number: u32) -> Outcome {
    let (old, new) = (args[0] as i32, args[1] as i32);
    if !process.owns(old) {
        let result = process.host.call(number, *args);
        if result >= 0 {
            // The host's number now stands for something of the host's.
            let entry = process.descriptors.write().remove(&new);
            drop(entry);
        }
        return Ok(result);
    }
    if new < 0 {
        return Err(Errno::EBADF);
    }
    let one = process.find(args[0])?;
    let fd = process.open_as(one, Slot::Exactly(new), flags & general::O_CLOEXEC != 0)?;
    Ok(fd.into())
}

pub(crate) fn fcntl(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let fd = args[0] as i32;
    let argument = args[2] as u32;
    match args[1] as u32 {
        command @ (general::F_DUPFD | general::F_DUPFD_CLOEXEC) => {
            let from = i32::try_from(argument).map_err(|_| Errno::EINVAL)?;
            let close_on_exec = command == general::F_DUPFD_CLOEXEC;
            let fd = process.open_as(one.clone(), Slot::Lowest(from), close_on_exec)?;
            Ok(fd.into())
        }
        general::F_GETFD => {
            let table = process.descriptors.read();
            let entry = table.get(&fd).ok_or(Errno::EBADF)?;
            Ok(if entry.close_on_exec {
                general::FD_CLOEXEC.into()
            } else {
                0
            })
        }
        general::F_SETFD => {
            let mut table = process.descriptors.write();
            let entry = table.get_mut(&fd).ok_or(Errno::EBADF)?;
            entry.close_on_exec = argument & general::FD_CLOEXEC != 0;
            Ok(0)
        }
        general::F_GETFL => Ok(one.flags().into()),
        general::F_SETFL => {
            let kept = one.flags() & !general::O_NONBLOCK;
            one.set_flags(kept | argument & general::O_NONBLOCK);
            Ok(0)
        }
        general::F_SETOWN => Ok(0),
        general::F_GETOWN => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

pub(crate) fn ioctl(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let request = args[1] as u32;
    match request {
        requests::FIONBIO => {
            let on: i32 = get(&*process.host, args[2])?;
            let kept = one.flags() & !general::O_NONBLOCK;
            one.set_flags(kept | if on == 0 { 0 } else { general::O_NONBLOCK });
            return Ok(0);
        }
        requests::FIOCLEX | requests::FIONCLEX => {
            let mut table = process.descriptors.write();
            let entry = table.get_mut(&(args[0] as i32)).ok_or(Errno::EBADF)?;
            entry.close_on_exec = request == requests::FIOCLEX;
            return Ok(0);
        }
        _ => {}
    }
    let domain = match &one.object {
        Object::Socket(socket) => Some(socket.domain),
        Object::Netlink(_) => Some(AF_NETLINK),
        _ => None,
    };
    if let Some(domain) = domain.filter(|_| is_about_interfaces(request)) {
        return process.about_interfaces(domain == AF_INET, request, args[2]);
    }
    if domain == Some(AF_INET) && is_about_neighbors(request) {
        return process.about_neighbors(request, args[2]);
    }
    let fd = match &one.object {
        Object::Socket(socket) => {
            let state = socket.state.lock();
            if request == requests::FIONREAD && socket.is_stream() && state.listening {
                return Err(Errno::EINVAL);
            }
            if request == requests::FIONREAD && !socket.is_stream() {
                let length = process.next_message(socket)?;
                put(&*process.host, args[2], &(length as i32))?;
                return Ok(0);
            }
            socket.fd.number
        }
        Object::Pipe(fd) => fd.number,
        _ => return Err(Errno::ENOTTY),
    };
    // What a number is told for: bytes to be read, bytes not sent yet, the place of
    // urgent data.
    let request = match request {
        requests::FIONREAD => abi::FIONREAD,
        requests::TIOCOUTQ => abi::FIONWRITE,
        requests::SIOCATMARK => abi::SIOCATMARK,
        _ => return Err(Errno::ENOTTY),
    };
    let mut number = [0; 4];
    process.kernel.ioctl(fd, request, &mut number)?;
    put(&*process.host, args[2], &i32::from_ne_bytes(number))?;
    Ok(0)
}

pub(crate) fn pipe(process: &Process, args: &Args) -> Outcome {
    pipe2(process, &[args[0], 0, 0, 0, 0, 0])
}

pub(crate) fn pipe2(process: &Process, args: &Args) -> Outcome {
    if process.rules.pipes == Side::Host {
        return Ok(process.host.call(general::__NR_pipe2, *args));
    }
    let flags = args[1] as u32;
    if flags & !(general::O_NONBLOCK | general::O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let ends = process
        .kernel
        .pipe2(abi::O_NONBLOCK | abi::O_CLOEXEC)?
        .map(|fd| KernelFd::new(&process.kernel, fd));
    let mut numbers = [0; 2];
    let access = [general::O_RDONLY, general::O_WRONLY];
    for ((end, access), at) in ends.into_iter().zip(access).zip(0..) {
        let status = access | flags & general::O_NONBLOCK;
        let opened = process.open(Object::Pipe(end), status, flags & general::O_CLOEXEC != 0);
        match opened {
            Ok(fd) => numbers[at] = fd,
            Err(errno) => {
                give_up(process, &numbers[..at]);
                return Err(errno);
            }
        }
    }
    if put(&*process.host, args[0], &numbers).is_err() {
        give_up(process, &numbers);
        return Err(Errno::EFAULT);
    }
    Ok(0)
}

fn give_up(process: &Process, numbers: &[i32]) {
    for fd in numbers {
        // Nobody knew of it yet.
        let _ = process.close(*fd);
    }
}
