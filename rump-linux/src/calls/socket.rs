//! Making sockets and connections.

use super::{Args, Outcome};
use crate::errno::Errno;
use crate::lock::Mutex;
use crate::memory::get;
use crate::object::{Description, KernelFd, Netlink, Object, Socket, State};
use crate::process::{Process, Side};
use crate::raw::general::{__NR_socket, O_CLOEXEC, O_NONBLOCK, O_RDWR};
use crate::raw::net::{self, AF_INET, AF_INET6, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};
use crate::raw::netlink::NETLINK_ROUTE;
use crate::translate::address::{LONGEST, family, to_netbsd, to_other_end, to_peer};
use alloc::sync::Arc;
use rump_abi as abi;

/// `SOCK_NONBLOCK` and `SOCK_CLOEXEC` have the values of these.
const FLAGS: u32 = O_NONBLOCK | O_CLOEXEC;
/// `IPPROTO_MAX` of Linux.
const MOST_PROTOCOL: i32 = 263;

/// What a socket of datagrams holds, which Linux tells twice as much of: its own default
/// (`net.core.wmem_default` and `rmem_default`). NetBSD's is less than the longest datagram.
const DATAGRAMS: i32 = 106_496;

const TCP: u32 = abi::IPPROTO_TCP as u32;
const UDP: u32 = abi::IPPROTO_UDP as u32;

pub(crate) fn socket(process: &Process, args: &Args) -> Outcome {
    let [domain, kind, protocol] = [args[0] as u32, args[1] as u32, args[2] as u32];
    let inet = domain == AF_INET || domain == AF_INET6;
    if tells_of_interfaces(domain, protocol) && process.rules.inet == Side::Kernel {
        return netlink(process, kind);
    }
    if !inet || process.rules.inet == Side::Host {
        return Ok(process.host.call(__NR_socket, *args));
    }
    let (flags, kind) = (kind & !0xf, kind & 0xf);
    // SOCK_PACKET is the last kind.
    if flags & !FLAGS != 0 || kind > 10 || !(0..MOST_PROTOCOL).contains(&(protocol as i32)) {
        return Err(Errno::EINVAL);
    }
    let protocol = match (kind, protocol) {
        (SOCK_STREAM, 0 | TCP) => TCP,
        (SOCK_DGRAM, 0 | UDP) => UDP,
        (SOCK_RAW, 1..) => protocol,
        (SOCK_STREAM | SOCK_DGRAM | SOCK_RAW, _) => return Err(Errno::EPROTONOSUPPORT),
        _ => return Err(Errno::ESOCKTNOSUPPORT),
    };
    let family = if domain == AF_INET {
        abi::AF_INET
    } else {
        abi::AF_INET6
    };
    let modes = abi::SOCK_NONBLOCK | abi::SOCK_CLOEXEC | abi::SOCK_NOSIGPIPE;
    // The kinds have the same numbers in both.
    let fd = process
        .kernel
        .socket(family, kind as i32 | modes, protocol as i32)?;
    let fd = KernelFd::new(&process.kernel, fd);
    if domain == AF_INET6 {
        // Linux's sockets take connections of both families unless told otherwise. A kernel
        // that cannot do that says so when it is told.
        let off = 0i32.to_ne_bytes();
        let _ = process
            .kernel
            .setsockopt(fd.number, abi::IPPROTO_IPV6, abi::IPV6_V6ONLY, &off);
    }
    if kind != SOCK_STREAM {
        for buffer in [abi::SO_SNDBUF, abi::SO_RCVBUF] {
            // Less is allowed where `kern.sbmax` says so, and does.
            let size = DATAGRAMS.to_ne_bytes();
            let _ = process
                .kernel
                .setsockopt(fd.number, abi::SOL_SOCKET, buffer, &size);
        }
    }
    let socket = Socket {
        fd,
        domain,
        kind,
        protocol,
        state: Mutex::default(),
    };
    open(process, socket, flags)
}

/// Whether a socket of netlink(7) is of the protocol that tells of interfaces.
pub fn tells_of_interfaces(domain: u32, protocol: u32) -> bool {
    domain == net::AF_NETLINK && protocol == NETLINK_ROUTE
}

