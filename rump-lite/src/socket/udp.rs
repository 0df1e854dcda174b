//! UDP sockets.

use super::address::{Family, Name, destination};
use super::tcp::deadline;
use super::{Protocol, Received, Socket};
use crate::file::File;
use crate::kernel::{Guard, Kernel};
use crate::lwp::Lwp;
use crate::net::{LOOPBACK, Tuple};
use crate::poll::Readiness;
use crate::user::{Reader, Writer};
use crate::wait;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ffi::c_int;
use rump_abi as abi;
use rump_hyper::errno::Errno;
use smoltcp::wire::{IpAddress, IpEndpoint};

/// The most data in a datagram over IPv4: what is left of 65,535 bytes.
const MOST_V4: usize = 65_507;
/// Over IPv6, where the header does not count.
const MOST_V6: usize = 65_527;

/// A datagram that waits to be read.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) from: IpEndpoint,
    pub(crate) data: Box<[u8]>,
}

/// What a UDP socket is.
#[derive(Debug, Default)]
pub(crate) struct Udp {
    /// After connect(2).
    pub(crate) peer: Option<IpEndpoint>,
    /// Its address was chosen by connect(2), and goes with the peer.
    address_is_peers: bool,
    pub(crate) queue: VecDeque<Datagram>,
    /// Bytes in the queue.
    pub(crate) queued: usize,
    /// Groups that it is a member of.
    pub(crate) groups: Vec<IpAddress>,
}

impl Udp {
    pub(super) fn readiness(&self, socket: &Socket) -> Readiness {
        let error = socket.error.map_or(0, |errno| errno.0);
        Readiness {
            readable: !self.queue.is_empty() || socket.shut_read || error != 0,
            writable: true,
            read: self.queued,
            write: socket.options.send_buffer,
            queued: 0,
            read_end: socket.shut_read,
            write_end: socket.shut_write,
            hangup: false,
            error,
        }
    }
}

impl Kernel {
    pub(super) fn udp(&mut self, socket: usize) -> Result<&mut Udp, Errno> {
        match &mut self.sockets[socket].protocol {
            Protocol::Udp(udp) => Ok(udp),
            Protocol::Tcp(_) => Err(Errno::OPNOTSUPP),
        }
    }

    fn bind_anywhere(&mut self, socket: usize) -> Result<IpEndpoint, Errno> {
        match self.sockets[socket].local {
            Some(local) => Ok(local),
            None => {
                let any = IpEndpoint::new(self.sockets[socket].family.unspecified(), 0);
                self.bind_to(socket, any)?;
                self.sockets[socket].local.ok_or(Errno::ADDRNOTAVAIL)
            }
        }
    }

    /// Moves a bound socket to another address of the same port.
    fn move_to(&mut self, socket: usize, endpoint: IpEndpoint) {
        let entry = &self.sockets[socket];
        let bound = crate::net::ports::Bound {
            socket,
            place: entry.place(endpoint),
            sharing: entry.options.sharing(),
        };
        let ports = self.ports(socket);
        ports.unbind(endpoint.port, socket);
        ports.bind(endpoint.port, bound);
        self.sockets[socket].local = Some(endpoint);
    }

    fn disconnect_udp(&mut self, socket: usize) -> Result<(), Errno> {
        let any = self.sockets[socket].family.unspecified();
        let udp = self.udp(socket)?;
        udp.peer = None;
        if core::mem::take(&mut udp.address_is_peers)
            && let Some(local) = self.sockets[socket].local
        {
            self.move_to(socket, IpEndpoint::new(any, local.port));
        }
        Ok(())
    }

    pub(super) fn connect_udp(&mut self, socket: usize, name: Name) -> Result<(), Errno> {
        if name == Name::None {
            return self.disconnect_udp(socket);
        }
        let peer = destination(self.sockets[socket].endpoint(name)?);
        if peer.port == 0 {
            return Err(Errno::ADDRNOTAVAIL);
        }
        let way = self.net.way_to(peer.addr).ok_or(Errno::HOSTUNREACH)?;
        self.disconnect_udp(socket)?;
        let local = self.bind_anywhere(socket)?;
        if !local.addr.is_unspecified() && local.addr.version() != peer.addr.version() {
            return Err(Errno::INVAL);
        }
        if local.addr.is_unspecified() {
            self.move_to(socket, IpEndpoint::new(way.source, local.port));
            self.udp(socket)?.address_is_peers = true;
        }
        self.udp(socket)?.peer = Some(peer);
        Ok(())
    }

