//! Packets that are not of TCP on their way to a link: smoltcp sends each as soon as it
//! knows the link's address of its receiver, which it asks for.

use super::interface::Interface;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::raw::{PacketBuffer, PacketMetadata, Socket};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::IpAddress;

/// So many may wait; the oldest give way.
const MOST: usize = 64;
/// How long one waits at most.
const PATIENCE: Duration = Duration::from_secs(3);

/// A packet, in a socket and a set of its own: another receiver is not waited for.
struct Packet {
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    until: Instant,
    to: IpAddress,
    /// Whom it is given to, if that is somebody else.
    hop: Option<IpAddress>,
}

#[derive(Default)]
pub(super) struct Pending(VecDeque<Packet>);

impl Pending {
    /// Adds an IP packet, whole but for the checksum of its header.
    pub(super) fn push(
        &mut self,
        now: Instant,
        bytes: Vec<u8>,
        to: IpAddress,
        hop: Option<IpAddress>,
    ) {
        let none = PacketBuffer::new(Vec::new(), Vec::new());
        let room = PacketBuffer::new(
            Vec::from([PacketMetadata::EMPTY]),
            alloc::vec![0; bytes.len()],
        );
        let mut socket = Socket::new(None, None, none, room);
        if socket.send_slice(&bytes).is_err() {
            return;
        }
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(Packet {
            sockets,
            handle,
            until: now + PATIENCE,
            to,
            hop,
        });
    }

    /// Sends what can be sent; when to try again.
    pub(super) fn retry(&mut self, now: Instant, link: &mut Interface) -> Option<Instant> {
        self.0.retain_mut(|packet| {
            link.toward(packet.to, packet.hop);
            link.send_waiting(now, &mut packet.sockets);
            let socket = packet.sockets.get::<Socket<'_>>(packet.handle);
            socket.send_queue() > 0 && packet.until > now
        });
        self.0
            .iter_mut()
            .filter_map(|packet| {
                link.toward(packet.to, packet.hop);
                link.waiting_at(now, &packet.sockets)
            })
            .min()
            .map(|at| at.max(now + Duration::from_millis(10)))
    }
}
