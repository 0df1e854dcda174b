//! Sending and receiving: `sendto(2)`, `sendmsg(2)`, `sendmmsg(2)` and their counterparts.

use super::{Args, Outcome};
use crate::errno::Errno;
use crate::kernel::{Received, Room};
use crate::memory::{Buffers, get, put};
use crate::object::{Description, Socket};
use crate::piece::PIECE;
use crate::process::Process;
use crate::raw::{general, lacking, net};
use crate::translate::address::{LONGEST, to_linux, to_peer};
use crate::translate::{control, flags};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::offset_of;
use rump_abi::{POLLIN, POLLOUT};

/// The longest message, which has its header in it where it is a raw one, and has another of 8
/// bytes with UDP. NetBSD's IPv6 calls what is longer invalid.
const LONGEST_MESSAGE: u64 = 65_535;
const LONGEST_DATAGRAM: u64 = LONGEST_MESSAGE - 8;
/// The most control messages, in bytes.
const MOST_CONTROL: usize = 4096;
/// `sizeof(struct mmsghdr)`, and where its result stands.
const MMSGHDR: u64 = size_of::<net::mmsghdr>() as u64;
const MSG_LEN: u64 = offset_of!(net::mmsghdr, msg_len) as u64;

/// A message as the program describes it.
pub(crate) struct Message {
    pub(crate) buffers: Buffers,
    pub(crate) name: (u64, u32),
    control: (u64, usize),
}

impl Message {
    pub(crate) fn read(process: &Process, at: u64) -> Result<Self, Errno> {
        let header: net::msghdr = get(&*process.host, at)?;
        let name_length = header.msg_namelen;
        if name_length < 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            buffers: Buffers::several(
                &*process.host,
                header.msg_iov as u64,
                header.msg_iovlen as u64,
                Errno::EMSGSIZE,
            )?,
            name: (header.msg_name as u64, name_length as u32),
            control: (header.msg_control as u64, header.msg_controllen),
        })
    }
}

impl Process {
    /// Sends the program's bytes over a socket.
    pub(crate) fn send(
        &self,
        one: &Arc<Description>,
        socket: &Socket,
        buffers: &Buffers,
        name: &[u8],
        control: &[u8],
        flags: u32,
    ) -> Outcome {
        let options = flags::send(flags)?;
        let waits = one.waits() && flags & net::MSG_DONTWAIT == 0;
        let timeout = socket.state.lock().send_timeout;
        let total = buffers.len();
        let longest = match socket.kind {
            net::SOCK_STREAM => u64::MAX,
            net::SOCK_DGRAM => LONGEST_DATAGRAM,
            _ => LONGEST_MESSAGE,
        };
        if total > longest {
            return Err(Errno::EMSGSIZE);
        }
        let mut piece = self.piece();
        let mut sent = 0;
        let result = loop {
            let part = &mut piece[..(total - sent).min(PIECE as u64) as usize];
            if let Err(fault) = buffers.read(&*self.host, sent, part) {
                break Err(fault.into());
            }
            let once = self.attempt(one, POLLOUT, waits, timeout, || {
                Ok(self
                    .kernel
                    .sendmsg(socket.fd.number, part, name, control, options)?)
            });
            match once {
                Ok(length) => sent += length as u64,
                Err(errno) => break Err(errno),
            }
            if sent == total || !socket.is_stream() {
                break Ok(());
            }
        };
        match result {
            // What was sent counts.
            Err(_) if sent > 0 => Ok(sent as i64),
            Err(errno) => Err(self.send_error(socket, errno, flags)),
            Ok(()) => Ok(sent as i64),
        }
    }

    /// Sends bytes of this crate's over a socket, as far as there is room.
    pub(crate) fn send_part(
        &self,
        one: &Arc<Description>,
        socket: &Socket,
        part: &[u8],
    ) -> Result<usize, Errno> {
        let options = flags::send(0)?;
        let timeout = socket.state.lock().send_timeout;
        self.attempt(one, POLLOUT, one.waits(), timeout, || {
            Ok(self
                .kernel
                .sendmsg(socket.fd.number, part, &[], &[], options)?)
        })
        .map_err(|errno| self.send_error(socket, errno, 0))
    }

    /// Linux's error for one of sending, and its signal.
    fn send_error(&self, socket: &Socket, errno: Errno, flags: u32) -> Errno {
        let errno = match errno {
            Errno::ENOTCONN if socket.is_stream() => Errno::EPIPE,
            Errno::ENOTCONN => Errno::EDESTADDRREQ,
            other => other,
        };
        // Linux tells first what ended the connection, and NetBSD that it has ended.
        let reason = match errno {
            Errno::EPIPE => self.take_error(socket).unwrap_or(0),
            _ => 0,
        };
        let errno = if reason == 0 { errno } else { Errno(reason) };
        if errno == Errno::EPIPE && flags & net::MSG_NOSIGNAL == 0 {
            self.host.broken_pipe();
        }
        errno
    }

