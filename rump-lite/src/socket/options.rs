//! Socket options: `getsockopt(2)`, `ip(4)`, `ip6(4)`, `tcp(4)`.
//!
//! Options that are known but mean nothing here are kept and told; a level or an option
//! that is not known is `ENOPROTOOPT`, as in NetBSD.

use super::Protocol;
use super::address::Family;
use super::value::{
    Value, buffer_size, byte, from_bool, from_int, from_time, from_unsigned, hops, int, time,
};
use crate::boot::Settings;
use crate::kernel::Kernel;
use crate::net::memory::BUFFER;
use crate::net::ports::Sharing;
use core::ffi::c_int;
use core::mem::size_of;
use core::net::{Ipv4Addr, Ipv6Addr};
use rump_abi as abi;
use rump_hyper::errno::Errno;
use smoltcp::socket::tcp;
use smoltcp::time::Duration;
use smoltcp::wire::IpAddress;

/// `net.inet.udp.sendspace`, `recvspace`.
const UDP_SEND: usize = 9216;
const UDP_RECEIVE: usize = 41_600;
/// Slow time-outs in a second (`PR_SLOWHZ`), in which TCP's options count time.
const SLOW_TICKS: u32 = 2;

/// Options of `SOL_SOCKET` that are a bit each.
const FLAGS: c_int = abi::SO_DEBUG
    | abi::SO_REUSEADDR
    | abi::SO_KEEPALIVE
    | abi::SO_DONTROUTE
    | abi::SO_BROADCAST
    | abi::SO_USELOOPBACK
    | abi::SO_OOBINLINE
    | abi::SO_REUSEPORT
    | abi::SO_NOSIGPIPE
    | abi::SO_TIMESTAMP;

/// The options of a socket.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    flags: c_int,
    /// Seconds, if it is on.
    pub(crate) linger: Option<u16>,
    pub(crate) send_buffer: usize,
    pub(crate) receive_buffer: usize,
    low_water: [c_int; 2],
    pub(crate) send_timeout: Option<Duration>,
    pub(crate) receive_timeout: Option<Duration>,
    ttl: u8,
    tos: u8,
    unicast_hops: Option<u8>,
    traffic_class: c_int,
    pub(crate) only_v6: bool,
    pub(crate) multicast_ttl: u8,
    pub(crate) multicast_loop_v4: bool,
    multicast_hops: Option<u8>,
    pub(crate) multicast_loop_v6: bool,
    multicast_interface_v4: [u8; 4],
    multicast_interface_v6: u32,
    no_delay: bool,
    /// In slow ticks.
    keep_idle: u32,
    keep_interval: u32,
    keep_count: u32,
    keep_init: u32,
}

impl Options {
    fn new(send_buffer: usize, receive_buffer: usize) -> Self {
        Self {
            flags: 0,
            linger: None,
            send_buffer,
            receive_buffer,
            low_water: [2048, 1],
            send_timeout: None,
            receive_timeout: None,
            ttl: Family::DEFAULT_HOPS,
            tos: 0,
            unicast_hops: None,
            traffic_class: -1,
            only_v6: true,
            multicast_ttl: 1,
            multicast_loop_v4: true,
            multicast_hops: None,
            multicast_loop_v6: true,
            multicast_interface_v4: [0; 4],
            multicast_interface_v6: 0,
            no_delay: false,
            keep_idle: 7200 * SLOW_TICKS,
            keep_interval: 75 * SLOW_TICKS,
            keep_count: 8,
            keep_init: 75 * SLOW_TICKS,
        }
    }

    pub(crate) fn for_tcp(settings: &Settings) -> Self {
        // Never negative: sysctl sees to it.
        let space = |setting: c_int| usize::try_from(setting).unwrap_or(BUFFER);
        Self::new(space(settings.sendspace), space(settings.recvspace))
    }

    pub(crate) fn for_udp() -> Self {
        Self::new(UDP_SEND, UDP_RECEIVE)
    }

