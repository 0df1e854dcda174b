//! Calls about netlink(7) sockets: each request is answered at once.

use super::message::Message;
use super::{Args, Outcome};
use crate::errno::Errno;
use crate::memory::{Buffers, get, put};
use crate::object::{Description, Netlink, Object};
use crate::process::Process;
use crate::raw::general::*;
use crate::raw::net::{self, AF_NETLINK, MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC};
use crate::translate::netlink::answer;
use alloc::sync::Arc;
use alloc::vec;
use core::mem::offset_of;
use rump_abi::POLLIN;

/// `struct sockaddr_nl`: the family, a number, and groups.
const NAME: usize = 12;
/// The longest request.
const LONGEST: u64 = 1 << 16;

fn name(port: u32) -> [u8; NAME] {
    let mut name = [0; NAME];
    name[..2].copy_from_slice(&(AF_NETLINK as u16).to_ne_bytes());
    name[4..8].copy_from_slice(&port.to_ne_bytes());
    name
}

/// Makes a call, if it is about such a socket.
#[allow(non_upper_case_globals)]
pub(crate) fn call(process: &Process, one: &Arc<Description>, number: u32, args: &Args) -> Outcome {
    let Object::Netlink(netlink) = &one.object else {
        return Err(Errno::ENOTSOCK);
    };
    let [_, a, b, c, d, e] = *args;
    match number {
        __NR_bind => bind(process, netlink, a, b),
        // It talks to the kernel in any case.
        __NR_connect => process.take_name(a, b).map(|_| 0),
        __NR_getsockname => tell(process, a, b, name(netlink.port())),
        __NR_getpeername => tell(process, a, b, name(0)),
        __NR_sendto | __NR_write => send(process, netlink, &Buffers::one(a, b)?),
        __NR_sendmsg => send(process, netlink, &Message::read(process, a)?.buffers),
        __NR_read => receive(process, one, netlink, &Buffers::one(a, b)?, 0).map(|(n, _)| n),
        __NR_recvfrom => {
            let buffers = Buffers::one(a, b)?;
            let (length, _) = receive(process, one, netlink, &buffers, c as u32)?;
            if d != 0 {
                tell(process, d, e, name(0))?;
            }
            Ok(length)
        }
        __NR_recvmsg => receive_message(process, one, netlink, a, b as u32),
        // What is to be told more, or less, is a matter of form.
        __NR_setsockopt => Ok(0),
        __NR_getsockopt => {
            let value = match (a as u32, b as u32) {
                (net::SOL_SOCKET, net::SO_TYPE) => netlink.kind,
                (net::SOL_SOCKET, net::SO_DOMAIN) => AF_NETLINK,
                (net::SOL_SOCKET, net::SO_PROTOCOL | net::SO_ERROR) => 0,
                _ => return Err(Errno::ENOPROTOOPT),
            };
            give(process, c, d, &value.to_ne_bytes())
        }
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn bind(process: &Process, netlink: &Netlink, at: u64, length: u64) -> Outcome {
    let given = process.take_name(at, length)?;
    let [family, port, ..] = given.as_chunks::<4>().0 else {
        return Err(Errno::EINVAL);
    };
    if u32::from(u16::from_ne_bytes([family[0], family[1]])) != AF_NETLINK {
        return Err(Errno::EINVAL);
    }
    netlink.bind(u32::from_ne_bytes(*port));
    Ok(0)
}

/// How much room there is.
fn room(process: &Process, length: u64) -> Result<usize, Errno> {
    let room: i32 = get(&*process.host, length)?;
    usize::try_from(room).map_err(|_| Errno::EINVAL)
}

/// Hands a name out, as far as there is room, and says how long it is.
fn tell(process: &Process, at: u64, length: u64, name: [u8; NAME]) -> Outcome {
    let room = room(process, length)?;
    process.host.write(at, &name[..NAME.min(room)])?;
    put(&*process.host, length, &(NAME as i32))?;
    Ok(0)
}

/// The same with a value, of which it says how much it gave.
fn give(process: &Process, at: u64, length: u64, value: &[u8]) -> Outcome {
    let given = &value[..value.len().min(room(process, length)?)];
    process.host.write(at, given)?;
    put(&*process.host, length, &(given.len() as i32))?;
    Ok(0)
}

fn send(process: &Process, netlink: &Netlink, buffers: &Buffers) -> Outcome {
    if buffers.len() > LONGEST {
        return Err(Errno::EMSGSIZE);
    }
    if netlink.port() == 0 {
        netlink.bind(0);
    }
    let mut request = vec![0; buffers.len() as usize];
    buffers.read(&*process.host, 0, &mut request)?;
    let answers = answer(&request, netlink.port(), &process.interfaces()?);
    if netlink.add(answers) {
        Ok(request.len() as i64)
    } else {
        Err(Errno::ENOBUFS)
    }
}

/// What the program is told as the length, and whether that was not all.
fn receive(
    process: &Process,
    one: &Arc<Description>,
    netlink: &Netlink,
    buffers: &Buffers,
    flags: u32,
) -> Result<(i64, bool), Errno> {
    let waits = one.waits() && flags & MSG_DONTWAIT == 0;
    let answer = process.attempt(one, POLLIN, waits, None, || {
        netlink.take(flags & MSG_PEEK != 0).ok_or(Errno::EAGAIN)
    })?;
    let length = answer.len().min(buffers.len() as usize);
    buffers.write(&*process.host, 0, &answer[..length])?;
    let told = if flags & MSG_TRUNC != 0 {
        answer.len()
    } else {
        length
    };
    Ok((told as i64, length < answer.len()))
}

fn receive_message(
    process: &Process,
    one: &Arc<Description>,
    netlink: &Netlink,
    at: u64,
    flags: u32,
) -> Outcome {
    let message = Message::read(process, at)?;
    let (length, truncated) = receive(process, one, netlink, &message.buffers, flags)?;
    if message.name.0 != 0 {
        let name = name(0);
        let room = NAME.min(message.name.1 as usize);
        process.host.write(message.name.0, &name[..room])?;
    }
    let place = |offset: usize| at + offset as u64;
    let memory = &*process.host;
    put(
        memory,
        place(offset_of!(net::msghdr, msg_namelen)),
        &(NAME as i32),
    )?;
    put(
        memory,
        place(offset_of!(net::msghdr, msg_controllen)),
        &0u64,
    )?;
    let result = if truncated { MSG_TRUNC } else { 0 };
    put(memory, place(offset_of!(net::msghdr, msg_flags)), &result)?;
    Ok(length)
}
