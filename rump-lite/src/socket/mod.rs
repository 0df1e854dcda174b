//! Sockets: what TCP and UDP have in common.

pub(crate) mod address;
mod listener;
pub(crate) mod options;
mod tcp;
mod udp;
mod value;

pub(crate) use tcp::Tcp;
pub(crate) use udp::{Datagram, Udp};

use crate::boot::Settings;
use crate::file::{File, Object};
use crate::kernel::{Guard, Kernel};
use crate::lwp::Lwp;
use crate::net::ports;
use crate::net::ports::{Bound, Ports};
use crate::net::routing::RoutingSocket;
use crate::poll::Readiness;
use crate::process::Pid;
use crate::user::{Reader, Writer};
use crate::wait::{self, WaitQueue};
use address::{Family, Name};
use core::ffi::c_int;
use options::Options;
use rump_abi as abi;
use rump_hyper::errno::Errno;
use smoltcp::wire::IpEndpoint;

/// What a socket speaks.
#[derive(Debug)]
pub(crate) enum Protocol {
    Tcp(Tcp),
    Udp(Udp),
}

/// A socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) family: Family,
    pub(crate) options: Options,
    /// Where it is bound.
    pub(crate) local: Option<IpEndpoint>,
    /// The error that the next call reports.
    pub(crate) error: Option<Errno>,
    pub(crate) shut_read: bool,
    pub(crate) shut_write: bool,
    pub(crate) waiters: WaitQueue,
    pub(crate) protocol: Protocol,
}

/// What was received, besides the data.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Received {
    pub(crate) length: usize,
    /// Who sent it; not told for streams.
    pub(crate) from: Option<IpEndpoint>,
    /// Not all of it fitted.
    pub(crate) truncated: bool,
}

impl Socket {
    pub(crate) fn new(family: Family, protocol: Protocol, settings: &Settings) -> Self {
        Self {
            family,
            options: match protocol {
                Protocol::Tcp(_) => Options::for_tcp(settings),
                Protocol::Udp(_) => Options::for_udp(),
            },
            local: None,
            error: None,
            shut_read: false,
            shut_write: false,
            waiters: WaitQueue::default(),
            protocol,
        }
    }

    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self.protocol, Protocol::Tcp(_))
    }

    /// The address that a name given to this socket stands for.
    pub(crate) fn endpoint(&self, name: Name) -> Result<IpEndpoint, Errno> {
        self.family.endpoint(name, self.options.only_v6)
    }

    pub(crate) fn place(&self, endpoint: IpEndpoint) -> ports::Place {
        self.family.place(endpoint.addr, self.options.only_v6)
    }
}

impl Kernel {
    /// `socket(2)`.
    pub(crate) fn socket(
        &mut self,
        pid: Pid,
        domain: c_int,
        kind: c_int,
        protocol: c_int,
    ) -> Result<c_int, Errno> {
        let nonblocking = kind & abi::SOCK_NONBLOCK != 0;
        let close_on_exec = kind & abi::SOCK_CLOEXEC != 0;
        let no_signal = kind & abi::SOCK_NOSIGPIPE != 0;
        let kind = kind & !(abi::SOCK_NONBLOCK | abi::SOCK_CLOEXEC | abi::SOCK_NOSIGPIPE);
        let family = match domain {
            abi::AF_INET => Family::Inet,
            abi::AF_INET6 => Family::Inet6,
            abi::AF_LOCAL => {
                return Err(
                    self.lacks(format_args!("local sockets (AF_LOCAL)"), Errno::AFNOSUPPORT)
                );
            }
            abi::AF_ROUTE if kind == abi::SOCK_RAW => {
                self.room_for(pid, 1)?;
                let object = Object::Routing(self.routing.insert(RoutingSocket::default()));
                return self.open(pid, object, nonblocking, close_on_exec);
            }
            _ => {
                return Err(self.lacks(
                    format_args!("sockets of address family {domain}"),
                    Errno::AFNOSUPPORT,
                ));
            }
        };
        let wanted = match (kind, protocol) {
            (abi::SOCK_STREAM, 0 | abi::IPPROTO_TCP) => Protocol::Tcp(Tcp::Closed),
            (abi::SOCK_DGRAM, 0 | abi::IPPROTO_UDP) => Protocol::Udp(Udp::default()),
            (abi::SOCK_RAW, _) => {
                return Err(self.lacks(
                    format_args!("raw sockets (SOCK_RAW)"),
                    Errno::PROTONOSUPPORT,
                ));
            }
            (abi::SOCK_STREAM | abi::SOCK_DGRAM, _) => {
                return Err(self.lacks(
                    format_args!("protocol {protocol} for sockets of type {kind}"),
                    Errno::PROTONOSUPPORT,
                ));
            }
            _ => {
                return Err(self.lacks(format_args!("sockets of type {kind}"), Errno::PROTOTYPE));
            }
        };
        self.room_for(pid, 1)?;
        let mut socket = Socket::new(family, wanted, &self.settings);
        socket.options.set_flag(abi::SO_NOSIGPIPE, no_signal);
        let number = self.sockets.insert(socket);
        self.open(pid, Object::Socket(number), nonblocking, close_on_exec)
    }

