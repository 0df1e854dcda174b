//! One of two systems that the same operations are done on, and what can be seen of it.

use super::operation::{Operation, PLACES};
use super::system::{System, at};
use rump_linux::raw::{
    errno::{EAGAIN, ECONNRESET, EPIPE},
    general::*,
    ioctl, net,
};

/// What an operation came to: results, and data.
pub type Seen = (Vec<i64>, Vec<u8>);

/// A description that several numbers have, or one that the epoll instance has; both would be
/// one of the differences.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    Alone,
    Shared,
    Watched,
}

/// A system, and its descriptors.
pub struct World {
    pub system: System,
    places: [Option<u64>; PLACES],
    uses: [Use; PLACES],
    epoll: u64,
    written: u8,
}

/// After the other's end, Linux tells a reset as an error, and NetBSD does not.
const BROKEN: u32 = POLLERR | POLLHUP;

fn without_reset(found: u32) -> u32 {
    if found & BROKEN == BROKEN {
        found & !POLLERR
    } else {
        found
    }
}

const SOCKET: u32 = O_NONBLOCK;

impl World {
    pub fn new(system: System) -> Self {
        let epoll = system.call(__NR_epoll_create1, [0]) as u64;
        Self {
            system,
            places: [None; PLACES],
            uses: [Use::Alone; PLACES],
            epoll,
            written: 0,
        }
    }

    /// What is at a place; a number that nobody has where nothing is.
    fn fd(&self, place: usize) -> u64 {
        self.places[place].unwrap_or(100_000)
    }

    /// Puts what a call returned somewhere.
    fn put(&mut self, place: usize, result: i64) -> i64 {
        self.close(place);
        self.places[place] = u64::try_from(result).ok();
        self.uses[place] = Use::Alone;
        result.min(0)
    }

    fn close(&mut self, place: usize) -> i64 {
        match self.places[place].take() {
            Some(fd) => self.system.close(fd),
            None => 1,
        }
    }

    fn socket(&mut self, place: usize, v6: bool, kind: u32) -> i64 {
        self.close(place);
        let family = if v6 { net::AF_INET6 } else { net::AF_INET };
        let arguments = [family.into(), (kind | SOCKET).into(), 0];
        let result = self.system.call(__NR_socket, arguments);
        self.put(place, result)
    }

    /// Something that is not what was sent before.
    fn data(&mut self, size: usize) -> Vec<u8> {
        self.written = self.written.wrapping_add(1);
        (0..size).map(|at| self.written ^ at as u8).collect()
    }

    fn name(&self, place: usize) -> Vec<u8> {
        self.system.name(__NR_getsockname, self.fd(place)).1
    }

    /// Whose name an address is: ports differ between the systems.
    fn whose(&self, name: &[u8]) -> Vec<i64> {
        let none = name.get(2..4).is_none_or(|port| port == [0, 0]);
        let same = |&place: &usize| !none && !self.was_reset(place) && self.name(place) == name;
        let owner = (0..PLACES).find(same).map_or(-1, |place| place as i64);
        vec![name.len() as i64, i64::from(none), owner]
    }

    fn is(&self, place: usize, option: u32, value: u32) -> bool {
        self.system.option(self.fd(place), net::SOL_SOCKET, option) == (0, value as i32)
    }

    fn is_socket(&self, place: usize) -> bool {
        self.system
            .option(self.fd(place), net::SOL_SOCKET, net::SO_TYPE)
            .0
            == 0
    }

    fn is_stream(&self, place: usize) -> bool {
        self.is(place, net::SO_TYPE, net::SOCK_STREAM)
    }

    fn listens(&self, place: usize) -> bool {
        self.is(place, net::SO_ACCEPTCONN, 1)
    }

    /// Whether a bound socket of one family sends to an address of the other, or one without
    /// a port to no address at all.
    fn misses(&self, place: usize, to: usize) -> bool {
        let (own, other) = (self.name(place), self.name(to));
        let has_port = |name: &[u8]| name.len() > 4 && name[2..4] != [0, 0];
        let same = own.get(..2) == other.get(..2);
        if has_port(&own) {
            !same
        } else {
            !same || !has_port(&other)
        }
    }

