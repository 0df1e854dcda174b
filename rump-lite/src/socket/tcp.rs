//! TCP sockets.

use super::address::{Name, destination};
use super::listener::Listener;
use super::{Protocol, Received, Socket};
use crate::file::File;
use crate::kernel::{Guard, Kernel};
use crate::lwp::Lwp;
use crate::net::Tuple;
use crate::net::connection::{Cause, Connection};
use crate::poll::Readiness;
use crate::user::{Reader, Writer};
use crate::wait;
use core::ffi::c_int;
use rump_abi as abi;
use rump_hyper::errno::Errno;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::IpEndpoint;

/// Less room than this is none, as long as more is to be sent (`SO_SNDLOWAT`).
const LOW_WATER: usize = 2048;

/// What a TCP socket is.
#[derive(Debug)]
pub(crate) enum Tcp {
    /// Neither connected nor listening.
    Closed,
    Listening(Listener),
    /// It has a connection, which may be in the making, or have ended.
    Connected(usize),
}

/// How much a socket keeps to be sent: `SO_SNDBUF`, as far as its connection was made with
/// a buffer for so much.
fn send_limit(socket: &Socket, connection: &Connection) -> usize {
    let room = connection.tcp().send_capacity();
    socket.options.send_buffer.min(room)
}

/// When a call with this timeout gives up.
pub(super) fn deadline(now: Instant, timeout: Option<Duration>) -> Option<Instant> {
    timeout.map(|timeout| now + timeout)
}

impl Kernel {
    fn connection_of(&self, socket: usize) -> Result<usize, Errno> {
        match &self.sockets[socket].protocol {
            Protocol::Tcp(Tcp::Connected(connection)) => Ok(*connection),
            _ => Err(Errno::NOTCONN),
        }
    }

    pub(super) fn tcp_readiness(&self, socket: &Socket, tcp: &Tcp) -> Readiness {
        let error = socket.error.map_or(0, |errno| errno.0);
        match tcp {
            Tcp::Closed => Readiness {
                readable: socket.shut_read || error != 0,
                read_end: socket.shut_read,
                error,
                ..Readiness::default()
            },
            Tcp::Listening(listener) => Readiness {
                readable: !listener.ready.is_empty(),
                read: listener.ready.len(),
                ..Readiness::default()
            },
            Tcp::Connected(connection) => {
                let connection = &self.net.connections[*connection];
                if connection.is_connecting() {
                    return Readiness::default();
                }
                let tcp = connection.tcp();
                let read = tcp.recv_queue();
                let limit = send_limit(socket, connection);
                let write = limit.saturating_sub(tcp.send_queue());
                let read_end = socket.shut_read || connection.is_at_end();
                let write_end = socket.shut_write || !tcp.may_send();
                Readiness {
                    readable: read > 0 || read_end || error != 0,
                    writable: write_end || error != 0 || write >= LOW_WATER.min(limit),
                    read,
                    write,
                    queued: tcp.send_queue(),
                    read_end,
                    write_end,
                    hangup: false,
                    error,
                }
            }
        }
    }

    /// The end of a socket: its connections go on as orphans, if at all.
    pub(super) fn close_tcp(&mut self, tcp: Tcp, reset: bool) {
        match tcp {
            Tcp::Closed => {}
            Tcp::Connected(connection) => self.orphan(connection, reset),
            Tcp::Listening(listener) => {
                for connection in listener.half_open.into_iter().chain(listener.ready) {
                    self.orphan(connection, true);
                }
            }
        }
    }

    pub(super) fn shutdown_tcp(
        &mut self,
        socket: usize,
        read: bool,
        write: bool,
    ) -> Result<(), Errno> {
        let id = self.connection_of(socket)?;
        let connection = &mut self.net.connections[id];
        if !connection.is_connected() {
            return Err(Errno::NOTCONN);
        }
        if read {
            connection.discard = true;
            let tcp = connection.tcp_mut();
            // There is no error as long as something is there.
            while tcp
                .recv(|data| (data.len(), data.len()))
                .is_ok_and(|length| length > 0)
            {}
            connection.note_read();
        }
        if write {
            connection.close();
        }
        self.pump(id, Cause::Local);
        self.run_network();
        Ok(())
    }

