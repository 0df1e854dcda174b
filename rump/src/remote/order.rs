//! What goes over a client's connection: orders of 16 bytes, and an answer of as many to each.

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// What a client says first. Both sides have to be of one version: it is one program's
/// matter, and the numbers of calls are not fixed.
pub(super) const HELLO: &[u8] = concat!("rump-remote ", env!("CARGO_PKG_VERSION"), "\n").as_bytes();

/// What that begins with in any version.
pub(super) const NAME: &[u8] = b"rump-remote";

const LENGTH: usize = 16;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// To be a process of its own. The first order is this or the next.
    Begin,
    /// To be the process that was made by an order to fork.
    Continue(u64),
    /// A segment, and somebody who works for it; the answer has its descriptor.
    Work,
    /// A process that is a copy of this one, for a child; the answer is a number that
    /// nobody guesses.
    Fork,
    /// The same, for a program that takes this process's place: without the descriptors that
    /// are closed then.
    Execute,
    /// To close all that it has, and to know when that is done. It is the last order.
    End,
}

impl Order {
    fn encode(self) -> [u8; LENGTH] {
        let (kind, number) = match self {
            Self::Begin => (1u64, 0),
            Self::Continue(child) => (2, child),
            Self::Work => (3, 0),
            Self::Fork => (4, 0),
            Self::End => (5, 0),
            Self::Execute => (6, 0),
        };
        pair(kind, number)
    }

    /// Reads one; `None` at the end.
    pub(super) fn read(mut stream: &UnixStream) -> io::Result<Option<Self>> {
        let mut bytes = [0; LENGTH];
        if stream.read(&mut bytes[..1])? == 0 {
            return Ok(None);
        }
        stream.read_exact(&mut bytes[1..])?;
        Ok(Some(match parts(&bytes) {
            (1, 0) => Self::Begin,
            (2, child) => Self::Continue(child),
            (3, 0) => Self::Work,
            (4, 0) => Self::Fork,
            (5, 0) => Self::End,
            (6, 0) => Self::Execute,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "no such order")),
        }))
    }

    /// Gives the order, and waits for the answer: a number, and perhaps a descriptor.
    pub(super) fn give(self, mut stream: &UnixStream) -> io::Result<(u64, Option<OwnedFd>)> {
        stream.write_all(&self.encode())?;
        let mut bytes = [0; LENGTH];
        let mut space = cmsg_space!([RawFd; 1]);
        let (mut length, fd) = {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
            let mut fds = message.cmsgs()?.filter_map(|one| match one {
                ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
                _ => None,
            });
            (message.bytes, fds.next().map(own))
        };
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while length < LENGTH {
            match stream.read(&mut bytes[length..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => length += more,
            }
        }
        match parts(&bytes) {
            (0, number) => Ok((number, fd)),
            (errno, _) => Err(io::Error::from_raw_os_error(errno as i32)),
        }
    }
}

/// Answers an order.
pub(super) fn answer(
    mut stream: &UnixStream,
    answer: io::Result<(u64, Option<OwnedFd>)>,
) -> io::Result<()> {
    match answer {
        Ok((number, None)) => stream.write_all(&pair(0, number)),
        Ok((number, Some(fd))) => {
            let (bytes, fds) = (pair(0, number), [fd.as_raw_fd()]);
            let rights = [ControlMessage::ScmRights(&fds)];
            let parts = [IoSlice::new(&bytes)];
            let flags = MsgFlags::MSG_NOSIGNAL;
            // 16 bytes after what was read: they go as a whole.
            sendmsg::<()>(stream.as_raw_fd(), &parts, &rights, flags, None)?;
            Ok(())
        }
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            stream.write_all(&pair(errno.unsigned_abs().into(), 0))
        }
    }
}

fn pair(one: u64, other: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&one.to_ne_bytes());
    bytes[8..].copy_from_slice(&other.to_ne_bytes());
    bytes
}

fn parts(bytes: &[u8; LENGTH]) -> (u64, u64) {
    let half = |from: usize| {
        let mut half = [0; 8];
        half.copy_from_slice(&bytes[from..from + 8]);
        u64::from_ne_bytes(half)
    };
    (half(0), half(8))
}

#[allow(unsafe_code)]
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: it has just come with a message, and is nobody else's.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_arrive_as_they_were_given() {
        let (client, kernel) = UnixStream::pair().unwrap();
        let orders = [
            Order::Begin,
            Order::Continue(u64::MAX),
            Order::Work,
            Order::Fork,
            Order::Execute,
            Order::End,
        ];
        let other = std::thread::spawn(move || {
            for order in orders {
                assert_eq!(Order::read(&kernel).unwrap(), Some(order));
                let fd = (order == Order::Work).then(|| kernel.try_clone().unwrap().into());
                answer(&kernel, Ok((5, fd))).unwrap();
            }
            assert!(Order::read(&kernel).unwrap().is_some());
            answer(&kernel, Err(io::Error::from_raw_os_error(libc::EMFILE))).unwrap();
            assert!(Order::read(&kernel).is_err());
        });
        for order in orders {
            let (number, fd) = order.give(&client).unwrap();
            assert_eq!((number, fd.is_some()), (5, order == Order::Work));
        }
        let error = Order::Fork.give(&client).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        (&client).write_all(&[9; LENGTH]).unwrap();
        other.join().unwrap();
        assert!(Order::Fork.give(&client).is_err());
    }
}