    fn polled(&self, place: usize) -> u32 {
        self.system.poll(self.fd(place), POLLIN, 0).1 as u32
    }

    fn was_reset(&self, place: usize) -> bool {
        const BOTH: u32 = POLLIN | POLLHUP;
        self.is_stream(place) && self.polled(place) & BOTH == BOTH
    }

    fn is_connected(&self, place: usize) -> bool {
        self.system.name(__NR_getpeername, self.fd(place)).0 == 0
    }

    /// Whether an operation shows one of the differences that `rump_linux::differences` lists.
    pub fn differs(&self, operation: Operation) -> bool {
        use Operation as Op;
        let has_port = |place| self.name(place).get(2..4) != Some(&[0, 0]);
        match operation {
            Op::Connect(gone, _) if self.was_reset(gone) => true,
            Op::Connect(_, gone) | Op::SendTo(_, gone, _) if self.was_reset(gone) => true,
            Op::Own(place) | Op::Peer(place) | Op::Bind(place, _) => self.was_reset(place),
            Op::SendTo(place, to, _) if !self.is_stream(place) => {
                self.is_connected(place) || self.misses(place, to)
            }
            Op::Connect(place, to) if self.is_stream(place) => {
                self.is_stream(to) && !self.listens(to)
            }
            Op::Connect(place, to) => !has_port(to) || self.misses(place, to),
            Op::Write(place, size) if !self.is_socket(place) => size > 8,
            Op::Write(place, _) => !self.is_stream(place) && !has_port(place),
            Op::Shutdown(place, how) => {
                matches!(how, 0 | 2) || (how == 1 && !self.is_connected(place))
            }
            Op::Option(place, net::SOL_SOCKET, net::SO_ERROR) => {
                self.polled(place) & BROKEN == BROKEN
            }
            Op::Option(place, ..) | Op::SetOption(place, ..) => self.was_reset(place),
            Op::Send(place, ..) | Op::SendPieces(place, _) => {
                self.is_socket(place) && !self.is_stream(place) && !has_port(place)
            }
            Op::Epoll(_, place, events) => {
                let shared = self.uses[place] == Use::Shared;
                let fresh = self.is_stream(place) && self.polled(place) == POLLHUP;
                shared || fresh || events & !EPOLLONESHOT == 0
            }
            Op::Dup(place, _) => self.uses[place] == Use::Watched,
            _ => false,
        }
    }

    /// Does an operation, without the listed difference in what a reset is told as.
    pub fn run(&mut self, operation: Operation) -> Seen {
        use Operation as Op;
        let mut seen = self.perform(operation);
        let sends = matches!(
            operation,
            Op::Send(..) | Op::SendTo(..) | Op::SendPieces(..) | Op::Write(..)
        );
        if sends && seen.0 == [-i64::from(ECONNRESET)] {
            seen.0 = vec![-i64::from(EPIPE)];
        }
        seen
    }

