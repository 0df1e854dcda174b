//! The kernel in this process.
#![allow(unsafe_code)]

use crate::errno::Failure;
use crate::kernel::{Answer, Kernel, Received, Room};
use core::ffi::{c_int, c_ulong};
use core::ptr::{null, null_mut, without_provenance_mut};
use rump_sys::abi::arrival::Bell;
use rump_sys::abi::{ifconf, iovec, kevent, msghdr, pollfd, timespec};
use rump_sys::{arrival, syscalls as sys};

/// The rump kernel that is linked to this program. It must have been booted; without
/// one, calls answer `ENOSYS`.
#[derive(Clone, Copy, Debug, Default)]
pub struct InProcess;

trait Number: Copy {
    fn number(self) -> Option<usize>;
}
impl Number for c_int {
    fn number(self) -> Option<usize> {
        usize::try_from(self).ok()
    }
}
impl Number for isize {
    fn number(self) -> Option<usize> {
        usize::try_from(self).ok()
    }
}

fn answer(result: impl Number) -> Answer<usize> {
    result
        .number()
        .ok_or_else(|| Failure(rump_sys::syscalls::errno()))
}

fn descriptor(result: c_int) -> Answer<i32> {
    answer(result).map(|number| number as i32)
}

fn message(
    data: *mut u8,
    length: usize,
    vector: &mut iovec,
    name: (*mut u8, usize),
    control: (*mut u8, usize),
) -> msghdr {
    *vector = iovec {
        iov_base: data.cast(),
        iov_len: length,
    };
    // A null pointer says that there is none.
    let or_null = |(start, length): (*mut u8, usize)| if length == 0 { null_mut() } else { start };
    msghdr {
        msg_name: or_null(name).cast(),
        msg_namelen: name.1 as u32,
        msg_iov: vector,
        msg_iovlen: 1,
        msg_control: or_null(control).cast(),
        msg_controllen: control.1 as u32,
        msg_flags: 0,
    }
}

const NO_VECTOR: iovec = iovec {
    iov_base: null_mut(),
    iov_len: 0,
};