    /// The local end for a connection to `remote`.
    fn local_for(&mut self, socket: usize, remote: IpEndpoint) -> Result<IpEndpoint, Errno> {
        let bound = self.sockets[socket].local;
        let address = match bound {
            Some(local) if !local.addr.is_unspecified() => local.addr,
            _ => {
                self.net
                    .way_to(remote.addr)
                    .ok_or(Errno::HOSTUNREACH)?
                    .source
            }
        };
        if address.version() != remote.addr.version() {
            return Err(Errno::INVAL);
        }
        let tuple = |port| Tuple {
            local: IpEndpoint::new(address, port),
            remote,
        };
        match bound {
            Some(local) if self.net.is_connected(&tuple(local.port)) => Err(Errno::ADDRINUSE),
            Some(local) => Ok(tuple(local.port).local),
            None => {
                let range = self.range_for(socket);
                let port = self
                    .net
                    .choose_port(range, tuple)
                    .ok_or(Errno::ADDRNOTAVAIL)?;
                Ok(tuple(port).local)
            }
        }
    }
}

impl Guard {
    pub(super) fn connect_tcp(
        &mut self,
        lwp: &Lwp,
        file: File,
        socket: usize,
        name: Name,
    ) -> Result<(), Errno> {
        match &self.sockets[socket].protocol {
            Protocol::Tcp(Tcp::Listening(_)) => return Err(Errno::OPNOTSUPP),
            Protocol::Tcp(Tcp::Connected(id)) => {
                let connection = &self.net.connections[*id];
                if connection.is_connecting() {
                    return Err(Errno::ALREADY);
                }
                if !connection.is_closed() {
                    return Err(Errno::ISCONN);
                }
                self.forget_connection(socket);
            }
            _ => {}
        }
        let remote = destination(self.sockets[socket].endpoint(name)?);
        if remote.port == 0 {
            return Err(Errno::ADDRNOTAVAIL);
        }
        let group = remote.addr.is_multicast() || self.net.is_broadcast(remote.addr);
        if group || self.net.way_to(remote.addr).is_none() {
            return Err(Errno::HOSTUNREACH);
        }
        let local = self.local_for(socket, remote)?;
        let id = self.start_connection(Tuple { local, remote }, socket)?;
        if file.nonblocking {
            // What has become of it already is told by poll(2) and SO_ERROR.
            return Err(Errno::INPROGRESS);
        }
        while self.net.connections[id].is_connecting() {
            self.wait_for(lwp, file.object, wait::ANY, None)?;
        }
        match self.sockets[socket].error.take() {
            None if self.net.connections[id].is_closed() => Err(Errno::CONNABORTED),
            None => Ok(()),
            Some(errno) => {
                self.forget_connection(socket);
                Err(errno)
            }
        }
    }

    /// The socket's connection has ended, and it may try another one.
    fn forget_connection(&mut self, socket: usize) {
        if let Ok(id) = self.connection_of(socket) {
            self.net.remove(id);
        }
        let entry = &mut self.sockets[socket];
        entry.protocol = Protocol::Tcp(Tcp::Closed);
        entry.shut_read = false;
        entry.shut_write = false;
    }

