//! TCP sockets that connections are made to: `listen(2)` and `accept(2)`.

use super::tcp::Tcp;
use super::{Protocol, Socket};
use crate::file::{File, Object};
use crate::kernel::{Guard, Kernel};
use crate::lwp::Lwp;
use crate::net::connection::Owner;
use crate::wait;
use alloc::collections::VecDeque;
use core::ffi::c_int;
use rump_abi as abi;
use rump_hyper::errno::Errno;
use smoltcp::wire::IpEndpoint;

/// Connections on their way to be accepted.
#[derive(Debug)]
pub(crate) struct Listener {
    limit: usize,
    /// In the making, the oldest first.
    pub(crate) half_open: VecDeque<usize>,
    pub(crate) ready: VecDeque<usize>,
}

impl Listener {
    /// Whether no more may wait; half as many again as was asked for, as in BSD.
    pub(crate) fn is_full(&self) -> bool {
        self.ready.len() > self.limit * 3 / 2
    }

    /// The oldest that is still in the making, if there are too many: a flood of `SYN`s
    /// pushes itself out, not those who come later.
    pub(crate) fn surplus(&mut self) -> Option<usize> {
        if self.half_open.len() > self.limit {
            self.half_open.pop_front()
        } else {
            None
        }
    }

    /// Whether that was one of those in the making.
    pub(crate) fn forget_half_open(&mut self, connection: usize) -> bool {
        match self.half_open.iter().position(|other| *other == connection) {
            Some(place) => {
                self.half_open.remove(place);
                true
            }
            None => false,
        }
    }
}

impl Kernel {
    /// `listen(2)`.
    pub(crate) fn listen(&mut self, socket: usize, backlog: c_int) -> Result<(), Errno> {
        let entry = &mut self.sockets[socket];
        let limit = backlog.clamp(0, abi::SOMAXCONN) as usize;
        match &mut entry.protocol {
            Protocol::Udp(_) => return Err(Errno::OPNOTSUPP),
            Protocol::Tcp(Tcp::Connected(_)) => return Err(Errno::INVAL),
            Protocol::Tcp(Tcp::Listening(listener)) => {
                listener.limit = limit;
                return Ok(());
            }
            Protocol::Tcp(Tcp::Closed) => {}
        }
        if entry.local.is_none() {
            let any = IpEndpoint::new(entry.family.unspecified(), 0);
            self.bind_to(socket, any)?;
        }
        self.sockets[socket].protocol = Protocol::Tcp(Tcp::Listening(Listener {
            limit,
            half_open: VecDeque::new(),
            ready: VecDeque::new(),
        }));
        Ok(())
    }
}

impl Guard {
    /// `accept(2)`: the new descriptor and the address of its peer.
    pub(crate) fn accept(
        &mut self,
        lwp: &Lwp,
        file: File,
        socket: usize,
        nonblocking: bool,
        close_on_exec: bool,
    ) -> Result<(c_int, IpEndpoint), Errno> {
        loop {
            let Protocol::Tcp(Tcp::Listening(listener)) = &mut self.sockets[socket].protocol else {
                return Err(Errno::INVAL);
            };
            if !listener.ready.is_empty() {
                break;
            }
            if file.nonblocking {
                return Err(Errno::AGAIN);
            }
            self.wait_for(lwp, file.object, wait::READ, None)?;
        }
        self.room_for(lwp.pid, 1)?;
        let Protocol::Tcp(Tcp::Listening(listener)) = &mut self.sockets[socket].protocol else {
            return Err(Errno::INVAL);
        };
        let id = listener.ready.pop_front().ok_or(Errno::AGAIN)?;
        if self.net.connections[id].is_closed() {
            self.net.remove(id);
            return Err(Errno::CONNABORTED);
        }
        let entry = &self.sockets[socket];
        let mut new = Socket::new(
            entry.family,
            Protocol::Tcp(Tcp::Connected(id)),
            &self.settings,
        );
        new.options = entry.options.clone();
        let new = self.sockets.insert(new);
        let connection = &mut self.net.connections[id];
        connection.owner = Owner::Socket(new);
        let peer = connection.tuple.remote;
        let fd = self.open(lwp.pid, Object::Socket(new), nonblocking, close_on_exec)?;
        Ok((fd, peer))
    }
}