    /// The address of a message, for the kernel; streams have none.
    fn destination(
        &self,
        socket: &Socket,
        (address, length): (u64, u32),
    ) -> Result<Vec<u8>, Errno> {
        if address == 0 || length == 0 {
            return Ok(Vec::new());
        }
        let name = self.take_name(address, length.into())?;
        if socket.is_stream() {
            return Ok(Vec::new());
        }
        let name = to_peer(&name, socket.domain)?;
        if name[2..4] == [0, 0] {
            // No port.
            return Err(Errno::EINVAL);
        }
        // NetBSD sends over a connected socket only without an address.
        let mut peer = [0; LONGEST];
        let connected = socket.state.lock().connected;
        if connected {
            let length = self.kernel.getpeername(socket.fd.number, &mut peer);
            if length.is_ok_and(|length| peer.get(1..length) == name.get(1..)) {
                return Ok(Vec::new());
            }
        }
        Ok(name)
    }

    /// Receives over a socket into the program's buffers: what the kernel said, with the
    /// length that the program is told, the sender's address and the control messages.
    pub(crate) fn receive(
        &self,
        one: &Arc<Description>,
        socket: &Socket,
        buffers: &Buffers,
        control: usize,
        flags: u32,
    ) -> Result<(Received, Vec<u8>, Vec<u8>), Errno> {
        let waits = one.waits() && flags & net::MSG_DONTWAIT == 0;
        let stream = socket.is_stream();
        let (timeout, state) = {
            let state = socket.state.lock();
            (state.receive_timeout, (state.connected, state.listening))
        };
        if stream && (!state.0 || state.1) {
            return Err(Errno::ENOTCONN);
        }
        let total = buffers.len();
        let counts = flags & net::MSG_TRUNC != 0 && !stream;
        // Linux waits for a byte or a message also when there is no room for any.
        let whole = counts || (total == 0 && !stream);
        let looks = total == 0 && stream;
        let options = flags::receive(if looks { flags | net::MSG_PEEK } else { flags })?;
        let room = match () {
            () if whole => LONGEST_MESSAGE,
            () if looks => 1,
            () => total.min(PIECE as u64),
        };
        // Those of a stream have no senders.
        let mut name = vec![0; if stream { 0 } else { LONGEST }];
        let mut messages = vec![0; control];
        let mut done = 0;
        let mut received = Received::default();
        loop {
            let wanted = if whole || looks {
                room
            } else {
                (total - done).min(room)
            } as usize;
            let receive = || {
                // Who waits holds none.
                let mut data = self.piece();
                let room = Room {
                    data: &mut data[..wanted],
                    name: &mut name,
                    control: &mut messages,
                };
                let received = self.kernel.recvmsg(socket.fd.number, room, options)?;
                Ok((received, data))
            };
            let arrived = if waits && timeout.is_none() && flags & net::MSG_OOB == 0 {
                self.arrival(socket, wanted.min(total as usize) as u64)
            } else {
                Ok(())
            };
            let once = arrived.and_then(|()| self.attempt(one, POLLIN, waits, timeout, receive));
            let data = match once {
                Ok((once, data)) => {
                    received = once;
                    data
                }
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            };
            let copied = (received.length as u64).min(total - done) as usize;
            if !(stream && flags & net::MSG_TRUNC != 0) {
                buffers.write(&*self.host, done, &data[..copied])?;
            }
            done += if counts { received.length } else { copied } as u64;
            let again = flags & net::MSG_WAITALL != 0
                && flags & (net::MSG_PEEK | net::MSG_DONTWAIT) == 0
                && one.waits();
            if received.length == 0 || !stream || done >= total || !again {
                break;
            }
        }
        if whole && received.length as u64 > total {
            received.flags |= rump_abi::MSG_TRUNC;
        }
        received.length = done as usize;
        name.truncate(received.name);
        messages.truncate(received.control);
        Ok((received, name, messages))
    }

    /// The length of the message that is received next, 0 where none is there (`FIONREAD`):
    /// NetBSD counts all of them, with their addresses.
    pub(crate) fn next_message(&self, socket: &Socket) -> Result<usize, Errno> {
        let room = Room {
            data: &mut self.piece()[..LONGEST_MESSAGE as usize],
            name: &mut [0; LONGEST],
            control: &mut [],
        };
        let looked = self
            .kernel
            .recvmsg(socket.fd.number, room, rump_abi::MSG_PEEK);
        match looked.map_err(Errno::from) {
            Ok(found) => Ok(found.length),
            Err(Errno::EAGAIN) => Ok(0),
            Err(errno) => Err(errno),
        }
    }