    pub(super) fn send_tcp(
        &mut self,
        lwp: &Lwp,
        file: File,
        socket: usize,
        data: &mut Reader<'_>,
        nonblocking: bool,
    ) -> Result<usize, Errno> {
        let start = self.net.read_clock();
        let give_up = deadline(start, self.sockets[socket].options.send_timeout);
        let mut sent = 0;
        loop {
            if self.sockets[socket].shut_write {
                return Err(Errno::PIPE);
            }
            let id = self.connection_of(socket)?;
            let limit = send_limit(&self.sockets[socket], &self.net.connections[id]);
            let connection = &mut self.net.connections[id];
            if connection.is_connecting() {
                return Err(Errno::NOTCONN);
            }
            let tcp = connection.tcp_mut();
            if !tcp.may_send() {
                return Err(Errno::PIPE);
            }
            if data.left() == 0 {
                return Ok(sent);
            }
            let room = limit.saturating_sub(tcp.send_queue());
            if room >= LOW_WATER.min(limit).min(data.left()) {
                sent += data.take(room, |part| {
                    // All of it: the buffer is not smaller than the limit.
                    let _ = tcp.send_slice(part);
                });
                self.pump(id, Cause::Local);
                self.run_network();
                // What comes of it is for the next call to tell.
                if data.left() == 0 {
                    return Ok(sent);
                }
                continue;
            }
            let wait = !nonblocking && self.wait_for(lwp, file.object, wait::WRITE, give_up)?;
            self.net.read_clock();
            if !wait {
                return if sent > 0 {
                    Ok(sent)
                } else {
                    Err(Errno::AGAIN)
                };
            }
        }
    }

    pub(super) fn receive_tcp_data(
        &mut self,
        lwp: &Lwp,
        file: File,
        socket: usize,
        out: &mut Writer<'_>,
        flags: c_int,
        nonblocking: bool,
    ) -> Result<Received, Errno> {
        let start = self.net.read_clock();
        let give_up = deadline(start, self.sockets[socket].options.receive_timeout);
        let peek = flags & abi::MSG_PEEK != 0;
        let all = flags & abi::MSG_WAITALL != 0 && !peek;
        let mut received = Received::default();
        loop {
            if out.left() == 0 {
                self.connection_of(socket)?;
                return Ok(received);
            }
            let id = self.connection_of(socket)?;
            received.length += self.take_received(id, out, peek);
            if received.length > 0 && !(all && out.left() > 0) {
                return Ok(received);
            }
            let entry = &mut self.sockets[socket];
            let error = if peek {
                entry.error
            } else {
                entry.error.take()
            };
            match error {
                Some(errno) if received.length == 0 => return Err(errno),
                // The next call reports it.
                Some(_) => {
                    entry.error = error;
                    return Ok(received);
                }
                None => {}
            }
            if entry.shut_read || self.net.connections[id].is_at_end() {
                return Ok(received);
            }
            let wait = !nonblocking && self.wait_for(lwp, file.object, wait::READ, give_up)?;
            self.net.read_clock();
            if !wait {
                return if received.length > 0 {
                    Ok(received)
                } else {
                    Err(Errno::AGAIN)
                };
            }
        }
    }

    /// Hands over what a connection has received, and tells the other side of the room.
    fn take_received(&mut self, id: usize, out: &mut Writer<'_>, peek: bool) -> usize {
        let connection = &mut self.net.connections[id];
        let tcp = connection.tcp_mut();
        if peek {
            return tcp.peek(out.left()).map_or(0, |data| out.put(data));
        }
        let mut taken = 0;
        while out.left() > 0 && tcp.can_recv() {
            let part = tcp.recv(|data| {
                let length = out.put(data);
                (length, length)
            });
            match part {
                Ok(length) => taken += length,
                Err(_) => break,
            }
        }
        if taken > 0 {
            connection.note_read();
            self.pump(id, Cause::Local);
            self.run_network();
        }
        taken
    }

    /// `SO_LINGER`: waits until all is sent, at most so long.
    pub(crate) fn linger(&mut self, lwp: &Lwp, file: File, socket: usize) {
        let entry = &self.sockets[socket];
        let Some(seconds) = entry.options.linger.filter(|seconds| *seconds > 0) else {
            return;
        };
        let Ok(id) = self.connection_of(socket) else {
            return;
        };
        if file.nonblocking || self.net.connections[id].tcp().recv_queue() > 0 {
            return;
        }
        let end = self.net.read_clock() + Duration::from_secs(seconds.into());
        self.net.connections[id].close();
        self.pump(id, Cause::Local);
        self.run_network();
        while !self.net.connections[id].is_flushed() {
            if !matches!(
                self.wait_for(lwp, file.object, wait::ANY, Some(end)),
                Ok(true)
            ) {
                return;
            }
        }
    }
}
