//! Routing sockets, `route(4)`: messages that ask for a route or change the table, and the
//! same from `sysctl(3)`.
//!
//! A socket gets the answers to its own messages, and is told what others do and what becomes
//! of interfaces: `announce`.

use super::routes::{Gateway, Route, host};
use super::sockaddr::{address, link, link_index, mask, net, number, sockaddr};
use super::{LOOPBACK, Stack};
use crate::file::File;
use crate::kernel::{Guard, Kernel};
use crate::lwp::Lwp;
use crate::socket::Received;
use crate::user::{Reader, Writer};
use crate::wait::{self, WaitQueue};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::mem::{offset_of, size_of};
use rump_abi::{self as abi, route, rt_msghdr};
use rump_hyper::errno::Errno;
use smoltcp::wire::{IpAddress, IpCidr, Ipv6Address};

/// The longest message.
const LONGEST: usize = 2048;

/// A routing socket.
#[derive(Debug, Default)]
pub(crate) struct RoutingSocket {
    pub(crate) answers: VecDeque<Vec<u8>>,
    /// There was more to be told than there was room for.
    pub(crate) lost: bool,
    pub(crate) waiters: WaitQueue,
}

/// A message of a program's.
struct Request<'a> {
    kind: u8,
    flags: c_int,
    bits: c_int,
    addresses: &'a [u8],
}

impl<'a> Request<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Errno> {
        let length = u16::from_ne_bytes(number(bytes, offset_of!(rt_msghdr, rtm_msglen))?);
        let [version] = number(bytes, offset_of!(rt_msghdr, rtm_version))?;
        let [kind] = number(bytes, offset_of!(rt_msghdr, rtm_type))?;
        if usize::from(length) != bytes.len() {
            return Err(Errno::INVAL);
        }
        if version != abi::RTM_VERSION {
            return Err(Errno::PROTONOSUPPORT);
        }
        let int = |at| Ok::<_, Errno>(c_int::from_ne_bytes(number(bytes, at)?));
        Ok(Self {
            kind,
            flags: int(offset_of!(rt_msghdr, rtm_flags))?,
            bits: int(offset_of!(rt_msghdr, rtm_addrs))?,
            addresses: bytes.get(size_of::<rt_msghdr>()..).ok_or(Errno::INVAL)?,
        })
    }

    /// The address of this bit, of the length that it says.
    fn address(&self, wanted: c_int) -> Option<&'a [u8]> {
        route::address(self.addresses, self.bits, wanted)
    }

    /// The net that it is about.
    fn net(&self) -> Result<IpCidr, Errno> {
        let to = address(self.address(abi::RTA_DST).ok_or(Errno::INVAL)?, 0)?;
        match self.address(abi::RTA_NETMASK) {
            Some(mask) if self.flags & abi::RTF_HOST == 0 => Ok(network(net(to, mask)?)),
            _ => Ok(host(to)),
        }
    }
}

/// The net that an address is in.
fn network(cidr: IpCidr) -> IpCidr {
    match cidr {
        IpCidr::Ipv4(cidr) => IpCidr::Ipv4(cidr.network()),
        IpCidr::Ipv6(cidr) => {
            let bits = u128::from(cidr.address());
            let length = u32::from(cidr.prefix_len());
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            IpCidr::new(
                IpAddress::Ipv6(Ipv6Address::from(bits & mask)),
                cidr.prefix_len(),
            )
        }
    }
}

/// A route as messages tell it.
pub(super) struct Told {
    net: IpCidr,
    flags: c_int,
    gateway: Vec<u8>,
    interface: usize,
    source: Option<IpAddress>,
}

impl Told {
    fn is_of(&self, family: c_int) -> bool {
        match self.net {
            IpCidr::Ipv4(_) => matches!(family, abi::AF_UNSPEC | abi::AF_INET),
            IpCidr::Ipv6(_) => matches!(family, abi::AF_UNSPEC | abi::AF_INET6),
        }
    }
}

/// Appends the addresses that there are, in the order of their bits; the bits.
pub(super) fn append<const N: usize>(
    bytes: &mut Vec<u8>,
    addresses: [(c_int, Option<Vec<u8>>); N],
) -> c_int {
    let mut bits = 0;
    for (bit, address) in addresses {
        let Some(address) = address else { continue };
        bits |= bit;
        let end = bytes.len() + route::padded(address.len());
        bytes.extend_from_slice(&address);
        bytes.resize(end, 0);
    }
    bits
}

/// Writes what all messages begin with.
pub(super) fn begin(mut bytes: Vec<u8>, kind: u8) -> Vec<u8> {
    let length = bytes.len() as u16;
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(offset_of!(rt_msghdr, rtm_msglen), &length.to_ne_bytes());
    put(offset_of!(rt_msghdr, rtm_version), &[abi::RTM_VERSION]);
    put(offset_of!(rt_msghdr, rtm_type), &[kind]);
    bytes
}

