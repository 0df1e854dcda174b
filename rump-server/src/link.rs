//! Messages with descriptors between processes of the server, which trust each other: JSON
//! in datagrams over a pair of sockets (unix(7), SOCK_SEQPACKET).
#![allow(unsafe_code)]

use nix::cmsg_space;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    recvmsg, sendmsg, setsockopt, socketpair, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{Error, ErrorKind, IoSlice, IoSliceMut, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// The longest message.
const MOST: usize = 1 << 20;
/// The most descriptors in one.
const FILES: usize = 64;

/// One end.
#[derive(Debug)]
pub struct Link(OwnedFd);

impl Link {
    /// Both ends of a new one.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn pair() -> Result<(Self, Self)> {
        let kind = SockType::SeqPacket;
        let (a, b) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?;
        for end in [&a, &b] {
            // As much as the limit of the system allows does as well.
            let _ = setsockopt(end, sockopt::SndBuf, &MOST);
        }
        Ok((Self(a), Self(b)))
    }

    /// The end that is this descriptor.
    pub fn of(file: OwnedFd) -> Self {
        Self(file)
    }

    /// Its descriptor.
    pub fn into_file(self) -> OwnedFd {
        self.0
    }

    /// Has [`receive`](Self::receive) wait no longer than this.
    ///
    /// # Errors
    /// None that are known.
    pub fn set_patience(&self, time: Duration) -> Result<()> {
        let time = nix::sys::time::TimeVal::new(time.as_secs() as i64, time.subsec_micros().into());
        Ok(setsockopt(&self.0, sockopt::ReceiveTimeout, &time)?)
    }

    /// Sends a message; waits while there is no room.
    ///
    /// # Errors
    /// The other side is gone; the message is too long.
    pub fn send<T: Serialize>(&self, message: &T, files: &[BorrowedFd<'_>]) -> Result<()> {
        let text = serde_json::to_vec(message)?;
        let files: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&files)];
        let rights = if files.is_empty() {
            &[][..]
        } else {
            &rights[..]
        };
        let parts = [IoSlice::new(&text)];
        loop {
            match sendmsg::<UnixAddr>(
                self.0.as_raw_fd(),
                &parts,
                rights,
                MsgFlags::MSG_NOSIGNAL,
                None,
            ) {
                Err(nix::Error::EINTR) => {}
                other => return Ok(other.map(drop)?),
            }
        }
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// `UnexpectedEof` if the other side is gone; `WouldBlock` if it took too long;
    /// `InvalidData` if it is another message.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<(T, Vec<OwnedFd>)> {
        let mut text = vec![0; MOST];
        let mut space = cmsg_space!([RawFd; FILES]);
        let mut parts = [IoSliceMut::new(&mut text)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = loop {
            match recvmsg::<UnixAddr>(self.0.as_raw_fd(), &mut parts, Some(&mut space), flags) {
                Err(nix::Error::EINTR) => {}
                other => break other?,
            }
        };
        let mut files = Vec::new();
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(descriptors) = part {
                files.extend(descriptors.iter().map(|number| {
                    // SAFETY: a new descriptor, which is nobody else's.
                    unsafe { OwnedFd::from_raw_fd(*number) }
                }));
            }
        }
        let len = message.bytes;
        if len == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let message = serde_json::from_slice(&text[..len]);
        Ok((
            message.map_err(|error| Error::new(ErrorKind::InvalidData, error))?,
            files,
        ))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
