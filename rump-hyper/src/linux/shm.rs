//! A cable between two processes: memory that both have mapped, a [lane](crate::vif::lane)
//! each way.
//!
//! Frames are copied once in and once out, offloads and all, and no system call is made
//! while both sides are awake. One side makes the memory and offers it over a Unix socket;
//! the socket stays, as its end tells that the other side is gone.
//!
//! The other side is not trusted: the memory is sealed against being cut off
//! (memfd_create(2)), what it says of the lanes is checked, and what it says of frames is
//! by whoever takes them.
#![allow(unsafe_code)]

use super::mapping::Mapping;
use super::wake::{Waited, Waker};
use crate::errno::Errno;
use crate::vif::lane::{Broken, Receiver, Sender, size};
use crate::vif::{Backend, Batch, Offloads, Statistics, Transmit};
use core::fmt;
use nix::cmsg_space;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};
use rump_ring::Shared;
use std::fs::File;
use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Result};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::vec;
use std::vec::Vec;

/// So many bytes wait in each direction.
const DATA: usize = 4 << 20;
const MEMORY: usize = 2 * size(DATA);
/// What is sent along with the descriptors: what this is, and its version.
const GREETING: &[u8] = b"rump shm 1";
/// Sealed so, the memory is as long as it was for ever.
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW);

/// One end of a cable between two processes.
pub struct Shm {
    sender: Mutex<Sender>,
    receiver: Mutex<Receiver>,
    // What the lanes are in.
    _mapping: Mapping,
    socket: UnixStream,
    /// Wakes the other side, and this one.
    theirs: File,
    ours: File,
    waker: Waker,
    gone: AtomicBool,
    received: AtomicU64,
    sent: AtomicU64,
    send_drops: AtomicU64,
}