    pub(crate) fn ports(&mut self, socket: usize) -> &mut Ports {
        if self.sockets[socket].is_tcp() {
            &mut self.net.tcp_ports
        } else {
            &mut self.net.udp_ports
        }
    }

    /// The ports that are handed out to a socket.
    pub(crate) fn range_for(&self, socket: usize) -> ports::Range {
        let [v4, v6] = self.settings.anonymous;
        match self.sockets[socket].family {
            Family::Inet => v4,
            Family::Inet6 => v6,
        }
    }

    /// `bind(2)`.
    pub(crate) fn bind(&mut self, socket: usize, name: Name) -> Result<(), Errno> {
        let entry = &self.sockets[socket];
        let endpoint = entry.endpoint(name)?;
        let unused = match &entry.protocol {
            Protocol::Tcp(tcp) => matches!(tcp, Tcp::Closed),
            Protocol::Udp(udp) => udp.peer.is_none(),
        };
        if entry.local.is_some() || !unused {
            return Err(Errno::INVAL);
        }
        let group = !entry.is_tcp() && endpoint.addr.is_multicast();
        if !endpoint.addr.is_unspecified() && !self.net.is_own(endpoint.addr) && !group {
            return Err(Errno::ADDRNOTAVAIL);
        }
        self.bind_to(socket, endpoint)
    }

    /// Binds to an address that is this host's; port 0 is any.
    pub(crate) fn bind_to(&mut self, socket: usize, mut endpoint: IpEndpoint) -> Result<(), Errno> {
        let entry = &self.sockets[socket];
        let bound = Bound {
            socket,
            place: entry.place(endpoint),
            sharing: entry.options.sharing(),
        };
        let range = self.range_for(socket);
        let ports = self.ports(socket);
        if endpoint.port == 0 {
            let port = ports.choose(range, |ports, port| !ports.has_connections(port));
            endpoint.port = port.ok_or(Errno::ADDRNOTAVAIL)?;
        } else if !ports.is_free(endpoint.port, bound.place, bound.sharing) {
            return Err(Errno::ADDRINUSE);
        }
        ports.bind(endpoint.port, bound);
        self.sockets[socket].local = Some(endpoint);
        Ok(())
    }

    /// `getsockname(2)`.
    pub(crate) fn local_address(&self, socket: usize) -> IpEndpoint {
        let entry = &self.sockets[socket];
        match &entry.protocol {
            Protocol::Tcp(Tcp::Connected(connection)) => {
                self.net.connections[*connection].tuple.local
            }
            _ => entry
                .local
                .unwrap_or(IpEndpoint::new(entry.family.unspecified(), 0)),
        }
    }