    pub(super) fn send_udp(
        &mut self,
        socket: usize,
        data: &mut Reader<'_>,
        to: Option<Name>,
    ) -> Result<usize, Errno> {
        let entry = &mut self.sockets[socket];
        if entry.shut_write {
            return Err(Errno::PIPE);
        }
        if let Some(errno) = entry.error.take() {
            return Err(errno);
        }
        if data.left() > entry.options.send_buffer {
            return Err(Errno::MSGSIZE);
        }
        let peer = self.udp(socket)?.peer;
        let remote = match (peer, to) {
            (Some(_), Some(_)) => return Err(Errno::ISCONN),
            (Some(peer), None) => peer,
            (None, None) => return Err(Errno::DESTADDRREQ),
            (None, Some(name)) => destination(self.sockets[socket].endpoint(name)?),
        };
        let most = match remote.addr {
            IpAddress::Ipv4(_) => MOST_V4,
            IpAddress::Ipv6(_) => MOST_V6,
        };
        if data.left() > most {
            return Err(Errno::MSGSIZE);
        }
        if remote.port == 0 {
            return Err(Errno::ADDRNOTAVAIL);
        }
        let local = self.bind_anywhere(socket)?;
        let source = if local.addr.is_unspecified() {
            self.net
                .way_to(remote.addr)
                .ok_or(Errno::HOSTUNREACH)?
                .source
        } else {
            local.addr
        };
        if source.version() != remote.addr.version() {
            return Err(Errno::INVAL);
        }
        let options = &self.sockets[socket].options;
        let group = remote.addr.is_multicast();
        let interface = self.net.interface_for(source, remote.addr);
        if self.net.is_broadcast(remote.addr) && !options.flag(abi::SO_BROADCAST) {
            return Err(Errno::ACCES);
        }
        let interface = interface.ok_or(Errno::HOSTUNREACH)?;
        let headers = match remote.addr {
            IpAddress::Ipv4(_) => 28,
            IpAddress::Ipv6(_) => 48,
        };
        let link = &self.net.interfaces[interface];
        if link.vif.is_some() && data.left() + headers > link.mtu {
            return Err(self.lacks(format_args!("fragments of IP packets"), Errno::MSGSIZE));
        }
        let (looped, hops) = match remote.addr {
            _ if !group => (true, options.hops(self.sockets[socket].family)),
            IpAddress::Ipv4(_) => (options.multicast_loop_v4, options.multicast_ttl),
            IpAddress::Ipv6(_) => (options.multicast_loop_v6, options.multicast_hops_v6()),
        };
        if !looped && interface == LOOPBACK {
            // There is nobody else on this interface.
            return Ok(data.left());
        }
        let tuple = Tuple {
            local: IpEndpoint::new(source, local.port),
            remote,
        };
        Ok(self.send_datagram(interface, &tuple, hops, data))
    }

    /// `IP_ADD_MEMBERSHIP`, `IPV6_JOIN_GROUP`.
    pub(super) fn join_group(&mut self, socket: usize, group: IpAddress) -> Result<(), Errno> {
        if !group.is_multicast() {
            return Err(Errno::INVAL);
        }
        let groups = &mut self.udp(socket)?.groups;
        if groups.contains(&group) {
            return Err(Errno::ADDRINUSE);
        }
        groups.push(group);
        Ok(())
    }

    /// `IP_DROP_MEMBERSHIP`, `IPV6_LEAVE_GROUP`.
    pub(super) fn leave_group(&mut self, socket: usize, group: IpAddress) -> Result<(), Errno> {
        if !group.is_multicast() {
            return Err(Errno::INVAL);
        }
        let groups = &mut self.udp(socket)?.groups;
        let place = groups.iter().position(|other| *other == group);
        groups.swap_remove(place.ok_or(Errno::ADDRNOTAVAIL)?);
        Ok(())
    }
}

impl Guard {
    pub(super) fn receive_datagram(
        &mut self,
        lwp: &Lwp,
        file: File,
        socket: usize,
        out: &mut Writer<'_>,
        flags: c_int,
        nonblocking: bool,
    ) -> Result<Received, Errno> {
        let give_up = deadline(
            self.net.read_clock(),
            self.sockets[socket].options.receive_timeout,
        );
        let peek = flags & abi::MSG_PEEK != 0;
        loop {
            let udp = self.udp(socket)?;
            if let Some(datagram) = udp.queue.front() {
                let length = out.put(&datagram.data);
                let received = Received {
                    length,
                    from: Some(datagram.from),
                    truncated: length < datagram.data.len(),
                };
                if !peek && let Some(datagram) = udp.queue.pop_front() {
                    udp.queued -= datagram.data.len();
                }
                return Ok(received);
            }
            let entry = &mut self.sockets[socket];
            let error = if peek {
                entry.error
            } else {
                entry.error.take()
            };
            if let Some(errno) = error {
                return Err(errno);
            }
            if entry.shut_read {
                return Ok(Received::default());
            }
            if nonblocking || !self.wait_for(lwp, file.object, wait::READ, give_up)? {
                return Err(Errno::AGAIN);
            }
        }
    }
}

impl Family {
    /// What `IP_TTL` and `IPV6_UNICAST_HOPS` are unless they were set.
    pub(crate) const DEFAULT_HOPS: u8 = 64;
}
