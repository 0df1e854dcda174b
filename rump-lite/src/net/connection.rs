//! A TCP connection: one of smoltcp's sockets in a set of its own, so that a segment
//! meets the one connection that it is for, whatever number of them there are.
//!
//! Connections outlive the sockets of programs: closing leaves an orphan, which ends by
//! itself; and they are there before, while they wait to be accepted.

use super::memory::{Buffer, Pool};
use super::{Stack, Tuple};
use crate::file::Object;
use crate::kernel::Kernel;
use crate::socket::options::Options;
use crate::socket::{Protocol, Tcp};
use crate::wait;
use rump_hyper::errno::Errno;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};

/// How long the two sides have to get to know each other (`TCPTV_KEEP_INIT`).
const PATIENCE: Duration = Duration::from_secs(75);
/// How long an orphan lives from which nothing has been heard.
const ORPHAN: Duration = Duration::from_secs(60);

/// Whose a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It will be accepted, or is being made for that.
    Listener(usize),
    Socket(usize),
    /// Its socket was closed.
    Nobody,
}

/// Why smoltcp was asked to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A segment has come.
    Segment,
    /// Time has passed.
    Timer,
    /// This side wants something.
    Local,
}

/// What can change in a connection and is of interest to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    state: State,
    received: usize,
    queued: usize,
}

/// A connection.
pub(crate) struct Connection {
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    buffers: [Buffer; 2],
    pub(crate) tuple: Tuple,
    pub(crate) interface: usize,
    pub(crate) owner: Owner,
    /// Whether segments find it.
    reachable: bool,
    /// What arrives is thrown away: reading was shut down.
    pub(crate) discard: bool,
    /// This side will send no more than what is in its buffer.
    closing: bool,
    /// Until when an orphan waits to hear something.
    give_up: Option<Instant>,
    seen: Look,
    /// Whether it stands in the list of those that have more to send.
    sending: bool,
    /// When it stands in the list of timers.
    timer: Option<Instant>,
}

impl Connection {
    #[allow(unsafe_code)]
    fn new(
        memory: &mut Pool,
        options: &Options,
        tuple: Tuple,
        interface: usize,
        owner: Owner,
    ) -> Result<Self, Errno> {
        let receive = memory.take(options.receive_buffer)?;
        let send = match memory.take(options.send_buffer) {
            Ok(send) => send,
            Err(errno) => {
                memory.give(receive);
                return Err(errno);
            }
        };
        // SAFETY: once each; `release` drops the socket before it gives them back.
        let mut socket =
            unsafe { tcp::Socket::new(receive.as_socket_buffer(), send.as_socket_buffer()) };
        socket.set_timeout(Some(PATIENCE));
        // Acknowledgements cost little here, and waiting for one costs a sender a lot.
        socket.set_ack_delay(None);
        let mut sockets = SocketSet::new(alloc::vec::Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Ok(Self {
            sockets,
            handle,
            buffers: [receive, send],
            tuple,
            interface,
            owner,
            reachable: true,
            discard: false,
            closing: false,
            give_up: None,
            seen: Look {
                state: State::Closed,
                received: 0,
                queued: 0,
            },
            sending: false,
            timer: None,
        })
    }

    fn release(self, memory: &mut Pool) {
        drop(self.sockets);
        for buffer in self.buffers {
            memory.give(buffer);
        }
    }

    /// As smoltcp's interface takes it.
    pub(crate) fn sockets(&mut self) -> &mut SocketSet<'static> {
        &mut self.sockets
    }

    #[inline]
    pub(crate) fn tcp(&self) -> &tcp::Socket<'static> {
        self.sockets.get(self.handle)
    }

    #[inline]
    pub(crate) fn tcp_mut(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    fn look(&self) -> Look {
        let tcp = self.tcp();
        Look {
            state: tcp.state(),
            received: tcp.recv_queue(),
            queued: tcp.send_queue(),
        }
    }

    /// Sends no more than what is in the buffer, and then a `FIN`.
    ///
    /// smoltcp is not told before the buffer is empty: in LAST-ACK it takes a segment
    /// that only opens the window for a duplicate, and what is left would never be sent.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        if self.tcp().send_queue() == 0 {
            self.tcp_mut().close();
        }
    }

    /// Its turn among those that have more to send has come.
    pub(super) fn note_turn(&mut self) {
        self.sending = false;
    }

    /// Its time in the list of timers has come: an orphan that heard nothing gives up.
    pub(super) fn note_due(&mut self, now: Instant) {
        self.timer = None;
        if self.give_up.is_some_and(|end| end <= now) {
            self.tcp_mut().abort();
        }
    }

    /// The program has read: what is left is known.
    pub(crate) fn note_read(&mut self) {
        self.seen.received = self.tcp().recv_queue();
    }

    /// Whether it was established, and has not ended in both directions.
    pub(crate) fn is_connected(&self) -> bool {
        !matches!(
            self.tcp().state(),
            State::Closed | State::TimeWait | State::SynSent | State::SynReceived | State::Listen
        )
    }

    pub(crate) fn is_connecting(&self) -> bool {
        matches!(self.tcp().state(), State::SynSent | State::SynReceived)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.tcp().state() == State::Closed
    }

    /// Whether the other side will send no more.
    pub(crate) fn is_at_end(&self) -> bool {
        matches!(
            self.tcp().state(),
            State::CloseWait | State::LastAck | State::Closing | State::TimeWait | State::Closed
        )
    }

    /// Whether the other side has acknowledged all that it will ever get.
    pub(crate) fn is_flushed(&self) -> bool {
        let waits = matches!(
            self.tcp().state(),
            State::FinWait1 | State::Closing | State::LastAck
        );
        self.is_closed() || (self.tcp().send_queue() == 0 && !waits)
    }
}