    pub(crate) fn flag(&self, flag: c_int) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn set_flag(&mut self, flag: c_int, on: bool) {
        if on {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }

    pub(crate) fn sharing(&self) -> Sharing {
        Sharing {
            address: self.flag(abi::SO_REUSEADDR),
            port: self.flag(abi::SO_REUSEPORT),
        }
    }

    /// How many hops a packet may take.
    pub(crate) fn hops(&self, family: Family) -> u8 {
        match family {
            Family::Inet => self.ttl,
            Family::Inet6 => self.unicast_hops.unwrap_or(Family::DEFAULT_HOPS),
        }
    }

    pub(crate) fn multicast_hops_v6(&self) -> u8 {
        self.multicast_hops.unwrap_or(1)
    }

    /// Gives smoltcp what is its to know.
    pub(crate) fn apply(&self, tcp: &mut tcp::Socket<'_>) {
        tcp.set_nagle_enabled(!self.no_delay);
        let hops = self.unicast_hops.unwrap_or(self.ttl);
        tcp.set_hop_limit(Some(hops.max(1)));
        let seconds =
            |ticks: u32| Duration::from_millis(u64::from(ticks) * 1000 / u64::from(SLOW_TICKS));
        let keep = self.flag(abi::SO_KEEPALIVE);
        let idle = keep.then(|| seconds(self.keep_idle));
        if tcp.keep_alive() != idle {
            tcp.set_keep_alive(idle);
            if tcp.may_send() {
                let patience =
                    seconds(self.keep_idle) + seconds(self.keep_interval) * self.keep_count;
                tcp.set_timeout(keep.then_some(patience));
            }
        }
    }
}

impl Kernel {
    /// `setsockopt(2)`.
    pub(crate) fn set_option(
        &mut self,
        socket: usize,
        level: c_int,
        name: c_int,
        value: &[u8],
    ) -> Result<(), Errno> {
        match level {
            abi::SOL_SOCKET => self.set_socket_option(socket, name, value)?,
            abi::IPPROTO_IP => self.set_ip_option(socket, name, value)?,
            abi::IPPROTO_IPV6 => self.set_ip6_option(socket, name, value)?,
            abi::IPPROTO_TCP if self.sockets[socket].is_tcp() => {
                self.set_tcp_option(socket, name, value)?
            }
            _ => return Err(Errno::NOPROTOOPT),
        }
        let entry = &self.sockets[socket];
        if let Protocol::Tcp(super::Tcp::Connected(id)) = entry.protocol {
            entry.options.apply(self.net.connections[id].tcp_mut());
            self.net.read_clock();
            self.pump(id, crate::net::connection::Cause::Local);
            self.run_network();
        }
        Ok(())
    }

    fn set_socket_option(&mut self, socket: usize, name: c_int, value: &[u8]) -> Result<(), Errno> {
        let sbmax = self.settings.sbmax;
        let options = &mut self.sockets[socket].options;
        match name {
            flag if flag & FLAGS == flag && flag.count_ones() == 1 => {
                let on = int(value)? != 0;
                options.set_flag(flag, on);
            }
            abi::SO_LINGER => {
                let (Some(on), Some(seconds)) = (value.first_chunk(), value.last_chunk()) else {
                    return Err(Errno::INVAL);
                };
                if value.len() != size_of::<abi::linger>() {
                    return Err(Errno::INVAL);
                }
                let seconds =
                    u16::try_from(c_int::from_ne_bytes(*seconds)).map_err(|_| Errno::DOM)?;
                options.linger = (c_int::from_ne_bytes(*on) != 0).then_some(seconds);
            }
            abi::SO_SNDBUF => options.send_buffer = buffer_size(value, sbmax)?,
            abi::SO_RCVBUF => options.receive_buffer = buffer_size(value, sbmax)?,
            abi::SO_SNDLOWAT => options.low_water[0] = int(value)?.max(1),
            abi::SO_RCVLOWAT => options.low_water[1] = int(value)?.max(1),
            abi::SO_SNDTIMEO => options.send_timeout = time(value)?,
            abi::SO_RCVTIMEO => options.receive_timeout = time(value)?,
            _ => return Err(Errno::NOPROTOOPT),
        }
        Ok(())
    }

