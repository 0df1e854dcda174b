// Structures of NetBSD's system call ABI (amd64), by header.

layouts! {
    "sys/socket.h" {
        struct sockaddr { sa_len: u8, sa_family: u8, sa_data: [u8; 14] }
        struct sockaddr_storage { ss_len: u8, ss_family: u8, __ss_pad1: [u8; 6], __ss_align: i64, __ss_pad2: [u8; 112] }
        struct linger { l_onoff: c_int, l_linger: c_int }
        struct msghdr {
            msg_name: *mut c_void,
            msg_namelen: u32,
            msg_iov: *mut iovec,
            msg_iovlen: c_int,
            msg_control: *mut c_void,
            msg_controllen: u32,
            msg_flags: c_int
        }
        struct cmsghdr { cmsg_len: u32, cmsg_level: c_int, cmsg_type: c_int }
    }
    "sys/uio.h" {
        struct iovec { iov_base: *mut c_void, iov_len: usize }
    }
    "netinet/in.h" {
        struct in_addr { s_addr: u32 }
        struct sockaddr_in { sin_len: u8, sin_family: u8, sin_port: u16, sin_addr: in_addr, sin_zero: [u8; 8] }
        struct ip_mreq { imr_multiaddr: in_addr, imr_interface: in_addr }
    }
    "netinet6/in6.h" {
        struct in6_addr { __u6_addr: [u32; 4] }
        struct sockaddr_in6 {
            sin6_len: u8,
            sin6_family: u8,
            sin6_port: u16,
            sin6_flowinfo: u32,
            sin6_addr: in6_addr,
            sin6_scope_id: u32
        }
        struct ipv6_mreq { ipv6mr_multiaddr: in6_addr, ipv6mr_interface: c_uint }
    }
    "sys/time.h" {
        struct timeval { tv_sec: i64, tv_usec: c_int }
        struct timespec { tv_sec: i64, tv_nsec: c_long }
    }
    "sys/sysctl.h" {
        struct sysctlnode {
            sysctl_flags: u32,
            sysctl_num: i32,
            sysctl_name: [u8; 32],
            sysctl_ver: u32,
            __rsvd: u32,
            sysctl_un: [u64; 2],
            _sysctl_size: u64,
            _sysctl_func: u64,
            _sysctl_parent: u64,
            _sysctl_desc: u64
        }
    }
    "sys/resource.h" {
        struct rlimit { rlim_cur: u64, rlim_max: u64 }
    }
    "net/if.h" {
        struct ifreq { ifr_name: [u8; 16], ifr_ifru: [u64; 16] }
        struct ifconf { ifc_len: c_int, ifc_ifcu: *mut c_void }
        struct ifcapreq { ifcr_name: [u8; 16], ifcr_capabilities: u64, ifcr_capenable: u64 }
        struct ifaliasreq { ifra_name: [u8; 16], ifra_addr: sockaddr, ifra_dstaddr: sockaddr, ifra_mask: sockaddr }
        struct if_data {
            ifi_type: u8,
            ifi_addrlen: u8,
            ifi_hdrlen: u8,
            ifi_link_state: c_int,
            ifi_mtu: u64,
            ifi_metric: u64,
            ifi_baudrate: u64,
            ifi_ipackets: u64,
            ifi_ierrors: u64,
            ifi_opackets: u64,
            ifi_oerrors: u64,
            ifi_collisions: u64,
            ifi_ibytes: u64,
            ifi_obytes: u64,
            ifi_imcasts: u64,
            ifi_omcasts: u64,
            ifi_iqdrops: u64,
            ifi_noproto: u64,
            ifi_lastchange: timespec
        }
        struct ifdatareq { ifdr_name: [u8; 16], ifdr_data: if_data }
        struct if_msghdr {
            ifm_msglen: u16,
            ifm_version: u8,
            ifm_type: u8,
            ifm_addrs: c_int,
            ifm_flags: c_int,
            ifm_index: u16,
            ifm_data: if_data
        }
        struct if_announcemsghdr {
            ifan_msglen: u16,
            ifan_version: u8,
            ifan_type: u8,
            ifan_index: u16,
            ifan_name: [u8; 16],
            ifan_what: u16
        }
    }
    "net/if_dl.h" {
        struct dl_addr { dl_type: u8, dl_nlen: u8, dl_alen: u8, dl_slen: u8, dl_data: [u8; 12] }
        struct sockaddr_dl { sdl_len: u8, sdl_family: u8, sdl_index: u16, sdl_addr: dl_addr }
    }
    "netinet6/in6_var.h" {
        struct in6_addrlifetime { ia6t_expire: i64, ia6t_preferred: i64, ia6t_vltime: u32, ia6t_pltime: u32 }
        struct in6_ifreq { ifr_name: [u8; 16], ifr_ifru: [u64; 34] }
        struct in6_aliasreq {
            ifra_name: [u8; 16],
            ifra_addr: sockaddr_in6,
            ifra_dstaddr: sockaddr_in6,
            ifra_prefixmask: sockaddr_in6,
            ifra_flags: c_int,
            ifra_lifetime: in6_addrlifetime
        }
    }
    "net/route.h" {
        struct rt_metrics {
            rmx_locks: u64,
            rmx_mtu: u64,
            rmx_hopcount: u64,
            rmx_recvpipe: u64,
            rmx_sendpipe: u64,
            rmx_ssthresh: u64,
            rmx_rtt: u64,
            rmx_rttvar: u64,
            rmx_expire: i64,
            rmx_pksent: i64
        }
        struct rt_msghdr {
            rtm_msglen: u16,
            rtm_version: u8,
            rtm_type: u8,
            rtm_index: u16,
            rtm_flags: c_int,
            rtm_addrs: c_int,
            rtm_pid: c_int,
            rtm_seq: c_int,
            rtm_errno: c_int,
            rtm_use: c_int,
            rtm_inits: c_int,
            rtm_rmx: rt_metrics
        }
    }
    "sys/mbuf.h" {
        struct mbstat {
            _m_spare: u64,
            _m_spare1: u64,
            _m_spare2: u64,
            _m_spare3: u64,
            m_drops: u64,
            m_wait: u64,
            m_drain: u64,
            m_mtypes: [u16; 256]
        }
    }
    "sys/poll.h" {
        struct pollfd { fd: c_int, events: c_short, revents: c_short }
    }
    "sys/event.h" {
        struct kevent { ident: usize, filter: u32, flags: u32, fflags: u32, data: i64, udata: isize }
    }
}
