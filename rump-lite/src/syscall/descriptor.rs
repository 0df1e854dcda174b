//! Descriptors and processes: `read(2)`, `fcntl(2)`, `pipe2(2)`, `getpid(2)` and so on.
#![allow(missing_docs)]

use super::call;
use crate::file::{File, Object, with_file};
use crate::kernel::Guard;
use crate::lwp::{self, Lwp};
use crate::pipe::Pipe;
use crate::process::FIRST_PROCESS;
use crate::user::{Reader, Writer};
use crate::wait;
use alloc::vec::Vec;
use core::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use rump_abi::{self as abi, iovec, rlimit};
use rump_hyper::errno::Errno;

fn read(kernel: &mut Guard, lwp: &Lwp, file: File, out: &mut Writer<'_>) -> Result<isize, Errno> {
    let length = match file.object {
        Object::Socket(socket) => kernel.receive_from(lwp, file, socket, out, 0)?.length,
        Object::Reader(pipe) => kernel.read_pipe(lwp, file, pipe, out)?,
        Object::Writer(_) => return Err(Errno::BADF),
        Object::Routing(socket) => kernel.read_routing(lwp, file, socket, out, 0)?.length,
        Object::Kqueue(_) => return Err(Errno::NXIO),
    };
    Ok(length as isize)
}

