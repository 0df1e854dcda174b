//! System calls on sockets, put together at random.

use proptest::prelude::*;
use rump_linux::raw::{general::*, net};

/// Descriptors have places, under which both systems have one of the same kind, or none.
pub const PLACES: usize = 6;

type Place = usize;

/// What is done, in the same way on both systems.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Puts a socket somewhere; what was there is closed first.
    Socket(Place, bool, u32),
    /// A listener and the two ends of a connection to it.
    Pair([Place; 3], bool),
    /// Two datagram sockets, each bound to the loopback address.
    Datagrams([Place; 2], bool),
    Event(Place, u32),
    Pipe([Place; 2]),
    Bind(Place, bool),
    Listen(Place),
    Connect(Place, Place),
    Accept(Place, Place),
    Send(Place, usize, u32),
    SendTo(Place, Place, usize),
    SendPieces(Place, usize),
    Receive(Place, usize, u32),
    ReceiveFrom(Place, usize),
    Read(Place, usize),
    Write(Place, usize),
    Shutdown(Place, u32),
    Close(Place),
    Dup(Place, Place),
    Own(Place),
    Peer(Place),
    Option(Place, u32, u32),
    SetOption(Place, u32, u32, i32),
    Flags(Place),
    Pending(Place),
    Epoll(u32, Place, u32),
    EpollWait(usize),
}

fn place() -> impl Strategy<Value = Place> {
    0..PLACES
}

fn places<const N: usize>() -> impl Strategy<Value = [Place; N]> {
    Just((0..PLACES).collect::<Vec<_>>())
        .prop_shuffle()
        .prop_map(|all| std::array::from_fn(|at| all[at]))
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1usize..64, 1 => Just(0), 2 => 1000usize..1400]
}

fn option() -> impl Strategy<Value = (u32, u32)> {
    prop::sample::select(vec![
        (net::SOL_SOCKET, net::SO_TYPE),
        (net::SOL_SOCKET, net::SO_ERROR),
        (net::SOL_SOCKET, net::SO_ACCEPTCONN),
        (net::SOL_SOCKET, net::SO_REUSEADDR),
        (net::SOL_SOCKET, net::SO_KEEPALIVE),
        (net::SOL_SOCKET, net::SO_BROADCAST),
        (net::SOL_SOCKET, net::SO_OOBINLINE),
        (net::SOL_SOCKET, net::SO_DOMAIN),
        (net::SOL_SOCKET, net::SO_PROTOCOL),
        (net::IPPROTO_TCP as u32, net::TCP_NODELAY),
        (net::SOL_IP, net::IP_TTL),
        (net::SOL_SOCKET, 9999),
    ])
}

fn kind() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(net::SOCK_STREAM), 2 => Just(net::SOCK_DGRAM), 1 => 0u32..9]
}

fn interest() -> impl Strategy<Value = u32> {
    let events = prop::sample::select(vec![
        EPOLLIN,
        EPOLLOUT,
        EPOLLIN | EPOLLOUT,
        EPOLLIN | EPOLLRDHUP,
        0,
    ]);
    let more = prop::sample::select(vec![0, 0, EPOLLONESHOT]);
    (events, more).prop_map(|(events, more)| events | more)
}

impl Operation {
    pub fn any() -> BoxedStrategy<Self> {
        let data = prop_oneof![
            6 => (place(), size(), Just(0)).prop_map(|(at, size, flags)| Self::Send(at, size, flags)),
            2 => (place(), place(), size()).prop_map(|(at, to, size)| Self::SendTo(at, to, size)),
            1 => (place(), size()).prop_map(|(at, size)| Self::SendPieces(at, size)),
            6 => (place(), size(), prop::sample::select(vec![0, 0, net::MSG_PEEK, net::MSG_TRUNC]))
                .prop_map(|(at, size, flags)| Self::Receive(at, size, flags)),
            2 => (place(), size()).prop_map(|(at, size)| Self::ReceiveFrom(at, size)),
            2 => (place(), size()).prop_map(|(at, size)| Self::Read(at, size)),
            2 => (place(), size()).prop_map(|(at, size)| Self::Write(at, size)),
        ];
        let life = prop_oneof![
            2 => (place(), any::<bool>(), kind()).prop_map(|(at, v6, kind)| Self::Socket(at, v6, kind)),
            4 => (places(), any::<bool>()).prop_map(|(at, v6)| Self::Pair(at, v6)),
            2 => (places(), any::<bool>()).prop_map(|(at, v6)| Self::Datagrams(at, v6)),
            1 => (place(), 0u32..3).prop_map(|(at, count)| Self::Event(at, count)),
            1 => places().prop_map(Self::Pipe),
            1 => (place(), any::<bool>()).prop_map(|(at, v6)| Self::Bind(at, v6)),
            1 => place().prop_map(Self::Listen),
            2 => (place(), place()).prop_map(|(at, to)| Self::Connect(at, to)),
            2 => (place(), place()).prop_map(|(at, to)| Self::Accept(at, to)),
            3 => (place(), 0u32..4).prop_map(|(at, how)| Self::Shutdown(at, how)),
            2 => place().prop_map(Self::Close),
            1 => (place(), place()).prop_map(|(at, to)| Self::Dup(at, to)),
        ];
        let questions = prop_oneof![
            place().prop_map(Self::Own),
            place().prop_map(Self::Peer),
            (place(), option()).prop_map(|(at, (level, name))| Self::Option(at, level, name)),
            (place(), option(), 0..3)
                .prop_map(|(at, (level, name), value)| Self::SetOption(at, level, name, value)),
            place().prop_map(Self::Flags),
            place().prop_map(Self::Pending),
        ];
        let epoll = prop_oneof![
            (1u32..4, place(), interest())
                .prop_map(|(operation, at, events)| Self::Epoll(operation, at, events)),
            (1usize..8).prop_map(Self::EpollWait),
        ];
        prop_oneof![6 => data, 5 => life, 2 => questions, 3 => epoll].boxed()
    }
}
