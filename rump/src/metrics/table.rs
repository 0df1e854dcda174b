//! What is read of the counters of the protocols: the place in NetBSD's array
//! (`<netinet/tcp_var.h>` and so on), the name, and what it says.

use rump_sys::abi;

/// A counter in an array of 64-bit numbers.
pub(super) type Row = (usize, &'static str, &'static str);

/// The sysctl node with the array, and what is read of it.
pub(super) const PROTOCOLS: &[(&str, &[Row])] = &[
    ("net.inet.tcp.stats", TCP),
    ("net.inet.udp.stats", UDP),
    ("net.inet6.udp6.stats", UDP6),
    ("net.inet.ip.stats", IP),
    ("net.inet6.ip6.stats", IP6),
];

const TCP: &[Row] = &[
    (
        abi::TCP_STAT_CONNATTEMPT,
        "rump_tcp_connection_attempts_total",
        "Connections initiated.",
    ),
    (
        abi::TCP_STAT_ACCEPTS,
        "rump_tcp_accepts_total",
        "Connections accepted.",
    ),
    (
        abi::TCP_STAT_CONNECTS,
        "rump_tcp_connects_total",
        "Connections established, either way.",
    ),
    (
        abi::TCP_STAT_DROPS,
        "rump_tcp_drops_total",
        "Connections that ended in an error.",
    ),
    (
        abi::TCP_STAT_CONNDROPS,
        "rump_tcp_embryonic_drops_total",
        "Connections given up before they were established.",
    ),
    (
        abi::TCP_STAT_CLOSED,
        "rump_tcp_closed_total",
        "Connections closed, for whatever reason.",
    ),
    (
        abi::TCP_STAT_REXMTTIMEO,
        "rump_tcp_retransmit_timeouts_total",
        "Times a retransmission timer ran out.",
    ),
    (
        abi::TCP_STAT_KEEPDROPS,
        "rump_tcp_keepalive_drops_total",
        "Connections whose peer was silent.",
    ),
    (
        abi::TCP_STAT_SNDTOTAL,
        "rump_tcp_sent_segments_total",
        "Segments sent.",
    ),
    (
        abi::TCP_STAT_SNDPACK,
        "rump_tcp_sent_data_segments_total",
        "Segments with data sent.",
    ),
    (
        abi::TCP_STAT_SNDBYTE,
        "rump_tcp_sent_bytes_total",
        "Bytes of data sent.",
    ),
    (
        abi::TCP_STAT_SNDREXMITPACK,
        "rump_tcp_retransmitted_segments_total",
        "Segments sent again.",
    ),
    (
        abi::TCP_STAT_SNDREXMITBYTE,
        "rump_tcp_retransmitted_bytes_total",
        "Bytes of data sent again.",
    ),
    (
        abi::TCP_STAT_RCVTOTAL,
        "rump_tcp_received_segments_total",
        "Segments received.",
    ),
    (
        abi::TCP_STAT_RCVPACK,
        "rump_tcp_received_data_segments_total",
        "Segments with data received in sequence.",
    ),
    (
        abi::TCP_STAT_RCVBYTE,
        "rump_tcp_received_bytes_total",
        "Bytes of data received in sequence.",
    ),
    (
        abi::TCP_STAT_RCVBADSUM,
        "rump_tcp_bad_checksums_total",
        "Segments with a wrong checksum.",
    ),
    (
        abi::TCP_STAT_RCVMEMDROP,
        "rump_tcp_no_memory_total",
        "Segments dropped for want of memory.",
    ),
    (
        abi::TCP_STAT_RCVDUPPACK,
        "rump_tcp_duplicate_segments_total",
        "Segments with nothing new.",
    ),
    (
        abi::TCP_STAT_RCVOOPACK,
        "rump_tcp_out_of_order_segments_total",
        "Segments out of order.",
    ),
    (
        abi::TCP_STAT_RCVDUPACK,
        "rump_tcp_duplicate_acks_total",
        "Acknowledgements received again.",
    ),
    (
        abi::TCP_STAT_NOPORT,
        "rump_tcp_no_port_total",
        "Segments for a port that nobody has.",
    ),
    (
        abi::TCP_STAT_SC_ADDED,
        "rump_tcp_syncache_added_total",
        "Connections that peers began.",
    ),
    (
        abi::TCP_STAT_SC_COMPLETED,
        "rump_tcp_syncache_completed_total",
        "Connections that peers began and established.",
    ),
    (
        abi::TCP_STAT_SC_OVERFLOWED,
        "rump_tcp_syncache_overflowed_total",
        "Connections dropped because too many were being established.",
    ),
    (
        abi::TCP_STAT_SC_DROPPED,
        "rump_tcp_syncache_dropped_total",
        "SYNs dropped for want of memory or of a route.",
    ),
    (
        abi::TCP_STAT_SELFQUENCH,
        "rump_tcp_output_no_buffers_total",
        "Segments that the interface had no room for.",
    ),
];

