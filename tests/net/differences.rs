//! Where the sockets of a rump kernel differ from `std::net` on Linux, and why.
//!
//! A row is valid only while both outcomes are exactly as written, here and in the
//! table: when a kernel or the library changes, the row must change with it or go.

/// Which kernel a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// NetBSD's, and not rump-lite, which does as Linux does.
    NetBsd,
    /// NetBSD's, and rump-lite, which follows it.
    Both,
}

impl On {
    /// Whether it is about this kernel.
    pub fn is_about(self, netbsd: bool) -> bool {
        self == Self::Both || netbsd
    }
}

pub struct Difference {
    pub on: On,
    /// `topic::case`.
    pub case: &'static str,
    /// What `rump::net` does; what `std::net` does is the expectation in the table.
    pub rump: &'static str,
    pub reason: &'static str,
}

const fn both(case: &'static str, rump: &'static str, reason: &'static str) -> Difference {
    let on = On::Both;
    Difference {
        on,
        case,
        rump,
        reason,
    }
}

const fn netbsd(case: &'static str, rump: &'static str, reason: &'static str) -> Difference {
    let on = On::NetBsd;
    Difference {
        on,
        case,
        rump,
        reason,
    }
}

pub const DIFFERENCES: &[Difference] = &[
    // Connections that ended.
    both(
        "tcp_errors::reset_seen_by_writer",
        "write=BrokenPipe, then=BrokenPipe",
        "send(2) looks at the closed direction before it looks at the pending error, which reading still reports",
    ),
    both(
        "threads::peer_reset_wakes_writer",
        "write=BrokenPipe",
        "the same for a writer that waits when the reset comes",
    ),
    netbsd(
        "tcp_errors::peer_addr_after_reset",
        "peer=NotConnected, end=InvalidInput",
        "a reset socket has given up its protocol state, and with it its own address too",
    ),
    netbsd(
        "tcp_errors::options_after_reset",
        "set=ConnectionReset, get=ConnectionReset",
        "a reset socket has no protocol state left that TCP's options could be of",
    ),
    netbsd(
        "tcp_errors::close_with_unread_data",
        "read=0",
        "closing ends the connection with a FIN whether or not all was read; only what comes after it is reset",
    ),
    both(
        "listener::accept_after_client_reset",
        "end=ConnectionAborted",
        "accept(2) reports a connection that was reset while it was waiting, as POSIX allows; Linux hands it out",
    ),
    // Addresses and ports.
    both(
        "tcp_errors::connect_to_port_zero",
        "connect=AddrNotAvailable",
        "port 0 is refused by the stack before anything is sent",
    ),
    both(
        "udp_errors::send_to_port_zero",
        "send_to=AddrNotAvailable",
        "as for connect: port 0 is no address",
    ),
    netbsd(
        "tcp_errors::connect_to_other_loopback_address",
        "connect=HostUnreachable",
        "lo0 has 127.0.0.1 only, and the rest of 127/8 has no route; on Linux all of it is local",
    ),
    netbsd(
        "listener::bind_other_loopback",
        "bind=AddrNotAvailable",
        "lo0 has 127.0.0.1 only; on Linux all of 127/8 is local",
    ),
    netbsd(
        "udp_errors::broadcast_without_permission",
        "send_to=HostUnreachable",
        "lo0 has no broadcast address, so this is a host without a route; on Linux lo has 127.255.255.255",
    ),
    both(
        "listener::double_bind_specific_then_unspecified",
        "second=ok",
        "with SO_REUSEADDR, BSD lets the wildcard and a specific address share a port, and the specific one wins",
    ),
    both(
        "v6::v4_then_v6_on_one_port",
        "second=ok",
        "with SO_REUSEADDR, BSD lets both wildcards share a port, and IPv4 clients go to the IPv4 socket",
    ),
    both(
        "v6::link_local_without_scope",
        "bind=AddrNotAvailable",
        "a link-local address without a scope is taken as an address that nobody has",
    ),
    both(
        "v6::udp_wrong_family",
        "bound to ::1=InvalidInput",
        "EINVAL: a socket that is bound to ::1 has no IPv4 address to send from; Linux looks for a route and finds none",
    ),
    // UDP and multicast.
    both(
        "udp_errors::send_to_while_connected",
        "send_to=Error, end=WouldBlock",
        "EISCONN: a connected datagram socket sends to its peer only (send(2))",
    ),
    both(
        "multicast::v4_join_unknown_interface",
        "join=AddrNotAvailable",
        "EADDRNOTAVAIL for an address that no interface has, where Linux says ENODEV",
    ),
    netbsd(
        "multicast::v4_members_receive",
        "end=HostUnreachable",
        "the outgoing interface comes from the route to the group, of which there is none with lo0 alone; \
         Linux takes the interface of the address that the socket is bound to",
    ),
    // The rest.
    netbsd(
        "many::refusals_in_a_row",
        "not refused=TimedOut",
        "NetBSD refuses at most 100 connections a second (net.inet.tcp.rstppslimit); the next is not answered",
    ),
    netbsd(
        "listener::listener_ttl",
        "default=64, set=ok, get=33, accepted=64",
        "accepted sockets start with the default TTL instead of the listener's",
    ),
    both(
        "nonblocking::read_of_nothing",
        "read=0",
        "reading into an empty buffer asks for nothing and is done at once",
    ),
];

/// What is listed for a case, on NetBSD or on rump-lite.
pub fn listed(case: &str, netbsd: bool) -> Option<&'static Difference> {
    let mut rows = DIFFERENCES.iter();
    rows.find(|row| row.case == case && row.on.is_about(netbsd))
}
