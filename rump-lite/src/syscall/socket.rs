//! Sockets.
#![allow(missing_docs)]

use super::call;
use crate::file::{Object, with_file, with_socket};
use crate::kernel::Guard;
use crate::lwp::Lwp;
use crate::socket::Received;
use crate::socket::address::{Name, Room};
use crate::user::{Reader, Writer};
use core::ffi::{c_int, c_uint, c_void};
use core::mem::size_of;
use rump_abi::{self as abi, msghdr, sockaddr, sockaddr_storage};
use rump_hyper::errno::Errno;
use smoltcp::wire::IpEndpoint;

/// The longest value of an option that is looked at.
const LONGEST_OPTION: usize = 64;

/// Reads an address; null is none.
///
/// # Safety
/// `len` bytes may be read.
unsafe fn name(address: *const sockaddr, len: c_uint) -> Result<Option<Name>, Errno> {
    if address.is_null() {
        return Ok(None);
    }
    let mut room: Room = [0; size_of::<sockaddr_storage>()];
    let bytes = room.get_mut(..len as usize).ok_or(Errno::NAMETOOLONG)?;
    // SAFETY: by contract.
    unsafe {
        bytes
            .as_mut_ptr()
            .copy_from_nonoverlapping(address.cast(), bytes.len())
    };
    Name::parse(bytes).map(Some)
}

