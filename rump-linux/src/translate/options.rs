//! Socket options: one row for each that is known.

use crate::raw::net as linux;
use rump_abi as abi;

/// What becomes of an option.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    /// An int under this level and name.
    Int(i32, i32),
    /// The same that is only true or false; NetBSD tells a flag's own bit.
    Bool(i32, i32),
    /// An int that the kernel tells in one byte.
    Byte(i32, i32),
    /// A size of a buffer: Linux tells twice what was set.
    Size(i32, i32),
    /// A structure of at least so many bytes that is the same in both.
    Same(i32, i32, usize),
    /// A multicast group of IPv4, with an interface by address or index.
    Group(i32, i32),
    /// Nothing but the program reads it: kept, and this at first.
    Kept(i32),
    /// Of the personality's own.
    Own(Own),
    /// Told but not set.
    Told(i32),
}

/// What the personality knows itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Own {
    Error,
    Type,
    Domain,
    Protocol,
    Listening,
    ReceiveTimeout,
    SendTimeout,
    Congestion,
    /// `SO_BINDTODEVICE`
    Device,
    /// `TCP_INFO`
    Connection,
}

use How::{Bool, Byte, Group, Int, Kept, Same, Size, Told};
const SOL: u32 = linux::SOL_SOCKET;
const IP: u32 = linux::SOL_IP;
const V6: u32 = linux::SOL_IPV6;
const TCP: u32 = linux::SOL_TCP;

