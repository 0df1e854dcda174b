//! One scenario for each row of the table: what it sees must be the same on both systems.

use super::system::{System, at, loopback};
use rump_linux::raw::{general::*, ioctl, lacking, net};

pub type Scenario = fn(&System) -> Vec<i64>;

const STREAM: u32 = net::SOCK_STREAM;
const DATAGRAM: u32 = net::SOCK_DGRAM;
const NONBLOCK: u32 = O_NONBLOCK;
const IN: u32 = POLLIN;
const OUT: u32 = POLLOUT;

/// By the name of the row.
pub const SCENARIOS: &[(&str, Scenario)] = &[
    ("socket", socket),
    ("socketpair", |s| {
        let mut ends = [0i32; 2];
        let inet = s.call(__NR_socketpair, [2, 1, 0, at(&mut ends)]);
        let local = s.call(__NR_socketpair, [1, 1, 0, at(&mut ends)]);
        s.close(ends[0] as u64);
        s.close(ends[1] as u64);
        vec![inet, local]
    }),
    ("bind", bind),
    ("listen", |s| {
        let (stream, datagram) = (s.socket(false, STREAM), s.socket(false, DATAGRAM));
        let results = [stream, datagram]
            .map(|fd| s.call(__NR_listen, [fd, 5]))
            .to_vec();
        let told = s.option(stream, net::SOL_SOCKET, net::SO_ACCEPTCONN);
        s.close(stream);
        s.close(datagram);
        [results, vec![told.0, told.1.into()]].concat()
    }),
    ("accept", |s| {
        let (fresh, datagram) = (s.socket(false, STREAM), s.socket(false, DATAGRAM));
        let wrong = [fresh, datagram].map(|fd| s.call(__NR_accept, [fd, 0, 0]));
        let [a, b, c] = s.pair();
        let peer = s.name(__NR_getpeername, c).1 == s.name(__NR_getsockname, b).1;
        let status = s.call(__NR_fcntl, [c, F_GETFL.into()]);
        s.close_all(&[a, b, c, fresh, datagram]);
        [wrong.to_vec(), vec![peer.into(), status]].concat()
    }),
    ("accept4", |s| {
        let listener = s.socket(false, STREAM | NONBLOCK);
        let (_, name) = s.bind(listener, false);
        s.call(__NR_listen, [listener, 5]);
        let empty = s.call(__NR_accept4, [listener, 0, 0, NONBLOCK.into()]);
        let flags = s.call(__NR_accept4, [listener, 0, 0, 1]);
        let client = s.socket(false, STREAM);
        let connected = s.connect(client, &name);
        let ready = s.poll(listener, IN, 1000);
        let server = s.call(
            __NR_accept4,
            [listener, 0, 0, (NONBLOCK | O_CLOEXEC).into()],
        ) as u64;
        let told = [F_GETFL, F_GETFD].map(|command| s.call(__NR_fcntl, [server, command.into()]));
        s.close_all(&[listener, client, server]);
        vec![
            empty,
            flags,
            connected,
            ready.0,
            ready.1.into(),
            told[0],
            told[1],
        ]
    }),
    ("connect", connect),
    ("shutdown", |s| {
        let fresh = s.socket(false, STREAM);
        let early = s.call(__NR_shutdown, [fresh, 1]);
        let [a, b, c] = s.pair();
        let wrong = s.call(__NR_shutdown, [b, 7]);
        let done = s.call(__NR_shutdown, [b, net::SHUT_WR.into()]);
        let end = s.receive(c, 4, 0);
        let refused = s.send(b, b"x");
        let back = (s.send(c, b"yes"), s.receive(b, 3, net::MSG_WAITALL).0);
        s.close_all(&[a, b, c, fresh]);
        vec![early, wrong, done, end.0, refused, back.0, back.1]
    }),
    ("getsockname", |s| names(s, __NR_getsockname)),
    ("getpeername", |s| names(s, __NR_getpeername)),
    ("setsockopt", set_options),
    ("getsockopt", get_options),
    ("sendto", |s| {
        let (from, to) = (s.socket(false, DATAGRAM), s.socket(false, DATAGRAM));
        let (_, mut name) = s.bind(to, false);
        let mut data = [7u8; 64];
        let nobody = s.call(__NR_sendto, [from, at(&mut data), 64, 0, 0, 0]);
        let sent = s.call(
            __NR_sendto,
            [from, at(&mut data), 64, 0, at(&mut name[..]), 16],
        );
        let huge = s.call(
            __NR_sendto,
            [from, at(&mut data), 70_000, 0, at(&mut name[..]), 16],
        );
        let family = s.call(
            __NR_sendto,
            [from, at(&mut data), 4, 0, at(&mut [9u8; 16]), 16],
        );
        let short = s.call(
            __NR_sendto,
            [from, at(&mut data), 4, 0, at(&mut name[..]), 5],
        );
        let wild = s.call(__NR_sendto, [from, 4096, 4, 0, at(&mut name[..]), 16]);
        let came = s.receive(to, 100, 0).0;
        let stream = s.socket(false, STREAM);
        let unconnected = s.send(stream, b"x");
        s.close_all(&[from, to, stream]);
        vec![
            nobody,
            sent,
            huge.min(0),
            family,
            short,
            wild,
            came,
            unconnected,
        ]
    }),
    ("recvfrom", receive_from),
    ("sendmsg", messages),
    ("recvmsg", messages),
    ("sendmmsg", many_messages),
    ("recvmmsg", many_messages),
    ("read", |s| read_write(s, __NR_read, __NR_write)),
    ("write", |s| read_write(s, __NR_read, __NR_write)),
    ("readv", vectors),
    ("writev", vectors),
    ("lseek", |s| positions(s, __NR_lseek)),
    ("pread64", |s| positions(s, __NR_pread64)),
    ("pwrite64", |s| positions(s, __NR_pwrite64)),
    ("sendfile", send_file),
    ("splice", |s| {
        let bad = u64::MAX;
        vec![s.call(__NR_splice, [bad, 0, bad, 0, 1, 0])]
    }),
    ("close", |s| {
        let fd = s.socket(false, STREAM);
        vec![s.close(fd), s.close(fd), s.poll(fd, IN, 0).1.into()]
    }),
    ("close_range", |s| {
        let high = s.call(__NR_fcntl, [s.socket(false, STREAM), F_DUPFD.into(), 900]) as u64;
        let flag = lacking::CLOSE_RANGE_CLOEXEC.into();
        let marked = s.call(__NR_close_range, [high, high, flag]);
        let told = s.call(__NR_fcntl, [high, F_GETFD.into()]);
        let wrong = s.call(__NR_close_range, [high, high - 1, 0]);
        let closed = s.call(__NR_close_range, [high, high, 0]);
        vec![marked, told, wrong, closed, s.close(high)]
    }),
    ("dup", duplicates),
    ("dup2", duplicates),
    ("dup3", duplicates),
    ("fcntl", |s| {
        let fd = s.socket(false, STREAM);
        let mut seen = Vec::new();
        for (command, argument) in [
            (F_GETFL, 0),
            (F_SETFL, O_NONBLOCK),
            (F_GETFL, 0),
            (F_SETFD, FD_CLOEXEC),
            (F_GETFD, 0),
            (F_DUPFD, u32::MAX),
            (9999, 0),
        ] {
            seen.push(s.call(__NR_fcntl, [fd, command.into(), argument.into()]));
        }
        s.close(fd);
        seen
    }),
    ("ioctl", |s| {
        let [a, b, c] = s.pair();
        let (mut number, mut on) = (-1i32, 1i32);
        let sent = s.send(b, b"twelve bytes");
        s.poll(c, IN, 1000);
        let count = s.call(__NR_ioctl, [c, ioctl::FIONREAD.into(), at(&mut number)]);
        let set = s.call(__NR_ioctl, [c, ioctl::FIONBIO.into(), at(&mut on)]);
        let flags = s.call(__NR_fcntl, [c, F_GETFL.into()]);
        let unknown = s.call(__NR_ioctl, [c, 0x1234_5678, at(&mut on)]);
        let wild = s.call(__NR_ioctl, [c, ioctl::FIONREAD.into(), 8]);
        let listener = s.call(__NR_ioctl, [a, ioctl::FIONREAD.into(), at(&mut on)]);
        s.close_all(&[a, b, c]);
        vec![
            sent,
            count,
            number.into(),
            set,
            flags,
            unknown,
            wild,
            listener,
        ]
    }),
    ("pipe", |s| pipes(s, __NR_pipe)),
    ("pipe2", |s| pipes(s, __NR_pipe2)),
    ("poll", polls),
    ("ppoll", |s| {
        let [a, b, c] = s.pair();
        let mut time = [0i64, 1_000_000];
        let mut mask = 0u64;
        let mut entry = pollfd {
            fd: c as i32,
            events: IN as i16,
            revents: 0,
        };
        let mut seen = Vec::new();
        for size in [8, 7] {
            let arguments = [at(&mut entry), 1, at(&mut time), at(&mut mask), size];
            seen.push(s.call(__NR_ppoll, arguments));
        }
        s.send(b, b"x");
        time = [5, 0];
        seen.push(s.call(__NR_ppoll, [at(&mut entry), 1, at(&mut time), 0, 0]));
        seen.push(entry.revents.into());
        s.close_all(&[a, b, c]);
        seen
    }),
    ("select", |s| selects(s, __NR_select)),
    ("pselect6", |s| selects(s, __NR_pselect6)),
    ("epoll_create", |s| epolls(s, __NR_epoll_wait)),
    ("epoll_create1", |s| {
        let fd = s.call(__NR_epoll_create1, [O_CLOEXEC.into()]) as u64;
        let told = s.call(__NR_fcntl, [fd, F_GETFD.into()]);
        vec![told, s.close(fd), s.call(__NR_epoll_create1, [7])]
    }),
    ("epoll_ctl", |s| epolls(s, __NR_epoll_wait)),
    ("epoll_wait", |s| epolls(s, __NR_epoll_wait)),
    ("epoll_pwait", |s| epolls(s, __NR_epoll_pwait)),
    ("epoll_pwait2", |s| epolls(s, __NR_epoll_pwait2)),
    ("eventfd", |s| events(s, 0)),
    ("eventfd2", |s| events(s, EFD_SEMAPHORE)),
    ("timerfd_create", timers),
    ("timerfd_settime", timers),
    ("timerfd_gettime", timers),
];