    fn set_ip_option(&mut self, socket: usize, name: c_int, value: &[u8]) -> Result<(), Errno> {
        if self.sockets[socket].family != Family::Inet {
            return Err(Errno::NOPROTOOPT);
        }
        let options = &mut self.sockets[socket].options;
        match name {
            abi::IP_TTL => {
                options.ttl = byte(value)
                    .ok()
                    .filter(|ttl| *ttl > 0)
                    .ok_or(Errno::INVAL)?
            }
            abi::IP_TOS => options.tos = byte(value)?,
            abi::IP_MULTICAST_TTL => options.multicast_ttl = byte(value)?,
            abi::IP_MULTICAST_LOOP => options.multicast_loop_v4 = byte(value)? != 0,
            abi::IP_MULTICAST_IF => {
                let address: [u8; 4] = value.try_into().map_err(|_| Errno::INVAL)?;
                known_interface(address.into())?;
                options.multicast_interface_v4 = address;
            }
            abi::IP_ADD_MEMBERSHIP | abi::IP_DROP_MEMBERSHIP => {
                let value: [u8; size_of::<abi::ip_mreq>()] =
                    value.try_into().map_err(|_| Errno::INVAL)?;
                let [a, b, c, d, interface @ ..] = value;
                let group = IpAddress::Ipv4(Ipv4Addr::new(a, b, c, d));
                if !group.is_multicast() {
                    return Err(Errno::INVAL);
                }
                known_interface(interface.into())?;
                return if name == abi::IP_ADD_MEMBERSHIP {
                    self.join_group(socket, group)
                } else {
                    self.leave_group(socket, group)
                };
            }
            _ => return Err(Errno::NOPROTOOPT),
        }
        Ok(())
    }

    fn set_ip6_option(&mut self, socket: usize, name: c_int, value: &[u8]) -> Result<(), Errno> {
        let entry = &mut self.sockets[socket];
        if entry.family != Family::Inet6 {
            return Err(Errno::NOPROTOOPT);
        }
        let options = &mut entry.options;
        match name {
            abi::IPV6_UNICAST_HOPS => options.unicast_hops = hops(value)?,
            abi::IPV6_MULTICAST_HOPS => options.multicast_hops = hops(value)?,
            abi::IPV6_MULTICAST_LOOP => match int(value)? {
                on @ 0..=1 => options.multicast_loop_v6 = on != 0,
                _ => return Err(Errno::INVAL),
            },
            abi::IPV6_TCLASS => options.traffic_class = int(value)?,
            abi::IPV6_MULTICAST_IF => {
                let index = u32::from_ne_bytes(value.try_into().map_err(|_| Errno::INVAL)?);
                known_index(index, self.net.interfaces.len())?;
                self.sockets[socket].options.multicast_interface_v6 = index;
            }
            abi::IPV6_V6ONLY => {
                if entry.local.is_some() {
                    return Err(Errno::INVAL);
                }
                options.only_v6 = int(value)? != 0;
            }
            abi::IPV6_JOIN_GROUP | abi::IPV6_LEAVE_GROUP => {
                let (Some(group), Some(index)) = (value.first_chunk::<16>(), value.last_chunk())
                else {
                    return Err(Errno::INVAL);
                };
                if value.len() != size_of::<abi::ipv6_mreq>() {
                    return Err(Errno::INVAL);
                }
                let group = IpAddress::Ipv6(Ipv6Addr::from(*group));
                if !group.is_multicast() {
                    return Err(Errno::INVAL);
                }
                known_index(u32::from_ne_bytes(*index), self.net.interfaces.len())?;
                return if name == abi::IPV6_JOIN_GROUP {
                    self.join_group(socket, group)
                } else {
                    self.leave_group(socket, group)
                };
            }
            _ => return Err(Errno::NOPROTOOPT),
        }
        Ok(())
    }

    fn set_tcp_option(&mut self, socket: usize, name: c_int, value: &[u8]) -> Result<(), Errno> {
        let options = &mut self.sockets[socket].options;
        let positive = |value| {
            u32::try_from(int(value)?)
                .ok()
                .filter(|number| *number > 0)
                .ok_or(Errno::INVAL)
        };
        match name {
            abi::TCP_NODELAY => options.no_delay = int(value)? != 0,
            abi::TCP_KEEPIDLE => options.keep_idle = positive(value)?,
            abi::TCP_KEEPINTVL => options.keep_interval = positive(value)?,
            abi::TCP_KEEPCNT => options.keep_count = positive(value)?,
            abi::TCP_KEEPINIT => options.keep_init = positive(value)?,
            _ => return Err(Errno::NOPROTOOPT),
        }
        Ok(())
    }

