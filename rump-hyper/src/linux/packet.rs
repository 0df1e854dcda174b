//! Packet sockets: what stands behind an interface is one that Linux has already.
//!
//! The kernel has an address of its own on that network, and the interface of Linux is
//! promiscuous for as long; Linux's own stack goes on to use it. The two do not hear each
//! other: what Linux sends through the interface is for those beyond it.
//!
//! Frames come through a ring that is shared with Linux (TPACKET_V2): no system call is
//! made as long as there are any, and a frame is there as soon as it came (blocks of
//! TPACKET_V3 wait until they are full, or for milliseconds). Those that leave go out
//! many to a system call. All carry a header of virtio-net, so that nobody cuts up or
//! puts together segments that Linux has not: but what comes, comes as it pleases.
//!
//! Linux documents this in packet(7) and `Documentation/networking/packet_mmap.rst`, and
//! the layouts in `linux/if_packet.h`. Weak: there is one queue, and a link that is lost
//! by itself is noticed within half a second.

mod ring;
mod socket;

use super::wake::{Waited, Waker};
use crate::errno::Errno;
use crate::vif::{Backend, Batch, Offloads, Statistics, Transmit};
use core::time::Duration;
use ring::{Frame, Ring};
use socket::Socket;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::string::{String, ToString};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// An interface of Linux, through a packet socket.
#[derive(Debug)]
pub struct Packet {
    name: String,
    // Before the socket that it belongs to.
    ring: Mutex<Ring>,
    socket: Socket,
    waker: Waker,
    link: AtomicBool,
    received: AtomicU64,
    receive_drops: AtomicU64,
    sent: AtomicU64,
    send_drops: AtomicU64,
}

/// How often Linux is asked about the link while nothing comes.
const LOOK: Duration = Duration::from_millis(500);

impl Packet {
    /// Opens an interface by its name.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW; `ENODEV` if there is no such interface; `EINVAL` if
    /// it is no Ethernet; `ENOMEM` if there is no memory for the ring (16 MiB).
    pub fn open(name: &str) -> io::Result<Self> {
        let socket = Socket::open(name)?;
        let ring = Ring::map(&socket)?;
        // From here on frames come.
        socket.bind()?;
        Self::over(name, socket, ring)
    }

    /// The one whose socket somebody else has opened: that of [`file`](Self::file). Nobody else
    /// may take frames from it any more.
    ///
    /// # Errors
    /// It is no such socket; there is no memory, or no descriptor, left.
    pub fn from_file(name: &str, file: OwnedFd) -> io::Result<Self> {
        let socket = Socket::of(file)?;
        let ring = Ring::resume(&socket)?;
        Self::over(name, socket, ring)
    }

    /// Its socket.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn over(name: &str, socket: Socket, ring: Ring) -> io::Result<Self> {
        let link = socket.has_link()?;
        Ok(Self {
            name: name.to_string(),
            ring: Mutex::new(ring),
            socket,
            waker: Waker::new()?,
            link: AtomicBool::new(link),
            received: AtomicU64::new(0),
            receive_drops: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            send_drops: AtomicU64::new(0),
        })
    }

    /// What Linux calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks Linux about the link. It is an error if the interface is gone.
    fn look(&self) -> Result<(), Errno> {
        // The socket tells once that the interface went down.
        self.socket.take_error();
        let link = self.socket.has_link();
        self.link.store(matches!(link, Ok(true)), Ordering::Relaxed);
        link.map(drop).map_err(|_| Errno::NXIO)
    }

    /// Takes frames out of the ring; returns how many there were.
    fn take(&self, batch: &mut Batch) -> usize {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = 0;
        while !batch.is_full() {
            let mut buffer = batch.buffer();
            match ring.read(&mut buffer) {
                None => break,
                Some(Frame::Whole { len, offload }) => {
                    batch.push(buffer, len, offload);
                    self.received.fetch_add(1, Ordering::Relaxed);
                }
                Some(Frame::Lost) => {
                    self.receive_drops.fetch_add(1, Ordering::Relaxed);
                }
            }
            taken += 1;
        }
        taken
    }
}

impl Backend for Packet {
    fn offers(&self) -> Offloads {
        Offloads::ALL
    }

    fn link(&self) -> bool {
        self.link.load(Ordering::Relaxed)
    }

    fn receive(&self, _queue: usize, batch: &mut Batch) -> Result<(), Errno> {
        while self.take(batch) == 0 {
            match self.socket.wait(&self.waker, LOOK) {
                Waited::Woken => {
                    // There may be some all the same.
                    self.take(batch);
                    break;
                }
                Waited::Ready if self.take(batch) > 0 => break,
                // Something is the matter with the link, or might be.
                Waited::Ready | Waited::Timeout => {
                    let before = self.link();
                    self.look()?;
                    if before != self.link() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn send(&self, _queue: usize, frames: &[Transmit<'_>]) -> Result<usize, Errno> {
        let sent = self.socket.send(frames);
        let dropped = frames.len() - sent;
        self.sent.fetch_add(sent as u64, Ordering::Relaxed);
        self.send_drops.fetch_add(dropped as u64, Ordering::Relaxed);
        Ok(sent)
    }

    fn wake(&self) {
        self.waker.wake();
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            received: self.received.load(Ordering::Relaxed),
            receive_drops: self.receive_drops.load(Ordering::Relaxed) + self.socket.drops(),
            sent: self.sent.load(Ordering::Relaxed),
            send_drops: self.send_drops.load(Ordering::Relaxed),
        }
    }
}
