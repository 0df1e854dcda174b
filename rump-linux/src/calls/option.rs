//! `getsockopt(2)` and `setsockopt(2)`, after the table of options.

use super::{Args, Outcome};
use crate::errno::{Errno, Failure};
use crate::interfaces::Interface;
use crate::memory::{get, put};
use crate::object::{Description, Socket};
use crate::process::Process;
use crate::raw::{general, net};
use crate::translate::options::{How, Own, find};
use crate::translate::tcp_info;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use rump_abi as abi;

/// The longest value that is looked at.
const LONGEST: usize = 256;
/// Linux's smallest buffers (`SOCK_MIN_SNDBUF` and `SOCK_MIN_RCVBUF`, halved as it doubles).
const SMALLEST_BUFFER: i32 = 2304;
/// `net.ipv4.ip_default_ttl`
const DEFAULT_TTL: i32 = 64;
/// What the stack's congestion control is called.
const CONGESTION: &[u8] = b"reno\0";

/// Whether there are options of this level on this socket.
fn fits(socket: &Socket, level: u32) -> bool {
    match level {
        net::SOL_SOCKET | net::SOL_IP => true,
        net::SOL_TCP => socket.is_stream(),
        net::SOL_IPV6 => socket.domain == net::AF_INET6,
        _ => false,
    }
}

/// `misfit` is the answer where there are none of this level.
fn lookup(socket: &Socket, level: u32, name: u32, misfit: Errno) -> Result<How, Errno> {
    if !fits(socket, level) {
        return Err(misfit);
    }
    let how = find(level, name).ok_or(Errno::ENOPROTOOPT)?;
    // NetBSD has IPv4's options on IPv4's sockets only; they are kept for the others.
    let foreign = level == net::SOL_IP && socket.domain == net::AF_INET6;
    Ok(match how {
        How::Int(..) if foreign && name == net::IP_TTL => How::Kept(DEFAULT_TTL),
        How::Int(..) | How::Bool(..) | How::Byte(..) if foreign => How::Kept(0),
        other => other,
    })
}

pub(crate) fn setsockopt(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let socket = one.socket().ok_or(Errno::ENOTSOCK)?;
    let (level, name) = (args[1] as u32, args[2] as u32);
    let length = usize::try_from(args[4] as i32).map_err(|_| Errno::EINVAL)?;
    let how = lookup(socket, level, name, Errno::ENOPROTOOPT)?;
    let mut value = vec![0; length.min(LONGEST)];
    process.host.read(args[3], &mut value)?;
    let int = || {
        let bytes = value.first_chunk().ok_or(Errno::EINVAL)?;
        checked(level, name, i32::from_ne_bytes(*bytes))
    };
    let fd = socket.fd.number;
    let set = |level, name, value: &[u8]| process.kernel.setsockopt(fd, level, name, value);
    match how {
        How::Int(to, option) => {
            let bytes = int()?.to_ne_bytes();
            set(to, option, &bytes)?;
            // NetBSD 7 takes some that it does not tell.
            let kept = &mut socket.state.lock().kept;
            kept.insert((level, name), bytes.to_vec());
        }
        How::Bool(level, name) => set(level, name, &i32::from(int()? != 0).to_ne_bytes())?,
        // IPv4's may be given in one byte.
        How::Byte(level, name) => {
            let number = match value[..] {
                [byte] => byte.into(),
                _ => int()?,
            };
            let default = if name == abi::IP_MULTICAST_TTL && number == -1 {
                1
            } else {
                number
            };
            let byte = u8::try_from(default).map_err(|_| Errno::EINVAL)?;
            set(level, name, &[byte])?;
        }
        How::Size(level, name) => set_size(process, fd, (level, name), int()?)?,
        How::Same(level, name, size) => {
            set(level, name, value.get(..size).ok_or(Errno::EINVAL)?)?;
        }
        How::Group(level, name) => set(level, name, &group(&value)?)?,
        How::Kept(_) => {
            let bytes = int()?.to_ne_bytes().to_vec();
            socket.state.lock().kept.insert((level, name), bytes);
        }
        How::Told(_) => return Err(Errno::ENOPROTOOPT),
        How::Own(Own::ReceiveTimeout) => {
            let time = timeout(process, args)?;
            socket.state.lock().receive_timeout = time;
        }
        How::Own(Own::SendTimeout) => {
            let time = timeout(process, args)?;
            socket.state.lock().send_timeout = time;
        }
        How::Own(Own::Congestion) => {
            let asked = value.split(|byte| *byte == 0).next();
            if asked != CONGESTION.split_last().map(|(_, name)| name) {
                return Err(Errno::ENOENT);
            }
        }
        How::Own(Own::Device) => {
            let device_name = value.split(|byte| *byte == 0).next().unwrap_or_default();
            device(&process.interfaces()?, device_name)?;
            let mut kept = device_name.to_vec();
            if !kept.is_empty() {
                kept.push(0);
            }
            socket.state.lock().kept.insert((level, name), kept);
        }
        How::Own(_) => return Err(Errno::ENOPROTOOPT),
    }
    Ok(0)
}