    #[allow(clippy::too_many_lines)]
    fn perform(&mut self, operation: Operation) -> Seen {
        use Operation as Op;
        let call = |world: &Self, number, arguments: [u64; 4]| {
            (vec![world.system.call(number, arguments)], Vec::new())
        };
        match operation {
            Op::Socket(place, v6, kind) => (vec![self.socket(place, v6, kind)], Vec::new()),
            Op::Pair([listener, client, server], v6) => {
                let mut seen = vec![self.socket(listener, v6, net::SOCK_STREAM)];
                let (bound, name) = self.system.bind(self.fd(listener), v6);
                seen.push(bound);
                seen.push(self.system.call(__NR_listen, [self.fd(listener), 8]));
                seen.push(self.socket(client, v6, net::SOCK_STREAM));
                seen.push(self.system.connect(self.fd(client), &name));
                seen.push(self.system.poll(self.fd(listener), POLLIN, 2000).0);
                let arguments = [self.fd(listener), 0, 0, SOCKET.into()];
                let accepted = self.system.call(__NR_accept4, arguments);
                seen.push(self.put(server, accepted));
                seen.push(self.system.poll(self.fd(client), POLLOUT, 2000).0);
                (seen, Vec::new())
            }
            Op::Datagrams(both, v6) => {
                let each = both.map(|place| {
                    let made = self.socket(place, v6, net::SOCK_DGRAM);
                    [made, self.system.bind(self.fd(place), v6).0]
                });
                (each.concat(), Vec::new())
            }
            Op::Event(place, count) => {
                let made = self
                    .system
                    .call(__NR_eventfd2, [count.into(), SOCKET.into()]);
                (vec![self.put(place, made)], Vec::new())
            }
            Op::Pipe([read, write]) => {
                let mut ends = [0i32; 2];
                let made = self.system.call(__NR_pipe2, [at(&mut ends), SOCKET.into()]);
                self.put(read, ends[0].into());
                self.put(write, ends[1].into());
                (vec![made], Vec::new())
            }
            Op::Bind(place, v6) => (vec![self.system.bind(self.fd(place), v6).0], Vec::new()),
            Op::Listen(place) => call(self, __NR_listen, [self.fd(place), 4, 0, 0]),
            Op::Connect(place, to) => {
                let name = self.name(to);
                (vec![self.system.connect(self.fd(place), &name)], Vec::new())
            }
            Op::Accept(place, into) => {
                let arguments = [self.fd(place), 0, 0, SOCKET.into()];
                let result = self.system.call(__NR_accept4, arguments);
                if result < 0 {
                    return (vec![result], Vec::new());
                }
                (vec![self.put(into, result)], Vec::new())
            }
            Op::Send(place, size, flags) => {
                let mut data = self.data(size);
                let flags = (flags | net::MSG_NOSIGNAL).into();
                let start = at(&mut data[..]);
                call(
                    self,
                    __NR_sendto,
                    [self.fd(place), start, size as u64, flags],
                )
            }
            Op::SendTo(place, to, size) => {
                let (mut data, mut name) = (self.data(size), self.name(to));
                let length = name.len() as u64;
                let (start, name) = (at(&mut data[..]), at(&mut name[..]));
                let flags = net::MSG_NOSIGNAL.into();
                let arguments = [self.fd(place), start, size as u64, flags, name, length];
                (vec![self.system.call(__NR_sendto, arguments)], Vec::new())
            }
            Op::SendPieces(place, size) => {
                let (mut first, mut second) = (self.data(size), self.data(size));
                let mut pieces =
                    [&mut first, &mut second].map(|piece| [at(&mut piece[..]), piece.len() as u64]);
                let mut message = [0u64; 7];
                message[2..4].copy_from_slice(&[at(&mut pieces), 2]);
                let flags = net::MSG_NOSIGNAL.into();
                call(
                    self,
                    __NR_sendmsg,
                    [self.fd(place), at(&mut message), flags, 0],
                )
            }
            Op::Receive(place, size, flags) => {
                let (result, data) = self.system.receive(self.fd(place), size, flags);
                (vec![result], data)
            }
            Op::ReceiveFrom(place, size) => {
                let (mut data, mut name) = (vec![0u8; size], vec![0u8; 64]);
                let mut length = 64i32;
                let result = self.system.call(
                    __NR_recvfrom,
                    [
                        self.fd(place),
                        at(&mut data[..]),
                        size as u64,
                        0,
                        at(&mut name[..]),
                        at(&mut length),
                    ],
                );
                data.truncate(result.clamp(0, size as i64) as usize);
                name.truncate(if result < 0 { 0 } else { length as usize });
                ([vec![result], self.whose(&name)].concat(), data)
            }
            Op::Read(place, size) => {
                let mut data = vec![0u8; size.max(8)];
                let start = at(&mut data[..]);
                let arguments = [self.fd(place), start, data.len() as u64];
                let result = self.system.call(__NR_read, arguments);
                data.truncate(result.max(0) as usize);
                (vec![result], data)
            }
            Op::Write(place, size) => {
                // A small number for an event descriptor.
                let mut data = self.data(size.max(8));
                data[1..8].fill(0);
                let start = at(&mut data[..]);
                call(
                    self,
                    __NR_write,
                    [self.fd(place), start, data.len() as u64, 0],
                )
            }
            Op::Shutdown(place, how) => {
                call(self, __NR_shutdown, [self.fd(place), how.into(), 0, 0])
            }
            Op::Close(place) => (vec![self.close(place)], Vec::new()),
            Op::Dup(place, into) => {
                if self.places[place].is_none() || place == into {
                    return (vec![0], Vec::new());
                }
                let result = self.system.call(__NR_dup, [self.fd(place)]);
                let put = self.put(into, result);
                self.uses[place] = Use::Shared;
                self.uses[into] = Use::Shared;
                (vec![put], Vec::new())
            }
            Op::Own(place) => {
                let (result, name) = self.system.name(__NR_getsockname, self.fd(place));
                ([vec![result], self.whose(&name)].concat(), Vec::new())
            }
            Op::Peer(place) => {
                let (result, name) = self.system.name(__NR_getpeername, self.fd(place));
                ([vec![result], self.whose(&name)].concat(), Vec::new())
            }
            Op::Option(place, level, name) => {
                let (result, value) = self.system.option(self.fd(place), level, name);
                (
                    vec![result, if result < 0 { 0 } else { value.into() }],
                    Vec::new(),
                )
            }
            Op::SetOption(place, level, name, value) => {
                let fd = self.fd(place);
                (
                    vec![self.system.set_option(fd, level, name, value)],
                    Vec::new(),
                )
            }
            Op::Flags(place) => call(self, __NR_fcntl, [self.fd(place), F_GETFL.into(), 0, 0]),
            Op::Pending(place) => (vec![self.pending(place)], Vec::new()),
            Op::Epoll(operation, place, events) => {
                let data = place as u64;
                if self.places[place].is_some() {
                    self.uses[place] = Use::Watched;
                }
                let mut event = epoll_event { events, data };
                let arguments = [self.epoll, operation.into(), self.fd(place), at(&mut event)];
                call(self, __NR_epoll_ctl, arguments)
            }
            Op::EpollWait(most) => {
                let mut room = [epoll_event { events: 0, data: 0 }; PLACES * 2];
                let arguments = [self.epoll, at(&mut room), most.max(PLACES) as u64, 0];
                let count = self.system.call(__NR_epoll_wait, arguments);
                let told = room.iter().take(count.max(0) as usize);
                let mut told: Vec<_> = told
                    .map(|one| [one.data as i64, without_reset(one.events).into()])
                    .collect();
                told.sort_unstable();
                ([vec![count], told.concat()].concat(), Vec::new())
            }
        }
    }