// SAFETY of all calls below: what is passed are integers, and pointers with the lengths of
// the slices that they come from, which are borrowed, exclusively where the kernel writes,
// for the time of the call. The caller of `InProcess` has booted the kernel.
impl Kernel for InProcess {
    fn socket(&self, domain: i32, kind: i32, protocol: i32) -> Answer<i32> {
        // SAFETY: as above.
        descriptor(unsafe { sys::socket(domain, kind, protocol) })
    }
    fn bind(&self, fd: i32, name: &[u8]) -> Answer<()> {
        // SAFETY: as above.
        answer(unsafe { sys::bind(fd, name.as_ptr().cast(), name.len() as u32) }).map(drop)
    }
    fn connect(&self, fd: i32, name: &[u8]) -> Answer<()> {
        // SAFETY: as above.
        answer(unsafe { sys::connect(fd, name.as_ptr().cast(), name.len() as u32) }).map(drop)
    }
    fn listen(&self, fd: i32, backlog: i32) -> Answer<()> {
        // SAFETY: as above.
        answer(unsafe { sys::listen(fd, backlog) }).map(drop)
    }
    fn accept(&self, fd: i32, name: &mut [u8], flags: i32) -> Answer<(i32, usize)> {
        let mut length = name.len() as u32;
        // SAFETY: as above; a null mask changes nothing.
        let new = descriptor(unsafe {
            sys::paccept(fd, name.as_mut_ptr().cast(), &raw mut length, null(), flags)
        })?;
        Ok((new, length as usize))
    }
    fn getsockname(&self, fd: i32, name: &mut [u8]) -> Answer<usize> {
        let mut length = name.len() as u32;
        // SAFETY: as above.
        answer(unsafe { sys::getsockname(fd, name.as_mut_ptr().cast(), &raw mut length) })?;
        Ok(length as usize)
    }
    fn getpeername(&self, fd: i32, name: &mut [u8]) -> Answer<usize> {
        let mut length = name.len() as u32;
        // SAFETY: as above.
        answer(unsafe { sys::getpeername(fd, name.as_mut_ptr().cast(), &raw mut length) })?;
        Ok(length as usize)
    }
    fn sendmsg(
        &self,
        fd: i32,
        data: &[u8],
        name: &[u8],
        control: &[u8],
        flags: i32,
    ) -> Answer<usize> {
        let mut vector = NO_VECTOR;
        // sendmsg(2) writes to none of these.
        let message = message(
            data.as_ptr().cast_mut(),
            data.len(),
            &mut vector,
            (name.as_ptr().cast_mut(), name.len()),
            (control.as_ptr().cast_mut(), control.len()),
        );
        // SAFETY: as above.
        answer(unsafe { sys::sendmsg(fd, &raw const message, flags) })
    }
    fn recvmsg(&self, fd: i32, room: Room<'_>, flags: i32) -> Answer<Received> {
        let mut vector = NO_VECTOR;
        let mut message = message(
            room.data.as_mut_ptr(),
            room.data.len(),
            &mut vector,
            (room.name.as_mut_ptr(), room.name.len()),
            (room.control.as_mut_ptr(), room.control.len()),
        );
        // SAFETY: as above.
        let length = answer(unsafe { sys::recvmsg(fd, &raw mut message, flags) })?;
        Ok(Received {
            length,
            name: (message.msg_namelen as usize).min(room.name.len()),
            control: (message.msg_controllen as usize).min(room.control.len()),
            flags: message.msg_flags,
        })
    }
    fn getsockopt(&self, fd: i32, level: i32, name: i32, value: &mut [u8]) -> Answer<usize> {
        let mut length = value.len() as u32;
        let start = value.as_mut_ptr().cast();
        // SAFETY: as above.
        answer(unsafe { sys::getsockopt(fd, level, name, start, &raw mut length) })?;
        Ok(length as usize)
    }
    fn setsockopt(&self, fd: i32, level: i32, name: i32, value: &[u8]) -> Answer<()> {
        let start = value.as_ptr().cast();
        // SAFETY: as above.
        answer(unsafe { sys::setsockopt(fd, level, name, start, value.len() as u32) }).map(drop)
    }
    fn shutdown(&self, fd: i32, how: i32) -> Answer<()> {
        // SAFETY: as above.
        answer(unsafe { sys::shutdown(fd, how) }).map(drop)
    }
    fn fcntl(&self, fd: i32, command: i32, argument: usize) -> Answer<i32> {
        // SAFETY: as above; the commands in use take numbers.
        descriptor(unsafe { sys::fcntl(fd, command, without_provenance_mut(argument)) })
    }
    fn ioctl(&self, fd: i32, request: u64, argument: &mut [u8]) -> Answer<i32> {
        // Eight bytes more than the request says are never touched, fewer would be.
        if argument.len() < (request >> 16 & 0x1fff) as usize {
            return Err(Failure(rump_sys::abi::EINVAL));
        }
        // SAFETY: as above; the size of the argument is part of the request's number.
        descriptor(unsafe { sys::ioctl(fd, request as c_ulong, argument.as_mut_ptr().cast()) })
    }
    fn interfaces(&self, fd: i32, room: &mut [u8]) -> Answer<usize> {
        let length = c_int::try_from(room.len()).map_err(|_| Failure(rump_sys::abi::EINVAL))?;
        let mut conf = ifconf {
            ifc_len: length,
            ifc_ifcu: room.as_mut_ptr().cast(),
        };
        let request = rump_sys::abi::SIOCGIFCONF as c_ulong;
        // SAFETY: as above; the buffer has the length that the argument says.
        answer(unsafe { sys::ioctl(fd, request, (&raw mut conf).cast()) })?;
        Ok(usize::try_from(conf.ifc_len).unwrap_or(0))
    }
    fn read(&self, fd: i32, data: &mut [u8]) -> Answer<usize> {
        // SAFETY: as above.
        answer(unsafe { sys::read(fd, data.as_mut_ptr().cast(), data.len()) })
    }
    fn write(&self, fd: i32, data: &[u8]) -> Answer<usize> {
        // SAFETY: as above.
        answer(unsafe { sys::write(fd, data.as_ptr().cast(), data.len()) })
    }
    fn pipe2(&self, flags: i32) -> Answer<[i32; 2]> {
        let mut ends = [0; 2];
        // SAFETY: as above; two numbers are written.
        answer(unsafe { sys::pipe2(ends.as_mut_ptr(), flags) })?;
        Ok(ends)
    }
    fn poll(&self, fds: &mut [pollfd], timeout: i32) -> Answer<usize> {
        // SAFETY: as above.
        answer(unsafe { sys::poll(fds.as_mut_ptr(), fds.len() as u32, timeout) })
    }
    fn arrival(&self, fd: i32, room: u64, bell: &Bell) -> Answer<()> {
        if sys::are_elsewhere() {
            return Err(Failure(rump_sys::abi::ENOSYS));
        }
        // SAFETY: as above; the bell is borrowed for as long as the kernel knows it.
        match unsafe { arrival::rump_arrival(fd, room, bell) } {
            0 => Ok(()),
            error => Err(Failure(error)),
        }
    }
    fn ring(&self, bell: &Bell) {
        // SAFETY: as above.
        unsafe { arrival::rump_arrival_ring(bell) };
    }
    fn kqueue(&self) -> Answer<i32> {
        // SAFETY: as above.
        descriptor(unsafe { sys::kqueue() })
    }
    fn kevent(
        &self,
        kq: i32,
        changes: &[kevent],
        events: &mut [kevent],
        timeout: Option<u64>,
    ) -> Answer<usize> {
        let timeout = timeout.map(|nanos| timespec {
            tv_sec: (nanos / 1_000_000_000) as i64,
            tv_nsec: (nanos % 1_000_000_000) as i64,
        });
        let limit = timeout.as_ref().map_or(null(), core::ptr::from_ref);
        let (first, room) = (events.as_mut_ptr(), events.len());
        // SAFETY: as above.
        answer(unsafe { sys::kevent(kq, changes.as_ptr(), changes.len(), first, room, limit) })
    }
    fn close(&self, fd: i32) {
        // SAFETY: as above. Nobody is left to be told of a failure.
        unsafe { sys::close(fd) };
    }
}