fn netlink(process: &Process, kind: u32) -> Outcome {
    let (flags, kind) = (kind & !0xf, kind & 0xf);
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if ![SOCK_RAW, SOCK_DGRAM].contains(&kind) {
        return Err(Errno::ESOCKTNOSUPPORT);
    }
    let status = O_RDWR | flags & O_NONBLOCK;
    let netlink = Object::Netlink(Netlink::new(kind));
    let fd = process.open(netlink, status, flags & O_CLOEXEC != 0)?;
    Ok(fd.into())
}

fn open(process: &Process, socket: Socket, flags: u32) -> Outcome {
    let status = O_RDWR | flags & O_NONBLOCK;
    process
        .open(Object::Socket(socket), status, flags & O_CLOEXEC != 0)
        .map(i64::from)
}

pub(crate) fn bind(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let socket = one.socket().ok_or(Errno::ENOTSOCK)?;
    let mut name = process.take_name(args[1], args[2])?;
    // Linux takes an unspecified family for IPv4's, if the address is unspecified too.
    if socket.domain == AF_INET && name.len() >= 16 && name[..2] == [0; 2] && name[4..8] == [0; 4] {
        name[0] = AF_INET as u8;
    }
    let name = to_netbsd(&name, socket.domain)?;
    process.kernel.bind(socket.fd.number, &name)?;
    Ok(0)
}

pub(crate) fn listen(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let socket = one.socket().ok_or(Errno::ENOTSOCK)?;
    if !socket.is_stream() {
        return Err(Errno::EOPNOTSUPP);
    }
    if socket.state.lock().connected {
        return Err(Errno::EINVAL);
    }
    // A negative backlog is the largest one.
    let backlog = (args[1] as i32 as u32).min(4096) as i32;
    process.kernel.listen(socket.fd.number, backlog)?;
    socket.state.lock().listening = true;
    Ok(0)
}

pub(crate) fn accept(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    accept4(process, one, &[args[0], args[1], args[2], 0, 0, 0])
}

pub(crate) fn accept4(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let socket = one.socket().ok_or(Errno::ENOTSOCK)?;
    let flags = args[3] as u32;
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if !socket.is_stream() {
        return Err(Errno::EOPNOTSUPP);
    }
    let state = socket.state.lock().clone();
    if !state.listening {
        return Err(Errno::EINVAL);
    }
    let modes = abi::SOCK_NONBLOCK | abi::SOCK_CLOEXEC | abi::SOCK_NOSIGPIPE;
    let mut name = [0; LONGEST];
    if one.waits() && state.receive_timeout.is_none() {
        process.arrival(socket, 1)?;
    }
    let (fd, length) =
        process.attempt(one, abi::POLLIN, one.waits(), state.receive_timeout, || {
            Ok(process.kernel.accept(socket.fd.number, &mut name, modes)?)
        })?;
    let accepted = Socket {
        fd: KernelFd::new(&process.kernel, fd),
        domain: socket.domain,
        kind: socket.kind,
        protocol: socket.protocol,
        state: Mutex::new(State {
            connected: true,
            kept: state.kept,
            ..State::default()
        }),
    };
    // First what may fail for the program's fault: a number that was given out once is known
    // to other threads.
    if args[1] != 0 {
        process.give_name(args[1], args[2], &name[..length.min(LONGEST)])?;
    }
    open(process, accepted, flags)
}

pub(crate) fn connect(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let socket = one.socket().ok_or(Errno::ENOTSOCK)?;
    let name = process.take_name(args[1], args[2])?;
    if family(&name)? == net::AF_UNSPEC {
        return disconnect(process, socket);
    }
    let state = socket.state.lock().clone();
    if socket.is_stream() && state.connected && !state.connecting {
        // Linux does not look at the address then.
        return Err(Errno::EISCONN);
    }
    if !socket.is_stream() {
        let name = to_peer(&name, socket.domain)?;
        process.kernel.connect(socket.fd.number, &name)?;
        socket.state.lock().connected = true;
        return Ok(0);
    }
    if state.listening {
        return Err(Errno::EISCONN);
    }
    if state.connecting {
        // The second call learns what became of the first, or waits in its place: it may be
        // the same, started again after a signal.
        return match finished(process, socket) {
            None if one.waits() => wait_connected(process, one, socket, state.send_timeout),
            None => Err(Errno::EALREADY),
            Some(result) => result,
        };
    }
    let name = to_other_end(&name, socket.domain)?;
    match process
        .kernel
        .connect(socket.fd.number, &name)
        .map_err(Errno::from)
    {
        Ok(()) => {
            socket.state.lock().connected = true;
            return Ok(0);
        }
        Err(Errno::EINPROGRESS) => {
            let mut state = socket.state.lock();
            state.connected = true;
            state.connecting = true;
        }
        Err(errno) => return Err(errno),
    }
    if !one.waits() {
        return Err(Errno::EINPROGRESS);
    }
    wait_connected(process, one, socket, state.send_timeout)
}

