//! TAP interfaces: what stands behind them is an Ethernet interface of Linux.
//!
//! Frames carry a header of virtio-net (`IFF_VNET_HDR`), so that checksums and the
//! cutting up of TCP segments are left to Linux where it can, and the other way round.
//! A queue is a descriptor of its own (`IFF_MULTI_QUEUE`), and connections are spread over
//! them.
//!
//! Linux documents the interface in `Documentation/networking/tuntap.rst`, and the
//! header and flags in `linux/if_tun.h` and `linux/virtio_net.h`. Its header has the
//! layout of [`Offload`].

mod device;

use crate::errno::Errno;
use crate::vif::abi::Offload;
use crate::vif::flow;
use crate::vif::{Backend, Batch, Offloads, Statistics, Transmit};
use device::Queue;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::string::String;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::vec::Vec;

/// A TAP interface.
#[derive(Debug)]
pub struct Tap {
    name: String,
    queues: Vec<Queue>,
    gone: AtomicBool,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    send_drops: AtomicU64,
}

impl Tap {
    /// Opens the TAP interface of this name, or makes one that lasts as long as this
    /// does. With `%d` in it, Linux puts in the first number that is free.
    ///
    /// # Errors
    /// `EINVAL` for a name that is empty or longer than 15 bytes; `EPERM` without
    /// CAP_NET_ADMIN, unless the interface exists and is this user's; `EBUSY` if it is
    /// in use; `ENOENT` where there is no `/dev/net/tun`.
    pub fn open(name: &str) -> std::io::Result<Self> {
        Self::with_queues(name, 1)
    }

    /// The same with so many queues.
    ///
    /// # Errors
    /// As [`Tap::open`].
    pub fn with_queues(name: &str, queues: usize) -> std::io::Result<Self> {
        let (first, name) = Queue::open(name, queues > 1)?;
        let mut all = std::vec![first];
        for _ in 1..queues {
            all.push(Queue::open(&name, true)?.0);
        }
        Ok(Self {
            name,
            queues: all,
            gone: AtomicBool::new(false),
            counters: Counters::default(),
        })
    }

    /// The one whose descriptors somebody else has opened: those of [`files`](Self::files).
    ///
    /// # Errors
    /// There are none; no descriptor is left for waking; or they are no queues of a TAP
    /// interface.
    pub fn from_files(files: Vec<OwnedFd>) -> std::io::Result<Self> {
        let mut queues = Vec::new();
        let mut name = None;
        for file in files {
            let (queue, of) = Queue::of(file)?;
            queues.push(queue);
            name = Some(of);
        }
        Ok(Self {
            name: name.ok_or(std::io::ErrorKind::InvalidInput)?,
            queues,
            gone: AtomicBool::new(false),
            counters: Counters::default(),
        })
    }

    /// A descriptor for each queue. As long as one is open, the interface is there.
    pub fn files(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.queues.iter().map(Queue::file)
    }

    /// What Linux calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The queue for a frame: the same for all of a connection, whose answers Linux then
    /// brings through that queue too.
    fn queue_of(&self, frame: &Transmit<'_>) -> &Queue {
        match &self.queues[..] {
            [only] => only,
            queues => &queues[flow::hash(frame) as usize % queues.len()],
        }
    }

    fn is_gone(&self, error: &std::io::Error) -> bool {
        let gone = error.raw_os_error() == Some(libc::EBADFD);
        if gone {
            self.gone.store(true, Ordering::Relaxed);
        }
        gone
    }
}

impl Backend for Tap {
    fn offers(&self) -> Offloads {
        Offloads::ALL
    }

    fn set_receive_offloads(&self, offloads: Offloads) -> Result<(), Errno> {
        // It is a property of the interface, so one queue stands for all.
        self.queues[0]
            .set_offloads(offloads)
            .map_err(|error| super::errno::of(&error))
    }

    fn queues(&self) -> usize {
        self.queues.len()
    }

    fn link(&self) -> bool {
        !self.gone.load(Ordering::Relaxed)
    }

    fn receive(&self, queue: usize, batch: &mut Batch) -> Result<(), Errno> {
        let queue = &self.queues[queue];
        let mut frames = 0;
        while !batch.is_full() {
            let mut buffer = batch.buffer();
            let mut offload = Offload::default();
            match queue.read(&mut offload, &mut buffer) {
                Ok(len) => {
                    batch.push(buffer, len, offload);
                    frames += 1;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if frames > 0 || queue.wait() {
                        break;
                    }
                }
                // A frame that was too long for Linux's own idea, or the like.
                Err(error) if !self.is_gone(&error) && frames > 0 => break,
                Err(_) if !self.link() => return Err(Errno::NXIO),
                Err(error) => return Err(super::errno::of(&error)),
            }
        }
        self.counters.received.fetch_add(frames, Ordering::Relaxed);
        Ok(())
    }

    fn send(&self, _queue: usize, frames: &[Transmit<'_>]) -> Result<usize, Errno> {
        let mut sent = 0;
        for frame in frames {
            match self.queue_of(frame).write(frame) {
                Ok(()) => sent += 1,
                Err(error) if self.is_gone(&error) => return Err(Errno::NXIO),
                // Linux had no memory, or its interface is down.
                Err(_) => {
                    self.counters.send_drops.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        self.counters.sent.fetch_add(sent, Ordering::Relaxed);
        Ok(frames.len())
    }

    fn wake(&self) {
        for queue in &self.queues {
            queue.wake();
        }
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            received: self.counters.received.load(Ordering::Relaxed),
            sent: self.counters.sent.load(Ordering::Relaxed),
            send_drops: self.counters.send_drops.load(Ordering::Relaxed),
            ..Statistics::default()
        }
    }
}