    fn pending(&self, place: usize) -> i64 {
        let access = self
            .system
            .call(__NR_fcntl, [self.fd(place), F_GETFL.into()]);
        if access & i64::from(O_ACCMODE) == O_WRONLY.into() {
            return 0;
        }
        let mut count = 0i32;
        let request = ioctl::FIONREAD.into();
        let result = self
            .system
            .call(__NR_ioctl, [self.fd(place), request, at(&mut count)]);
        if result < 0 { result } else { count.into() }
    }

    /// What shows of each place without changing anything.
    pub fn state(&self) -> Vec<(u32, i64)> {
        let asked = POLLIN | POLLOUT | POLLPRI | POLLRDHUP;
        let seen = |place: usize| {
            let Some(fd) = self.places[place] else {
                return (0, 0);
            };
            let flags = net::MSG_PEEK | net::MSG_DONTWAIT;
            let there = self.system.receive(fd, 1, flags).0;
            let waits = there == -i64::from(EAGAIN);
            (
                without_reset(self.system.poll(fd, asked, 0).1 as u32),
                if waits { -1 } else { self.pending(place) },
            )
        };
        (0..PLACES).map(seen).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        (0..PLACES).for_each(|place| {
            self.close(place);
        });
        self.system.close(self.epoll);
    }
}