/// Linux's level and name, and what becomes of it. What is not listed is not there.
pub(crate) const OPTIONS: &[(u32, u32, How)] = &[
    (SOL, linux::SO_DEBUG, Kept(0)),
    (
        SOL,
        linux::SO_REUSEADDR,
        Bool(abi::SOL_SOCKET, abi::SO_REUSEADDR),
    ),
    (
        SOL,
        linux::SO_REUSEPORT,
        Bool(abi::SOL_SOCKET, abi::SO_REUSEPORT),
    ),
    (
        SOL,
        linux::SO_KEEPALIVE,
        Bool(abi::SOL_SOCKET, abi::SO_KEEPALIVE),
    ),
    (
        SOL,
        linux::SO_BROADCAST,
        Bool(abi::SOL_SOCKET, abi::SO_BROADCAST),
    ),
    (
        SOL,
        linux::SO_DONTROUTE,
        Bool(abi::SOL_SOCKET, abi::SO_DONTROUTE),
    ),
    (
        SOL,
        linux::SO_OOBINLINE,
        Bool(abi::SOL_SOCKET, abi::SO_OOBINLINE),
    ),
    (
        SOL,
        linux::SO_TIMESTAMP_OLD,
        Bool(abi::SOL_SOCKET, abi::SO_TIMESTAMP),
    ),
    (
        SOL,
        linux::SO_LINGER,
        Same(abi::SOL_SOCKET, abi::SO_LINGER, 8),
    ),
    (SOL, linux::SO_SNDBUF, Size(abi::SOL_SOCKET, abi::SO_SNDBUF)),
    (SOL, linux::SO_RCVBUF, Size(abi::SOL_SOCKET, abi::SO_RCVBUF)),
    (
        SOL,
        linux::SO_SNDBUFFORCE,
        Size(abi::SOL_SOCKET, abi::SO_SNDBUF),
    ),
    (
        SOL,
        linux::SO_RCVBUFFORCE,
        Size(abi::SOL_SOCKET, abi::SO_RCVBUF),
    ),
    (
        SOL,
        linux::SO_RCVLOWAT,
        Int(abi::SOL_SOCKET, abi::SO_RCVLOWAT),
    ),
    (SOL, linux::SO_SNDLOWAT, Told(1)),
    (SOL, linux::SO_ERROR, How::Own(Own::Error)),
    (SOL, linux::SO_TYPE, How::Own(Own::Type)),
    (SOL, linux::SO_DOMAIN, How::Own(Own::Domain)),
    (SOL, linux::SO_PROTOCOL, How::Own(Own::Protocol)),
    (SOL, linux::SO_ACCEPTCONN, How::Own(Own::Listening)),
    (SOL, linux::SO_RCVTIMEO, How::Own(Own::ReceiveTimeout)),
    (SOL, linux::SO_SNDTIMEO, How::Own(Own::SendTimeout)),
    (SOL, linux::SO_PRIORITY, Kept(0)),
    (SOL, linux::SO_BINDTODEVICE, How::Own(Own::Device)),
    (SOL, linux::SO_NO_CHECK, Kept(0)),
    (SOL, linux::SO_INCOMING_CPU, Kept(-1)),
    (SOL, linux::SO_BUSY_POLL, Kept(0)),
    (IP, linux::IP_TTL, Int(abi::IPPROTO_IP, abi::IP_TTL)),
    (IP, linux::IP_TOS, Int(abi::IPPROTO_IP, abi::IP_TOS)),
    (
        IP,
        linux::IP_MULTICAST_TTL,
        Byte(abi::IPPROTO_IP, abi::IP_MULTICAST_TTL),
    ),
    (
        IP,
        linux::IP_MULTICAST_LOOP,
        Byte(abi::IPPROTO_IP, abi::IP_MULTICAST_LOOP),
    ),
    (
        IP,
        linux::IP_ADD_MEMBERSHIP,
        Group(abi::IPPROTO_IP, abi::IP_ADD_MEMBERSHIP),
    ),
    (
        IP,
        linux::IP_DROP_MEMBERSHIP,
        Group(abi::IPPROTO_IP, abi::IP_DROP_MEMBERSHIP),
    ),
    (
        IP,
        linux::IP_PKTINFO,
        Bool(abi::IPPROTO_IP, abi::IP_RECVPKTINFO),
    ),
    (
        IP,
        linux::IP_RECVTTL,
        Bool(abi::IPPROTO_IP, abi::IP_RECVTTL),
    ),
    (IP, linux::IP_RECVERR, Kept(0)),
    (
        IP,
        linux::IP_MTU_DISCOVER,
        Kept(linux::IP_PMTUDISC_WANT as i32),
    ),
    (IP, linux::IP_BIND_ADDRESS_NO_PORT, Kept(0)),
    (
        V6,
        linux::IPV6_V6ONLY,
        Bool(abi::IPPROTO_IPV6, abi::IPV6_V6ONLY),
    ),
    (
        V6,
        linux::IPV6_UNICAST_HOPS,
        Int(abi::IPPROTO_IPV6, abi::IPV6_UNICAST_HOPS),
    ),
    (
        V6,
        linux::IPV6_MULTICAST_HOPS,
        Int(abi::IPPROTO_IPV6, abi::IPV6_MULTICAST_HOPS),
    ),
    (
        V6,
        linux::IPV6_MULTICAST_LOOP,
        Int(abi::IPPROTO_IPV6, abi::IPV6_MULTICAST_LOOP),
    ),
    (
        V6,
        linux::IPV6_MULTICAST_IF,
        Int(abi::IPPROTO_IPV6, abi::IPV6_MULTICAST_IF),
    ),
    (
        V6,
        linux::IPV6_ADD_MEMBERSHIP,
        Same(abi::IPPROTO_IPV6, abi::IPV6_JOIN_GROUP, 20),
    ),
    (
        V6,
        linux::IPV6_DROP_MEMBERSHIP,
        Same(abi::IPPROTO_IPV6, abi::IPV6_LEAVE_GROUP, 20),
    ),
    (
        V6,
        linux::IPV6_TCLASS,
        Int(abi::IPPROTO_IPV6, abi::IPV6_TCLASS),
    ),
    (
        V6,
        linux::IPV6_RECVPKTINFO,
        Bool(abi::IPPROTO_IPV6, abi::IPV6_RECVPKTINFO),
    ),
    (
        V6,
        linux::IPV6_RECVHOPLIMIT,
        Bool(abi::IPPROTO_IPV6, abi::IPV6_RECVHOPLIMIT),
    ),
    (
        V6,
        linux::IPV6_RECVTCLASS,
        Bool(abi::IPPROTO_IPV6, abi::IPV6_RECVTCLASS),
    ),
    (V6, linux::IPV6_RECVERR, Kept(0)),
    (
        V6,
        linux::IPV6_MTU_DISCOVER,
        Kept(linux::IPV6_PMTUDISC_WANT as i32),
    ),
    (
        TCP,
        linux::TCP_NODELAY,
        Bool(abi::IPPROTO_TCP, abi::TCP_NODELAY),
    ),
    (
        TCP,
        linux::TCP_MAXSEG,
        Int(abi::IPPROTO_TCP, abi::TCP_MAXSEG),
    ),
    (
        TCP,
        linux::TCP_KEEPIDLE,
        Int(abi::IPPROTO_TCP, abi::TCP_KEEPIDLE),
    ),
    (
        TCP,
        linux::TCP_KEEPINTVL,
        Int(abi::IPPROTO_TCP, abi::TCP_KEEPINTVL),
    ),
    (
        TCP,
        linux::TCP_KEEPCNT,
        Int(abi::IPPROTO_TCP, abi::TCP_KEEPCNT),
    ),
    (TCP, linux::TCP_CORK, Kept(0)),
    (TCP, linux::TCP_QUICKACK, Kept(1)),
    (TCP, linux::TCP_DEFER_ACCEPT, Kept(0)),
    (TCP, linux::TCP_USER_TIMEOUT, Kept(0)),
    (TCP, linux::TCP_FASTOPEN, Kept(0)),
    (TCP, linux::TCP_SYNCNT, Kept(6)),
    (TCP, linux::TCP_CONGESTION, How::Own(Own::Congestion)),
    (TCP, linux::TCP_INFO, How::Own(Own::Connection)),
];

/// What becomes of an option.
pub(crate) fn find(level: u32, name: u32) -> Option<How> {
    let row = OPTIONS.iter().find(|row| (row.0, row.1) == (level, name))?;
    Some(row.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_once() {
        for (at, row) in OPTIONS.iter().enumerate() {
            let again = |other: &&(u32, u32, How)| (other.0, other.1) == (row.0, row.1);
            assert!(
                !OPTIONS[at + 1..].iter().any(|other| again(&other)),
                "{row:?}"
            );
        }
    }
}