/// Writes a message; `like` has the sequence number and the process of what it answers.
pub(super) fn message(stack: &Stack, kind: u8, told: &Told, like: &[u8]) -> Vec<u8> {
    let name = stack.interfaces[told.interface].link_address(told.interface + 1);
    let source = told.source.map(sockaddr);
    let net_mask = (told.flags & abi::RTF_HOST == 0).then(|| sockaddr(mask(told.net)));
    let mut bytes = alloc::vec![0; size_of::<rt_msghdr>()];
    if let Some(header) = like.get(..bytes.len()) {
        for field in [
            offset_of!(rt_msghdr, rtm_pid),
            offset_of!(rt_msghdr, rtm_seq),
        ] {
            bytes[field..field + 4].copy_from_slice(&header[field..field + 4]);
        }
    }
    let addresses = [
        (abi::RTA_DST, Some(sockaddr(told.net.address()))),
        (abi::RTA_GATEWAY, Some(told.gateway.clone())),
        (abi::RTA_NETMASK, net_mask),
        (abi::RTA_IFP, Some(name)),
        (abi::RTA_IFA, source),
    ];
    let bits = append(&mut bytes, addresses);
    let index = told.interface as u16 + 1;
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(offset_of!(rt_msghdr, rtm_index), &index.to_ne_bytes());
    put(offset_of!(rt_msghdr, rtm_flags), &told.flags.to_ne_bytes());
    put(offset_of!(rt_msghdr, rtm_addrs), &bits.to_ne_bytes());
    begin(bytes, kind)
}

impl Stack {
    /// As it is told.
    fn tell(&self, route: &Route) -> Told {
        let (gateway, flag, near) = match route.gateway {
            Gateway::Router(router) => (sockaddr(router), abi::RTF_GATEWAY, router),
            Gateway::Link => {
                let link = &self.interfaces[route.interface];
                let address = link.link_address(route.interface + 1);
                (address, abi::RTF_CONNECTED, route.net.address())
            }
        };
        let is_host = route.net == host(route.net.address());
        let is_host = if is_host { abi::RTF_HOST } else { 0 };
        Told {
            net: route.net,
            flags: abi::RTF_UP | abi::RTF_STATIC | flag | is_host,
            gateway,
            interface: route.interface,
            source: self.interfaces[route.interface].source_for(near),
        }
    }

    /// What is there by the addresses of interfaces: their nets, and themselves.
    fn own_routes(&self) -> Vec<Told> {
        let mut own = Vec::new();
        for (number, interface) in self.interfaces.iter() {
            for address in &interface.addresses {
                let this = host(address.address());
                let told = |net, flags, interface: usize| Told {
                    net,
                    flags: abi::RTF_UP | flags,
                    gateway: self.interfaces[interface].link_address(interface + 1),
                    interface,
                    source: Some(address.address()),
                };
                if *address != this {
                    own.push(told(network(*address), abi::RTF_CONNECTED, number));
                }
                own.push(told(this, abi::RTF_HOST | abi::RTF_LOCAL, LOOPBACK));
            }
        }
        own
    }

    /// The route to an address.
    fn route_to(&self, to: IpAddress) -> Option<Told> {
        let own = self.own_routes().into_iter();
        let own = own.filter(|told| told.net.contains_addr(&to));
        let set = self.routes.to(to).map(|route| self.tell(route));
        own.chain(set)
            .min_by_key(|told| core::cmp::Reverse(told.net.prefix_len()))
    }

    /// Routes of which this is so go; what others are told of them.
    fn forget_routes(&mut self, is_gone: impl Fn(&Self, &Route) -> bool) -> Vec<Told> {
        let gone = self.routes.iter().filter(|route| is_gone(self, route));
        let gone: Vec<Route> = gone.copied().collect();
        self.routes.retain(|route| !gone.contains(route));
        gone.iter().map(|route| self.tell(route)).collect()
    }

    /// Routes whose router is on no link any more go.
    pub(super) fn forget_lost_routes(&mut self) -> Vec<Told> {
        self.forget_routes(|stack, route| match route.gateway {
            Gateway::Link => false,
            Gateway::Router(router) => !stack.interfaces[route.interface].is_on_link(router),
        })
    }

    /// Routes over an interface that is about to go.
    pub(super) fn forget_routes_over(&mut self, interface: usize) -> Vec<Told> {
        self.forget_routes(|_, route| route.interface == interface)
    }
}

impl Kernel {
    /// The routing table, as `NET_RT_DUMP` has it, of a family or of all.
    pub(crate) fn dump_routes(&self, family: c_int) -> Vec<u8> {
        let set = self.net.routes.iter().map(|route| self.net.tell(route));
        let all = set
            .chain(self.net.own_routes())
            .filter(|told| told.is_of(family));
        all.flat_map(|told| message(&self.net, abi::RTM_GET, &told, &[]))
            .collect()
    }