fn write(kernel: &mut Guard, lwp: &Lwp, file: File, from: &mut Reader<'_>) -> Result<isize, Errno> {
    let length = match file.object {
        Object::Socket(socket) => kernel.send(lwp, file, socket, from, None, 0)?,
        Object::Writer(pipe) => kernel.write_pipe(lwp, file, pipe, from)?,
        Object::Reader(_) => return Err(Errno::BADF),
        Object::Routing(socket) => kernel.write_routing(socket, from)?,
        Object::Kqueue(_) => return Err(Errno::NXIO),
    };
    Ok(length as isize)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_open(_: *const c_char, _: c_int, _: c_uint) -> c_int {
    call(|kernel, _| -> Result<c_int, _> {
        Err(kernel.lacks(format_args!("files and devices (open(2))"), Errno::NOSYS))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_read(fd: c_int, buf: *mut c_void, len: usize) -> isize {
    call(|kernel, lwp| {
        // SAFETY: by the module's contract.
        let mut out = unsafe { Writer::one(buf.cast(), len) }?;
        with_file(kernel, lwp, fd, |kernel, file| {
            read(kernel, lwp, file, &mut out)
        })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_readv(fd: c_int, iov: *const iovec, count: c_int) -> isize {
    call(|kernel, lwp| {
        // SAFETY: by the module's contract.
        let mut out = unsafe { Writer::several(iov, count) }?;
        with_file(kernel, lwp, fd, |kernel, file| {
            read(kernel, lwp, file, &mut out)
        })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_write(fd: c_int, buf: *const c_void, len: usize) -> isize {
    call(|kernel, lwp| {
        // SAFETY: by the module's contract.
        let mut from = unsafe { Reader::one(buf.cast(), len) }?;
        with_file(kernel, lwp, fd, |kernel, file| {
            write(kernel, lwp, file, &mut from)
        })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_writev(
    fd: c_int,
    iov: *const iovec,
    count: c_int,
) -> isize {
    call(|kernel, lwp| {
        // SAFETY: by the module's contract.
        let mut from = unsafe { Reader::several(iov, count) }?;
        with_file(kernel, lwp, fd, |kernel, file| {
            write(kernel, lwp, file, &mut from)
        })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_close(fd: c_int) -> c_int {
    call(|kernel, lwp| close(kernel, lwp, fd))
}

fn close(kernel: &mut Guard, lwp: &Lwp, fd: c_int) -> Result<c_int, Errno> {
    let file = kernel.take_descriptor(lwp.pid, fd)?;
    let copy = *kernel.files.get(file);
    if !kernel.is_last_reference(file) {
        // Calls that are about this descriptor wait for nothing any more.
        kernel.notify(copy.object, wait::ANY);
    } else if let Object::Socket(socket) = copy.object {
        kernel.linger(lwp, copy, socket);
    }
    kernel.release_file(file);
    Ok(0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_dup(fd: c_int) -> c_int {
    call(|kernel, lwp| kernel.duplicate(lwp.pid, fd, 0, false))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_dup2(from: c_int, to: c_int) -> c_int {
    call(|kernel, lwp| kernel.duplicate_to(lwp.pid, from, to))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_fcntl(
    fd: c_int,
    command: c_int,
    arg: *mut c_void,
) -> c_int {
    // Commands take their argument as a number, in the place of a pointer.
    let number = arg.addr() as c_int;
    call(|kernel, lwp| {
        if command == abi::F_MAXFD {
            return kernel.last_descriptor(lwp.pid);
        }
        let file = kernel.file_of(lwp.pid, fd)?;
        match command {
            abi::F_DUPFD | abi::F_DUPFD_CLOEXEC => {
                kernel.duplicate(lwp.pid, fd, number, command == abi::F_DUPFD_CLOEXEC)
            }
            abi::F_GETFD => {
                let close = kernel.descriptor(lwp.pid, fd)?.close_on_exec;
                Ok(if close { abi::FD_CLOEXEC } else { 0 })
            }
            abi::F_SETFD => {
                kernel.descriptor(lwp.pid, fd)?.close_on_exec = number & abi::FD_CLOEXEC != 0;
                Ok(0)
            }
            abi::F_GETFL => {
                let file = kernel.files.get(file);
                let access = match file.object {
                    Object::Reader(_) => abi::O_RDONLY,
                    Object::Writer(_) => abi::O_WRONLY,
                    Object::Socket(_) | Object::Routing(_) | Object::Kqueue(_) => abi::O_RDWR,
                };
                Ok(access | if file.nonblocking { abi::O_NONBLOCK } else { 0 })
            }
            abi::F_SETFL => {
                kernel.files.get_mut(file).nonblocking = number & abi::O_NONBLOCK != 0;
                Ok(0)
            }
            _ => Err(kernel.lacks(format_args!("fcntl(2) command {command}"), Errno::INVAL)),
        }
    })
}

/// The letter of a request (`IOCGROUP` of `<sys/ioccom.h>`).
fn is_about_interfaces(request: c_ulong) -> bool {
    request >> 8 & 0xff == c_ulong::from(b'i')
}

/// # Safety
/// The argument is what the request reads and writes.
unsafe fn configure(kernel: &mut Guard, request: c_ulong, arg: *mut u8) -> Result<c_int, Errno> {
    /// `IOC_OUT`, and where the size of the argument stands (`IOCPARM_MASK`).
    const OUT: c_ulong = 0x4000_0000;
    let size = (request >> 16 & 0x1fff) as usize;
    if arg.is_null() {
        return Err(Errno::FAULT);
    }
    if request == abi::SIOCGIFCONF {
        // SAFETY: a structure with a buffer, by contract.
        let conf = unsafe { &mut *arg.cast::<abi::ifconf>() };
        let list = kernel.list_interfaces();
        let room = usize::try_from(conf.ifc_len).map_err(|_| Errno::INVAL)?;
        let whole = room - room % size_of::<abi::ifreq>();
        let told = &list[..list.len().min(whole)];
        if !conf.ifc_ifcu.is_null() {
            // SAFETY: so much room, by contract.
            unsafe { Writer::one(conf.ifc_ifcu.cast(), room) }?.put(told);
        }
        conf.ifc_len = told.len() as c_int;
        return Ok(0);
    }
    let mut bytes = alloc::vec![0; size];
    // SAFETY: so many bytes, by contract.
    unsafe { bytes.as_mut_ptr().copy_from_nonoverlapping(arg, size) };
    kernel.configure(request, &mut bytes)?;
    if request & OUT != 0 {
        // SAFETY: as above.
        unsafe { arg.copy_from_nonoverlapping(bytes.as_ptr(), size) };
    }
    Ok(0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_ioctl(
    fd: c_int,
    request: c_ulong,
    arg: *mut c_void,
) -> c_int {
    call(|kernel, lwp| {
        let file = kernel.file_of(lwp.pid, fd)?;
        if is_about_interfaces(request)
            && matches!(kernel.files.get(file).object, Object::Socket(_))
        {
            // SAFETY: by the module's contract.
            return unsafe { configure(kernel, request, arg.cast()) };
        }
        let arg = arg.cast::<c_int>();
        let read = || {
            // SAFETY: null, or an int, by the module's contract.
            unsafe { arg.as_ref() }.copied().ok_or(Errno::FAULT)
        };
        let number = match request {
            abi::FIONBIO => {
                kernel.files.get_mut(file).nonblocking = read()? != 0;
                return Ok(0);
            }
            // Signals are not sent.
            abi::FIOASYNC => return read().map(|_| 0),
            abi::FIOCLEX | abi::FIONCLEX => {
                kernel.descriptor(lwp.pid, fd)?.close_on_exec = request == abi::FIOCLEX;
                return Ok(0);
            }
            abi::FIONREAD | abi::FIONWRITE | abi::FIONSPACE => {
                let object = kernel.files.get(file).object;
                let ready = kernel.readiness(object, crate::hypercall::now());
                match request {
                    abi::FIONREAD => ready.read,
                    abi::FIONSPACE => ready.write,
                    _ => ready.queued,
                }
            }
            abi::SIOCATMARK => 0,
            _ => {
                return Err(
                    kernel.lacks(format_args!("ioctl(2) request {request:#x}"), Errno::NOTTY)
                );
            }
        };
        // SAFETY: as above.
        *unsafe { arg.as_mut() }.ok_or(Errno::FAULT)? =
            c_int::try_from(number).unwrap_or(c_int::MAX);
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_pipe2(fds: *mut c_int, flags: c_int) -> c_int {
    call(|kernel, lwp| {
        if flags & !(abi::O_CLOEXEC | abi::O_NONBLOCK | abi::O_NOSIGPIPE) != 0 {
            return Err(Errno::INVAL);
        }
        if fds.is_null() {
            return Err(Errno::FAULT);
        }
        kernel.room_for(lwp.pid, 2)?;
        let pipe = kernel.pipes.insert(Pipe::default());
        let (nonblocking, close) = (flags & abi::O_NONBLOCK != 0, flags & abi::O_CLOEXEC != 0);
        let reader = kernel.open(lwp.pid, Object::Reader(pipe), nonblocking, close)?;
        let writer = kernel.open(lwp.pid, Object::Writer(pipe), nonblocking, close)?;
        // SAFETY: two ints, by the module's contract.
        unsafe { fds.cast::<[c_int; 2]>().write([reader, writer]) };
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_getpid() -> c_int {
    lwp::current().map_or(FIRST_PROCESS, |lwp| lwp.pid)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_setrlimit(resource: c_int, limit: *const rlimit) -> c_int {
    call(|kernel, lwp| {
        // SAFETY: null, or a limit, by the module's contract.
        let limit = unsafe { limit.as_ref() }.ok_or(Errno::FAULT)?;
        match resource {
            abi::RLIMIT_NOFILE if limit.rlim_cur <= limit.rlim_max => {
                *kernel.descriptor_limit(lwp.pid)? =
                    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX);
                Ok(0)
            }
            0..abi::RLIM_NLIMITS if resource != abi::RLIMIT_NOFILE => Err(kernel.lacks(
                format_args!("limit {resource} of setrlimit(2)"),
                Errno::OPNOTSUPP,
            )),
            _ => Err(Errno::INVAL),
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl___sysctl(
    name: *const c_int,
    namelen: c_uint,
    old: *mut c_void,
    oldlen: *mut usize,
    new: *const c_void,
    newlen: usize,
) -> c_int {
    const LONGEST: usize = abi::CTL_MAXNAME as usize;
    /// Of what is handed in: the node of a query.
    const LARGEST: usize = size_of::<abi::sysctlnode>();
    call(|kernel, _| {
        let length = namelen as usize;
        if name.is_null() || length == 0 || length > LONGEST {
            return Err(Errno::INVAL);
        }
        // SAFETY: so many ints, by the module's contract.
        let name: Vec<c_int> = (0..length)
            .map(|index| unsafe { name.add(index).read() })
            .collect();
        let mut room = [0; LARGEST];
        let bytes = room.get_mut(..newlen).ok_or(Errno::INVAL)?;
        if !new.is_null() {
            // SAFETY: so many bytes can be read, by the module's contract.
            unsafe {
                bytes
                    .as_mut_ptr()
                    .copy_from_nonoverlapping(new.cast(), newlen)
            };
        } else if newlen > 0 {
            return Err(Errno::FAULT);
        }
        let value = kernel.sysctl(&name, bytes)?;
        // SAFETY: null, or the room that there is, by the module's contract.
        let Some(oldlen) = (unsafe { oldlen.as_mut() }) else {
            return Ok(0);
        };
        let room = core::mem::replace(oldlen, value.len());
        if old.is_null() {
            return Ok(0);
        }
        // SAFETY: so much room, by the module's contract.
        unsafe { Writer::one(old.cast(), room) }?.put(&value);
        if room < value.len() {
            Err(Errno::NOMEM)
        } else {
            Ok(0)
        }
    })
}