    /// `getsockopt(2)`.
    pub(crate) fn option(
        &mut self,
        socket: usize,
        level: c_int,
        name: c_int,
    ) -> Result<Value, Errno> {
        let entry = &mut self.sockets[socket];
        let options = &entry.options;
        Ok(match (level, name) {
            (abi::SOL_SOCKET, flag) if flag & FLAGS == flag && flag.count_ones() == 1 => {
                from_int(options.flags & flag)
            }
            (abi::SOL_SOCKET, abi::SO_ACCEPTCONN) => from_bool(matches!(
                entry.protocol,
                Protocol::Tcp(super::Tcp::Listening(_))
            )),
            (abi::SOL_SOCKET, abi::SO_LINGER) => {
                let seconds = c_int::from(options.linger.unwrap_or(0)).to_ne_bytes();
                let [a, b, c, d] = c_int::from(options.linger.is_some()).to_ne_bytes();
                let [e, f, g, h] = seconds;
                [a, b, c, d, e, f, g, h].into()
            }
            (abi::SOL_SOCKET, abi::SO_SNDBUF) => from_int(options.send_buffer as c_int),
            (abi::SOL_SOCKET, abi::SO_RCVBUF) => from_int(options.receive_buffer as c_int),
            (abi::SOL_SOCKET, abi::SO_SNDLOWAT) => from_int(options.low_water[0]),
            (abi::SOL_SOCKET, abi::SO_RCVLOWAT) => from_int(options.low_water[1]),
            (abi::SOL_SOCKET, abi::SO_SNDTIMEO) => from_time(options.send_timeout),
            (abi::SOL_SOCKET, abi::SO_RCVTIMEO) => from_time(options.receive_timeout),
            (abi::SOL_SOCKET, abi::SO_OVERFLOWED) => from_int(0),
            (abi::SOL_SOCKET, abi::SO_ERROR) => {
                from_int(entry.error.take().map_or(0, |errno| errno.0))
            }
            (abi::SOL_SOCKET, abi::SO_TYPE) => from_int(if entry.is_tcp() {
                abi::SOCK_STREAM
            } else {
                abi::SOCK_DGRAM
            }),
            (abi::IPPROTO_IP, name) if entry.family == Family::Inet => match name {
                abi::IP_TTL => from_int(options.ttl.into()),
                abi::IP_TOS => from_int(options.tos.into()),
                abi::IP_MULTICAST_TTL => [options.multicast_ttl].into(),
                abi::IP_MULTICAST_LOOP => [u8::from(options.multicast_loop_v4)].into(),
                abi::IP_MULTICAST_IF => options.multicast_interface_v4.into(),
                _ => return Err(Errno::NOPROTOOPT),
            },
            (abi::IPPROTO_IPV6, name) if entry.family == Family::Inet6 => match name {
                abi::IPV6_UNICAST_HOPS => from_int(options.unicast_hops.map_or(-1, c_int::from)),
                abi::IPV6_MULTICAST_HOPS => from_int(options.multicast_hops_v6().into()),
                abi::IPV6_MULTICAST_LOOP => from_unsigned(options.multicast_loop_v6.into()),
                abi::IPV6_MULTICAST_IF => from_unsigned(options.multicast_interface_v6),
                abi::IPV6_TCLASS => from_int(options.traffic_class),
                abi::IPV6_V6ONLY => from_bool(options.only_v6),
                _ => return Err(Errno::NOPROTOOPT),
            },
            (abi::IPPROTO_TCP, name) if entry.is_tcp() => match name {
                abi::TCP_NODELAY => from_bool(options.no_delay),
                abi::TCP_MAXSEG => from_int(32 * 1024),
                abi::TCP_KEEPIDLE => from_unsigned(options.keep_idle),
                abi::TCP_KEEPINTVL => from_unsigned(options.keep_interval),
                abi::TCP_KEEPCNT => from_unsigned(options.keep_count),
                abi::TCP_KEEPINIT => from_unsigned(options.keep_init),
                _ => return Err(Errno::NOPROTOOPT),
            },
            _ => return Err(Errno::NOPROTOOPT),
        })
    }
}

/// An interface by its address; unspecified is any.
fn known_interface(address: Ipv4Addr) -> Result<(), Errno> {
    if address.is_unspecified() || address.is_loopback() {
        Ok(())
    } else {
        Err(Errno::ADDRNOTAVAIL)
    }
}

/// An interface by its index; 0 is any.
fn known_index(index: u32, count: usize) -> Result<(), Errno> {
    if index as usize <= count {
        Ok(())
    } else {
        Err(Errno::NXIO)
    }
}