    /// The neighbours of a family, as `NET_RT_FLAGS` has them.
    pub(crate) fn dump_neighbors(&mut self, family: c_int) -> Vec<u8> {
        let now = self.net.read_clock();
        let mut all = Vec::new();
        for (number, interface) in self.net.interfaces.iter() {
            for (address, hardware) in interface.neighbors.iter(now) {
                let told = Told {
                    net: host(address),
                    flags: abi::RTF_UP | abi::RTF_HOST | abi::RTF_LLDATA,
                    gateway: link(number + 1, abi::IFT_ETHER, "", &hardware.0),
                    interface: number,
                    source: interface.source_for(address),
                };
                if told.is_of(family) {
                    all.extend(message(&self.net, abi::RTM_GET, &told, &[]));
                }
            }
        }
        all
    }

    /// Where a route is to lead.
    fn route_of(&self, request: &Request<'_>) -> Result<Route, Errno> {
        let net = request.net()?;
        let gateway = request.address(abi::RTA_GATEWAY).ok_or(Errno::INVAL)?;
        if request.flags & abi::RTF_GATEWAY == 0 {
            let number = usize::from(link_index(gateway)?).wrapping_sub(1);
            self.net.interfaces.get(number).ok_or(Errno::NXIO)?;
            return Ok(Route {
                net,
                gateway: Gateway::Link,
                interface: number,
            });
        }
        let router = address(gateway, 0)?;
        if router.version() != net.address().version() {
            return Err(Errno::AFNOSUPPORT);
        }
        Ok(Route {
            net,
            gateway: Gateway::Router(router),
            interface: self.net.link_of(router).ok_or(Errno::NETUNREACH)?,
        })
    }

    /// Does what a message says; the answer.
    fn change_routes(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Errno> {
        let request = Request::parse(bytes)?;
        if request.flags & abi::RTF_LLDATA != 0 {
            return Err(self.lacks(
                format_args!("neighbours that are set (RTF_LLDATA)"),
                Errno::OPNOTSUPP,
            ));
        }
        if request.flags & (abi::RTF_REJECT | abi::RTF_BLACKHOLE) != 0 {
            return Err(self.lacks(format_args!("routes that reject"), Errno::OPNOTSUPP));
        }
        let told = match request.kind {
            abi::RTM_ADD => {
                let route = self.route_of(&request)?;
                // smoltcp sends what is on the link there.
                if self.net.link_of(route.net.address()).is_some() && route.net.prefix_len() > 0 {
                    return Err(self.lacks(
                        format_args!("routes to a part of an interface's own net"),
                        Errno::OPNOTSUPP,
                    ));
                }
                self.net.routes.add(route)?;
                self.net.tell(&route)
            }
            abi::RTM_CHANGE => {
                let route = self.route_of(&request)?;
                *self.net.routes.find(route.net).ok_or(Errno::SRCH)? = route;
                self.net.tell(&route)
            }
            abi::RTM_DELETE => {
                let route = self.net.routes.remove(request.net()?)?;
                self.net.tell(&route)
            }
            abi::RTM_GET => {
                let to = request.net()?.address();
                self.net.route_to(to).ok_or(Errno::SRCH)?
            }
            kind => {
                return Err(self.lacks(format_args!("routing message {kind}"), Errno::OPNOTSUPP));
            }
        };
        Ok(message(&self.net, request.kind, &told, bytes))
    }

    /// A program writes a message.
    pub(crate) fn write_routing(
        &mut self,
        socket: usize,
        data: &mut Reader<'_>,
    ) -> Result<usize, Errno> {
        let length = data.left();
        if length > LONGEST {
            return Err(Errno::MSGSIZE);
        }
        let mut bytes = Vec::with_capacity(length);
        data.take(length, |part| bytes.extend_from_slice(part));
        let answer = self.change_routes(&bytes)?;
        // A question is nobody else's business.
        if bytes.get(offset_of!(rt_msghdr, rtm_type)) == Some(&abi::RTM_GET) {
            self.tell_one(socket, answer);
        } else {
            self.tell_all(&answer);
        }
        Ok(length)
    }
}

impl Guard {
    /// A program reads an answer.
    pub(crate) fn read_routing(
        &mut self,
        lwp: &Lwp,
        file: File,
        socket: usize,
        out: &mut Writer<'_>,
        flags: c_int,
    ) -> Result<Received, Errno> {
        loop {
            let RoutingSocket { answers, lost, .. } = &mut self.routing[socket];
            if core::mem::take(lost) {
                return Err(Errno::NOBUFS);
            }
            if let Some(answer) = answers.front() {
                let length = out.put(answer);
                let truncated = length < answer.len();
                if flags & abi::MSG_PEEK == 0 {
                    answers.pop_front();
                }
                return Ok(Received {
                    length,
                    from: None,
                    truncated,
                });
            }
            if file.nonblocking || flags & abi::MSG_DONTWAIT != 0 {
                return Err(Errno::AGAIN);
            }
            self.wait_for(lwp, file.object, wait::READ, None)?;
        }
    }
}