fn wait_connected(
    process: &Process,
    one: &Arc<Description>,
    socket: &Socket,
    timeout: Option<u64>,
) -> Outcome {
    process
        .attempt(one, abi::POLLOUT, true, timeout, || {
            finished(process, socket).ok_or(Errno::EAGAIN)
        })
        .map_err(|errno| {
            if errno == Errno::EAGAIN {
                Errno::EINPROGRESS
            } else {
                errno
            }
        })?
}

/// What became of an attempt to connect; `None` as long as it is under way.
fn finished(process: &Process, socket: &Socket) -> Option<Outcome> {
    let mut entry = [abi::pollfd {
        fd: socket.fd.number,
        events: abi::POLLOUT,
        revents: 0,
    }];
    if let Err(failure) = process.kernel.poll(&mut entry, 0) {
        return Some(Err(failure.into()));
    }
    if entry[0].revents == 0 {
        return None;
    }
    socket.state.lock().connecting = false;
    Some(match process.take_error(socket) {
        Ok(0) => Ok(0),
        Ok(errno) => Err(Errno(errno)),
        Err(errno) => Err(errno),
    })
}

fn disconnect(process: &Process, socket: &Socket) -> Outcome {
    if socket.is_stream() {
        return if socket.state.lock().connected {
            // NetBSD cannot use a connection's socket again.
            Err(Errno::EOPNOTSUPP)
        } else {
            Ok(0)
        };
    }
    // NetBSD's answer to an address of no family, after it has disconnected, is an error.
    let none = [
        16,
        abi::AF_UNSPEC as u8,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    let _ = process.kernel.connect(socket.fd.number, &none);
    socket.state.lock().connected = false;
    Ok(0)
}

pub(crate) fn shutdown(process: &Process, one: &Arc<Description>, args: &Args) -> Outcome {
    let socket = one.socket().ok_or(Errno::ENOTSOCK)?;
    let how = args[1] as i32;
    if !(0..=2).contains(&how) {
        return Err(Errno::EINVAL);
    }
    let state = socket.state.lock().clone();
    if !state.connected && !state.listening {
        return Err(Errno::ENOTCONN);
    }
    // The three ways have the same numbers in both. NetBSD's second end of writing ends the
    // reading, too.
    let kernel = &process.kernel;
    let done = match how {
        abi::SHUT_WR if state.shut_for_writing => kernel
            .getpeername(socket.fd.number, &mut [0; LONGEST])
            .map(drop),
        abi::SHUT_RDWR if state.shut_for_writing => kernel.shutdown(socket.fd.number, abi::SHUT_RD),
        _ => kernel.shutdown(socket.fd.number, how),
    };
    match done.map_err(Errno::from) {
        // What NetBSD says of a connection that was reset.
        Err(Errno::EINVAL) => return Err(Errno::ENOTCONN),
        other => other?,
    }
    let mut state = socket.state.lock();
    state.shut_for_writing |= socket.is_stream() && how != abi::SHUT_RD;
    state.connecting = false;
    Ok(0)
}

impl Process {
    /// `SO_ERROR`: Linux's number of the error that waits, or 0.
    pub(crate) fn take_error(&self, socket: &Socket) -> Result<u32, Errno> {
        let mut value = [0; 4];
        self.kernel
            .getsockopt(socket.fd.number, abi::SOL_SOCKET, abi::SO_ERROR, &mut value)?;
        Ok(match i32::from_ne_bytes(value) {
            0 => 0,
            number => Errno::from(crate::errno::Failure(number)).0,
        })
    }
}

pub(crate) fn socketpair(process: &Process, args: &Args) -> Outcome {
    let domain = args[0] as u32;
    if domain == AF_INET || domain == AF_INET6 {
        return Err(Errno::EOPNOTSUPP);
    }
    // The place for the result is checked before the host, which may be less careful.
    let _: u64 = get(&*process.host, args[3])?;
    Ok(process
        .host
        .call(crate::raw::general::__NR_socketpair, *args))
}
