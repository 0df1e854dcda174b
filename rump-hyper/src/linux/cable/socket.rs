//! The socket beside a cable: datagrams in order (SOCK_SEQPACKET), and a file with one of them; or
//! a [`Wire`], which is the same elsewhere.
//!
//! Nothing here waits: who has to wait does so with poll(2), for other things too.

use super::memory::wrong;
use super::{End, Shape, Wire};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, SockFlag,
    SockType, UnixAddr, accept4, bind, connect, getsockopt, listen, recvmsg, sendmsg, shutdown,
    socket, sockopt::PeerCredentials,
};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

/// A Unix socket of datagrams in order, or what stands for one. It does not wait. Clones are the
/// same one, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct Socket(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Unix(Arc<OwnedFd>),
    Wire(Arc<dyn Wire>),
}

/// Who is at the other end of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The user.
    pub user: u32,
    /// The process, as it was when it connected, if it is one of this machine.
    pub process: Option<i32>,
}

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
        Ok(fd.into())
    }

    /// One that others can connect to. The file at this place must not be there.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn listen(place: &Path) -> Result<Self> {
        let fd = new()?;
        bind(fd.as_raw_fd(), &UnixAddr::new(place)?)?;
        listen(&fd, Backlog::MAXCONN)?;
        Ok(fd.into())
    }

    /// What stands for one elsewhere.
    pub fn of(wire: Arc<dyn Wire>) -> Self {
        Self(Kind::Wire(wire))
    }

    /// The next who has connected.
    ///
    /// # Errors
    /// There are no descriptors; `Unsupported` where nobody connects to it.
    pub fn accept(&self) -> Result<Option<Self>> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        match accept4(self.unix()?.as_raw_fd(), flags) {
            // SAFETY: a new descriptor, which is nobody else's.
            Ok(fd) => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }.into())),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNABORTED) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn unix(&self) -> Result<&OwnedFd> {
        match &self.0 {
            Kind::Unix(fd) => Ok(fd),
            Kind::Wire(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// None that are known.
    pub fn peer(&self) -> Result<Peer> {
        match &self.0 {
            Kind::Wire(wire) => Ok(Peer {
                user: wire.user(),
                process: None,
            }),
            Kind::Unix(fd) => {
                let peer = getsockopt(fd, PeerCredentials)?;
                Ok(Peer {
                    user: peer.uid(),
                    process: Some(peer.pid()).filter(|process| *process > 0),
                })
            }
        }
    }

    /// Makes the memory of a new cable to the other side, and this end of it. Where it is in a
    /// [file](End::file), that is to be sent with a datagram; else the other side finds it when
    /// the next one has come.
    ///
    /// # Errors
    /// There is no memory, or there are no descriptors.
    pub fn make(&self, shape: Shape, huge: bool) -> Result<End> {
        match &self.0 {
            Kind::Wire(wire) => wire.make(shape),
            Kind::Unix(_) if huge => End::make_huge(shape),
            Kind::Unix(_) => End::make(shape),
        }
    }

    /// The other end of a cable of which this message tells.
    ///
    /// # Errors
    /// `InvalidData` if there is none of this shape.
    pub fn map(&self, message: Message, shape: Shape) -> Result<End> {
        match (&self.0, message.file) {
            (Kind::Wire(wire), None) => wire.map(shape),
            (Kind::Unix(_), Some(file)) => End::map(file, shape),
            _ => Err(wrong("there is no memory with it")),
        }
    }

    /// Nothing goes over it any more, in either direction.
    pub fn shut_down(&self) {
        match &self.0 {
            Kind::Wire(wire) => wire.shut_down(),
            Kind::Unix(fd) => {
                // One whose other end is gone is as good as shut down.
                let _ = shutdown(fd.as_raw_fd(), Shutdown::Both);
            }
        }
    }

    /// By which event of its descriptor there is room again.
    pub fn room(&self) -> PollFlags {
        match &self.0 {
            Kind::Unix(_) => PollFlags::POLLOUT,
            Kind::Wire(_) => PollFlags::POLLIN,
        }
    }

    /// Sends a datagram, and a file with it.
    ///
    /// # Errors
    /// `WouldBlock` if the other side does not take what was sent before; it is gone;
    /// `Unsupported` for a file where there are none.
    pub fn send(&self, bytes: &[u8], file: Option<BorrowedFd<'_>>) -> Result<()> {
        if let (Kind::Wire(wire), None) = (&self.0, file) {
            return wire.send(bytes);
        }
        let files = file.map(|file| [file.as_raw_fd()]);
        let files = files.as_ref().map(|files| ControlMessage::ScmRights(files));
        sendmsg::<UnixAddr>(
            self.unix()?.as_raw_fd(),
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
        let fd = match &self.0 {
            Kind::Unix(fd) => fd.as_raw_fd(),
            Kind::Wire(wire) => {
                let len = wire.receive(bytes)?;
                return Ok(len.map(|len| Message { len, file: None }));
            }
        };
        let mut space = cmsg_space!([RawFd; 4]);
        let mut parts = [IoSliceMut::new(bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
        let got = recvmsg::<UnixAddr>(fd, &mut parts, Some(&mut space), flags);
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
        Self(Kind::Unix(Arc::new(fd)))
    }
}

/// What is to be waited for: that something can be received, and [room](Socket::room).
impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::Unix(fd) => fd.as_fd(),
            Kind::Wire(wire) => wire.file(),
        }
    }
}
