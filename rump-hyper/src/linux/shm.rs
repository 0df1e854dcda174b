//! A cable between two processes that know each other, over a Unix socket.
//!
//! One side makes the [memory](super::cable) and offers it over the socket; the socket stays,
//! as its end tells that the other side is gone. Neither waits for room: frames for which there
//! is none are dropped, as two that wait for each other would wait long.
#![allow(unsafe_code)]

use super::cable::{End, Shape};
use crate::errno::Errno;
use crate::vif::{Backend, Batch, Offloads, Statistics, Transmit};
use core::fmt;
use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recv, recvmsg, sendmsg,
};
use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Result};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::string::ToString;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

/// So many bytes wait in each direction.
const DATA: u32 = 4 << 20;
/// What is sent along with the memory: what this is, and its version.
const GREETING: &[u8] = b"rump shm 2";

/// One end of a cable between two processes.
pub struct Shm {
    end: Arc<End>,
    socket: UnixStream,
}

fn shape() -> Result<Shape> {
    Shape::new(1, DATA).ok_or_else(|| ErrorKind::InvalidInput.into())
}

impl Shm {
    /// Makes a cable, and offers the other end to the process behind this socket.
    ///
    /// # Errors
    /// There is no memory, or there are no descriptors or threads; the other side is gone.
    pub fn offer(socket: UnixStream) -> Result<Self> {
        let end = End::make(shape()?)?;
        let file = end.file().ok_or(ErrorKind::InvalidInput)?;
        let files: [RawFd; 1] = [file.as_raw_fd()];
        sendmsg::<UnixAddr>(
            socket.as_raw_fd(),
            &[IoSlice::new(GREETING)],
            &[ControlMessage::ScmRights(&files)],
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        Self::new(end, socket)
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
        let [memory] = <[OwnedFd; 1]>::try_from(files)
            .map_err(|_| wrong("the other side offers no descriptor, or several"))?;
        Self::new(End::map(memory, shape()?)?, socket)
    }

    fn new(end: End, socket: UnixStream) -> Result<Self> {
        let end = Arc::new(end);
        let (watched, heard) = (Arc::clone(&end), socket.try_clone()?);
        heard.set_read_timeout(None)?;
        std::thread::Builder::new()
            .name("shm".to_string())
            .spawn(move || {
                // It has nothing to say, so whatever there is means that it is gone.
                let flags = MsgFlags::MSG_PEEK;
                while recv(heard.as_raw_fd(), &mut [0], flags) == Err(nix::Error::EINTR) {}
                watched.close();
            })?;
        Ok(Self { end, socket })
    }
}

impl Drop for Shm {
    fn drop(&mut self) {
        // For the other side, and for the thread that listens to it.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Backend for Shm {
    fn offers(&self) -> Offloads {
        self.end.offers()
    }

    fn link(&self) -> bool {
        self.end.link()
    }

    /// # Errors
    /// `ENXIO` if the other side is gone; `EBADMSG` if it is broken.
    fn receive(&self, queue: usize, batch: &mut Batch) -> core::result::Result<(), Errno> {
        Backend::receive(&*self.end, queue, batch)
    }

    /// # Errors
    /// `ENXIO` if the other side is gone; `EBADMSG` if it is broken.
    fn send(&self, queue: usize, frames: &[Transmit<'_>]) -> core::result::Result<usize, Errno> {
        Backend::send(&*self.end, queue, frames)
    }

    fn wake(&self) {
        self.end.wake();
    }

    fn statistics(&self) -> Statistics {
        self.end.statistics()
    }
}

impl fmt::Debug for Shm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shm")
            .field("link", &self.link())
            .finish_non_exhaustive()
    }
}