fn send_file(s: &System) -> Vec<i64> {
    use std::io::{Seek, Write};
    use std::os::fd::AsRawFd;
    let mut file = std::fs::File::from(
        nix::sys::memfd::memfd_create(c"x", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap(),
    );
    file.write_all(b"0123456789").unwrap();
    file.seek(std::io::SeekFrom::Start(2)).unwrap();
    let from = file.as_raw_fd() as u64;
    let [a, b, c] = s.pair();
    let (bad, mut place, mut before) = (u64::MAX, 5i64, -1i64);
    let mut seen = vec![
        s.call(__NR_sendfile, [bad, bad, 0, 1]),
        s.call(__NR_sendfile, [b, bad, 0, 1]),
        s.call(__NR_sendfile, [b, from, 0, 3]),
        file.stream_position().unwrap() as i64,
        s.call(__NR_sendfile, [b, from, at(&mut place), 100]),
        place,
        s.call(__NR_sendfile, [b, from, at(&mut place), 100]),
        s.call(__NR_sendfile, [b, from, at(&mut before), 1]),
        s.call(__NR_sendfile, [b, from, 16, 1]),
        s.call(__NR_sendfile, [b, c, 0, 1]),
        file.stream_position().unwrap() as i64,
    ];
    let (length, data) = s.receive(c, 8, net::MSG_WAITALL);
    seen.push(length);
    seen.extend(data.iter().map(|byte| i64::from(*byte)));
    s.close_all(&[a, b, c]);
    seen
}

fn socket(s: &System) -> Vec<i64> {
    let mut seen = Vec::new();
    for (domain, kind, protocol) in [
        (2, 1, 17),
        (2, 2, 6),
        (2, 1, 999),
        (2, 5, 0),
        (2, 15, 0),
        (2, 0, 0),
        (10, 1, 1),
        (2, 1 | 0x100, 0),
        (2, 3, 0),
        (99, 1, 0),
    ] {
        seen.push(s.call(__NR_socket, [domain, kind, protocol]));
    }
    let fd = s.socket(true, STREAM | O_CLOEXEC | NONBLOCK);
    for command in [F_GETFD, F_GETFL] {
        seen.push(s.call(__NR_fcntl, [fd, command.into()]));
    }
    for name in [net::SO_TYPE, net::SO_DOMAIN, net::SO_PROTOCOL] {
        seen.push(s.option(fd, net::SOL_SOCKET, name).1.into());
    }
    seen.push(s.close(fd));
    seen
}

fn bind(s: &System) -> Vec<i64> {
    let mut seen = Vec::new();
    for v6 in [false, true] {
        let (fd, other) = (s.socket(v6, STREAM), s.socket(v6, STREAM));
        let (result, mut name) = s.bind(fd, v6);
        let length = name.len() as u64;
        seen.extend([result, length as i64]);
        // Again, the same by another, too short, another family, nowhere.
        seen.push(s.bind(fd, v6).0);
        seen.push(s.call(__NR_bind, [other, at(&mut name[..]), length]));
        seen.push(s.call(__NR_bind, [other, at(&mut name[..]), 7]));
        seen.push(s.call(__NR_bind, [other, at(&mut [77u8; 28]), length]));
        seen.push(s.call(__NR_bind, [other, 16, length]));
        seen.push(s.call(__NR_bind, [other, at(&mut name[..]), 200]));
        let mut strange = loopback(v6, 0);
        let last = if v6 { 8 } else { 4 };
        strange[last..last + 4].copy_from_slice(&[192, 0, 2, 77]);
        seen.push(s.call(__NR_bind, [other, at(&mut strange[..]), length]));
        s.close(fd);
        s.close(other);
    }
    seen
}

fn connect(s: &System) -> Vec<i64> {
    let mut seen = Vec::new();
    let closed = s.socket(false, STREAM);
    let (_, refusing) = s.bind(closed, false);
    // Where a socket is bound that does not listen, NetBSD does not answer at all.
    s.close(closed);
    let client = s.socket(false, STREAM);
    seen.push(s.connect(client, &refusing));
    s.close(client);
    let client = s.socket(false, STREAM | NONBLOCK);
    seen.push(s.connect(client, &refusing));
    let ready = s.poll(client, OUT, 1000);
    seen.extend([ready.0, ready.1.into()]);
    for _ in 0..2 {
        seen.push(s.option(client, net::SOL_SOCKET, net::SO_ERROR).1.into());
    }
    s.close(client);
    let [a, b, c] = s.pair();
    let name = s.name(__NR_getpeername, b).1;
    seen.push(s.connect(b, &name));
    seen.push(s.connect(b, &name[..6]));
    let udp = s.socket(false, DATAGRAM);
    seen.push(s.connect(udp, &name));
    seen.push(s.connect(udp, &[0; 16]));
    seen.push(s.name(__NR_getpeername, udp).0);
    s.close_all(&[a, b, c, udp]);
    seen
}

fn names(s: &System, number: u32) -> Vec<i64> {
    let fresh = s.socket(false, STREAM);
    let early = s.name(number, fresh);
    let [a, b, c] = s.pair();
    let (result, name) = s.name(number, b);
    let mut seen = vec![early.0, early.1.len() as i64, result, name.len() as i64];
    let (mut short, mut length) = ([0u8; 4], 4i32);
    seen.push(s.call(number, [b, at(&mut short), at(&mut length)]));
    seen.extend([i64::from(length), short[0].into()]);
    length = -1;
    seen.push(s.call(number, [b, at(&mut short), at(&mut length)]));
    seen.push(s.call(number, [b, 1, 2]));
    s.close_all(&[a, b, c, fresh]);
    seen
}

fn set_options(s: &System) -> Vec<i64> {
    let mut seen = Vec::new();
    let fd = s.socket(false, STREAM);
    for (level, name, value) in [
        (net::SOL_SOCKET, net::SO_REUSEADDR, 7),
        (net::SOL_SOCKET, net::SO_KEEPALIVE, 1),
        (net::SOL_SOCKET, net::SO_RCVBUF, 16_384),
        (net::SOL_SOCKET, net::SO_TYPE, 1),
        (net::SOL_SOCKET, 9999, 1),
        (net::SOL_TCP, net::TCP_NODELAY, 1),
        (net::SOL_TCP, net::TCP_KEEPIDLE, 60),
        (net::SOL_TCP, net::TCP_CORK, 1),
        (net::SOL_IP, net::IP_TTL, 33),
        (net::SOL_IPV6, net::IPV6_V6ONLY, 1),
        (7777, 1, 1),
    ] {
        seen.push(s.set_option(fd, level, name, value));
        let told = s.option(fd, level, name);
        seen.extend([told.0, told.1.into()]);
    }
    let mut time = [1i64, 2_000_000];
    for length in [16, 8] {
        let arguments = [fd, 1, net::SO_RCVTIMEO.into(), at(&mut time), length];
        seen.push(s.call(__NR_setsockopt, arguments));
    }
    seen.push(s.call(__NR_setsockopt, [fd, 1, 2, at(&mut time), 2]));
    seen.push(s.call(__NR_setsockopt, [fd, 1, 2, 16, 4]));
    s.close(fd);
    seen
}

fn get_options(s: &System) -> Vec<i64> {
    let mut seen = Vec::new();
    for v6 in [false, true] {
        for kind in [STREAM, DATAGRAM] {
            let fd = s.socket(v6, kind);
            for (level, name) in [
                (net::SOL_SOCKET, net::SO_TYPE),
                (net::SOL_SOCKET, net::SO_ERROR),
                (net::SOL_SOCKET, net::SO_REUSEADDR),
                (net::SOL_SOCKET, net::SO_BROADCAST),
                (net::SOL_TCP, net::TCP_NODELAY),
                (net::SOL_IPV6, net::IPV6_V6ONLY),
                (net::SOL_IP, net::IP_MTU_DISCOVER),
            ] {
                let told = s.option(fd, level, name);
                seen.extend([told.0, told.1.into()]);
            }
            let (mut value, mut length) = ([0u8; 2], 2i32);
            let arguments = [fd, 1, 3, at(&mut value), at(&mut length)];
            seen.extend([
                s.call(__NR_getsockopt, arguments),
                length.into(),
                value[0].into(),
            ]);
            length = -4;
            let arguments = [fd, 1, 3, at(&mut value), at(&mut length)];
            seen.push(s.call(__NR_getsockopt, arguments));
            s.close(fd);
        }
    }
    seen
}

/// More connections that nobody has accepted yet than NetBSD's own limit.
pub fn backlog(s: &System) -> Vec<i64> {
    let listener = s.socket(false, STREAM);
    let (bound, mut name) = s.bind(listener, false);
    let mut seen = vec![bound, s.call(__NR_listen, [listener, 1000])];
    let length = name.len() as u64;
    let mut clients = Vec::new();
    for _ in 0..300 {
        let client = s.socket(false, STREAM | O_NONBLOCK);
        s.call(__NR_connect, [client, at(&mut name[..]), length]);
        clients.push(client);
    }
    for client in &clients {
        seen.push((s.poll(*client, POLLOUT, 3000).1 & POLLOUT as i16).into());
    }
    s.close_all(&clients);
    s.close(listener);
    seen
}

/// States, and what was agreed on, from the beginning of a connection to its end.
pub fn tcp_info(s: &System) -> Vec<i64> {
    let mut seen = Vec::new();
    let mut look = |fd| {
        let (mut info, mut length) = ([0xffu8; 104], 104i32);
        let arguments = [
            fd,
            net::SOL_TCP.into(),
            net::TCP_INFO.into(),
            at(&mut info),
            at(&mut length),
        ];
        let result = s.call(__NR_getsockopt, arguments);
        let largest = u32::from_ne_bytes(info[16..20].try_into().unwrap());
        let [state, _, _, _, _, options, ..] = info;
        seen.extend([result, length.into(), state.into()]);
        // NetBSD does not tell the side that accepted of SACK.
        let agreed = net::TCPI_OPT_TIMESTAMPS | net::TCPI_OPT_WSCALE;
        seen.push(if state == 1 {
            (u32::from(options) & agreed).into()
        } else {
            0
        });
        seen.push(i64::from(state == 1 && largest > 500));
    };
    let fresh = s.socket(false, STREAM);
    look(fresh);
    let [listener, client, server] = s.pair();
    look(listener);
    look(client);
    look(server);
    s.call(__NR_shutdown, [client, 1]);
    s.poll(server, POLLIN, 1000);
    look(server);
    s.call(__NR_shutdown, [server, 1]);
    s.poll(client, POLLIN, 1000);
    look(server);
    s.close_all(&[fresh, listener, client, server]);
    seen
}

fn receive_from(s: &System) -> Vec<i64> {
    let (from, to) = (
        s.socket(false, DATAGRAM),
        s.socket(false, DATAGRAM | NONBLOCK),
    );
    let (_, name) = s.bind(to, false);
    let empty = s.receive(to, 10, 0).0;
    s.connect(from, &name);
    for length in [10, 20, 30] {
        s.send(from, &vec![length; length.into()]);
    }
    s.poll(to, IN, 1000);
    let mut seen = vec![empty];
    for (length, flags) in [(100, net::MSG_PEEK), (4, 0), (4, net::MSG_TRUNC), (0, 0)] {
        seen.push(s.receive(to, length, flags).0);
    }
    let [a, b, c] = s.pair();
    let (mut data, mut peer, mut length) = ([0u8; 8], [1u8; 16], 16i32);
    s.send(b, b"12345678");
    let arguments = [c, at(&mut data), 8, 0, at(&mut peer), at(&mut length)];
    seen.extend([
        s.call(__NR_recvfrom, arguments),
        length.into(),
        peer[0].into(),
    ]);
    seen.push(s.receive(a, 4, net::MSG_DONTWAIT).0);
    seen.push(s.receive(c, 4, net::MSG_DONTWAIT).0);
    seen.push(s.receive(c, 4, net::MSG_ERRQUEUE).0);
    s.close_all(&[a, b, c, from, to]);
    seen
}

/// A `struct msghdr` with one buffer, in words.
fn header(vector: &mut [u64; 2], name: &mut [u8], control: &mut [u8]) -> [u64; 7] {
    let (names, controls) = (name.len() as u64, control.len() as u64);
    [at(name), names, at(vector), 1, at(control), controls, 0]
}

fn messages(s: &System) -> Vec<i64> {
    let (from, to) = (
        s.socket(true, DATAGRAM),
        s.socket(true, DATAGRAM | NONBLOCK),
    );
    let (_, mut name) = s.bind(to, true);
    let mut data = *b"a message";
    let mut vector = [at(&mut data), 9];
    let mut out = header(&mut vector, &mut name, &mut []);
    let mut seen = vec![s.call(__NR_sendmsg, [from, at(&mut out), 0])];
    let mut sender = [0u8; 40];
    let mut empty = header(&mut vector, &mut sender, &mut []);
    s.poll(to, IN, 1000);
    vector[1] = 4;
    seen.push(s.call(__NR_recvmsg, [to, at(&mut empty), 0]));
    // The length of the name, and the flags.
    seen.extend([empty[1] as i64 & 0xffff, sender[0].into()]);
    out[3] = 1025;
    seen.push(s.call(__NR_sendmsg, [from, at(&mut out), 0]));
    out[3] = 1;
    vector[0] = 8;
    out[2] = at(&mut vector);
    seen.push(s.call(__NR_sendmsg, [from, at(&mut out), 0]));
    seen.push(s.call(__NR_sendmsg, [from, 8, 0]));
    seen.push(s.call(__NR_recvmsg, [to, at(&mut empty), 0]));
    s.close_all(&[from, to]);
    seen
}

fn many_messages(s: &System) -> Vec<i64> {
    let (from, to) = (
        s.socket(false, DATAGRAM),
        s.socket(false, DATAGRAM | NONBLOCK),
    );
    let (_, name) = s.bind(to, false);
    s.connect(from, &name);
    let mut data = [1u8; 32];
    let mut vector = [at(&mut data), 32];
    let one = header(&mut vector, &mut [], &mut []);
    let [a, b, c, d, e, f, g] = one;
    let mut several = [[a, b, c, d, e, f, g, 0]; 4];
    let mut seen = vec![s.call(__NR_sendmmsg, [from, at(&mut several), 4, 0])];
    seen.extend(several.map(|one| one[7] as i64));
    s.poll(to, IN, 1000);
    std::thread::sleep(std::time::Duration::from_millis(20));
    several = [[a, b, c, d, e, f, g, 0]; 4];
    let flags = u64::from(lacking::MSG_WAITFORONE);
    seen.push(s.call(__NR_recvmmsg, [to, at(&mut several), 4, flags, 0]));
    seen.push(s.call(__NR_recvmmsg, [to, at(&mut several), 4, 0, 0]));
    s.close_all(&[from, to]);
    seen
}

fn read_write(s: &System, read: u32, write: u32) -> Vec<i64> {
    let [a, b, c] = s.pair();
    let mut data = *b"0123456789";
    let mut seen = vec![
        s.call(write, [b, at(&mut data), 10]),
        s.call(write, [b, 64, 10]),
        s.call(write, [b, at(&mut data), u64::MAX]),
        s.call(write, [b, at(&mut data), 0]),
        s.call(read, [c, at(&mut data), 0]),
        s.call(read, [c, at(&mut data), 4]),
        s.call(read, [c, at(&mut data), 10]),
    ];
    s.close(b);
    seen.push(s.call(read, [c, at(&mut data), 10]));
    seen.push(s.call(read, [a, at(&mut data), 10]));
    s.close(a);
    s.close(c);
    seen
}

fn vectors(s: &System) -> Vec<i64> {
    let [a, b, c] = s.pair();
    let (mut one, mut two) = (*b"abc", *b"defgh");
    let mut vector = [at(&mut one), 3, 0, 0, at(&mut two), 5];
    let mut seen = vec![s.call(__NR_writev, [b, at(&mut vector), 3])];
    let (mut one, mut two) = ([0u8; 6], [0u8; 6]);
    let mut into = [at(&mut one), 6, at(&mut two), 6];
    s.poll(c, IN, 1000);
    seen.push(s.call(__NR_readv, [c, at(&mut into), 2]));
    seen.extend([one[5], two[1]].map(i64::from));
    seen.push(s.call(__NR_writev, [b, at(&mut vector), 1025]));
    seen.push(s.call(__NR_writev, [b, 24, 2]));
    vector[1] = u64::MAX;
    seen.push(s.call(__NR_writev, [b, at(&mut vector), 3]));
    s.close_all(&[a, b, c]);
    seen
}

fn positions(s: &System, number: u32) -> Vec<i64> {
    let fd = s.socket(false, STREAM);
    let mut data = [0u8; 4];
    let result = s.call(number, [fd, at(&mut data), 4, 0]);
    s.close(fd);
    vec![result]
}

fn duplicates(s: &System) -> Vec<i64> {
    let [a, b, c] = s.pair();
    let second = s.call(__NR_dup, [b]) as u64;
    let mut seen = vec![
        s.close(b),
        s.send(second, b"one"),
        s.receive(c, 3, net::MSG_WAITALL).0,
    ];
    let high = 800u64;
    seen.push(s.call(__NR_dup2, [second, high]));
    seen.push(s.call(__NR_dup2, [high, high]));
    seen.push(s.call(__NR_dup3, [high, high, 0]));
    seen.push(s.call(__NR_dup3, [second, high + 1, O_CLOEXEC.into()]));
    seen.push(s.call(__NR_fcntl, [high + 1, F_GETFD.into()]));
    seen.push(s.call(__NR_fcntl, [high, F_GETFD.into()]));
    // Over one that is open, and from one that is not.
    seen.push(s.call(__NR_dup2, [a, high]));
    seen.push(s.option(high, net::SOL_SOCKET, net::SO_ACCEPTCONN).1.into());
    seen.push(s.call(__NR_dup2, [850, high]));
    seen.push(s.call(__NR_dup2, [a, u64::MAX]));
    s.close_all(&[a, c, second, high, high + 1]);
    seen
}

fn pipes(s: &System, number: u32) -> Vec<i64> {
    let mut ends = [0i32; 2];
    let mut seen = vec![s.call(number, [at(&mut ends), 0]), s.call(number, [24, 0])];
    let [read, write] = ends.map(|fd| fd as u64);
    let mut data = *b"through";
    seen.push(s.call(__NR_write, [write, at(&mut data), 7]));
    seen.push(s.poll(read, IN, 0).1.into());
    seen.push(s.poll(write, OUT, 0).1.into());
    seen.push(s.call(__NR_read, [read, at(&mut data), 7]));
    seen.push(s.call(__NR_read, [write, at(&mut data), 7]));
    seen.push(s.call(__NR_fcntl, [write, F_GETFL.into()]));
    s.close(write);
    seen.push(s.call(__NR_read, [read, at(&mut data), 7]));
    seen.push(s.poll(read, IN, 0).1.into());
    s.close(read);
    seen
}

fn polls(s: &System) -> Vec<i64> {
    let all = POLLIN | POLLOUT | POLLRDHUP | POLLPRI;
    let fresh = s.socket(false, STREAM);
    let [a, b, c] = s.pair();
    let mut seen: Vec<i64> = vec![
        s.poll(fresh, all, 0).1.into(),
        s.poll(a, all, 0).1.into(),
        s.poll(b, all, 0).1.into(),
        s.poll(u64::MAX, all, 0).1.into(),
        s.poll(999, all, 0).1.into(),
        s.poll(b, IN, 5).0,
    ];
    s.send(b, b"x");
    seen.push(s.poll(c, IN, 1000).1.into());
    seen.push(s.poll(c, all, 0).1.into());
    s.call(__NR_shutdown, [b, 1]);
    s.receive(c, 4, 0);
    seen.push(s.poll(c, IN, 1000).1.into());
    seen.push(s.poll(c, all, 0).1.into());
    s.call(__NR_shutdown, [c, 1]);
    seen.push(s.poll(b, POLLRDHUP, 1000).1.into());
    seen.push(s.poll(c, all, 0).1.into());
    seen.push(s.call(__NR_poll, [8, 1, 0]));
    s.close_all(&[a, b, c, fresh]);
    seen
}

fn selects(s: &System, number: u32) -> Vec<i64> {
    let [a, b, c] = s.pair();
    s.send(b, b"x");
    s.poll(c, IN, 1000);
    let top = a.max(b).max(c) + 1;
    let mut sets = [[0u64; 16]; 3];
    for set in &mut sets {
        for fd in [b, c] {
            set[fd as usize / 64] |= 1 << (fd % 64);
        }
    }
    let mut time = [0i64, 0];
    let [mut read, mut write, mut other] = sets;
    let arguments = [
        top,
        at(&mut read),
        at(&mut write),
        at(&mut other),
        at(&mut time),
        0,
    ];
    let mut seen = vec![s.call(number, arguments)];
    for (fd, set) in [
        (b, &read),
        (c, &read),
        (b, &write),
        (c, &write),
        (c, &other),
    ] {
        seen.push((set[fd as usize / 64] >> (fd % 64) & 1) as i64);
    }
    let mut closed = [0u64; 16];
    closed[15] = 1;
    seen.push(s.call(number, [1024, at(&mut closed), 0, 0, at(&mut time), 0]));
    seen.push(s.call(number, [u64::MAX, 0, 0, 0, at(&mut time), 0]));
    s.close_all(&[a, b, c]);
    seen
}

fn epolls(s: &System, number: u32) -> Vec<i64> {
    let mut seen = vec![s.call(__NR_epoll_create, [0])];
    let epoll = s.call(__NR_epoll_create, [5]) as u64;
    let [a, b, c] = s.pair();
    let event = s.call(__NR_eventfd2, [0, 0]) as u64;
    let wait = |seen: &mut Vec<i64>, timeout: i64| {
        let mut room = [epoll_event { events: 0, data: 0 }; 4];
        let mut time = [timeout / 1000, timeout % 1000 * 1_000_000];
        let limit = if number == __NR_epoll_pwait2 {
            at(&mut time)
        } else {
            timeout as u64
        };
        seen.push(s.call(number, [epoll, at(&mut room), 4, limit, 0, 8]));
        let mut found: Vec<_> = room.map(|one| (one.data as i64, one.events.into())).into();
        found.sort_unstable();
        seen.extend(found.iter().flat_map(|one: &(i64, i64)| [one.0, one.1]));
    };
    let control = |operation: u32, fd: u64, events: u32, data: u64| {
        let mut event = epoll_event { events, data };
        s.call(
            __NR_epoll_ctl,
            [epoll, operation.into(), fd, at(&mut event)],
        )
    };
    // Level.
    seen.push(control(EPOLL_CTL_ADD, c, EPOLLIN | EPOLLRDHUP, 7));
    seen.push(control(EPOLL_CTL_ADD, c, EPOLLIN, 7));
    seen.push(control(EPOLL_CTL_DEL, b, 0, 7));
    seen.push(control(EPOLL_CTL_MOD, b, 0, 7));
    seen.push(control(EPOLL_CTL_ADD, epoll, EPOLLIN, 7));
    seen.push(control(EPOLL_CTL_ADD, 950, EPOLLIN, 7));
    wait(&mut seen, 0);
    s.send(b, b"abc");
    wait(&mut seen, 1000);
    wait(&mut seen, 0);
    // Edge: once for each time that something came.
    seen.push(control(EPOLL_CTL_MOD, c, EPOLLIN | EPOLLET, 8));
    wait(&mut seen, 1000);
    wait(&mut seen, 0);
    s.send(b, b"d");
    wait(&mut seen, 1000);
    // One-shot.
    seen.push(control(EPOLL_CTL_MOD, c, EPOLLIN | EPOLLONESHOT, 9));
    wait(&mut seen, 1000);
    wait(&mut seen, 0);
    seen.push(control(EPOLL_CTL_MOD, c, EPOLLIN | EPOLLONESHOT, 10));
    wait(&mut seen, 1000);
    // Beside what is not the kernel's.
    seen.push(control(EPOLL_CTL_ADD, event, EPOLLIN, 11));
    wait(&mut seen, 0);
    let mut one = 1u64;
    s.call(__NR_write, [event, at(&mut one), 8]);
    wait(&mut seen, 1000);
    seen.push(control(EPOLL_CTL_DEL, event, 0, 0));
    // An end, and one that is closed while it is waited for.
    s.receive(c, 10, 0);
    seen.push(control(EPOLL_CTL_MOD, c, EPOLLIN | EPOLLRDHUP, 12));
    s.close(b);
    wait(&mut seen, 1000);
    s.close(c);
    wait(&mut seen, 0);
    seen.push(s.call(number, [epoll, 64, 0, 0, 0, 8]));
    s.close_all(&[a, event, epoll]);
    seen
}

fn events(s: &System, flags: u32) -> Vec<i64> {
    let number = if flags == 0 {
        __NR_eventfd
    } else {
        __NR_eventfd2
    };
    let fd = s.call(number, [3, flags.into()]) as u64;
    s.call(__NR_fcntl, [fd, F_SETFL.into(), NONBLOCK.into()]);
    let mut value = 0u64;
    let mut seen = vec![s.poll(fd, IN | OUT, 0).1.into()];
    for _ in 0..4 {
        let result = s.call(__NR_read, [fd, at(&mut value), 8]);
        seen.extend([result, value as i64]);
    }
    for add in [u64::MAX, u64::MAX - 1, 1] {
        value = add;
        seen.push(s.call(__NR_write, [fd, at(&mut value), 8]));
    }
    seen.push(s.poll(fd, IN | OUT, 0).1.into());
    seen.push(s.call(__NR_read, [fd, at(&mut value), 4]));
    seen.push(s.call(__NR_read, [fd, 16, 8]));
    seen.push(s.call(__NR_eventfd2, [0, 0x40]));
    s.close(fd);
    seen
}

fn timers(s: &System) -> Vec<i64> {
    let fd = s.call(
        __NR_timerfd_create,
        [CLOCK_MONOTONIC.into(), NONBLOCK.into()],
    ) as u64;
    let (mut count, mut old) = (0u64, [0i64; 4]);
    // An interval of a minute, the first time soon.
    let mut new = [60, 0, 0, 3_000_000i64];
    let mut seen = vec![
        s.call(__NR_timerfd_create, [99, 0]),
        s.call(__NR_read, [fd, at(&mut count), 8]),
        s.call(__NR_timerfd_settime, [fd, 0, at(&mut new), at(&mut old)]),
        old[3],
        s.poll(fd, IN, 1000).1.into(),
        s.call(__NR_read, [fd, at(&mut count), 8]),
        count as i64,
        s.call(__NR_read, [fd, at(&mut count), 8]),
        s.call(__NR_timerfd_gettime, [fd, at(&mut old)]),
        old[0],
        (old[2] >= 58).into(),
    ];
    new[3] = 1_000_000_000;
    seen.push(s.call(__NR_timerfd_settime, [fd, 0, at(&mut new), 0]));
    seen.push(s.call(__NR_timerfd_settime, [fd, 0, 32, 0]));
    seen.push(s.call(__NR_timerfd_gettime, [fd, 32]));
    s.close(fd);
    seen
}

/// What a thread that waits gets, and what it goes on waiting for: other threads send too
/// little, enough, and nothing more.
pub fn waiting(s: &System) -> Vec<i64> {
    let [listener, client, server] = s.pair();
    let pause = || std::thread::sleep(std::time::Duration::from_millis(50));
    let while_waiting = |length: usize, then: &(dyn Fn() + Sync)| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                pause();
                then();
            });
            s.receive(server, length, 0).0
        })
    };
    let mut results = vec![while_waiting(10, &|| _ = s.send(client, b"abc"))];
    // Not before there are five, unless there is room for fewer.
    results.push(s.set_option(server, net::SOL_SOCKET, net::SO_RCVLOWAT, 5));
    results.push(while_waiting(10, &|| {
        s.send(client, b"abc");
        pause();
        s.send(client, b"de");
    }));
    results.push(while_waiting(2, &|| _ = s.send(client, b"abc")));
    results.push(while_waiting(1, &|| ()));
    // Another accepts, and one is told of the end.
    let name = s.name(__NR_getsockname, listener).1;
    let another = s.socket(false, STREAM);
    let accepted = std::thread::scope(|scope| {
        scope.spawn(|| {
            pause();
            s.connect(another, &name);
        });
        s.call(__NR_accept, [listener, 0, 0])
    });
    results.push((accepted >= 0).into());
    s.close_all(&[accepted as u64, another]);
    results.push(while_waiting(10, &|| {
        s.call(__NR_shutdown, [client, 1]);
    }));
    s.close_all(&[listener, client, server]);
    results
}