/// Writes an address as far as there is room, and how long it is.
///
/// # Safety
/// `len` is null or can be read and written, and says how much can be written to
/// `address`, which may be null.
unsafe fn put_name(
    kernel: &Guard,
    socket: usize,
    endpoint: IpEndpoint,
    address: *mut sockaddr,
    len: *mut c_uint,
) -> Result<(), Errno> {
    if address.is_null() {
        return Ok(());
    }
    // SAFETY: by contract.
    let len = unsafe { len.as_mut() }.ok_or(Errno::FAULT)?;
    let mut room: Room = [0; size_of::<sockaddr_storage>()];
    let length = kernel.sockets[socket].family.write(endpoint, &mut room);
    // SAFETY: by contract.
    unsafe { Writer::one(address.cast(), *len as usize) }?.put(&room[..length]);
    *len = length as c_uint;
    Ok(())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_socket(
    domain: c_int,
    kind: c_int,
    protocol: c_int,
) -> c_int {
    call(|kernel, lwp| kernel.socket(lwp.pid, domain, kind, protocol))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_bind(
    s: c_int,
    addr: *const sockaddr,
    len: c_uint,
) -> c_int {
    call(|kernel, lwp| {
        with_socket(kernel, lwp, s, |kernel, _, socket| {
            // SAFETY: by the module's contract.
            let name = unsafe { name(addr, len) }?.ok_or(Errno::FAULT)?;
            kernel.claim_and_bind(socket, name).map(|()| 0)
        })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_listen(s: c_int, backlog: c_int) -> c_int {
    call(|kernel, lwp| {
        with_socket(kernel, lwp, s, |kernel, _, socket| {
            kernel.listen(socket, backlog).map(|()| 0)
        })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_connect(
    s: c_int,
    addr: *const sockaddr,
    len: c_uint,
) -> c_int {
    call(|kernel, lwp| {
        with_socket(kernel, lwp, s, |kernel, file, socket| {
            // SAFETY: by the module's contract.
            let name = unsafe { name(addr, len) }?.ok_or(Errno::FAULT)?;
            kernel.connect(lwp, file, socket, name).map(|()| 0)
        })
    })
}

/// # Safety
/// As [`put_name`].
unsafe fn accept(
    kernel: &mut Guard,
    lwp: &Lwp,
    s: c_int,
    addr: *mut sockaddr,
    len: *mut c_uint,
    flags: Option<c_int>,
) -> Result<c_int, Errno> {
    with_socket(kernel, lwp, s, |kernel, file, socket| {
        // Without flags, the new socket is as the listener is.
        let (nonblocking, close) = match flags {
            None => (file.nonblocking, false),
            Some(flags) => (
                flags & abi::SOCK_NONBLOCK != 0,
                flags & abi::SOCK_CLOEXEC != 0,
            ),
        };
        let (fd, peer) = kernel.accept(lwp, file, socket, nonblocking, close)?;
        // SAFETY: by contract.
        unsafe { put_name(kernel, socket, peer, addr, len) }?;
        Ok(fd)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_accept(
    s: c_int,
    addr: *mut sockaddr,
    len: *mut c_uint,
) -> c_int {
    // SAFETY: by the module's contract.
    call(|kernel, lwp| unsafe { accept(kernel, lwp, s, addr, len, None) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_paccept(
    s: c_int,
    addr: *mut sockaddr,
    len: *mut c_uint,
    _mask: *const c_void,
    flags: c_int,
) -> c_int {
    call(|kernel, lwp| {
        if flags & !(abi::SOCK_NONBLOCK | abi::SOCK_CLOEXEC | abi::SOCK_NOSIGPIPE) != 0 {
            return Err(Errno::INVAL);
        }
        // SAFETY: by the module's contract.
        unsafe { accept(kernel, lwp, s, addr, len, Some(flags)) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_getsockname(
    s: c_int,
    addr: *mut sockaddr,
    len: *mut c_uint,
) -> c_int {
    call(|kernel, lwp| {
        with_socket(kernel, lwp, s, |kernel, _, socket| {
            let local = kernel.local_address(socket);
            // SAFETY: by the module's contract.
            unsafe { put_name(kernel, socket, local, addr, len) }.map(|()| 0)
        })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_getpeername(
    s: c_int,
    addr: *mut sockaddr,
    len: *mut c_uint,
) -> c_int {
    call(|kernel, lwp| {
        with_socket(kernel, lwp, s, |kernel, _, socket| {
            let peer = kernel.peer_address(socket)?;
            // SAFETY: by the module's contract.
            unsafe { put_name(kernel, socket, peer, addr, len) }.map(|()| 0)
        })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_shutdown(s: c_int, how: c_int) -> c_int {
    call(|kernel, lwp| {
        with_socket(kernel, lwp, s, |kernel, _, socket| {
            kernel.shutdown(socket, how).map(|()| 0)
        })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_setsockopt(
    s: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: c_uint,
) -> c_int {
    call(|kernel, lwp| {
        with_socket(kernel, lwp, s, |kernel, _, socket| {
            let mut room = [0; LONGEST_OPTION];
            let bytes = room.get_mut(..len as usize).ok_or(Errno::INVAL)?;
            if value.is_null() && len > 0 {
                return Err(Errno::FAULT);
            }
            // SAFETY: so many bytes can be read, by the module's contract.
            unsafe {
                bytes
                    .as_mut_ptr()
                    .copy_from_nonoverlapping(value.cast(), bytes.len())
            };
            kernel.set_option(socket, level, name, bytes).map(|()| 0)
        })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_getsockopt(
    s: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut c_uint,
) -> c_int {
    call(|kernel, lwp| {
        with_socket(kernel, lwp, s, |kernel, _, socket| {
            let found = kernel.option(socket, level, name)?;
            if value.is_null() {
                return Ok(0);
            }
            // SAFETY: null, or the room that there is, by the module's contract.
            let len = unsafe { len.as_mut() }.ok_or(Errno::FAULT)?;
            // SAFETY: so much room, by the module's contract.
            let written = unsafe { Writer::one(value.cast(), *len as usize) }?.put(&found);
            *len = written as c_uint;
            Ok(0)
        })
    })
}

fn send(
    kernel: &mut Guard,
    lwp: &Lwp,
    s: c_int,
    mut data: Reader<'_>,
    to: Option<Name>,
    flags: c_int,
) -> Result<isize, Errno> {
    let sent = with_file(kernel, lwp, s, |kernel, file| match file.object {
        Object::Socket(socket) => kernel.send(lwp, file, socket, &mut data, to, flags),
        Object::Routing(socket) => kernel.write_routing(socket, &mut data),
        _ => Err(Errno::NOTSOCK),
    })?;
    Ok(sent as isize)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_sendto(
    s: c_int,
    buf: *const c_void,
    len: usize,
    flags: c_int,
    to: *const sockaddr,
    tolen: c_uint,
) -> isize {
    call(|kernel, lwp| {
        // SAFETY: by the module's contract.
        let (data, to) = unsafe { (Reader::one(buf.cast(), len)?, name(to, tolen)?) };
        send(kernel, lwp, s, data, to, flags)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_sendmsg(
    s: c_int,
    msg: *const msghdr,
    flags: c_int,
) -> isize {
    call(|kernel, lwp| {
        // SAFETY: null, or a message, by the module's contract.
        let msg = unsafe { msg.as_ref() }.ok_or(Errno::FAULT)?;
        if !msg.msg_control.is_null() && msg.msg_controllen > 0 {
            return Err(kernel.lacks(
                format_args!("control messages of sendmsg(2)"),
                Errno::OPNOTSUPP,
            ));
        }
        // SAFETY: what the message points to, by the module's contract.
        let (data, to) = unsafe {
            (
                Reader::several(msg.msg_iov, msg.msg_iovlen)?,
                name(msg.msg_name.cast(), msg.msg_namelen)?,
            )
        };
        send(kernel, lwp, s, data, to, flags)
    })
}

fn receive(
    kernel: &mut Guard,
    lwp: &Lwp,
    s: c_int,
    mut out: Writer<'_>,
    flags: c_int,
    address: impl FnOnce(&Guard, usize, Option<IpEndpoint>) -> Result<(), Errno>,
) -> Result<Received, Errno> {
    with_file(kernel, lwp, s, |kernel, file| match file.object {
        Object::Socket(socket) => {
            let received = kernel.receive_from(lwp, file, socket, &mut out, flags)?;
            address(kernel, socket, received.from)?;
            Ok(received)
        }
        Object::Routing(socket) => kernel.read_routing(lwp, file, socket, &mut out, flags),
        _ => Err(Errno::NOTSOCK),
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_recvfrom(
    s: c_int,
    buf: *mut c_void,
    len: usize,
    flags: c_int,
    from: *mut sockaddr,
    fromlen: *mut c_uint,
) -> isize {
    call(|kernel, lwp| {
        // SAFETY: by the module's contract.
        let out = unsafe { Writer::one(buf.cast(), len) }?;
        let received = receive(kernel, lwp, s, out, flags, |kernel, socket, sender| {
            // SAFETY: by the module's contract.
            unsafe { put_sender(kernel, socket, sender, from, fromlen) }
        })?;
        Ok(received.length as isize)
    })
}

/// # Safety
/// As [`put_name`].
unsafe fn put_sender(
    kernel: &Guard,
    socket: usize,
    sender: Option<IpEndpoint>,
    address: *mut sockaddr,
    len: *mut c_uint,
) -> Result<(), Errno> {
    match sender {
        // SAFETY: by contract.
        Some(sender) => unsafe { put_name(kernel, socket, sender, address, len) },
        None => {
            // SAFETY: by contract.
            if let Some(len) = unsafe { len.as_mut() } {
                *len = 0;
            }
            Ok(())
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rump___sysimpl_recvmsg(s: c_int, msg: *mut msghdr, flags: c_int) -> isize {
    call(|kernel, lwp| {
        // SAFETY: null, or a message, by the module's contract.
        let msg = unsafe { msg.as_mut() }.ok_or(Errno::FAULT)?;
        // SAFETY: what the message points to, by the module's contract.
        let out = unsafe { Writer::several(msg.msg_iov, msg.msg_iovlen) }?;
        let received = receive(kernel, lwp, s, out, flags, |kernel, socket, sender| {
            let address = msg.msg_name.cast();
            // SAFETY: by the module's contract.
            unsafe { put_sender(kernel, socket, sender, address, &raw mut msg.msg_namelen) }
        })?;
        msg.msg_flags = if received.truncated {
            abi::MSG_TRUNC
        } else {
            0
        };
        msg.msg_controllen = 0;
        Ok(received.length as isize)
    })
}
