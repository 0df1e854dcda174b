//! The socket beside a cable: datagrams in order (SOCK_SEQPACKET), and a file with one of them.
//!
//! Nothing here waits: who has to wait does so with poll(2), for other things too.

use super::memory::wrong;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    UnixAddr, accept4, bind, connect, listen, recvmsg, sendmsg, socket,
};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::vec;
use std::vec::Vec;

/// A Unix socket of datagrams in order. It does not wait.
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// What has come over one.
#[derive(Debug)]
pub struct Message {
    /// How many bytes there are.
    pub len: usize,
    /// The file that came along.
    pub file: Option<OwnedFd>,
}

fn new() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        flags,
        None,
    )?)
}

impl Socket {
    /// Connects to one that listens.
    ///
    /// # Errors
    /// There is none, or this user may not; `WouldBlock` if too many want to.
    pub fn connect(place: &Path) -> Result<Self> {
        let fd = new()?;
        connect(fd.as_raw_fd(), &UnixAddr::new(place)?)?;
        Ok(Self(fd))
    }

    /// One that others can connect to. The file at this place must not be there.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn listen(place: &Path) -> Result<Self> {
        let fd = new()?;
        bind(fd.as_raw_fd(), &UnixAddr::new(place)?)?;
        listen(&fd, Backlog::MAXCONN)?;
        Ok(Self(fd))
    }

    /// The next who has connected.
    ///
    /// # Errors
    /// There are no descriptors.
    pub fn accept(&self) -> Result<Option<Self>> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        match accept4(self.0.as_raw_fd(), flags) {
            // SAFETY: a new descriptor, which is nobody else's.
            Ok(fd) => Ok(Some(Self(unsafe { OwnedFd::from_raw_fd(fd) }))),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a datagram, and a file with it.
    ///
    /// # Errors
    /// `WouldBlock` if the other side does not take what was sent before; it is gone.
    pub fn send(&self, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> Result<()> {
        let files = file.map(|file| [file.as_raw_fd()]);
        let files = files.as_ref().map(|files| ControlMessage::ScmRights(files));
        sendmsg::<UnixAddr>(
            self.0.as_raw_fd(),
            &[IoSlice::new(bytes)],
            files.as_slice(),
            MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        Ok(())
    }

    /// Takes a datagram, if there is one.
    ///
    /// # Errors
    /// `InvalidData` if it is longer than there is room for, or comes with several files;
    /// `UnexpectedEof` if the other side is gone, or has sent an empty one.
    pub fn receive(&self, bytes: &mut [u8]) -> Result<Option<Message>> {
        let mut space = cmsg_space!([RawFd; 4]);
        let mut parts = [IoSliceMut::new(bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
        let got = recvmsg::<UnixAddr>(self.0.as_raw_fd(), &mut parts, Some(&mut space), flags);
        let message = match got {
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            other => other?,
        };
        let mut files = Vec::new();
        // Whatever else there is with it was closed by Linux.
        for part in message.cmsgs().into_iter().flatten() {
            if let ControlMessageOwned::ScmRights(descriptors) = part {
                files.extend(descriptors.iter().map(|number| {
                    // SAFETY: a new descriptor, which is nobody else's.
                    unsafe { OwnedFd::from_raw_fd(*number) }
                }));
            }
        }
        let cut = MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC;
        if message.flags.intersects(cut) || files.len() > 1 {
            return Err(wrong("a datagram is too long, or has several files"));
        }
        if message.bytes == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(Message {
            len: message.bytes,
            file: files.pop(),
        }))
    }
}

impl From<OwnedFd> for Socket {
    /// One that is such already, which is to be set not to wait by whoever made it: here
    /// everything but [`accept`](Socket::accept) does not wait in any case.
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