/// Whether a socket can be bound to this interface, or by an empty name to none: NetBSD's cannot,
/// which makes no difference where there is no other but the loopback interface.
fn device(all: &[Interface], name: &[u8]) -> Result<(), Errno> {
    if name.is_empty() {
        return Ok(());
    }
    let found = all.iter().find(|one| one.name() == name);
    let found = found.ok_or(Errno::ENODEV)?;
    let mut others = all.iter().filter(|one| one.name() != name);
    match found.is_loopback() || others.any(|one| !one.is_loopback()) {
        true => Err(Errno::ENOPROTOOPT),
        false => Ok(()),
    }
}

/// A number that NetBSD would take, or not take, where Linux does otherwise.
fn checked(level: u32, name: u32, number: i32) -> Result<i32, Errno> {
    match (level, name, number) {
        (net::SOL_IP, net::IP_TTL, -1) => Ok(DEFAULT_TTL),
        (net::SOL_IP, net::IP_TTL, 1..=255) => Ok(number),
        (net::SOL_IP, net::IP_TTL, _) => Err(Errno::EINVAL),
        _ => Ok(number),
    }
}

/// Linux takes the largest size that is allowed for one that is not; NetBSD refuses.
fn set_size(process: &Process, fd: i32, (level, name): (i32, i32), size: i32) -> Result<(), Errno> {
    let mut size = size.max(SMALLEST_BUFFER);
    loop {
        let set = process
            .kernel
            .setsockopt(fd, level, name, &size.to_ne_bytes());
        match set {
            Err(Failure(abi::ENOBUFS)) if size > SMALLEST_BUFFER => {
                size = (size / 2).max(SMALLEST_BUFFER);
            }
            other => return Ok(other?),
        }
    }
}

/// `struct ip_mreq`, or `struct ip_mreqn` without an index.
fn group(value: &[u8]) -> Result<[u8; 8], Errno> {
    if value.get(8..12).is_some_and(|index| index != [0; 4]) {
        // By index: NetBSD's has addresses only.
        return Err(Errno::ENODEV);
    }
    value.first_chunk().copied().ok_or(Errno::EINVAL)
}

/// `SO_RCVTIMEO` and `SO_SNDTIMEO`; zero is no limit.
fn timeout(process: &Process, args: &Args) -> Result<Option<u64>, Errno> {
    if (args[4] as usize) < size_of::<general::timeval>() {
        return Err(Errno::EINVAL);
    }
    let time: general::timeval = get(&*process.host, args[3])?;
    if !(0..1_000_000).contains(&time.tv_usec) {
        return Err(Errno::EDOM);
    }
    // A negative time is none at all, nor is one that cannot be counted.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = seconds
        .saturating_mul(1_000_000)
        .saturating_add(time.tv_usec as u64);
    let nanos = micros.checked_mul(1000);
    Ok(nanos.filter(|nanos| *nanos > 0 && time.tv_sec >= 0))
}