    fn send_message(&self, one: &Arc<Description>, at: u64, flags: u32) -> Outcome {
        let socket = one.socket().ok_or(Errno::ENOTSOCK)?;
        let message = Message::read(self, at)?;
        let name = self.destination(socket, message.name)?;
        let (address, length) = message.control;
        if length > MOST_CONTROL {
            return Err(Errno::ENOBUFS);
        }
        let mut bytes = vec![0; length];
        self.host.read(address, &mut bytes)?;
        let control = control::to_netbsd(&bytes)?;
        self.send(one, socket, &message.buffers, &name, &control, flags)
    }

    fn receive_message(&self, one: &Arc<Description>, at: u64, flags: u32) -> Outcome {
        let socket = one.socket().ok_or(Errno::ENOTSOCK)?;
        let message = Message::read(self, at)?;
        let room = message.control.1.min(MOST_CONTROL);
        let (received, name, control) = self.receive(one, socket, &message.buffers, room, flags)?;
        let mut result = flags::received(received.flags);
        let control = control::to_linux(&control);
        let told = control.len().min(message.control.1);
        if told < control.len() {
            result |= net::MSG_CTRUNC;
        }
        self.host.write(message.control.0, &control[..told])?;
        if message.name.0 != 0 {
            let name = to_linux(&name);
            let room = name.len().min(message.name.1 as usize);
            self.host.write(message.name.0, &name[..room])?;
            let place = at + offset_of!(net::msghdr, msg_namelen) as u64;
            put(&*self.host, place, &(name.len() as i32))?;
        }
        let place = at + offset_of!(net::msghdr, msg_controllen) as u64;
        put(&*self.host, place, &(told as u64))?;
        let place = at + offset_of!(net::msghdr, msg_flags) as u64;
        put(&*self.host, place, &result)?;
        Ok(received.length as i64)
    }

    /// One message after the other; what was done before an error counts.
    fn several(
        &self,
        [_, vector, count, ..]: &Args,
        mut each: impl FnMut(u64, usize) -> Outcome,
    ) -> Outcome {
        let count = (*count as u32).min(1024) as usize;
        let mut done = 0;
        while done < count {
            let at = vector
                .checked_add(done as u64 * MMSGHDR)
                .ok_or(Errno::EFAULT)?;
            let once = each(at, done).and_then(|length| {
                let place = at.checked_add(MSG_LEN).ok_or(Errno::EFAULT)?;
                Ok(put(&*self.host, place, &(length as u32))?)
            });
            match once {
                Ok(()) => done += 1,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(done as i64)
    }
}

pub(crate) fn sendto(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let socket = one.socket().ok_or(Errno::ENOTSOCK)?;
    let buffers = Buffers::one(args[1], args[2])?;
    let (address, length) = (args[4], args[5] as u32);
    if address != 0 && length == 0 && !socket.is_stream() {
        return Err(Errno::EINVAL);
    }
    let name = process.destination(socket, (address, length))?;
    process.send(one, socket, &buffers, &name, &[], args[3] as u32)
}

pub(crate) fn recvfrom(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let socket = one.socket().ok_or(Errno::ENOTSOCK)?;
    let buffers = Buffers::one(args[1], args[2])?;
    let (received, name, _) = process.receive(one, socket, &buffers, 0, args[3] as u32)?;
    if args[4] != 0 {
        process.give_name(args[4], args[5], &name)?;
    }
    Ok(received.length as i64)
}

pub(crate) fn sendmsg(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    process.send_message(one, args[1], args[2] as u32)
}

pub(crate) fn recvmsg(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    process.receive_message(one, args[1], args[2] as u32)
}

pub(crate) fn sendmmsg(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    process.several(args, |at, _| process.send_message(one, at, args[3] as u32))
}

pub(crate) fn recvmmsg(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let flags = args[3] as u32;
    let deadline = match args[4] {
        0 => None,
        at => {
            let limit: general::__kernel_timespec = get(&*process.host, at)?;
            Some(process.now().saturating_add(super::poll::nanos(&limit)?))
        }
    };
    process.several(args, |at, done| {
        let mut flags = flags;
        // Linux looks at the time between messages only.
        if done > 0 && deadline.is_some_and(|deadline| process.now() >= deadline) {
            return Err(Errno::EAGAIN);
        }
        if done > 0 && flags & lacking::MSG_WAITFORONE != 0 {
            flags |= net::MSG_DONTWAIT;
        }
        process.receive_message(one, at, flags)
    })
}