    /// `getpeername(2)`.
    pub(crate) fn peer_address(&self, socket: usize) -> Result<IpEndpoint, Errno> {
        match &self.sockets[socket].protocol {
            Protocol::Tcp(Tcp::Connected(connection)) => {
                let connection = &self.net.connections[*connection];
                connection.is_connected().then_some(connection.tuple.remote)
            }
            Protocol::Tcp(_) => None,
            Protocol::Udp(udp) => udp.peer,
        }
        .ok_or(Errno::NOTCONN)
    }

    /// What reading and writing would come to.
    pub(crate) fn socket_readiness(&self, socket: usize) -> Readiness {
        let entry = &self.sockets[socket];
        match &entry.protocol {
            Protocol::Tcp(tcp) => self.tcp_readiness(entry, tcp),
            Protocol::Udp(udp) => udp.readiness(entry),
        }
    }

    /// The last descriptor has been closed.
    pub(crate) fn close_socket(&mut self, socket: usize) {
        self.net.read_clock();
        if let Some(local) = self.sockets[socket].local {
            self.ports(socket).unbind(local.port, socket);
            self.net
                .port_is_left(self.sockets[socket].is_tcp(), local.port);
        }
        if let Some(entry) = self.sockets.remove(socket) {
            let reset = entry.options.linger == Some(0);
            if let Protocol::Tcp(tcp) = entry.protocol {
                self.close_tcp(tcp, reset);
            }
        }
        self.run_network();
    }

    /// `shutdown(2)`.
    pub(crate) fn shutdown(&mut self, socket: usize, how: c_int) -> Result<(), Errno> {
        let (read, write) = match how {
            abi::SHUT_RD => (true, false),
            abi::SHUT_WR => (false, true),
            abi::SHUT_RDWR => (true, true),
            _ => return Err(Errno::INVAL),
        };
        self.net.read_clock();
        if self.sockets[socket].is_tcp() {
            self.shutdown_tcp(socket, read, write)?;
        }
        let entry = &mut self.sockets[socket];
        entry.shut_read |= read;
        entry.shut_write |= write;
        self.notify(Object::Socket(socket), wait::ANY);
        Ok(())
    }
}

impl Guard {
    /// `connect(2)`.
    pub(crate) fn connect(
        &mut self,
        lwp: &Lwp,
        file: File,
        socket: usize,
        name: Name,
    ) -> Result<(), Errno> {
        self.net.read_clock();
        match self.sockets[socket].protocol {
            Protocol::Tcp(_) => self.connect_tcp(lwp, file, socket, name),
            Protocol::Udp(_) => self.connect_udp(socket, name),
        }
    }

    /// Sends; how much it was.
    pub(crate) fn send(
        &mut self,
        lwp: &Lwp,
        file: File,
        socket: usize,
        data: &mut Reader<'_>,
        to: Option<Name>,
        flags: c_int,
    ) -> Result<usize, Errno> {
        if flags & abi::MSG_OOB != 0 {
            return Err(self.lacks(format_args!("urgent data (MSG_OOB)"), Errno::OPNOTSUPP));
        }
        self.net.read_clock();
        let nonblocking = file.nonblocking || flags & abi::MSG_DONTWAIT != 0;
        match self.sockets[socket].protocol {
            Protocol::Tcp(_) => self.send_tcp(lwp, file, socket, data, nonblocking),
            Protocol::Udp(_) => self.send_udp(socket, data, to),
        }
    }

    /// Receives.
    pub(crate) fn receive_from(
        &mut self,
        lwp: &Lwp,
        file: File,
        socket: usize,
        out: &mut Writer<'_>,
        flags: c_int,
    ) -> Result<Received, Errno> {
        if flags & abi::MSG_OOB != 0 {
            return Err(self.lacks(format_args!("urgent data (MSG_OOB)"), Errno::OPNOTSUPP));
        }
        self.net.read_clock();
        let nonblocking = file.nonblocking || flags & abi::MSG_DONTWAIT != 0;
        match self.sockets[socket].protocol {
            Protocol::Tcp(_) => self.receive_tcp_data(lwp, file, socket, out, flags, nonblocking),
            Protocol::Udp(_) => self.receive_datagram(lwp, file, socket, out, flags, nonblocking),
        }
    }
}