pub(crate) fn getsockopt(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let socket = one.socket().ok_or(Errno::ENOTSOCK)?;
    let (level, name) = (args[1] as u32, args[2] as u32);
    let room: i32 = get(&*process.host, args[4])?;
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let misfit = match socket.domain {
        net::AF_INET => Errno::EOPNOTSUPP,
        _ => Errno::ENOPROTOOPT,
    };
    let how = lookup(socket, level, name, misfit)?;
    let number = |level, name| -> Result<i32, Errno> {
        let mut value = [0; 4];
        let fd = socket.fd.number;
        let length = process.kernel.getsockopt(fd, level, name, &mut value)?;
        // Some are told in one byte.
        Ok(if length == 1 {
            value[0].into()
        } else {
            i32::from_ne_bytes(value)
        })
    };
    let int = |number: i32| number.to_ne_bytes().to_vec();
    let state = socket.state.lock().clone();
    let value: Vec<u8> = match how {
        How::Int(to, option) => match number(to, option) {
            Err(Errno::ENOPROTOOPT) => {
                let kept = state.kept.get(&(level, name)).cloned();
                kept.ok_or(Errno::ENOPROTOOPT)?
            }
            told => int(told?),
        },
        How::Byte(level, name) => int(number(level, name)?),
        How::Bool(level, name) => int((number(level, name)? != 0).into()),
        How::Size(level, name) => int(number(level, name)?.saturating_mul(2)),
        How::Same(level, name, size) => {
            let mut value = vec![0; size];
            process
                .kernel
                .getsockopt(socket.fd.number, level, name, &mut value)?;
            if name == abi::SO_LINGER {
                // NetBSD tells the flag's own bit.
                let on = i32::from(value[..4] != [0; 4]);
                value[..4].copy_from_slice(&on.to_ne_bytes());
            }
            value
        }
        How::Group(..) => return Err(Errno::ENOPROTOOPT),
        How::Kept(default) => {
            let kept = state.kept.get(&(level, name)).cloned();
            kept.unwrap_or_else(|| int(default))
        }
        How::Told(number) => int(number),
        How::Own(own) => match own {
            Own::Error => int(process.take_error(socket)? as i32),
            Own::Type => int(socket.kind as i32),
            Own::Domain => int(socket.domain as i32),
            Own::Protocol => int(socket.protocol as i32),
            Own::Listening => int(state.listening.into()),
            Own::ReceiveTimeout => time(state.receive_timeout),
            Own::SendTimeout => time(state.send_timeout),
            Own::Device => state.kept.get(&(level, name)).cloned().unwrap_or_default(),
            Own::Congestion => {
                let mut name = CONGESTION.to_vec();
                name.resize(16, 0);
                name
            }
            Own::Connection => {
                let mut told = [0; tcp_info::NETBSD];
                let (level, name) = (abi::IPPROTO_TCP, abi::TCP_INFO);
                let fd = socket.fd.number;
                match process.kernel.getsockopt(fd, level, name, &mut told) {
                    // There was one.
                    Err(Failure(abi::ECONNRESET)) => {}
                    asked => drop(asked?),
                }
                tcp_info::to_linux(&told).to_vec()
            }
        },
    };
    let given = &value[..value.len().min(room)];
    process.host.write(args[3], given)?;
    put(&*process.host, args[4], &(given.len() as i32))?;
    Ok(0)
}

fn time(timeout: Option<u64>) -> Vec<u8> {
    let micros = timeout.unwrap_or(0) / 1000;
    let parts = [micros / 1_000_000, micros % 1_000_000];
    parts.iter().flat_map(|part| part.to_ne_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interfaces::NAME;

    #[test]
    fn sockets_are_bound_to_the_only_interface() {
        let interface = |text: &str, flags: i32| {
            let mut name = [0; NAME];
            name[..text.len()].copy_from_slice(text.as_bytes());
            Interface {
                name,
                index: 1,
                flags: flags as u32,
                mtu: 1500,
                hardware: None,
                addresses: Vec::new(),
            }
        };
        let one = [interface("lo0", abi::IFF_LOOPBACK), interface("vif0", 0)];
        assert_eq!(device(&one, b"vif0"), Ok(()));
        assert_eq!(device(&one, b""), Ok(()));
        assert_eq!(device(&one, b"vif"), Err(Errno::ENODEV));
        assert_eq!(device(&one, b"lo0"), Err(Errno::ENOPROTOOPT));
        let two = [interface("vif0", 0), interface("vif1", 0)];
        assert_eq!(device(&two, b"vif0"), Err(Errno::ENOPROTOOPT));
    }
}