impl Stack {
    fn add(&mut self, connection: Connection) -> usize {
        let tuple = connection.tuple;
        self.time_wait.take_over(&tuple);
        self.tcp_ports.connection_begins(tuple.local.port);
        let id = self.connections.insert(connection);
        self.by_tuple.insert(tuple, id);
        id
    }

    /// The local ends of those that segments find.
    pub(super) fn local_ends(&self) -> impl Iterator<Item = IpEndpoint> {
        self.by_tuple.keys().map(|tuple| tuple.local)
    }

    /// From now on segments do not find it, and its addresses are free.
    fn hide(&mut self, id: usize) {
        let connection = &mut self.connections[id];
        self.timers.clear(id, &mut connection.timer);
        if core::mem::replace(&mut connection.reachable, false) {
            let tuple = connection.tuple;
            self.tcp_ports.connection_ends(tuple.local.port);
            self.by_tuple.remove(&tuple);
            self.port_is_left(true, tuple.local.port);
        }
    }

    /// Forgets a connection.
    pub(crate) fn remove(&mut self, id: usize) {
        self.hide(id);
        if let Some(connection) = self.connections.remove(id) {
            connection.release(&mut self.memory);
        }
    }
}

impl Kernel {
    /// Begins to connect a socket.
    pub(crate) fn start_connection(&mut self, tuple: Tuple, socket: usize) -> Result<usize, Errno> {
        let interface = self
            .net
            .way_to(tuple.remote.addr)
            .ok_or(Errno::HOSTUNREACH)?;
        let interface = interface.interface;
        let mut connection = Connection::new(
            &mut self.net.memory,
            &self.sockets[socket].options,
            tuple,
            interface,
            Owner::Socket(socket),
        )?;
        let context = self.net.interfaces[interface].context();
        let begun = connection
            .tcp_mut()
            .connect(context, tuple.remote, tuple.local);
        self.sockets[socket].options.apply(connection.tcp_mut());
        let id = self.net.add(connection);
        if begun.is_err() {
            self.net.remove(id);
            return Err(Errno::ADDRNOTAVAIL);
        }
        self.sockets[socket].protocol = Protocol::Tcp(Tcp::Connected(id));
        self.net.connections[id].seen.state = State::SynSent;
        self.pump(id, Cause::Local);
        self.run_network();
        Ok(id)
    }

    /// A `SYN` for a listener: makes a connection for it, unless too many wait already.
    pub(crate) fn listen_for(
        &mut self,
        tuple: Tuple,
        interface: usize,
        listener: usize,
    ) -> Option<usize> {
        let socket = &mut self.sockets[listener];
        let Protocol::Tcp(Tcp::Listening(waiting)) = &mut socket.protocol else {
            return None;
        };
        if waiting.is_full() {
            return None;
        }
        let connection = Connection::new(
            &mut self.net.memory,
            &socket.options,
            tuple,
            interface,
            Owner::Listener(listener),
        );
        let mut connection = connection.ok()?;
        let endpoint = IpListenEndpoint::from(tuple.local);
        connection.tcp_mut().listen(endpoint).ok()?;
        socket.options.apply(connection.tcp_mut());
        connection.seen.state = State::Listen;
        let id = self.net.add(connection);
        waiting.half_open.push_back(id);
        if let Some(surplus) = waiting.surplus() {
            self.net.remove(surplus);
        }
        Some(id)
    }

    /// The owner lets go: with data that nobody read, or if asked to, by a reset, else as
    /// soon as all has been sent.
    pub(crate) fn orphan(&mut self, id: usize, reset: bool) {
        let connection = &mut self.net.connections[id];
        connection.owner = Owner::Nobody;
        connection.give_up = Some(self.net.now + ORPHAN);
        let tcp = connection.tcp_mut();
        if reset || tcp.recv_queue() > 0 {
            tcp.abort();
        } else {
            connection.close();
        }
        self.pump(id, Cause::Local);
    }