const UDP: &[Row] = &[
    (
        abi::UDP_STAT_IPACKETS,
        "rump_udp_received_total",
        "Datagrams received over IPv4.",
    ),
    (
        abi::UDP_STAT_OPACKETS,
        "rump_udp_sent_total",
        "Datagrams sent over IPv4.",
    ),
    (
        abi::UDP_STAT_BADSUM,
        "rump_udp_bad_checksums_total",
        "Datagrams over IPv4 with a wrong checksum.",
    ),
    (
        abi::UDP_STAT_NOPORT,
        "rump_udp_no_port_total",
        "Datagrams over IPv4 for a port that nobody has.",
    ),
    (
        abi::UDP_STAT_FULLSOCK,
        "rump_udp_full_total",
        "Datagrams over IPv4 for a socket without room.",
    ),
];

const UDP6: &[Row] = &[
    (
        abi::UDP6_STAT_IPACKETS,
        "rump_udp6_received_total",
        "Datagrams received over IPv6.",
    ),
    (
        abi::UDP6_STAT_OPACKETS,
        "rump_udp6_sent_total",
        "Datagrams sent over IPv6.",
    ),
    (
        abi::UDP6_STAT_BADSUM,
        "rump_udp6_bad_checksums_total",
        "Datagrams over IPv6 with a wrong checksum.",
    ),
    (
        abi::UDP6_STAT_NOPORT,
        "rump_udp6_no_port_total",
        "Datagrams over IPv6 for a port that nobody has.",
    ),
    (
        abi::UDP6_STAT_FULLSOCK,
        "rump_udp6_full_total",
        "Datagrams over IPv6 for a socket without room.",
    ),
];

const IP: &[Row] = &[
    (
        abi::IP_STAT_TOTAL,
        "rump_ip_received_total",
        "IPv4 packets received.",
    ),
    (
        abi::IP_STAT_BADSUM,
        "rump_ip_bad_checksums_total",
        "IPv4 packets with a wrong header checksum.",
    ),
    (
        abi::IP_STAT_DELIVERED,
        "rump_ip_delivered_total",
        "IPv4 packets that were for this kernel.",
    ),
    (
        abi::IP_STAT_FORWARD,
        "rump_ip_forwarded_total",
        "IPv4 packets passed on.",
    ),
    (
        abi::IP_STAT_REASSEMBLED,
        "rump_ip_reassembled_total",
        "IPv4 packets put together from fragments.",
    ),
    (
        abi::IP_STAT_LOCALOUT,
        "rump_ip_sent_total",
        "IPv4 packets that began here.",
    ),
    (
        abi::IP_STAT_ODROPPED,
        "rump_ip_output_drops_total",
        "IPv4 packets that could not be sent.",
    ),
    (
        abi::IP_STAT_NOROUTE,
        "rump_ip_no_route_total",
        "IPv4 packets without a route.",
    ),
];

const IP6: &[Row] = &[
    (
        abi::IP6_STAT_TOTAL,
        "rump_ip6_received_total",
        "IPv6 packets received.",
    ),
    (
        abi::IP6_STAT_DELIVERED,
        "rump_ip6_delivered_total",
        "IPv6 packets that were for this kernel.",
    ),
    (
        abi::IP6_STAT_FORWARD,
        "rump_ip6_forwarded_total",
        "IPv6 packets passed on.",
    ),
    (
        abi::IP6_STAT_REASSEMBLED,
        "rump_ip6_reassembled_total",
        "IPv6 packets put together from fragments.",
    ),
    (
        abi::IP6_STAT_LOCALOUT,
        "rump_ip6_sent_total",
        "IPv6 packets that began here.",
    ),
    (
        abi::IP6_STAT_ODROPPED,
        "rump_ip6_output_drops_total",
        "IPv6 packets that could not be sent.",
    ),
    (
        abi::IP6_STAT_NOROUTE,
        "rump_ip6_no_route_total",
        "IPv6 packets without a route.",
    ),
];

/// The types of mbufs that have a name (`MT_*` of `<sys/mbuf.h>`), by number.
pub(super) const MBUF_TYPES: &[&str] = &[
    "free",
    "data",
    "header",
    "soname",
    "sooptions",
    "ftable",
    "control",
    "oobdata",
];