impl Shm {
    /// Makes a cable, and offers the other end to the process behind this socket.
    ///
    /// # Errors
    /// There is no memory, or there are no descriptors; the other side is gone.
    pub fn offer(socket: UnixStream) -> Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let memory = File::from(memfd_create(c"rump shm", flags)?);
        memory.set_len(MEMORY as u64)?;
        fcntl(
            &memory,
            FcntlArg::F_ADD_SEALS(SEALS | SealFlag::F_SEAL_SEAL),
        )?;
        let event = || EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC);
        let (ours, theirs) = (OwnedFd::from(event()?), OwnedFd::from(event()?));
        let files: [RawFd; 3] = [memory.as_raw_fd(), theirs.as_raw_fd(), ours.as_raw_fd()];
        sendmsg::<UnixAddr>(
            socket.as_raw_fd(),
            &[IoSlice::new(GREETING)],
            &[ControlMessage::ScmRights(&files)],
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        Self::new(&memory, socket, ours, theirs, [0, size(DATA)])
    }

    /// Takes the end that another process offers. Waits for it as long as the socket does
    /// ([`UnixStream::set_read_timeout`]).
    ///
    /// # Errors
    /// `InvalidData` if something else is offered; the other side is gone.
    pub fn accept(socket: UnixStream) -> Result<Self> {
        let mut greeting = [0; GREETING.len()];
        let mut space = cmsg_space!([RawFd; 3]);
        let mut parts = [IoSliceMut::new(&mut greeting)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        let mut files = Vec::new();
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(descriptors) = part {
                files.extend(descriptors.iter().map(|number| {
                    // SAFETY: a new descriptor, which is nobody else's.
                    unsafe { OwnedFd::from_raw_fd(*number) }
                }));
            }
        }
        let wrong = |what| Error::new(ErrorKind::InvalidData, what);
        if message.bytes != GREETING.len() || greeting != GREETING {
            return Err(wrong("the other side offers no cable"));
        }
        let [memory, ours, theirs] = <[OwnedFd; 3]>::try_from(files)
            .map_err(|_| wrong("the other side offers no three descriptors"))?;
        let memory = File::from(memory);
        let seals = fcntl(&memory, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_truncate);
        let sealed = seals.is_ok_and(|seals| seals.contains(SEALS));
        if !sealed || memory.metadata()?.len() != MEMORY as u64 {
            return Err(wrong(
                "the other side's memory is not sealed, or not as long",
            ));
        }
        for file in [&ours, &theirs] {
            // Whatever it is, nobody waits for it.
            fcntl(file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Self::new(&memory, socket, ours, theirs, [size(DATA), 0])
    }

    fn new(
        memory: &File,
        socket: UnixStream,
        ours: OwnedFd,
        theirs: OwnedFd,
        [send, receive]: [usize; 2],
    ) -> Result<Self> {
        let mapping = Mapping::new(memory.as_fd(), MEMORY)?;
        // SAFETY: mapped as long as this, and nobody has a reference to it.
        let memory = unsafe { Shared::new(mapping.start(), MEMORY) };
        Ok(Self {
            sender: Mutex::new(Sender::new(memory, send, DATA)),
            receiver: Mutex::new(Receiver::new(memory, receive, DATA)),
            _mapping: mapping,
            socket,
            theirs: theirs.into(),
            ours: ours.into(),
            waker: Waker::new()?,
            gone: AtomicBool::new(false),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            send_drops: AtomicU64::new(0),
        })
    }

    /// Takes what there is; whether one may sleep then.
    fn take(&self, batch: &mut Batch) -> core::result::Result<bool, Broken> {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        while !batch.is_full() {
            let mut buffer = batch.buffer();
            let Some((len, offload)) = receiver.receive(&mut buffer)? else {
                break;
            };
            batch.push(buffer, len, offload);
        }
        let came = batch.frames().len();
        self.received.fetch_add(came as u64, Ordering::Relaxed);
        Ok(came == 0 && receiver.may_sleep()?)
    }

    /// Whether the other side is gone: it has closed the socket, on which it has nothing
    /// to say.
    fn is_gone(&self) -> bool {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
        let heard = nix::sys::socket::recv(self.socket.as_raw_fd(), &mut [0], flags);
        let gone = heard != Err(nix::Error::EAGAIN);
        self.gone.store(gone, Ordering::Relaxed);
        gone
    }
}

impl From<Broken> for Errno {
    fn from(Broken: Broken) -> Self {
        Self::BADMSG
    }
}

impl Backend for Shm {
    fn offers(&self) -> Offloads {
        Offloads::ALL
    }

    fn link(&self) -> bool {
        !self.gone.load(Ordering::Relaxed)
    }

    /// # Errors
    /// `ENXIO` if the other side is gone; `EBADMSG` if it is broken.
    fn receive(&self, _queue: usize, batch: &mut Batch) -> core::result::Result<(), Errno> {
        loop {
            if !self.take(batch)? {
                if batch.is_empty() {
                    continue;
                }
                return Ok(());
            }
            let waited = self
                .waker
                .wait_either(self.ours.as_fd(), self.socket.as_fd());
            let _ = nix::unistd::read(&self.ours, &mut [0; 8]);
            if waited == Waited::Woken {
                return Ok(());
            }
            if self.is_gone() && self.take(batch)? {
                return Err(Errno::NXIO);
            }
        }
    }

    /// # Errors
    /// `ENXIO` if the other side is gone; `EBADMSG` if it is broken.
    fn send(&self, _queue: usize, frames: &[Transmit<'_>]) -> core::result::Result<usize, Errno> {
        if !self.link() {
            return Err(Errno::NXIO);
        }
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = sender.send(frames)?;
        let must_wake = sender.must_wake();
        drop(sender);
        if must_wake {
            // It cannot be full but of such.
            let _ = nix::unistd::write(&self.theirs, &1u64.to_ne_bytes());
        }
        self.sent.fetch_add(sent as u64, Ordering::Relaxed);
        let dropped = (frames.len() - sent) as u64;
        self.send_drops.fetch_add(dropped, Ordering::Relaxed);
        Ok(sent)
    }

    fn wake(&self) {
        self.waker.wake();
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            send_drops: self.send_drops.load(Ordering::Relaxed),
            ..Statistics::default()
        }
    }
}

impl fmt::Debug for Shm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shm")
            .field("link", &self.link())
            .finish_non_exhaustive()
    }
}