    /// Has a connection send what it has to, and tells its owner what has become of it.
    pub(crate) fn pump(&mut self, id: usize, cause: Cause) {
        loop {
            let net = &mut self.net;
            let Some(connection) = net.connections.get_mut(id) else {
                return;
            };
            let interface = &mut net.interfaces[connection.interface];
            if connection.interface != super::LOOPBACK {
                let to = connection.tuple.remote.addr;
                interface.toward(to, net.routes.hop(connection.interface, to));
            }
            if connection.closing {
                connection.close();
            }
            // In TIME-WAIT there is an acknowledgement to be sent at most. smoltcp would
            // throw away what was received when that time is over.
            let mut more = false;
            if cause == Cause::Segment || connection.tcp().state() != State::TimeWait {
                more = interface.transmit(net.now, connection);
                net.outgoing |= connection.interface != super::LOOPBACK;
            }
            let after = connection.look();
            let before = core::mem::replace(&mut connection.seen, after);
            if connection.reachable && after.state != State::TimeWait {
                if cause == Cause::Segment && connection.give_up.is_some() {
                    connection.give_up = Some(net.now + ORPHAN);
                }
                let at = interface.poll_at(net.now, connection);
                let at = [at, connection.give_up].into_iter().flatten().min();
                if !more || at.is_none_or(|at| at > net.now) {
                    net.timers.set(id, &mut connection.timer, at);
                } else if !core::mem::replace(&mut connection.sending, true) {
                    net.senders.push_back(id);
                }
            }
            let again = match connection.owner {
                Owner::Socket(socket) => self.tell_socket(id, socket, before, after, cause),
                Owner::Listener(listener) => self.tell_listener(id, listener, before, after),
                Owner::Nobody => self.look_after_orphan(id, after),
            };
            if !again {
                return;
            }
        }
    }

    fn tell_socket(
        &mut self,
        id: usize,
        socket: usize,
        before: Look,
        after: Look,
        cause: Cause,
    ) -> bool {
        let connection = &mut self.net.connections[id];
        let mut events = 0;
        let mut again = false;
        if after.received > before.received {
            events |= wait::READ;
            if connection.discard {
                again = true;
                let tcp = connection.tcp_mut();
                // There is no error as long as something is there.
                while tcp
                    .recv(|data| (data.len(), data.len()))
                    .is_ok_and(|length| length > 0)
                {}
                connection.note_read();
            }
        }
        if after.queued < before.queued {
            events |= wait::WRITE;
        }
        if after.state != before.state {
            events |= wait::ANY;
            if matches!(after.state, State::Established | State::CloseWait) {
                connection.tcp_mut().set_timeout(None);
                self.sockets[socket].options.apply(connection.tcp_mut());
            }
            if after.state == State::Closed {
                self.net.hide(id);
                self.sockets[socket].error = match (cause, before.state) {
                    // Both sides have ended: the other may have forgotten it, and say so.
                    (Cause::Local, _) | (_, State::LastAck | State::Closing | State::TimeWait) => {
                        None
                    }
                    (Cause::Segment, State::SynSent) => Some(Errno::CONNREFUSED),
                    (Cause::Segment, _) => Some(Errno::CONNRESET),
                    (Cause::Timer, _) => Some(Errno::TIMEDOUT),
                };
            }
        }
        if events != 0 {
            self.notify(Object::Socket(socket), events);
        }
        again
    }

    fn tell_listener(&mut self, id: usize, listener: usize, before: Look, after: Look) -> bool {
        if after.state == before.state {
            return false;
        }
        let Protocol::Tcp(Tcp::Listening(waiting)) = &mut self.sockets[listener].protocol else {
            return false;
        };
        match after.state {
            State::SynReceived => false,
            // It ended before it began.
            State::Listen | State::Closed if waiting.forget_half_open(id) => {
                self.net.remove(id);
                false
            }
            // Reset while it waits: whoever accepts it is told.
            State::Closed => {
                self.net.hide(id);
                false
            }
            _ => {
                if waiting.forget_half_open(id) {
                    waiting.ready.push_back(id);
                    self.net.connections[id].tcp_mut().set_timeout(None);
                    self.notify(Object::Socket(listener), wait::READ);
                }
                false
            }
        }
    }

    fn look_after_orphan(&mut self, id: usize, now: Look) -> bool {
        match now.state {
            State::Closed => {
                self.net.remove(id);
                false
            }
            State::TimeWait => {
                let tuple = self.net.connections[id].tuple;
                self.net.remove(id);
                self.net.time_wait.insert(self.net.now, tuple);
                false
            }
            _ if now.received > 0 => {
                self.net.connections[id].tcp_mut().abort();
                true
            }
            _ => false,
        }
    }
}
