// Constants of NetBSD's system call ABI (amd64), by header.

constants! {
    "sys/socket.h" {
        AF_UNSPEC: c_int = 0;
        AF_LOCAL: c_int = 1;
        AF_INET: c_int = 2;
        AF_ROUTE: c_int = 34;
        AF_INET6: c_int = 24;
        AF_LINK: c_int = 18;
        SOCK_STREAM: c_int = 1;
        SOCK_DGRAM: c_int = 2;
        SOCK_RAW: c_int = 3;
        SOCK_CLOEXEC: c_int = 0x1000_0000;
        SOCK_NONBLOCK: c_int = 0x2000_0000;
        SOCK_NOSIGPIPE: c_int = 0x4000_0000;
        SOL_SOCKET: c_int = 0xffff;
        SO_DEBUG: c_int = 0x0001;
        SO_ACCEPTCONN: c_int = 0x0002;
        SO_REUSEADDR: c_int = 0x0004;
        SO_KEEPALIVE: c_int = 0x0008;
        SO_DONTROUTE: c_int = 0x0010;
        SO_BROADCAST: c_int = 0x0020;
        SO_LINGER: c_int = 0x0080;
        SO_OOBINLINE: c_int = 0x0100;
        SO_REUSEPORT: c_int = 0x0200;
        SO_NOSIGPIPE: c_int = 0x0800;
        SO_SNDBUF: c_int = 0x1001;
        SO_RCVBUF: c_int = 0x1002;
        SO_SNDLOWAT: c_int = 0x1003;
        SO_RCVLOWAT: c_int = 0x1004;
        SO_ERROR: c_int = 0x1007;
        SO_TYPE: c_int = 0x1008;
        SO_SNDTIMEO: c_int = 0x100b;
        SO_RCVTIMEO: c_int = 0x100c;
        MSG_OOB: c_int = 0x0001;
        MSG_PEEK: c_int = 0x0002;
        MSG_TRUNC: c_int = 0x0010;
        MSG_CTRUNC: c_int = 0x0020;
        MSG_WAITALL: c_int = 0x0040;
        MSG_DONTWAIT: c_int = 0x0080;
        MSG_NOSIGNAL: c_int = 0x0400;
        SHUT_RD: c_int = 0;
        SHUT_WR: c_int = 1;
        SHUT_RDWR: c_int = 2;
        SOMAXCONN: c_int = 128;
        SCM_RIGHTS: c_int = 0x01;
        SCM_TIMESTAMP: c_int = 0x08;
        MSG_EOR: c_int = 0x0008;
        SO_USELOOPBACK: c_int = 0x0040;
        SO_TIMESTAMP: c_int = 0x2000;
        SO_OVERFLOWED: c_int = 0x1009;
        SOCK_SEQPACKET: c_int = 5;
        NET_RT_DUMP: c_int = 1;
        NET_RT_FLAGS: c_int = 2;
    }
    "netinet/in.h" {
        IPPROTO_IP: c_int = 0;
        IPPROTO_ICMP: c_int = 1;
        IPPROTO_TCP: c_int = 6;
        IPPROTO_UDP: c_int = 17;
        IPPROTO_IPV6: c_int = 41;
        IPPROTO_ICMPV6: c_int = 58;
        IP_TOS: c_int = 3;
        IP_TTL: c_int = 4;
        IP_MULTICAST_IF: c_int = 9;
        IP_MULTICAST_TTL: c_int = 10;
        IP_MULTICAST_LOOP: c_int = 11;
        IP_ADD_MEMBERSHIP: c_int = 12;
        IP_DROP_MEMBERSHIP: c_int = 13;
        IP_OPTIONS: c_int = 1;
        IP_HDRINCL: c_int = 2;
        IP_RECVDSTADDR: c_int = 7;
        IP_PORTRANGE: c_int = 19;
        IP_RECVTTL: c_int = 23;
        IP_PKTINFO: c_int = 25;
        IP_RECVPKTINFO: c_int = 26;
    }
    "netinet6/in6.h" {
        IPV6_UNICAST_HOPS: c_int = 4;
        IPV6_MULTICAST_IF: c_int = 9;
        IPV6_MULTICAST_HOPS: c_int = 10;
        IPV6_MULTICAST_LOOP: c_int = 11;
        IPV6_JOIN_GROUP: c_int = 12;
        IPV6_LEAVE_GROUP: c_int = 13;
        IPV6_V6ONLY: c_int = 27;
        IPV6_PORTRANGE: c_int = 14;
        IPV6_RECVPKTINFO: c_int = 36;
        IPV6_RECVHOPLIMIT: c_int = 37;
        IPV6_PKTINFO: c_int = 46;
        IPV6_HOPLIMIT: c_int = 47;
        IPV6_RECVTCLASS: c_int = 57;
        IPV6_TCLASS: c_int = 61;
        IPCTL_ANONPORTMIN: c_int = 10;
        IPCTL_ANONPORTMAX: c_int = 11;
        IPV6CTL_DEFHLIM: c_int = 3;
        IPV6CTL_ANONPORTMIN: c_int = 28;
        IPV6CTL_ANONPORTMAX: c_int = 29;
    }
    "netinet/tcp.h" {
        TCP_NODELAY: c_int = 1;
        TCP_MAXSEG: c_int = 2;
        TCP_KEEPIDLE: c_int = 3;
        TCP_KEEPINTVL: c_int = 5;
        TCP_KEEPCNT: c_int = 6;
        TCP_KEEPINIT: c_int = 7;
        TCP_INFO: c_int = 9;
    }
    "net/if.h" {
        IFNAMSIZ: usize = 16;
        IFF_UP: c_int = 0x0001;
        IFF_BROADCAST: c_int = 0x0002;
        IFF_LOOPBACK: c_int = 0x0008;
        IFF_POINTOPOINT: c_int = 0x0010;
        IFF_RUNNING: c_int = 0x0040;
        IFF_NOARP: c_int = 0x0080;
        IFF_PROMISC: c_int = 0x0100;
        IFF_MULTICAST: c_int = 0x8000;
        IFAN_ARRIVAL: u16 = 0;
        IFAN_DEPARTURE: u16 = 1;
        LINK_STATE_UNKNOWN: c_int = 0;
        LINK_STATE_DOWN: c_int = 1;
        LINK_STATE_UP: c_int = 2;
        IFCAP_TSOv4: u64 = 0x0080;
        IFCAP_CSUM_IPv4_Rx: u64 = 0x0100;
        IFCAP_CSUM_IPv4_Tx: u64 = 0x0200;
        IFCAP_CSUM_TCPv4_Rx: u64 = 0x0400;
        IFCAP_CSUM_TCPv4_Tx: u64 = 0x0800;
        IFCAP_CSUM_UDPv4_Rx: u64 = 0x1000;
        IFCAP_CSUM_UDPv4_Tx: u64 = 0x2000;
        IFCAP_CSUM_TCPv6_Rx: u64 = 0x4000;
        IFCAP_CSUM_TCPv6_Tx: u64 = 0x8000;
        IFCAP_CSUM_UDPv6_Rx: u64 = 0x1_0000;
        IFCAP_CSUM_UDPv6_Tx: u64 = 0x2_0000;
        IFCAP_TSOv6: u64 = 0x4_0000;
        IFCAP_LRO: u64 = 0x8_0000;
    }
    "net/if_types.h" {
        IFT_ETHER: u8 = 6;
        IFT_LOOP: u8 = 24;
    }
    "net/if_dl.h" {}
    "netinet/in_var.h" {
        IN_IFF_TENTATIVE: c_int = 0x01;
        IN_IFF_DUPLICATED: c_int = 0x02;
        IN_IFF_DETACHED: c_int = 0x04;
        IN_IFF_TRYTENTATIVE: c_int = 0x08;
    }
    "netinet6/in6_var.h" {
        SIOCDIFADDR_IN6: u64 = 0x8120_6919;
        SIOCAIFADDR_IN6: u64 = 0x8080_696b;
        SIOCGIFNETMASK_IN6: u64 = 0xc120_6925;
        SIOCGIFAFLAG_IN6: u64 = 0xc120_6949;
        IN6_IFF_TENTATIVE: c_int = 0x02;
        IN6_IFF_DUPLICATED: c_int = 0x04;
        IN6_IFF_DETACHED: c_int = 0x08;
        IN6_IFF_DEPRECATED: c_int = 0x10;
        IN6_IFF_AUTOCONF: c_int = 0x40;
    }
    "sys/sockio.h" {
        SIOCSIFFLAGS: u64 = 0x8090_6910;
        SIOCGIFFLAGS: u64 = 0xc090_6911;
        SIOCGIFCONF: u64 = 0xc010_6926;
        SIOCAIFADDR: u64 = 0x8040_691a;
        SIOCDIFADDR: u64 = 0x8090_6919;
        SIOCGIFALIAS: u64 = 0xc040_691b;
        SIOCGIFAFLAG_IN: u64 = 0xc090_6927;
        SIOCSIFMTU: u64 = 0x8090_697f;
        SIOCGIFMTU: u64 = 0xc090_697e;
        SIOCIFCREATE: u64 = 0x8090_697a;
        SIOCIFDESTROY: u64 = 0x8090_6979;
        SIOCSIFCAP: u64 = 0x8020_6975;
        SIOCGIFCAP: u64 = 0xc020_6976;
        SIOCGIFDATA: u64 = 0xc098_6985;
        SIOCZIFDATA: u64 = 0xc098_6986;
    }
    // The first of these are what others need to be read.
    "sys/callout.h" {}
    "net/route.h" {
        RTM_VERSION: u8 = 4;
        RTM_ADD: u8 = 0x1;
        RTM_DELETE: u8 = 0x2;
        RTM_CHANGE: u8 = 0x3;
        RTM_GET: u8 = 0x4;
        RTM_IFANNOUNCE: u8 = 0x10;
        RTM_IFINFO: u8 = 0x14;
        RTF_UP: c_int = 0x1;
        RTF_GATEWAY: c_int = 0x2;
        RTF_HOST: c_int = 0x4;
        RTF_REJECT: c_int = 0x8;
        RTF_CONNECTED: c_int = 0x100;
        RTF_LLDATA: c_int = 0x400;
        RTF_STATIC: c_int = 0x800;
        RTF_BLACKHOLE: c_int = 0x1000;
        RTF_LOCAL: c_int = 0x40000;
        RTA_DST: c_int = 0x1;
        RTA_GATEWAY: c_int = 0x2;
        RTA_NETMASK: c_int = 0x4;
        RTA_IFP: c_int = 0x10;
        RTA_IFA: c_int = 0x20;
        RTV_MTU: c_int = 0x1;
    }
    "netinet/in_systm.h" {}
    "netinet/ip.h" {}
    "netinet/in_pcb.h" {}
    "netinet/ip_var.h" {
        IP_STAT_TOTAL: usize = 0;
        IP_STAT_BADSUM: usize = 1;
        IP_STAT_REASSEMBLED: usize = 17;
        IP_STAT_FORWARD: usize = 9;
        IP_STAT_DELIVERED: usize = 14;
        IP_STAT_LOCALOUT: usize = 15;
        IP_STAT_ODROPPED: usize = 16;
        IP_STAT_NOROUTE: usize = 22;
    }
    "netinet6/ip6_var.h" {
        IP6_STAT_TOTAL: usize = 0;
        IP6_STAT_FORWARD: usize = 7;
        IP6_STAT_DELIVERED: usize = 10;
        IP6_STAT_LOCALOUT: usize = 11;
        IP6_STAT_ODROPPED: usize = 12;
        IP6_STAT_REASSEMBLED: usize = 13;
        IP6_STAT_NOROUTE: usize = 18;
    }
    "netinet/tcp_timer.h" {}
    "netinet/tcp_var.h" {
        TCP_STAT_CONNATTEMPT: usize = 0;
        TCP_STAT_ACCEPTS: usize = 1;
        TCP_STAT_CONNECTS: usize = 2;
        TCP_STAT_DROPS: usize = 3;
        TCP_STAT_CONNDROPS: usize = 4;
        TCP_STAT_CLOSED: usize = 5;
        TCP_STAT_REXMTTIMEO: usize = 10;
        TCP_STAT_KEEPDROPS: usize = 14;
        TCP_STAT_SNDTOTAL: usize = 18;
        TCP_STAT_SNDPACK: usize = 19;
        TCP_STAT_SNDBYTE: usize = 20;
        TCP_STAT_SNDREXMITPACK: usize = 21;
        TCP_STAT_SNDREXMITBYTE: usize = 22;
        TCP_STAT_RCVTOTAL: usize = 28;
        TCP_STAT_RCVPACK: usize = 29;
        TCP_STAT_RCVBYTE: usize = 30;
        TCP_STAT_RCVBADSUM: usize = 31;
        TCP_STAT_RCVMEMDROP: usize = 33;
        TCP_STAT_RCVDUPPACK: usize = 35;
        TCP_STAT_RCVOOPACK: usize = 39;
        TCP_STAT_RCVDUPACK: usize = 45;
        TCP_STAT_NOPORT: usize = 54;
        TCP_STAT_SC_ADDED: usize = 57;
        TCP_STAT_SC_COMPLETED: usize = 58;
        TCP_STAT_SC_OVERFLOWED: usize = 60;
        TCP_STAT_SC_DROPPED: usize = 66;
        TCP_STAT_SELFQUENCH: usize = 70;
    }
    "netinet/udp.h" {}
    "netinet/udp_var.h" {
        UDP_STAT_IPACKETS: usize = 0;
        UDP_STAT_BADSUM: usize = 2;
        UDP_STAT_NOPORT: usize = 4;
        UDP_STAT_FULLSOCK: usize = 6;
        UDP_STAT_OPACKETS: usize = 8;
    }
    "netinet6/udp6_var.h" {
        UDP6_STAT_IPACKETS: usize = 0;
        UDP6_STAT_BADSUM: usize = 2;
        UDP6_STAT_NOPORT: usize = 5;
        UDP6_STAT_FULLSOCK: usize = 7;
        UDP6_STAT_OPACKETS: usize = 9;
    }
    "sys/fcntl.h" {
        O_RDONLY: c_int = 0;
        O_WRONLY: c_int = 1;
        O_RDWR: c_int = 2;
        O_NONBLOCK: c_int = 0x0004;
        O_CREAT: c_int = 0x0200;
        O_TRUNC: c_int = 0x0400;
        O_EXCL: c_int = 0x0800;
        O_CLOEXEC: c_int = 0x0040_0000;
        F_DUPFD: c_int = 0;
        F_GETFD: c_int = 1;
        F_SETFD: c_int = 2;
        F_GETFL: c_int = 3;
        F_SETFL: c_int = 4;
        F_MAXFD: c_int = 11;
        F_DUPFD_CLOEXEC: c_int = 12;
        FD_CLOEXEC: c_int = 1;
        O_ACCMODE: c_int = 3;
        O_NOSIGPIPE: c_int = 0x0100_0000;
    }
    "sys/poll.h" {
        POLLIN: c_short = 0x0001;
        POLLPRI: c_short = 0x0002;
        POLLOUT: c_short = 0x0004;
        POLLERR: c_short = 0x0008;
        POLLHUP: c_short = 0x0010;
        POLLNVAL: c_short = 0x0020;
        POLLRDNORM: c_short = 0x0040;
        POLLRDBAND: c_short = 0x0080;
        POLLWRBAND: c_short = 0x0100;
    }
    "sys/event.h" {
        EVFILT_READ: u32 = 0;
        EVFILT_WRITE: u32 = 1;
        EVFILT_TIMER: u32 = 6;
        EV_ADD: u32 = 0x0001;
        EV_DELETE: u32 = 0x0002;
        EV_ENABLE: u32 = 0x0004;
        EV_DISABLE: u32 = 0x0008;
        EV_ONESHOT: u32 = 0x0010;
        EV_CLEAR: u32 = 0x0020;
        EV_RECEIPT: u32 = 0x0040;
        EV_EOF: u32 = 0x8000;
        EV_ERROR: u32 = 0x4000;
        NOTE_LOWAT: u32 = 0x0001;
        EVFILT_AIO: u32 = 2;
        EVFILT_VNODE: u32 = 3;
        EVFILT_PROC: u32 = 4;
        EVFILT_SIGNAL: u32 = 5;
    }
    "sys/ioctl.h" {
        FIONREAD: u64 = 0x4004_667f;
        FIONBIO: u64 = 0x8004_667e;
        FIOCLEX: u64 = 0x2000_6601;
        FIONCLEX: u64 = 0x2000_6602;
        FIOASYNC: u64 = 0x8004_667d;
        FIONWRITE: u64 = 0x4004_6679;
        FIONSPACE: u64 = 0x4004_6678;
        SIOCATMARK: u64 = 0x4004_7307;
    }
    "sys/sysctl.h" {
        CTL_KERN: c_int = 1;
        CTL_NET: c_int = 4;
        KERN_OSTYPE: c_int = 1;
        KERN_OSRELEASE: c_int = 2;
        KERN_VERSION: c_int = 4;
        KERN_HOSTNAME: c_int = 10;
        CTL_HW: c_int = 6;
        KERN_OSREV: c_int = 3;
        KERN_MAXFILES: c_int = 7;
        HW_MACHINE: c_int = 1;
        HW_NCPU: c_int = 3;
        HW_PAGESIZE: c_int = 7;
        KERN_PROC2: c_int = 47;
        KERN_PROC_ALL: c_int = 0;
        KERN_SBMAX: c_int = 58;
        CTL_MAXNAME: c_int = 12;
        CTL_QUERY: c_int = -2;
        CTLTYPE_NODE: u32 = 1;
        CTLTYPE_INT: u32 = 2;
        CTLTYPE_STRING: u32 = 3;
        CTLTYPE_QUAD: u32 = 4;
        CTLTYPE_STRUCT: u32 = 5;
        CTLTYPE_BOOL: u32 = 6;
        CTLFLAG_READWRITE: u32 = 0x70;
        SYSCTL_TYPEMASK: u32 = 0xf;
        SYSCTL_VERSION: u32 = 0x0100_0000;
    }
    "sys/resource.h" {
        RLIMIT_NOFILE: c_int = 8;
        RLIM_NLIMITS: c_int = 12;
    }
    "rump/rump.h" {
        RUMP_SIGMODEL_IGNORE: c_int = 1;
        RUMP_RFFD_SHARE: c_int = 0;
        RUMP_RFFD_COPY: c_int = 1;
        RUMP_RFFD_CLEAR: c_int = 2;
    }
    "sys/errno.h" {
        EPERM: c_int = 1;
        ENOENT: c_int = 2;
        ESRCH: c_int = 3;
        EINTR: c_int = 4;
        EIO: c_int = 5;
        ENXIO: c_int = 6;
        E2BIG: c_int = 7;
        ENOEXEC: c_int = 8;
        EBADF: c_int = 9;
        ECHILD: c_int = 10;
        EDEADLK: c_int = 11;
        ENOMEM: c_int = 12;
        EACCES: c_int = 13;
        EFAULT: c_int = 14;
        ENOTBLK: c_int = 15;
        EBUSY: c_int = 16;
        EEXIST: c_int = 17;
        EXDEV: c_int = 18;
        ENODEV: c_int = 19;
        ENOTDIR: c_int = 20;
        EISDIR: c_int = 21;
        EINVAL: c_int = 22;
        ENFILE: c_int = 23;
        EMFILE: c_int = 24;
        ENOTTY: c_int = 25;
        ETXTBSY: c_int = 26;
        EFBIG: c_int = 27;
        ENOSPC: c_int = 28;
        ESPIPE: c_int = 29;
        EROFS: c_int = 30;
        EMLINK: c_int = 31;
        EPIPE: c_int = 32;
        EDOM: c_int = 33;
        ERANGE: c_int = 34;
        EAGAIN: c_int = 35;
        EINPROGRESS: c_int = 36;
        EALREADY: c_int = 37;
        ENOTSOCK: c_int = 38;
        EDESTADDRREQ: c_int = 39;
        EMSGSIZE: c_int = 40;
        EPROTOTYPE: c_int = 41;
        ENOPROTOOPT: c_int = 42;
        EPROTONOSUPPORT: c_int = 43;
        ESOCKTNOSUPPORT: c_int = 44;
        EOPNOTSUPP: c_int = 45;
        EPFNOSUPPORT: c_int = 46;
        EAFNOSUPPORT: c_int = 47;
        EADDRINUSE: c_int = 48;
        EADDRNOTAVAIL: c_int = 49;
        ENETDOWN: c_int = 50;
        ENETUNREACH: c_int = 51;
        ENETRESET: c_int = 52;
        ECONNABORTED: c_int = 53;
        ECONNRESET: c_int = 54;
        ENOBUFS: c_int = 55;
        EISCONN: c_int = 56;
        ENOTCONN: c_int = 57;
        ESHUTDOWN: c_int = 58;
        ETOOMANYREFS: c_int = 59;
        ETIMEDOUT: c_int = 60;
        ECONNREFUSED: c_int = 61;
        ELOOP: c_int = 62;
        ENAMETOOLONG: c_int = 63;
        EHOSTDOWN: c_int = 64;
        EHOSTUNREACH: c_int = 65;
        ENOTEMPTY: c_int = 66;
        EPROCLIM: c_int = 67;
        EUSERS: c_int = 68;
        EDQUOT: c_int = 69;
        ESTALE: c_int = 70;
        EREMOTE: c_int = 71;
        EBADRPC: c_int = 72;
        ERPCMISMATCH: c_int = 73;
        EPROGUNAVAIL: c_int = 74;
        EPROGMISMATCH: c_int = 75;
        EPROCUNAVAIL: c_int = 76;
        ENOLCK: c_int = 77;
        ENOSYS: c_int = 78;
        EFTYPE: c_int = 79;
        EAUTH: c_int = 80;
        ENEEDAUTH: c_int = 81;
        EIDRM: c_int = 82;
        ENOMSG: c_int = 83;
        EOVERFLOW: c_int = 84;
        EILSEQ: c_int = 85;
        ENOTSUP: c_int = 86;
        ECANCELED: c_int = 87;
        EBADMSG: c_int = 88;
        ENODATA: c_int = 89;
        ENOSR: c_int = 90;
        ENOSTR: c_int = 91;
        ETIME: c_int = 92;
        ENOATTR: c_int = 93;
        EMULTIHOP: c_int = 94;
        ENOLINK: c_int = 95;
        EPROTO: c_int = 96;
    }
}
